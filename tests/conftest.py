"""What several files of tests would otherwise do again, each for itself."""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

MANY_FILES = 6  # of tests/envs: the whole suite


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this session; processes of pytest-xdist have the same."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    (folder / "shared").mkdir(exist_ok=True)
    return folder / "shared"


@pytest.fixture(scope="session", autouse=True)
def _kernels_are_compiled_once(request: pytest.FixtureRequest, shared_folder: Path) -> None:
    """In a run of the whole suite the processes share the families out, and each compiles the
    kernels of its own, which the others load. A run of a few files compiles what it needs."""
    number = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    files = {item.path for item in request.session.items if item.path.parent.name == "envs"}
    if not number or len(files) < MANY_FILES:
        return
    from misgen.envs.families import FAMILIES

    families = [*FAMILIES.values()]
    first = int(number) % len(families)
    for family in families[first:] + families[:first]:
        with (shared_folder / f"{family.name}.lock").open("a") as lock:
            with contextlib.suppress(BlockingIOError):  # another one is at it
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not (shared_folder / family.name).exists():
                    _compile(family)
                    (shared_folder / family.name).touch()
    for family in families:
        with (shared_folder / f"{family.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)


def _compile(family: Any) -> None:
    """What most tests of the family call."""
    from misgen.envs.core.render import visible_modes
    from misgen.experiments.kernels import load_kernels

    for cell in family.cells:
        for mode in visible_modes(family, cell):
            load_kernels(family.name, cell.code, mode)
