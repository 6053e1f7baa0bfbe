"""Compiling or loading every kernel that training and evaluation call, before they are timed."""

from __future__ import annotations

import functools
import os
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children, get_context

import numpy as np

from misgen.envs.core.family import Family
from misgen.envs.core.kernel_cache import cache_folder
from misgen.envs.families import find_family
from misgen.experiments.jobs.child import die_with


@functools.cache
def load_kernels(name: str, code: str, mode: str = "planes") -> float:
    """Call every kernel of a cell, shown in this mode. The seconds that it took."""
    from misgen.envs.core.batch import BatchEnv
    from misgen.envs.core.levels import sample_levels
    from misgen.envs.core.plans import solve

    started = time.monotonic()
    family = find_family(name)
    distribution = family.train_distribution(family.cell(code))
    levels = sample_levels(family, distribution, range(2))
    env = BatchEnv.on(levels, observation_mode=mode)
    env.step(np.array([family.noop] * 2))
    solve(levels, distribution.horizon_steps, (0.0,)).action_mask(env, "intended")
    return time.monotonic() - started


def is_compiled(family: Family) -> bool:
    """Whether the last of a family's kernels that `load_kernels` calls is on disk."""
    folder = cache_folder()
    found = folder is not None and next(folder.rglob(f"*mask_{family.name}_*.nbc"), None)
    return bool(found)


def say_playing(family: Family) -> None:
    """Why a command that shows agents says nothing for a while."""
    first = "" if is_compiled(family) else "; the first time compiles the rules"
    print(f"playing the block of levels{first}", file=sys.stderr)


def _begin(parent: int) -> None:
    """In a process that compiles: it ends with its parent, which alone is interrupted. In the midst
    of compiled code a KeyboardInterrupt would be lost."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with(parent)


def compile_rules(cells: Sequence[tuple[str, str]], workers: int) -> None:
    """Compile the rules of these (family, cell) once, before many processes would do the same; says
    the seconds that each family took. What is compiled already is left alone."""
    first = dict(reversed(cells))  # one cell a family: most kernels are the family's
    first = {name: code for name, code in first.items() if not is_compiled(find_family(name))}
    if not first:
        return
    print("compiling the rules (once per version) ...", flush=True)
    with ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=_begin, initargs=(os.getpid(),)
    ) as pool:
        try:
            seconds = list(pool.map(load_kernels, first.keys(), first.values()))
        except BaseException:  # Ctrl-C: leaving `with` would wait for what they compile
            for child in active_children():
                child.kill()
            raise
    took = ", ".join(f"{name} {s:.0f} s" for name, s in zip(first, seconds, strict=True))
    print(f"compiled: {took}", flush=True)
