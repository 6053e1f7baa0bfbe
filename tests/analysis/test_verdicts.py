"""Many verdicts at once, and how often they flag arms that are equal."""

import json
from pathlib import Path

import numpy as np
import pytest

from misgen.analysis import coverage
from misgen.analysis.rates import AgentCounts
from misgen.analysis.verdicts import PARTS, permutation_test

PUBLISHED = Path(__file__).parents[2] / "analysis" / "published" / "power" / "verdicts.json"


def pairs_of_arms(k: int, others: int, levels: int, pairs: int = 60) -> list[list[AgentCounts]]:
    """Arms of few levels, so that many splits tie, and some agents are never capable. Every other
    pair differs in all factors."""
    rng = np.random.default_rng(k)
    made = []
    for i in range(pairs):
        arms = []
        for agents, shift in ((k, 0.3 * (i % 2)), (others, 0.0)):
            counts = [np.full(agents, levels)]
            for _ in range(3):
                counts.append(rng.binomial(counts[-1], shift + rng.random(agents) * (1 - shift)))
            arms.append(AgentCounts(np.arange(agents), *np.array(counts, dtype=float)))
        made.append(arms)
    return made


@pytest.mark.parametrize(
    ("k", "others"),
    [(3, 3), (4, 4), (8, 5), pytest.param(9, 10, marks=pytest.mark.slow), (12, 12)],
)
@pytest.mark.parametrize("levels", [3, 300])
@pytest.mark.parametrize("rate", PARTS)
def test_many_verdicts_are_those_of_every_pair(k: int, others: int, levels: int, rate: str) -> None:
    """Also where arms are too small, have nothing to divide by, or are split at random."""
    pairs = pairs_of_arms(k, others, levels)
    shares = np.stack([np.concatenate([a.shares(), b.shares()], axis=1) for a, b in pairs], axis=2)
    expected = [permutation_test(a, b, rate).differs for a, b in pairs]
    assert coverage.differ(shares, k, rate).tolist() == expected
    assert 0 < sum(expected) < len(pairs) or 3 in (k, levels)


def test_a_pair_near_the_limit_is_judged_by_all_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 40 of 92,378 splits looked at first, nearly every pair is in doubt."""
    pairs = pairs_of_arms(9, 10, 300)
    shares = np.stack([np.concatenate([a.shares(), b.shares()], axis=1) for a, b in pairs], axis=2)
    at_once = coverage.differ(shares, 9, "p_gm")
    monkeypatch.setattr(coverage, "FEW_SPLITS", 40)
    assert coverage.differ(shares, 9, "p_gm").tolist() == at_once.tolist()


def test_equal_arms_are_rarely_flagged() -> None:
    """Published: 2,000 pairs for each of six populations and three sizes, at most 6.5 % flagged."""
    rows = json.loads(PUBLISHED.read_text())["rows"]
    cases = {(row["population"], row["agents"], row["against"]) for row in rows}
    sizes = {(5, 5), (8, 5), (10, 10)}
    assert cases == {(p.name, *size) for p in coverage.POPULATIONS for size in sizes}
    assert {row["pairs"] for row in rows} == {2000}
    assert max(row["flagged"] for row in rows) <= 0.065
    again = coverage.flags_of_equal_arms(populations=coverage.POPULATIONS[:1])
    assert [row._asdict() for row in again] == rows[: len(again)]


def test_populations_are_what_their_names_say() -> None:
    for population in coverage.POPULATIONS[:4]:
        mean, sd = np.mean(population.goal_fail), np.std(population.goal_fail)
        assert population.name == f"mean {mean:.3f}, sd {sd:.3f}".replace("0.", ".")
    assert coverage.POPULATIONS[4].truth()["p_goal_fail"] == pytest.approx(0.32)


def test_the_table() -> None:
    text = coverage.format_flags([coverage.Flags("alike", 8, 5, "p_gm", 0.051, 2000)])
    assert "8 / 5" in text and ".051" in text
