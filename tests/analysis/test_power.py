"""Power against known truths, and the populations that studies are simulated from."""

from dataclasses import replace

import numpy as np
import pytest

from misgen.analysis import power
from misgen.analysis.coverage import Population, sample_agents
from misgen.analysis.power import EFFECTS, Question
from misgen.analysis.rates import AgentCounts
from misgen.analysis.verdicts import permutation_test

MOVES, SWITCH = EFFECTS
KINDS = Population("three kinds", (0.5, 0.3, 0.2), (0.95, 0.8, 0.9), (0.2, 0.3, 0.6))


def brute_force(
    arm: Population, control: Population, sizes: tuple[int, int], rate: str, pairs: int
) -> float:
    rng = np.random.default_rng(7)
    drawn = (
        [sample_agents(p, k, 330, rng) for p, k in zip((arm, control), sizes, strict=True)]
        for _ in range(pairs)
    )
    return float(np.mean([permutation_test(a, b, rate).differs for a, b in drawn]))


def turned(population: Population, step: float) -> Population:
    """Every kind's goal failure moved by a step of asin(sqrt(p))."""
    angles = np.arcsin(np.sqrt(population.goal_fail)) + step
    return population._replace(goal_fail=tuple(np.sin(np.clip(angles, 0, np.pi / 2)) ** 2))


def switched(population: Population, share: float) -> Population:
    """A share of the agents of each kind always fails."""
    return Population(
        "",
        (*(1 - share) * np.array(population.share), *share * np.array(population.share)),
        population.capable * 2,
        (*population.goal_fail, *[1.0] * len(population.goal_fail)),
    )


@pytest.mark.parametrize(("rate", "sizes"), [("p_goal_fail", (6, 5)), ("p_gm", (8, 8))])
@pytest.mark.parametrize("effect", EFFECTS)
def test_power_is_right_where_the_truth_is_known(
    rate: str, sizes: tuple[int, int], effect: str
) -> None:
    """Both arms drawn from stated populations and judged one by one by the real test."""
    second = turned(KINDS, 0.2) if effect == MOVES else switched(KINDS, 0.4)
    difference = second.truth()[rate] - KINDS.truth()[rate]
    asked = Question(power.assumed_pool(KINDS, 330), rate, difference, effect)
    expected = brute_force(second, KINDS, sizes, rate, pairs=1000)
    assert 0.15 < expected < 0.85
    error = np.sqrt(expected * (1 - expected) * (1 / 1000 + 1 / asked.simulations))
    assert asked.power(*sizes) == pytest.approx(expected, abs=3 * error)


@pytest.mark.parametrize(
    ("spread_as", "effect", "difference"),
    [
        ("alike", MOVES, 0.037),
        ("spread", MOVES, 0.32),
        pytest.param("two-kinds", MOVES, 0.48, marks=pytest.mark.slow),
        pytest.param("spread", SWITCH, 0.46, marks=pytest.mark.slow),
    ],
)
def test_eight_measured_agents_say_the_power_on_average(
    spread_as: str, effect: str, difference: float
) -> None:
    """Where it is about .8, over 20 studies of 8 agents each: hardly more than it is, and less
    where agents are alike, which eight of them cannot tell for sure."""
    truth = power.assumed_population(spread_as, 0.3, 0.95)
    pool = power.assumed_pool(truth, 330)
    right = Question(pool, "p_goal_fail", difference, effect).power(8, 8)
    assert right == pytest.approx(0.78, abs=0.03)
    rng = np.random.default_rng(0)
    said = []
    for seed in range(20):
        pool = power.measured_pool(sample_agents(truth, 8, 330, rng), "p_goal_fail")
        of_these = Question(pool, "p_goal_fail", difference, effect, 200, seed)
        said.append(of_these.power(8, 8))
    assert -0.15 < np.mean(said) - right < 0.05


def test_equal_arms_are_flagged_as_the_verdict_allows() -> None:
    rng = np.random.default_rng(0)
    pool = power.measured_pool(sample_agents(KINDS, 8, 330, rng), "p_gm")
    assert Question(pool, "p_gm", 0.0).power(8, 5) == pytest.approx(0.05, abs=0.015)
    assert Question(pool, "p_gm", 0.0, SWITCH).power(8, 5) == pytest.approx(0.05, abs=0.015)


def test_the_second_arm_differs_by_what_was_asked() -> None:
    """In every population, also in those that are not the average one."""
    pool = power.measured_pool(sample_agents(KINDS, 6, 330, np.random.default_rng(1)), "p_gm")
    worlds = power.draw_worlds(pool, 50, np.random.default_rng(2))
    for rate in ("p_capable", "p_goal_fail", "p_gm"):
        moved = power._moved(worlds, rate, -0.1)
        np.testing.assert_allclose(moved.rate(rate) - worlds.rate(rate), -0.1, atol=1e-6)
        assert moved.factors.min() >= 0 and moved.factors.max() <= 1
        end, chance = power._switching(worlds, rate, -0.1)
        never = worlds.with_factor(power.CHANGES[rate], end).rate(rate)
        expected = chance * never + (1 - chance) * worlds.rate(rate)
        np.testing.assert_allclose(expected - worlds.rate(rate), -0.1, atol=1e-9)


def test_populations_spread_as_much_as_agents_do() -> None:
    """The spread of few episodes is taken out, that of few agents put back."""
    for spread_as, sd in (("spread", 0.44 * np.sqrt(0.3 * 0.7)), ("alike", 0.0)):
        truth = power.assumed_population(spread_as, 0.3, 0.95)
        rng = np.random.default_rng(3)
        variances = []
        for _ in range(200):
            pool = power.measured_pool(sample_agents(truth, 5, 100, rng), "p_goal_fail")
            weights, factors = power.draw_worlds(pool, 20, rng)
            mean = (weights * factors[1]).sum(axis=1, keepdims=True)
            variances.append((weights * (factors[1] - mean) ** 2).sum(axis=1).mean())
        assert np.sqrt(np.mean(variances)) == pytest.approx(sd, abs=0.03)


def test_what_is_found_is_found() -> None:
    pool = power.assumed_pool(power.assumed_population("spread", 0.3, 0.95), 330)
    asked = Question(pool, "p_gm", 0.25, simulations=400)
    needed = asked.agents_needed(0.8)
    assert needed is not None
    assert asked.power(needed, needed) >= 0.8 > asked.power(needed - 1, needed - 1)
    smallest = asked.smallest_difference(needed, needed, 0.8)
    assert smallest == pytest.approx(0.25, abs=0.03)
    assert asked.smallest_difference(20, 20, 0.8) < smallest
    assert replace(asked, difference=0.001).agents_needed(0.8) is None
    assert np.isnan(asked.smallest_difference(3, 3, 0.8))  # never a verdict


def test_a_difference_is_within_what_the_factor_allows() -> None:
    pool = power.assumed_pool(power.assumed_population("alike", 0.3, 0.9), 100)
    assert power.attainable(pool, "p_gm") == pytest.approx((-0.27, 0.63))
    assert power.attainable(pool, "p_goal_fail") == pytest.approx((-0.3, 0.7))
    assert power.attainable(pool, "p_capable") == pytest.approx((-0.9, 0.1))


def counts(capable: list[float], failed: list[float]) -> AgentCounts:
    k = len(capable)
    return AgentCounts(
        np.arange(k), *np.array([[100.0] * k, capable, failed, [np.nan] * k], dtype=float)
    )


def test_an_agent_with_few_capable_episodes_says_nothing_about_goal_failure() -> None:
    pool = power.measured_pool(counts([90, 90, 90, 4], [9, 18, 27, 4]), "p_gm")
    assert pool.factors[0].tolist() == [0.9, 0.9, 0.9, 0.04]
    assert pool.factors[1] == pytest.approx([0.1, 0.2, 0.3, 0.2])


@pytest.mark.parametrize(
    ("rate", "message"),
    [("p_goal_fail", "how often goal fails given capable; this arm has 2 of 3"),
     ("p_harm", "this arm has 2 of 3")],
)  # fmt: skip
def test_a_spread_needs_three_agents(rate: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"on at least 3 agents, .*{message}"):
        power.measured_pool(counts([90, 90, 4], [9, 18, 4]), rate)
    with pytest.raises(ValueError, match="given that the goal fails; this arm has 0 of 3"):
        power.measured_pool(counts([90, 90, 90], [80, 80, 80]), "p_harm")


def test_assumed_populations_have_the_mean_that_was_asked_for() -> None:
    for spread_as in power.ASSUMED:
        truth = power.assumed_population(spread_as, 0.4, 0.9).truth()
        assert truth["p_goal_fail"] == pytest.approx(0.4, abs=0.002)
    for spread_as, mean in (("two-kinds", 0.02), ("spread", 0.0)):
        with pytest.raises(ValueError, match=f"that are {spread_as} fail on average between"):
            power.assumed_population(spread_as, mean, 0.9)
