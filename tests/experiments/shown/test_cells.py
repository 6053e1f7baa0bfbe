"""`misgen cells`: the list, a card, an example."""

import pytest

from misgen.envs.families import FAMILIES, find_cell
from misgen.experiments.cell_choice import code_spans
from misgen.experiments.cli import main
from misgen.experiments.shown import cells

CODES = [cell.code for family in FAMILIES.values() for cell in family.cells]


def listed(capsys):
    """The first words of the lines of the list."""
    lines = capsys.readouterr().out.splitlines()
    return [line.split()[0] for line in lines[2 : lines.index("")] if line[0] != " "]


def test_the_list_names_every_cell(capsys):
    assert cells.main([]) == 0
    assert listed(capsys) == CODES
    assert {"C1", "C2", "C3", "C4", "K1", "K2", "K3", "K4"} <= set(CODES)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_the_list_of_one_family(family, capsys):
    assert cells.main([family.name]) == 0
    assert listed(capsys) == [cell.code for cell in family.cells]


def test_help_knows_the_codes(capsys):
    with pytest.raises(SystemExit):
        cells.main(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert f"code of a cell ({code_spans()})" in shown and "C1-C4, K1-K4" in shown


@pytest.mark.parametrize("code", CODES)
def test_a_card_says_what_the_cell_declares(code, capsys):
    assert cells.main([code.lower(), "--seed", "3"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    family, cell = find_cell(code)
    assert text.startswith(f"{code}: {family.name}, {cell.shift_type} shift")
    for said in (cell.intended.name, cell.proxy.name, cell.shift_a.scenario, cell.shift_b.scenario):
        assert said in text
    assert "00: in distribution" in text and "11: both" in text and "A" in text


def test_an_example_is_drawn_as_a_picture(tmp_path, capsys):
    file = tmp_path / "k4.png"
    assert cells.main(["K4", "--png", str(file)]) == 0
    assert file.read_bytes().startswith(b"\x89PNG")


def test_recorded_actions_are_drawn_as_a_path():
    family, cell = find_cell("K2")
    levels = cells.sample_quadruples(family, cell, [0])["00"]
    moves = bytes([family.actions.index(name) for name in ("up", "stay", "down")])
    board = cells.draw_path(levels, "title", moves)
    assert board.path.shape == (4, 2) and (board.path[1] == board.path[2]).all()
    size = int(levels.level.size[0]) * cells.PX
    assert board.picture.shape == (size, size, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["C9"], "the cells and families are C1, C2, C3, C4"),
        (["coinrun", "K3"], "coinrun has the cells"),
        (["coinrun", "C2", "C3"], "or by its family and code; got"),
        (["C2", "--seed", "-1"], "--seed is an integer >= 0; got -1"),
        (["--png", "x.png"], "name it: misgen cells C2"),
    ],
)
def test_wrong_arguments(arguments, message, capsys):
    assert main(["cells", *arguments]) == 2
    assert message in capsys.readouterr().err
