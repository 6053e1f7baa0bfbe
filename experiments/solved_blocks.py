"""Solved levels, kept on disk while they are evaluated: the controls and all agents that play a
block of levels need the same plans, whose search takes half of an evaluation.

A cache: what is missing is solved, what cannot be written or read costs time only.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from misgen.analysis.files import atomic_write_bytes
from misgen.envs.core.kernel_cache import cache_folder
from misgen.envs.core.levels import Levels
from misgen.envs.core.planner import Plan
from misgen.envs.core.plans import Plans, Plays
from misgen.envs.core.pursuits import pursuits_of
from misgen.envs.core.types import Array
from misgen.experiments.run_folder import results_root

MOST_BYTES = 2 * 2**30  # on disk; a block has 60-130 MB

Solved = tuple[Sequence[Plans], Array]  # the plans of batches of levels, and T of each level


def solved(
    what: Mapping[str, Any], batches: Sequence[Levels], solve: Callable[[], Solved]
) -> Solved:
    """What `solve` returns for these levels, found on disk or kept there.

    what: all that decides the levels and the plans, as JSON data, but for our own rules, which are
    known by the folder of their kernels. Levels of a family of the user's own are not kept.
    """
    rules = cache_folder()
    if ":" in str(what["family"]) or rules is None:
        return solve()
    identity = json.dumps({**what, "rules": rules.name}, sort_keys=True)
    file = _folder() / f"{hashlib.sha256(identity.encode()).hexdigest()[:24]}.npz"
    with contextlib.suppress(Exception):  # a damaged file raises anything
        return _read(file, batches)
    plans, judged = solve()
    with contextlib.suppress(OSError, ValueError):  # a full disk, a folder that is none
        file.parent.mkdir(parents=True, exist_ok=True)
        _make_room(file.parent)
        atomic_write_bytes(file, _bytes_of(plans, judged))
    return plans, judged


def forget() -> None:
    """Remove what is kept, once nothing needs it."""
    shutil.rmtree(_folder(), ignore_errors=True)


def _folder() -> Path:
    return results_root() / "solved_blocks"


def _make_room(folder: Path) -> None:
    """Remove the oldest files until there is room for another one."""
    files = sorted(folder.glob("*.npz"), key=lambda file: file.stat().st_mtime)
    total = sum(file.stat().st_size for file in files)
    for file in files:
        if total < MOST_BYTES:
            return
        total -= file.stat().st_size
        file.unlink(missing_ok=True)


def _bytes_of(plans: Sequence[Plans], judged: Array) -> bytes:
    arrays = {"judged": judged}
    for b, each in enumerate(plans):
        own = {name: getattr(each, name) for name in ("length", "value", "num_states", "keys")}
        own |= each.plan._asdict() | each.plays._asdict()
        arrays |= {f"{b}.{name}": array for name, array in own.items()}
    data = io.BytesIO()
    np.savez(data, **arrays)  # type: ignore[arg-type]
    return data.getvalue()


def _read(file: Path, batches: Sequence[Levels]) -> Solved:
    with file.open("rb") as data, np.load(data, allow_pickle=False) as arrays:
        plans = [_plans(levels, arrays, f"{b}.") for b, levels in enumerate(batches)]
        return plans, arrays["judged"]


def _plans(levels: Levels, arrays: Mapping[str, Array], prefix: str) -> Plans:
    def of(kind: Any) -> Any:
        return kind(*(arrays[prefix + name] for name in kind._fields))

    own = {name: arrays[prefix + name] for name in ("length", "value", "num_states", "keys")}
    pursuits = pursuits_of(levels.cell, len(levels.family.events))
    return Plans(levels=levels, plan=of(Plan), plays=of(Plays), pursuits=pursuits, **own)
