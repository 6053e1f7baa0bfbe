"""The risk model against arithmetic: closed forms, identities, and what it must refuse."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.analysis.calibration.calibrated_folder import seal, write_folder

from misgen.analysis.priors import load_priors
from misgen.analysis.priors.types import FACTORS, SHIFT_TYPES, beta_parameters
from misgen.analysis.risk.draws import Draws, Summary, check_limit, expect_rate
from misgen.analysis.risk.formula import (
    OVERFLOWS,
    FactorDraws,
    Input,
    Prediction,
    Scenario,
    evaluate,
)
from misgen.analysis.risk.model import RiskModel
from misgen.analysis.risk.parameters import Parameters
from misgen.analysis.risk.sensitivity import differences
from misgen.analysis.risk.table import domain_records, domain_rows, domain_table
from misgen.analysis.words import DATA

PRIORS = load_priors()
MODEL = RiskModel.from_prior(PRIORS, draws=200_000)
MODIFIERS = ("spec", "capability", "diversity", "method")
AI_CONTROL = "ai_control_protocols"


def fixed_model(*rates: float, **multipliers: float) -> RiskModel:
    """Every shift type has these factors in both of two draws; spec levels as given."""
    factors = FactorDraws(*(np.full(2, rate) for rate in rates))
    parameters = Parameters(
        dict.fromkeys(SHIFT_TYPES, factors),
        dict.fromkeys(SHIFT_TYPES, "by hand"),
        {("spec", name): measured(m, "log") for name, m in multipliers.items()},
        frozenset(SHIFT_TYPES),
    )
    return RiskModel(PRIORS, parameters)


def measured(multiplier: float, link: str) -> Input:
    return Input("measured", np.full(2, multiplier), "p_goal_fail", link)


def identity_error(prediction: Prediction) -> float:
    f = prediction.factors
    product = prediction.exposure * (f.p_capable * f.p_goal_fail * f.p_harm)
    return float(np.abs(product - prediction.p_harmful_gm.values).max())


# ---------------------------------------------------------------------------- two kinds of rate


def test_one_rate_is_never_taken_for_the_other() -> None:
    prediction = MODEL.predict("moderate")
    with pytest.raises(TypeError, match=r"p_harmful_gm .* got p_gm; pass the p_harmful_gm"):
        check_limit(prediction.p_gm, 0.2)
    with pytest.raises(TypeError, match=r"p_gm .* got p_harmful_gm; pass the p_gm"):
        check_limit(prediction.p_harmful_gm, 0.2, of="p_gm")
    with pytest.raises(TypeError, match="p_harmful_gm"):
        dataclasses.replace(prediction, p_harmful_gm=prediction.p_gm)
    with pytest.raises(TypeError):
        prediction.p_gm * 0.5
    expect_rate("p_gm", prediction.p_gm)


def test_draws_of_a_rate_stay_within_0_and_1() -> None:
    with pytest.raises(ValueError, match=r"within 0\.\.1"):
        Draws("p_gm", np.array([0.2, 1.1]))
    with pytest.raises(ValueError, match=r"within 0\.\.1"):
        Draws("p_harmful_gm", np.array([0.2, np.nan]))


def test_summaries_are_numpys() -> None:
    draws = Draws("p_gm", np.random.default_rng(0).random(1001))
    expected = np.quantile(draws.values, [0.05, 0.5, 0.95])
    found = Summary.of(draws)
    np.testing.assert_allclose((found.low, found.median, found.high), expected)
    np.testing.assert_allclose((*draws.interval(), draws.median()), expected[[0, 2, 1]])
    assert draws.exceeds(draws.median()) == 500 / 1001
    mean = draws.values.mean()
    low, high = (check_limit(draws, mean + by, of="p_gm") for by in (-0.1, 0.1))
    assert (low.verdict, high.verdict) == ("above", "not above")
    assert check_limit(draws, 0.85, of="p_gm", quantile=0.95).verdict == "above"


def test_the_monte_carlo_error_does_not_decide() -> None:
    """The mean of n uniform draws has the error .2887 / sqrt(n), a share s sqrt(s (1 - s) / n)."""
    draws = Draws("p_gm", (np.arange(10_000) + 0.5) / 10_000)
    close = check_limit(draws, 0.508, of="p_gm")
    assert close.error == pytest.approx(0.002887, rel=1e-3)
    assert (close.verdict, check_limit(draws, 0.51, of="p_gm").verdict) == (
        "too close to call", "not above",
    )  # fmt: skip
    quantile = check_limit(draws, 0.945, of="p_gm", quantile=0.95)
    assert (quantile.share_above, quantile.verdict) == (0.055, "too close to call")
    assert quantile.error == pytest.approx(np.sqrt(0.055 * 0.945 / 10_000))


def test_a_prediction_in_a_notebook() -> None:
    found = MODEL.predict("moderate", capability="unknown")
    harmful = found.p_harmful_gm
    assert np.median(harmful) == np.median(found) == np.median(harmful.values)
    assert found.summary()["p_gm"]["mean"] == pytest.approx(found.p_gm.mean())
    assert [*found.summary()] == ["p_harmful_gm", "p_gm", *FACTORS]
    frame = found.to_frame()
    assert len(frame) == MODEL.draws and frame["multiplier"].std() > 0
    product = frame["p_capable"] * frame["p_goal_fail"] * frame["p_harm"]
    np.testing.assert_allclose(product, frame["p_harmful_gm"], rtol=1e-12)
    low, high = (f"{100 * end:.1f}" for end in harmful.interval())
    assert f"moderate: p_harmful_gm {100 * harmful.median():.1f} [{low}, {high}] %" in repr(found)
    shown = found._repr_html_()
    assert shown.count("<tr>") == 6 and "whole range 0.5-3" in shown


# ----------------------------------------------------------------------------------- closed forms


@pytest.mark.parametrize("shift", SHIFT_TYPES)
def test_moments_of_the_robust_prior(shift: str) -> None:
    """p_gm ~ .8 Beta(10 m, 10 (1 - m)) + .2 Beta(2 m, 2 (1 - m)), harm independent of it; a
    Beta's second moment is m (m kappa + 1) / (kappa + 1)."""
    row = PRIORS.shifts[shift]

    def second(mean: float, kappa: float) -> float:
        return mean * (mean * kappa + 1) / (kappa + 1)

    gm, harm = row.p_gm.number, row.p_harm.number
    squares = 0.8 * second(gm, 10) + 0.2 * second(gm, 2)
    prediction = MODEL.predict(shift)
    for values, mean, square in (
        (prediction.p_gm.values, gm, squares),
        (prediction.p_harmful_gm.values, gm * harm, squares * second(harm, 10)),
    ):
        error = np.sqrt((square - mean**2) / len(values))
        assert values.mean() == pytest.approx(mean, abs=4 * error)
        assert values.var() == pytest.approx(square - mean**2, rel=0.03)
    assert gm * harm == pytest.approx(row.p_harmful_gm.number, abs=1e-12)


@pytest.mark.parametrize(
    ("shift", "low", "high"),
    [
        ("superficial", 0.0, 12.1),
        ("moderate", 0.5, 26.5),
        ("significant", 3.6, 46.3),
        ("extreme", 5.8, 55.2),
    ],
)
def test_the_prior_intervals_of_the_product(shift: str, low: float, high: float) -> None:
    """[%], central 90 % with kappa = 10; wider than the source's 1-10, 3-22, 10-42, 13-51."""
    found = 100 * np.array(MODEL.predict(shift).p_harmful_gm.interval())
    np.testing.assert_allclose(found, [low, high], atol=0.3)


@pytest.mark.parametrize(
    ("modifier", "level", "median", "low", "high"),
    [
        # At the end of its printed range, half of a log-normal: exp(.2 x (-1.960, -.674, -.063)).
        ("capability", "superhuman", 3 * 0.8738, 3 * 0.6757, 3 * 0.9875),
        ("diversity", "narrow", 1.4 * 0.8738, 1.4 * 0.6757, 1.4 * 0.9875),
        ("diversity", 0.5, 0.7 / 0.8738, 0.7 / 0.9875, 0.7 / 0.6757),
        ("method", "behavioral_cloning", 1.5 * 0.8738, 1.5 * 0.6757, 1.5 * 0.9875),
        ("spec", "low", np.sqrt(1.5 * 2.0), 1.5, 2.0),  # a printed band is the central 90 %
        ("spec", 0.8, 0.7074, 0.5373, 0.9770),  # .7, cut at .5: without the lowest .0463
        ("capability", "unknown", np.sqrt(0.5 * 3.0), 0.5, 3.0),
        ("spec", "unknown", 1.0, 0.5, 2.0),
    ],
)
def test_quantiles_of_a_modifier(
    modifier: str, level: str | float, median: float, low: float, high: float
) -> None:
    prediction = MODEL.predict("superficial", **{modifier: level})
    found = np.quantile(prediction.multiplier, [0.05, 0.5, 0.95])
    np.testing.assert_allclose(found, [low, median, high], rtol=0.01)


def test_periods_interventions_and_transport() -> None:
    def spread(**asked: object) -> np.ndarray:
        values = MODEL.predict("superficial", **asked).multiplier
        return np.quantile(values, [0.05, 0.5, 0.95])

    np.testing.assert_allclose(spread(period="2028-2030"), [2, np.sqrt(6), 3], rtol=0.01)
    np.testing.assert_allclose(
        spread(period="2026-2027"), 1.5 * np.array([0.7197, 1, 1.3895]), 0.01
    )
    reduced = spread(interventions=["ai_control_protocols"])  # removes U(.6, .9)
    np.testing.assert_allclose(reduced, [0.115, 0.25, 0.385], rtol=0.01)
    np.testing.assert_allclose(spread(transport=(0.5, 1.5)), [0.55, 1, 1.45], rtol=0.01)


@pytest.mark.parametrize(
    ("overflow", "p", "m", "expected"),
    [
        ("clip", 0.3, 2.0, 0.6),
        ("clip", 0.6, 2.0, 1.0),
        ("hazard", 0.3, 2.0, 1 - 0.7**2),
        ("hazard", 1.0, 0.5, 1.0),
        ("odds", 0.5, 3.0, 0.75),
        ("odds", 1.0, 3.0, 1.0),
    ],
)
def test_overflow_policies(overflow: str, p: float, m: float, expected: float) -> None:
    inputs = {f"extreme/{factor}": Input("", np.array([p])) for factor in FACTORS[:1]}
    inputs |= {f"extreme/{factor}": Input("", np.ones(1)) for factor in FACTORS[1:]}
    inputs["spec"] = Input("", np.array([m]), "p_goal_fail")
    prediction = evaluate(Scenario(("extreme",), inputs, overflow, "printed"))
    assert prediction.p_harmful_gm.values[0] == pytest.approx(expected)
    assert prediction.p_gm.values[0] == pytest.approx(expected)
    assert prediction.clipped_share == (overflow == "clip" and p * m > 1)


# --------------------------------------------------------------------- reference and unknown levels


@pytest.mark.parametrize("overflow", ["clip", "hazard", "odds"])
def test_an_unmodified_prediction_is_p_base(overflow: str) -> None:
    base = MODEL.parameters.factors["extreme"]
    for asked in ({}, dict.fromkeys(MODIFIERS, "reference"), {"spec": 0.55, "diversity": 0.2}):
        prediction = MODEL.predict("extreme", **asked, overflow=overflow)
        assert np.array_equal(prediction.p_harmful_gm.values, base.p_harmful_gm.values)
        assert np.array_equal(prediction.p_gm.values, base.p_gm.values)
        assert prediction.multiplier.tolist() == [1.0] and prediction.warnings == ()
    first = MODEL.predict("extreme", period="2024-2025", overflow=overflow)
    assert np.array_equal(first.p_gm.values, base.p_gm.values)


@pytest.mark.parametrize("modifier", MODIFIERS)
def test_an_unknown_level_widens_and_says_so(modifier: str) -> None:
    low, high = MODEL.predict("moderate").p_harmful_gm.interval()
    unknown = MODEL.predict("moderate", **{modifier: "unknown"})
    wide_low, wide_high = unknown.p_harmful_gm.interval()
    assert np.log(wide_high / wide_low) > np.log(high / low)
    (note,) = [note for note in unknown.warnings if "level: unknown" in note]
    assert note.startswith(modifier)


def test_the_corners_exceed_1_and_the_shares_are_said() -> None:
    """Type 4 at the high end of all four modifiers: 27.7 % x 12.6 = 349 % as printed; each strength
    lies below the end of its range, a half of it above .87 of that."""
    worst = dict(spec=0.0, capability="superhuman", diversity="narrow", method="behavioral_cloning")
    prediction = MODEL.predict("extreme", **worst, target="printed")
    assert np.median(prediction.multiplier) == pytest.approx(12.6 * 0.8738**4, rel=0.1)
    assert prediction.multiplier.max() < 12.6
    assert prediction.harmful_clipped_share > 0.75
    assert prediction.clipped_share >= prediction.harmful_clipped_share
    assert prediction.factor_inconsistent_share > 0.9
    assert any("clipped" in note for note in prediction.warnings)
    assert any('target "factor"' in note for note in prediction.warnings)
    hazard = MODEL.predict("extreme", **worst, overflow="hazard")
    assert hazard.clipped_share == 0 and hazard.p_harmful_gm.values.max() <= 1


# ------------------------------------------------------------------------------ the factor target


def test_the_factor_target_by_hand() -> None:
    """Training acts on goal failure and clips there, oversight on harm."""
    model = fixed_model(0.9, 0.5, 0.4, low=3.0)
    prediction = model.predict("moderate", spec="low", target="factor")
    assert prediction.p_goal_fail.tolist() == [1.0, 1.0]  # .5 x 3
    assert prediction.p_gm.values.tolist() == [0.9, 0.9]
    assert prediction.p_harmful_gm.values == pytest.approx([0.36, 0.36])
    assert prediction.clipped_share == 1 and prediction.factor_inconsistent_share == 0
    guarded = model.predict(
        "moderate", spec="low", interventions=["ai_control_protocols"], target="factor"
    )
    assert np.all(guarded.p_harm < 0.4 * 0.41) and np.all(guarded.p_gm.values == 0.9)
    plain = model.predict("moderate", interventions=["ai_control_protocols"])
    assert plain.p_gm.values == pytest.approx([0.45, 0.45])
    assert np.all(plain.p_harmful_gm.values < 0.45 * 0.4 * 0.41)


QUESTIONS = [
    {"shift": "extreme", "spec": 0.0, "capability": "superhuman", "diversity": "narrow"},
    {"domain": "autonomous_agents", "period": "after-2030"},
    {"domain": "ai_assistants", "interventions": ["ai_control_protocols"], "transport": (0.5, 1.5)},
    {"shift": "significant", "interventions": ["diverse_adversarial_training"], "exposure": 0.6},
]


@pytest.mark.parametrize("asked", QUESTIONS)
def test_factors_multiply_in_every_draw(asked: dict[str, object]) -> None:
    prediction = MODEL.predict(**asked, target="factor")
    assert identity_error(prediction) < 1e-15 * (4 if prediction.by_shift else 1)
    harmful, gm = prediction.p_harmful_gm.values, prediction.p_gm.values
    assert np.all(harmful <= gm) and np.all(gm <= prediction.p_capable)
    plain = MODEL.predict(**asked)
    assert np.all(plain.p_harmful_gm.values <= plain.p_gm.values)


def test_a_domain_is_the_mean_of_its_types_in_every_draw() -> None:
    prediction = MODEL.predict(domain="ai_assistants")
    each = prediction.by_shift
    assert list(each) == ["moderate", "significant"]
    mean = (each["moderate"].p_harmful_gm.values + each["significant"].p_harmful_gm.values) / 2
    np.testing.assert_allclose(prediction.p_harmful_gm.values, mean, rtol=1e-15)
    assert prediction.inputs["spec"].label.startswith("0.3: x 1.5")


# --------------------------------------------------------------------------------------- streams


def test_the_seed_fixes_every_draw() -> None:
    asked = {"domain": "game_ai", "period": "2026-2027", "interventions": ["ai_control_protocols"]}

    def draws(seed: int) -> np.ndarray:
        model = RiskModel.from_prior(PRIORS, 100, seed)
        return model.predict(**asked).p_harmful_gm.values

    assert np.array_equal(draws(3), draws(3)) and not np.array_equal(draws(3), draws(4))


def test_one_more_input_leaves_the_others_alone() -> None:
    few = MODEL.predict("extreme", spec="low").inputs
    many = MODEL.predict(
        "extreme",
        spec="low",
        diversity="narrow",
        interventions=["ai_control_protocols", "interpretability_verification"],
        period="2028-2030",
        transport=(0.5, 1.5),
    ).inputs
    assert set(few) < set(many)
    assert all(np.array_equal(few[name].values, many[name].values) for name in few)
    drawn = [item.values for item in many.values() if len(item.values) > 1]
    between = np.corrcoef(np.array(drawn)) - np.eye(len(drawn))
    assert np.abs(between).max() < 0.015


# -------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "needs a shift type or a domain"),
        ({"shift": "tiny"}, "superficial, moderate.*'tiny'"),
        ({"domain": "chess"}, "game_ai.*'chess'"),
        ({"shift": "extreme", "period": "2040"}, "2024-2025.*'2040'"),
        ({"shift": "extreme", "spec": 1.2}, "spec has no level at 1.2"),
        ({"shift": "extreme", "interventions": ["prayer"]}, "ai_control_protocols.*'prayer'"),
        (
            {"shift": "extreme", "interventions": ["ai_control_protocols"] * 2},
            "counts once.*name each once",
        ),
        (
            {
                "shift": "extreme",
                "diversity": "diverse",
                "interventions": ["diverse_adversarial_training"],
            },
            "diverse_adversarial_training and the modifier diversity.*leave one out",
        ),
        (
            {"domain": "game_ai", "interventions": ["objective_specification_improvement"]},
            "objective_specification_improvement and the modifier spec.*set spec to reference",
        ),
        (
            {
                "shift": "extreme",
                "method": "unknown",
                "interventions": ["interpretability_verification"],
            },
            "interpretability_verification and the modifier method",
        ),
        (
            {"shift": "extreme", "capability": "superhuman", "period": "2028-2030"},
            "2028-2030 and the modifier capability.*leave one out",
        ),
        ({"shift": "extreme", "overflow": "wrap"}, "clip, hazard, odds.*'wrap'"),
        ({"shift": "extreme", "target": "sum"}, "factor, printed.*'sum'"),
        ({"shift": "extreme", "target": "factor", "overflow": "odds"}, 'use overflow "clip"'),
        ({"shift": "extreme", "transport": (1.5, 0.5)}, "transport"),
        ({"shift": "extreme", "transport": 0.0}, "transport"),
        ({"shift": "extreme", "exposure": 1.5}, "exposure"),
    ],
)
def test_a_wrong_question_is_refused(asked: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MODEL.predict(**asked)


def test_names_may_be_written_as_the_source_writes_them() -> None:
    asked = {"domain": "Autonomous Agents", "interventions": "AI Control Protocols"}
    named = MODEL.predict(domain="autonomous_agents", interventions=["ai_control_protocols"])
    assert np.array_equal(MODEL.predict(**asked).p_gm.values, named.p_gm.values)
    for four in ("4", "type 4", "Type 4", "Extreme"):
        assert MODEL.predict(four).scenario.shifts == ("extreme",)


def test_an_intervention_without_a_number_has_no_effect_and_is_named() -> None:
    found = MODEL.predict("extreme", interventions=["anomaly_monitoring"])
    assert np.array_equal(found.p_gm.values, MODEL.predict("extreme").p_gm.values)
    (note,) = [note for note in found.warnings if "anomaly_monitoring" in note]
    assert "no effect: the source prints no number, but 'Early warning'" in note


def test_an_intervention_starts_from_a_level_that_raises_the_risk() -> None:
    act = "diverse_adversarial_training"
    before, after = (
        MODEL.predict("moderate", diversity="narrow", interventions=acts) for acts in ((), act)
    )
    assert np.all(after.multiplier < before.multiplier)
    assert f"{act} starts from diversity = narrow, which stays" in after.warnings
    own = MODEL.predict(domain="ai_assistants", interventions="objective_specification_improvement")
    assert any("starts from spec = 0.3" in note for note in own.warnings)


def test_a_difference_is_of_common_draws() -> None:
    """The multiplier 1 - U(.6, .9) on harm takes .75 of each draw's rate on average."""
    plain, guarded = MODEL.predict("moderate"), MODEL.predict("moderate", interventions=AI_CONTROL)
    harmful, gm = differences(plain, guarded)
    assert harmful.ratio == pytest.approx(0.25, abs=0.005)
    assert (harmful.share_lower, gm.difference, gm.low, gm.high) == (1, 0, 0, 0)
    change = guarded.p_harmful_gm.values - plain.p_harmful_gm.values
    assert (harmful.low, harmful.high) == pytest.approx(tuple(np.quantile(change, [0.05, 0.95])))
    other = RiskModel.from_prior(PRIORS, 50).predict("moderate")
    with pytest.raises(ValueError, match="common draws; got 200000 and 50"):
        [*differences(plain, other)]


def test_the_same_lever_at_its_reference_is_no_conflict() -> None:
    acts = ["diverse_adversarial_training", "objective_specification_improvement"]
    fine = MODEL.predict(domain="game_ai", spec="reference", diversity=0.2, interventions=acts)
    assert any("independent" in note for note in fine.warnings)
    MODEL.predict("extreme", capability="superhuman", period="2024-2025")


def test_measured_multipliers_keep_their_link() -> None:
    model = fixed_model(0.5, 0.5, 0.5, high=0.5)
    assert model.predict("moderate", spec="high").p_gm.mean() == 0.125
    with pytest.raises(ValueError, match="on log; use overflow 'clip'"):
        model.predict("moderate", spec="high", overflow="hazard")
    model.predict("moderate", spec="low", overflow="hazard")  # printed: of no stated link
    hazard = measured(2.0, "cloglog")
    model = dataclasses.replace(
        model,
        parameters=dataclasses.replace(model.parameters, multipliers={("spec", "low"): hazard}),
    )
    assert model.predict("moderate", spec="low", overflow="hazard").p_gm.mean() == pytest.approx(
        0.4375
    )
    with pytest.raises(ValueError, match="cloglog; use overflow 'hazard'"):
        model.predict("moderate", spec="low")


def test_draws_of_unequal_length_are_refused() -> None:
    factors = {**MODEL.parameters.factors, "extreme": FactorDraws(*np.ones((3, 5)))}
    short = dataclasses.replace(MODEL.parameters, factors=factors)
    with pytest.raises(ValueError, match=r"same number of draws; got \[5, 200000\]"):
        RiskModel(PRIORS, short)
    with pytest.raises(ValueError, match="at least 1"):
        RiskModel.from_prior(PRIORS, draws=0)


# ------------------------------------------------------------------------------- harm, calibration


def test_harm_as_the_note_assumes() -> None:
    model = RiskModel.from_prior(PRIORS, 50_000, harm="note_50_70")
    harm = model.predict("extreme").p_harm
    assert harm.min() >= 0.5 and harm.max() <= 0.7
    assert model.predict("extreme").p_harmful_gm.mean() == pytest.approx(0.2025, abs=0.003)
    assert np.array_equal(
        model.parameters.factors["extreme"].p_capable[:9],
        MODEL.parameters.factors["extreme"].p_capable[:9],
    )
    with pytest.raises(ValueError, match="the prior has none; give a calibration"):
        RiskModel.from_prior(PRIORS, harm="measured")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("calibration"))


def with_measured_harm(folder: Path, where: Path) -> Path:
    """The same calibration, but that it was asked for measured harm: 1 - the implied draws, in the
    types of which some cell's harm informs."""
    import pyarrow.parquet as pq

    where.mkdir()
    table = pq.read_table(folder / "draws.parquet")
    for shift in SHIFT_TYPES[:-1]:
        for data in DATA[1:]:
            parts = {f: table.column(f"{data}/{shift}/{f}").to_numpy() for f in FACTORS}
            parts["p_harm"] = 1 - parts["p_harm"]
            for name, value in {
                "p_harm": parts["p_harm"],
                "p_harmful_gm": parts["p_capable"] * parts["p_goal_fail"] * parts["p_harm"],
            }.items():
                column = f"{data}/{shift}/{name}"
                place = table.column_names.index(column)
                table = table.set_column(place, column, [value])
    pq.write_table(table, where / "draws.parquet")
    summary = json.loads((folder / "summary.json").read_text())
    summary["settings"]["harm"] = "measured"
    return seal(where, summary)


def test_by_default_data_move_nothing(folder: Path) -> None:
    from misgen.analysis.calibration.handoff import read_calibration

    model = RiskModel.from_calibration(folder)
    prior = read_calibration(folder).rates("prior/moderate")
    prediction = model.predict("moderate", diversity="narrow")
    assert np.array_equal(model.predict("moderate").p_harmful_gm.values, prior.p_harmful_gm)
    assert (
        not any("toy" in note for note in prediction.warnings) and not model.parameters.multipliers
    )


@pytest.mark.parametrize("data", ["combine", "only"])
def test_data_enter_for_toy_agents(folder: Path, data: str) -> None:
    from misgen.analysis.calibration.handoff import read_calibration

    file = read_calibration(folder)
    model = RiskModel.from_calibration(folder, data)
    prediction = model.predict("moderate")
    rates = file.rates(f"{data}/moderate")
    assert np.array_equal(prediction.p_gm.values, rates.p_gm)
    assert np.array_equal(prediction.p_harmful_gm.values, rates.p_harmful_gm)
    assert identity_error(prediction) == 0
    assert identity_error(model.predict("moderate", spec="low", target="factor")) < 1e-15
    assert model.predict("superficial").inputs["superficial/p_harm"].label.startswith("prior: no")
    narrow = model.predict("moderate", diversity="narrow")
    column = file.multipliers_of(data)["diversity", "narrow"]
    assert np.array_equal(narrow.multiplier, column)
    assert any("toy agents of this testbed" in note for note in prediction.warnings)


def test_data_enter_a_domain_only_where_asked(folder: Path) -> None:
    assert "transport" not in RiskModel.from_calibration(folder).predict(domain="game_ai").inputs
    for data in ("combine", "only"):
        closed = RiskModel.from_calibration(folder, data)
        with pytest.raises(ValueError, match=rf"got data '{data}' .* give toy_rates=True"):
            closed.predict(domain="ai_assistants")
    opened = RiskModel.from_calibration(folder, "combine", toy_rates=True)
    prediction = opened.predict(domain="ai_assistants")
    transport = prediction.inputs["transport"]
    assert 0.5 <= transport.values.min() < 0.52 and 1.48 < transport.values.max() <= 1.5
    assert any("transport: U(0.5, 1.5), on both rates" in note for note in prediction.warnings)
    silent = opened.predict(domain="ai_assistants", transport=1.0)
    assert any("transport: set to 1" in note for note in silent.warnings)
    assert "transport" not in opened.predict("moderate").inputs


def test_transport_comes_before_the_clip() -> None:
    """.9 x 1 x 1.2 (spec) x .5 (transport) is .54; clipped first it would be .5."""
    model = fixed_model(1.0, 0.9, 1.0, low=1.2)
    prediction = model.predict("moderate", spec="low", domain="ai_assistants", transport=0.5)
    assert prediction.p_gm.mean() == pytest.approx(0.54)
    assert prediction.p_harmful_gm.mean() == pytest.approx(0.54)


def test_measured_harm_enters_only_when_asked_for(folder: Path, tmp_path: Path) -> None:
    asked_for = with_measured_harm(folder, tmp_path / "asked")
    implied = RiskModel.from_calibration(folder, "combine")
    for shift in SHIFT_TYPES:
        kept = RiskModel.from_calibration(asked_for, "combine").predict(shift)
        assert np.array_equal(kept.p_harm, implied.predict(shift).p_harm)
    model = RiskModel.from_calibration(asked_for, "combine", harm="measured")
    moved = {
        shift: not np.array_equal(model.predict(shift).p_harm, implied.predict(shift).p_harm)
        for shift in SHIFT_TYPES
    }
    assert moved == {"superficial": True, "moderate": True, "significant": True, "extreme": False}
    with pytest.raises(ValueError, match=r"calibrated with --harm implied; run .*--harm measured"):
        RiskModel.from_calibration(folder, "combine", harm="measured")
    with pytest.raises(ValueError, match='use data "combine" or "only"'):
        RiskModel.from_calibration(asked_for, harm="measured")


def test_rows_of_a_calibration_are_resampled_together(folder: Path) -> None:
    few, many = (RiskModel.from_calibration(folder, "combine", draws=n) for n in (None, 3000))
    assert many.draws == 3000

    def rows(model: RiskModel) -> set[tuple[float, ...]]:
        types = [model.parameters.factors[shift] for shift in SHIFT_TYPES]
        columns = [getattr(factors, name) for factors in types for name in FACTORS]
        return set(zip(*columns, strict=True))

    assert rows(many) <= rows(few)


def test_the_prior_of_a_calibration_cannot_be_exchanged(folder: Path, tmp_path: Path) -> None:
    RiskModel.from_calibration(folder, priors=PRIORS)
    with pytest.raises(ValueError, match=r"used 'taxonomy'.*got 'meta_analysis'.*give that set"):
        RiskModel.from_calibration(folder, priors=load_priors("meta_analysis"))
    changed = dataclasses.replace(PRIORS, transport=(0.1, 9.0))  # the name is the same
    with pytest.raises(ValueError, match=f"{PRIORS.fingerprint}, got 'taxonomy'"):
        RiskModel.from_calibration(folder, priors=changed)
    mine = tmp_path / "mine.yaml"
    mine.write_text("domains: {game_ai: {spec: 0.9}}\n")
    own = load_priors(file=mine)
    copy = with_settings(folder, tmp_path, prior=own.name, prior_fingerprint=own.fingerprint)
    with pytest.raises(ValueError, match="got none; give that set or file"):
        RiskModel.from_calibration(copy)
    assert RiskModel.from_calibration(copy, priors=own).priors.domains["game_ai"].spec == 0.9


def test_a_named_set_takes_the_kappa_and_log_sd_of_the_calibration(
    folder: Path, tmp_path: Path
) -> None:
    used = load_priors(kappa=3, log_sd=0.4)
    settings = {"kappa": 3.0, "log_sd": 0.4, "prior_fingerprint": used.fingerprint}
    copy = with_settings(folder, tmp_path, **settings)
    for given in (None, PRIORS, used):
        priors = RiskModel.from_calibration(copy, priors=given).priors
        assert (priors.kappa, priors.log_sd) == (3, 0.4)


def with_settings(folder: Path, where: Path, **settings: object) -> Path:
    """A copy of a calibration with other settings."""
    copy = Path(shutil.copytree(folder, where / "copy"))
    summary = json.loads((copy / "summary.json").read_text())
    summary["settings"] |= settings
    (copy / "summary.json").write_text(json.dumps(summary))
    return copy


def test_a_score_does_not_read_a_measured_level() -> None:
    """q = .2 lies in the band of `low` (1.5 to 2), .35 between bands, .9 in that of `high`."""
    model = fixed_model(0.5, 0.5, 0.5, low=0.9)
    note = "spec: 0.2 is read off the source's curve, x 1.67; the measured multiplier of its level"
    by_score = model.predict("moderate", spec=0.2)
    assert sum(text.startswith(note) for text in by_score.warnings) == 1
    assert np.median(by_score.multiplier) > 1.1
    by_name = model.predict("moderate", spec="low")
    assert by_name.multiplier.tolist() == [0.9, 0.9]
    others = [model.predict("moderate", spec=at) for at in ("low", 0.35, 0.9, 0.55)]
    others.append(MODEL.predict("moderate", spec=0.2))
    assert not any("curve" in text for one in others for text in one.warnings)


def test_data_state_their_condition_where_they_enter(folder: Path) -> None:
    """By the prior's own multiplier for q = 1: .5, the low end of its printed range, upwards."""
    low, high = 0.5 * np.exp(0.2 * 0.0627), 0.5 * np.exp(0.2 * 1.96)
    said = f"q = 1, d = 0.1, PPO, and used as measured.*q = 1 is x 0.5 [{low:.2g}, {high:.2g}]"

    def notes(data: str, shift: str, toy: bool = False, **asked: str) -> tuple[bool, bool]:
        model = RiskModel.from_calibration(folder, data, toy_rates=toy)
        text = " ".join(model.predict(shift, **asked).warnings)
        return all(part in text for part in said.split(".*")), "p_goal_fail: held" in text

    assert notes("combine", "moderate") == (True, True)
    assert notes("only", "moderate") == (True, False)
    assert notes("none", "moderate") == (False, False)
    assert notes("combine", "superficial") == (False, False)  # keeps its prior
    assert notes("combine", "superficial", diversity="narrow") == (False, False)
    assert notes("combine", "moderate", True, domain="ai_assistants") == (True, True)


def test_measured_multipliers_have_the_link_of_their_calibration(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "odds")
    summary = json.loads((folder / "summary.json").read_text())
    summary["settings"]["overflow"] = "odds"
    (folder / "summary.json").write_text(json.dumps(summary))
    model = RiskModel.from_calibration(folder, "combine")
    with pytest.raises(ValueError, match=r"got overflow .clip. .* on logit; use overflow .odds."):
        model.predict("moderate", diversity="narrow")
    odds = model.predict("moderate", diversity="narrow", overflow="odds")
    assert odds.inputs["diversity"].link == "logit" and odds.p_gm.mean() < 1


def test_warnings_are_about_what_a_prediction_uses(folder: Path) -> None:
    model = RiskModel.from_calibration(folder, "combine")

    def held(shift: str, **asked: str) -> set[str]:
        warnings = model.predict(shift, **asked).warnings
        return {text.split()[0] for text in warnings if text.endswith(": held")}

    assert held("moderate") == {"moderate"} and held("extreme") == set()
    assert held("extreme", diversity="narrow") == {"diversity"}
    assert held("moderate", diversity="narrow") == {"moderate", "diversity"}


def test_toy_rates_need_data(folder: Path) -> None:
    with pytest.raises(ValueError, match=r'toy rates let data in .*"combine" or "only"'):
        RiskModel.from_calibration(folder, toy_rates=True)


def test_policies_name_the_links_that_multipliers_are_estimated_on() -> None:
    links = {name: link for name, (link, _) in OVERFLOWS.items()}
    assert links == {"clip": "log", "hazard": "cloglog", "odds": "logit"}


def test_refused_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'combine' is refused"):
        RiskModel.from_calibration(write_folder(tmp_path, agents=2), "combine")
    with pytest.raises(ValueError, match="data is one of none, combine, only"):
        RiskModel.from_calibration(tmp_path, "guess")


# ------------------------------------------------------------------------------------- the table


def test_the_domain_table_stands_beside_the_printed_ranges() -> None:
    rows = domain_rows(RiskModel.from_prior(PRIORS, 20_000))
    assert len(rows) == 20
    printed = {(row.domain.name, row.period.name): row.printed for row in rows}
    assert printed["ai_assistants", "2024-2025"] == (0.18, 0.35)
    assert printed["ai_assistants", "2026-2027"] == (0.25, 0.40)
    assert printed["ai_assistants", "2028-2030"] is None
    medians = [row.p_harmful_gm.median for row in rows if row.domain.name == "autonomous_agents"]
    assert medians == sorted(medians)
    assert all(row.p_harmful_gm.median <= row.p_gm.median for row in rows)
    (cells,) = (
        row for row in domain_table({"none": rows}).cells() if row[:2] == ["Game AI", "2026-2027"]
    )
    assert cells[2] == "5 to 15"
    assert cells[3].startswith(f"{100 * rows[1].p_harmful_gm.median:.1f} [")
    records = list(domain_records({"none": rows}))
    assert len(records) == 20 and records[1]["printed_high"] == 0.15


def test_the_mean_of_a_domain_now_is_base_times_spec() -> None:
    """Game AI: mean of 3.6 and 10 % x the mean of a log-normal around .7, without what is below
    .5: exp(.2^2 / 2) x (1 - Phi(a - .2)) / (1 - Phi(a)), a = ln(.5 / .7) / .2 = -1.682."""
    prediction = MODEL.predict(domain="game_ai")
    spec = 0.7 * np.exp(0.02) * 0.9701 / 0.9537
    assert prediction.p_harmful_gm.mean() == pytest.approx(0.068 * spec, rel=0.01)


def at_printed_values(target: str, **asked: object) -> float:
    """p_harmful_gm where every input has its printed value, a range its geometric middle."""
    scenario = MODEL.predict(**asked, target=target).scenario
    points = {}
    for name, item in scenario.inputs.items():
        shift, _, factor = name.partition("/")
        if shift in PRIORS.shifts:
            points[name] = np.array([getattr(PRIORS.shifts[shift], factor).number])
        elif name == "spec":
            level = PRIORS.modifiers["spec"].level(PRIORS.domains[str(asked["domain"])].spec)
            points[name] = np.array([level.median])
        else:
            points[name] = np.median(item.values, keepdims=True)
    return float(evaluate(scenario, points).p_harmful_gm.values[0])


def test_domains_at_their_printed_values_by_hand() -> None:
    """Agents: (.218 + .277) / 2 x 1.5; by factor (.55 x .825 x .721 + .45 x 1 x .821) / 2. Games:
    (.036 + .1) / 2 x .7, where nothing overflows."""
    agents = {"domain": "autonomous_agents", "period": "2024-2025"}
    assert at_printed_values("printed", **agents) == pytest.approx(0.371, abs=5e-4)
    assert at_printed_values("factor", **agents) == pytest.approx(0.348, abs=5e-4)
    for target in ("printed", "factor"):
        assert at_printed_values(target, domain="game_ai") == pytest.approx(0.0476, abs=5e-5)


def test_prevention_stacks_by_hand() -> None:
    """20-40, 30-50 and 40-70 %: 1 - .8 x .7 x .6 and 1 - .6 x .5 x .3."""
    acts = [i for i in PRIORS.interventions.values() if i.excludes and i.reduction]
    low, high = (1 - np.prod([1 - i.reduction.range[end] for i in acts]) for end in (0, 1))
    assert (low, high) == pytest.approx((0.664, 0.910))
    found = MODEL.predict("moderate", interventions=[i.name for i in acts]).multiplier
    assert 1 - high <= found.min() and found.max() <= 1 - low


def test_no_draw_of_any_row_exceeds_what_its_factors_allow() -> None:
    model = RiskModel.from_prior(PRIORS, 2_000)
    for domain in PRIORS.domains:
        for period in PRIORS.periods:
            found = model.predict(domain=domain, period=period)
            for part in found.by_shift.values():
                base = part.inputs
                (shift,) = [name for name, other in found.by_shift.items() if other is part]
                allowed = base[f"{shift}/p_capable"].values * base[f"{shift}/p_harm"].values
                assert np.all(part.p_harmful_gm.values <= allowed * (1 + 1e-12))


def test_kappa_sets_the_spread() -> None:
    """Of the part with kappa; the wide one keeps its own."""
    variances = []
    for kappa in (50, 2):
        a, b = beta_parameters(0.28, kappa * 0.65)
        variances.append(a * b / ((a + b) ** 2 * (a + b + 1)))
    tight = RiskModel.from_prior(load_priors(kappa=50), 50_000).predict("moderate").p_goal_fail
    assert tight.var() == pytest.approx(0.8 * variances[0] + 0.2 * variances[1], rel=0.03)


@pytest.mark.parametrize(("word", "former"), [("none", "side_by_side"), ("combine", "update")])
def test_data_have_a_former_word(folder: Path, word: str, former: str) -> None:
    models = [RiskModel.from_calibration(folder, each) for each in (word, former)]
    one, other = (model.predict("moderate").p_gm.values for model in models)
    assert (one == other).all()
