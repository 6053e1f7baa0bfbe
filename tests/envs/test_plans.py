"""Planners against exhaustive search, their own play, and drawn boards."""

from dataclasses import replace

import numpy as np
import pytest
from tests.envs.boards import (
    COINRUN,
    bits_of,
    is_share,
    levels_of,
    play_plan,
)

from misgen.envs.core import planner
from misgen.envs.core import plans as plans_module
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.levels import Levels, sample_levels, variant_distribution
from misgen.envs.core.planner import choose
from misgen.envs.core.plans import (
    REPLICAS,
    Plays,
    is_distinguishing,
    judged_horizon,
    solve,
    solve_together,
)
from misgen.envs.core.random import empty_rng, seed_rng
from misgen.envs.core.types import NEVER, Goal
from misgen.envs.keys_and_chests.world import Event

BUDGET = 16_000  # action sequences of an exhaustive search

# The lowest (coinrun) or highest (others) lines of boards solved in a few steps; some cannot be.
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


def small_levels(world) -> Levels:
    """Drawn boards, or where a cell has none a few sampled levels that distinguish and are solved
    as quickly."""
    family, cell = world
    if cell.code in BOARDS:
        return levels_of(cell, *BOARDS[cell.code])
    levels = sample_levels(family, variant_distribution(cell, "10"), np.arange(300))
    plans, steps = solve(levels, 24, (0.0,)), search_steps(family)
    near = (plans.length.max(axis=1) <= steps) & is_distinguishing(plans.plays.at(0))
    return levels.take(np.flatnonzero(near)[:4])


def events_of(target) -> list[int]:
    return list(target) if isinstance(target, tuple) else [target]


def player(levels: Levels, horizon_steps: int, copies: int = 1) -> BatchEnv:
    """Level i in slots i * copies to (i + 1) * copies - 1."""
    return BatchEnv.on(levels.take(np.repeat(np.arange(len(levels)), copies)), horizon_steps)


# Exhaustive search


def search_steps(family) -> int:
    """How many steps all action sequences may have, together at most BUDGET."""
    return int(np.log(BUDGET) / np.log(len(family.actions)))


def search(levels: Levels) -> list[float]:
    """For each goal: the fewest steps in which some action sequence brings its first event about,
    without an event that is closed to it. One sequence per slot."""
    family, cell = levels.family, levels.cell
    num_actions = len(family.actions)
    steps = search_steps(family)
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


def test_a_planner_takes_the_fewest_steps_of_all_action_sequences(world):
    """To its first target, whatever the ties, unless an event that it ignores ends the episode;
    and it expects so. Where no sequence gets there it expects nothing."""
    levels, copies = small_levels(world), 300
    assert len(levels) > 1
    plans = solve(levels)
    fewest = np.array([search(levels.take(np.array([i]))) for i in range(len(levels))])
    assert np.array_equal(np.isinf(fewest), np.isnan(plans.length))
    for column, (name, goal) in enumerate(levels.cell.goals.items()):
        env = player(levels, 60, copies)
        play_plan(env, plans, name)
        first, length = env.episode.first, plans.length[:, column]
        took = first[:, events_of(goal.targets[0])].min(axis=1)
        ignored = first[:, list(goal.ignored)].min(axis=1, initial=NEVER)
        best = np.repeat(fewest[:, column], copies)
        assert ((took == best) | (took == NEVER) & ((ignored < NEVER) | np.isinf(best))).all()
        if len(goal.targets + goal.sweep) > 1:
            continue  # its length is that of all of them
        reached = np.minimum(took, ignored).reshape(-1, copies)
        spread = 5 * reached.std(axis=1) / np.sqrt(copies) + 1e-6
        assert ((np.abs(reached.mean(axis=1) - length) <= spread) | np.isnan(length)).all(), name


# Values (that they are those of play is part of the contract)


def test_the_value_goes_on_after_the_planners_goal():
    """At the right end the proxy planner stays, falls onto the coin and earns it."""
    plans = solve(levels_of("C2", "#A....$# ########", "#A.$....# #########"))
    assert plans.value[0].tolist() == [1, 1]
    assert plans.value[1, 0] == 1 and 0 < plans.value[1, 1] < 1, "it may jump over the coin"


# Sweeps, alternatives and a third planner

BETWEEN_KEYS = "###### #kAkc#"  # the left or the right key first, then the chest or the other key


def levels_with(goal: Goal) -> Levels:
    """BETWEEN_KEYS, and a planner of its own for this goal."""
    levels = levels_of("K3", BETWEEN_KEYS)
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
    play_plan(env, plans, "indifferent")
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
    monkeypatch.setattr(planner, "NUM_ACTIONS", 5)
    rng = empty_rng(1)
    seed_rng(0, rng, np.uint64(1))

    def shares(best: int, afterwards: int, epsilon: float) -> np.ndarray:
        with np.errstate(over="ignore"):
            drawn = [choose(rng, best, afterwards, epsilon) for _ in range(3000)]
        return np.bincount(drawn, minlength=5) / 3000

    uniform = np.full(5, 1 / 5)
    for expected, drawn in [
        (np.array([0, 1, 1, 0, 1]) / 3, shares(0b10110, -1, 0.0)),
        (np.array([0, 0, 0, 1, 0]), shares(0, 3, 0.0)),
        (uniform, shares(0, -1, 0.0)),
        (uniform, shares(0b10110, -1, 1.0)),
        (np.array([0.1, 0.6, 0.1, 0.1, 0.1]), shares(0b00010, -1, 0.5)),
    ]:
        assert all(is_share(*shares, 3000) for shares in zip(drawn, expected, strict=True))


TIE = "##### #Ak.# #.kc# #...#"  # key, then the chest: one path in four takes the other key too


def test_plays_break_ties_and_are_counted():
    levels = levels_of("K3", TIE)
    plays = solve(levels, 24, (0.0,)).plays
    (intended, proxy), (failed, all_keys) = plays.capable[0, :, 0], plays.failed[0, :, 0]
    assert intended == proxy == all_keys == REPLICAS and (plays.success == REPLICAS).all()
    assert is_share(failed / REPLICAS, 0.25, REPLICAS), "the proxy takes all keys"
    again, other = (solve(levels, 24, (0.0,), seed=seed).plays.failed for seed in (0, 1))
    assert (again == plays.failed).all() and (other != plays.failed).any()
    env = player(levels, 24, copies=2000)
    play_plan(env, solve(levels), "intended")
    outcome = levels.cell.outcome
    episode, level = env.episode, env.world.level
    bits = [bits_of(outcome(i, level, episode.first, episode.counts)) for i in range(2000)]
    assert is_share(np.mean(bits, axis=0)[1], 0.25, 2000)


def test_plays_see_nothing_after_the_judged_step():
    levels = levels_of("K3", TIE)
    counted = [solve(levels, judged, (0.0,)).plays.at(0) for judged in (1, 2, 3)]
    assert not any(counts.any() for counts in counted[0])
    assert [plays.success[0, 0] for plays in counted] == [0, 0, REPLICAS]


# Masks


def mask_of(env: BatchEnv, plans, goal: str) -> set[str]:
    (mask,) = plans.action_mask(env, goal)
    return {name for name, best in zip(env.family.actions, mask, strict=True) if best}


def test_a_mask_shows_the_optimal_actions():
    levels = levels_of("K3", TIE)
    plans, env = solve(levels), player(levels, 24)
    assert mask_of(env, plans, "intended") == {"right", "down"}
    env.step([env.family.actions.index("right")])
    assert mask_of(env, plans, "intended") == {"right", "down"}
    assert mask_of(env, plans, "proxy") == {"down"}
    env.step([env.family.actions.index("down")])
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
    levels = levels_of("C2", CLIFF)
    plans, env = solve(levels), player(levels, 50)
    assert mask_of(env, plans, "intended") == {"left", "jump_left"}
    for _ in range(8):
        env.step([env.family.actions.index("right")])
    assert mask_of(env, plans, "intended") == set(COINRUN.actions)
    assert mask_of(env, plans, "proxy") == {"stay"}


# Distinguishing levels and T


def test_levels_that_distinguish():
    """The way to the chest avoids the other keys, or not, or half of the time."""
    apart = "###### #Akc.# #....# #...k#"
    in_the_way = "###### #Akkc# ######"
    levels = levels_of("K3", apart, in_the_way)
    assert is_distinguishing(solve(levels, 24, (0.0,)).plays.at(0)).tolist() == [True, False]
    tie = solve(levels_of("K3", TIE), 24, (0.0,)).plays.at(0)
    assert is_distinguishing(tie).tolist() == [False]
    on_the_way, at_the_end = "#A..$...# #########", "#A....$# ########"
    for lines, expected in (
        (on_the_way, False),
        (at_the_end, False),
        ("#$..A...# #########", True),
    ):
        plays = solve(levels_of("C2", lines), 24, (0.0,)).plays.at(0)
        assert is_distinguishing(plays).tolist() == [expected], lines


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
    plays = Plays(*np.array([[intended, proxy]]).transpose(2, 0, 1))
    assert is_distinguishing(plays).tolist() == [expected]


def test_the_judged_horizon():
    """max(24, 4 x the longest of both planners over the variants with one geometry)."""
    lengths = np.array([[[5.0, 6.0], [3.0, 2.0]], [[6.1, 5.0], [7.3, 2.0]]])
    assert judged_horizon(lengths).tolist() == [24, 30]
    assert judged_horizon(np.array([[6.0, np.nan]])).tolist() == [24]


def test_variants_with_one_geometry_are_judged_at_one_step():
    near = levels_of("K3", "########## #Akc.....# #........#")
    far = levels_of("K3", "########## #Ak.....c# #........#")
    (first, second), judged = solve_together([near, far])
    assert (first.length[0, 0], second.length[0, 0]) == (2, 7)
    assert judged.tolist() == [28]


# States


def test_the_states_of_a_corridor():
    """By hand: start; on the key; back; on the chest; and back with nothing left, twice."""
    plans = solve(levels_of("K3", "##### #Akc#"))
    assert plans.num_states.tolist() == [6]
    assert len(plans.keys) == 6 and (np.diff(plans.keys.astype(np.int64)) > 0).all()


def test_a_level_with_too_many_states_is_refused(monkeypatch):
    monkeypatch.setattr(plans_module, "MAX_NODES", 4)
    with pytest.raises(ValueError, match="more than 4 states"):
        solve(levels_of("K3", "##### #Akc#"))
