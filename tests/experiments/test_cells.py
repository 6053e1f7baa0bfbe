"""`misgen cells`: the list, a card, an example."""

import pytest

from misgen.envs.families import FAMILIES
from misgen.experiments import cells
from misgen.experiments.cli import main

CODES = [cell.code for family in FAMILIES.values() for cell in family.cells]


def test_the_list_names_all_eight_cells(capsys):
    assert cells.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:10]] == CODES
    assert sorted(CODES) == ["C1", "C2", "C3", "C4", "K1", "K2", "K3", "K4"]


@pytest.mark.parametrize("code", CODES)
def test_a_card_says_what_the_cell_declares(code, capsys):
    assert cells.main([code.lower(), "--seed", "3"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    family, cell = cells.find_cell(code)
    assert text.startswith(f"{code}: {family.name}, {cell.name} shift")
    for said in (cell.intended.name, cell.proxy.name, cell.shift_a.scenario, cell.shift_b.scenario):
        assert said in text
    assert "00: in distribution" in text and "11: both" in text and "A" in text


def test_an_example_is_drawn_as_a_picture(tmp_path, capsys):
    file = tmp_path / "k4.png"
    assert cells.main(["K4", "--png", str(file)]) == 0
    assert file.read_bytes().startswith(b"\x89PNG")


def test_recorded_actions_are_drawn_as_a_path():
    family, cell = cells.find_cell("K2")
    levels = cells.sample_quadruples(family, cell, [0])["00"]
    moves = bytes([family.actions.index(name) for name in ("up", "stay", "down")])
    board = cells.draw_path(levels, "title", moves)
    assert board.path.shape == (4, 2) and (board.path[1] == board.path[2]).all()
    size = int(levels.level.size[0]) * cells.PX
    assert board.picture.shape == (size, size, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["C9"], "the cells are C1, C2, C3, C4, K1, K2, K3, K4; got 'C9'"),
        (["C2", "--seed", "-1"], "--seed is an integer >= 0; got -1"),
        (["--png", "x.png"], "name it: misgen cells C2"),
    ],
)
def test_wrong_arguments(arguments, message, capsys):
    assert main(["cells", *arguments]) == 2
    assert message in capsys.readouterr().err
