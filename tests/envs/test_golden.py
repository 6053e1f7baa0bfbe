"""Golden digests: levels and trajectories of every family, cell and observation mode.

A difference means that recorded results no longer come from this code: raise `Family.version` and
run `MISGEN_REGENERATE=1 pytest tests/envs/test_golden.py`, which rewrites golden.json.
"""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.levels import sample_quadruples
from misgen.envs.core.random import combine
from misgen.envs.core.render import visible_modes
from misgen.envs.families import FAMILIES

GOLDEN = Path(__file__).with_name("golden.json")
LEVELS = 64
STEPS = 100
CASES = [
    (family, cell, mode)
    for family in FAMILIES.values()
    for cell in family.cells
    for mode in visible_modes(family, cell)
    if mode != "window"  # is cut out of `planes`: test_render.py
]


def fixed_actions(num_actions: int) -> np.ndarray:
    """int64 [STEPS, LEVELS] from our own generator: numpy's may change."""
    with np.errstate(over="ignore"):
        bits = combine(np.uint64(0), np.arange(STEPS * LEVELS, dtype=np.uint64))
    return (bits % np.uint64(num_actions)).astype(np.int64).reshape(STEPS, LEVELS)


def trajectory_digest(family, cell, mode: str) -> str:
    """Observations, rewards, ends and events of training at d = .5."""
    distribution = family.train_distribution(cell, 0.5)
    env = BatchEnv(family, distribution, LEVELS, train_seed=0, observation_mode=mode)
    digest = hashlib.blake2b(env.reset().tobytes(), digest_size=8)
    for actions in fixed_actions(len(family.actions)):
        result = env.step(actions)
        for array in result[:5]:
            digest.update(array.tobytes())
        ended = result.terminated | result.truncated
        digest.update(result.final_obs[ended].tobytes())
    return digest.hexdigest()


def levels_digest(family, cell) -> str:
    """The four variants of LEVELS seeds."""
    digest = hashlib.blake2b(digest_size=8)
    for levels in sample_quadruples(family, cell, np.arange(LEVELS)).values():
        digest.update(levels.hashes().tobytes())
    return digest.hexdigest()


def measure() -> dict:
    """{family: {"version": int, "digests": {"C2 planes": digest, "C2 levels": digest}}}"""
    golden: dict = {}
    for family, cell, mode in CASES:
        entry = golden.setdefault(family.name, {"version": family.version, "digests": {}})
        entry["digests"][f"{cell.code} levels"] = levels_digest(family, cell)
        entry["digests"][f"{cell.code} {mode}"] = trajectory_digest(family, cell, mode)
    return golden


@pytest.fixture(scope="module")
def golden() -> dict:
    if os.environ.get("MISGEN_REGENERATE"):
        GOLDEN.write_text(json.dumps(measure(), indent=1) + "\n")
    return json.loads(GOLDEN.read_text())


def check(golden: dict, family, name: str, digest: str) -> None:
    entry = golden.get(family.name, {"version": None, "digests": {}})
    if entry["digests"].get(name) != digest or entry["version"] != family.version:
        raise AssertionError(
            f"{family.name} {name} is {digest} at version {family.version}; golden.json has "
            f"{entry['digests'].get(name)} at version {entry['version']}. If the change is meant, "
            "raise Family.version and regenerate (see the top of this file)"
        )


@pytest.mark.parametrize(
    ("family", "cell", "mode"), CASES, ids=[f"{c.code}-{mode}" for _, c, mode in CASES]
)
def test_trajectories(golden, family, cell, mode):
    check(golden, family, f"{cell.code} {mode}", trajectory_digest(family, cell, mode))


def test_levels(golden, world):
    family, cell = world
    check(golden, family, f"{cell.code} levels", levels_digest(family, cell))


def test_nothing_else_is_stored(golden):
    names = {(family, name) for family, entry in golden.items() for name in entry["digests"]}
    assert names == {
        (family.name, f"{cell.code} {what}")
        for family, cell, mode in CASES
        for what in (mode, "levels")
    }
