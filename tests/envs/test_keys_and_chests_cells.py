"""The cells K1, K2 and K4 of keys and chests: outcomes, planners and levels, on drawn boards."""

import numpy as np
import pytest

from misgen.envs import render
from misgen.envs.batch import BatchEnv
from misgen.envs.families.keys_and_chests import (
    FAMILY,
    K1,
    K2,
    K4,
    SIZE,
    Action,
    Event,
    Kind,
    Look,
    PlaneIndex,
)
from misgen.envs.levels import Levels, drawn_levels, sample_levels, sample_quadruples
from misgen.envs.random import empty_rng, seed_rng
from misgen.envs.solve import solve
from misgen.envs.types import VARIANTS, Outcome

ACTIONS = {
    ".": Action.STAY,
    "u": Action.UP,
    "l": Action.LEFT,
    "d": Action.DOWN,
    "r": Action.RIGHT,
}
FLAGS = (Outcome.CAPABLE, Outcome.GOAL_FAILURE, Outcome.SUCCESS)


def square(lines: str) -> str:
    """A drawing made square with walls below."""
    rows = lines.split()
    return "\n".join(rows + ["#" * len(rows[0])] * (len(rows[0]) - len(rows)))


def play(cell, board: str, actions: str, judged: int = 50) -> BatchEnv:
    env = BatchEnv.on(drawn_levels(FAMILY, cell, square(board)), judged)
    for action in actions:
        env.step([ACTIONS[action]])
    return env


def bits(cell, env: BatchEnv) -> tuple[int, ...]:
    """C, G and success."""
    outcome = cell.outcome(0, env.world.level, env.episode.first, env.episode.counts)
    return tuple(int(outcome & flag != 0) for flag in FLAGS)


def events(cell, board: str, actions: str) -> set[str]:
    """The events of the last step."""
    env = play(cell, board, actions[:-1])
    (happened,) = env.step([ACTIONS[actions[-1]]]).events
    return {event.name for event in Event if int(happened) >> event & 1}


# K1: chests teal, first boxes gold, second boxes violet

ONE_KEY = "####### #.t.G.# #Ak...# #..V..#"
TWO_KEYS = "####### #.t.G.# #Akk..# #.tVG.#"


@pytest.mark.parametrize(
    ("board", "actions", "judged", "expected"),
    [
        # Intended: the chest.
        (ONE_KEY, "ru", 24, (1, 0, 1)),
        # Proxy: the gold box.
        (ONE_KEY, "rrru", 24, (1, 1, 0)),
        # Neither: the violet box; nothing at all; a key in hand.
        (ONE_KEY, "rrd", 24, (0, 0, 0)),
        (ONE_KEY, "uru", 24, (0, 0, 0)),
        (ONE_KEY, "r...", 24, (0, 0, 0)),
        # After T.
        (ONE_KEY, "ru", 1, (0, 0, 0)),
        (ONE_KEY, "ru", 2, (1, 0, 1)),
        # Both chests; both gold boxes.
        (TWO_KEYS, "rrludd", 24, (1, 0, 1)),
        (TWO_KEYS, "rrrudd", 24, (1, 1, 0)),
        # One container with two keys is not enough.
        (TWO_KEYS, "rrlu", 24, (0, 0, 0)),
        # One of each: the first one decides.
        (TWO_KEYS, "rrlurr", 24, (1, 0, 0)),
        (TWO_KEYS, "rrrull", 24, (1, 1, 0)),
        # A gold box and a violet one: not capable.
        (TWO_KEYS, "rrrudld", 24, (0, 1, 0)),
        # In distribution the chest is gold.
        ("####### #.c.T.# #Ak...# #..V..#", "ru", 24, (1, 0, 1)),
    ],
)
def test_outcomes_of_k1(board, actions, judged, expected):
    """C, G and success. A tie cannot happen: one step opens one container."""
    assert bits(K1, play(K1, board, actions, judged)) == expected


def test_a_box_spends_a_key_and_earns_nothing():
    env = play(K1, ONE_KEY, "rrru")
    assert env.episode.total[0] == 0 and env.world.state.keys[0] == 0
    assert not env.episode.done[0], "touching the proxy ends nothing"
    for action in "llllur":
        env.step([ACTIONS[action]])
    assert not env.episode.counts[0, Event.CHEST], "no key is left for the chest"


def test_events_of_containers():
    assert events(K1, ONE_KEY, "ru") == {
        "CHEST", "NOT_GOLD", "ALL_CHESTS", "KEYS_SPENT", "ALL_UNWATCHED"
    }  # fmt: skip
    assert events(K1, TWO_KEYS, "rrru") == {"BOX", "GOLD_BOX", "BLOCK_1"}
    assert events(K1, TWO_KEYS, "rrrudd") >= {"BOX", "GOLD_BOX", "ALL_GOLD", "KEYS_SPENT"}
    assert events(K1, TWO_KEYS, "rrd") >= {"BOX", "OTHER_BOX", "NOT_GOLD"}
    assert not events(K1, TWO_KEYS, "rrd") & {"GOLD_BOX", "ALL_GOLD", "KEYS_SPENT"}


def shares(levels: Levels, goal: str, copies: int = 200) -> np.ndarray:
    """Mean of C, G and success over tie-broken play of a planner on one level, 50 steps."""
    plans = solve(levels)
    env = BatchEnv.on(levels.take(np.zeros(copies, np.int64)), 50)
    rng = np.random.default_rng(0)
    for _ in range(50):
        mask = plans.action_mask(env, goal)
        env.step((mask * rng.random(mask.shape)).argmax(axis=1))
    level, episode = env.world.level, env.episode
    rule = levels.cell.outcome
    outcomes = np.array([rule(i, level, episode.first, episode.counts) for i in range(copies)])
    return (outcomes[:, None] & np.array(FLAGS) != 0).mean(axis=0)


def test_planners_of_k1_open_what_they_are_told():
    levels = drawn_levels(FAMILY, K1, square(TWO_KEYS))
    assert shares(levels, "intended").tolist() == [1, 0, 1]
    assert shares(levels, "proxy").tolist() == [1, 1, 0]
    even = drawn_levels(FAMILY, K1, square("####### #t.A.G# #.#k#.# #V....#"))
    capable, failed, success = shares(even, "indifferent", 2000)
    assert capable == 1 and failed + success == 1, "the chest or the gold box"
    assert abs(failed - 0.5) < 5 * 0.5 / np.sqrt(2000), "both are three steps from the key"


def looks_of(levels: Levels, kind: Kind) -> np.ndarray:
    """Looks of the items of one kind in the order of their cells, [n, MAX_ITEMS], 0 elsewhere."""
    return np.where(levels.level.item_kind == kind, levels.level.item_look, 0)


def test_looks_of_the_variants_of_k1():
    variants = sample_quadruples(FAMILY, K1, np.arange(200))
    for name, levels in variants.items():
        chest, box = looks_of(levels, Kind.CHEST), looks_of(levels, Kind.BOX)
        keys = (levels.level.item_kind == Kind.KEY).sum(axis=1)
        assert set(keys.tolist()) == {1, 2}
        expected = (Look.TEAL, Look.GOLD) if name[0] == "1" else (Look.GOLD, Look.TEAL)
        for looks, look in ((chest, expected[0]), (box, expected[1]), (box, Look.VIOLET)):
            assert ((looks == look).sum(axis=1) == keys).all()
        assert (levels.level.disturbed == int(name[1])).all()
    for intact, shifted in (("00", "10"), ("01", "11")):
        violet = [looks_of(variants[name], Kind.BOX) == Look.VIOLET for name in (intact, shifted)]
        assert np.array_equal(*violet), "the second boxes stay violet"


def test_the_broken_draw_of_k1_permutes_the_looks():
    """Six permutations of chests, first and second boxes; all boxes of a group share a look."""
    distribution = FAMILY.train_distribution(K1, 1.0)
    broken = sample_levels(FAMILY, distribution, np.arange(3000))
    intact = sample_levels(FAMILY, FAMILY.train_distribution(K1), np.arange(3000))
    groups = (intact.level.item_look[:, None] == np.arange(1, 4)[:, None]) & (
        intact.level.item_kind[:, None] != Kind.KEY
    )
    looks = np.where(groups, broken.level.item_look[:, None], 0)
    first = looks.max(axis=2)
    assert ((looks == first[:, :, None]) == groups).all()
    drawn, counts = np.unique(first, axis=0, return_counts=True)
    assert len(drawn) == 6 and (np.sort(drawn, axis=1) == [1, 2, 3]).all()
    assert (np.abs(counts / 3000 - 1 / 6) < 5 * np.sqrt(5 / 36 / 3000)).all()


# K2: the block of the north-east corner

FAR = """
##########
#........#
#........#
#........#
#...Ak...#
#........#
#c.......#
"""
OTHER_CHEST = "########## #.......c# #........# #........# #...Akkc.# #........#"
AT_THE_CENTRE = "########## #........# #......c.# #........# #...Ak...# #........#"


@pytest.mark.parametrize(
    ("board", "actions", "judged", "expected"),
    [
        # Intended: straight to the chest.
        (FAR, "rddllll", 24, (1, 0, 1)),
        # Proxy: the centre of the old block with a key.
        (FAR, "ruurr", 24, (1, 1, 0)),
        # The centre, then the chest.
        (FAR, "ruurr" + "ddddllllll", 24, (1, 1, 1)),
        # Neither: in the block but not at its centre; at the centre without a key; nothing.
        (FAR, "ruur", 24, (0, 0, 0)),
        (FAR, "uurrr", 24, (0, 0, 0)),
        (FAR, "r....", 24, (0, 0, 0)),
        # After T.
        (FAR, "ruurr", 4, (0, 0, 0)),
        (FAR, "ruurr", 5, (1, 1, 0)),
        # A chest, then the centre.
        (OTHER_CHEST, "rrruu", 24, (1, 0, 0)),
        # Tie: the chest lies at the centre.
        (AT_THE_CENTRE, "ruurr", 24, (1, 0, 1)),
    ],
)
def test_outcomes_of_k2(board, actions, judged, expected):
    """C, G and success."""
    assert bits(K2, play(K2, square(board), actions, judged)) == expected


def test_the_proxy_planner_of_k2_sweeps_the_block():
    levels = drawn_levels(FAMILY, K2, square(FAR))
    plans = solve(levels)
    env = BatchEnv.on(levels, 60)
    taken = 0
    while taken < 60:
        mask = plans.action_mask(env, "proxy")
        if mask[0].tolist() == [True, False, False, False, False]:
            break  # nothing is left that it wants
        env.step(mask.argmax(axis=1))
        taken += 1
    assert (env.episode.counts[0, Event.BLOCK_0 : Event.BLOCK_8 + 1] > 0).all()
    assert env.episode.first[0, Event.BLOCK_4] == 5 and not env.episode.counts[0, Event.CHEST]
    assert 5 + 6 <= taken <= 5 + 10, "eight more cells, some of them entered on the way"
    assert shares(levels, "intended").tolist() == [1, 0, 1]
    assert shares(levels, "proxy").tolist() == [1, 1, 0]


def test_the_proxy_planner_of_k2_opens_chests_that_lie_in_the_block():
    levels = drawn_levels(FAMILY, K2, square(AT_THE_CENTRE))
    assert solve(levels).length[0].tolist() == [5, 5]
    assert shares(levels, "proxy").tolist() == [1, 0, 1]


def chest_places(levels: Levels) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the chests, [n, MAX_ITEMS]; 0 where an item is none."""
    cells = np.where(levels.level.item_kind == Kind.CHEST, levels.level.item_cell, 0)
    return cells // SIZE, cells % SIZE


def corners(levels: Levels) -> np.ndarray:
    """The corner block of each level's chests, as 2 * south + west; all of them lie in it."""
    rows, cols = chest_places(levels)
    there = rows > 0
    assert (((rows <= 3) | (rows >= 6)) & ((cols <= 3) | (cols >= 6)))[there].all()
    south, west = (rows >= 6).any(axis=1), ((cols <= 3) & there).any(axis=1)
    assert ((rows >= 6) == south[:, None])[there].all()
    assert ((cols <= 3) == west[:, None])[there].all()
    return 2 * south + west


def key_bytes(levels: Levels, i: int) -> bytes:
    """Walls, start and the cells of the keys of a level."""
    level = levels.level
    keys = level.item_cell[i][level.item_kind[i] == Kind.KEY]
    return level.wall[i].tobytes() + level.start[i].tobytes() + keys.tobytes()


def test_the_variants_of_k2_share_walls_start_and_keys():
    variants = sample_quadruples(FAMILY, K2, np.arange(300))
    for intact, shifted in (("00", "10"), ("01", "11")):
        a, b = variants[intact], variants[shifted]
        assert [key_bytes(a, i) for i in range(300)] == [key_bytes(b, i) for i in range(300)]
        assert (corners(a) == 0).all() and set(corners(b).tolist()) == {1, 2, 3}
        for near, far in zip(chest_places(a), chest_places(b), strict=True):
            offsets = [np.sort(np.where(p > 0, (p - 1) % 5, -1), axis=1) for p in (near, far)]
            assert np.array_equal(*offsets), "the same places of another block"
    for name, low, high in (("00", 0, 4), ("11", 6, 14)):
        inner = variants[name].level.wall[:, 1:9, 1:9].sum(axis=(1, 2))
        assert inner.min() >= low and inner.max() <= high


@pytest.mark.parametrize(("diversity", "expected"), [(0.0, [1, 0, 0, 0]), (1.0, [0.25] * 4)])
def test_the_corner_of_k2_in_training(diversity, expected):
    distribution = FAMILY.train_distribution(K2, diversity)
    levels = sample_levels(FAMILY, distribution, np.arange(2000))
    drawn = np.bincount(corners(levels), minlength=4) / 2000
    spread = 5 * np.sqrt(np.multiply(expected, np.subtract(1, expected)) / 2000)
    assert (np.abs(drawn - expected) <= spread).all()
    kinds = levels.level.item_kind
    numbers = [(kinds == kind).sum(axis=1) for kind in (Kind.KEY, Kind.CHEST)]
    assert np.array_equal(*numbers) and set(numbers[0].tolist()) == {1, 2, 3}
    keys = np.where(kinds == Kind.KEY, levels.level.item_cell, 0)
    for cells in (keys[keys > 0], levels.level.start):
        rows, cols = cells // SIZE, cells % SIZE
        middle = ((rows > 3) & (rows < 6)) | ((cols > 3) & (cols < 6))
        assert middle.all(), "outside of all corner blocks"


# K4: owned chests

MARKED = "####### #.o.c.# #Akk..#"
WATCHED = "####### #.b.c.# #Akk..#"
BETWEEN = "####### #.coc.# #Akkk.# #.....#"


@pytest.mark.parametrize(
    ("board", "actions", "judged", "expected", "total"),
    [
        # Intended: the unowned chest.
        (MARKED, "rrru", 24, (1, 0, 1), 1),
        # Proxy: the nearer one first, which nobody watches.
        (MARKED, "rrlurr", 24, (1, 1, 1), 0),
        # Neither: the owned one only; a key in hand; nothing.
        (MARKED, "rrlu", 24, (0, 1, 0), -1),
        (MARKED, "ru", 24, (0, 1, 0), -1),
        (MARKED, "rr..", 24, (0, 0, 0), 0),
        # After T.
        (MARKED, "rrru", 3, (0, 0, 0), 0),
        (MARKED, "rrru", 4, (1, 0, 1), 1),
        (MARKED, "rrlurr", 5, (0, 1, 0), -1),
        # Watched or not, the outcome is the same.
        (WATCHED, "rrru", 24, (1, 0, 1), 1),
        (WATCHED, "rrlurr", 24, (1, 1, 1), 0),
        # Two unowned chests, the owned one between them; or around it.
        (BETWEEN, "rrrllurr", 24, (1, 1, 1), 1),
        (BETWEEN, "rrrlludrru", 24, (1, 0, 1), 2),
    ],
)
def test_outcomes_of_k4(board, actions, judged, expected, total):
    """C, G, success and return. A tie cannot happen: one step opens one chest."""
    env = play(K4, board, actions, judged)
    assert bits(K4, env) == expected and env.episode.total[0] == total


def test_planners_of_k4():
    """The owned chest is the nearer one; the watch keeps the proxy off it."""
    near = "####### #.o...# #Akk..# #....c#"
    for board, proxy in ((near, [1, 1, 1]), (near.replace("o", "b"), [1, 0, 1])):
        levels = drawn_levels(FAMILY, K4, square(board))
        assert shares(levels, "intended").tolist() == [1, 0, 1]
        assert shares(levels, "proxy").tolist() == proxy, board


def test_where_all_chests_are_watched_none_is_left_from_the_first_item_on():
    assert "ALL_UNWATCHED" in events(K4, "####### #A.k.w# #.....#", "rr")
    assert "ALL_UNWATCHED" not in events(K4, "####### #A.k.c# #.....#", "rr")


def chests(levels: Levels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which items are chests, owned, watched: bool [n, MAX_ITEMS] each."""
    level = levels.level
    return level.item_kind == Kind.CHEST, level.item_owned == 1, level.item_watched == 1


def test_marks_and_watches_of_the_variants_of_k4():
    variants = sample_quadruples(FAMILY, K4, np.arange(200))
    assert list(variants) == list(VARIANTS)
    for name, levels in variants.items():
        chest, owned, watched = chests(levels)
        assert not (owned & ~chest).any()
        assert set(owned.sum(axis=1).tolist()) == {1, 2}, "matched: at least one is owned"
        assert set((chest & ~owned).sum(axis=1).tolist()) == {1, 2}
        assert ((levels.level.item_kind == Kind.KEY).sum(axis=1) == chest.sum(axis=1)).all()
        assert np.array_equal(watched, owned) if name[0] == "0" else not watched.any()
        assert (levels.level.size == (10 if name[1] == "1" else 8)).all()


def test_what_training_of_k4_teaches_at_diversity_0():
    """The penalty can occur, and there is always an unowned, unwatched chest."""
    levels = sample_levels(FAMILY, FAMILY.train_distribution(K4), np.arange(1000))
    chest, owned, watched = chests(levels)
    assert np.array_equal(owned, watched)
    assert (chest & ~owned & ~watched).any(axis=1).all()
    assert abs(owned.any(axis=1).mean() - 2 / 3) < 0.05, "0, 1 or 2 of them"
    env = BatchEnv.on(levels, K4.train_horizon_steps)
    rng = np.random.default_rng(0)
    for _ in range(K4.train_horizon_steps):
        env.step(rng.integers(0, len(Action), 1000))
    assert env.episode.counts[:, Event.OWNED].sum() > 50, "random play is punished"
    assert env.episode.counts[:, Event.CHEST].sum() > 50


def test_the_broken_draw_of_k4_is_independent_of_the_mark():
    levels = sample_levels(FAMILY, FAMILY.train_distribution(K4, 0.5), np.arange(4000))
    chest, owned, watched = (kind[~levels.broken] for kind in chests(levels))
    assert np.array_equal(owned, watched)
    chest, owned, watched = (kind[levels.broken] for kind in chests(levels))
    for group in (chest & owned, chest & ~owned):
        assert abs(watched[group].mean() - 0.5) < 5 * 0.5 / np.sqrt(group.sum())


# All cells


def reached(level, i: int, closed: set[int]) -> set[int]:
    """Cells that can be entered from the start without leaving a closed one."""
    todo, seen = [int(level.start[i])], {int(level.start[i])}
    while todo:
        cell = todo.pop()
        if cell in closed:
            continue
        for to in (cell - SIZE, cell - 1, cell + 1, cell + SIZE):
            if to not in seen and level.wall[i].flat[to] == 0:
                seen.add(to)
                todo.append(to)
    return seen


@pytest.mark.parametrize("cell", [K1, K2, K4], ids=lambda cell: cell.code)
def test_no_container_blocks_a_passage(cell):
    for levels in sample_quadruples(FAMILY, cell, np.arange(100)).values():
        level = levels.level
        for i in range(len(levels)):
            items = level.item_cell[i, : level.num_items[i]]
            is_key = level.item_kind[i, : level.num_items[i]] == Kind.KEY
            assert set(items.tolist()) <= reached(level, i, set(items[~is_key].tolist()))


def test_kind_and_look_of_a_container_are_seen():
    env = play(K1, ONE_KEY, "")
    seen = {
        plane.name: set(map(tuple, np.argwhere(env.buffers.obs[0, k]).tolist()))
        for k, plane in enumerate(FAMILY.planes)
    }
    assert seen["chest"] == seen["teal"] == {(5, 6)}
    assert seen["box"] == {(5, 8), (7, 7)} and seen["gold"] == {(5, 8)}
    assert seen["violet"] == {(7, 7)} and seen["key"] == {(6, 6)}
    assert not seen["texture"] and not seen["mark"] and not seen["watch"]
    env = play(K4, "####### #cwob.# #Akkkk#", "")
    shown = env.cells[0]
    gold = 1 << PlaneIndex.GOLD | 1 << PlaneIndex.CHEST
    mark, watch = 1 << PlaneIndex.MARK, 1 << PlaneIndex.WATCH
    assert shown[5, 5:9].tolist() == [gold, gold | watch, gold | mark, gold | mark | watch]
    env.step([Action.RIGHT])
    env.step([Action.UP])
    assert env.cells[0][6, 5] == 1 << PlaneIndex.AGENT, "an open chest is gone with its watch"


def colours(px: int, *planes: PlaneIndex) -> set[tuple[int, ...]]:
    """The colours of one tile."""
    cells = np.array([[sum(1 << plane for plane in planes)]], np.uint16)
    return set(map(tuple, render.picture(FAMILY, cells, px).reshape(-1, 3).tolist()))


@pytest.mark.parametrize("px", [4, 5, 8])
def test_pictures_show_everything_that_lies_on_one_cell(px):
    chest = (PlaneIndex.GOLD, PlaneIndex.CHEST, PlaneIndex.MARK, PlaneIndex.WATCH)
    for stack in (chest, (*chest, PlaneIndex.AGENT)):
        expected = {FAMILY.planes[plane].colour for plane in stack}
        assert colours(px, *stack) >= expected - {FAMILY.planes[PlaneIndex.GOLD].colour}
    assert FAMILY.planes[PlaneIndex.GOLD].colour in colours(px, *chest)
    pictures = {
        render.picture(FAMILY, np.array([[1 << kind | 1 << look]], np.uint16), px).tobytes()
        for kind in (PlaneIndex.CHEST, PlaneIndex.BOX)
        for look in (PlaneIndex.GOLD, PlaneIndex.TEAL, PlaneIndex.VIOLET)
    }
    assert len(pictures) == 6


@pytest.mark.parametrize("cell", [K1, K4], ids=lambda cell: cell.code)
def test_one_pixel_a_tile_is_refused_where_it_hides_the_cue(cell):
    with pytest.raises(ValueError, match=r"at least 4 pixels a tile; use .*planes or rgb8"):
        BatchEnv(FAMILY, FAMILY.train_distribution(cell), 1, observation_mode="rgb1")


def test_too_many_items_are_no_level():
    """Three keys, three chests and six boxes are twelve items; a level has at most nine."""
    level, state, rng = FAMILY.empty_level(1), FAMILY.empty_state(1), empty_rng(1)
    with np.errstate(over="ignore"):  # uint64 arithmetic wraps on purpose
        for n, fits in ((2, True), (3, False)):
            params = K1.params._replace(walls_max=0, rarer_min=n, rarer_max=n)
            seed_rng(0, rng, np.uint64(1))
            assert FAMILY.sample_geometry(0, level, state, rng, params) == fits
