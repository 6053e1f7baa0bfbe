"""Who acts: networks, planners and the simple controls, behind one protocol."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.family import Family
from misgen.envs.core.plans import Plans
from misgen.envs.core.types import Array

if TYPE_CHECKING:  # planners and controls play without torch, whose import takes seconds
    from misgen.agents.stacked import Stack

FORWARD_BATCH = 512  # rows of one forward pass: activations of pictures should fit the cache


class Policy(Protocol):
    """Acts in all slots of a batch at once.

    `name` is written to records. `start` is called after the batch was reset. The noise is the
    caller's: float32 [n, num_actions], standard Gumbel, so that argmax(logits + noise) samples
    from softmax(logits).
    """

    @property
    def name(self) -> str: ...

    def start(self, env: BatchEnv) -> Any:
        """The state to hand to the first `act`."""

    def act(self, obs: Array, state: Any, noise: Array) -> tuple[Array, Any, Array]:
        """Actions int64 [n], the next state, logits float32 [n, num_actions].

        Rows of slots whose episode has ended mean nothing.
        """


def choose(logits: Array, noise: Array) -> Array:
    """int64 [n]: one draw from each row's softmax."""
    return np.argmax(logits + noise, axis=1)


class NetworkPolicy:
    """The network of one agent, without gradients. Slots that have ended are not computed."""

    def __init__(self, stack: Stack, name: str = "ppo") -> None:
        self.stack, self.name = stack, name

    def start(self, env: BatchEnv) -> tuple[BatchEnv, Array]:
        return env, self.no_memory(env.num_envs)

    def no_memory(self, n: int) -> Array:
        """float32 [n, units of the GRU]: what the network remembers at the start of n episodes."""
        return np.zeros((n, self.stack.architecture.network.gru_dim), np.float32)

    def act(self, obs: Array, state: Any, noise: Array) -> tuple[Array, Any, Array]:
        """`state` is the batch and what is remembered of its episodes, or None to compute every row
        as the first of an episode."""
        if state is None:
            logits = self.logits(obs)
            return choose(logits, noise), None, logits
        env, memory = state
        playing = np.flatnonzero(~env.episode.done)
        logits, after = np.zeros_like(noise), memory.copy()
        logits[playing], _, after[playing] = self.outputs(obs[playing], memory[playing])
        return choose(logits, noise), (env, after), logits

    def logits(self, obs: Array) -> Array:
        """float32 [n, num_actions]: log-probabilities. obs: uint8, as the environment shows it."""
        return self.outputs(obs)[0]

    def outputs(self, obs: Array, memory: Array | None = None) -> tuple[Array, Array, Array]:
        """The same, float32 [n]: the estimate of the discounted return to come, and [n, units]:
        what is remembered then. memory: what was before; None: nothing."""
        from misgen.agents.memory import computed

        logits = np.zeros((len(obs), self.stack.architecture.num_actions), np.float32)
        values = np.zeros(len(obs), np.float32)
        memory = self.no_memory(len(obs)) if memory is None else memory.copy()
        for lo in range(0, len(obs), FORWARD_BATCH):
            part = slice(lo, lo + FORWARD_BATCH)
            own_logits, own_values, state = computed(self.stack, [obs[part]], memory[None, part])
            logits[part] = own_logits[0].log_softmax(-1).cpu().numpy()
            values[part], memory[part] = own_values[0].cpu().numpy(), state[0].cpu().numpy()
        return logits, values, memory


class PlannerPolicy:
    """Optimal play towards a goal, ties broken uniformly.

    Args:
        plans: `misgen.envs.solve(levels)` of levels among which are those that are played.
        goal: "intended", "proxy" or, where the cell has it, "indifferent".
        epsilon: probability of a uniformly random action.
    """

    def __init__(self, plans: Plans, goal: str, epsilon: float = 0.0) -> None:
        goals = plans.levels.cell.goals
        if goal not in goals:
            raise ValueError(f"a planner's goal is {' or '.join(goals)}; got {goal!r}")
        if not 0.0 <= epsilon <= 1.0:
            raise ValueError(f"epsilon is a probability in [0, 1]; got {epsilon}")
        self.plans, self.goal, self.epsilon = plans, goal, epsilon
        self.name = f"noisy_{goal}" if epsilon else f"planner_{goal}"

    def start(self, env: BatchEnv) -> BatchEnv:
        return env

    def act(self, obs: Array, state: Any, noise: Array) -> tuple[Array, Any, Array]:
        mask = self.plans.action_mask(state, self.goal)
        best = mask / np.maximum(mask.sum(axis=1, keepdims=True), 1)
        with np.errstate(divide="ignore"):
            logits = np.log((1 - self.epsilon) * best + self.epsilon / mask.shape[1])
        logits = logits.astype(np.float32)
        return choose(logits, noise), state, logits


class RandomPolicy:
    """Uniformly random actions."""

    name = "random"

    def start(self, env: BatchEnv) -> None:
        return None

    def act(self, obs: Array, state: Any, noise: Array) -> tuple[Array, Any, Array]:
        logits = np.zeros_like(noise)
        return choose(logits, noise), state, logits


class ConstantPolicy:
    """The same action always."""

    def __init__(self, action: int, name: str = "") -> None:
        self.action, self.name = action, name or f"constant_{action}"

    def start(self, env: BatchEnv) -> None:
        if not 0 <= self.action < len(env.family.actions):
            raise ValueError(
                f"{env.family.name} has the actions 0-{len(env.family.actions) - 1} "
                f"({', '.join(env.family.actions)}); got {self.action}"
            )

    def act(self, obs: Array, state: Any, noise: Array) -> tuple[Array, Any, Array]:
        logits = np.full_like(noise, -np.inf)
        logits[:, self.action] = 0.0
        return choose(logits, noise), state, logits


def noop_policy(family: Family) -> ConstantPolicy:
    """Does nothing."""
    return ConstantPolicy(family.noop, name="noop")


# A policy of the user's own, named module:function, whose code is executed


def own_policy(name: str) -> Policy:
    """What the function that `name` names returns, as a Policy.

    Raises:
        ValueError: see `find_function`; it returns something else than a policy.
    """
    made = find_function(name)()
    if hasattr(made, "act") and hasattr(made, "start"):
        return made
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
