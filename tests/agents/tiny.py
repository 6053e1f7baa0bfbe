"""A small cell to learn in, a tiny training budget, and what is built from them."""

import numpy as np

from misgen.agents.settings import PPOSettings
from misgen.agents.vec_env import BatchVecEnv
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.levels import sample_levels
from misgen.envs.families import FAMILIES

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


def network_policy(weights, mode="planes"):
    """The agent of these weights, whose network has the sizes of TINY."""
    from misgen.agents.networks import architecture_for
    from misgen.agents.policy import NetworkPolicy
    from misgen.agents.stacked import Stack

    return NetworkPolicy(Stack(architecture_for(TINY, make_env(mode=mode)), [weights]))


def held_out_levels(n, first_seed=10**9, diversity=0.5):
    distribution = FAMILY.train_distribution(K3, diversity).held_out()
    return sample_levels(FAMILY, distribution, first_seed + np.arange(n))
