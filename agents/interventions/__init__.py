"""Interventions: what is changed in the training of an agent, one file each.

An intervention is a function that takes its settings by keyword and returns the hooks that it uses,
an `Intervention`. `intervention=NAME` of `misgen train` finds it in the file NAME.py here,
`intervention=module:function` in a file of the user's own, and `intervention.settings.WORD=VALUE`
sets its keywords. Importing this costs nothing; hooks import what they need.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, get_type_hints

from misgen.envs.families import choices, imported

if TYPE_CHECKING:
    from torch import Tensor

    from misgen.agents.curve import Trained
    from misgen.agents.rollout import Rollout
    from misgen.agents.settings import PPOSettings
    from misgen.envs.core.batch import BatchEnv
    from misgen.envs.core.types import Array

NAMES = tuple(sorted(module.name for module in iter_modules(__path__)))


class Played(NamedTuple):
    """What one agent did in a rollout of T steps in N environments, arrays [T, N]."""

    rewards: Array  # float32
    dones: Array  # bool: the episode ended in this step
    values: Array  # float32: the agent's estimate before the step
    advantages: Array  # float32


class LevelChooser(Protocol):
    """Chooses what the environments of one agent play, rollout by rollout."""

    def begin(self) -> bool:
        """Before a rollout: reset the environments, if need be. Returns whether it is learned
        from."""

    def end(self, played: Played) -> None:
        """Take note of a rollout."""

    def seen(self) -> dict[str, Any]:
        """What the agent has learned from so far, for the record of its training: these entries
        replace those that follow from the training distribution."""

    def get_state(self) -> list[Array]:
        """Everything the future depends on."""

    def set_state(self, saved: list[Array]) -> None:
        """Go on from there."""


class Minibatch(NamedTuple):
    """What the loss of K agents is computed from, m steps each."""

    logits: Tensor  # float32 [K, m, actions]
    values: Tensor  # float32 [K, m]
    batch: Rollout  # tensors [K, m]
    parameters: Mapping[str, Tensor]  # float32 [K, ...], by name


@dataclass(frozen=True, kw_only=True)
class Intervention:
    """The hooks of an intervention; None leaves training as it is.

    A generator that a hook is given is the agent's own: what is drawn from it is part of what its
    `train_seed` names, and goes on where a killed training was.
    """

    levels: Callable[[BatchEnv, PPOSettings, Any], LevelChooser] | None = None
    """(its environments, settings, generator) -> what chooses their levels."""

    observe: Callable[[Array, Any], Array] | None = None
    """(obs uint8 [n, *shape], generator) -> what the network sees instead, alike in shape: in
    every step of training. Evaluation shows what there is."""

    features: Callable[[Tensor, Any], Tensor] | None = None
    """(float32 [K, m, features], generator) -> what the heads of the network are given instead
    while it learns; features are a GRU's where there is one."""

    loss: Callable[[Tensor, Minibatch], Tensor] | None = None
    """(float32 [K], minibatch) -> the loss that is followed instead. On a GPU it is recorded once
    as a graph of tensor operations; what else it does is not repeated."""

    after: Callable[[Trained, Training], Trained] | None = None
    """(the trained agent, how it was trained) -> what it becomes."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How an agent was trained, for what comes after."""

    env: BatchEnv  # of which only family, distribution and modes mean anything by now
    settings: PPOSettings
    train_seed: int


NONE = Intervention()
FORMS = {bool: "true or false", float: "a number", int: "a whole number", str: "a word"}


def find_intervention(name: str) -> Callable[..., Intervention]:
    """The function of this name, or `module:function` of a file of the user's own, which is
    executed.

    Raises:
        ValueError: there is none; names the nearest.
    """
    function: Callable[..., Intervention]
    if ":" in name:
        rule = "an intervention of your own is module:function of an importable file"
        function = imported(name, rule)
        if not callable(function):
            raise ValueError(f"{name} must be a function; it is a {type(function).__name__}")
        return function
    if name not in NAMES:
        raise ValueError(
            f"the interventions are {choices(name, NAMES)}; one of your own is module:function"
        )
    function = getattr(importlib.import_module(f"{__name__}.{name}"), name)
    return function


def _check_kinds(name: str, function: Callable[..., Any], settings: Mapping[str, Any]) -> None:
    """ValueError where a value is not of the kind that the keyword declares."""
    kinds = get_type_hints(function) if inspect.isfunction(function) else {}
    for word, value in settings.items():
        kind = kinds.get(word)
        if kind not in FORMS:
            continue
        accepted: Any = (int, float) if kind is float else kind
        if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{word} of intervention {name} is {FORMS[kind]}; got {value!r}")


def make_intervention(name: str, settings: Mapping[str, Any]) -> Intervention:
    """The intervention of this name ("" = none) with these settings.

    Raises:
        ValueError: there is none, it has no such setting, refuses a value, or returns no hooks.
    """
    if not name:
        if settings:
            raise ValueError(f"settings are those of an intervention; got {dict(settings)} of none")
        return NONE
    function = find_intervention(name)
    known = inspect.signature(function).parameters
    for word in settings:
        if word not in known:
            has = f"the settings {choices(word, known)}" if known else f"no settings; got {word!r}"
            raise ValueError(f"intervention {name} has {has}")
    _check_kinds(name, function, settings)
    made = function(**settings)
    if not isinstance(made, Intervention):
        raise ValueError(
            f"an intervention returns misgen.agents.interventions.Intervention; {name} returned a "
            f"{type(made).__name__}"
        )
    return made
