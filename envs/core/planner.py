"""A planner: the fewest steps to each target of its goals, what it expects, and how it plays.

A planner knows the whole state, takes the fewest expected steps (rules are deterministic, so: the
fewest steps) and breaks ties uniformly. Distances are found backwards from the transitions that
make a goal's event happen. What it expects is found forwards, by moving the probability of its play
through the states until its goal is complete.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from misgen.envs.core.bits import bit_count
from misgen.envs.core.compile import hole
from misgen.envs.core.episode import clear_events, count_events, reward_of
from misgen.envs.core.pursuits import ANY, remember
from misgen.envs.core.random import Stream, randint, seed_rng
from misgen.envs.core.search import find_slot, find_states, index_edges
from misgen.envs.core.types import Array, Outcome

MAX_PLACES = 2**15  # (node, memory) pairs at which a planner can be after one number of steps
UNREACHABLE = 2**15 - 1
COMPLETE = -1  # in place of best actions: the goal is complete

family_state_key = hole("family_state_key")
cell_outcome = hole("cell_outcome")
NUM_ACTIONS = hole("NUM_ACTIONS")


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


def empty_places() -> Places:
    m = MAX_PLACES
    return Places(
        code=np.zeros(m, np.int64),
        mass=np.zeros(m),
        slot=np.zeros(m, np.int32),
        table=np.zeros(4 * m, np.int32),
    )


def plan_target(graph, plan, pursuits, count, goal, number):
    """Distances and best actions to one target of one goal."""
    target, avoided = pursuits.target[goal, number], pursuits.avoided[goal]
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


def best_actions(plan, pursuits, goal, node, memory):
    """Optimal actions of a planner with this memory, as bits; COMPLETE, or 0 where what it wants
    next cannot be reached."""
    stages, targets = pursuits.num_stages[goal], pursuits.num_targets[goal]
    for number in range(stages):
        if (memory >> number) & 1 == 0:
            return np.int64(plan.best[goal, number, node])
    nearest, best = UNREACHABLE, COMPLETE
    for number in range(stages, targets):
        distance = np.int64(plan.distance[goal, number, node])
        if (memory >> number) & 1 or distance > nearest or distance == UNREACHABLE:
            continue
        best = (best if distance == nearest else 0) | np.int64(plan.best[goal, number, node])
        nearest = distance
    return best


def forecast(graph, plan, pursuits, places, count, goal, gamma):
    """Expected steps until the goal is complete or the episode ends, and expected return to the
    episode's end (random actions after the goal earn 0), from the start, discounted by gamma.

    `places`: two of them, used in turns. Returns (length, value); length -1 if MAX_PLACES do not
    suffice.
    """
    now, then = places
    length, value, discount = 0.0, 0.0, 1.0
    now.code[0] = 0
    now.mass[0] = 1.0
    size = 1
    while size > 0:
        grown = 0
        for k in range(size):
            node, memory = now.code[k] % count, now.code[k] // count
            best = best_actions(plan, pursuits, goal, node, memory)
            if best <= 0:
                if best == COMPLETE and pursuits.afterwards[goal] != ANY:
                    earned = earn_afterwards(graph, pursuits, goal, node, gamma)
                    value += discount * now.mass[k] * earned
                continue
            if memory & pursuits.own[goal] != pursuits.own[goal]:
                length += now.mass[k]
            mass = now.mass[k] / bit_count(best)
            for action in range(NUM_ACTIONS):
                if (best >> action) & 1:
                    events = np.int64(graph.events[node, action])
                    value += discount * mass * reward_of(pursuits.rewards, events)
                    if events & pursuits.terminal == 0:
                        memory_then = remember(pursuits, goal, memory, events)
                        code = memory_then * count + graph.successor[node, action]
                        grown = add_place(then, code, mass, grown)
            if grown > MAX_PLACES - NUM_ACTIONS:
                return -1.0, 0.0
        for k in range(grown):
            then.table[then.slot[k]] = 0
        now, then, size = then, now, grown
        discount *= gamma
    return length, value


def add_place(places, code, mass, size):
    """Add probability to a pair of node and memory; returns the number of pairs."""
    at = find_slot(places.table, places.code, code)
    if places.table[at] != 0:
        places.mass[int(places.table[at]) - 1] += mass
        return size
    places.table[at] = size + 1
    places.slot[size] = at
    places.code[size] = code
    places.mass[size] = mass
    return size + 1


def earn_afterwards(graph, pursuits, goal, node, gamma):
    """What the action after the goal still earns, until the episode ends or a state comes back."""
    action, value, discount = pursuits.afterwards[goal], 0.0, 1.0
    anchor, steps, span = node, 0, 1  # Brent's search for a repetition
    while node >= 0:
        events = np.int64(graph.events[node, action])
        value += discount * reward_of(pursuits.rewards, events)
        discount *= gamma
        node = -1 if events & pursuits.terminal else np.int64(graph.successor[node, action])
        steps += 1
        if node == anchor:
            return value
        if steps == span:
            anchor, steps, span = node, 0, 2 * span
    return value


def solve_kernel(i, level, state, graph, plan, pursuits, places, fatal, gamma, lengths, values):
    """Plan all goals of level i; fills lengths[i] and values[i], NaN where the first target cannot
    be reached. Returns the number of states, or more than fit."""
    count = find_states(i, level, state, graph, fatal)
    if count > graph.key.shape[0]:
        return count
    index_edges(graph, count)
    for goal in range(pursuits.num_stages.shape[0]):
        for number in range(pursuits.num_targets[goal]):
            plan_target(graph, plan, pursuits, count, goal, number)
        lengths[i, goal], values[i, goal] = np.nan, np.nan
        if plan.distance[goal, 0, 0] != UNREACHABLE:
            length, value = forecast(graph, plan, pursuits, places, count, goal, gamma)
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
        return randint(0, rng, Stream.DYNAMICS, NUM_ACTIONS) if afterwards == ANY else afterwards
    pick = randint(0, rng, Stream.DYNAMICS, bit_count(best))
    for action in range(NUM_ACTIONS):
        if (best >> action) & 1:
            if pick == 0:
                return action
            pick -= 1
    return 0


def play_kernel(
    i, level, graph, plan, pursuits, goal, epsilon, judged, replicas, seed, rng, first, counts
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
            best = best_actions(plan, pursuits, goal, node, memory)
            afterwards = pursuits.afterwards[goal] if best == COMPLETE else ANY
            action = choose(rng, max(best, 0), afterwards, epsilon)
            events = np.int64(graph.events[node, action])
            count_events(i, events, step, first, counts)
            if events & pursuits.terminal:
                break
            memory = remember(pursuits, goal, memory, events)
            node = np.int64(graph.successor[node, action])
        outcome = cell_outcome(i, level, first, counts)
        is_capable = (outcome & Outcome.CAPABLE) != 0
        capable += is_capable
        failed += is_capable and (outcome & Outcome.GOAL_FAILURE) != 0
        success += (outcome & Outcome.SUCCESS) != 0
    return capable, failed, success


def find_key(keys, low, high, key):
    """Position of a key among keys[low:high], which ascend; -1 if it is none of them."""
    end = high
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low if low < end and keys[low] == key else -1


def mask_kernel(keys, ranges, plan, pursuits, goal, level, state, counts, masks):
    """masks[i], bool [actions]: the optimal actions of a planner in the state of slot i, given the
    events that have happened (counts [n, E]); all actions where its goal cannot be reached or the
    state is none of the planned ones.

    `keys` of several levels, ascending within keys[ranges[i, 0] : ranges[i, 1]], those of slot i;
    plan: of the states with these keys.
    """
    for i in range(masks.shape[0]):
        events = np.int64(0)
        for event in range(counts.shape[1]):
            events |= np.int64(counts[i, event] > 0) << event
        memory = remember(pursuits, goal, np.int64(0), events)
        best = np.int64(0)
        node = find_key(keys, ranges[i, 0], ranges[i, 1], family_state_key(i, level, state))
        if node >= 0:
            best = best_actions(plan, pursuits, goal, node, memory)
        if best == COMPLETE and pursuits.afterwards[goal] != ANY:
            best = np.int64(1) << pursuits.afterwards[goal]
        for action in range(NUM_ACTIONS):
            masks[i, action] = best <= 0 or (best >> action) & 1 == 1
