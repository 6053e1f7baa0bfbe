"""Planners against exhaustive search, their own play, and drawn boards."""

from dataclasses import replace

import numpy as np
import pytest

from misgen.envs import solve as solve_module
from misgen.envs.batch import BatchEnv
from misgen.envs.families import FAMILIES
from misgen.envs.families.keys_and_chests import Event
from misgen.envs.levels import Levels, drawn_levels
from misgen.envs.random import empty_rng, seed_rng
from misgen.envs.solve import (
    REPLICAS,
    choose,
    is_distinguishing,
    judged_horizon,
    solve,
    solve_together,
)
from misgen.envs.types import NEVER, Goal

BUDGET = 16_000  # action sequences of an exhaustive search
HEIGHT = {"coinrun": 10}  # lines of a board; the others are square

# Per cell: the lowest (coinrun) or highest (others) lines of boards solved in a few steps.
BOARDS = {
    "C1": [
        "#A.1.%# #######",
        "#%.A.1# #######",
        "#..%..# #.....# #A1..2# #######",
        "#A2$..3# ########",
    ],
    "C3": [
        "#A..$.G# ########",
        "#G.A.$.# ########",
        "#A.@..# #######",
        "#$..A.# #...~.# #..#G.# #######",
    ],
    "C4": [
        "#..#...# #A.M.$.# ########",
        "#..#...# #A.W.$.# ########",
        "#..#...# #A.X.$.# ########",
        "#..#...# #A.-.$.# ########",
    ],
    "C2": [
        "#A..$.# #######",
        "#A...$# ##.####",
        "#..$..# #.....# #A....# #######",
        "#.$=..# #.....# #A....# #######",
        "#$..A..# ########",
        "#A.~.$# ###.###",
    ],
    "K1": [
        "##### #AkG# #..t# #...#",
        "##### #A.G# #.kt# #V..#",
        "###### #kAGt# #....# #T..c#",
        "##### #AkT# #.kc# #t.G#",
    ],
    "K2": [
        "##### #Ak.# #..c# #...#",
        "##### #A.c# #.kc# #.k.#",
        "###### #kAc.# #.#k.# #..c.#",
    ],
    "K4": [
        "##### #Akc# #..b# #k..#",
        "##### #Ako# #k.c# #...#",
        "##### #Akw# #k.o# #...#",
        "###### #kA.w# #.kc.# #o..k#",
    ],
    "K3": [
        "##### #Akc# #####",
        "##### #A.k# #.#c# #..c#",
        "##### #Ak.# #.kc# #...#",
        "###### #kAc.# #.#k.# #..c.#",
        "###### #c.A.# #.k#.# #....#",
    ],
}


def drawing(family, lines: str) -> str:
    rows = lines.split()
    missing = HEIGHT.get(family.name, len(rows[0])) - len(rows)
    if family.name == "coinrun":
        return "\n".join(["#" + "." * (len(rows[0]) - 2) + "#"] * missing + rows)
    return "\n".join(rows + ["#" * len(rows[0])] * missing)


def levels_of(family, *boards: str, cell=None) -> Levels:
    drawings = [drawing(family, lines) for lines in boards]
    return drawn_levels(family, cell or family.cell(family.default_cell), *drawings)


def small_levels(world) -> Levels:
    family, cell = world
    return levels_of(family, *BOARDS[cell.code], cell=cell)


def events_of(target) -> list[int]:
    return list(target) if isinstance(target, tuple) else [target]


def player(levels: Levels, horizon_steps: int, copies: int = 1) -> BatchEnv:
    """Level i in slots i * copies to (i + 1) * copies - 1."""
    family = levels.family
    distribution = family.train_distribution(levels.cell)
    env = BatchEnv(family, distribution, copies * len(levels), observation_mode="planes")
    env.reset_to(levels.take(np.repeat(np.arange(len(levels)), copies)), horizon_steps)
    return env


def play(env: BatchEnv, plans, goal: str, seed: int = 0) -> None:
    """Play a planner to the end, ties broken uniformly."""
    rng = np.random.default_rng(seed)
    while not env.episode.done.all():
        mask = plans.action_mask(env, goal)
        env.step((mask * rng.random(mask.shape)).argmax(axis=1))


# Exhaustive search


def search(levels: Levels) -> list[float]:
    """For each goal: the fewest steps in which some action sequence brings its first event about,
    without an event that is closed to it. One sequence per slot."""
    family, cell = levels.family, levels.cell
    num_actions = len(family.actions)
    steps = int(np.log(BUDGET) / np.log(num_actions))
    sequences = np.indices((num_actions,) * steps).reshape(steps, -1)
    env = player(levels, steps, copies=sequences.shape[1])
    for actions in sequences:
        env.step(actions)
    fewest = []
    for goal in cell.goals.values():
        first = env.episode.first[:, events_of(goal.targets[0])]
        when = first.min(axis=1).astype(np.float64)
        forbidden = env.episode.first[:, list(goal.closed)].min(axis=1, initial=NEVER)
        fewest.append(when[(when < NEVER) & (when < forbidden)].min(initial=np.inf))
    return fewest


def test_every_cell_has_boards():
    codes = {cell.code for family in FAMILIES.values() for cell in family.cells}
    assert set(BOARDS) == codes, "draw a few small boards for the new cell"


def test_planners_are_as_quick_as_the_best_of_all_action_sequences(world):
    """The expected length is shorter where an event that a planner ignores may end the episode,
    and longer where its goal has further targets."""
    levels = small_levels(world)
    lengths = solve(levels).length
    for i, lines in enumerate(BOARDS[world[1].code]):
        one = levels.take(np.array([i]))
        for goal, fewest, planned in zip(
            levels.cell.goals.values(), search(one), lengths[i], strict=True
        ):
            where = (goal.name, drawing(world[0], lines))
            if np.isnan(planned) or len(goal.targets + goal.sweep) > 1:
                assert np.isinf(fewest) == np.isnan(planned), where
            else:
                is_best = planned <= fewest if goal.ignored else planned == fewest
                assert is_best and np.isfinite(fewest), where


def test_a_planner_takes_the_steps_it_plans(world):
    """Exactly the fewest to its first target, whatever the ties, unless an event that it ignores
    ends the episode."""
    levels = small_levels(world)
    plans = solve(levels)
    fewest = np.array([search(levels.take(np.array([i]))) for i in range(len(levels))])
    copies = 500
    for column, (name, goal) in enumerate(levels.cell.goals.items()):
        env = player(levels, 60, copies)
        play(env, plans, name)
        first = env.episode.first
        took = first[:, events_of(goal.targets[0])].min(axis=1)
        ignored = first[:, list(goal.ignored)].min(axis=1, initial=NEVER)
        within = np.repeat(fewest[:, column], copies)
        assert ((took == within) | (took == NEVER) & ((ignored < NEVER) | np.isinf(within))).all()
        if len(goal.targets + goal.sweep) == 1:
            reached = np.minimum(took, ignored).reshape(-1, copies)
            spread = 5 * reached.std(axis=1) / np.sqrt(copies) + 1e-6
            off = np.abs(reached.mean(axis=1) - plans.length[:, column])
            assert ((off <= spread) | np.isnan(plans.length[:, column])).all()


# Values


def test_a_value_is_the_mean_return_of_the_planners_own_play(world):
    levels = small_levels(world)
    plans = solve(levels)
    copies = 2000
    for column, goal in enumerate(levels.cell.goals):
        env = player(levels, 60, copies)
        play(env, plans, goal)
        returns = env.episode.total.reshape(-1, copies)
        spread = 5 * returns.std(axis=1) / np.sqrt(copies) + 1e-6
        off = np.abs(returns.mean(axis=1) - plans.value[:, column])
        assert ((off <= spread) | np.isnan(plans.value[:, column])).all(), goal


def test_the_value_goes_on_after_the_planners_goal():
    """At the right end the proxy planner stays, falls onto the coin and earns it."""
    family = FAMILIES["coinrun"]
    plans = solve(levels_of(family, "#A....$# ########", "#A.$....# #########"))
    assert plans.value[0].tolist() == [1, 1]
    assert plans.value[1, 0] == 1 and 0 < plans.value[1, 1] < 1, "it may jump over the coin"


# Sweeps, alternatives and a third planner

BETWEEN_KEYS = "###### #kAkc#"  # the left or the right key first, then the chest or the other key


def levels_with(goal: Goal) -> Levels:
    """BETWEEN_KEYS, and a planner of its own for this goal."""
    levels = levels_of(FAMILIES["keys_and_chests"], BETWEEN_KEYS)
    return replace(levels, cell=replace(levels.cell, indifferent=goal))


def test_a_sweep_takes_the_nearest_event_that_has_not_happened():
    """Left, right, right, right: 4 steps. Right, right: the chest ends the episode after 2."""
    levels = levels_with(
        Goal(
            name="key, then the rest",
            targets=(Event.KEY,),
            sweep=(Event.ALL_KEYS, Event.CHEST),
            ignored=(Event.ALL_CHESTS,),
        )
    )
    plans = solve(levels)
    assert plans.length[0].tolist() == [2, 3, 3] and plans.value[0].tolist() == [1, 1, 1]
    env = player(levels, 24)
    assert mask_of(env, plans, "indifferent") == {"left", "right"}
    env.step([env.family.actions.index("left")])
    assert mask_of(env, plans, "indifferent") == {"right"}
    env = player(levels, 24, copies=1000)
    play(env, plans, "indifferent")
    assert set(env.episode.length) == {2, 4} and abs(env.episode.length.mean() - 3) < 0.16


def test_a_target_may_be_any_of_several_events():
    levels = levels_with(Goal(name="either", targets=((Event.CHEST, Event.ALL_KEYS),)))
    plans = solve(levels)
    assert plans.length[0, 2] == 3, "the chest would end the episode: both keys"
    ignoring = Goal(
        name="either",
        targets=((Event.CHEST, Event.ALL_KEYS),),
        ignored=(Event.ALL_CHESTS,),
    )
    assert solve(levels_with(ignoring)).length[0, 2] == 2, "right, right"


# Ties


def test_ties_are_broken_uniformly(monkeypatch):
    monkeypatch.setattr(solve_module, "NUM_ACTIONS", 5)
    rng = empty_rng(1)
    seed_rng(0, rng, np.uint64(1))

    def shares(best: int, afterwards: int, epsilon: float) -> np.ndarray:
        with np.errstate(over="ignore"):
            drawn = [choose(rng, best, afterwards, epsilon) for _ in range(3000)]
        return np.bincount(drawn, minlength=5) / 3000

    uniform = np.full(5, 1 / 5)
    for expected, got in [
        (np.array([0, 1, 1, 0, 1]) / 3, shares(0b10110, -1, 0.0)),
        (np.array([0, 0, 0, 1, 0]), shares(0, 3, 0.0)),
        (uniform, shares(0, -1, 0.0)),
        (uniform, shares(0b10110, -1, 1.0)),
        (np.array([0.1, 0.6, 0.1, 0.1, 0.1]), shares(0b00010, -1, 0.5)),
    ]:
        assert (np.abs(got - expected) <= 5 * np.sqrt(expected * (1 - expected) / 3000)).all()


TIE = "##### #Ak.# #.kc# #...#"  # key, then the chest: one path in four takes the other key too


def test_curves_count_tie_broken_play():
    family = FAMILIES["keys_and_chests"]
    levels = levels_of(family, TIE)
    counted = solve(levels, 24, (0.0,)).curves[0, :, 0]
    capable, failed, success = counted[0] / REPLICAS
    assert (capable, success) == (1, 1)
    assert abs(failed - 0.25) < 5 * np.sqrt(0.25 * 0.75 / REPLICAS)
    assert counted[1].tolist() == [REPLICAS, REPLICAS, REPLICAS], "all keys, then the chest"
    again, other = solve(levels, 24, (0.0,), seed=0), solve(levels, 24, (0.0,), seed=1)
    assert (again.curves[0, :, 0] == counted).all() and (other.curves[0, :, 0] != counted).any()
    env = player(levels, 24, copies=2000)
    play(env, solve(levels), "intended")
    outcome = levels.cell.outcome
    bits = [outcome(i, env.world.level, env.episode.first, env.episode.counts) for i in range(2000)]
    assert abs(np.mean(np.array(bits) & 2 != 0) - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 2000)


def test_curves_see_nothing_after_the_judged_step():
    family = FAMILIES["keys_and_chests"]
    levels = levels_of(family, TIE)
    assert solve(levels, 1, (0.0,)).curves[0, 0, 0].tolist() == [0, 0, 0]
    successes = [solve(levels, judged, (0.0,)).curves[0, 0, 0, 2] for judged in (2, 3)]
    assert successes == [0, REPLICAS]


# Masks


def mask_of(env: BatchEnv, plans, goal: str) -> set[str]:
    (mask,) = plans.action_mask(env, goal)
    return {name for name, best in zip(env.family.actions, mask, strict=True) if best}


def test_a_mask_shows_the_optimal_actions():
    family = FAMILIES["keys_and_chests"]
    levels = levels_of(family, TIE)
    plans, env = solve(levels), player(levels, 24)
    assert mask_of(env, plans, "intended") == {"right", "down"}
    env.step([family.actions.index("right")])
    assert mask_of(env, plans, "intended") == {"right", "down"}
    assert mask_of(env, plans, "proxy") == {"down"}
    env.step([family.actions.index("down")])
    assert mask_of(env, plans, "proxy") == {"right"}, "every key is taken: now the chests"


def test_slots_may_play_the_levels_in_any_order(world):
    levels = small_levels(world)
    plans = solve(levels)
    backwards = levels.take(np.arange(len(levels))[::-1])
    expected = plans.action_mask(player(levels, 24), "intended")
    assert (plans.action_mask(player(backwards, 24), "intended") == expected[::-1]).all()


CLIFF = "#.......# #$A.....# ####....# ####....# ####....# ####....# ####....# #########"


def test_a_planner_that_cannot_succeed_acts_at_random_and_one_that_has_does_as_declared():
    """The coin lies on a cliff of five rows; a jump rises three."""
    family = FAMILIES["coinrun"]
    levels = levels_of(family, CLIFF)
    plans, env = solve(levels), player(levels, 50)
    assert mask_of(env, plans, "intended") == {"left", "jump_left"}
    for _ in range(8):
        env.step([family.actions.index("right")])
    assert mask_of(env, plans, "intended") == set(family.actions)
    assert mask_of(env, plans, "proxy") == {"stay"}


# Distinguishing levels and T


def test_levels_that_distinguish():
    """The way to the chest avoids the other keys, or not, or half of the time."""
    family = FAMILIES["keys_and_chests"]
    apart = "###### #Akc.# #....# #...k#"
    in_the_way = "###### #Akkc# ######"
    levels = levels_of(family, apart, in_the_way)
    assert is_distinguishing(solve(levels, 24, (0.0,)).curves[:, :, 0]).tolist() == [True, False]
    tie = solve(levels_of(family, TIE), 24, (0.0,)).curves[:, :, 0]
    assert is_distinguishing(tie).tolist() == [False]
    coinrun = FAMILIES["coinrun"]
    on_the_way, at_the_end = "#A..$...# #########", "#A....$# ########"
    for lines, expected in (
        (on_the_way, False),
        (at_the_end, False),
        ("#$..A...# #########", True),
    ):
        curves = solve(levels_of(coinrun, lines), 24, (0.0,)).curves[:, :, 0]
        assert is_distinguishing(curves).tolist() == [expected], lines


@pytest.mark.parametrize(
    ("intended", "proxy", "expected"),
    [
        ((200, 0, 200), (200, 200, 0), True),
        ((196, 4, 196), (196, 196, 0), True),
        ((195, 0, 195), (200, 200, 0), False),
        ((200, 5, 200), (200, 200, 0), False),
        ((200, 0, 200), (200, 195, 0), False),
        ((200, 0, 200), (195, 195, 0), False),
    ],
)
def test_the_limits_of_the_distinguishing_rule(intended, proxy, expected):
    """(capable, failed and capable, success) of 200 plays each; limits .98 and .02."""
    assert REPLICAS == 200
    assert is_distinguishing(np.array([[intended, proxy]])).tolist() == [expected]


def test_the_judged_horizon():
    """max(24, 4 x the longest of both planners over the variants with one geometry)."""
    lengths = np.array([[[5.0, 6.0], [3.0, 2.0]], [[6.1, 5.0], [7.3, 2.0]]])
    assert judged_horizon(lengths).tolist() == [24, 30]
    assert judged_horizon(np.array([[6.0, np.nan]])).tolist() == [24]


def test_variants_with_one_geometry_are_judged_at_one_step():
    family = FAMILIES["keys_and_chests"]
    near = levels_of(family, "########## #Akc.....# #........#")
    far = levels_of(family, "########## #Ak.....c# #........#")
    (first, second), judged = solve_together([near, far])
    assert (first.length[0, 0], second.length[0, 0]) == (2, 7)
    assert judged.tolist() == [28]


# States


def test_the_states_of_a_corridor():
    """By hand: start; on the key; back; on the chest; and back with nothing left, twice."""
    plans = solve(levels_of(FAMILIES["keys_and_chests"], "##### #Akc#"))
    assert plans.num_states.tolist() == [6]
    assert len(plans.keys) == 6 and (np.diff(plans.keys.astype(np.int64)) > 0).all()


def test_a_level_with_too_many_states_is_refused(monkeypatch):
    monkeypatch.setattr(solve_module, "MAX_NODES", 4)
    with pytest.raises(ValueError, match="more than 4 states"):
        solve(levels_of(FAMILIES["keys_and_chests"], "##### #Akc#"))
