"""Fixtures of the agents' tests. What is large is imported where it is used: the process that hands
tests out to others reads this file as well."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """As in a job; results depend on it in the last bit."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def trained():
    """An agent after a tiny budget: it is neither uniform nor any good."""
    from tests.agents.tiny import TINY, make_env

    from misgen.agents.ppo import train_ppo

    return train_ppo(make_env(diversity=0.5), TINY, train_seed=5).agent
