"""The nouns of the testbed: frozen dataclasses without inheritance.

Rules (level sampling, step, observe) are plain scalar functions held by a `Family`; they are
compiled in compile.py. Everything that distinguishes one experiment from another is data: a `Cell`
is a family's spurious cue, its training distribution and its shift.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

ShiftType = Literal["superficial", "moderate", "significant", "extreme"]
VARIANTS = ("00", "10", "01", "11")  # first digit: cue broken (A); second: context changed (B)


class CueDraw(IntEnum):
    """How a level's cue is drawn; everything else in the level is untouched by it."""

    INTACT = 0  # tied to the goal, as in training at diversity 0
    BROKEN = 1  # independent of the goal: what a fraction d of the training levels takes
    SHIFTED = 2  # shift component A


class Autoreset(IntEnum):
    """When a slot whose episode has ended begins its next level."""

    NEVER = 0  # at `reset`; until then it stands still
    SAME_STEP = 1  # in the step in which the episode ended
    NEXT_STEP = 2  # in the step after, whose action it ignores
    SAME_LEVEL = 3  # in the step in which the episode ended, and it is the same level once more


class Split(IntEnum):
    """Which geometries are drawn."""

    TRAIN = 0
    HELD_OUT = 1  # those of evaluation
    ANY = 2


def event_bits(events: Iterable[int]) -> np.int64:
    """Bit e set for every event e."""
    return np.int64(sum(1 << event for event in set(events)))


Target = int | tuple[int, ...]  # an event, or several of which any one will do


def target_bits(target: Target) -> np.int64:
    """The events that reach a target, as bits."""
    return event_bits(target if isinstance(target, tuple) else (target,))


@dataclass(frozen=True, kw_only=True)
class Goal:
    """Something an agent can pursue, as events of the rules.

    A planner for the goal makes the events of `targets` happen one after the other, each in the
    fewest steps, without ever causing an event of `closed` and without ending the episode before,
    except by an event of `ignored`, which it does not see coming. Then it makes each event of
    `sweep` happen that has not happened yet, the nearest one first. What happened earlier in the
    episode counts. With that the goal is complete; the planner goes on to the targets of `then`
    and at last takes `afterwards` (an action; None = uniformly random actions).
    """

    name: str
    targets: tuple[Target, ...]
    sweep: tuple[int, ...] = ()
    then: tuple[Target, ...] = ()  # not together with a sweep
    closed: tuple[int, ...] = ()
    ignored: tuple[int, ...] = ()
    afterwards: int | None = None


@dataclass(frozen=True, kw_only=True)
class Cue:
    """The spurious cue of a cell: which fields of the level it sets, what it says in training.

    `draw` is a rule, (i, level, scratch, rng, params, cue_draw) -> whether both goals can be
    reached. It draws from Stream.CUE only and changes nothing but `fields`. `holds` is a rule,
    (i, level, params) -> whether the level looks as with the cue intact: of those on which it is
    drawn independently of the goal, some do by chance.
    """

    description: str
    fields: tuple[str, ...]  # fields of the family's Level
    draw: Callable[..., bool]
    holds: Callable[..., bool]


@dataclass(frozen=True, kw_only=True)
class Shift:
    """One component of a distribution shift, under the scenario name of the source."""

    scenario: str
    description: str
    params: Mapping[str, int] = field(default_factory=dict)  # replaced level parameters
    horizon_factor: int = 1  # the episode runs to this times the judged horizon T


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A family with one cue: one proxy, one training distribution, one shift (A and B).

    Its code is its identity; several cells of a family may have one shift type.
    """

    code: str  # "C2", "K3"
    shift_type: ShiftType
    cue: Cue
    intended: Goal
    proxy: Goal
    indifferent: Goal | None = None  # type 1: the nearest of the two
    rewards: Mapping[int, float]  # event -> reward, the same in training and evaluation
    proxy_rewards: Mapping[int, float] = field(default_factory=dict)  # see at_specification
    rewarded_once: tuple[int, ...] = ()  # events that earn their reward the first time only
    terminal: tuple[int, ...]  # events that end the episode
    params: NamedTuple  # the family's Params of the training distribution
    train_horizon_steps: int
    shift_a: Shift
    shift_b: Shift
    outcome: Callable[..., int]  # rule: (i, level, first, counts) -> Outcome bits; see below
    # Rule: (i, level, scratch, rng, params) -> whether the geometry is usable. Puts into it what
    # belongs to this cell and is not its cue; None: nothing does.
    place_things: Callable[..., bool] | None = None
    # Rule: (i, level) -> uint64 over all but the cue; None: made from the fields of the Level.
    geometry_hash: Callable[..., Any] | None = None
    # What B disturbs in planes: on these, each bit is toggled with this probability in a step. The
    # probability follows from d = 1 agents alone, see experiments/studies/noise.py.
    noisy_planes: tuple[str, ...] = ()
    noise_frac: float = 0.0
    matched: Mapping[str, int] = field(default_factory=dict)  # params of all four variants
    total_steps: int = 0  # of PPO, where the family's are too few; 0 = the family's
    evaluation_levels: int = 500  # quadruples an agent: so many that about 300 distinguish
    informs_type: bool = True  # its rates enter those of its shift type
    harm_informs: bool = True  # ... and so does the harm of its failures
    harm_by_construction: bool = False  # whoever fails the goal does harm
    min_pixels_per_tile: int = 1
    family: str = ""  # the module that declares its family; filled in by Family

    def __deepcopy__(self, memo: Any) -> Cell:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """By its code, and what was replaced since: generated rules have no name to be found by."""
        try:
            declared = vars(_cell_of(self.family, self.code, {}))
        except (TypeError, ValueError):  # of no family, or not of that one any more
            return _cell_of, ("", "", vars(self))
        changes = {key: now for key, now in vars(self).items() if now != declared[key]}
        return _cell_of, (self.family, self.code, changes)

    @property
    def goals(self) -> dict[str, Goal]:
        """intended, proxy and, if there is one, indifferent."""
        goals = {"intended": self.intended, "proxy": self.proxy}
        return goals if self.indifferent is None else {**goals, "indifferent": self.indifferent}

    def at_specification(self, quality: float) -> Cell:
        """This cell with the reward q intended + (1 - q) proxy.

        Both earn the same in training at diversity 0, so the attainable return does not change.

        Raises:
            ValueError: q outside [0, 1], or q < 1 where the cell declares no proxy reward.
        """
        if not 0.0 <= quality <= 1.0:
            raise ValueError(
                f"specification is the weight q in [0, 1] of the intended reward; got {quality}"
            )
        if quality == 1.0:
            return self
        if not self.proxy_rewards:
            raise ValueError(
                f"cell {self.code} declares no reward for its proxy, so specification is 1; "
                f"got {quality}; use a cell with proxy_rewards, such as C2"
            )
        events = {*self.rewards, *self.proxy_rewards}
        mixed = {
            event: quality * self.rewards.get(event, 0.0)
            + (1.0 - quality) * self.proxy_rewards.get(event, 0.0)
            for event in sorted(events)
        }
        return replace(self, rewards=mixed)

    def reward_weights(self, num_events: int) -> Array:
        """float64 [num_events]: the reward of each event."""
        weights: Array = np.zeros(num_events)
        for event, weight in self.rewards.items():
            weights[event] = weight
        return weights

    def variant_params(self, variant: str) -> NamedTuple:
        """The level parameters of one of VARIANTS."""
        if variant not in VARIANTS:
            raise ValueError(f"a variant is one of {', '.join(VARIANTS)}; got {variant!r}")
        params = self.params._replace(**self.matched)
        for digit, shift in zip(variant, (self.shift_a, self.shift_b), strict=True):
            if digit == "1":
                params = params._replace(**shift.params)
        return params

    def horizon_factor(self, variant: str) -> int:
        """How many times the judged horizon T an episode of one of VARIANTS may last."""
        shifts = zip(variant, (self.shift_a, self.shift_b), strict=True)
        return math.prod(shift.horizon_factor for digit, shift in shifts if digit == "1")


def _cell_of(module: str, code: str, changes: dict[str, Any]) -> Cell:
    from misgen.envs.families import declared_in

    return replace(declared_in(module).cell(code), **changes) if module else Cell(**changes)


class Outcome(IntEnum):
    """Bits returned by a cell's outcome rule.

    The rule sees `first[i, event]` (step of the event's first occurrence, counted from 1; NEVER if
    none) and `counts[i, event]`, both restricted to the judged horizon T.
    """

    CAPABLE = 1  # C: pursued one of the two goals to its end
    GOAL_FAILURE = 2  # G: it was the proxy (meaningful given C)
    SUCCESS = 4  # the intended goal is complete


NEVER = 2**30  # step number of an event that did not happen


@dataclass(frozen=True, kw_only=True)
class LevelDistribution:
    """A sampler with its parameters: what levels a stream of environments is reset to."""

    cell: Cell
    params: NamedTuple
    cue: CueDraw = CueDraw.INTACT
    diversity: float = 0.0  # probability that a level takes the broken draw instead of `cue`
    split: Literal["train", "held_out", "any"] = "train"
    horizon_steps: int = 0  # time limit of an episode
    num_levels: int = 0  # size of a finite level set; 0 = unlimited

    def __post_init__(self) -> None:
        if not 0.0 <= self.diversity <= 1.0:
            raise ValueError(
                f"diversity is a probability in [0, 1]; got {self.diversity}; "
                "0 never breaks the cue, 1 always draws it independently of the goal"
            )
        if self.split not in ("train", "held_out", "any"):
            raise ValueError(f"a split is train, held_out or any; got {self.split!r}")
        # Enum members among the parameters would make every kernel call 250 us slower.
        object.__setattr__(self, "params", self.params._make(map(int, self.params)))
        if self.num_levels < 0:
            raise ValueError(f"num_levels is 0 (unlimited) or positive; got {self.num_levels}")

    def held_out(self) -> LevelDistribution:
        """The same levels, from geometries that training never draws."""
        return replace(self, split="held_out", num_levels=0)


class StepResult(NamedTuple):
    """What one step of n environments yields.

    An environment that ended is reset within the same step: its row of `obs` belongs to the next
    episode and its row of `final_obs` is the last observation of the one that ended; the other
    rows of `final_obs` are stale.
    """

    obs: Array  # uint8 [n, *observation_shape]
    reward: Array  # float32 [n]
    terminated: Array  # bool [n]
    truncated: Array  # bool [n]
    events: Array  # uint32 [n], bit e = event e happened in this step
    final_obs: Array  # uint8 [n, *observation_shape]
