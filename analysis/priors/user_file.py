"""A user's prior file: figures that replace those of a named prior set.

The format is described at `analysis.priors.load_priors`. Every mistake is one ValueError that
names the file, the line, the rule and the value.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import yaml

from misgen.analysis.priors.types import (
    FACTORS,
    PRIOR_SETS,
    Domain,
    Figure,
    Intervention,
    Level,
    MesaPeriod,
    MesaPriors,
    Modifier,
    Period,
    PriorSet,
    Range,
    ShiftPrior,
    band_level,
    beta_parameters,
    named_level,
    with_factors,
)

_OPEN: dict[type, tuple[str, ...]] = {  # what a file may replace
    PriorSet: ("shifts", "modifiers", "domains", "periods", "interventions", "transport", "mesa"),
    ShiftPrior: (*FACTORS, "likelihood_range", "kappa"),
    Modifier: ("range", "levels", "knots"),
    Domain: ("spec", "p_current", "p_2027"),
    Period: ("multiplier",),
    Intervention: ("reduction", "target"),
    MesaPriors: (
        "p_emergence",
        "p_misaligned",
        "exponent_capability",
        "exponent_misalignment",
        "periods",
    ),
    MesaPeriod: ("p_emergence", "p_misaligned", "p_catastrophic"),
}
_RULES = {"endpoint_rule": ("bands", "table"), "diversity_rule": ("step", "linear")}
_SETTINGS = ("kappa", "log_sd", *_RULES)
_MAX_LOG_SD = 10.0  # a multiplier known to within 7 powers of ten; far above, exp() overflows
_TARGETS = ("p_goal_fail", "p_harm", "exposure")
_UNITS = {  # of fields that are plain numbers
    "transport": "multiplier",
    "multiplier": "multiplier",
    "spec": "quality in 0..1",
    "reduction": "fraction",
}


@dataclass(frozen=True)
class Entry:
    """A value of the file under its dotted key: a number, text, a list, or entries by key."""

    path: Path
    key: str
    line: int
    value: Any

    def fail(self, rule: str) -> NoReturn:
        value = "entries" if isinstance(self.value, dict) else repr(self.value)
        raise ValueError(f"{self.path}, line {self.line}: {self.key} {rule}; got {value}")

    def entries(self) -> dict[str, "Entry"]:
        if not isinstance(self.value, dict):
            self.fail("needs entries below it (`name: value`)")
        return self.value


# ------------------------------------------------------------------------------------- reading


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
        raise ValueError(
            f"{path}, line {root.line}: a prior file needs entries such as `shifts:`; it has none"
        )
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


def base_of(file: Entry, default: str) -> str:
    """The prior set that the file says it changes."""
    if "base" not in file.entries():
        return default
    base = file.entries()["base"]
    if base.value not in PRIOR_SETS:
        base.fail(f"must be one of {', '.join(PRIOR_SETS)}")
    if default not in ("taxonomy", base.value):
        base.fail(f"must be the prior set that was asked for, {default}, or be left out")
    return str(base.value)


def settings_of(file: Entry) -> dict[str, Any]:
    """kappa, log_sd, endpoint_rule and diversity_rule, as far as the file states them."""
    entries = {key: entry for key, entry in file.entries().items() if key in _SETTINGS}
    for key, entry in entries.items():
        if rule := broken_rule(key, entry.value):
            entry.fail(rule)
    return {
        key: entry.value if key in _RULES else float(entry.value) for key, entry in entries.items()
    }


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


# ------------------------------------------------------------------------------------ replacing


def with_user_figures(priors: PriorSet, file: Entry) -> PriorSet:
    """The set with the file's figures in place, marked `user`."""
    _known(file.entries(), ("base", *_SETTINGS, *_OPEN[PriorSet]))
    entries = {key: entry for key, entry in file.entries().items() if key in _OPEN[PriorSet]}
    changes = {key: _changed(getattr(priors, key), entry) for key, entry in entries.items()}
    return replace(priors, name=f"{priors.name} with {file.path.name}", **changes)


def _known(entries: Mapping[str, Entry], names: tuple[str, ...]) -> None:
    for name, entry in entries.items():
        if name in ("p_gm", "p_harmful_gm"):
            entry.fail("follows from the three factors: give those")
        if name not in names:
            raise ValueError(
                f"{entry.path}, line {entry.line}: unknown key {entry.key}; "
                f"choose {', '.join(names)}"
            )


def _changed(old: Any, entry: Entry) -> Any:
    """The old value with what the entry says; the old value's type decides what is allowed."""
    field = entry.key.rpartition(".")[2]
    if isinstance(old, Mapping):
        return _changed_members(old, entry)
    if isinstance(old, Modifier):
        return _changed_modifier(old, entry)
    if isinstance(old, ShiftPrior):
        return _changed_shift(old, entry)
    if type(old) in _OPEN:
        return _changed_fields(old, entry)
    if field == "target":
        return entry.value if entry.value in _TARGETS else entry.fail(f"must be one of {_TARGETS}")
    if field == "reduction" or isinstance(old, Figure):
        unit = old.unit if isinstance(old, Figure) else _UNITS[field]
        wants_range = old is None or isinstance(old.value, tuple)
        value = _range(entry, unit) if wants_range else _number(entry, unit)
        where = (entry.line, entry.line)
        return Figure(value, unit, "user", entry.path.name, entry.key, where)
    return _range(entry, _UNITS[field]) if isinstance(old, tuple) else _number(entry, _UNITS[field])


def _changed_members(old: Mapping[str, Any], entry: Entry) -> dict[str, Any]:
    entries = entry.entries()
    _known(entries, tuple(old))
    return {**old, **{key: _changed(old[key], below) for key, below in entries.items()}}


def _changed_fields(old: Any, entry: Entry) -> Any:
    entries = entry.entries()
    _known(entries, _OPEN[type(old)])
    changes = {key: _changed(getattr(old, key), below) for key, below in entries.items()}
    if "target" in changes:
        changes["target_kind"] = "user"
    return replace(old, **changes)


def _changed_shift(old: ShiftPrior, entry: Entry) -> ShiftPrior:
    """A factor has a value; a range, the central 90 % of its own Beta; or a kappa of its own."""
    entries = entry.entries()
    _known(entries, _OPEN[ShiftPrior])
    given = {key: below for key, below in entries.items() if key in FACTORS}
    ranges = {key: _beta_of(below) for key, below in given.items() if isinstance(below.value, list)}
    figures = {}
    for key, below in given.items():
        value = _mean_of(below, getattr(old, key).number)
        if key in ranges:
            value = ranges[key][0] / sum(ranges[key])
        where = (below.line, below.line)
        figures[key] = Figure(value, "probability", "user", below.path.name, below.key, where)
    new = with_factors(old, figures) if figures else old
    kappas = {
        key: _kappa_of(below) for key, below in given.items() if isinstance(below.value, dict)
    }
    own = {key: _beta_with(new, key, kappa) for key, kappa in kappas.items()}
    new = replace(new, own_betas={**ranges, **own})
    if "kappa" in entries:
        new = replace(new, kappa=_kappa(entries["kappa"]))
    if "likelihood_range" in entries:
        likelihood = _changed(old.likelihood_range, entries["likelihood_range"])
        new = replace(new, likelihood_range=likelihood)
    return new


def _mean_of(entry: Entry, printed: float) -> float:
    """Of a factor; the printed one where only its kappa is given."""
    if isinstance(entry.value, list):
        return printed
    if isinstance(entry.value, dict):
        _known(entry.value, ("value", "kappa"))
        if "value" not in entry.value:
            return printed
        entry = entry.value["value"]
    value = _number(entry, "probability")
    if value in (0, 1):
        entry.fail("is the mean of a Beta and must lie inside 0..1, not at an end")
    return value


def _kappa_of(entry: Entry) -> float:
    if "kappa" not in entry.value:
        entry.fail("needs a `kappa`, or to be one number")
    return _kappa(entry.value["kappa"])


def _kappa(entry: Entry) -> float:
    if rule := broken_rule("kappa", entry.value):
        entry.fail(rule)
    return float(entry.value)


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


def _changed_modifier(old: Modifier, entry: Entry) -> Modifier:
    entries = entry.entries()
    _known(entries, _OPEN[Modifier] if old.name == "spec" else ("range", "levels"))
    new = old
    if "range" in entries:
        whole = _changed(old.range, entries["range"])
        unknown = band_level("unknown", whole.range, "unknown", "level: unknown")
        new = replace(new, range=whole, levels={**new.levels, "unknown": unknown})
    if "levels" in entries:
        named = {key: old.levels[key] for key in old.levels if key not in ("reference", "unknown")}
        levels = entries["levels"].entries()
        _known(levels, tuple(named))
        changed = {key: _level(key, below, old.log_sd) for key, below in levels.items()}
        new = new.with_levels({**new.levels, **changed})
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


# ------------------------------------------------------------------------------------- checking


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


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
    if unit in ("probability", "fraction", "quality in 0..1"):
        if not all(0 <= value <= 1 for value in values):
            entry.fail(f"is a {unit.split()[0]} and must lie in [0, 1]")
    elif not all(value > 0 for value in values):
        entry.fail(f"is a {unit} and must be greater than 0")
