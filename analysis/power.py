"""How many agents a question needs: simulated pairs of arms, judged as real ones are.

A *pool* holds the agents that simulated ones are drawn from. Measured agents are a sample, so every
simulated study has a population of its own, drawn from them by the Bayesian bootstrap, and what
their finite numbers of episodes add to their spread is taken out again. Of the second arm only the
mean is known, so there are two of them: in one *every agent moves* by the same angle asin(sqrt(p))
(the effect size h of Cohen), in the other *some agents switch* to always or never, the others stay.
Whichever rate is asked for, one factor changes: P(capable), P(goal fails | capable) or P(harm |
goal fails).
"""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from misgen.analysis.coverage import Population, differ, spread
from misgen.analysis.intervals import MIN_AGENTS
from misgen.analysis.rates import MIN_CAPABLE, AgentCounts, FloatArray
from misgen.analysis.verdicts import PARTS, enough_agents

EFFECTS = ("every agent moves", "some agents switch")
CHANGES = {"p_capable": 0, "p_goal_fail": 1, "p_gm": 1, "p_harm": 2, "p_harmful_gm": 2}
"""Rate -> the factor that differs between the arms."""
FACTORS = ("capable", "goal fails given capable", "harm given that the goal fails")
ASSUMED = ("alike", "spread", "two-kinds")
KINDS, SPREAD = (0.05, 0.95), 0.44
"""Goal failure of the two kinds; sd of spread agents, as a share of the largest there is for their
mean: .2 at .3."""
MOST_AGENTS = 60
"""More agents an arm are not tried."""
ROUGH = 500
"""Simulations for the smallest difference, which is not sought closer than .005."""


@dataclass(frozen=True)
class Pool:
    """Agents that simulated ones are drawn from, each on its own number of levels.

    levels [k]; factors [3, k]: P(capable), P(goal fails | capable), P(harm | goal fails).
    noise [3]: variance of the factors over agents that is due to few episodes.
    share [k]: how frequent each is; None: measured agents, a sample of a population.
    """

    levels: FloatArray
    factors: FloatArray
    noise: FloatArray
    share: FloatArray | None = None

    @property
    def population(self) -> "World":
        """The agents as they are, as the only population."""
        k = len(self.levels)
        weights = np.full(k, 1 / k) if self.share is None else self.share
        return World(weights[None], self.factors[:, None])

    def sd(self, factor: int) -> float:
        """Standard deviation of a factor over agents, without what few episodes add."""
        weights, values = self.population.weights[0], self.factors[factor]
        variance = float(weights @ (values - weights @ values) ** 2)
        if self.share is None:
            variance *= len(self.levels) / (len(self.levels) - 1)
        return math.sqrt(max(0.0, variance - float(self.noise[factor])))


def measured_pool(counts: AgentCounts, rate: str) -> Pool:
    """Of trained agents. Raises ValueError unless MIN_AGENTS of them inform every factor of a rate.

    An agent with fewer than MIN_CAPABLE episodes to judge a factor by gets the others' mean.
    """
    chain = np.array([counts.n, counts.c, counts.gc, counts.hgc])
    factors, noise = np.zeros((3, counts.k)), np.zeros(3)
    for i in range(1 + CHANGES[rate]):
        known = (chain[i] >= MIN_CAPABLE) & ~np.isnan(chain[i + 1])
        if known.sum() < MIN_AGENTS:
            raise ValueError(
                f"a spread between agents is measured on at least {MIN_AGENTS} agents, each with "
                f"{MIN_CAPABLE} episodes that tell how often {FACTORS[i]}; this arm has "
                f"{known.sum()} of {counts.k}; train and evaluate more, or --assume a spread"
            )
        p = chain[i + 1, known] / chain[i, known]
        factors[i] = p.mean()
        factors[i, known] = p
        noise[i] = np.mean(p * (1 - p) / (chain[i, known] - 1))
    return Pool(counts.n, factors, noise)


def assumed_population(spread_as: str, goal_fail: float, capable: float) -> Population:
    """One of ASSUMED with this mean. Raises ValueError where there is none such."""
    if spread_as == "alike":
        return Population(spread_as, (1.0,), (capable,), (goal_fail,))
    low, high = KINDS if spread_as == "two-kinds" else (0.0, 1.0)
    if not low < goal_fail < high:
        raise ValueError(
            f"agents that are {spread_as} fail on average between {low} and {high}, and not at "
            f"these ends; got {goal_fail}; assume agents that are alike, or another --goal-fail"
        )
    if spread_as == "two-kinds":
        failing = (goal_fail - low) / (high - low)
        return Population(spread_as, (failing, 1 - failing), (capable,) * 2, (high, low))
    kinds = spread(goal_fail, SPREAD * math.sqrt(goal_fail * (1 - goal_fail)))
    return Population(spread_as, (1 / len(kinds),) * len(kinds), (capable,) * len(kinds), kinds)


def assumed_pool(population: Population, levels: int) -> Pool:
    """Of a population that somebody states; nothing in it is harmful."""
    factors = np.array([population.capable, population.goal_fail, np.zeros(len(population.share))])
    share = np.array(population.share)
    return Pool(np.full(len(share), float(levels)), factors, np.zeros(3), share / share.sum())


class World(NamedTuple):
    """Populations of agents: weights [worlds, k] and factors [3, worlds, k] of each kind."""

    weights: FloatArray
    factors: FloatArray

    def rate(self, name: str) -> FloatArray:
        """Of every population [worlds]."""
        products = (np.cumprod(self.factors, axis=0) * self.weights).sum(axis=-1)
        over, *under = (products[row] for row in PARTS[name])
        quotient: FloatArray = over / under[0] if under else over
        return quotient

    def with_factor(self, factor: int, values: FloatArray | float) -> "World":
        factors = self.factors.copy()
        factors[factor] = values
        return self._replace(factors=factors)


def draw_worlds(pool: Pool, simulations: int, rng: np.random.Generator) -> World:
    """The populations of simulated studies: one for all where it is stated, else one for each."""
    if pool.share is not None:
        return pool.population
    k = len(pool.levels)
    weights = rng.dirichlet(np.ones(k), simulations)
    mean = (weights @ pool.factors.T).T[:, :, None]
    away = pool.factors[:, None] - mean
    variance = (weights * away**2).sum(axis=-1, keepdims=True)
    full = variance * (k + 1) / (k - 1)  # weights at random leave less spread than the agents have
    kept = np.maximum(full - pool.noise[:, None, None], 0) / np.where(variance > 0, variance, 1)
    return World(weights, np.clip(mean + np.sqrt(kept) * away, 0, 1))


def attainable(pool: Pool, rate: str) -> tuple[float, float]:
    """The differences that a second arm can have to this one: from the factor at 0, and at 1."""
    world = pool.population
    now, low, high = (
        float(each.rate(rate)[0])
        for each in (world, *(world.with_factor(CHANGES[rate], end) for end in (0.0, 1.0)))
    )
    return low - now, high - now


@dataclass(frozen=True)
class Question:
    """Does the verdict find that the rate of a second arm is another, by so much?"""

    pool: Pool
    rate: str
    difference: float
    effect: str = EFFECTS[0]
    simulations: int = 2000
    seed: int = 0

    def power(self, agents: int, against: int) -> float:
        """Share of simulated pairs of arms that the verdict tells apart: so many agents of the
        second arm, against so many of the pool's."""
        rng = np.random.default_rng(self.seed)
        world = draw_worlds(self.pool, self.simulations, rng)
        control = self._draw(world, against, rng)
        if self.effect == EFFECTS[0]:
            arm = self._draw(_moved(world, self.rate, self.difference), agents, rng)
        else:
            arm = self._draw(world, agents, rng)
            end, chance = _switching(world, self.rate, self.difference)
            arm[1][CHANGES[self.rate], rng.random(arm[0].shape) < chance[:, None]] = end
        shares = [_play(*drawn, rng) for drawn in (arm, control)]
        together = np.concatenate(shares, axis=2).transpose(0, 2, 1)
        return float(differ(together, agents, self.rate).mean())

    def _draw(
        self, world: World, agents: int, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray]:
        """Levels [simulations, agents] and factors [3, simulations, agents] of drawn agents."""
        worlds = np.arange(self.simulations)[:, None] % len(world.weights)
        edges = world.weights.cumsum(axis=1)[:, :-1] + np.arange(len(world.weights))[:, None]
        below = np.searchsorted(edges.ravel(), rng.random((len(worlds), agents)) + worlds)
        kind = below - worlds * edges.shape[1]  # all worlds on one line, each its own unit of it
        return self.pool.levels[kind], world.factors[:, worlds, kind]

    def agents_needed(self, power: float, against: int | None = None) -> int | None:
        """The fewest agents of an arm that find the difference with this probability, against so
        many, or as many; None for more than MOST_AGENTS."""
        sizes = range(2, MOST_AGENTS + 1)
        first = bisect.bisect_left(sizes, True, key=lambda k: self.power(k, against or k) >= power)
        return sizes[first] if first < len(sizes) else None

    def smallest_difference(self, agents: int, against: int, power: float) -> float:
        """The difference, on the side of this question's, that is found with this probability;
        NaN if even the largest is not."""
        end = attainable(self.pool, self.rate)[self.difference > 0]

        def missing(difference: float) -> float:
            asked = replace(self, difference=difference, simulations=min(ROUGH, self.simulations))
            return asked.power(agents, against) - power

        if not enough_agents(agents, against) or missing(end) < 0:
            return math.nan
        return float(brentq(missing, 0, end, xtol=0.005))


def _moved(world: World, rate: str, difference: float) -> World:
    """The populations in which every agent's angle is another by the same step, and the rate by the
    difference, or as much of it as is possible."""
    factor, aim = CHANGES[rate], world.rate(rate) + difference
    angles = np.arcsin(np.sqrt(world.factors[factor]))
    low, high = (np.full(len(aim), sign * math.pi / 2) for sign in (-1, 1))
    for _ in range(30):
        middle = (low + high) / 2
        turned = np.clip(angles + middle[:, None], 0, math.pi / 2)
        moved = world.with_factor(factor, np.sin(turned) ** 2)
        is_above = moved.rate(rate) > aim
        low, high = np.where(is_above, low, middle), np.where(is_above, middle, high)
    return moved


def _switching(world: World, rate: str, difference: float) -> tuple[float, FloatArray]:
    """To which end of the factor agents switch, and how probably [worlds], for this difference."""
    end = float(difference > 0)
    room = world.with_factor(CHANGES[rate], end).rate(rate) - world.rate(rate)
    return end, np.clip(difference / np.where(room == 0, 1, room), 0, 1)


def _play(levels: FloatArray, factors: FloatArray, rng: np.random.Generator) -> FloatArray:
    """c_a, g_a and h_a [3, ...] of agents of these factors [3, ...] on so many levels."""
    counts, among = [], levels.astype(np.int64)
    for chance in factors:
        among = rng.binomial(among, chance)
        counts.append(among)
    return np.array(counts) / levels


class Line(NamedTuple):
    """What so many agents find. found: the probability, by EFFECTS; equal: of a flag on equal arms;
    smallest: by EFFECTS, the difference found with the power that is asked for, NaN for none."""

    agents: int
    against: int
    found: tuple[float, ...]
    equal: float
    smallest: tuple[float, ...]


class Plan(NamedTuple):
    """lines: one for every number of agents. needed: by EFFECTS, `Question.agents_needed`."""

    power: float
    lines: list[Line]
    needed: tuple[int | None, ...]


def plan(question: Question, sizes: Sequence[int], against: int | None, power: float) -> Plan:
    """The question for both effects. against: how many agents the pool's arm has; None: as many."""
    questions = [replace(question, effect=effect) for effect in EFFECTS]
    lines = []
    for k in sizes:
        both = (k, against or k)
        found = tuple(each.power(*both) for each in questions)
        smallest = tuple(each.smallest_difference(*both, power) for each in questions)
        equal = replace(question, difference=0.0).power(*both)
        lines.append(Line(*both, found, equal, smallest))
    return Plan(power, lines, tuple(each.agents_needed(power, against) for each in questions))
