"""A user's prior file: figures that replace those of a named prior set.

analysis/README.md shows one that says something of everything. Every mistake is one ValueError
that names the file, the line, the rule and the value.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import yaml

from misgen.analysis.priors.levels import Level, Modifier, band_level, named_level
from misgen.analysis.priors.source import Figure, Range
from misgen.analysis.priors.types import (
    FACTORS,
    PriorSet,
    ShiftPrior,
    beta_of_range,
    beta_parameters,
    with_factors,
)

_RULES = {"endpoint_rule": ("bands", "table"), "diversity_rule": ("step", "linear")}
SETTINGS = ("kappa", "log_sd", *_RULES)
_MAX_LOG_SD = 10.0  # a multiplier known to within 7 powers of ten; far above, exp() overflows
_TARGETS = ("p_goal_fail", "p_harm", "exposure")


@dataclass(frozen=True)
class Entry:
    """A value under its dotted key: a number, text, a list, or entries by key. line: 0 for an
    option of a call, which is in no file."""

    path: Path
    key: str
    line: int
    value: Any

    def fail(self, rule: str) -> NoReturn:
        value = "entries" if isinstance(self.value, dict) else repr(self.value)
        raise ValueError(f"{self.place}{self.key} {rule}; got {value}")

    @property
    def place(self) -> str:
        return f"{self.path}, line {self.line}: " if self.line else ""

    def entries(self, names: Collection[str]) -> dict[str, "Entry"]:
        """The entries below this one, each of which has one of the names."""
        if not isinstance(self.value, dict):
            self.fail("needs entries below it (`name: value`)")
        for name, below in self.value.items():
            if name in ("p_gm", "p_harmful_gm"):
                below.fail("follows from the three factors: give those")
            if name not in names:
                choices = ", ".join(names)
                raise ValueError(f"{below.place}unknown key {below.key}; choose {choices}")
        return self.value

    def figure(self, value: float | Range, unit: str) -> Figure:
        return Figure(value, unit, "user", self.path.name, self.key, (self.line, self.line))


def read_prior_file(path: Path) -> Entry:
    """The file as entries that know their lines."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        root = _entry(path, "", node) if node else Entry(path, "", 1, None)
    except OSError as error:
        raise ValueError(f"{path}: a prior file must be readable; {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: a prior file must be UTF-8 text; it is not") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f"{path}, line {mark.line + 1}" if mark else str(path)
        what = getattr(error, "problem", error)
        raise ValueError(f"{at}: a prior file must be plain valid YAML; {what}") from None
    if not isinstance(root.value, dict) or not root.value:
        raise ValueError(f"{root.place}a prior file needs entries such as `shifts:`; it has none")
    return root


def _entry(path: Path, key: str, node: yaml.Node) -> Entry:
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        value = yaml.SafeLoader("").construct_object(node, deep=True)
        return Entry(path, key, line, value)
    entries: dict[str, Entry] = {}
    for name_node, child in node.value:
        name = str(name_node.value)
        below = _entry(path, f"{key}.{name}".lstrip("."), child)
        below = replace(below, line=name_node.start_mark.line + 1)
        if name in entries:
            below.fail(f"must be given once; the first is in line {entries[name].line}")
        entries[name] = below
    return Entry(path, key, line, entries)


def setting(name: str, entry: Entry) -> Any:
    """One of `SETTINGS`, checked."""
    if name in _RULES:
        if entry.value not in _RULES[name]:
            entry.fail(f"must be {' or '.join(_RULES[name])}")
        return entry.value
    if not _is_number(entry.value):
        entry.fail("must be one number, written like 0.25")
    if name == "kappa" and entry.value <= 0:
        entry.fail("is a number of observations and must be greater than 0")
    if name == "log_sd" and not 0 <= entry.value <= _MAX_LOG_SD:
        entry.fail(f"must lie in [0, {_MAX_LOG_SD:g}]")
    return float(entry.value)


# -------------------------------------------------------------------------------- numbers, ranges


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


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


# -------------------------------------------------------------------------------- factors of a type


def _shift(old: ShiftPrior, entry: Entry) -> ShiftPrior:
    entries = entry.entries((*FACTORS, "likelihood_range", "kappa"))
    stated = {
        name: _factor(below, getattr(old, name).number)
        for name, below in entries.items()
        if name in FACTORS
    }
    new, betas = old, {}
    if stated:
        means = {name: entries[name].figure(at, "probability") for name, (at, _) in stated.items()}
        new = with_factors(old, means)
    for name, (mean, own) in stated.items():
        if isinstance(own, float):  # of goal failure only the capable ones tell
            capable = new.p_capable.number if name == "p_goal_fail" else 1.0
            own = beta_parameters(mean, own * capable)
        if own is not None:
            betas[name] = own
    new = replace(new, own_betas=betas)
    if "kappa" in entries:
        new = replace(new, kappa=setting("kappa", entries["kappa"]))
    if "likelihood_range" in entries:
        likelihood = _figure(old.likelihood_range, entries["likelihood_range"])
        new = replace(new, likelihood_range=likelihood)
    return new


def _factor(entry: Entry, printed: float) -> tuple[float, Range | float | None]:
    """Its mean, `printed` where none is given, and the Beta of a range or a kappa of its own."""
    if isinstance(entry.value, list):
        low, high = _range(entry, "probability")
        if not 0 < low < high < 1:
            entry.fail("is the central 90 % of a Beta: two different numbers inside 0..1")
        if not (own := beta_of_range(low, high)):
            entry.fail("is the central 90 % of a Beta; none has this one")
        return own[0] / sum(own), own
    if not isinstance(entry.value, dict):
        return _mean(entry), None
    below = entry.entries(("value", "kappa"))
    mean = _mean(below["value"]) if "value" in below else printed
    if "kappa" not in below:
        entry.fail("needs a `kappa`, or to be one number")
    return mean, setting("kappa", below["kappa"])


def _mean(entry: Entry) -> float:
    value = _number(entry, "probability")
    if value in (0, 1):
        entry.fail("is the mean of a Beta and must lie inside 0..1, not at an end")
    return value


# ---------------------------------------------------------------------- modifiers, interventions


def _modifier(old: Modifier, entry: Entry) -> Modifier:
    open_names = ("range", "levels", "knots") if old.name == "spec" else ("range", "levels")
    entries = entry.entries(open_names)
    new = old
    if "range" in entries:
        whole = _figure(old.range, entries["range"])
        unknown = band_level("unknown", whole.range, "unknown", "level: unknown")
        new = replace(new, range=whole, levels={**new.levels, "unknown": unknown})
    if "levels" in entries:
        names = [name for name in old.levels if name not in ("reference", "unknown")]
        below = entries["levels"].entries(names)
        levels = {name: _level(name, each, old.log_sd) for name, each in below.items()}
        new = new.with_levels({**new.levels, **levels})
    return replace(new, knots=_knots(entries["knots"])) if "knots" in entries else new


def _level(name: str, entry: Entry, log_sd: float) -> Level:
    if isinstance(entry.value, list):
        return band_level(name, _range(entry, "multiplier"), note="from the user's file")
    return named_level(name, _number(entry, "multiplier"), log_sd, "from the user's file")


def _knots(entry: Entry) -> tuple[tuple[float, float], ...]:
    rule = "needs [quality, multiplier] pairs from quality 0 to 1, increasing, multipliers > 0"
    pairs = entry.value if isinstance(entry.value, list) else []
    knots = [(float(p[0]), float(p[1])) for p in pairs if _is_pair(p)]
    scores = [score for score, _ in knots]
    if len(knots) < max(2, len(pairs)) or scores != sorted(set(scores)):
        entry.fail(rule)
    if scores[0] != 0 or scores[-1] != 1 or min(value for _, value in knots) <= 0:
        entry.fail(rule)
    return tuple(knots)


# ----------------------------------------------------------------------------------- the whole file


def _figure(old: Figure, entry: Entry) -> Figure:
    """Of the same shape and unit."""
    read = _range if isinstance(old.value, tuple) else _number
    return entry.figure(read(entry, old.unit), old.unit)


def _multipliers(old: Range, entry: Entry) -> Range:
    return _range(entry, "multiplier")


def _quality(old: float, entry: Entry) -> float:
    return _number(entry, "quality")


def _reduction(old: Figure | None, entry: Entry) -> Figure:
    return entry.figure(_range(entry, "fraction"), "fraction")


def _target(old: str, entry: Entry) -> str:
    if entry.value not in _TARGETS:
        entry.fail(f"must be one of {_TARGETS}")
    return str(entry.value)


_MESA_PERIOD = dict.fromkeys(("p_emergence", "p_misaligned", "p_catastrophic"), _figure)
_SCHEMA: dict[str, Any] = {  # (old value, entry) -> new value; *: any name that the prior set has
    "shifts": {"*": _shift},
    "modifiers": {"*": _modifier},
    "domains": {"*": {"spec": _quality, "p_current": _figure, "p_2027": _figure}},
    "periods": {"*": {"multiplier": _multipliers}},
    "interventions": {"*": {"reduction": _reduction, "target": _target}},
    "transport": _multipliers,
    "mesa": {
        "p_emergence": _figure,
        "p_misaligned": _figure,
        "exponent_capability": _figure,
        "exponent_misalignment": _figure,
        "periods": {"*": _MESA_PERIOD},
    },
}


def with_user_figures(priors: PriorSet, file: Entry) -> PriorSet:
    """The set with the file's figures in place, marked `user`."""
    entries = file.entries(("base", *SETTINGS, *_SCHEMA))
    changes = {
        key: _changed(getattr(priors, key), entry, _SCHEMA[key])
        for key, entry in entries.items()
        if key in _SCHEMA
    }
    return replace(priors, name=f"{priors.name} with {file.path.name}", **changes)


def _changed(old: Any, entry: Entry, schema: Any) -> Any:
    """The old value with what the entry says, as the schema at this place allows."""
    if callable(schema):
        return schema(old, entry)
    members = old if isinstance(old, Mapping) else vars(old)
    entries = entry.entries(members if "*" in schema else schema)
    changes = {
        key: _changed(members[key], below, schema.get(key, schema.get("*")))
        for key, below in entries.items()
    }
    return {**old, **changes} if isinstance(old, Mapping) else replace(old, **changes)
