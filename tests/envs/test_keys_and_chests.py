"""The rules of keys and chests and the cell K3, on drawn boards."""

from dataclasses import replace

import numpy as np
import pytest

from misgen.envs.batch import BatchEnv
from misgen.envs.families import keys_and_chests
from misgen.envs.families.keys_and_chests import FAMILY, K3, SIZE, Action, Event, Kind
from misgen.envs.layouts import Generator
from misgen.envs.levels import drawn_levels, sample_levels, sample_quadruples
from misgen.envs.solve import solve
from misgen.envs.types import NEVER, CueDraw, Outcome

ACTIONS = {
    ".": Action.STAY,
    "u": Action.UP,
    "l": Action.LEFT,
    "d": Action.DOWN,
    "r": Action.RIGHT,
}


def square(lines: str) -> str:
    """A drawing made square with walls below."""
    rows = lines.split()
    return "\n".join(rows + ["#" * len(rows[0])] * (len(rows[0]) - len(rows)))


def start(board: str, horizon_steps: int = 50) -> BatchEnv:
    distribution = FAMILY.train_distribution(K3)
    env = BatchEnv(FAMILY, distribution, 1, observation_mode="planes")
    env.reset_to(drawn_levels(FAMILY, K3, square(board)), horizon_steps)
    return env


def names(bits: int) -> str:
    """The events that K3 is about."""
    return "+".join(e.name for e in Event if bits >> e & 1 and e <= Event.ALL_KEYS)


def play(board: str, actions: str) -> list[str]:
    """The events of every step."""
    env = start(board)
    return [names(int(env.step([ACTIONS[a]]).events[0])) for a in actions]


def place(env: BatchEnv) -> tuple[int, int]:
    return divmod(int(env.world.state.cell[0]), SIZE)


# Moving, keys, chests

ROOM = """
#####
#A.k#
#.#c#
#..c#
#####
"""


def test_moves_are_one_cell_and_walls_stop_them():
    env = start(ROOM)
    visited = []
    for action in "uldrdrur":
        env.step([ACTIONS[action]])
        visited.append(place(env))
    assert visited == [(1, 1), (1, 1), (2, 1), (2, 1), (3, 1), (3, 2), (3, 2), (3, 3)]
    env.step([Action.STAY])
    assert place(env) == (3, 3)


def test_a_key_is_taken_and_spent_on_a_chest():
    assert play(ROOM, "rrd") == ["", "KEY+ALL_KEYS", "CHEST+ALL_CHESTS"]


def test_a_chest_without_a_key_does_nothing():
    env = start(ROOM)
    for action in "ddrru":
        result = env.step([ACTIONS[action]])
        assert names(int(result.events[0])) == "" and result.reward[0] == 0
    assert place(env) == (2, 3), "the agent stands on the second chest"
    result = env.step([Action.UP])
    assert names(int(result.events[0])) == "KEY+ALL_KEYS"
    result = env.step([Action.DOWN])
    assert names(int(result.events[0])) == "CHEST+ALL_CHESTS" and result.reward[0] == 1


def test_the_episode_ends_when_every_openable_chest_is_open():
    """One key and two chests: one chest is openable. Two keys and one chest: likewise."""
    env = start(ROOM)
    results = [env.step([ACTIONS[a]])[2:4] for a in "rrd"]
    assert [bool(terminated[0]) for terminated, _ in results] == [True] * 3  # the same buffer
    assert env.episode.done[0] and env.episode.total[0] == 1 and not env.buffers.truncated[0]
    env = start("##### #Akc# #k..#")
    env.step([Action.RIGHT])
    assert not env.step([Action.LEFT]).terminated[0]
    env.step([Action.RIGHT])
    assert env.step([Action.RIGHT]).terminated[0]


def test_an_emptied_cell_can_be_passed_again():
    assert play("##### #Akc# ##k##", "rlrl") == ["KEY", "", "", ""]


SURPLUS = "####### #Akkck# #....c#"


def test_a_key_is_surplus_while_the_inventory_covers_the_unopened_chests():
    """Three keys, two chests."""
    assert play(SURPLUS, "rrrr") == ["KEY", "KEY", "CHEST", "KEY+SURPLUS_KEY+ALL_KEYS"]
    assert play("####### #Akkkc# #....c#", "rrrr") == [
        "KEY",
        "KEY",
        "KEY+SURPLUS_KEY+ALL_KEYS",
        "CHEST",
    ]


def test_every_block_event_is_a_cell_entered_with_a_key():
    """The 3x3 block of the north-east corner, row by row; nothing happens without a key."""
    board = "######## #...k..# #......# #......# #.c..A.# #......# #......#"
    assert play_all(board, "uuu") == [set(), set(), set()]
    steps = "uuul" + "r" * 2 + "dlldrrru" + ".d"
    expected = [(), (), (), (), (1,), (2,), (5,), (4,), (3,), (6,), (7,), (8,), (), (5,), (), (8,)]
    happened = [{e for e in events if e.startswith("BLOCK")} for events in play_all(board, steps)]
    assert happened == [{f"BLOCK_{k}" for k in cells} for cells in expected]


def play_all(board: str, actions: str) -> list[set[str]]:
    """All events of every step."""
    env = start(board)
    bits = [int(env.step([ACTIONS[a]]).events[0]) for a in actions]
    return [{event.name for event in Event if b >> event & 1} for b in bits]


def test_what_is_shown_follows_the_state():
    """View of +-5 cells: the agent is in row 6 (under the status row) and column 5."""
    env = start(ROOM)
    planes = {plane.name: k for k, plane in enumerate(FAMILY.planes)}

    def shown(name: str) -> set[tuple[int, int]]:
        return set(map(tuple, np.argwhere(env.buffers.obs[0, planes[name]]).tolist()))

    assert shown("agent") == {(6, 5)} and shown("inventory") == set()
    assert shown("key") == {(6, 7)} and shown("chest") == {(7, 7), (8, 7)}
    assert (5, 5) in shown("wall") and (7, 6) in shown("wall") and (7, 5) not in shown("wall")
    env.step([Action.RIGHT])
    env.step([Action.RIGHT])
    assert shown("key") == set() and shown("inventory") == {(0, 0)}
    assert shown("chest") == {(7, 5), (8, 5)}
    env.step([Action.DOWN])
    assert shown("chest") == {(7, 5)} and shown("inventory") == set()


# K3: surplus keys

FOUR_KEYS = """
#######
#Akc..#
#..kck#
#....k#
#.....#
"""
FIVE_KEYS = """
#######
#Akc..#
#kkk..#
"""
FEW_KEYS = "##### #Akc# #.kc# #cc.#"


@pytest.mark.parametrize(
    ("board", "actions", "judged", "expected"),
    [
        # Intended: both chests with two of the four keys.
        (FOUR_KEYS, "rrdr", 24, (1, 0, 1)),
        # Proxy: every key, no chest.
        (FOUR_KEYS, "rdrdrru", 24, (1, 1, 0)),
        # Every key, then the chests.
        (FOUR_KEYS, "rdrdrruluul" + "l", 24, (1, 1, 1)),
        # One of the two surplus keys is half of them; then the chests.
        (FOUR_KEYS, "rdrdrrluul", 24, (1, 1, 1)),
        # One of three surplus keys is less than half.
        (FIVE_KEYS, "rdurr", 24, (1, 0, 1)),
        # Neither: one key, no chest.
        (FOUR_KEYS, "r.....", 24, (0, 0, 0)),
        # Neither, though half of the surplus keys were taken: not capable.
        (FOUR_KEYS, "rdrdrr", 24, (0, 1, 0)),
        # After T.
        (FOUR_KEYS, "rrdr", 3, (0, 0, 0)),
        (FOUR_KEYS, "rrdr", 4, (1, 0, 1)),
        # Fewer keys than chests: no key is surplus, taking all of them is no failure.
        (FEW_KEYS, "rd", 24, (1, 0, 0)),
        (FEW_KEYS, "rrdl", 24, (1, 0, 0)),
        (FEW_KEYS, "rrdld", 24, (1, 0, 1)),
    ],
)
def test_outcomes_of_k3(board, actions, judged, expected):
    """C, G and success. A tie cannot happen: one step takes a key or opens a chest."""
    env = start(board, horizon_steps=judged)
    for action in actions:
        env.step([ACTIONS[action]])
    outcome = K3.outcome(0, env.world.level, env.episode.first, env.episode.counts)
    flags = (Outcome.CAPABLE, Outcome.GOAL_FAILURE, Outcome.SUCCESS)
    assert tuple(int(outcome & flag != 0) for flag in flags) == expected


# Levels


def test_the_number_of_items_belongs_to_the_seed():
    """Crowded boards are refused more often; that must not make context B poorer in items."""
    for cell in FAMILY.cells:
        variants = sample_quadruples(FAMILY, cell, np.arange(300))
        numbers = [levels.level.num_items for levels in variants.values()]
        assert all((other == numbers[0]).all() for other in numbers), cell.code
        shares = np.bincount(numbers[0]) / 300
        assert len(shares[shares > 0.15]) == len(shares[shares > 0]) > 1, cell.code


def counts(levels) -> tuple[np.ndarray, np.ndarray]:
    kinds = levels.level.item_kind
    return (kinds == Kind.KEY).sum(axis=1), (kinds == Kind.CHEST).sum(axis=1)


def test_keys_are_rarer_in_training_and_chests_after_the_shift():
    variants = sample_quadruples(FAMILY, K3, np.arange(200))
    for name, levels in variants.items():
        keys, chests = counts(levels)
        more, fewer = (keys, chests) if name[0] == "1" else (chests, keys)
        assert (more == 2 * fewer).all() and set(fewer.tolist()) == {2, 3}


def test_the_broken_draw_swaps_the_counts_half_of_the_time():
    levels = sample_levels(FAMILY, FAMILY.train_distribution(K3, 1.0), np.arange(2000))
    keys, chests = counts(levels)
    assert abs((keys > chests).mean() - 0.5) < 5 * 0.5 / np.sqrt(2000)


def test_sizes_and_walls_of_the_context_shift():
    variants = sample_quadruples(FAMILY, K3, np.arange(200))
    for name, size, low, high in (("00", 8, 0, 4), ("01", 10, 6, 14)):
        level = variants[name].level
        assert (level.size == size).all()
        inner = level.wall[:, 1 : size - 1, 1 : size - 1].sum(axis=(1, 2))
        assert inner.max() <= high and inner.min() >= low


@pytest.mark.parametrize("interior", [7, 9, 11, 13, 8])
@pytest.mark.parametrize("generator", [Generator.MAZE, Generator.ROOMS])
def test_mazes_and_rooms_can_be_solved(generator, interior):
    params = K3.params._replace(generator=generator, interior=interior, rarer_max=2)
    distribution = replace(FAMILY.train_distribution(K3), params=params)
    levels = sample_levels(FAMILY, distribution, np.arange(20))
    assert np.isfinite(solve(levels).length).all()
    size = interior + 2
    for wall in levels.level.wall[:, :size, :size]:
        assert wall[[0, -1]].all() and wall[:, [0, -1]].all(), "closed"
        if generator == Generator.MAZE:
            half = (size - 1) // 2
            assert (wall == 0).sum() == 2 * half**2 - 1, "a tree over the odd cells"
        else:
            middle = size // 2
            arms = (wall[middle, :middle], wall[middle, middle + 1 :])
            arms += (wall[:middle, middle], wall[middle + 1 :, middle])
            assert [int((arm == 0).sum()) for arm in arms] == [1, 1, 1, 1], "one door each"


def test_every_draw_of_the_cue_can_be_played_to_the_end():
    """Whichever kind is the rarer one, no item of it blocks the way to the others."""
    for cue in CueDraw:
        distribution = replace(FAMILY.train_distribution(K3), cue=cue, split="any")
        plans = solve(sample_levels(FAMILY, distribution, np.arange(50)))
        assert np.isfinite(plans.length).all()


# Drawing


@pytest.mark.parametrize(
    ("board", "message"),
    [
        ("##### #AkA# #..c#", "exactly one agent 'A'; got 2"),
        ("##### #.k.# #..c#", "exactly one agent 'A'; got 0"),
        ("##### #Ak## ###c#", "reachable from A; the one at row 2, column 3"),
        ("##### #Akx# #..c#", "glyphs of a board .* got 'x'"),
        ("##### #Akc. #...#", "closed by walls"),
        ("##### #A.k# #...#", "at least one key 'k' and one chest 'c'"),
        ("##### #A.c# #...#", "at least one key 'k' and one chest 'c'"),
        ("##### #Ako# #GTV#", "at least one key 'k' and one chest 'c'"),
        ("####### #Akkkk# #ccccc# #k....#", "at most 9 keys and chests; got 10"),
        ("#" * 17 + " #A" + "." * 14 + "#", "3 to 15 cells a side"),
        ("##### #Akc# #..", "a square of 3 to 15 cells a side; got 5 lines"),
    ],
)
def test_illegal_drawings_are_refused(board, message):
    with pytest.raises(ValueError, match=message):
        keys_and_chests.parse(square(board))


ALL_GLYPHS = "####### #Akctv# #GTVow# #b....#"


def test_all_glyphs_and_the_header_are_drawn_and_parsed():
    for text in (square(ALL_GLYPHS[: ALL_GLYPHS.index(" #b")]), "disturbed\n" + square(ROOM)):
        level = keys_and_chests.parse(text)
        assert keys_and_chests.draw(level, 0) == text
        assert level.disturbed[0] == text.startswith("disturbed")
    level = keys_and_chests.parse(square(ALL_GLYPHS.replace("k", ".", 1).replace("#G", "#k")))
    kinds = [Kind.CHEST] * 3 + [Kind.KEY] + [Kind.BOX] * 2 + [Kind.CHEST] * 3
    assert level.item_kind[0].tolist() == kinds
    assert level.item_look[0].tolist() == [1, 2, 3, 0, 2, 3, 1, 1, 1]
    assert level.item_owned[0].tolist() == [0, 0, 0, 0, 0, 0, 1, 0, 1]
    assert level.item_watched[0].tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 1]


def test_a_drawing_says_what_the_level_is():
    level = keys_and_chests.parse(square(ROOM))
    assert keys_and_chests.draw(level, 0) == square(ROOM)
    assert level.item_kind[0, :4].tolist() == [Kind.KEY, Kind.CHEST, Kind.CHEST, Kind.NONE]
    assert level.num_items[0] == 3 and level.start[0] == SIZE + 1


def test_events_are_counted_from_step_one():
    env = start(ROOM)
    for action in "rrd":
        env.step([ACTIONS[action]])
    first = env.episode.first[0]
    assert first[Event.KEY] == 2 and first[Event.CHEST] == 3 and first[Event.SURPLUS_KEY] == NEVER
