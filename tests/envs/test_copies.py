"""Copies of environments: they go on as their originals do, and neither disturbs the other."""

import copy
import pickle
import subprocess
import sys

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest

from misgen.agents.vec_env import BatchVecEnv
from misgen.envs.core import batch
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.gym_env import SingleEnv
from misgen.envs.core.gym_vector import BatchVectorEnv
from misgen.envs.families import FAMILIES

COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda env: pickle.loads(pickle.dumps(env)),
    "cloudpickle": lambda env: cloudpickle.loads(cloudpickle.dumps(env)),
}
DIVERSITY = 0.5
HORIZON = 12  # several episodes in what follows


def make_single(family):
    return SingleEnv(
        family, diversity=DIVERSITY, horizon_steps=HORIZON, train_seed=3, render_mode="rgb_array"
    )


def make_gym(family):
    return gym.make(f"misgen.envs:{family.env_id}", horizon_steps=HORIZON, render_mode="rgb_array")


def make_vector(family, mode="SameStep"):
    return BatchVectorEnv(
        family,
        3,
        diversity=DIVERSITY,
        horizon_steps=HORIZON,
        train_seed=[3, 1, 4],
        autoreset_mode=mode,
        render_mode="rgb_array",
    )


def make_batch(family, slots=4, threads=2):
    distribution = family.train_distribution(family.cells[0], DIVERSITY)
    return BatchEnv(family, distribution, slots, train_seed=3, num_threads=threads)


MAKERS = {
    "single": make_single,
    "gym.make": make_gym,
    "vector": make_vector,
    "next step": lambda family: make_vector(family, "NextStep"),
    "batch": make_batch,
    "sb3": lambda family: BatchVecEnv(make_batch(family, 3, 1)),
}


def inside(env) -> BatchEnv:
    env = getattr(env, "unwrapped", env)
    return env if isinstance(env, BatchEnv) else env.batch_env


def flat(value) -> list:
    """All bytes of nested tuples, lists, dicts and arrays."""
    if isinstance(value, dict):
        return [part for key in sorted(value) for part in (key, *flat(value[key]))]
    if isinstance(value, list | tuple):
        return [part for item in value for part in flat(item)]
    if isinstance(value, np.ndarray) and value.dtype == object:
        return flat(list(value))
    return [np.asarray(value).tobytes()] if value is not None else [None]


def played(env, steps: int, seed: int) -> list:
    """What it shows in some steps of fixed actions, with resets of single environments."""
    inner, rng = inside(env), np.random.default_rng(seed)
    is_single = isinstance(env, gym.Env)
    seen = []
    for _ in range(steps):
        actions = rng.integers(0, len(inner.family.actions), inner.num_envs)
        result = env.step(int(actions[0]) if is_single else actions)
        seen += flat(list(result))
        seen += flat([inner.cells, inner.episode, inner.world.level, inner.world.rng])
        if hasattr(env, "render"):
            seen += flat(env.render())
        if is_single and (result[2] or result[3]):
            seen += flat(list(env.reset()))
    return seen


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("kind", MAKERS)
def test_a_copy_goes_on_as_the_original(family, kind, how, monkeypatch):
    """Before the first reset and in mid-episode; the copy plays alone first."""
    monkeypatch.setattr(batch, "MIN_CHUNK", 1)  # so that threads are used
    env = MAKERS[kind](family)
    copied = COPIES[how](env)
    assert flat(copied.reset()) == flat(env.reset())
    played(env, 5, seed=0)
    copied = COPIES[how](env)
    assert inside(copied) is not inside(env)
    assert inside(copied).family is family
    ahead = played(copied, 30, seed=1)
    played(copied, 5, seed=2)
    assert played(env, 30, seed=1) == ahead
    assert played(env, 5, seed=3) != played(copied, 5, seed=3), "they are independent"


IN_ANOTHER_PROCESS = """
import pickle, sys
sys.path.insert(0, "tests/envs")
from test_copies import played
envs = pickle.load(open(sys.argv[1], "rb"))
pickle.dump([played(env, 20, seed=1) for env in envs], open(sys.argv[2], "wb"))
"""


def test_copies_go_on_in_another_process(tmp_path, request):
    envs = [make(FAMILIES["maze"]) for make in MAKERS.values()]
    for env in envs:
        env.reset()
        played(env, 5, seed=0)
    sent, back = tmp_path / "envs", tmp_path / "seen"
    sent.write_bytes(pickle.dumps(envs))
    code = [sys.executable, "-c", IN_ANOTHER_PROCESS, str(sent), str(back)]
    subprocess.run(code, check=True, cwd=request.config.rootpath)
    assert pickle.loads(back.read_bytes()) == [played(env, 20, seed=1) for env in envs]


def test_levels_and_distributions_can_be_sent(world):
    """Also with a reward that is not the cell's."""
    family, cell = world
    distribution = family.train_distribution(cell, 0.5)
    assert pickle.loads(pickle.dumps(distribution)) == distribution
    assert pickle.loads(pickle.dumps(family)) is family
    if cell.proxy_rewards:
        other = cell.at_specification(0.5)
        assert pickle.loads(pickle.dumps(other)).rewards == other.rewards != cell.rewards
    levels = BatchEnv.on(make_levels(family, distribution)).levels()
    again = pickle.loads(pickle.dumps(levels))
    assert again.cell == cell and again.hashes().tolist() == levels.hashes().tolist()


def make_levels(family, distribution):
    from misgen.envs.core.levels import sample_levels

    return sample_levels(family, distribution, range(3))


def test_a_family_without_a_name_says_so(family):
    from dataclasses import replace

    with pytest.raises(pickle.PicklingError, match="FAMILY in an importable module"):
        pickle.dumps(replace(family, name="other"))
