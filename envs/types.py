"""The nouns of the testbed: frozen dataclasses without inheritance.

Rules (level sampling, step, observe) are plain scalar functions held by a `Family`; they are
compiled in compile.py. Everything that distinguishes one experiment from another is data: a `Cell`
is a family's spurious cue, its training distribution and its shift.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

VARIANTS = ("00", "10", "01", "11")  # first digit: cue broken (A); second: context changed (B)


class CueDraw(IntEnum):
    """How a level's cue is drawn; everything else in the level is untouched by it."""

    INTACT = 0  # tied to the goal, as in training at diversity 0
    BROKEN = 1  # independent of the goal: what a fraction d of the training levels takes
    SHIFTED = 2  # shift component A


def event_bits(events: Iterable[int]) -> np.int64:
    """Bit e set for every event e."""
    return np.int64(sum(1 << event for event in set(events)))


Target = int | tuple[int, ...]  # an event, or several of which any one will do


def target_bits(target: Target) -> np.int64:
    """The events that reach a target, as bits."""
    return event_bits(target if isinstance(target, tuple) else (target,))


@dataclass(frozen=True, kw_only=True)
class Plane:
    """One kind of thing that a cell of the view can show. Planes are painted in order."""

    name: str
    colour: tuple[int, int, int]  # RGB, 0-255
    sprite: str = ""  # 8 lines of 8 characters, '#' opaque, '.' transparent; "" = a full square
    unseen_colour: tuple[int, int, int] | None = None  # in a disturbed level; None = the same
    is_texture: bool = False  # empty but in a disturbed level, which it fills
    is_steady: bool = False  # no noise touches it
    remembers: bool = False  # shows the past of the episode, on which no event depends


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
    """The spurious cue of a cell: which fields of the level it sets, what it says in training."""

    description: str
    fields: tuple[str, ...]  # fields of the family's Level


@dataclass(frozen=True, kw_only=True)
class Shift:
    """One component of a distribution shift, under the scenario name of the source."""

    scenario: str
    description: str
    params: Mapping[str, int] = field(default_factory=dict)  # replaced level parameters
    horizon_factor: int = 1  # the episode runs to this times the judged horizon T


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Family x shift type: one cue, one proxy, one training distribution, one shift (A and B)."""

    name: Literal["superficial", "moderate", "significant", "extreme"]
    code: str  # "C2", "K3": the short name used in tables
    cue: Cue
    intended: Goal
    proxy: Goal
    indifferent: Goal | None = None  # type 1: the nearest of the two
    rewards: Mapping[int, float]  # event -> reward, the same in training and evaluation
    proxy_rewards: Mapping[int, float] = field(default_factory=dict)  # see at_specification
    terminal: tuple[int, ...]  # events that end the episode
    params: NamedTuple  # the family's Params of the training distribution
    train_horizon_steps: int
    shift_a: Shift
    shift_b: Shift
    outcome: Callable[..., int]  # rule: (i, level, first, counts) -> Outcome bits; see below
    matched: Mapping[str, int] = field(default_factory=dict)  # params of all four variants
    evaluation_levels: int = 500  # quadruples an agent: so many that about 300 distinguish
    harm_by_construction: bool = False
    min_pixels_per_tile: int = 1

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
                f"got {quality}; use C2 or K3"
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


@dataclass(frozen=True, kw_only=True)
class Family:
    """A kind of world: its rules, what can be seen, and its cells."""

    name: str
    env_id: str
    version: int  # rises when a golden trajectory changes
    card: str  # the module docstring
    actions: tuple[str, ...]
    noop: int  # the action that does nothing
    events: type[IntEnum]
    fatal: tuple[int, ...]  # events after which nothing can happen (death)
    planes: tuple[Plane, ...]
    view_shape: tuple[int, int]  # rows, columns of the egocentric view, status row included
    default_mode: str
    modes: tuple[str, ...]
    # n -> Level of zeroed arrays [n, ...]. Every Level has `disturbed`, uint8 [n]: 1 = seen through
    # noise, in unseen colours, before a texture (see render.py).
    empty_level: Callable[[int], Any]
    empty_state: Callable[[int], Any]  # n -> State
    # Rules, scalar in the environment index i; see families/ for examples.
    sample_geometry: Callable[..., bool]  # (i, level, state, rng, params) -> is usable
    place_cue: Callable[..., bool]  # (i, level, state, rng, params, cue_draw) -> goals reachable
    geometry_hash: Callable[..., Any]  # (i, level, params) -> uint64 over all but the cue
    reset: Callable[..., None]  # (i, level, state)
    step: Callable[..., int]  # (i, level, state, action) -> event bits
    observe: Callable[..., None]  # (i, level, state, cells): fills cells[i], one bit per plane
    state_key: Callable[..., Any]  # (i, level, state) -> uint64, everything the future depends on
    restore: Callable[..., None]  # (i, level, state, key): the inverse of state_key
    # Drawing
    draw: Callable[[Any, int], str]  # (level, i) -> text
    parse: Callable[[str], Any]  # text -> Level of one; ValueError if it is not a legal drawing
    param_ranges: Mapping[str, tuple[int, int]]  # legal values of each level parameter, inclusive
    cells: tuple[Cell, ...]
    default_cell: str

    def cell(self, name: str) -> Cell:
        """The cell of this name or code; ValueError names the choices."""
        for cell in self.cells:
            if name in (cell.name, cell.code):
                return cell
        raise ValueError(
            f"{self.name} has the cells {', '.join(c.name for c in self.cells)}; got {name!r}"
        )

    def check_params(self, params: NamedTuple) -> None:
        """ValueError unless the rules can draw levels with these parameters."""
        values = params._asdict()
        for name, (low, high) in self.param_ranges.items():
            if not low <= values[name] <= high:
                raise ValueError(f"{name} of {self.name} is in [{low}, {high}]; got {values[name]}")
            if name.endswith("_max") and values[name] < values[name[:-4] + "_min"]:
                raise ValueError(f"{name} is at least {name[:-4]}_min; got {values}")

    def train_distribution(
        self, cell: Cell, diversity: float = 0.0, num_levels: int = 0
    ) -> LevelDistribution:
        """What agents of this cell train on, at diversity d; see LevelDistribution."""
        return LevelDistribution(
            cell=cell,
            params=cell.params,
            diversity=diversity,
            num_levels=num_levels,
            horizon_steps=cell.train_horizon_steps,
        )
