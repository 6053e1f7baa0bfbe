"""The draws behind the panel of the answer page, on which a script repeats the formula.

Draws are 16-bit numbers between the least and the greatest of each input: rates agree with
`RiskModel.predict` to about 1e-4 of their value.
"""

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from misgen.analysis.priors.types import FACTORS, Intervention, PriorSet
from misgen.analysis.rates import FloatArray
from misgen.analysis.risk.formula import Input
from misgen.analysis.risk.model import RiskModel
from misgen.analysis.words import MODIFIERS, RATE_NAMES

STEPS = 65_535


def panel(models: Mapping[str, RiskModel]) -> dict[str, Any]:
    """What the script needs. models: by the word of their data; the first is of the prior alone.

    inputs: data -> name -> [draws as base64, least, greatest, what it multiplies]. Equal draws are
    stored once: `draws` holds them, inputs their place.
    """
    models = {data: _on_rates(model) for data, model in models.items()}
    store: dict[str, int] = {}
    inputs: dict[str, dict[str, tuple[int, float, float, str]]] = {}
    for data, model in models.items():
        inputs[data] = {}
        for name, one in _inputs(model):
            text, low, high = packed(one.values)
            inputs[data][name] = store.setdefault(text, len(store)), low, high, one.acts_on
    return {
        **_choices(next(iter(models.values())).priors),
        "inputs": inputs,
        "measured": {data: sorted(model.parameters.measured) for data, model in models.items()},
        # The levels whose multiplier holds data.
        "links": {data: sorted(map("/".join, model.parameters.multipliers))
                  for data, model in models.items()},
        "warnings": {data: model.parameters.notes for data, model in models.items()},
        "draws": list(store),
    }  # fmt: skip


def _on_rates(model: RiskModel) -> RiskModel:
    """Without multipliers that were measured for another overflow than the script's, "clip"."""
    given = model.parameters
    kept = {key: one for key, one in given.multipliers.items() if one.link == "log"}
    return replace(model, parameters=replace(given, multipliers=kept))


def _choices(priors: PriorSet) -> dict[str, Any]:
    return {
        "shifts": {
            name: f"{one.number} {one.label.lower()}" for name, one in priors.shifts.items()
        },
        "domains": {
            name: {"label": one.label, "shifts": one.shift_types, "spec": f"{one.spec:g}"}
            for name, one in priors.domains.items()
        },
        "modifiers": {
            name: {
                "label": MODIFIERS[name],
                "levels": {key: _words(key) for key in one.levels},
                "raises": [key for key, level in one.levels.items() if level.median > 1],
            }
            for name, one in priors.modifiers.items()
        },
        "periods": {
            name: {"excludes": one.excludes if one.multiplier != (1.0, 1.0) else None}
            for name, one in priors.periods.items()
        },
        "interventions": {
            name: {
                "label": _words(name),
                "about": _about(one),
                "excludes": one.excludes,
                "has_number": one.reduction is not None,
            }
            for name, one in priors.interventions.items()
        },
    }


def _about(intervention: Intervention) -> str:
    """What the source says that it takes, and the choice that is the same lever."""
    if intervention.reduction is None:
        return "no number"
    low, high = intervention.reduction.range
    text = f"{100 * low:.0f} to {100 * high:.0f} % off {RATE_NAMES[intervention.target]}"
    lever = intervention.excludes
    return text if lever is None else f"{text}; same lever as {MODIFIERS[lever]}"


def _words(name: str) -> str:
    return re.sub(r"\bai\b", "AI", name.replace("_", " "))


def _inputs(model: RiskModel) -> Iterator[tuple[str, Input]]:
    """Every input that a choice brings in, by the name the script knows it by."""
    priors = model.priors
    shift = next(iter(priors.shifts))
    for name in priors.shifts:
        factors = model.predict(name).inputs
        yield from ((f"{name}/{factor}", factors[f"{name}/{factor}"]) for factor in FACTORS)
    for name, modifier in priors.modifiers.items():
        levels = [key for key, one in modifier.levels.items() if one.kind != "reference"]
        for level in levels:
            yield f"{name}/{level}", model.predict(shift, **{name: level}).inputs[name]  # type: ignore[arg-type]
    for name, domain in priors.domains.items():
        found = model.predict(domain=name, transport=1.0).inputs
        if "spec" in found:
            yield f"spec/{domain.spec:g}", found["spec"]
    for name in priors.periods:
        found = model.predict(shift, period=name).inputs
        if "period" in found:
            yield f"period/{name}", found["period"]
    for name in priors.interventions:
        key = f"intervention/{name}"
        yield key, model.predict(shift, interventions=name).inputs[key]
    yield "transport", model.predict(shift, transport=priors.transport).inputs["transport"]


def packed(values: FloatArray) -> tuple[str, float, float]:
    """16-bit little-endian numbers [draws] as base64, with what 0 and the greatest of them mean."""
    low, high = float(values.min()), float(values.max())
    steps = np.round((values - low) / ((high - low) or 1) * STEPS).astype("<u2")
    return base64.b64encode(steps.tobytes()).decode(), low, high
