"""Planes as data: what a file says, and what is said of a wrong one."""

import pytest

from misgen.envs.core.planes import plane_index, read_planes, sprites

SPRITE = "\n".join(["########", "#......#"] * 4)
FILE = f"""
# A comment.
texture 70,60,90 texture
wall 1,2,3 unseen=4,5,6
{SPRITE}

coin 255,0,10 sprite=wedge remembers
"""


def test_planes_are_what_their_file_says(tmp_path):
    path = tmp_path / "planes.txt"
    path.write_text(FILE)
    texture, wall, coin = planes = read_planes(path)
    assert planes == read_planes(FILE), "or a text of the same form"
    assert [(plane.name, plane.colour) for plane in planes] == [
        ("texture", (70, 60, 90)), ("wall", (1, 2, 3)), ("coin", (255, 0, 10))
    ]  # fmt: skip
    flags = [(plane.is_texture, plane.remembers) for plane in planes]
    assert flags == [(True, False), (False, False), (False, True)]
    assert wall.unseen_colour == (4, 5, 6) and coin.unseen_colour is None
    assert (texture.sprite, wall.sprite, coin.sprite) == ("", SPRITE, sprites()["wedge"])
    assert list(plane_index(planes)) == [0, 1, 2] and plane_index(planes).COIN == 2


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (FILE.replace(SPRITE, SPRITE[:-9]), "8 lines of 8 .* that of wall has 7 lines"),
        (FILE.replace("#......#", "#.......#", 1), r"that of wall has 8 lines of \[8, 9\]"),
        (
            FILE.replace("remembers", "shiny"),
            "coin has the unknown option 'shiny'; there are unseen=",
        ),
        (FILE.replace("wedge", "edge"), "coin names the sprite 'edge'; there are .*wedge"),
        (FILE.replace("1,2,3", "1,2"), "a colour is R,G,B, each 0-255; wall has '1,2'"),
        (FILE.replace("4,5,6", "4,5,256"), "0-255; wall has '4,5,256'"),
        (FILE.replace("4,5,6", "red"), "0-255; wall has 'red'"),
        (FILE.replace("coin", "wall"), "a name of its own; got texture, wall, wall"),
        (FILE.replace("coin 255,0,10 sprite=wedge remembers", "coin"), "`name R,G,B .* got 'coin'"),
    ],
)
def test_a_wrong_file_is_named_with_the_plane(tmp_path, wrong, says):
    path = tmp_path / "wrong.txt"
    path.write_text(wrong)
    with pytest.raises(ValueError, match=rf"wrong\.txt: .*{says}"):
        read_planes(path)
