"""The families of environments: one file and one line each."""

from envs.families import coinrun, keys_and_chests
from envs.types import Family

FAMILIES: dict[str, Family] = {
    family.name: family for family in (coinrun.FAMILY, keys_and_chests.FAMILY)
}


def find_family(name: str) -> Family:
    """The family of this name; ValueError names the choices."""
    if name not in FAMILIES:
        raise ValueError(f"the families are {', '.join(FAMILIES)}; got {name!r}")
    return FAMILIES[name]
