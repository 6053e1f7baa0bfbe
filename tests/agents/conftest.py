"""A small family to learn in, and what is built from it."""

import numpy as np
import pytest
import torch

from agents.ppo import PPOSettings, train_ppo
from agents.vec_env import BatchVecEnv
from envs.batch import BatchEnv
from envs.families import FAMILIES
from envs.levels import sample_levels

FAMILY = FAMILIES["keys_and_chests"]
K3 = FAMILY.cell("K3")

TINY = PPOSettings(
    total_steps=1024, num_envs=16, num_steps=32, batch_size=256, num_epochs=2, gamma=0.97
)


def make_env(num_envs=16, *, mode="planes", diversity=0.0, seed=0):
    distribution = FAMILY.train_distribution(K3, diversity)
    return BatchEnv(FAMILY, distribution, num_envs, train_seed=seed, observation_mode=mode)


def make_vec_env(num_envs=16, **kwargs):
    return BatchVecEnv(make_env(num_envs, **kwargs))


def held_out_levels(n, first_seed=10**9, diversity=0.5):
    distribution = FAMILY.train_distribution(K3, diversity).held_out()
    return sample_levels(FAMILY, distribution, first_seed + np.arange(n))


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """As in a job; results depend on it in the last bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def trained():
    """A model after a tiny budget: its policy is neither uniform nor any good."""
    return train_ppo(make_env(diversity=0.5), TINY, train_seed=5).model
