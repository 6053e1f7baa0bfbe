"""Levels as text: what a drawing says, and the one clear error about each that says it wrongly.

That a drawn level is parsed to the same bytes is part of the contract.
"""

import pytest
from tests.envs.boards import COINRUN, KEYS, drawing

WALLED_OFF = "\n".join(["#.#..#"] * 8 + ["#A#.$#", "######"])
BAD = [
    (COINRUN, "#A.A$.# #######", "has exactly one agent, drawn A; got 2"),
    (COINRUN, "#A....# #######", r"has exactly one coin, drawn .*\$.*; got 0"),
    (COINRUN, "#A.$.%...# ##########", "has exactly one coin, drawn .*; got 2"),
    (COINRUN, "#A.G.G.$.# ##########", "one rest square at most, drawn G or @; got 2"),
    (COINRUN, "#A.1.2.3.$# ###########", "2 decoys at most, drawn 1 or 2 or 3; got 3"),
    (COINRUN, "#A.M.M.M.$# ###########", "2 tunnels at most"),
    (COINRUN, "#A.Q$.# #######", "the glyphs of a board are .*; got 'Q'"),
    (COINRUN, "#A.$.# ######\n" * 6, "10 lines of 5 to 32 squares, all of one length; got 12"),
    (COINRUN, "#A..$.# ########", r"of one length; got 10 lines of \[7, 8\] squares"),
    (COINRUN, "#A..$.. #######", "walls '#' at both ends of every line"),
    (COINRUN, WALLED_OFF, "coin must be reachable from A; the one at row 9, column 4 is not"),
    (COINRUN, WALLED_OFF.replace("$", "@"), "coin must be reachable from A"),
    (COINRUN, "#A$..a..# #########", "enemy 'a' at row 9, column 5 needs 3 free squares to the"),
    (KEYS, "##### #AkA# #..c#", "has exactly one agent, drawn A; got 2"),
    (KEYS, "##### #.k.# #..c#", "has exactly one agent, drawn A; got 0"),
    (KEYS, "##### #Ak## ###c#", "reachable from A; the one at row 2, column 3 is walled off; open"),
    (KEYS, "##### #Akx# #..c#", "glyphs of a board .* got 'x'"),
    (KEYS, "##### #Akc. #...#", "closed by walls '#' on all four sides"),
    (KEYS, "##### #A.k# #...#", "at least one key 'k' and one chest 'c'"),
    (KEYS, "##### #A.c# #...#", "at least one key 'k' and one chest 'c'"),
    (KEYS, "##### #Ako# #GTV#", "at least one key 'k' and one chest 'c'"),
    (KEYS, "####### #Akkkk# #ccccc# #k....#", "at most 9 keys and chests; got 10"),
    (KEYS, "#" * 17 + " #A" + "." * 14 + "#", "a square of 3 to 15 squares a side; got 17 lines"),
    (KEYS, "##### #Akc# #..", "a square of 3 to 15 squares a side; got 5 lines"),
]


@pytest.mark.parametrize(("family", "lines", "says"), BAD)
def test_a_wrong_drawing_is_one_clear_value_error(family, lines, says):
    with pytest.raises(ValueError, match=says):
        family.parse(drawing(family, lines))


@pytest.mark.parametrize(
    ("family", "lines"),
    [
        (COINRUN, "#1..A..%..3# ############"),
        (COINRUN, "#A.MX..@..# ###########"),
        (COINRUN, "#A._.=$.s# ##~#.#####"),
        (KEYS, "####### #A.ctv# #kTVow# #b....#"),
    ],
)
def test_all_glyphs_and_the_header_are_drawn_as_they_were(family, lines):
    plain = drawing(family, lines)
    for text, is_disturbed in ((plain, 0), ("disturbed\n" + plain, 1)):
        level = family.parse(text)
        assert level.disturbed[0] == is_disturbed and family.draw(level, 0) == text


def test_touching_tunnels_with_other_signs_are_two():
    level = COINRUN.parse(drawing(COINRUN, "#A.MMX..$# ##########"))
    assert level.tunnel_cols[0].tolist() == [2, 1] and level.tunnel_col[0].tolist() == [3, 5]
    assert level.tunnel_marked[0].tolist() == [1, 1] and level.tunnel_watched[0].tolist() == [0, 1]
