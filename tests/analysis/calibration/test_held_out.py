"""Scores by hand, and a study in which the calibrated model must win."""

import math
from pathlib import Path

import pytest
from tests.analysis.simulated_study import write_study

from misgen.analysis.calibration.checks import held_out, pooled_rate, score, verdict
from misgen.analysis.calibration.measured import measure_cells
from misgen.analysis.calibration.summary import HeldOutRow
from misgen.analysis.priors import load_priors
from misgen.analysis.records import read_records

CELLS = (
    ("coinrun", "C2"),
    ("coinrun", "C3"),
    ("keys_and_chests", "K2"),
    ("keys_and_chests", "K3"),
)


def test_scores_by_hand() -> None:
    """One episode in four has the event; the forecast says one in two, then one in four."""
    half, quarter = score(0.5, 0.25), score(0.25, 0.25)
    assert half.log_score == pytest.approx(math.log(2))
    assert half.brier == pytest.approx(0.25)
    assert quarter.log_score == pytest.approx(-(0.25 * math.log(0.25) + 0.75 * math.log(0.75)))
    assert quarter.brier == pytest.approx(0.25 * 0.5625 + 0.75 * 0.0625)


def test_the_truth_is_the_best_forecast() -> None:
    for measured in (0.02, 0.3, 0.9):
        best = score(measured, measured)
        for other in (measured / 2, (1 + measured) / 2):
            worse = score(other, measured)
            assert worse.log_score > best.log_score and worse.brier > best.brier


def test_a_certain_and_wrong_forecast_has_a_finite_score() -> None:
    assert math.isfinite(score(0.0, 0.5).log_score) and math.isfinite(score(1.0, 0.0).log_score)


def row(model: float, source: float, pooled: float, measured: float = 0.3) -> HeldOutRow:
    scores = [score(p, measured) for p in (model, source, pooled)]
    return HeldOutRow("cell", "coinrun/C2", measured, 5, *scores)


def test_the_verdict_is_plain() -> None:
    better = verdict([row(0.3, 0.6, 0.5)])
    assert "is better than the source's prior and one pooled rate" in better
    mixed = verdict([row(0.4, 0.6, 0.3)])
    assert "better than the source's prior but no better than one pooled rate" in mixed
    worse = verdict([row(0.9, 0.4, 0.3)])
    assert "is no better than the source's prior and one pooled rate" in worse


def test_one_cell_cannot_be_held_out() -> None:
    found = held_out([], load_priors())
    assert "two cells" in found.reason
    assert found.verdict == f"No held-out prediction: {found.reason}."


def test_cells_that_contradict_the_source_are_predicted_from_each_other(tmp_path: Path) -> None:
    """Both families agree with each other: the goal fails on 2 and 90 % of capable episodes, where
    the source says 28 and 55 %; so one pooled rate is wrong as well."""
    truth = {0.1: (0.9, 0.02, 0.5), 1.0: (0.9, 0.01, 0.5)}
    high = {(*cell, 0.1): (0.9, 0.9, 0.5) for cell in CELLS if cell[1] in ("C3", "K3")}
    write_study(tmp_path, cells=CELLS, agents=4, truth=truth, of_cell=high)
    cells = measure_cells(read_records(tmp_path))
    assert not any(cell.left_out for cell in cells)
    assert pooled_rate(cells) == pytest.approx((0.018 + 0.81) / 2, abs=0.06)
    found = held_out(cells, load_priors())
    kinds = [one.left_out for one in found.rows]
    assert {kind: kinds.count(kind) for kind in kinds} == {"cell": 4, "type": 4, "family": 2}
    for one in found.rows:
        if one.left_out == "cell":  # the other family has seen the type
            nearness = [abs(s.forecast - one.measured) for s in (one.model, one.source, one.pooled)]
            assert nearness[0] == min(nearness)
            assert one.model.log_score == min(
                s.log_score for s in (one.model, one.source, one.pooled)
            )
    assert (
        "cell left out: the calibrated model is better than the source's prior and one pooled"
        in (found.verdict)
    )
