"""Families and cells by name, built in and of a user's own, and what is said of wrong ones."""

import sys
from dataclasses import replace

import pytest
from tests.envs.boards import KEYS

from misgen.envs.core.family import Family
from misgen.envs.families import FAMILIES, find_cell, find_family, reference

DECLARATION = {
    name: getattr(KEYS, name)
    for name in "version planes view_shape modes default_mode board cells default_cell".split()
}


def test_cells_and_families_are_found_by_name():
    for name, family in FAMILIES.items():
        assert find_family(name) is family and reference(family) == name
        for number, cell in enumerate(family.cells):
            assert find_cell(cell.code.lower()) == (family, cell)
            assert family.cell(cell.code) is cell and family.number(cell.code) == number


@pytest.mark.parametrize(
    ("attempt", "says"),
    [
        (lambda: find_family("chess"), "families are .*; got 'chess'; .* your own"),
        (lambda: find_cell("X9"), "the cells are C1, .*K1, .*; got 'X9'"),
        (lambda: KEYS.cell("C2"), "keys_and_chests has the cells K1, K2, K3, K4; got 'C2'"),
        (lambda: find_family("nowhere:FAMILY"), "nowhere:FAMILY cannot be imported: No module"),
        (lambda: find_family("own_rules:FAMILY"), "that declares FAMILY; .* no attribute 'FAMILY'"),
        (lambda: find_family("own_rules:NUMBER"), "must be a misgen.envs.Family; it is a int"),
        (
            lambda: Family.of("own_rules", actions=KEYS.events, **DECLARATION),
            "has Event, Params, Level, State, .*; own_rules lacks Level, State, sample_geometry",
        ),
    ],
)
def test_a_wrong_name_is_one_clear_value_error(tmp_path, monkeypatch, attempt, says):
    (tmp_path / "own_rules.py").write_text("NUMBER = 3\nEvent = Params = object\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "own_rules", raising=False)
    if "lacks" in says:
        __import__("own_rules")
    with pytest.raises(ValueError, match=says):
        attempt()


def test_two_cells_of_one_code_are_refused():
    with pytest.raises(ValueError, match="has two cells with the code K3; rename one"):
        replace(KEYS, cells=(*KEYS.cells, KEYS.cell("K3")))


def test_a_cell_with_parameters_out_of_their_range_is_refused():
    wide = replace(KEYS.cell("K3"), params=KEYS.cell("K3").params._replace(interior=14))
    with pytest.raises(ValueError, match=r"interior of keys_and_chests is in \[3, 13\]; got 14"):
        replace(KEYS, cells=(wide,))


def test_several_cells_may_have_one_shift_type():
    twin = replace(KEYS.cell("K3"), code="K5")
    assert replace(KEYS, cells=(*KEYS.cells, twin)).cell("k5") is twin
