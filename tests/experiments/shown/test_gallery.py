"""The gallery: its pictures and the generated parts of envs/README.md are those of the code."""

import io
import json

import pytest
from PIL import Image

from misgen.envs.core.levels import sample_levels, variant_distribution
from misgen.envs.core.types import Goal
from misgen.envs.families import FAMILIES, find_cell
from misgen.experiments.cli import main
from misgen.experiments.shown import gallery
from misgen.experiments.shown.gallery import ENVS, filled
from misgen.experiments.shown.gallery_pictures import animation, example, still
from misgen.experiments.shown.plays import Play, is_complete, marked_places

FOLDER = ENVS / "gallery"
MANIFEST = json.loads((FOLDER / "gallery.json").read_text())
CELLS = [(family, cell) for family in FAMILIES.values() for cell in family.cells]
REMEDY = "run `misgen gallery`"


def test_every_cell_is_shown_and_nothing_else():
    codes = [cell.code for _, cell in CELLS]
    assert list(MANIFEST) == codes, REMEDY
    files = {file.name for file in FOLDER.iterdir()}
    assert files == {f"{code}.{kind}" for code in codes for kind in ("png", "gif")} | {
        "gallery.json"
    }, REMEDY


@pytest.mark.parametrize(("family", "cell"), CELLS, ids=lambda each: getattr(each, "code", ""))
def test_the_pictures_are_of_this_version(family, cell):
    """By the family's version, the level's bytes and the planes; and nobody changed the files."""
    entry = MANIFEST[cell.code]
    assert (entry["family"], entry["version"]) == (family.name, family.version), REMEDY
    assert entry["planes"] == gallery.digest(repr(family.planes).encode()), REMEDY
    for variant, expected in entry["level_hashes"].items():
        distribution = variant_distribution(cell, variant)
        levels = sample_levels(family, distribution, [entry["level_seed"]], interpreted=True)
        assert f"{levels.hashes()[0]:016x}" == expected, REMEDY
    pictures = {kind: (FOLDER / f"{cell.code}.{kind}").read_bytes() for kind in entry["files"]}
    assert {kind: gallery.digest(data) for kind, data in pictures.items()} == entry["files"]
    assert sum(map(len, pictures.values())) <= gallery.MAX_BYTES


def test_the_page_says_what_the_declarations_say():
    page = (ENVS / "README.md").read_text()
    assert page == filled(page, FAMILIES.values(), MANIFEST), REMEDY


def test_a_page_has_places_for_what_is_made():
    with pytest.raises(ValueError, match="one place for its generated part gallery"):
        filled("# Environments\n", [], {})


def test_there_is_a_page_to_fill(tmp_path, capsys):
    assert main(["gallery", "--to", str(tmp_path)]) == 2
    assert "README.md does not exist" in capsys.readouterr().err


@pytest.fixture(scope="module")
def shown():
    return example(*find_cell("C2"))


def test_the_same_bytes_twice(shown):
    assert still(shown) == still(shown)
    assert animation(shown) == animation(shown)


def test_an_animation_plays_until_the_longest_way_ends(shown):
    """A frame a step; as wide as a column of a page on a code host."""
    with Image.open(io.BytesIO(animation(shown))) as film:
        assert film.n_frames == max(len(play.boards) for play in shown.plays.values())
        assert film.width <= 520
    with Image.open(io.BytesIO(still(shown))) as picture:
        assert picture.width <= 520


def test_what_is_marked():
    """Intact: both planners end in the corner, where the cheese is. Broken: each in its own."""
    family, cell = find_cell("M5")
    shown = example(family, cell)
    ends = {key: marked_places(play, cell.goals[key[0]], cell) for key, play in shown.plays.items()}
    assert ends["intended", "00"] == ends["proxy", "00"] == ends["proxy", "10"] == [(1, 1)]
    (cheese,) = ends["intended", "10"]
    assert max(cheese) >= 6
    assert [shown.plays[goal, "10"].earned[-1] for goal in ("intended", "proxy")] == [1.0, 0.0]


def test_marks_of_several_targets_and_of_costs():
    """Two chests, of which the last one completes the goal, and one that costs."""
    family, cell = find_cell("K4")
    event = family.events
    chest, last, owned = 1 << event.CHEST, 1 << event.ALL_CHESTS, 1 << event.OWNED
    places = [(1, 1), (1, 2), (1, 3), (1, 4), (1, 5)]
    play = Play([], places, [0.0] * 5, [0, chest, 0, owned, chest | last])
    assert marked_places(play, cell.intended, cell) == [(1, 2), (1, 4), (1, 5)]


def test_when_a_goal_is_complete():
    """Each target by any of its events, and all of the sweep."""
    goal = Goal(name="g", targets=(0, (1, 2)), sweep=(3,))
    happened = [1 << 0, 1 << 2, 1 << 3]
    assert is_complete(goal, Play([], [], [], happened))
    for missing in happened:
        assert not is_complete(goal, Play([], [], [], [0, *{*happened} - {missing}]))
