"""A scenario as Squiggle text: its joint draws as sample sets, and the formula on them.

Squiggle pairs sample sets of one length draw by draw, so that what is common to two rates stays
common. For https://www.squiggle-language.com.
"""

import re
from collections.abc import Iterator

from misgen.analysis.priors.types import FACTORS
from misgen.analysis.risk.formula import Input, Prediction

DRAWS = 1000
"""Most draws that are written: 1,000 of a dozen inputs are 90 kB."""


def squiggle(prediction: Prediction, draws: int = DRAWS) -> str:
    """Text that ends in `p_gm` and `p_harmful_gm`, of the first `draws` joint draws.

    Raises ValueError with target "printed", whose product Squiggle would not clip alike.
    """
    scenario = prediction.scenario
    if scenario.target != "factor":
        raise ValueError(
            f'Squiggle text is written for target "factor"; got {scenario.target!r}; leave '
            "--target and --overflow out"
        )
    lines = [f"// {', '.join(scenario.shifts)}"]
    lines += [f"// {note}" for note in scenario.warnings]
    lines += [
        f"{_name(name)} = {_values(item, draws)} // {item.label}"
        for name, item in scenario.inputs.items()
    ]
    return "\n".join([*lines, *_formula(prediction)]) + "\n"


def _name(name: str) -> str:
    """`moderate/p_capable` as `moderate_p_capable`."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower())


def _values(item: Input, draws: int) -> str:
    if len(item.values) == 1:
        return f"{item.values[0]:.5g}"
    return f"SampleSet.fromList([{', '.join(f'{value:.5g}' for value in item.values[:draws])}])"


def _formula(prediction: Prediction) -> Iterator[str]:
    scenario = prediction.scenario
    for what, name in (("p_goal_fail", "m_goal"), ("p_harm", "m_harm"), ("exposure", "exposed")):
        acting = [_name(n) for n, item in scenario.inputs.items() if item.acts_on == what]
        yield f"{name} = {' * '.join(acting) or '1'}"
    for shift in scenario.shifts:
        capable, fails, harm = (_name(f"{shift}/{factor}") for factor in FACTORS)
        yield f"{_name(shift)}_gm = exposed * {capable} * {_clipped(f'{fails} * m_goal')}"
        yield f"{_name(shift)}_harmful = {_name(shift)}_gm * {_clipped(f'{harm} * m_harm')}"
    for rate, part in (("p_gm", "gm"), ("p_harmful_gm", "harmful")):
        parts = " + ".join(f"{_name(shift)}_{part}" for shift in scenario.shifts)
        yield f"{rate} = ({parts}) / {len(scenario.shifts)}"


def _clipped(product: str) -> str:
    return f"SampleSet.map({product}, {{|x| min(x, 1)}})"
