"""Every test of `tests/envs` that asks for `family` or `world` runs for all families or cells."""

import pytest

from misgen.envs.families import FAMILIES

CELLS = [(family, cell) for family in FAMILIES.values() for cell in family.cells]


@pytest.fixture(params=FAMILIES.values(), ids=lambda family: family.name)
def family(request):
    return request.param


@pytest.fixture(params=CELLS, ids=lambda world: world[1].code)
def world(request):
    """(family, cell)"""
    return request.param
