"""Tornado and Sobol indices of products, whose values are known."""

import numpy as np
import pytest

from misgen.analysis.priors import load_priors
from misgen.analysis.priors.types import FACTORS
from misgen.analysis.risk.formula import Input, Scenario, evaluate
from misgen.analysis.risk.model import RiskModel
from misgen.analysis.risk.sensitivity import largest_correlation, sobol, tornado

MODEL = RiskModel.from_prior(load_priors(), draws=20_000)


SPANS = {"spec": 1.386, "capability": 1.792, "diversity": 0.693, "method": 1.322}
"""ln(high / low) of the printed ranges; together ln 180."""


def test_the_tornado_of_unknown_levels_has_the_printed_spans() -> None:
    unknown = dict.fromkeys(("spec", "capability", "diversity", "method"), "unknown")
    prediction = MODEL.predict("superficial", **unknown)
    spans = {s.name: s.log_span for s in tornado(prediction, by="log_span")}
    for name, span in SPANS.items():
        assert spans[name] == pytest.approx(span, rel=0.03)
    rows = tornado(prediction, by="log_span")
    assert [s.log_span for s in rows] == sorted((s.log_span for s in rows), reverse=True)
    assert sum(s.log_span_share for s in rows) == pytest.approx(1)


def test_a_swing_by_hand() -> None:
    """Others at their medians: .5 x 1 x 1 x the multiplier."""
    inputs = {f"extreme/{factor}": Input("", np.ones(3)) for factor in FACTORS[1:]}
    inputs["extreme/p_capable"] = Input("", np.array([0.4, 0.5, 0.6]))
    inputs["spec"] = Input("two or less", np.linspace(0.0, 2.0, 201), "p_goal_fail")
    prediction = evaluate(
        Scenario(("extreme",), inputs, target="printed"),
        {name: item.values[:1] for name, item in inputs.items()},
    )
    spec, capable = tornado(prediction)
    assert (spec.name, spec.label) == ("spec", "two or less")
    assert (spec.low, spec.middle, spec.high) == pytest.approx((0.05, 0.5, 0.95))
    assert (capable.low, capable.high) == pytest.approx((0.41, 0.59))
    assert capable.log_span == pytest.approx(np.log(0.59 / 0.41))
    with pytest.raises(ValueError, match="swing, log_span"):
        tornado(prediction, by="size")
    with pytest.raises(ValueError, match="p_gm, p_harmful_gm"):
        tornado(prediction, of="harm")


def test_oversight_swings_harm_alone() -> None:
    prediction = MODEL.predict(domain="ai_assistants", interventions=["ai_control_protocols"])
    swings = {s.name: s for s in tornado(prediction, of="gm")}
    name = "intervention/ai_control_protocols"
    assert swings[name].low == swings[name].high
    assert {s.name: s for s in tornado(prediction)}[name].high > 0


def test_sobol_indices_of_a_product() -> None:
    """Y = prod X of independent inputs: S_i = cv_i^2 / V and ST_i = cv_i^2 / (1 + cv_i^2) (V + 1)
    / V with V = prod(1 + cv^2) - 1."""
    prediction = MODEL.predict("superficial", spec="low")
    draws = {name: i.values for name, i in prediction.inputs.items() if len(i.values) > 1}
    cv2 = {name: values.var() / values.mean() ** 2 for name, values in draws.items()}
    total = np.prod([1 + c for c in cv2.values()])
    found = {index.name: index for index in sobol(prediction, base=2048)}
    assert (
        set(found)
        == set(cv2)
        == {
            "superficial/p_capable",
            "superficial/p_goal_fail",
            "superficial/p_harm",
            "spec",
        }
    )
    for name, c in cv2.items():
        assert found[name].first == pytest.approx(c / (total - 1), abs=0.03)
        assert found[name].total == pytest.approx(c / (1 + c) * total / (total - 1), abs=0.03)
        assert 0 < found[name].total_half_width < 0.1
    assert sobol(prediction, base=64, seed=1) == sobol(prediction, base=64, seed=1)
    assert sobol(prediction, base=64, seed=1) != sobol(prediction, base=64, seed=2)
    with pytest.raises(ValueError, match="power of 2; got 1000; try 1024"):
        sobol(prediction, base=1000)


def test_joint_draws_show_their_correlation() -> None:
    assert largest_correlation(MODEL.predict("moderate", spec="low")) < 0.03
    values = np.linspace(0.1, 0.9, 50)
    inputs = {f"extreme/{factor}": Input("", values) for factor in FACTORS}
    inputs["extreme/p_harm"] = Input("", np.ones(50))
    assert largest_correlation(evaluate(Scenario(("extreme",), inputs))) == pytest.approx(1)


def test_an_input_that_may_be_0_has_no_finite_log_span() -> None:
    inputs = {f"extreme/{factor}": Input("", np.linspace(0.2, 0.4, 9)) for factor in FACTORS}
    inputs["extreme/p_goal_fail"] = Input("", np.array([0.0] * 5 + [0.5] * 4))
    first, *others = tornado(evaluate(Scenario(("extreme",), inputs)), by="log_span")
    assert first.name == "extreme/p_goal_fail" and first.log_span == np.inf
    assert np.isnan(first.log_span_share) and sum(s.log_span_share for s in others) == 1
