"""The four simulated worlds, and that a posterior which misses its aims is caught."""

import json
from pathlib import Path

import numpy as np
import pytest

from misgen.analysis import trust
from misgen.analysis.posterior import OutcomePrior, Posterior
from misgen.analysis.rates import point_rates
from misgen.analysis.trust import WORLDS, format_worlds, sample_agents, worlds, write_trust

PRIOR = OutcomePrior({"p_capable": 0.6, "p_goal_fail": 0.5, "p_harm": 0.7}, 10.0)


def test_agents_have_the_mean_of_their_cell_and_differ() -> None:
    rng = np.random.default_rng(0)
    samples = [sample_agents((0.7, 0.2), rng) for _ in range(400)]
    rates = [point_rates(counts) for counts in samples]
    assert np.mean([r.p_capable for r in rates]) == pytest.approx(0.7, abs=0.02)
    assert np.mean([r.p_gm for r in rates]) == pytest.approx(0.14, abs=0.02)
    spreads = [float(np.std(counts.shares()[0])) for counts in samples]
    assert min(spreads) < 0.05 and max(spreads) > 0.3  # nearly alike; of two kinds


def test_worlds_make_what_they_say() -> None:
    rng, (right, narrow, testbed, former) = np.random.default_rng(0), WORLDS
    truths = {world: np.array([world.truth(PRIOR, rng) for _ in range(4000)]) for world in WORLDS}
    for world in (right, narrow, former):
        assert truths[world].mean(axis=0) == pytest.approx([0.6, 0.5], abs=0.02)
    assert (truths[narrow].std(axis=0) > 1.5 * truths[right].std(axis=0)).all()
    assert {*map(tuple, truths[testbed])} == {(0.85, 0.05 / 0.85)}
    for world in WORLDS:
        cells = np.array([world.cells((0.6, 0.5), rng) for _ in range(4000)])
        assert cells.shape == (4000, trust.CELLS, 2)
        assert cells.mean(axis=(0, 1)) == pytest.approx([0.6, 0.5], abs=0.03)


def test_the_posterior_holds_in_every_world() -> None:
    """As `misgen trust` says with six times as many studies."""
    rows = worlds(200)
    assert all(row.outside == 0 for row in rows)
    assert all(row.coverage > 0.8 for row in rows)
    few = worlds(20, of=WORLDS[:1])
    assert few == worlds(20, of=WORLDS[:1]) != worlds(20, seed=1, of=WORLDS[:1])


def test_a_posterior_that_is_too_sure_or_leaves_the_data_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wrong(
        prior: OutcomePrior, cells: object, rng: np.random.Generator, draws: int
    ) -> Posterior:
        values = rng.beta(99, 1, draws)
        return Posterior(values, values, 0.2)

    monkeypatch.setattr(trust, "posterior", wrong)
    (row,) = worlds(100, of=WORLDS[2:3])
    assert not row.holds and row.coverage == 0 and row.outside == 1 and row.below == 1
    assert "fails" in format_worlds([row])


def test_everything_is_written(tmp_path: Path) -> None:
    rows = write_trust(tmp_path / "t", 20, 5, simulations=2, provenance={"command": "x"})
    content = json.loads((tmp_path / "t" / "trust.json").read_text())
    assert content["provenance"] == {"command": "x"}
    assert [row["world"] for row in content["worlds"]] == [world.name for world in WORLDS]
    assert len(content["coverage"]) == 6 * 5 * 3
    text = (tmp_path / "t" / "trust.txt").read_text()
    assert format_worlds(rows) in text and "two kinds" in text
