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

from misgen.analysis.calibration.calibrate import Calibration, calibrate
from misgen.analysis.calibration.check_tables import log_sds, wide
from misgen.analysis.calibration.checks import (
    TAIL,
    WIDE,
    conflicts,
    expected_by_chance,
    predictive,
)
from misgen.analysis.calibration.draws import Settings, estimates_of
from misgen.analysis.calibration.factor_tables import factors
from misgen.analysis.calibration.handoff import RATES
from misgen.analysis.calibration.measured import MeasuredCell, measure_cells, of_setting
from misgen.analysis.calibration.summarize import HARM_NOTE, data_warnings, summary_of
from misgen.analysis.calibration.summary import Summary, read_summary
from misgen.analysis.posterior import PHI, OutcomePrior, mean_gm
from misgen.analysis.priors import load_priors
from misgen.analysis.priors.types import SHIFT_TYPES
from misgen.analysis.rates import AgentCounts, point_rates
from misgen.analysis.records import read_records, write_records
from misgen.analysis.words import DATA

CELLS = (
    ("coinrun", "C2"),
    ("coinrun", "C4"),
    ("keys_and_chests", "K2"),
    ("keys_and_chests", "K3"),
    ("keys_and_chests", "K1"),
)
NOT_IDENTIFIED = ("keys_and_chests", "K1")
DRAWS = 1000


def run(folder: Path, **options: Any) -> Calibration:
    options = {"draws": DRAWS, "kappas": (10.0,)} | options
    return calibrate(read_records(folder), load_priors(), **options)


def summarized(found: Calibration) -> Summary:
    nowhere = {"command": "", "git_commit": None, "date_utc": "", "versions": {}}
    return summary_of(found, nowhere, "0" * 64)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five cells; in one the control fails as well, so that its rate may not be quoted."""
    bad_control = {(*NOT_IDENTIFIED, 1.0): (0.9, 0.4, 0.5)}
    folder = tmp_path_factory.mktemp("study")
    return write_study(folder, cells=CELLS, agents=5, of_cell=bad_control, incompetent=1)


@pytest.fixture(scope="module")
def calibrated(study: Path) -> Calibration:
    return run(study)


@pytest.fixture(scope="module")
def with_harm(study: Path) -> Calibration:
    return run(study, harm="measured")


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
    assert paths >= ({"prior", "d0"} if which == "demo" else {"prior", "combine", "only", "d0"})
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
        for data in DATA[1:]:
            assert (draws[f"{data}/superficial/{rate}"] == draws[f"prior/superficial/{rate}"]).all()
    for data in DATA[1:]:
        assert (draws[f"{data}/moderate/p_gm"] != draws["prior/moderate/p_gm"]).any()
    (row,) = [row for row in summarized(calibrated).types if row.type == "superficial"]
    assert row.cells == () and "K1: not identified" in row.keeps_prior


def test_a_cell_that_does_not_inform_its_type_is_shown_and_left_out(tmp_path: Path) -> None:
    """Two cells of one type in one family; one is a dose of the other's cue."""
    write_study(tmp_path / "both", cells=[("coinrun", "C2")], agents=3)
    dose = {"shift_type": "moderate", "informs_type": False}
    write_study(tmp_path / "both", cells=[("coinrun", "C1")], agents=3, declared=dose)
    found = run(tmp_path / "both")
    assert [cell.cell for cell in found.entering] == ["C2"]
    shown = by_code(found)["C1"]
    assert shown.left_out == "the cell declares that it does not inform its shift type"
    assert "measured/coinrun/C1/p_gm" in found.draws
    remarks = {row[1]: row[-1] for row in factors(summarized(found)).rows}
    assert remarks["C1"] == "not read by combine" and remarks["C2"] == ""
    alone = run(write_study(tmp_path / "alone", cells=[("coinrun", "C2")], agents=3))
    assert (found.draws["combine/moderate/p_gm"] == alone.draws["combine/moderate/p_gm"]).all()


def test_several_cells_of_a_type_in_three_families(tmp_path: Path) -> None:
    """All inform their type: the posterior takes each, and replace is the mean over them."""
    moderate = {"shift_type": "moderate"}
    cells = [("coinrun", "C2"), ("coinrun", "C3"), ("keys_and_chests", "K2"), ("maze", "C2")]
    write_study(tmp_path, cells=cells, agents=3, declared=moderate)
    found = run(tmp_path)
    assert [cell.slot for cell in found.entering] == cells
    raw = [point_rates(cell.reference) for cell in found.cells]
    mean = mean_gm(OutcomePrior.of(load_priors(), "moderate"), raw)
    assert found.draws["combine/moderate/p_gm"].mean() == pytest.approx(mean, abs=0.01)
    (row,) = [row for row in summarized(found).types if row.type == "moderate"]
    assert row.cells == tuple("/".join(cell) for cell in cells)
    rates = [point_rates(cell.reference).p_gm for cell in found.cells]
    assert row.only["p_gm"].value == pytest.approx(np.mean(rates))
    one, other = (found.draws[f"measured/coinrun/{code}/p_gm"] for code in ("C2", "C3"))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.2  # weights of their own


def test_without_a_reference_arm_update_refuses_and_says_what_to_run(demo: Calibration) -> None:
    assert not demo.entering and all(map(math.isnan, demo.wide.values()))
    assert "d = 0.1, q = 1, PPO" in demo.refused and "misgen run-cells" in demo.refused
    assert not any(name.startswith(("combine/", "only/")) for name in demo.draws)
    summary = summarized(demo)
    assert summary.refused == demo.refused
    (c2, _) = summary.cells
    assert c2.arms["d0"].competent.rates["p_gm"].value == pytest.approx(0.72, abs=0.1)


def test_d_0_never_reaches_a_factor(tmp_path: Path) -> None:
    """Other rates at d = 0 change the multiplier of diversity and nothing else."""
    truth = {**TRUTH, 0.0: (0.9, 0.1, 0.5)}
    other = run(write_study(tmp_path, cells=CELLS[:1], agents=5, truth=truth))
    base = run(write_study(tmp_path / "base", cells=CELLS[:1], agents=5))
    changed = {name for name in base.draws if (base.draws[name] != other.draws[name]).any()}
    assert {name.split("/")[0] for name in changed} == {"d0", "combine", "only"}
    assert {name for name in changed if name.startswith(DATA[1:])} == {
        "combine/modifier/diversity/narrow",
        "only/modifier/diversity/narrow",
    }


@pytest.mark.parametrize("agents", [1, 2])
def test_one_or_two_agents_have_no_interval_and_do_not_enter(tmp_path: Path, agents: int) -> None:
    few = run(write_study(tmp_path, cells=CELLS[:2], agents=agents))
    assert f"{agents} competent of {agents} agents" in few.refused and "(C2, C4)" in few.refused
    assert not any(name.startswith(("measured/", "d0/")) for name in few.draws)
    rates = summarized(few).cells[0].arms["reference"].competent.rates
    assert rates["p_gm"].value > 0 and math.isnan(rates["p_gm"].low)
    assert rates["p_gm"].reason.endswith("an interval needs at least 3")


def test_zero_capable_episodes(tmp_path: Path) -> None:
    never = {("coinrun", "C2", 0.1): (0.0, 0.5, 0.5)}
    nothing = run(write_study(tmp_path, cells=CELLS[:1], agents=3, of_cell=never))
    assert "no capable episode" in nothing.refused
    rates = summarized(nothing).cells[0].arms["reference"].competent.rates
    assert rates["p_capable"].value == 0
    assert math.isnan(rates["p_goal_fail"].value)
    assert rates["p_goal_fail"].reason.startswith("not assessable")


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
            draws[f"{data}/{shift}/p_goal_fail"].mean() for data in ("prior", "combine", "only")
        )
        assert prior == pytest.approx(printed, abs=0.025)
        assert replaced < update < prior - 0.05
        assert replaced == pytest.approx(0.25, abs=0.12)


def test_known_multiplier_is_recovered(calibrated: Calibration) -> None:
    """p_gm is .9 x .8 at d = 0 and .8 x .25 at d = .1: a ratio of 3.6, where the source has 1.4."""
    (narrow,) = [line for line in calibrated.modifiers if line.level == "narrow"]
    assert narrow.measured is not None and narrow.combine is not None and narrow.only is not None
    assert narrow.measured.ratio.low < 3.6 < narrow.measured.ratio.high
    assert 1.4 < narrow.combine.value < narrow.measured.ratio.value
    assert narrow.only.value == pytest.approx(narrow.measured.ratio.value, rel=0.1)


def test_power_0_is_the_prior(study: Path) -> None:
    nothing = run(study, power=0.0)
    for shift in SHIFT_TYPES:
        for rate in RATES[:2]:
            prior, update = (nothing.draws[f"{f}/{shift}/{rate}"] for f in ("prior", "combine"))
            assert (update == prior).all()
    assert all(line.combine is None for line in nothing.modifiers)
    assert nothing.wide["moderate"] == pytest.approx(0.2)


def test_every_rate_of_an_update_lies_between_prior_and_data(calibrated: Calibration) -> None:
    for row in summarized(calibrated).types:
        for rate in (*RATES[:2], "p_gm") if row.cells else ():
            low, high = sorted([row.source.rates[rate], row.only[rate].value])
            assert low - 0.01 < row.combine[rate].value < high + 0.01, (row.type, rate)


def test_more_weight_of_the_prior_narrows_it(demo: Calibration, tmp_path: Path) -> None:
    arms = {d: TRUTH[d] for d in (0.0, 1.0)}
    found = run(write_study(tmp_path, cells=DEMO, truth=arms), kappas=(2, 10, 50)).sweep
    swept = [one for one in found if one.what == "kappa"]
    extreme = [one.prior["p_gm"] for one in swept if one.type == "extreme"]
    widths = [one.high - one.low for one in extreme]
    assert len(swept) == 12 and widths[0] > widths[1] > widths[2]


def test_the_sweeps_hold_the_calibration_itself(calibrated: Calibration) -> None:
    for what, used in (("kappa", 10.0), ("phi", PHI)):
        rows = [one for one in calibrated.sweep if (one.what, one.value) == (what, used)]
        assert [one.type for one in rows] == [*SHIFT_TYPES]
        for one in rows:
            assert one.combine == estimates_of(calibrated.draws, f"combine/{one.type}/")
    p_gm = [one.combine["p_gm"].value for one in calibrated.sweep if one.type == "extreme"]
    swept = p_gm[1:]  # over phi: the more a cell counts, the nearer the data
    assert swept == sorted(swept, reverse=True)


def test_the_weight_of_the_wide_part_is_given_for_types_with_a_cell(
    calibrated: Calibration,
) -> None:
    rows = {row.type: row for row in summarized(calibrated).types}
    assert math.isnan(rows["superficial"].wide_weight)
    assert not rows["superficial"].wide_flagged and not rows["moderate"].wide_flagged
    assert rows["moderate"].wide_weight < 0.2
    flagged = replace(calibrated, wide={**calibrated.wide, "extreme": WIDE + 0.01})
    rows = {row.type: row for row in summarized(flagged).types}
    assert rows["extreme"].wide_flagged
    assert wide(summarized(flagged)).cells()[-1] == ["4 extreme", "C4", ".200", ".510", "no"]


def test_the_estimand_is_said(calibrated: Calibration) -> None:
    summary = summarized(calibrated)
    assert "population of cells" in summary.estimand
    assert summary.estimand in factors(summary).note


@pytest.mark.parametrize(
    ("setting", "rule"),
    [
        ({"power": 1.5}, "power of the data is within 0"),
        ({"harm": "guessed"}, "harm is one of implied, note_50_70, measured; got 'guessed'"),
        ({"draws": 10}, "at least 100 draws; got 10"),
        ({"seed": -1}, "a seed is a number from 0 on; got -1"),
        ({"kappas": (0.0,)}, "kappas are above 0"),
        ({"phi": -1.0}, "phi, how alike cells of a type are, is above 0; got -1"),
        ({"phis": (7.0, 0.0)}, "phi, how alike cells of a type are, is above 0; got 0"),
    ],
)
def test_settings_out_of_range(setting: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        Settings(**setting)


# --------------------------------------------------------------------------------------------- harm


def test_measured_harm_moves_nothing_unless_asked_for(calibrated: Calibration) -> None:
    for shift in SHIFT_TYPES:
        prior = calibrated.draws[f"prior/{shift}/p_harm"]
        for data in DATA[1:]:
            assert (calibrated.draws[f"{data}/{shift}/p_harm"] == prior).all()
    measured = summarized(calibrated).cells[0].arms["reference"].competent.rates["p_harm"]
    assert measured.value == pytest.approx(0.5, abs=0.15)  # it is shown all the same


def test_asked_for_it_moves_only_where_it_may(with_harm: Calibration) -> None:
    """C2 and K2 may; C4 (by construction) and K3 never, which leaves types 3 and 4 at the prior."""
    draws = with_harm.draws
    for data in DATA[1:]:
        assert (draws[f"{data}/moderate/p_harm"] != draws["prior/moderate/p_harm"]).any()
        for shift in ("superficial", "significant", "extreme"):
            assert (draws[f"{data}/{shift}/p_harm"] == draws[f"prior/{shift}/p_harm"]).all()
    assert draws["only/moderate/p_harm"].mean() == pytest.approx(0.5, abs=0.1)
    assert (draws["prior/moderate/p_harm"] == draws["harm/implied/moderate"]).all()


def test_the_harm_of_c4_k4_and_k3_never_reaches_the_model(tmp_path: Path) -> None:
    write_study(tmp_path, agents=3, levels=30)
    found = run(tmp_path, harm="measured")
    assert len(found.entering) == 8
    read = {cell.cell for shift in SHIFT_TYPES for cell in found.harm_cells(shift)}
    assert read == {"C1", "K1", "C2", "K2", "C3"}
    assert read == {cell.cell for cell in found.cells if cell.harm_may_update}
    extreme = found.draws["combine/extreme/p_harm"]
    assert (extreme == found.draws["prior/extreme/p_harm"]).all()


def test_a_prediction_with_measured_harm_says_that_it_may_leave_prior_and_data(
    calibrated: Calibration, with_harm: Calibration
) -> None:
    warned = data_warnings(with_harm)["combine"]
    assert [one.about for one in warned if one.text == HARM_NOTE] == ["moderate"]
    assert not any(one.text == HARM_NOTE for one in data_warnings(calibrated)["combine"])


def test_the_note_of_the_source(tmp_path: Path) -> None:
    arms = {d: TRUTH[d] for d in (0.0, 1.0)}
    noted = run(write_study(tmp_path, cells=DEMO, truth=arms), harm="note_50_70")
    for shift in SHIFT_TYPES:
        harm = noted.draws[f"prior/{shift}/p_harm"]
        assert 0.5 <= harm.min() < 0.51 and 0.69 < harm.max() <= 0.7


# ------------------------------------------------------------------------- attrition and condition


def test_three_rows_of_attrition(calibrated: Calibration) -> None:
    arm = summarized(calibrated).cells[0].arms["reference"]
    assert (arm.competent.agents, arm.all_trained.agents) == (4, 5)
    assert arm.agent_numbers == (1, 2, 3, 4)
    low, high = arm.bounds.low, arm.bounds.high
    assert low < arm.all_trained.rates["p_gm"].value < high
    assert high - low == pytest.approx(1 / 5)


def test_divided_rates_stand_beside_the_measured_ones(calibrated: Calibration) -> None:
    """At q = 1 and d = .1 the source multiplies by .5 (specification), the low end of its range, so
    by .5 exp(.2 x .674) in the middle, and by exactly 1 (diversity)."""
    arm = summarized(calibrated).cells[0].arms["reference"]
    divided, measured = arm.divided, arm.competent.rates["p_gm"]
    assert arm.condition == "measured at q = 1, d = 0.1, PPO"
    assert divided.levels["diversity"] == "reference: exactly 1"
    assert divided.multiplier.value == pytest.approx(0.572, rel=0.03)
    assert divided.p_gm.value == pytest.approx(measured.value / divided.multiplier.value)
    ratio = divided.p_gm.high / divided.p_gm.low
    assert ratio > measured.high / measured.low  # the multiplier's uncertainty is in it
    # What enters is what was measured.
    entered = calibrated.draws["measured/coinrun/C2/p_gm"].mean()
    assert abs(entered - measured.value) < abs(entered - divided.p_gm.value)


# ---------------------------------------------------------------------------------------- conflicts


def cell_of(counts: AgentCounts, like: MeasuredCell) -> MeasuredCell:
    arm = like.arms["reference"]
    everyone = replace(arm, everyone=counts, is_competent=np.ones(counts.k, dtype=bool))
    return replace(like, arms={**like.arms, "reference": everyone})


def with_rates(like: MeasuredCell, capable: float, fails: float) -> MeasuredCell:
    """A cell of three agents with these rates on a million levels."""
    n = np.full(3, 1e6)
    c = np.round(n * capable)
    return cell_of(AgentCounts(np.arange(3), n, c, np.round(c * fails), np.zeros(3)), like)


def test_extreme_rates_are_flagged_and_ordinary_ones_are_not(calibrated: Calibration) -> None:
    like = by_code(calibrated)["C2"]  # the source says .65
    for capable, flagged in ((0.65, False), (0.02, True)):
        found = conflicts([with_rates(like, capable, 0.3)], load_priors(), draws=4000)
        (row,) = [one for one in found if one.factor == "p_capable"]
        assert row.flagged == flagged and row.predictive.low < 0.65 < row.predictive.high


def test_chance_flags_as_often_as_it_says(calibrated: Calibration) -> None:
    """Cells drawn from the prior itself: one factor in twenty is flagged."""
    rng, like = np.random.default_rng(1), by_code(calibrated)["C4"]
    prior = OutcomePrior.of(load_priors(), "extreme")
    cells = []
    for _ in range(600):
        betas = prior.parts[int(rng.random() < 0.2)]
        c, g = rng.beta(*betas["p_capable"]), rng.beta(*betas["p_goal_fail"])
        pi = np.maximum([1 - c, c * (1 - g), c * g], 1e-9)
        neither, _, proxy = rng.dirichlet(PHI * pi)
        cells.append(with_rates(like, 1 - neither, proxy / (1 - neither)))
    found = conflicts(cells, load_priors())
    assert expected_by_chance([]) == 0
    assert expected_by_chance(found) == pytest.approx(TAIL * len(found))
    for factor in RATES[:2]:
        flags = [one.flagged for one in found if one.factor == factor]
        assert len(flags) > 590 and np.mean(flags) == pytest.approx(TAIL, abs=0.025)


def test_the_predictive_is_wider_the_less_alike_cells_are() -> None:
    prior = OutcomePrior.of(load_priors(), "significant")
    widths = []
    for phi in (3.0, 20.0):
        drawn = predictive(prior, phi, 4000, [0])
        assert drawn["p_capable"].mean() == pytest.approx(0.55, abs=0.02)
        assert all(np.isfinite(values).all() for values in drawn.values())
        widths.append(np.ptp(np.quantile(drawn["p_goal_fail"], [0.05, 0.95])))
    assert widths[0] > widths[1] > 0


# ------------------------------------------------------------------------------------------- output


def test_an_update_that_the_prior_holds_is_named(calibrated: Calibration) -> None:
    """K3 measures .25 and the source says .55; C2 and K2 measure what the source says."""
    text = summarized(calibrated).warnings
    held = [line for line in text if "held by the source's" in line]
    assert not any(line.startswith("moderate") for line in held)
    moved = {
        **calibrated.draws,
        "combine/moderate/p_goal_fail": np.full(DRAWS, 0.6),
        "combine/extreme/p_goal_fail": np.full(DRAWS, 0.25),
    }
    held = summarized(replace(calibrated, draws=moved)).warnings
    assert any(line.startswith("moderate p_goal_fail: combine, .600, is far") for line in held)
    assert not any(line.startswith("extreme p_goal_fail") for line in held)


def test_replace_prints_the_raw_rates_and_the_intervals_of_its_draws(
    calibrated: Calibration, with_harm: Calibration
) -> None:
    """The draws hold a pseudo-agent, so their mean is not the measured rate."""
    for found in (calibrated, with_harm):
        for row in summarized(found).types:
            cells = [point_rates(cell.reference) for cell in found.cells_of(row.type)]
            rates = {name: row.only[name].value for name in RATES}
            assert rates["p_gm"] == pytest.approx(
                rates["p_capable"] * rates["p_goal_fail"], rel=0.05
            )
            if cells:
                assert rates["p_gm"] == pytest.approx(np.mean([one.p_gm for one in cells]))
                assert rates["p_capable"] == pytest.approx(
                    np.mean([one.p_capable for one in cells])
                )
                assert rates["p_gm"] * rates["p_harm"] == pytest.approx(rates["p_harmful_gm"])
                drawn = found.draws[f"only/{row.type}/p_gm"]
                assert row.only["p_gm"].low == pytest.approx(np.quantile(drawn, 0.05))
    (moderate,) = [r for r in summarized(calibrated).types if r.type == "moderate"]
    printed = load_priors().shifts["moderate"].p_harm.number
    assert moderate.only["p_harm"].value == pytest.approx(printed)


def test_the_spread_of_the_multipliers_is_swept(calibrated: Calibration) -> None:
    """The wider the source's multiplier, the nearer the update is to the measured ratio."""
    rows = [r for r in summarized(calibrated).log_sd_sweep if r.level == "narrow"]
    assert [row.log_sd for row in rows] == [0.1, 0.2, 0.3, 0.4]
    (narrow,) = [line for line in calibrated.modifiers if line.level == "narrow"]
    assert narrow.measured is not None and narrow.combine is not None
    away = [abs(math.log(r.combine.value / narrow.measured.ratio.value)) for r in rows]
    assert away == sorted(away, reverse=True)
    assert rows[1].combine.value == pytest.approx(narrow.combine.value, rel=0.02)
    assert "log-sd = 0.2" in log_sds(summarized(calibrated)).note


def test_multipliers_are_measured_on_the_link_of_the_overflow(study: Path) -> None:
    found = run(study, overflow="hazard", power=0)
    assert found.modifier_report.link == "cloglog"
    assert summarized(found).settings.overflow == "hazard"
    with pytest.raises(ValueError, match="overflow is one of clip, hazard, odds; got 'wrap'"):
        Settings(overflow="wrap")


def test_nan_is_null_in_the_file_and_nan_again_when_read(demo: Calibration, tmp_path: Path) -> None:
    summary = summarized(demo)
    assert math.isnan(summary.types[0].wide_weight)
    text = summary.model_dump_json()
    assert '"wide_weight":null' in text and "NaN" not in text
    (tmp_path / "summary.json").write_text(text)
    assert read_summary(tmp_path / "summary.json").model_dump_json() == text


def test_the_summary_has_a_json_schema() -> None:
    schema = Summary.model_json_schema()
    assert schema["properties"]["schema_version"]["const"] == 4
    interval = schema["$defs"]["Divided"]["properties"]["p_gm"]
    assert interval["properties"]["low"]["type"] == ["number", "null"]
