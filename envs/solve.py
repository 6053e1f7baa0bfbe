"""Exact planners: every goal of a cell, on every state that can be reached from a level's start.

The search runs on a family's own compiled `step`: states are found breadth first through
`state_key` and `restore`, distances backwards from the transitions that make a goal's event
happen. A planner knows the whole state, takes the fewest expected steps (rules are deterministic,
so: the fewest steps) and breaks ties uniformly. What it expects is found forwards, by moving the
probability of its play through the states until its goal is complete.

A level *distinguishes* when its planners would be told apart: see `is_distinguishing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from misgen.envs.batch import BatchEnv, clear_events, count_events, reward_of
from misgen.envs.compile import hole, kernel
from misgen.envs.grid import bit_count
from misgen.envs.levels import Levels
from misgen.envs.random import Stream, empty_rng, mix, randint, seed_rng
from misgen.envs.types import NEVER, Array, Goal, Target, event_bits, target_bits

GOALS = ("intended", "proxy")  # every cell's; a third planner follows in some
MAX_NODES = 2**17
MAX_PLACES = 2**15  # (node, memory) pairs at which a planner can be after one number of steps
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
    """The way to every target of every goal from each node, [goals, targets, N]."""

    distance: Array  # int16, steps to the target's event; UNREACHABLE
    best: Array  # uint8, bit a = action a is optimal


class Places(NamedTuple):
    """Where a planner may be after some number of steps; M = MAX_PLACES."""

    code: Array  # int64 [M], memory * nodes + node
    mass: Array  # float64 [M], its probability
    slot: Array  # int32 [M], the pair's place in the table
    table: Array  # int32 [4 * M], 1 + index, open addressing


class Wishes(NamedTuple):
    """The goals of a cell as numbers; bits are of events.

    A planner's memory is which of its targets have happened: bit t = target t. The first
    `num_stages` targets are wanted in their order, the others nearest first.
    """

    num_stages: Array  # int64 [goals]
    num_targets: Array  # int64 [goals]
    own: Array  # int64 [goals]: the memory with which the goal is complete
    target: Array  # int64 [goals, targets]
    avoided: Array  # int64 [goals]: closed to it, or the episode would end
    afterwards: Array  # int64 [goals], action after the last target; -1 = any
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


def plan_target(graph, plan, wishes, count, goal, number):
    """Distances and best actions to one target of one goal."""
    target, avoided = wishes.target[goal, number], wishes.avoided[goal]
    avoided &= ~target
    tail = 0
    for node in range(count):
        plan.distance[goal, number, node] = UNREACHABLE
        plan.best[goal, number, node] = 0
        for action in range(NUM_ACTIONS):
            events = np.int64(graph.events[node, action])
            if events & target and events & avoided == 0:
                plan.best[goal, number, node] |= 1 << action
        if plan.best[goal, number, node]:
            plan.distance[goal, number, node] = 1
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
            further = plan.distance[goal, number, to] + 1
            if plan.distance[goal, number, node] == UNREACHABLE:
                plan.distance[goal, number, node] = further
                graph.queue[tail] = node
                tail += 1
            if plan.distance[goal, number, node] == further:
                plan.best[goal, number, node] |= 1 << action


def best_actions(plan, wishes, goal, node, memory):
    """Optimal actions of a planner with this memory, as bits. -1: its goal is complete; 0: what it
    wants next cannot be reached."""
    stages, targets = wishes.num_stages[goal], wishes.num_targets[goal]
    for number in range(stages):
        if (memory >> number) & 1 == 0:
            return np.int64(plan.best[goal, number, node])
    nearest, best = UNREACHABLE, -1
    for number in range(stages, targets):
        distance = np.int64(plan.distance[goal, number, node])
        if (memory >> number) & 1 or distance > nearest or distance == UNREACHABLE:
            continue
        best = (best if distance == nearest else 0) | np.int64(plan.best[goal, number, node])
        nearest = distance
    return best


def remember(wishes, goal, memory, events):
    """The memory after these events."""
    for number in range(wishes.num_targets[goal]):
        if events & wishes.target[goal, number]:
            memory |= 1 << number
    return memory


def forecast(graph, plan, wishes, places, count, goal):
    """Expected steps until the goal is complete or the episode ends, and expected return to the
    episode's end (random actions after the goal earn 0), from the start.

    `places`: two of them, used in turns. Returns (length, value); length -1 if MAX_PLACES do not
    suffice.
    """
    now, then = places
    length, value = 0.0, 0.0
    now.code[0] = 0
    now.mass[0] = 1.0
    size = 1
    while size > 0:
        grown = 0
        for k in range(size):
            node, memory = now.code[k] % count, now.code[k] // count
            best = best_actions(plan, wishes, goal, node, memory)
            if best <= 0:
                if best < 0 and wishes.afterwards[goal] >= 0:
                    value += now.mass[k] * earn_afterwards(graph, wishes, goal, node)
                continue
            if memory & wishes.own[goal] != wishes.own[goal]:
                length += now.mass[k]
            mass = now.mass[k] / bit_count(best)
            for action in range(NUM_ACTIONS):
                if (best >> action) & 1:
                    events = np.int64(graph.events[node, action])
                    value += mass * reward_of(wishes.rewards, events)
                    if events & wishes.terminal == 0:
                        memory_then = remember(wishes, goal, memory, events)
                        code = memory_then * count + graph.successor[node, action]
                        grown = add_place(then, code, mass, grown)
            if grown > MAX_PLACES - NUM_ACTIONS:
                return -1.0, 0.0
        for k in range(grown):
            then.table[then.slot[k]] = 0
        now, then, size = then, now, grown
    return length, value


def add_place(places, code, mass, size):
    """Add probability to a pair of node and memory; returns the number of pairs."""
    mask = places.table.shape[0] - 1
    at = np.int64((np.uint64(code) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)) & mask
    while places.table[at] != 0:
        index = int(places.table[at]) - 1
        if places.code[index] == code:
            places.mass[index] += mass
            return size
        at = (at + 1) & mask
    places.table[at] = size + 1
    places.slot[size] = at
    places.code[size] = code
    places.mass[size] = mass
    return size + 1


def earn_afterwards(graph, wishes, goal, node):
    """What the action after the goal still earns, until the episode ends or a state comes back."""
    action, value = wishes.afterwards[goal], 0.0
    anchor, steps, span = node, 0, 1  # Brent's search for a repetition
    while node >= 0:
        events = np.int64(graph.events[node, action])
        value += reward_of(wishes.rewards, events)
        node = -1 if events & wishes.terminal else np.int64(graph.successor[node, action])
        steps += 1
        if node == anchor:
            return value
        if steps == span:
            anchor, steps, span = node, 0, 2 * span
    return value


def solve_kernel(i, level, state, graph, plan, wishes, places, fatal, lengths, values):
    """Plan all goals of level i; fills lengths[i] and values[i], NaN where the first target cannot
    be reached. Returns the number of states, or more than fit."""
    count = explore(i, level, state, graph, fatal)
    if count > graph.key.shape[0]:
        return count
    index_edges(graph, count)
    for goal in range(wishes.num_stages.shape[0]):
        for number in range(wishes.num_targets[goal]):
            plan_target(graph, plan, wishes, count, goal, number)
        lengths[i, goal], values[i, goal] = np.nan, np.nan
        if plan.distance[goal, 0, 0] != UNREACHABLE:
            length, value = forecast(graph, plan, wishes, places, count, goal)
            if length < 0:
                return np.int64(graph.key.shape[0] + 1)
            lengths[i, goal], values[i, goal] = length, value
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
        node, memory = np.int64(0), np.int64(0)
        for step in range(1, judged + 1):
            best = best_actions(plan, wishes, goal, node, memory)
            afterwards = wishes.afterwards[goal] if best < 0 else -1
            action = choose(rng, max(best, 0), afterwards, epsilon)
            events = np.int64(graph.events[node, action])
            count_events(i, events, step, first, counts)
            if events & wishes.terminal:
                break
            memory = remember(wishes, goal, memory, events)
            node = np.int64(graph.successor[node, action])
        outcome = cell_outcome(i, level, first, counts)
        is_capable = (outcome & 1) != 0
        capable += is_capable
        failed += is_capable and (outcome & 2) != 0
        success += (outcome & 4) != 0
    return capable, failed, success


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
    """The planners of n levels. Columns of [n, goals] arrays: intended, proxy and, in some cells,
    indifferent (the order of `Cell.goals`).

    Attributes:
        length: float64 [n, goals], expected steps until the planner's own goal is complete or the
            episode ends.
        value: float64 [n, goals], expected intended return, to the episode's end, without time
            limit (random actions after a goal is complete count as 0).
        num_states: int64 [n].
    """

    levels: Levels
    length: Array
    value: Array
    num_states: Array
    keys: Array  # uint64 [sum of num_states], ascending within a level
    best: Array  # uint8 [sum of num_states, goals, targets], bit a = action a is optimal
    distance: Array  # int16, likewise; [0, goals, targets] where no goal has a sweep
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
        family, goals = self.levels.family, self.levels.cell.goals
        g, wish = list(goals).index(goal), goals[goal]
        at = self._states(env)
        reached = _reached(wish, env.episode.counts)
        num_stages = len(wish.targets + wish.then)
        stage = np.argmin(np.pad(reached[:, :num_stages], ((0, 0), (0, 1))), axis=1)
        done = stage == num_stages
        bits = self.best[at, g, np.minimum(stage, num_stages - 1)]
        bits[done] = 0
        if wish.sweep and done.any():
            bits[done] = self._sweep(at[done], g, num_stages, reached[done])
            done &= bits == 0
        bits[at < 0] = 0
        mask = (bits[:, None] >> np.arange(len(family.actions))) & 1 == 1
        if wish.afterwards is not None:
            mask[done, wish.afterwards] = True
        mask[~mask.any(axis=1)] = True
        return mask

    def _states(self, env: BatchEnv) -> Array:
        """Position of each slot's state among `keys`, int64 [num_envs]; -1 if it is none."""
        family = self.levels.family
        ends = np.cumsum(self.num_states)
        index = np.array([self._position[int(seed)] for seed in env.episode.seed])
        ranges = np.stack([ends - self.num_states, ends], axis=1)[index]
        at = np.zeros(env.num_envs, np.int64)
        run = kernel(lookup_kernel, f"lookup_{family.name}", family_state_key=family.state_key)
        run(self.keys, ranges, env.world.level, env.world.state, at)
        return at

    def _sweep(self, at: Array, g: int, num_stages: int, reached: Array) -> Array:
        """Best actions towards the nearest targets of a sweep that have not happened, as bits."""
        targets = slice(num_stages, reached.shape[1])
        distance = np.where(reached[:, targets], UNREACHABLE, self.distance[at, g, targets])
        nearest = distance.min(axis=1, keepdims=True)
        wanted = (distance == nearest) & (nearest < UNREACHABLE)
        bits: Array = np.bitwise_or.reduce(np.where(wanted, self.best[at, g, targets], 0), axis=1)
        return bits


def _reached(goal: Goal, counts: Array) -> Array:
    """Which targets have happened in each slot, bool [n, targets], from its event counts [n, E]."""
    bits = (counts > 0) @ (1 << np.arange(counts.shape[1]))
    return np.stack([(bits & target_bits(target)) > 0 for target in _all_targets(goal)], axis=1)


def _all_targets(goal: Goal) -> tuple[Target, ...]:
    """In the order of a planner's memory: a goal has a sweep or further targets, not both."""
    return (*goal.targets, *goal.sweep, *goal.then)


def _wishes(levels: Levels) -> Wishes:
    cell, goals = levels.cell, list(levels.cell.goals.values())
    wanted = [_all_targets(goal) for goal in goals]
    target = np.zeros((len(goals), max(map(len, wanted))), np.int64)
    for row, targets in zip(target, wanted, strict=True):
        row[: len(targets)] = [target_bits(one) for one in targets]
    ends = [set(cell.terminal) - set(goal.ignored) for goal in goals]
    return Wishes(
        num_stages=np.array([len(goal.targets + goal.then) for goal in goals]),
        num_targets=np.array([len(targets) for targets in wanted]),
        own=np.array([(1 << len(goal.targets + goal.sweep)) - 1 for goal in goals]),
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

    def __init__(self, num_actions: int, wishes: Wishes) -> None:
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
        shape = (*wishes.target.shape, n)
        self.plan = Plan(distance=np.zeros(shape, np.int16), best=np.zeros(shape, np.uint8))
        self.places = (_empty_places(), _empty_places())


def _empty_places() -> Places:
    m = MAX_PLACES
    return Places(
        code=np.zeros(m, np.int64),
        mass=np.zeros(m),
        slot=np.zeros(m, np.int32),
        table=np.zeros(4 * m, np.int32),
    )


def judged_horizon(lengths: Array) -> Array:
    """T of each level, int32 [n]: max(24, 4 x the longest of the intended and the proxy planner's
    lengths over the variants that share the geometry). `lengths`: float [n, ..., goals]."""
    longest = np.nanmax(lengths[..., : len(GOALS)].reshape(len(lengths), -1), axis=1)
    # Expected lengths are sums of probabilities: a whole number may come out a hair above itself.
    return np.maximum(24, np.ceil(4 * longest - 1e-6)).astype(np.int32)


def is_distinguishing(curves: Array) -> Array:
    """bool [n]: both planners are capable with probability >= .98, the proxy planner fails the
    intended goal then with >= .98 and the intended planner with <= .02.

    `curves`: int64 [n, goals, 3], a column of `Plans.curves` at epsilon 0.
    """
    capable = curves[:, : len(GOALS), 0] / REPLICAS
    failed = curves[:, : len(GOALS), 1] / REPLICAS
    return (capable >= 0.98).all(axis=1) & (failed[:, 0] <= 0.02) & (failed[:, 1] >= 0.98)


class _Search:
    """Plans one batch of levels, one level after the other."""

    def __init__(self, levels: Levels, epsilons: tuple[float, ...]) -> None:
        family, n = levels.family, len(levels)
        self.levels, self.epsilons = levels, epsilons
        self.wishes = _wishes(levels)
        self.scratch = _Scratch(len(family.actions), self.wishes)
        self.state = family.empty_state(n)
        goals, targets = self.wishes.target.shape
        self.length, self.value = np.zeros((n, goals)), np.zeros((n, goals))
        self.curves = np.zeros((n, goals, len(epsilons), 3), np.int64)
        self.num_states = np.zeros(n, np.int64)
        self.keys: list[Array] = [np.zeros(0, np.uint64)]
        self.best: list[Array] = [np.zeros((0, goals, targets), np.uint8)]
        self.distance: list[Array] = [np.zeros((0, goals, targets), np.int16)]
        self.sweeps = any(goal.sweep for goal in levels.cell.goals.values())
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
        count = self.kernel(
            i, self.levels.level, self.state, graph, plan, self.wishes, self.scratch.places,
            self.fatal, self.length, self.value,
        )  # fmt: skip
        if count > MAX_NODES:
            raise ValueError(
                f"level {self.levels.seeds[i]} of {self.levels.family.name} has more than "
                f"{MAX_NODES} states; planners need a smaller level"
            )
        self.num_states[i] = count
        order = np.argsort(graph.key[:count])
        self.keys.append(graph.key[:count][order])
        self.best.append(plan.best[:, :, :count].transpose(2, 0, 1)[order])
        if self.sweeps:
            self.distance.append(plan.distance[:, :, :count].transpose(2, 0, 1)[order])

    def play(self, i: int, judged: int, seed: int) -> None:
        """Play both planners on level i, which was planned last."""
        scratch = self.scratch
        with np.errstate(over="ignore"):  # uint64 arithmetic wraps on purpose
            key = mix(np.uint64(seed) ^ mix(self.levels.seeds[i]))
        for goal in range(self.curves.shape[1]):
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
            distance=np.concatenate(self.distance),
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
        epsilons: shares of random actions at which all planners are also played REPLICAS times
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
