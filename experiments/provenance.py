"""What made a result: code, versions, kind of machine, date."""

import contextlib
import functools
import importlib.metadata
import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SCHEMA = 1
"""Layout of the JSON files in a run folder."""

CODE_VERSION = 3
"""Part of every id. Raise it by hand when the same configuration would give other results, or when
what a run leaves has another form (2: cells are named by their codes)."""

PACKAGES = (
    "misgen",
    "numpy",
    "torch",
    "stable-baselines3",
    "gymnasium",
    "numba",
    "hydra-core",
)


def provenance() -> dict[str, Any]:
    """What made the results: code, versions, kind of machine, date. Nothing that names a person."""
    commit, dirty = _git_state()
    return {
        "schema": SCHEMA,
        "code_version": CODE_VERSION,
        "git_commit": commit,
        "git_dirty": dirty,
        "versions": versions(),
        "machine": machine_kind(),
        "date_utc": utc_now(),
    }


def versions() -> dict[str, str | None]:
    """Version by distribution name (None if absent), without importing any of them."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


@functools.cache
def machine_kind() -> dict[str, Any]:
    return {"cpu": _cpu_model(), "cores": usable_cores(), "gpu": _gpu_name()}


def how_to_install(extra: str) -> str:
    """The command for an extra of this package, which is on no index."""
    return f"pip install '.[{extra}]' in a checkout of misgen"


def usable_cores() -> int:
    """CPU cores this process may use (a job scheduler may grant fewer than the machine has)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu_name() -> str | None:
    """Name of the first NVIDIA GPU, asked of the driver: importing torch would take seconds."""
    if shutil.which("nvidia-smi") is None:
        return None
    return _output_of("nvidia-smi", "--query-gpu=name", "--format=csv,noheader", "--id=0")


def _git_state() -> tuple[str | None, bool | None]:
    """Commit and whether the tree differs from it; (None, None) for an installed package."""
    source = Path(__file__).resolve().parent.parent
    top = _output_of("git", "-C", str(source), "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != source:
        return None, None
    commit = _output_of("git", "-C", str(source), "rev-parse", "--verify", "HEAD")
    changes = _output_of("git", "-C", str(source), "status", "--porcelain")
    return commit, None if changes is None else bool(changes)


def _output_of(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return os.fsdecode(done.stdout).strip()


def utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
