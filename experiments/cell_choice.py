"""Which family and cell a user's words mean. Words without meaning are answered with the choices,
the nearest first."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

from misgen.envs.core.family import Family
from misgen.envs.core.types import Cell
from misgen.envs.families import FAMILIES, find_cell, find_family, reference

DEFAULT_CELL = "C2"


def choose_cell(family: str = "", cell: str = "") -> tuple[Family, Cell]:
    """What `family=` and `cell=` mean together.

    Args:
        family: a name, or module:FAMILY of a file of the user's own, which is executed; "" = the
            one that the cell belongs to.
        cell: a code, as "C2"; "" = the family's default cell.

    Raises:
        ValueError: there is no such family or cell, or the cell is another family's.
    """
    if not family:
        code = cell or DEFAULT_CELL
        if code.upper() not in built_in_codes():
            raise ValueError(f"the cells are {_choices(code, built_in_codes())}{_shift_type(code)}")
        return find_cell(code)
    found = _find_family(family)
    codes = [each.code for each in found.cells]
    code = cell or found.default_cell
    if code.upper() not in codes:
        hint = _shift_type(code, [found]) or _family_of(code)
        raise ValueError(f"{found.name} has the cells {_choices(code, codes)}{hint}")
    return found, found.cell(code)


def choose(words: Sequence[str]) -> tuple[Family, Cell | None]:
    """What the arguments [CELL], [FAMILY] or [FAMILY CELL] mean; cell None where none is given.

    Raises:
        ValueError: more words, or as `choose_cell`.
    """
    if len(words) > 2:
        raise ValueError(f"a cell is named by its code, or by its family and code; got {words}")
    first = words[0]
    if len(words) == 2:
        return choose_cell(*words)
    if ":" in first or first in FAMILIES:
        return _find_family(first), None
    if first.upper() in built_in_codes():
        return find_cell(first)
    raise ValueError(
        f"the cells and families are {_choices(first, [*built_in_codes(), *FAMILIES])}"
        f"{_shift_type(first)}; a family of your own is module:FAMILY"
    )


def built_in_codes() -> list[str]:
    """The codes of all built-in cells, in the order of the tables."""
    return [cell.code for family in FAMILIES.values() for cell in family.cells]


def code_spans() -> str:
    """The codes of all built-in cells in short: "C1-C4, K1-K4"."""
    return ", ".join(f"{f.cells[0].code}-{f.cells[-1].code}" for f in FAMILIES.values())


def where_help() -> str:
    """What the arguments of `choose` may be."""
    return (
        f"code of a cell ({code_spans()}), or a family ({', '.join(FAMILIES)}, or module:FAMILY of "
        "your own, whose code is executed) and perhaps the code of one of its cells"
    )


def cell_label(family: Family, cell: Cell) -> str:
    """How a cell is called in progress lines: "K3", or "toy K3" of a family of the user's own,
    whose codes are its own affair."""
    return cell.code if FAMILIES.get(family.name) is family else f"{family.name} {cell.code}"


def _find_family(name: str) -> Family:
    if ":" in name:
        return _own_family(name)
    if name not in FAMILIES:
        raise ValueError(
            f"the families are {_choices(name, FAMILIES)}; a family of your own is module:FAMILY"
        )
    return FAMILIES[name]


def _own_family(name: str) -> Family:
    _announce(name)
    found = find_family(name)
    if reference(found) != name:
        raise ValueError(
            f"a family of your own is found again by its declaration: FAMILY, with module=__name__;"
            f" {name} declares module {found.module!r}"
        )
    if found.name in FAMILIES:
        raise ValueError(
            f"records tell families by their names, and {found.name!r} is a built-in one's; give "
            f"{name} another name"
        )
    return found


@functools.cache
def _announce(name: str) -> None:
    print(f"running the code of {name}: use only families that you trust", file=sys.stderr)


def _choices(got: str, choices: Iterable[str]) -> str:
    return f"{', '.join(nearest_first(got, choices))}; got {got!r}"


def nearest_first(text: str, choices: Iterable[str]) -> list[str]:
    """The choices, those most like `text` first."""

    def likeness(choice: str) -> float:
        return SequenceMatcher(None, text.lower(), choice.lower()).ratio()

    return sorted(choices, key=likeness, reverse=True)


def _shift_type(text: str, families: Iterable[Family] | None = None) -> str:
    """A hint for those who name a cell by its shift type; "" for other words."""
    among = FAMILIES.values() if families is None else families
    codes = [c.code for family in among for c in family.cells if c.shift_type == text.lower()]
    return f", which is the shift type of {', '.join(codes)}" if codes else ""


def _family_of(code: str) -> str:
    """A hint for those who name another family's cell; "" for other words."""
    if code.upper() not in built_in_codes():
        return ""
    return f", a cell of {find_cell(code)[0].name}: give the cell alone"
