"""The families of environments: one file and one line each."""

from misgen.envs.families import coinrun, keys_and_chests
from misgen.envs.types import Cell, Family

FAMILIES: dict[str, Family] = {
    family.name: family for family in (coinrun.FAMILY, keys_and_chests.FAMILY)
}


def find_family(name: str) -> Family:
    """The family of this name; ValueError names the choices."""
    if name not in FAMILIES:
        raise ValueError(f"the families are {', '.join(FAMILIES)}; got {name!r}")
    return FAMILIES[name]


def find_cell(name: str) -> tuple[Family, Cell]:
    """The cell of this code ("C2") and its family; ValueError names the choices."""
    cells = {cell.code: (family, cell) for family in FAMILIES.values() for cell in family.cells}
    if name.upper() not in cells:
        raise ValueError(f"the cells are {', '.join(cells)}; got {name!r}")
    return cells[name.upper()]
