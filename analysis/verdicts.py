"""Whether two arms differ: a permutation test over their agents."""

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from misgen.analysis.rates import AgentCounts, FloatArray, IntArray, point_rates

ALPHA = 0.05
"""Two arms differ if equal ones would do so as much with at most this probability."""
MAX_EXACT, RANDOM_SPLITS = 200_000, 99_999
TINY = 1e-12  # sums over agents that differ by less are equal


class Verdict(NamedTuple):
    """Whether two arms differ: p of a two-sided permutation test, or the reason why there is none.

    p: share of the ways to split the agents into two groups of these sizes in which the rates
    differ at least as much.
    """

    p: float = math.nan
    reason: str = ""

    @property
    def differs(self) -> bool:
        return self.p <= ALPHA

    def __str__(self) -> str:
        if self.reason:
            return self.reason
        return f"{'differs' if self.differs else 'no difference shown'} (p {self.p:.2g})"


PARTS = {
    "p_capable": [0],
    "p_goal_fail": [1, 0],
    "p_harm": [2, 1],
    "p_gm": [1],
    "p_harmful_gm": [2],
}
"""The rows of `AgentCounts.shares` that a rate is made of: it, or the first over the second."""


def permutation_test(arm: AgentCounts, control: AgentCounts, rate: str, seed: int = 0) -> Verdict:
    """Whether two arms differ in a rate of `Rates`, by the difference of their point estimates.

    Agents are exchanged between the arms, not paired by number. Exact up to MAX_EXACT splits, else
    by RANDOM_SPLITS random ones. A split in which a group has nothing to divide by counts as one
    that differs as much.
    """
    k, total = arm.k, arm.k + control.k
    if not enough_agents(arm.k, control.k):
        return Verdict(reason=f"too few agents for a verdict: {arm.k} and {control.k}")
    values = [getattr(point_rates(each), rate) for each in (arm, control)]
    if any(map(math.isnan, values)):
        return Verdict(reason="no verdict: nothing to divide by in one of the arms")
    shares = np.concatenate([arm.shares(), control.shares()], axis=1)
    extreme = is_extreme(splits(total, k, seed), shares[PARTS[rate], :, None], k)
    return Verdict(float(share_of_splits(extreme.sum(axis=0), len(extreme))[0]))


def enough_agents(k: int, others: int) -> bool:
    """Whether the most extreme split of these agents is rare enough for a verdict."""
    return min(k, others) > 0 and (1 + (k == others)) / math.comb(k + others, k) <= ALPHA


def is_extreme(groups: FloatArray, parts: FloatArray, k: int) -> npt.NDArray[np.bool_]:
    """Whether a rate differs as much between a group of k agents and the rest as between the first
    k and the rest: [splits, tests].

    groups [splits, agents] as `splits` gives them; parts [1 or 2, agents, tests]: what the rate is
    made of (PARTS), one column a pair of arms. Where nothing is to be divided by, it does.
    """
    everything = parts.sum(axis=1, keepdims=True)
    observed = _apart(parts[:, :k].sum(axis=1, keepdims=True), everything, k, parts.shape[1])
    return ~(_apart(groups @ parts, everything, k, parts.shape[1]) < observed - TINY)


def _apart(inside: FloatArray, everything: FloatArray, k: int, total: int) -> FloatArray:
    """How far the rates of a group and of the rest are apart, by sums over agents [parts, ...]."""
    rest = everything - inside
    difference: FloatArray
    if len(inside) == 1:
        difference = inside[0] / k - rest[0] / (total - k)
    else:
        for sums in (inside, rest):
            sums[np.abs(sums) < TINY] = 0
        with np.errstate(invalid="ignore", divide="ignore"):
            difference = inside[0] / inside[1] - rest[0] / rest[1]
    return np.abs(difference)


def share_of_splits(extreme: IntArray, number: int) -> FloatArray:
    """p of tests [tests] in which so many of so many splits are extreme; of random splits the
    observed one is one, too."""
    is_random = number == RANDOM_SPLITS
    p: FloatArray = (is_random + extreme) / (is_random + number)
    return p


@functools.lru_cache(2)
def splits(total: int, k: int, seed: int) -> FloatArray:
    """Groups of k of so many agents, 1.0 for its members [splits, total]: all, or random ones. Of
    two halves only those with the first agent: the other half says the same."""
    number = math.comb(total, k)
    if number <= MAX_EXACT:
        number //= 1 + (total == 2 * k)
        groups = np.zeros((number, total))
        chosen = itertools.islice(itertools.combinations(range(total), k), number)
        members = np.fromiter(itertools.chain.from_iterable(chosen), np.int64, number * k)
        np.put_along_axis(groups, members.reshape(number, k), 1.0, axis=1)
        return groups
    one = np.repeat([1.0, 0.0], [k, total - k])
    return np.random.default_rng(seed).permuted(np.tile(one, (RANDOM_SPLITS, 1)), axis=1)
