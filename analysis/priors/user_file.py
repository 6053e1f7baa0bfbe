"""A user's prior file: figures that replace those of a named prior set.

analysis/README.md shows one that says something of everything. Every mistake is one ValueError
that names the file, the line, the rule and the value.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from misgen.analysis.priors.entries import Entry
from misgen.analysis.priors.levels import Level, Modifier, band_level, named_level
from misgen.analysis.priors.source import Range
from misgen.analysis.priors.types import (
    FACTORS,
    PRIOR_SETS,
    PriorSet,
    ShiftPrior,
    beta_parameters,
    with_factors,
)

_RULES = {"endpoint_rule": ("bands", "table"), "diversity_rule": ("step", "linear")}
_SETTINGS = ("kappa", "log_sd", *_RULES)
_MAX_LOG_SD = 10.0  # a multiplier known to within 7 powers of ten; far above, exp() overflows
_TARGETS = ("p_goal_fail", "p_harm", "exposure")


def base_of(file: Entry, default: str) -> str:
    """The prior set that the file says it changes."""
    base = file.value.get("base")
    if base is None:
        return default
    if base.value not in PRIOR_SETS:
        base.fail(f"must be one of {', '.join(PRIOR_SETS)}")
    if default not in ("taxonomy", base.value):
        base.fail(f"must be the prior set that was asked for, {default}, or be left out")
    return str(base.value)


def settings_of(file: Entry) -> dict[str, Any]:
    """kappa, log_sd, endpoint_rule and diversity_rule, as far as the file states them."""
    return {key: _setting(key, entry) for key, entry in file.value.items() if key in _SETTINGS}


def _setting(name: str, entry: Entry) -> Any:
    if rule := broken_rule(name, entry.value):
        entry.fail(rule)
    return entry.value if name in _RULES else float(entry.value)


def broken_rule(setting: str, value: Any) -> str:
    """The rule for one of the four settings that the value breaks; empty if it breaks none."""
    if setting in _RULES:
        choices = _RULES[setting]
        return "" if value in choices else f"must be {' or '.join(choices)}"
    if not _is_number(value):
        return "must be one number, written like 0.25"
    if setting == "kappa":
        return "" if value > 0 else "is a number of observations and must be greater than 0"
    return "" if 0 <= value <= _MAX_LOG_SD else f"must lie in [0, {_MAX_LOG_SD:g}]"


# -------------------------------------------------------------------------------- numbers, ranges


@dataclass(frozen=True)
class Quantity:
    """What a value must be: a range, [low, high], or one number, within the limits of its unit."""

    unit: str
    is_range: bool = True

    def read(self, entry: Entry) -> float | Range:
        return _range(entry, self.unit) if self.is_range else _number(entry, self.unit)


def _number(entry: Entry, unit: str) -> float:
    if not _is_number(entry.value):
        entry.fail("must be one number, written like 0.25")
    _check_limits(entry, unit, entry.value)
    return float(entry.value)


def _range(entry: Entry, unit: str) -> Range:
    if not _is_pair(entry.value):
        entry.fail("must be two numbers, [low, high]")
    low, high = entry.value
    if low > high:
        entry.fail("must have low <= high")
    _check_limits(entry, unit, low, high)
    return float(low), float(high)


def _check_limits(entry: Entry, unit: str, *values: float) -> None:
    if unit in ("probability", "fraction", "quality"):
        if not all(0 <= value <= 1 for value in values):
            entry.fail(f"is a {unit} and must lie in [0, 1]")
    elif not all(value > 0 for value in values):
        entry.fail(f"is a {unit} and must be greater than 0")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_list(entry: Entry) -> bool:
    return isinstance(entry.value, list)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


# -------------------------------------------------------------------------------- factors of a type


def _shift(old: ShiftPrior, entry: Entry) -> ShiftPrior:
    entries = entry.entries((*FACTORS, "likelihood_range", "kappa"))
    given = {name: below for name, below in entries.items() if name in FACTORS}
    stated = {name: _factor(below, getattr(old, name).number) for name, below in given.items()}
    figures = {
        name: below.figure(stated[name].mean, "probability") for name, below in given.items()
    }
    new = with_factors(old, figures) if figures else old
    betas = {name: factor.beta for name, factor in stated.items() if factor.beta}
    betas |= {name: _beta_with(new, name, f.kappa) for name, f in stated.items() if f.kappa}
    new = replace(new, own_betas=betas)
    if "kappa" in entries:
        new = replace(new, kappa=_setting("kappa", entries["kappa"]))
    if "likelihood_range" in entries:
        likelihood = _changed(old.likelihood_range, entries["likelihood_range"], _PROBABILITIES)
        new = replace(new, likelihood_range=likelihood)
    return new


class Factor(NamedTuple):
    """What a file says of a factor: a mean, with the Beta of a range or a kappa of its own."""

    mean: float
    beta: Range | None = None
    kappa: float | None = None


def _factor(entry: Entry, printed: float) -> Factor:
    """printed: the mean where only a kappa is given."""
    if _is_list(entry):
        a, b = _beta_of(entry)
        return Factor(a / (a + b), beta=(a, b))
    if not isinstance(entry.value, dict):
        return Factor(_mean(entry))
    below = entry.entries(("value", "kappa"))
    mean = _mean(below["value"]) if "value" in below else printed
    if "kappa" not in below:
        entry.fail("needs a `kappa`, or to be one number")
    return Factor(mean, kappa=_setting("kappa", below["kappa"]))


def _mean(entry: Entry) -> float:
    value = _number(entry, "probability")
    if value in (0, 1):
        entry.fail("is the mean of a Beta and must lie inside 0..1, not at an end")
    return value


def _beta_with(shift: ShiftPrior, factor: str, kappa: float) -> Range:
    """A factor's Beta at this kappa; of goal failure only the capable ones tell."""
    capable = shift.p_capable.number if factor == "p_goal_fail" else 1.0
    return beta_parameters(getattr(shift, factor).number, kappa * capable)


def _beta_of(entry: Entry) -> Range:
    """The Beta whose central 90 % is a range."""
    from scipy.optimize import root  # here: most prior files have no range
    from scipy.special import betaincinv

    low, high = _range(entry, "probability")
    if not 0 < low < high < 1:
        entry.fail("is the central 90 % of a Beta: two different numbers inside 0..1")

    def missed(logs: Any) -> Any:
        ends = betaincinv(*np.exp(logs), [0.05, 0.95])
        return np.log(ends / (1 - ends)) - np.log([low / (1 - low), high / (1 - high)])

    mean = (low + high) / 2
    size = mean * (1 - mean) / ((high - low) / 3.29) ** 2
    found = root(missed, np.log([mean * size, (1 - mean) * size]))
    if not found.success or np.abs(missed(found.x)).max() > 1e-6:
        entry.fail("is the central 90 % of a Beta; none has this one")
    a, b = np.exp(found.x).tolist()
    return a, b


# ---------------------------------------------------------------------- modifiers, interventions


def _modifier(old: Modifier, entry: Entry) -> Modifier:
    open_names = ("range", "levels", "knots") if old.name == "spec" else ("range", "levels")
    entries = entry.entries(open_names)
    new = old
    if "range" in entries:
        whole = _changed(old.range, entries["range"], _MULTIPLIERS)
        unknown = band_level("unknown", whole.range, "unknown", "level: unknown")
        new = replace(new, range=whole, levels={**new.levels, "unknown": unknown})
    if "levels" in entries:
        names = [name for name in old.levels if name not in ("reference", "unknown")]
        below = entries["levels"].entries(names)
        levels = {name: _level(name, each, old.log_sd) for name, each in below.items()}
        new = new.with_levels({**new.levels, **levels})
    return replace(new, knots=_knots(entries["knots"])) if "knots" in entries else new


def _level(name: str, entry: Entry, log_sd: float) -> Level:
    if _is_list(entry):
        return band_level(name, _range(entry, "multiplier"), note="from the user's file")
    return named_level(name, _number(entry, "multiplier"), log_sd, "from the user's file")


def _knots(entry: Entry) -> tuple[tuple[float, float], ...]:
    rule = "needs [quality, multiplier] pairs from quality 0 to 1, increasing, multipliers > 0"
    pairs = entry.value if _is_list(entry) else []
    knots = [(float(p[0]), float(p[1])) for p in pairs if _is_pair(p)]
    scores = [score for score, _ in knots]
    if len(knots) < max(2, len(pairs)) or scores != sorted(set(scores)):
        entry.fail(rule)
    if scores[0] != 0 or scores[-1] != 1 or min(value for _, value in knots) <= 0:
        entry.fail(rule)
    return tuple(knots)


def _target(old: str, entry: Entry) -> str:
    if entry.value not in _TARGETS:
        entry.fail(f"must be one of {_TARGETS}")
    return str(entry.value)


# ----------------------------------------------------------------------------------- the whole file

_PROBABILITIES, _MULTIPLIERS = Quantity("probability"), Quantity("multiplier")
_EXPONENT = Quantity("exponent", is_range=False)
_SCHEMA: dict[str, Any] = {  # *: any name that the prior set has there
    "shifts": {"*": _shift},
    "modifiers": {"*": _modifier},
    "domains": {
        "*": {
            "spec": Quantity("quality", is_range=False),
            "p_current": _PROBABILITIES,
            "p_2027": _PROBABILITIES,
        }
    },
    "periods": {"*": {"multiplier": _MULTIPLIERS}},
    "interventions": {"*": {"reduction": Quantity("fraction"), "target": _target}},
    "transport": _MULTIPLIERS,
    "mesa": {
        "p_emergence": _PROBABILITIES,
        "p_misaligned": _PROBABILITIES,
        "exponent_capability": _EXPONENT,
        "exponent_misalignment": _EXPONENT,
        "periods": {
            "*": dict.fromkeys(("p_emergence", "p_misaligned", "p_catastrophic"), _PROBABILITIES)
        },
    },
}


def with_user_figures(priors: PriorSet, file: Entry) -> PriorSet:
    """The set with the file's figures in place, marked `user`."""
    entries = file.entries(("base", *_SETTINGS, *_SCHEMA))
    changes = {
        key: _changed(getattr(priors, key), entry, _SCHEMA[key])
        for key, entry in entries.items()
        if key in _SCHEMA
    }
    return replace(priors, name=f"{priors.name} with {file.path.name}", **changes)


def _changed(old: Any, entry: Entry, schema: Any) -> Any:
    """The old value with what the entry says, as the schema at this place allows."""
    if isinstance(schema, Quantity):
        value = schema.read(entry)
        return value if isinstance(old, float | tuple) else entry.figure(value, schema.unit)
    if callable(schema):
        return schema(old, entry)
    members = old if isinstance(old, Mapping) else vars(old)
    entries = entry.entries(members if "*" in schema else schema)
    changes = {
        key: _changed(members[key], below, schema.get(key, schema.get("*")))
        for key, below in entries.items()
    }
    return {**old, **changes} if isinstance(old, Mapping) else replace(old, **changes)
