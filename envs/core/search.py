"""All states that can be reached from a level's start, and the transitions between them.

States are found breadth first on a family's own `step`, through `state_key` and `restore`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from misgen.envs.core.compile import hole
from misgen.envs.core.types import Array

MAX_NODES = 2**17

family_reset = hole("family_reset")
family_step = hole("family_step")
family_state_key = hole("family_state_key")
family_restore = hole("family_restore")
NUM_ACTIONS = hole("NUM_ACTIONS")


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


def empty_graph(num_actions: int) -> Graph:
    """Room for MAX_NODES states."""
    n = MAX_NODES
    return Graph(
        key=np.zeros(n, np.uint64),
        successor=np.zeros((n, num_actions), np.int32),
        events=np.zeros((n, num_actions), np.uint32),
        slot=np.zeros(n, np.int32),
        table=np.zeros(4 * n, np.int32),
        first_edge=np.zeros(n + 1, np.int32),
        edge=np.zeros(n * num_actions, np.int32),
        queue=np.zeros(n, np.int32),
    )


def find_slot(table, keys, key):
    """Where a table of open addressing has 1 + the index of this key, or where it belongs."""
    mask = table.shape[0] - 1
    at = np.int64((np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)) & mask
    while table[at] != 0 and keys[table[at] - 1] != key:
        at = (at + 1) & mask
    return at


def find_node(graph, key, count):
    """The node with this key, made if it is new; returns (node, count)."""
    at = find_slot(graph.table, graph.key, key)
    if graph.table[at] != 0:
        return int(graph.table[at]) - 1, count
    if count == graph.key.shape[0]:
        return -1, count + 1
    graph.table[at] = count + 1
    graph.slot[count] = at
    graph.key[count] = key
    return count, count + 1


def find_states(i, level, state, graph, fatal):
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
    graph.first_edge[: count + 1] = 0
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
