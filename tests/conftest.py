"""What several files of tests would otherwise do again, each for itself."""

import contextlib
import fcntl
import hashlib
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
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


@pytest.fixture(scope="module")
def remembered_chains(shared_folder: Path) -> Iterator[None]:
    """Within a session the sampler of the hierarchical model runs once for the same data, seed and
    lengths, and for a quarter of its usual length: its diagnostics still accept that here. That
    data and seed decide the chains is tested in test_hierarchy.py, without memory; commands in
    processes of their own have the usual length."""
    from misgen.analysis.hierarchy import fit

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "WARMUP", fit.WARMUP // 2)
        patch.setattr(fit, "SAMPLES", fit.SAMPLES // 4)
        patch.setattr(fit, "sample_many", _remembered(shared_folder, fit.sample_many))
        yield


def _remembered(folder: Path, sample_many: Callable[..., Any]) -> Callable[..., Any]:
    def remembered(data: Any, seed: int, *lengths: int) -> Any:
        digest = hashlib.sha256(repr((len(data), seed, lengths)).encode())
        for one in data:
            for array in one:
                digest.update(
                    repr(np.shape(array)).encode() + np.ascontiguousarray(array).tobytes()
                )
        file = folder / f"chains-{digest.hexdigest()[:16]}.pickle"
        shape = "-".join(map(str, (len(data), *data[0].center.shape, *lengths)))
        with _first_alone(folder / f"sampler-{shape}"):
            if not file.exists():
                temporary = file.with_suffix(f".{os.getpid()}")
                temporary.write_bytes(pickle.dumps(sample_many(data, seed, *lengths)))
                os.replace(temporary, file)
        return pickle.loads(file.read_bytes())

    return remembered


@contextlib.contextmanager
def _first_alone(name: Path) -> Iterator[None]:
    """The first that enters is waited for: what it compiles, the others find on disk."""
    done = name.with_suffix(".done")
    if done.exists():
        yield
        return
    with name.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
        done.touch()
