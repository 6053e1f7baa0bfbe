"""The families of environments: one line each."""

import importlib
import sys
from collections.abc import Iterable
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import gymnasium

from misgen.envs.coinrun import FAMILY as COINRUN
from misgen.envs.core.family import Family
from misgen.envs.core.types import Cell
from misgen.envs.keys_and_chests import FAMILY as KEYS_AND_CHESTS
from misgen.envs.maze import FAMILY as MAZE

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        COINRUN,
        KEYS_AND_CHESTS,
        MAZE,
    )
}


def find_family(name: str) -> Family:
    """The family of this name, or `module:FAMILY` of a file of the user's own, which is executed.

    Raises:
        ValueError: there is none; names the choices, the nearest first.
    """
    if ":" in name:
        return _own_family(name)
    if name not in FAMILIES:
        raise ValueError(
            f"the families are {choices(name, FAMILIES)}; a family of your own is module:FAMILY"
        )
    return FAMILIES[name]


def imported(name: str, rule: str) -> Any:
    """What `module:attribute` names, in a file of the user's own, which is executed.

    rule: how such a thing is named; begins the ValueError where it cannot be imported.
    """
    module, _, attribute = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{rule}; {name} cannot be imported: {error}") from error


def _own_family(name: str) -> Family:
    rule = "a family of your own is module:FAMILY, an importable file that declares FAMILY"
    found = imported(name, rule)
    if not isinstance(found, Family):
        raise ValueError(f"{name} must be a misgen.envs.Family; it is a {type(found).__name__}")
    return found


def declared_in(module: str) -> Family:
    """The family that is FAMILY in this module; ValueError if there is none."""
    built_in = {family.module: family for family in FAMILIES.values()}
    return built_in.get(module) or _own_family(f"{module}:FAMILY")


def reference(family: Family) -> str:
    """What `find_family` finds it by."""
    return family.name if FAMILIES.get(family.name) is family else f"{family.module}:FAMILY"


def find_cell(code: str, family: Family | None = None) -> tuple[Family, Cell]:
    """The cell of this code ("C2"), and its family.

    Args:
        family: only cells of this one; None = of all built-in families.

    Raises:
        ValueError: there is none; names the choices, the nearest first.
    """
    among = [*FAMILIES.values()] if family is None else [family]
    cells = {cell.code: (one, cell) for one in among for cell in one.cells}
    if code.upper() not in cells:
        whose = "the cells are" if family is None else f"{family.name} has the cells"
        raise ValueError(f"{whose} {choices(code, cells)}{other_sense(code, among)}")
    return cells[code.upper()]


def choices(got: str, among: Iterable[str]) -> str:
    """What there is, the most like `got` first, and `got`: the middle of an error message."""

    def likeness(choice: str) -> float:
        return SequenceMatcher(None, got.lower(), choice.lower()).ratio()

    return f"{', '.join(sorted(among, key=likeness, reverse=True))}; got {got!r}"


def other_sense(text: str, among: Iterable[Family]) -> str:
    """A hint for those who say a cell's shift type or another family's cell; "" for other words."""
    codes = [c.code for one in among for c in one.cells if c.shift_type == text.lower()]
    if codes:
        return f", which is the shift type of {', '.join(codes)}"
    owners = [one.name for one in FAMILIES.values() for c in one.cells if c.code == text.upper()]
    return f", a cell of {owners[0]}: give the cell alone" if owners else ""


def register() -> None:
    """Make every family known to gymnasium under its `env_id`."""
    for family in FAMILIES.values():
        if family.env_id not in gymnasium.registry:
            gymnasium.register(
                id=family.env_id,
                entry_point="misgen.envs.core.gym_env:SingleEnv",
                vector_entry_point="misgen.envs.core.gym_vector:BatchVectorEnv",
                kwargs={"family": family.name},
            )
