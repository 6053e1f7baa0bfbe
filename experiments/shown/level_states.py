"""All states of a level and where the agent is in each: what is on which square, how to get there,
and what planners and agents do there.

Their values and moves are those of the S squares of `LevelStates.squares`, right after a shortest
way there: a value, float64 [S], NaN where there is none, and the rows and columns by which the
agent moves on the mean in one step, float64 [S, 2].
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cached_property

import numpy as np

from misgen.agents.policy import NetworkPolicy
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.levels import Levels
from misgen.envs.core.planner import UNREACHABLE
from misgen.envs.core.plans import GOALS, solve_states
from misgen.envs.core.pursuits import remember
from misgen.envs.core.types import Array, Goal
from misgen.experiments.shown.plays import Place, agent_place, no_pictures

DONE = -1  # in place of a planner's next target
Arrival = tuple[Place, Place]  # where the agent was before a step and where it is after


class LevelStates:
    """The N states of the one level of a batch; S of them are squares.

    Attributes:
        places: of the agent in each; None where it is out of sight.
        board: the level at its start, bit per plane.

    Raises:
        ValueError: the family does not paint whole levels; the level has too many states.
    """

    def __init__(self, levels: Levels) -> None:
        family = levels.family
        if family.paint is None:
            raise ValueError(no_pictures(family))
        self.levels, self.solved = levels, solve_states(levels)
        self.places: list[Place | None] = []
        state = family.empty_state(1)
        with np.errstate(over="ignore"):
            family.reset(0, levels.level, state)
            self.board: Array = family.paint(0, levels.level, state)
            for key in self.solved.key:
                family.restore(0, levels.level, state, key)
                self.places.append(agent_place(family, family.paint(0, levels.level, state)))

    @cached_property
    def _origin(self) -> tuple[Array, Array]:
        """int64 [N]: the state before each and the action that leads there, on a shortest way from
        the start; -1 for the start."""
        flat = self.solved.successor.ravel()
        reached, first = np.unique(flat, return_index=True)
        before, action = np.full((2, len(self.places)), -1)
        known = reached > 0
        before[reached[known]], action[reached[known]] = np.divmod(
            first[known], self.solved.successor.shape[1]
        )
        return before, action

    def way(self, state: int) -> list[int]:
        """The actions of a shortest way from the start to a state."""
        before, action = self._origin
        taken = []
        while before[state] >= 0:
            taken.append(int(action[state]))
            state = before[state]
        return taken[::-1]

    @cached_property
    def is_played(self) -> Array:
        """bool [N]: which states there are before an episode ends."""
        goes_on = self.solved.events & np.uint32(self.solved.pursuits.terminal) == 0
        onward = np.where(goes_on, self.solved.successor, -1)
        played = np.zeros(len(self.places), np.bool_)
        frontier = np.zeros(1, np.int64)
        while len(frontier):
            played[frontier] = True
            reached = np.unique(onward[frontier])
            frontier = reached[(reached >= 0) & ~played[reached]]
        return played

    @cached_property
    def squares(self) -> dict[Place, int]:
        """Each square that is reached before the episode ends -> the first state there."""
        first: dict[Place, int] = {}
        for state in np.flatnonzero(self.is_played).tolist():
            if (place := self.places[state]) is not None:
                first.setdefault(place, state)
        return first

    def arrivals(self, event: int) -> list[Arrival]:
        """The steps of episodes in which an event happens."""
        happens = self.solved.events >> np.uint32(event) & 1 == 1
        found, places = np.argwhere(happens & self.is_played[:, None]), self.places
        steps = ((places[node], self.solved.successor[node, a]) for node, a in found.tolist())
        return [
            (before, after)
            for before, to in steps
            if to >= 0 and before is not None and (after := places[to]) is not None
        ]

    def squares_of(self, event: int) -> list[Place]:
        """The squares of an event: where it is for who stays there, all of those; else few ones
        such that each step in which it happens passes one, so that a coin that is taken in
        mid-jump is where it lies."""
        arrivals = self.arrivals(event)
        if any(before == after for before, after in arrivals):
            inside = {after for _, after in arrivals}
            within = (step for step in arrivals if step[0] in inside)
            return sorted(inside.union(*(_between(*step) for step in within)))
        return hitting(arrivals)


def hitting(arrivals: Iterable[Arrival]) -> list[Place]:
    """Few squares such that each step passes one; where several do, the one that is entered."""
    left = Counter(arrivals)
    chosen: list[Place] = []
    while left:
        covered: dict[Place, list[int]] = defaultdict(lambda: [0, 0])
        for step, times in left.items():
            for square in _between(*step):
                covered[square][0] += times
                covered[square][1] += times * (square == step[1])
        best = max(covered, key=lambda square: (*covered[square], square))
        chosen.append(best)
        left = Counter({step: n for step, n in left.items() if best not in _between(*step)})
    return chosen


def _between(before: Place, after: Place) -> set[Place]:
    """The squares of the smallest rectangle with both."""
    rows, cols = (sorted(pair) for pair in zip(before, after, strict=True))
    return {
        (row, col) for row in range(rows[0], rows[1] + 1) for col in range(cols[0], cols[1] + 1)
    }


def marks(states: LevelStates) -> dict[str, list[Place]]:
    """The squares of both goals of a level, and those that cost reward."""
    cell = states.levels.cell
    costs = tuple(event for event, reward in cell.rewards.items() if reward < 0)
    wanted = {name: _last_events(cell.goals[name]) for name in GOALS} | {"cost": costs}
    return {
        name: sorted({square for event in events for square in states.squares_of(event)})
        for name, events in wanted.items()
        if events
    }


def _last_events(goal: Goal) -> tuple[int, ...]:
    """The events with which a goal is complete."""
    last = goal.targets[-1]
    return (*(last if isinstance(last, tuple) else (last,)), *goal.sweep)


# --- What is done there ---------------------------------------------------------------------------


def planner_values(on: LevelStates, goal: str) -> tuple[Array, Array]:
    """Minus the steps to the planner's next target, and its shortest ways. Where it
    completes its goal: 0, and no way."""
    solved, g, states = on.solved, GOALS.index(goal), [*on.squares.values()]
    numbers = np.array([_next_target(on, state, g) for state in states])
    is_complete = numbers == DONE
    steps = solved.plan.distance[g, numbers, states].astype(float)
    steps[is_complete] = 0
    best = np.where(is_complete, 0, solved.plan.best[g, numbers, states])
    allowed = best[:, None] >> np.arange(solved.successor.shape[1]) & 1
    chances = allowed / np.maximum(allowed.sum(1), 1)[:, None]
    return np.where(steps == UNREACHABLE, np.nan, -steps), _moves(on, chances)


def _next_target(on: LevelStates, square: int, goal: int) -> int:
    """The first target of a goal that the way to the state of a square did not reach; the last one
    where all were reached, or DONE if its last step did that."""
    pursuits, solved = on.solved.pursuits, on.solved
    memory, state, events = 0, 0, 0
    for action in on.way(square):
        events = int(solved.events[state, action])
        memory = remember(pursuits, goal, memory, events)
        state = solved.successor[state, action]
    targets = int(pursuits.num_targets[goal])
    missing = next((number for number in range(targets) if not memory >> number & 1), targets)
    is_here = events & int(pursuits.target[goal, targets - 1])
    return min(missing, targets - 1) if missing < targets or not is_here else DONE


def agent_values(on: LevelStates, policy: NetworkPolicy, mode: str) -> tuple[Array, Array]:
    """The agent's own estimate of the reward to come, which clones do not learn, and what its
    policy does. mode: of its observations."""
    logits, value = _outputs(on, policy, mode)
    estimate = np.full(len(value), np.nan) if policy.name == "cloning" else value.astype(float)
    return estimate, _moves(on, np.exp(logits))


def _outputs(on: LevelStates, policy: NetworkPolicy, mode: str) -> tuple[Array, Array]:
    """Of the agent's network on each square, after the way there."""
    ways = [on.way(state) for state in on.squares.values()]
    longest = max(map(len, ways))
    levels = on.levels.take(np.zeros(len(ways), int))
    env = BatchEnv.on(levels, longest + 1, observation_mode=mode)
    logits, value, memory = policy.outputs(env.buffers.obs)
    for step in range(longest):
        env.step(np.array([way[step] if step < len(way) else 0 for way in ways]))
        *newest, memory = policy.outputs(env.buffers.obs, memory)
        there = [len(way) == step + 1 for way in ways]
        logits[there], value[there] = (each[there] for each in newest)
    return logits, value


def _moves(on: LevelStates, chances: Array) -> Array:
    """Rows and columns by which actions with these probabilities [S, actions] move the agent."""
    places = np.array([p or (-1, -1) for p in on.places])
    to = on.solved.successor[[*on.squares.values()]]
    here = np.array([*on.squares])[:, None]
    moved = np.where((to >= 0)[..., None] & (places[to] >= 0), places[to] - here, 0)
    mean: Array = (chances[..., None] * moved).sum(axis=1)
    return mean
