"""Exact planners: every goal of a cell, on every state that can be reached from a level's start.

The search runs on a family's own compiled `step`: states are found breadth first through
`state_key` and `restore`, distances backwards from the transitions that make a goal's event
happen. A planner knows the whole state, takes the fewest expected steps (rules are deterministic,
so: the fewest steps) and breaks ties uniformly.

A level *distinguishes* when its planners would be told apart: see `is_distinguishing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from envs.batch import BatchEnv, clear_events, count_events, reward_of
from envs.compile import hole, kernel
from envs.levels import Levels
from envs.random import Stream, empty_rng, mix, randint, seed_rng
from envs.types import NEVER, Array, Cell, Goal, event_bits

GOALS = ("intended", "proxy")
MAX_NODES = 2**17
MAX_STAGES = 3  # of a plan: one more than a goal has targets at most
REPLICAS = 200  # tie-broken plays by which the outcome probabilities of a planner are estimated
UNREACHABLE = 2**15 - 1

family_reset = hole("family_reset")
family_step = hole("family_step")
family_state_key = hole("family_state_key")
family_restore = hole("family_restore")
cell_outcome = hole("cell_outcome")
NUM_ACTIONS = 0


class Graph(NamedTuple):
    """States reachable from the start of one level; node 0 is the start."""

    key: Array  # uint64 [N], state key of a node
    successor: Array  # int32 [N, actions], node; -1 where the agent died
    events: Array  # uint32 [N, actions], bits of the transition
    slot: Array  # int32 [N], the node's place in the table
    table: Array  # int32 [power of two], 1 + node, open addressing
    first_edge: Array  # int32 [N + 1], edges into node v are edge[first_edge[v] : ...]
    edge: Array  # int32 [N * actions], node * actions + action
    queue: Array  # int32 [N], scratch


class Plan(NamedTuple):
    """What each goal's planner does at each node in each of its stages, [goals, stages, N].

    The stage after a goal's last one, with a fixed action, has values only.
    """

    distance: Array  # int16, steps to the stage's event; UNREACHABLE
    best: Array  # uint8, bit a = action a is optimal
    length: Array  # float32, expected steps until the goal is complete or the episode ends
    value: Array  # float32, expected return of the planner from here to the episode's end


class Wishes(NamedTuple):
    """The goals of a cell as numbers; bits are of events."""

    num_stages: Array  # int64 [goals]
    target: Array  # int64 [goals, stages]
    avoided: Array  # int64 [goals]: closed to it, or the episode would end
    afterwards: Array  # int64 [goals], action after the last stage; -1 = any
    terminal: np.int64  # events that end the episode
    rewards: Array  # float64 [events]


def find_node(graph, key, count):
    """The node with this key, made if it is new; returns (node, count)."""
    mask = graph.table.shape[0] - 1
    at = np.int64((key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)) & mask
    while graph.table[at] != 0:
        node = int(graph.table[at]) - 1
        if graph.key[node] == key:
            return node, count
        at = (at + 1) & mask
    if count == graph.key.shape[0]:
        return -1, count + 1
    graph.table[at] = count + 1
    graph.slot[count] = at
    graph.key[count] = key
    return count, count + 1


def explore(i, level, state, graph, fatal):
    """Find all states of level i; returns their number, or more than fit."""
    family_reset(i, level, state)
    _, count = find_node(graph, family_state_key(i, level, state), 0)
    node = 0
    while node < count and count <= graph.key.shape[0]:
        for action in range(NUM_ACTIONS):
            family_restore(i, level, state, graph.key[node])
            events = family_step(i, level, state, action)
            graph.events[node, action] = events
            graph.successor[node, action] = -1
            if events & fatal == 0:
                to, count = find_node(graph, family_state_key(i, level, state), count)
                graph.successor[node, action] = to
        node += 1
    for k in range(min(count, graph.key.shape[0])):
        graph.table[graph.slot[k]] = 0
    return count


def index_edges(graph, count):
    """List the edges into every node."""
    for node in range(count + 1):
        graph.first_edge[node] = 0
    for node in range(count):
        for action in range(NUM_ACTIONS):
            to = graph.successor[node, action]
            if to >= 0:
                graph.first_edge[to + 1] += 1
    for node in range(count):
        graph.first_edge[node + 1] += graph.first_edge[node]
        graph.queue[node] = graph.first_edge[node]
    for node in range(count):
        for action in range(NUM_ACTIONS):
            to = graph.successor[node, action]
            if to >= 0:
                graph.edge[graph.queue[to]] = node * NUM_ACTIONS + action
                graph.queue[to] += 1


def plan_stage(graph, plan, wishes, count, goal, stage):
    """Distances, best actions, expected length and value of one stage of one goal."""
    target, avoided = wishes.target[goal, stage], wishes.avoided[goal] & ~wishes.target[goal, stage]
    tail = 0
    for node in range(count):
        plan.distance[goal, stage, node] = UNREACHABLE
        plan.best[goal, stage, node] = 0
        plan.length[goal, stage, node] = 0.0
        plan.value[goal, stage, node] = 0.0
        for action in range(NUM_ACTIONS):
            events = np.int64(graph.events[node, action])
            if events & target and events & avoided == 0:
                plan.best[goal, stage, node] |= 1 << action
        if plan.best[goal, stage, node]:
            plan.distance[goal, stage, node] = 1
            graph.queue[tail] = node
            tail += 1
    head = 0
    while head < tail:
        to = graph.queue[head]
        head += 1
        for k in range(graph.first_edge[to], graph.first_edge[to + 1]):
            node, action = graph.edge[k] // NUM_ACTIONS, graph.edge[k] % NUM_ACTIONS
            if np.int64(graph.events[node, action]) & avoided:
                continue
            further = plan.distance[goal, stage, to] + 1
            if plan.distance[goal, stage, node] == UNREACHABLE:
                plan.distance[goal, stage, node] = further
                graph.queue[tail] = node
                tail += 1
            if plan.distance[goal, stage, node] == further:
                plan.best[goal, stage, node] |= 1 << action
    for k in range(tail):
        expect(graph, plan, wishes, goal, stage, graph.queue[k])


def expect(graph, plan, wishes, goal, stage, node):
    """Expected length and value at a node whose better neighbours are known."""
    length, value, ties = 0.0, 0.0, 0
    for action in range(NUM_ACTIONS):
        if (plan.best[goal, stage, node] >> action) & 1 == 0:
            continue
        ties += 1
        length += 1.0
        events = np.int64(graph.events[node, action])
        to = graph.successor[node, action]
        value += reward_of(wishes.rewards, events)
        if events & wishes.terminal:
            continue
        if events & wishes.target[goal, stage] == 0:
            length += plan.length[goal, stage, to]
            value += plan.value[goal, stage, to]
        else:
            value += plan.value[goal, stage + 1, to]
    plan.length[goal, stage, node] = length / ties
    plan.value[goal, stage, node] = value / ties


def value_afterwards(graph, plan, wishes, count, goal):
    """Value of every node to a planner whose goal is complete: what its `afterwards` still earns,
    0 from the first repeated state on and where it acts at random."""
    stage, action = wishes.num_stages[goal], wishes.afterwards[goal]
    for node in range(count):
        plan.value[goal, stage, node] = 0.0
        plan.best[goal, stage, node] = 0  # here: 1 = its value is known or being found
    if action < 0:
        return
    for start in range(count):
        node, depth = start, 0
        while node >= 0 and plan.best[goal, stage, node] == 0:
            plan.best[goal, stage, node] = 1
            graph.queue[depth] = node
            depth += 1
            is_end = np.int64(graph.events[node, action]) & wishes.terminal
            node = -1 if is_end else graph.successor[node, action]
        value = plan.value[goal, stage, node] if node >= 0 else 0.0
        for k in range(depth):
            node = graph.queue[depth - 1 - k]
            value += reward_of(wishes.rewards, np.int64(graph.events[node, action]))
            plan.value[goal, stage, node] = value
    for node in range(count):
        plan.best[goal, stage, node] = 0


def solve_kernel(i, level, state, graph, plan, wishes, fatal):
    """Plan all goals of level i; returns the number of states."""
    count = explore(i, level, state, graph, fatal)
    if count > graph.key.shape[0]:
        return count
    index_edges(graph, count)
    for goal in range(wishes.num_stages.shape[0]):
        value_afterwards(graph, plan, wishes, count, goal)
        for back in range(wishes.num_stages[goal]):
            stage = wishes.num_stages[goal] - 1 - back
            plan_stage(graph, plan, wishes, count, goal, stage)
    return count


def choose(rng, best, afterwards, epsilon):
    """An action: uniform with probability epsilon, else uniform among the best ones."""
    if epsilon > 0.0:
        if randint(0, rng, Stream.DYNAMICS, 1 << 30) < epsilon * (1 << 30):
            return randint(0, rng, Stream.DYNAMICS, NUM_ACTIONS)
    if best == 0:
        return randint(0, rng, Stream.DYNAMICS, NUM_ACTIONS) if afterwards < 0 else afterwards
    ties = 0
    for action in range(NUM_ACTIONS):
        ties += (best >> action) & 1
    pick = randint(0, rng, Stream.DYNAMICS, ties)
    for action in range(NUM_ACTIONS):
        if (best >> action) & 1:
            if pick == 0:
                return action
            pick -= 1
    return 0


def play_kernel(
    i, level, graph, plan, wishes, goal, epsilon, judged, replicas, seed, rng, first, counts
):
    """Play a planner on the graph of level i for `judged` steps, `replicas` times.

    Returns how often it was capable, failed its goal while capable, and succeeded.
    """
    capable, failed, success = 0, 0, 0
    seed_rng(0, rng, seed)
    for _ in range(replicas):
        clear_events(i, first, counts)
        node, stage = 0, 0
        for step in range(1, judged + 1):
            done = stage == wishes.num_stages[goal]
            best = 0 if done else int(plan.best[goal, stage, node])
            afterwards = wishes.afterwards[goal] if done else -1
            action = choose(rng, best, afterwards, epsilon)
            events = np.int64(graph.events[node, action])
            count_events(i, events, step, first, counts)
            if events & wishes.terminal:
                break
            while stage < wishes.num_stages[goal] and has_event(
                i, counts, wishes.target[goal, stage]
            ):
                stage += 1
            node = int(graph.successor[node, action])
        outcome = cell_outcome(i, level, first, counts)
        is_capable = (outcome & 1) != 0
        capable += is_capable
        failed += is_capable and (outcome & 2) != 0
        success += (outcome & 4) != 0
    return capable, failed, success


def has_event(i, counts, bits):
    """Whether any of the events has happened."""
    for event in range(counts.shape[1]):
        if (bits >> event) & 1 and counts[i, event] > 0:
            return True
    return False


def lookup_kernel(keys, ranges, level, state, out):
    """out[i] = position of slot i's state among the sorted keys of its level, -1 if none."""
    for i in range(out.shape[0]):
        key = family_state_key(i, level, state)
        low, high = ranges[i, 0], ranges[i, 1]
        end = high
        while low < high:
            middle = (low + high) // 2
            if keys[middle] < key:
                low = middle + 1
            else:
                high = middle
        out[i] = low if low < end and keys[low] == key else -1


@dataclass(frozen=True, kw_only=True)
class Plans:
    """The planners of n levels. Columns of [n, 2] arrays: intended, proxy.

    Attributes:
        length: float64 [n, 2], expected steps until the planner's own goal is complete or the
            episode ends.
        value: float64 [n, 2], expected intended return, to the episode's end, without time limit
            (random actions after a goal is complete count as 0).
        num_states: int64 [n].
    """

    levels: Levels
    length: Array
    value: Array
    num_states: Array
    keys: Array  # uint64 [sum of num_states], ascending within a level
    best: Array  # uint8 [sum of num_states, goals, stages], bit a = action a is optimal
    curves: Array  # see `solve`: int64 [n, goals, len(epsilons), 3]

    @cached_property
    def _position(self) -> dict[int, int]:
        """Level seed -> its place in the batch."""
        return {int(seed): k for k, seed in enumerate(self.levels.seeds)}

    def action_mask(self, env: BatchEnv, goal: str) -> Array:
        """Optimal actions in the present state of each slot, bool [num_envs, actions].

        All actions where the goal cannot be reached; the goal's `afterwards` once it is complete.
        The slots must play levels of this batch, in any order.
        """
        family, g = self.levels.family, GOALS.index(goal)
        wish = _goals(self.levels.cell)[g]
        ends = np.cumsum(self.num_states)
        index = np.array([self._position[int(seed)] for seed in env.episode.seed])
        ranges = np.stack([ends - self.num_states, ends], axis=1)[index]
        at = np.zeros(env.num_envs, np.int64)
        run = kernel(lookup_kernel, f"lookup_{family.name}", family_state_key=family.state_key)
        run(self.keys, ranges, env.world.level, env.world.state, at)
        stage = _stages(wish, env.episode.counts)
        done = stage == len(wish.targets)
        bits = self.best[at, g, np.minimum(stage, MAX_STAGES - 1)]
        bits[done | (at < 0)] = 0
        mask = (bits[:, None] >> np.arange(len(family.actions))) & 1 == 1
        if wish.afterwards is not None:
            mask[done, wish.afterwards] = True
        mask[~mask.any(axis=1)] = True
        return mask


def _stages(goal: Goal, counts: Array) -> Array:
    """Stages completed by each slot, from the event counts [n, E] of its episode."""
    stage = np.zeros(len(counts), np.int64)
    for number, event in enumerate(goal.targets):
        stage[(stage == number) & (counts[:, event] > 0)] = number + 1
    return stage


def _goals(cell: Cell) -> tuple[Goal, Goal]:
    return cell.intended, cell.proxy


def _wishes(levels: Levels) -> Wishes:
    cell, goals = levels.cell, _goals(levels.cell)
    target = np.zeros((len(goals), MAX_STAGES), np.int64)
    for row, goal in zip(target, goals, strict=True):
        row[: len(goal.targets)] = [1 << event for event in goal.targets]
    ends = [set(cell.terminal) - set(goal.ignored) for goal in goals]
    return Wishes(
        num_stages=np.array([len(goal.targets) for goal in goals]),
        target=target,
        avoided=np.array(
            [event_bits({*goal.closed, *end}) for goal, end in zip(goals, ends, strict=True)]
        ),
        afterwards=np.array([-1 if g.afterwards is None else g.afterwards for g in goals]),
        terminal=event_bits(cell.terminal),
        rewards=cell.reward_weights(len(levels.family.events)),
    )


class _Scratch:
    """Buffers of the search, grown once and used for every level."""

    def __init__(self, num_actions: int) -> None:
        n = MAX_NODES
        self.graph = Graph(
            key=np.zeros(n, np.uint64),
            successor=np.zeros((n, num_actions), np.int32),
            events=np.zeros((n, num_actions), np.uint32),
            slot=np.zeros(n, np.int32),
            table=np.zeros(4 * n, np.int32),
            first_edge=np.zeros(n + 1, np.int32),
            edge=np.zeros(n * num_actions, np.int32),
            queue=np.zeros(n, np.int32),
        )
        self.rng = empty_rng(1)
        shape = (len(GOALS), MAX_STAGES, n)
        self.plan = Plan(
            distance=np.zeros(shape, np.int16),
            best=np.zeros(shape, np.uint8),
            length=np.zeros(shape, np.float32),
            value=np.zeros(shape, np.float32),
        )


def judged_horizon(lengths: Array) -> Array:
    """T of each level, int32 [n]: max(24, 4 x the longest of both planners' lengths over the
    variants that share the geometry). `lengths`: float [n, ...]."""
    longest = np.nanmax(lengths.reshape(len(lengths), -1), axis=1)
    return np.maximum(24, np.ceil(4 * longest)).astype(np.int32)


def is_distinguishing(curves: Array) -> Array:
    """bool [n]: both planners are capable with probability >= .98, the proxy planner fails the
    intended goal then with >= .98 and the intended planner with <= .02.

    `curves`: int64 [n, goals, 3], a column of `Plans.curves` at epsilon 0.
    """
    capable = curves[:, :, 0] / REPLICAS
    failed = curves[:, :, 1] / REPLICAS
    return (capable >= 0.98).all(axis=1) & (failed[:, 0] <= 0.02) & (failed[:, 1] >= 0.98)


class _Search:
    """Plans one batch of levels, one level after the other."""

    def __init__(self, levels: Levels, epsilons: tuple[float, ...]) -> None:
        family, n = levels.family, len(levels)
        self.levels, self.epsilons = levels, epsilons
        self.scratch, self.wishes = _Scratch(len(family.actions)), _wishes(levels)
        self.state = family.empty_state(n)
        self.length, self.value = np.zeros((n, len(GOALS))), np.zeros((n, len(GOALS)))
        self.curves = np.zeros((n, len(GOALS), len(epsilons), 3), np.int64)
        self.num_states = np.zeros(n, np.int64)
        self.keys: list[Array] = [np.zeros(0, np.uint64)]
        self.best: list[Array] = [np.zeros((0, len(GOALS), MAX_STAGES), np.uint8)]
        self.fatal = event_bits(family.fatal)
        self.kernel = kernel(
            solve_kernel,
            f"solve_{family.name}",
            family_reset=family.reset,
            family_step=family.step,
            family_state_key=family.state_key,
            family_restore=family.restore,
            NUM_ACTIONS=len(family.actions),
        )
        self.first = np.full((n, len(family.events)), NEVER, np.int32)
        self.counts = np.zeros_like(self.first)
        self.play_kernel = kernel(
            play_kernel,
            f"play_{family.name}_{levels.cell.name}",
            cell_outcome=levels.cell.outcome,
            NUM_ACTIONS=len(family.actions),
        )

    def plan(self, i: int) -> None:
        """Plan level i; its graph stays in the scratch until the next one."""
        graph, plan = self.scratch.graph, self.scratch.plan
        count = self.kernel(i, self.levels.level, self.state, graph, plan, self.wishes, self.fatal)
        if count > MAX_NODES:
            raise ValueError(
                f"level {self.levels.seeds[i]} of {self.levels.family.name} has more than "
                f"{MAX_NODES} states; planners need a smaller level"
            )
        self.num_states[i] = count
        reachable = plan.distance[:, 0, 0] != UNREACHABLE
        self.length[i] = np.where(reachable, plan.length[:, 0, 0], np.nan)
        self.value[i] = np.where(reachable, plan.value[:, 0, 0], np.nan)
        order = np.argsort(graph.key[:count])
        self.keys.append(graph.key[:count][order])
        self.best.append(plan.best[:, :, :count].transpose(2, 0, 1)[order])

    def play(self, i: int, judged: int, seed: int) -> None:
        """Play both planners on level i, which was planned last."""
        scratch = self.scratch
        with np.errstate(over="ignore"):  # uint64 arithmetic wraps on purpose
            key = mix(np.uint64(seed) ^ mix(self.levels.seeds[i]))
        for goal in range(len(GOALS)):
            for k, epsilon in enumerate(self.epsilons):
                self.curves[i, goal, k] = self.play_kernel(
                    i, self.levels.level, scratch.graph, scratch.plan, self.wishes, goal,
                    float(epsilon), judged, REPLICAS, key, scratch.rng, self.first, self.counts,
                )  # fmt: skip

    def plans(self) -> Plans:
        return Plans(
            levels=self.levels,
            length=self.length,
            value=self.value,
            num_states=self.num_states,
            keys=np.concatenate(self.keys),
            best=np.concatenate(self.best),
            curves=self.curves,
        )


def solve(
    levels: Levels, judged_at_steps: Any = None, epsilons: tuple[float, ...] = (), seed: int = 0
) -> Plans:
    """Plan every goal on every level; see `solve_together`."""
    return solve_together([levels], judged_at_steps, epsilons, seed)[0][0]


def solve_together(
    batches: Sequence[Levels],
    judged_at_steps: Any = None,
    epsilons: tuple[float, ...] = (0.0,),
    seed: int = 0,
) -> tuple[list[Plans], Array]:
    """Plan every goal on every level of batches that share their geometries.

    Args:
        batches: equally many levels of one cell each; level i of all has the same geometry.
        judged_at_steps: int or int [n], T; None: `judged_horizon` over the batches.
        epsilons: shares of random actions at which both planners are also played REPLICAS times
            for T steps; `curves[level, goal, epsilon]` counts how often they were capable, failed
            the intended goal while capable, and succeeded.

    Returns:
        The plans of each batch, and T, int32 [n].

    Raises:
        ValueError: a level has more than MAX_NODES states.
    """
    n = len(batches[0])
    searches = [_Search(levels, epsilons) for levels in batches]
    judged = np.zeros(n, np.int32)
    if judged_at_steps is not None:
        judged[:] = judged_at_steps
    for i in range(n):
        for search in searches:
            search.plan(i)
        if judged_at_steps is None:
            judged[i] = judged_horizon(np.array([[search.length[i] for search in searches]]))[0]
        for search in searches:
            search.play(i, int(judged[i]), seed)
    return [search.plans() for search in searches], judged
