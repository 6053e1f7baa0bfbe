"""Squiggle text of a scenario says what the scenario says."""

import re

import numpy as np
import pytest

from misgen.analysis.risk.model import RiskModel
from misgen.analysis.risk.squiggle import squiggle

MODEL = RiskModel.from_prior(draws=500)


def evaluated(text: str) -> dict[str, np.ndarray]:
    """The assignments of a text, by NumPy."""
    text = re.sub(r"SampleSet\.map\(([^,]*), \{\|x\| min\(x, 1\)\}\)", r"minimum(\1, 1)", text)
    text = text.replace("SampleSet.fromList", "array")
    names: dict[str, np.ndarray] = {"array": np.array, "minimum": np.minimum}  # type: ignore[dict-item]
    exec(re.sub(r" *//.*", "", text), names)
    return names


@pytest.mark.parametrize(
    "asked",
    [
        {"shift": "extreme", "spec": "low", "diversity": "narrow"},
        {"domain": "ai_assistants", "period": "2028-2030"},
        {"shift": "moderate", "interventions": ["ai_control_protocols"], "exposure": 0.3},
    ],
)
def test_its_rates_are_those_of_the_prediction(asked: dict[str, object]) -> None:
    prediction = MODEL.predict(**asked)  # type: ignore[arg-type]
    found = evaluated(squiggle(prediction))
    np.testing.assert_allclose(found["p_gm"], prediction.p_gm.values, rtol=1e-3)
    np.testing.assert_allclose(found["p_harmful_gm"], prediction.p_harmful_gm.values, rtol=1e-3)


def test_so_many_draws_are_written() -> None:
    found = evaluated(squiggle(MODEL.predict("extreme"), draws=100))
    assert len(found["p_gm"]) == 100


def test_the_source_s_product_is_refused() -> None:
    with pytest.raises(ValueError, match="target \"factor\"; got 'printed'; leave --target"):
        squiggle(MODEL.predict("extreme", target="printed"))
