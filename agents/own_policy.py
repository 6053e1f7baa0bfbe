"""A policy of the user's own, named module:function. Its code is executed."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from misgen.agents.policy import Policy, choose
from misgen.envs.core.types import Array


def own_policy(name: str) -> Policy:
    """What the function that `name` names returns, as a Policy.

    Raises:
        ValueError: see `find_function`; it returns something else than a policy.
    """
    made = find_function(name)()
    if hasattr(made, "act") and hasattr(made, "start"):
        policy: Policy = made
        return policy
    if hasattr(made, "predict"):
        return _Predicting(made)
    raise ValueError(
        "a policy has start(env) and act(obs, state, noise) (see misgen.agents.policy.Policy) or "
        f"Stable-Baselines3's predict(obs); {name} returned {type(made).__name__}"
    )


def find_function(name: str) -> Callable[[], Any]:
    """The function `module:function`, imported.

    Raises:
        ValueError: there is none.
    """
    module, _, function = name.partition(":")
    if not module or not function:
        raise ValueError(f"a policy of your own is named module:function; got {name!r}")
    try:
        found: Callable[[], Any] = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"the policy {name} cannot be imported: {error}") from error
    if not hasattr(found, "__code__"):
        raise ValueError(f"the policy {name} must name a function that returns a policy")
    return found


class _Predicting:
    """An object with Stable-Baselines3's `predict`, as a Policy. It samples with its own noise."""

    name = "policy"

    def __init__(self, model: Any) -> None:
        self.model = model

    def start(self, env: Any) -> None:
        return None

    def act(self, obs: Array, state: Any, noise: Array) -> tuple[Array, Any, Array]:
        actions, state = self.model.predict(obs, state=state, deterministic=False)
        logits = np.full_like(noise, -np.inf)
        logits[np.arange(len(noise)), np.asarray(actions)] = 0.0
        return choose(logits, noise), state, logits
