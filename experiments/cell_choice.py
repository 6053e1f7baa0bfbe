"""Which family and cell the words of a command line mean."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence

from misgen.envs.core.family import Family
from misgen.envs.core.types import Cell
from misgen.envs.families import FAMILIES, choices, find_cell, find_family, other_sense, reference

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
        return find_cell(cell or DEFAULT_CELL)
    found = _find_family(family)
    return find_cell(cell or found.default_cell, found)


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
        f"the cells and families are {choices(first, [*built_in_codes(), *FAMILIES])}"
        f"{other_sense(first, FAMILIES.values())}; a family of your own is module:FAMILY"
    )


def choose_one(words: Sequence[str]) -> tuple[Family, Cell]:
    """Likewise, with the family's default cell where none is given; without words DEFAULT_CELL."""
    family, cell = choose(words or [DEFAULT_CELL])
    return family, cell or family.cell(family.default_cell)


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


def arm_words(cell: str, method: str, d: float, q: float) -> str:
    """What the agents of an arm have in common: "K3 d=0.1", with method and q where they are not
    the usual ones."""
    parts = [cell, method] if method != "ppo" else [cell]
    return " ".join([*parts, f"d={d:g}", *([f"q={q:g}"] if q != 1 else [])])


def _find_family(name: str) -> Family:
    if ":" not in name:
        return find_family(name)
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
