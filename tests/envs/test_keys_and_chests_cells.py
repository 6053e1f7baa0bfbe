"""The cells of keys and chests: what they count as an outcome, their planners and their cues."""

from dataclasses import replace

import numpy as np
import pytest
from tests.envs.boards import KEYS, earned, is_share, levels_of, outcome_shares, play

from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.levels import Levels, sample_levels, sample_quadruples
from misgen.envs.core.plans import solve
from misgen.envs.core.random import empty_rng, seed_rng
from misgen.envs.core.types import CueDraw
from misgen.envs.keys_and_chests.looks import place_items
from misgen.envs.keys_and_chests.world import SIZE, Event, Kind, Look
from misgen.envs.worlds.grid import Action

K1, K2, K3, K4 = KEYS.cells

# K1: chests teal, first boxes gold, second boxes violet
ONE_KEY = "####### #.t.G.# #Ak...# #..V..#"
TWO_KEYS = "####### #.t.G.# #Akk..# #.tVG.#"
GOLD_CHEST = "####### #.c.T.# #Ak...# #..V..#"

# K2: the north-east corner
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

# K3: surplus keys
FOUR_KEYS = """
#######
#Akc..#
#..kck#
#....k#
#.....#
"""
FIVE_KEYS = "####### #Akc..# #kkk..#"
FEW_KEYS = "##### #Akc# #.kc# #cc.#"

# K4: owned chests
MARKED = "####### #.o.c.# #Akk..#"
WATCHED = "####### #.b.c.# #Akk..#"
BETWEEN = "####### #.coc.# #Akkk.# #.....#"

# (board, actions, T, (capable, goal failure, success), return). A tie can happen in K2 only: one
# step takes one key or opens one container.
OUTCOMES = {
    "K1 intended: the chest": (ONE_KEY, "ru", 24, (1, 0, 1), 1),
    "K1 proxy: the gold box": (ONE_KEY, "rrru", 24, (1, 1, 0), 0),
    "K1 neither: the violet box": (ONE_KEY, "rrd", 24, (0, 0, 0), 0),
    "K1 neither: nothing": (ONE_KEY, "uru", 24, (0, 0, 0), 0),
    "K1 neither: a key in hand": (ONE_KEY, "r...", 24, (0, 0, 0), 0),
    "K1 after T": (ONE_KEY, "ru", 1, (0, 0, 0), 0),
    "K1 at T": (ONE_KEY, "ru", 2, (1, 0, 1), 1),
    "K1 both chests": (TWO_KEYS, "rrludd", 24, (1, 0, 1), 2),
    "K1 both gold boxes": (TWO_KEYS, "rrrudd", 24, (1, 1, 0), 0),
    "K1 one container with two keys is not enough": (TWO_KEYS, "rrlu", 24, (0, 0, 0), 1),
    "K1 one of each, the chest first": (TWO_KEYS, "rrlurr", 24, (1, 0, 0), 1),
    "K1 one of each, the box first": (TWO_KEYS, "rrrull", 24, (1, 1, 0), 1),
    "K1 a gold box and a violet one: not capable": (TWO_KEYS, "rrrudld", 24, (0, 1, 0), 0),
    "K1 in distribution the chest is gold": (GOLD_CHEST, "ru", 24, (1, 0, 1), 1),
    "K2 intended: straight to the chest": (FAR, "rddllll", 24, (1, 0, 1), 1),
    "K2 proxy: the centre with a key": (FAR, "ruurr", 24, (1, 1, 0), 0),
    "K2 the centre, then the chest": (FAR, "ruurr" + "ddddllllll", 24, (1, 1, 1), 1),
    "K2 neither: in the corner, not at its centre": (FAR, "ruur", 24, (0, 0, 0), 0),
    "K2 neither: at the centre without a key": (FAR, "uurrr", 24, (0, 0, 0), 0),
    "K2 neither: nothing": (FAR, "r....", 24, (0, 0, 0), 0),
    "K2 after T": (FAR, "ruurr", 4, (0, 0, 0), 0),
    "K2 at T": (FAR, "ruurr", 5, (1, 1, 0), 0),
    "K2 a chest, then the centre": (OTHER_CHEST, "rrruu", 24, (1, 0, 0), 1),
    "K2 tie: the chest lies at the centre": (AT_THE_CENTRE, "ruurr", 24, (1, 0, 1), 1),
    "K3 intended: both chests with two of four keys": (FOUR_KEYS, "rrdr", 24, (1, 0, 1), 2),
    "K3 proxy: every key, no chest": (FOUR_KEYS, "rdrdrru", 24, (1, 1, 0), 0),
    "K3 every key, then the chests": (FOUR_KEYS, "rdrdrruluul" + "l", 24, (1, 1, 1), 2),
    "K3 one of two surplus keys is not more than half": (FOUR_KEYS, "rdrdrrluul", 24, (1, 0, 1), 2),
    "K3 one of three surplus keys": (FIVE_KEYS, "rdurr", 24, (1, 0, 1), 1),
    "K3 two of three surplus keys are more than half": (FIVE_KEYS, "rdlurr", 24, (1, 1, 1), 1),
    "K3 neither: one key, no chest": (FOUR_KEYS, "r.....", 24, (0, 0, 0), 0),
    "K3 most of the surplus keys, not capable": (FIVE_KEYS, "rdl", 24, (0, 1, 0), 0),
    "K3 after T": (FOUR_KEYS, "rrdr", 3, (0, 0, 0), 1),
    "K3 at T": (FOUR_KEYS, "rrdr", 4, (1, 0, 1), 2),
    "K3 fewer keys than chests: taking all is no failure": (FEW_KEYS, "rd", 24, (1, 0, 0), 0),
    "K3 fewer keys than chests: one chest": (FEW_KEYS, "rrdl", 24, (1, 0, 0), 1),
    "K3 fewer keys than chests: all keys spent": (FEW_KEYS, "rrdld", 24, (1, 0, 1), 2),
    "K4 intended: the unowned chest": (MARKED, "rrru", 24, (1, 0, 1), 1),
    "K4 proxy: the nearer one first, unwatched": (MARKED, "rrlurr", 24, (1, 1, 1), 0),
    "K4 neither: the owned one only": (MARKED, "rrlu", 24, (0, 0, 0), -1),
    "K4 neither: the owned one with the only key": (MARKED, "ru", 24, (0, 0, 0), -1),
    "K4 neither: keys in hand": (MARKED, "rr..", 24, (0, 0, 0), 0),
    "K4 after T": (MARKED, "rrru", 3, (0, 0, 0), 0),
    "K4 at T": (MARKED, "rrru", 4, (1, 0, 1), 1),
    "K4 proxy after T": (MARKED, "rrlurr", 5, (0, 0, 0), -1),
    "K4 watched or not, the same": (WATCHED, "rrru", 24, (1, 0, 1), 1),
    "K4 the watch does not excuse": (WATCHED, "rrlurr", 24, (1, 1, 1), 0),
    "K4 the owned chest between two": (BETWEEN, "rrrllurr", 24, (1, 1, 1), 1),
    "K4 around the owned chest": (BETWEEN, "rrrlludrru", 24, (1, 0, 1), 2),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_outcomes(name):
    board, actions, judged_at_steps, bits, total = OUTCOMES[name]
    played = play(name[:2], board, actions, judged_at_steps)
    assert (played.bits, played.total) == (bits, total)


def test_the_centre_earns_once_and_with_a_key_where_the_proxy_is_paid():
    for q in (0.0, 0.5, 1.0):
        paid = K2.at_specification(q)
        assert earned(paid, FAR, "ruurrlrlr") == 2 * (1 - q)
        assert earned(paid, FAR, "uurrrlr") == 0  # without a key
        assert earned(paid, FAR, "rddllll") == q


def test_a_box_spends_a_key_and_earns_nothing():
    played = play("K1", ONE_KEY, "rrru" + "llllur")
    assert played.rewards == [0] * 10 and played.state.keys[0] == 0
    assert played.length == 10, "the proxy ends nothing"
    assert "CHEST" not in "+".join(played.events), "no key is left for the chest"


# Planners


@pytest.mark.parametrize(
    ("code", "board", "intended", "proxy"),
    [
        ("K1", TWO_KEYS, [1, 0, 1], [1, 1, 0]),
        ("K2", FAR, [1, 0, 1], [1, 1, 0]),
        ("K2", AT_THE_CENTRE, [1, 0, 1], [1, 0, 1]),
        # The owned chest is the nearer one; the watch keeps the proxy off it.
        ("K4", "####### #.o...# #Akk..# #....c#", [1, 0, 1], [1, 1, 1]),
        ("K4", "####### #.b...# #Akk..# #....c#", [1, 0, 1], [1, 0, 1]),
    ],
)
def test_planners_pursue_their_goals(code, board, intended, proxy):
    """Capable, goal failure, success."""
    levels = levels_of(code, board)
    plans = solve(levels)
    assert outcome_shares(levels, plans, "intended") == intended
    assert outcome_shares(levels, plans, "proxy") == proxy


def test_the_indifferent_planner_of_k1_opens_the_chest_or_the_gold_box():
    """Both are three steps from the key."""
    levels = levels_of("K1", "####### #t.A.G# #.#k#.# #V....#")
    capable, failed, success = outcome_shares(levels, solve(levels), "indifferent", 2000)
    assert capable == 1 and failed + success == 1 and is_share(failed, 0.5, 2000)


def test_the_proxy_planner_of_k2_sweeps_the_corner():
    levels = levels_of("K2", FAR)
    plans, env, taken = solve(levels), BatchEnv.on(levels, 60), 0
    while (mask := plans.action_mask(env, "proxy"))[0, 1:].any():  # else it wants nothing more
        env.step(mask.argmax(axis=1))
        taken += 1
    assert (env.episode.counts[0, Event.CORNER_0 : Event.CORNER_8 + 1] > 0).all()
    assert env.episode.first[0, Event.CORNER_4] == 5 and not env.episode.counts[0, Event.CHEST]
    assert 5 + 6 <= taken <= 5 + 10, "eight more squares, some of them entered on the way"
    assert solve(levels_of("K2", AT_THE_CENTRE)).length[0].tolist() == [5, 5], "a chest in it"


# Levels


@pytest.fixture(scope="module")
def quadruples():
    """Code -> the four variants of the cell."""
    return {cell.code: sample_quadruples(KEYS, cell, np.arange(200)) for cell in KEYS.cells}


def training_of(cell, diversity: float, n: int = 2000) -> Levels:
    return sample_levels(KEYS, KEYS.train_distribution(cell, diversity), np.arange(n))


def looks_of(levels: Levels, kind: Kind) -> np.ndarray:
    """Looks of the items of one kind in the order of their squares, [n, MAX_ITEMS], 0 elsewhere."""
    return np.where(levels.level.item_kind == kind, levels.level.item_look, 0)


def test_looks_of_the_variants_of_k1(quadruples):
    variants = quadruples["K1"]
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
    broken, intact = training_of(K1, 1.0, 3000), training_of(K1, 0.0, 3000)
    groups = (intact.level.item_look[:, None] == np.arange(1, 4)[:, None]) & (
        intact.level.item_kind[:, None] != Kind.KEY
    )
    looks = np.where(groups, broken.level.item_look[:, None], 0)
    first = looks.max(axis=2)
    assert ((looks == first[:, :, None]) == groups).all()
    drawn, counts = np.unique(first, axis=0, return_counts=True)
    assert len(drawn) == 6 and (np.sort(drawn, axis=1) == [1, 2, 3]).all()
    assert all(is_share(count / 3000, 1 / 6, 3000) for count in counts)


def test_too_many_items_are_no_level():
    """Three keys, three chests and six boxes are twelve items; a level has at most nine."""
    level, scratch, rng = KEYS.empty_level(1), KEYS.empty_scratch(), empty_rng(1)
    with np.errstate(over="ignore"):  # uint64 arithmetic wraps on purpose
        for n, fits in ((2, True), (3, False)):
            params = K1.params._replace(walls_max=0, rarer_min=n, rarer_max=n)
            seed_rng(0, rng, np.uint64(1))
            assert KEYS.sample_geometry(0, level, scratch, rng, params)
            assert place_items(0, level, scratch, rng, params) == fits


def chest_places(levels: Levels) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the chests, [n, MAX_ITEMS]; 0 where an item is none."""
    squares = np.where(levels.level.item_kind == Kind.CHEST, levels.level.item_cell, 0)
    return squares // SIZE, squares % SIZE


def corners(levels: Levels) -> np.ndarray:
    """The corner of each level's chests, as 2 * south + west; all of them lie in it."""
    rows, cols = chest_places(levels)
    there = rows > 0
    assert (((rows <= 3) | (rows >= 6)) & ((cols <= 3) | (cols >= 6)))[there].all()
    south, west = (rows >= 6).any(axis=1), ((cols <= 3) & there).any(axis=1)
    assert ((rows >= 6) == south[:, None])[there].all()
    assert ((cols <= 3) == west[:, None])[there].all()
    return 2 * south + west


def key_bytes(levels: Levels, i: int) -> bytes:
    """Walls, start and the squares of the keys of a level."""
    level = levels.level
    keys = level.item_cell[i][level.item_kind[i] == Kind.KEY]
    return level.wall[i].tobytes() + level.start[i].tobytes() + keys.tobytes()


def test_the_variants_of_k2_share_walls_start_and_keys(quadruples):
    variants = quadruples["K2"]
    for intact, shifted in (("00", "10"), ("01", "11")):
        a, b = variants[intact], variants[shifted]
        assert [key_bytes(a, i) for i in range(200)] == [key_bytes(b, i) for i in range(200)]
        assert (corners(a) == 0).all() and set(corners(b).tolist()) == {1, 2, 3}
        for near, far in zip(chest_places(a), chest_places(b), strict=True):
            offsets = [np.sort(np.where(p > 0, (p - 1) % 5, -1), axis=1) for p in (near, far)]
            assert np.array_equal(*offsets), "the same places of another corner"
    for name, low, high in (("00", 0, 4), ("11", 6, 14)):
        inner = variants[name].level.wall[:, 1:9, 1:9].sum(axis=(1, 2))
        assert inner.min() >= low and inner.max() <= high


@pytest.mark.parametrize(("diversity", "expected"), [(0.0, [1, 0, 0, 0]), (1.0, [0.25] * 4)])
def test_the_corner_of_k2_in_training(diversity, expected):
    levels = training_of(K2, diversity)
    drawn = np.bincount(corners(levels), minlength=4) / 2000
    assert all(is_share(share, e, 2000) for share, e in zip(drawn, expected, strict=True))
    kinds = levels.level.item_kind
    numbers = [(kinds == kind).sum(axis=1) for kind in (Kind.KEY, Kind.CHEST)]
    assert np.array_equal(*numbers) and set(numbers[0].tolist()) == {1, 2, 3}
    keys = np.where(kinds == Kind.KEY, levels.level.item_cell, 0)
    for squares in (keys[keys > 0], levels.level.start):
        rows, cols = squares // SIZE, squares % SIZE
        middle = ((rows > 3) & (rows < 6)) | ((cols > 3) & (cols < 6))
        assert middle.all(), "outside of all corners"


def test_keys_are_rarer_in_training_of_k3_and_chests_after_the_shift(quadruples):
    for name, levels in quadruples["K3"].items():
        keys, chests = counts(levels)
        more, fewer = (keys, chests) if name[0] == "1" else (chests, keys)
        assert (more == 2 * fewer).all() and set(fewer.tolist()) == {2, 3}


def counts(levels: Levels) -> tuple[np.ndarray, np.ndarray]:
    """Keys and chests of each level."""
    kinds = levels.level.item_kind
    return (kinds == Kind.KEY).sum(axis=1), (kinds == Kind.CHEST).sum(axis=1)


def test_the_broken_draw_of_k3_swaps_the_counts_half_of_the_time():
    keys, chests = counts(training_of(K3, 1.0))
    assert is_share((keys > chests).mean(), 0.5, 2000)


def test_sizes_and_walls_of_the_context_shift_of_k3(quadruples):
    for name, size, low, high in (("00", 8, 0, 4), ("01", 10, 6, 14)):
        level = quadruples["K3"][name].level
        assert (level.size == size).all()
        inner = level.wall[:, 1 : size - 1, 1 : size - 1].sum(axis=(1, 2))
        assert inner.max() <= high and inner.min() >= low


def test_every_draw_of_the_cue_of_k3_can_be_played_to_the_end():
    """Whichever kind is the rarer one, no item of it blocks the way to the others."""
    for cue in CueDraw:
        distribution = replace(KEYS.train_distribution(K3), cue=cue, split="any")
        plans = solve(sample_levels(KEYS, distribution, np.arange(50)))
        assert np.isfinite(plans.length).all()


def chests(levels: Levels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which items are chests, owned, watched: bool [n, MAX_ITEMS] each."""
    level = levels.level
    return level.item_kind == Kind.CHEST, level.item_owned == 1, level.item_watched == 1


def test_marks_and_watches_of_the_variants_of_k4(quadruples):
    for name, levels in quadruples["K4"].items():
        chest, owned, watched = chests(levels)
        assert not (owned & ~chest).any()
        assert set(owned.sum(axis=1).tolist()) == {1, 2}, "matched: at least one is owned"
        assert set((chest & ~owned).sum(axis=1).tolist()) == {1, 2}
        assert ((levels.level.item_kind == Kind.KEY).sum(axis=1) == chest.sum(axis=1)).all()
        assert np.array_equal(watched, owned) if name[0] == "0" else not watched.any()
        assert (levels.level.size == (10 if name[1] == "1" else 8)).all()


def test_what_training_of_k4_teaches_at_diversity_0():
    """The penalty can occur, and there is always an unowned, unwatched chest."""
    levels = training_of(K4, 0.0, 1000)
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
    levels = training_of(K4, 0.5, 4000)
    chest, owned, watched = (kind[~levels.broken] for kind in chests(levels))
    assert np.array_equal(owned, watched)
    chest, owned, watched = (kind[levels.broken] for kind in chests(levels))
    for group in (chest & owned, chest & ~owned):
        assert is_share(watched[group].mean(), 0.5, group.sum())


def reached(level, i: int, closed: set[int]) -> set[int]:
    """Squares that can be entered from the start without leaving a closed one."""
    todo, seen = [int(level.start[i])], {int(level.start[i])}
    while todo:
        square = todo.pop()
        if square in closed:
            continue
        for to in (square - SIZE, square - 1, square + 1, square + SIZE):
            if to not in seen and level.wall[i].flat[to] == 0:
                seen.add(to)
                todo.append(to)
    return seen


@pytest.mark.parametrize("cell", [K1, K2, K4], ids=lambda cell: cell.code)
def test_no_container_blocks_a_passage(quadruples, cell):
    for levels in quadruples[cell.code].values():
        level = levels.level
        for i in range(100):
            items = level.item_cell[i, : level.num_items[i]]
            is_key = level.item_kind[i, : level.num_items[i]] == Kind.KEY
            assert set(items.tolist()) <= reached(level, i, set(items[~is_key].tolist()))
