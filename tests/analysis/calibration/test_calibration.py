"""Calibration on simulated studies: who enters, what moves, what never does."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.analysis.conftest import EVENTS, episodes
from tests.analysis.simulated_study import DEMO, TRUTH, write_study

from misgen.analysis.calibration import calibrate as calibration
from misgen.analysis.calibration.calibrate import Calibration, Settings, calibrate
from misgen.analysis.calibration.conflict import TAIL, conflicts, expected_by_chance, predictive
from misgen.analysis.calibration.handoff import RATES
from misgen.analysis.calibration.held_out import HeldOut
from misgen.analysis.calibration.measured import MeasuredCell, measure_cells, of_setting
from misgen.analysis.calibration.reference_fit import cell_counts
from misgen.analysis.calibration.summary import feed_warnings, plain, summary_of
from misgen.analysis.calibration.table import tables
from misgen.analysis.priors import load_priors
from misgen.analysis.priors.types import SHIFT_TYPES
from misgen.analysis.rates import AgentCounts, point_rates
from misgen.analysis.records import read_records, write_records

pytestmark = pytest.mark.usefixtures("remembered_chains")

CELLS = (
    ("coinrun", "C2"),
    ("coinrun", "C4"),
    ("keys_and_chests", "K2"),
    ("keys_and_chests", "K3"),
    ("keys_and_chests", "K1"),
)
NOT_IDENTIFIED = ("keys_and_chests", "K1")
DRAWS = 1000


def run_once(folder: Path, **options: Any) -> Calibration:
    """Without the fits of the held-out prediction, which has tests of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "held_out", lambda *_, **__: HeldOut((), "left out here"))
        return run(folder, **options)


def run(folder: Path, **options: Any) -> Calibration:
    options = {"draws": DRAWS, "kappas": (10.0,)} | options
    return calibrate(read_records(folder), load_priors(), **options)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five cells; in one the control fails as well, so that its rate may not be quoted."""
    bad_control = {(*NOT_IDENTIFIED, 1.0): (0.9, 0.4, 0.5)}
    folder = tmp_path_factory.mktemp("study")
    return write_study(folder, cells=CELLS, agents=5, of_cell=bad_control, incompetent=1)


@pytest.fixture(scope="module")
def calibrated(study: Path) -> Calibration:
    return run_once(study)


@pytest.fixture(scope="module")
def with_harm(study: Path) -> Calibration:
    return run_once(study, harm="measured")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    folder = tmp_path_factory.mktemp("demo")
    return run(write_study(folder, cells=DEMO, truth={d: TRUTH[d] for d in (0.0, 1.0)}))


def by_code(found: Calibration) -> dict[str, MeasuredCell]:
    return {cell.cell: cell for cell in found.cells}


# -------------------------------------------------------------------------------------- identities


@pytest.mark.parametrize("which", ["calibrated", "with_harm", "demo"])
def test_the_factors_multiply_in_every_draw_of_every_path(
    which: str, request: pytest.FixtureRequest
) -> None:
    draws = request.getfixturevalue(which).draws
    prefixes = {name.rpartition("/")[0] for name in draws if name.rpartition("/")[2] in RATES}
    paths = {prefix.partition("/")[0] for prefix in prefixes}
    assert paths >= ({"prior", "d0"} if which == "demo" else {"prior", "update", "replace", "d0"})
    for prefix in prefixes:
        capable, fails, harm, gm, harmful = (draws[f"{prefix}/{name}"] for name in RATES)
        assert (capable * fails == gm).all(), prefix
        assert (capable * fails * harm == harmful).all(), prefix
        assert 0 <= harmful.min() and harmful.max() <= gm.max() <= 1, prefix


def test_measured_draws_are_those_of_the_rates(calibrated: Calibration) -> None:
    cell = by_code(calibrated)["C2"]
    raw = point_rates(cell.reference)
    draws = calibrated.draws["measured/coinrun/C2/p_gm"]
    assert abs(draws.mean() - raw.p_gm) < 0.06  # a pseudo-agent pulls
    assert draws.std() > 0.01


def test_equal_seeds_give_equal_draws(demo: Calibration, tmp_path: Path) -> None:
    arms = {d: TRUTH[d] for d in (0.0, 1.0)}
    again, other = (
        run(write_study(tmp_path, cells=DEMO, truth=arms), seed=seed) for seed in (0, 1)
    )
    assert again.draws.keys() == demo.draws.keys() == other.draws.keys()
    assert all((again.draws[name] == demo.draws[name]).all() for name in demo.draws)
    moved = [name for name in demo.draws if (other.draws[name] != demo.draws[name]).any()]
    assert {name for name in demo.draws if np.ptp(demo.draws[name])} == set(moved)


# --------------------------------------------------------------------------------------- who enters


def test_only_identified_cells_enter(calibrated: Calibration) -> None:
    cells = by_code(calibrated)
    assert [cell.cell for cell in calibrated.entering] == ["C2", "C4", "K2", "K3"]
    assert "not identified: goal failure" in cells["K1"].left_out
    assert "exceeds 0.1" in cells["K1"].left_out


def test_a_type_without_a_cell_keeps_its_prior(calibrated: Calibration) -> None:
    draws = calibrated.draws
    for rate in RATES:
        for feed in ("update", "replace"):
            assert (draws[f"{feed}/superficial/{rate}"] == draws[f"prior/superficial/{rate}"]).all()
    for feed in ("update", "replace"):
        assert (draws[f"{feed}/moderate/p_gm"] != draws["prior/moderate/p_gm"]).any()
    (row,) = [row for row in summary_of(calibrated)["types"] if row["type"] == "superficial"]
    assert row["cells"] == [] and "K1: not identified" in row["keeps_prior"]


def test_a_cell_that_does_not_inform_its_type_is_shown_and_left_out(tmp_path: Path) -> None:
    """Two cells of one type in one family; one is a dose of the other's cue."""
    write_study(tmp_path / "both", cells=[("coinrun", "C2")], agents=3)
    dose = {"shift_type": "moderate", "informs_type": False}
    write_study(tmp_path / "both", cells=[("coinrun", "C1")], agents=3, declared=dose)
    found = run_once(tmp_path / "both")
    assert [cell.cell for cell in found.entering] == ["C2"]
    shown = by_code(found)["C1"]
    assert shown.left_out == "the cell declares that it does not inform its shift type"
    assert "measured/coinrun/C1/p_gm" in found.draws
    text = tables({**summary_of(found), "provenance": {}})["factors.txt"]
    assert "(C1) " in text and " C2 " in text
    alone = run_once(write_study(tmp_path / "alone", cells=[("coinrun", "C2")], agents=3))
    assert (found.draws["update/moderate/p_gm"] == alone.draws["update/moderate/p_gm"]).all()


@pytest.mark.slow  # a sampler of its own is compiled
def test_several_cells_of_a_type_in_three_families(tmp_path: Path) -> None:
    """All inform their type: the posterior takes each, and replace is the mean over them."""
    moderate = {"shift_type": "moderate"}
    cells = [("coinrun", "C2"), ("coinrun", "C3"), ("keys_and_chests", "K2"), ("maze", "C2")]
    write_study(tmp_path, cells=cells, agents=3, declared=moderate)
    found = run_once(tmp_path)
    assert [cell.slot for cell in found.entering] == cells
    assert found.fit is not None and set(found.fit.cells) == {*cells}
    (row,) = [row for row in summary_of(found)["types"] if row["type"] == "moderate"]
    assert row["cells"] == ["/".join(cell) for cell in cells]
    rates = [point_rates(cell.reference).p_gm for cell in found.cells]
    assert row["replace"]["p_gm"]["value"] == pytest.approx(np.mean(rates))
    one, other = (found.draws[f"measured/coinrun/{code}/p_gm"] for code in ("C2", "C3"))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.2  # weights of their own


def test_without_a_reference_arm_update_refuses_and_says_what_to_run(demo: Calibration) -> None:
    assert demo.fit is None and not demo.entering
    assert "d = 0.1, q = 1, PPO" in demo.refused and "misgen run-cells" in demo.refused
    assert not any(name.startswith(("update/", "replace/")) for name in demo.draws)
    summary = summary_of(demo)
    assert summary["feeds"]["side_by_side"]["available"]
    assert not summary["feeds"]["update"]["available"]
    (c2, _) = summary["cells"]
    assert c2["arms"]["d0"]["competent"]["rates"]["p_gm"]["value"] == pytest.approx(0.72, abs=0.1)


def test_d_0_never_reaches_a_factor(tmp_path: Path) -> None:
    """Other rates at d = 0 change the multiplier of diversity and nothing else."""
    truth = {**TRUTH, 0.0: (0.9, 0.1, 0.5)}
    other = run(write_study(tmp_path, cells=CELLS[:1], agents=5, truth=truth))
    base = run(write_study(tmp_path / "base", cells=CELLS[:1], agents=5))
    changed = {name for name in base.draws if (base.draws[name] != other.draws[name]).any()}
    assert {name.split("/")[0] for name in changed} == {"d0", "update", "replace"}
    assert {name for name in changed if name.startswith(("update", "replace"))} == {
        "update/modifier/diversity/narrow",
        "replace/modifier/diversity/narrow",
    }


@pytest.mark.parametrize("agents", [1, 2])
def test_one_or_two_agents_have_no_interval_and_do_not_enter(tmp_path: Path, agents: int) -> None:
    few = run(write_study(tmp_path, cells=CELLS[:2], agents=agents))
    assert f"{agents} competent of {agents} agents" in few.refused and "(C2, C4)" in few.refused
    assert not any(name.startswith(("measured/", "d0/")) for name in few.draws)
    rates = summary_of(few)["cells"][0]["arms"]["reference"]["competent"]["rates"]
    assert rates["p_gm"]["value"] > 0 and rates["p_gm"]["low"] is None
    assert rates["p_gm"]["reason"].endswith("an interval needs at least 3")


def test_zero_capable_episodes(tmp_path: Path) -> None:
    never = {("coinrun", "C2", 0.1): (0.0, 0.5, 0.5)}
    nothing = run(write_study(tmp_path, cells=CELLS[:1], agents=3, of_cell=never))
    assert "no capable episode" in nothing.refused
    rates = summary_of(nothing)["cells"][0]["arms"]["reference"]["competent"]["rates"]
    assert rates["p_capable"]["value"] == 0
    assert rates["p_goal_fail"]["value"] is None
    assert rates["p_goal_fail"]["reason"].startswith("not assessable")


def test_records_without_any_arm_of_the_study(tmp_path: Path) -> None:
    columns = episodes(["P"] * 5, d=0.5)
    write_records(tmp_path / "run" / "episodes.parquet", columns, EVENTS)
    (tmp_path / "run" / "done.json").write_text("{}")
    with pytest.raises(ValueError, match=r"d = 0, 0.1 or 1, evaluated at variant 11.*misgen demo"):
        run(tmp_path)


def test_which_network_is_the_reference_must_be_said(tmp_path: Path) -> None:
    write_study(tmp_path / "a", cells=CELLS[:1], agents=3)
    columns = [
        episodes(
            ["P"] * 40,
            agent=agent,
            d=0.1,
            run_id=f"wide{agent}",
            setting="wide",
            eval_fingerprint="coinrun-C2-11",
        )
        for agent in range(2)
    ]
    for agent, block in enumerate(columns):
        write_records(tmp_path / "a" / f"wide{agent}" / "episodes.parquet", block, EVENTS)
        (tmp_path / "a" / f"wide{agent}" / "done.json").write_text("{}")
    records = read_records(tmp_path / "a")
    with pytest.raises(ValueError, match=r"C2 has 9 of planes \(a1b2c3d4\), 2 of planes \(wide\)"):
        measure_cells(records)
    (cell,) = measure_cells(of_setting(records, "a1b2"))
    assert cell.setting == "a1b2c3d4" and cell.reference.k == 3
    widths = pa.table({"setting": ["a1b2c3d4", "wide"], "features_dim": [256, 1024]})
    (cell,) = measure_cells(of_setting(records, "features_dim=1024", widths))
    assert cell.setting == "wide" and cell.reference.k == 2
    for wrong, message in (
        ("features_dim=7", "no agent of these records"),
        ("x=1", "features_dim"),
    ):
        with pytest.raises(ValueError, match=message):
            of_setting(records, wrong, widths)


# --------------------------------------------------------------------------------------- what moves


def test_update_moves_towards_the_data_and_replace_is_the_data(calibrated: Calibration) -> None:
    """p_goal_fail is 25 % in the study; the source says 28 (moderate), 55 and 75 %."""
    draws = calibrated.draws
    for shift, printed in (("significant", 0.55), ("extreme", 0.75)):
        prior, update, replaced = (
            draws[f"{feed}/{shift}/p_goal_fail"].mean() for feed in ("prior", "update", "replace")
        )
        assert prior == pytest.approx(printed, abs=0.02)
        assert replaced < update < prior - 0.05
        assert replaced == pytest.approx(0.25, abs=0.12)


def test_known_multiplier_is_recovered(calibrated: Calibration) -> None:
    """p_gm is .9 x .8 at d = 0 and .8 x .25 at d = .1: a ratio of 3.6, where the source has 1.4."""
    (narrow,) = [line for line in calibrated.modifiers if line.level == "narrow"]
    assert narrow.measured is not None and narrow.update is not None and narrow.replace is not None
    assert narrow.measured.ratio.low < 3.6 < narrow.measured.ratio.high
    assert 1.4 < narrow.update.value < narrow.measured.ratio.value
    assert narrow.replace.value == pytest.approx(narrow.measured.ratio.value, rel=0.1)


def test_power_0_is_the_prior(study: Path) -> None:
    nothing = run_once(study, power=0.0)
    for shift in SHIFT_TYPES:
        for rate in RATES[:2]:
            prior, update = (nothing.draws[f"{f}/{shift}/{rate}"] for f in ("prior", "update"))
            np.testing.assert_allclose(
                np.quantile(update, [0.1, 0.5, 0.9]), np.quantile(prior, [0.1, 0.5, 0.9]), atol=0.06
            )
    assert all(line.update is None for line in nothing.modifiers)


def test_more_weight_of_the_prior_narrows_it(demo: Calibration, tmp_path: Path) -> None:
    arms = {d: TRUTH[d] for d in (0.0, 1.0)}
    swept = run(write_study(tmp_path, cells=DEMO, truth=arms), kappas=(2, 10, 50)).sweep
    widths = [
        np.ptp(np.quantile(s.prior["p_gm"], [0.05, 0.95])) for s in swept if s.shift == "extreme"
    ]
    assert len(swept) == 12 and widths[0] > widths[1] > widths[2]


@pytest.mark.parametrize(
    ("setting", "rule"),
    [
        ({"power": 1.5}, "power of the data is within 0"),
        ({"harm": "guessed"}, "harm is one of implied, note_50_70, measured; got 'guessed'"),
        ({"draws": 10}, "at least 100 draws; got 10"),
        ({"seed": -1}, "a seed is a number from 0 on; got -1"),
        ({"kappas": (0.0,)}, "kappas are above 0"),
    ],
)
def test_settings_out_of_range(setting: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        Settings(**setting)


# --------------------------------------------------------------------------------------------- harm


def test_measured_harm_moves_nothing_unless_asked_for(calibrated: Calibration) -> None:
    for shift in SHIFT_TYPES:
        prior = calibrated.draws[f"prior/{shift}/p_harm"]
        for feed in ("update", "replace"):
            assert (calibrated.draws[f"{feed}/{shift}/p_harm"] == prior).all()
    measured = summary_of(calibrated)["cells"][0]["arms"]["reference"]["competent"]["rates"][
        "p_harm"
    ]
    assert measured["value"] == pytest.approx(0.5, abs=0.15)  # it is shown all the same


def test_asked_for_it_moves_only_where_it_may(with_harm: Calibration) -> None:
    """C2 and K2 may; C4 (by construction) and K3 never, which leaves types 3 and 4 at the prior."""
    draws = with_harm.draws
    for feed in ("update", "replace"):
        assert (draws[f"{feed}/moderate/p_harm"] != draws["prior/moderate/p_harm"]).any()
        for shift in ("superficial", "significant", "extreme"):
            assert (draws[f"{feed}/{shift}/p_harm"] == draws[f"prior/{shift}/p_harm"]).all()
    assert draws["replace/moderate/p_harm"].mean() == pytest.approx(0.5, abs=0.1)
    assert (draws["prior/moderate/p_harm"] == draws["harm/implied/moderate"]).all()


def test_the_harm_of_c4_k4_and_k3_never_reaches_the_model(tmp_path: Path) -> None:
    cells = measure_cells(read_records(write_study(tmp_path, agents=3)))
    assert len(cells) == 8
    for cell, counts in zip(cells, cell_counts(cells, with_harm=True), strict=True):
        is_there = bool((~np.isnan(counts.counts.hgc)).all())
        assert is_there == (cell.cell not in ("C4", "K4", "K3")) == cell.harm_may_update
    assert all(np.isnan(c.counts.hgc).all() for c in cell_counts(cells, with_harm=False))


def test_the_note_of_the_source(tmp_path: Path) -> None:
    arms = {d: TRUTH[d] for d in (0.0, 1.0)}
    noted = run(write_study(tmp_path, cells=DEMO, truth=arms), harm="note_50_70")
    for shift in SHIFT_TYPES:
        harm = noted.draws[f"prior/{shift}/p_harm"]
        assert 0.5 <= harm.min() < 0.51 and 0.69 < harm.max() <= 0.7


# ------------------------------------------------------------------------- attrition and condition


def test_three_rows_of_attrition(calibrated: Calibration) -> None:
    arm = summary_of(calibrated)["cells"][0]["arms"]["reference"]
    assert (arm["competent"]["agents"], arm["all_trained"]["agents"]) == (4, 5)
    assert arm["agent_numbers"] == [1, 2, 3, 4]
    low, high = arm["bounds"]["low"], arm["bounds"]["high"]
    assert low < arm["all_trained"]["rates"]["p_gm"]["value"] < high
    assert high - low == pytest.approx(1 / 5)


def test_divided_rates_stand_beside_the_measured_ones(calibrated: Calibration) -> None:
    """At q = 1 and d = .1 the source multiplies by .5 (specification), the low end of its range, so
    by .5 exp(.2 x .674) in the middle, and by exactly 1 (diversity)."""
    arm = summary_of(calibrated)["cells"][0]["arms"]["reference"]
    divided, measured = arm["divided"], arm["competent"]["rates"]["p_gm"]
    assert arm["condition"] == "measured at q = 1, d = 0.1, PPO"
    assert divided["levels"]["diversity"] == "reference: exactly 1"
    assert divided["multiplier"]["value"] == pytest.approx(0.572, rel=0.03)
    assert divided["p_gm"]["value"] == pytest.approx(
        measured["value"] / divided["multiplier"]["value"]
    )
    ratio = divided["p_gm"]["high"] / divided["p_gm"]["low"]
    assert ratio > measured["high"] / measured["low"]  # the multiplier's uncertainty is in it
    # What enters is what was measured.
    entered = calibrated.draws["measured/coinrun/C2/p_gm"].mean()
    assert abs(entered - measured["value"]) < abs(entered - divided["p_gm"]["value"])


# ---------------------------------------------------------------------------------------- conflicts


def cell_of(counts: AgentCounts, like: MeasuredCell) -> MeasuredCell:
    arm = like.arms["reference"]
    everyone = replace(arm, everyone=counts, is_competent=np.ones(counts.k, dtype=bool))
    return replace(like, arms={**like.arms, "reference": everyone})


def simulated_counts(rng: np.random.Generator, theta: float, nu: float, k: int) -> AgentCounts:
    n = np.full(k, 100.0)
    c = rng.binomial(100, rng.beta(theta * nu, (1 - theta) * nu, k)).astype(float)
    return AgentCounts(np.arange(k), n, c, np.zeros(k), np.zeros(k))


def test_extreme_rates_are_flagged_and_ordinary_ones_are_not(calibrated: Calibration) -> None:
    rng, like = np.random.default_rng(0), by_code(calibrated)["C2"]  # the source says .65
    for theta, flagged in ((0.65, False), (0.02, True)):
        counts = simulated_counts(rng, theta, 200, 8)
        found = conflicts([cell_of(counts, like)], load_priors(), draws=4000)
        (capable,) = [one for one in found if one.factor == "p_capable"]
        assert (
            capable.flagged == flagged and capable.predictive.low < 0.65 < capable.predictive.high
        )


def test_chance_flags_as_often_as_it_says(calibrated: Calibration) -> None:
    """Cells drawn from the prior itself: the share of flags is the expected one."""
    rng, like, flags, expected = np.random.default_rng(1), by_code(calibrated)["C2"], [], []
    for _ in range(300):
        mu = rng.beta(6.5, 3.5)
        effect = rng.normal() / 2 + rng.normal() * abs(rng.normal(0, 0.5))
        theta = 1 / (1 + np.exp(-np.log(mu / (1 - mu)) - effect))
        counts = simulated_counts(rng, theta, max(np.exp(rng.normal(np.log(5), 2)), 0.01), 5)
        found = conflicts(
            [cell_of(counts, like)], load_priors(), draws=1500, seed=int(rng.integers(9))
        )
        flags.append(found[0].flagged)
        expected.append(found[0].chance)
    assert expected_by_chance([]) == 0
    assert np.mean(expected) == pytest.approx(TAIL, abs=0.02)
    assert np.mean(flags) == pytest.approx(np.mean(expected), abs=0.035)


def test_the_predictive_knows_agents_and_denominators() -> None:
    """More agents, and less of the factor's own noise: a narrower predictive."""
    rng = np.random.default_rng(0)

    def width(k: int) -> float:
        counts = AgentCounts(np.arange(k), *np.full((4, k), 50.0))
        drawn = predictive(counts, "p_goal_fail", 0.5, 50.0, 4000, rng)
        assert drawn.mean() == pytest.approx(0.5, abs=0.02)
        return float(np.ptp(np.quantile(drawn, [0.05, 0.95])))

    assert width(2) > width(30) > 0


def test_an_agent_that_is_never_capable_has_no_weight() -> None:
    counts = AgentCounts(
        np.arange(2), np.array([50.0, 50.0]), np.array([50.0, 0.0]), np.zeros(2), np.zeros(2)
    )
    drawn = predictive(counts, "p_goal_fail", 0.3, 10.0, 2000, np.random.default_rng(0))
    assert np.isfinite(drawn).all() and drawn.max() <= 1


# ------------------------------------------------------------------------------------------- output


def test_an_update_that_the_prior_holds_is_named(calibrated: Calibration) -> None:
    """K3 measures .25 and the source says .55; C2 and K2 measure what the source says."""
    text = summary_of(calibrated)["warnings"]
    held = [line for line in text if "held by the source's" in line]
    assert not any(line.startswith("moderate") for line in held)
    moved = {
        **calibrated.draws,
        "update/moderate/p_goal_fail": np.full(DRAWS, 0.6),
        "update/extreme/p_goal_fail": np.full(DRAWS, 0.25),
    }
    held = summary_of(replace(calibrated, draws=moved))["warnings"]
    assert any(line.startswith("moderate p_goal_fail: the update, .600, is far") for line in held)
    assert not any(line.startswith("extreme p_goal_fail") for line in held)


def test_an_update_that_goes_away_from_the_data_is_named(calibrated: Calibration) -> None:
    """Prior .30, cells near .2: a p_gm of .5 is further away than before anything was measured."""
    moved = {**calibrated.draws, "update/significant/p_gm": np.full(DRAWS, 0.5)}
    warned = feed_warnings(replace(calibrated, draws=moved))["update"]
    (line,) = [text for about, text in warned if text.startswith("significant p_gm")]
    assert ("significant", line) in warned
    assert "lies further from the cells" in line and "the source's .303" in line


def test_replace_prints_the_raw_rates_and_the_intervals_of_its_draws(
    calibrated: Calibration, with_harm: Calibration
) -> None:
    """The draws hold a pseudo-agent, so their mean is not the measured rate."""
    for found in (calibrated, with_harm):
        for row in summary_of(found)["types"]:
            cells = [point_rates(cell.reference) for cell in found.cells_of(row["type"])]
            rates = {name: row["replace"][name]["value"] for name in RATES}
            assert rates["p_gm"] == pytest.approx(
                rates["p_capable"] * rates["p_goal_fail"], rel=0.05
            )
            if cells:
                assert rates["p_gm"] == pytest.approx(np.mean([one.p_gm for one in cells]))
                assert rates["p_capable"] == pytest.approx(
                    np.mean([one.p_capable for one in cells])
                )
                assert rates["p_gm"] * rates["p_harm"] == pytest.approx(rates["p_harmful_gm"])
                drawn = found.draws[f"replace/{row['type']}/p_gm"]
                assert row["replace"]["p_gm"]["low"] == pytest.approx(np.quantile(drawn, 0.05))
    (moderate,) = [r for r in summary_of(calibrated)["types"] if r["type"] == "moderate"]
    printed = load_priors().shifts["moderate"].p_harm.number
    assert moderate["replace"]["p_harm"]["value"] == pytest.approx(printed)


def test_the_spread_of_the_multipliers_is_swept(calibrated: Calibration) -> None:
    """The wider the source's multiplier, the nearer the update is to the measured ratio."""
    rows = [r for r in summary_of(calibrated)["log_sd_sweep"] if r["level"] == "narrow"]
    assert [row["log_sd"] for row in rows] == [0.1, 0.2, 0.3, 0.4]
    (narrow,) = [line for line in calibrated.modifiers if line.level == "narrow"]
    assert narrow.measured is not None and narrow.update is not None
    away = [abs(math.log(r["update"]["value"] / narrow.measured.ratio.value)) for r in rows]
    assert away == sorted(away, reverse=True)
    assert rows[1]["update"]["value"] == pytest.approx(narrow.update.value, rel=0.02)
    assert "log-sd" in tables({**summary_of(calibrated), "provenance": {}})["kappa.txt"]


def test_refused_fits_of_the_sweeps_are_said(calibrated: Calibration) -> None:
    sweep = tuple(replace(one, refused="R-hat 1.2") for one in calibrated.sweep)
    held = HeldOut((), "one cell", ("cell coinrun/C2",))
    summary = summary_of(replace(calibrated, sweep=sweep, held_out=held))
    text = tables({**summary, "provenance": {}})["kappa.txt"]
    assert "At kappa 10 the sampler is refused: R-hat 1.2" in text
    assert summary["held_out"]["refused"] == ["cell coinrun/C2"]


def test_multipliers_are_measured_on_the_link_of_the_overflow(study: Path) -> None:
    found = run_once(study, overflow="hazard", power=0)
    assert found.modifier_report.link == "cloglog"
    assert summary_of(found)["settings"]["overflow"] == "hazard"
    with pytest.raises(ValueError, match="overflow is one of clip, hazard, odds; got 'wrap'"):
        Settings(overflow="wrap")


def test_nan_becomes_null() -> None:
    value = {"a": math.nan, ("x", "y"): (np.float64(1.5), np.array([1, math.inf]))}
    assert plain(value) == {"a": None, "x/y": [1.5, [1, None]]}


def test_what_the_fit_says_is_in_the_output(calibrated: Calibration) -> None:
    fit = calibrated.fit
    assert fit is not None
    said = replace(
        fit, refused="R-hat", fallback={("coinrun", "C2"): "falls"}, flags=["narrow", "wide"]
    )
    summary = summary_of(replace(calibrated, fit=said))
    assert summary["hierarchy"]["fallback"] == {"coinrun/C2": "falls"}
    (cell,) = [one for one in summary["cells"] if one["cell"] == "C2"]
    assert cell["fallback"] == "falls"
    text = " ".join(summary["warnings"])
    assert "fit is refused (R-hat)" in text and "coinrun/C2 falls back: falls" in text
    assert summary["hierarchy"]["flags"] == ["narrow", "wide"]
    notes = tables({**summary, "provenance": {}, "schema_version": 1})["notes.txt"]
    assert "2 flags of the fit (all in summary.json), the first: narrow" in notes
    assert "coinrun/C2 falls back: falls" in notes and "R-hat at most" in notes
