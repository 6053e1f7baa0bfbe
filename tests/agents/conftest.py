"""Fixtures of the agents' tests."""

import pytest
import torch
from tests.agents.tiny import TINY, make_env

from misgen.agents.ppo import train_ppo


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
