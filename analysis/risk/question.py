"""A question to the risk model: its names resolved, what is refused, and what must be said."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from misgen.analysis.priors.levels import Level
from misgen.analysis.priors.types import SHIFT_TYPES, Domain, Intervention, Period, PriorSet
from misgen.analysis.risk.formula import OVERFLOWS, TARGETS, Input

HARM_CHOICES = ("implied", "note_50_70", "measured")

T = TypeVar("T")


@dataclass(frozen=True)
class Question:
    """levels: of every modifier, and of the period if one is asked for."""

    shifts: tuple[str, ...]
    levels: Mapping[str, Level]
    domain: Domain | None
    interventions: Sequence[Intervention]

    def notes(self, inputs: Mapping[str, Input]) -> Iterator[str]:
        """What a reader of the result must know about how the question was read."""
        for name, level in self.levels.items():
            if level.kind == "unknown":
                yield (
                    f"{name}: level: unknown: the whole range {level.low:g}-{level.high:g} counts "
                    "as uncertainty, which widens the result"
                )
            elif level.note and level.kind != "reference":
                yield f"{name}: {level.note}"
        if len(self.interventions) > 1:
            yield "interventions are multiplied as if independent, which nobody has tested"
        if self.domain is not None and not {*self.shifts} <= {*self.domain.shift_types}:
            label = self.domain.label
            yield f"{self.shifts[0]} is not a shift type that the source names for {label}"
        for each in self.interventions:
            if each.excludes and self.levels[each.excludes].kind != "reference":
                start = self.levels[each.excludes].name
                yield f"{each.name} starts from {each.excludes} = {start}, which stays"
            if each.reduction is None:
                yield f"{each.name}: {inputs[f'intervention/{each.name}'].label}"
        if "transport" in inputs:
            yield f"transport: {inputs['transport'].label}, on both rates"


def resolve(
    priors: PriorSet,
    shift: str | None,
    levels: Mapping[str, str | float | None],
    domain: str | None,
    period: str | None,
    interventions: str | Sequence[str],
) -> Question:
    """ValueError for a name that the priors do not have, and for one lever pulled twice."""
    if isinstance(interventions, str):
        interventions = (interventions,)
    place = None if domain is None else choose("a domain", domain, priors.domains)
    when = None if period is None else choose("a period", period, priors.periods)
    acts = [choose("an intervention", name, priors.interventions) for name in interventions]
    if place is not None and levels["spec"] is None:
        levels = {**levels, "spec": place.spec}
    at = {name: priors.modifiers[name].level(asked) for name, asked in levels.items()}
    if when is not None:
        at["period"] = when.level(priors.log_sd)
    _refuse_twice(at, when, acts)
    return Question(_shift_types(shift, place), at, place, acts)


def check_choice(what: str, name: str, options: Iterable[str]) -> None:
    if name not in options:
        raise ValueError(f"{what} is one of {', '.join(options)}; got {name!r}; choose one")


def choose(what: str, name: str, options: Mapping[str, T]) -> T:
    """The option of a name, as we or the source write it: `ai_control_protocols`, "AI Control
    Protocols"."""
    meant = {_plain(text): key for key, option in options.items()
             for text in (key, getattr(option, "label", key))}  # fmt: skip
    key = meant.get(_plain(name), name)
    check_choice(what, key, options)
    return options[key]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _shift_types(shift: str | None, domain: Domain | None) -> tuple[str, ...]:
    """Types are named, or numbered as the source does: `4`, `type 4`."""
    if shift is not None:
        numbers = {str(number): name for number, name in enumerate(SHIFT_TYPES, 1)}
        name = _plain(str(shift)).removeprefix("type_")
        name = numbers.get(name, name)
        if name not in SHIFT_TYPES:
            check_choice("a shift type", str(shift), SHIFT_TYPES)
        return (name,)
    if domain is None:
        raise ValueError(
            "a prediction needs a shift type or a domain; got neither; "
            f"choose from {', '.join(SHIFT_TYPES)}, or name a domain"
        )
    return domain.shift_types


def _refuse_twice(
    levels: Mapping[str, Level], period: Period | None, interventions: Sequence[Intervention]
) -> None:
    """One lever is applied once: as a modifier, as an intervention, or as a period's driver. An
    intervention may start from a level that raises the risk: that is what it changes."""
    names = [intervention.name for intervention in interventions]
    if len(set(names)) < len(names):
        raise ValueError(f"an intervention counts once; got {', '.join(names)}; name each once")
    sides: list[Intervention | Period] = [*interventions]
    if period is not None and levels["period"].kind != "reference":
        sides.append(period)
    for side in sides:
        if side.excludes is None or levels[side.excludes].kind == "reference":
            continue
        level = levels[side.excludes]
        raises = level.kind in ("named", "band") and level.median > 1
        if not (raises and isinstance(side, Intervention)):
            raise ValueError(
                f"{side.name} and the modifier {side.excludes} are one lever and apply once; got "
                f"{side.name} with {side.excludes} = {level.name}; leave one out, "
                f"or set {side.excludes} to reference"
            )


def check_policy(overflow: str, target: str, inputs: Mapping[str, Input]) -> None:
    """Measured multipliers fix the link; the factor target has a clip of its own."""
    check_choice("overflow", overflow, OVERFLOWS)
    check_choice("target", target, TARGETS)
    if target == "factor" and overflow != "clip":
        raise ValueError(
            f'target "factor" clips each factor; got overflow {overflow!r}; use overflow "clip", '
            'or target "printed"'
        )
    link, _ = OVERFLOWS[overflow]
    links = {item.link for item in inputs.values() if item.link}
    if links - {link}:
        fitting = [name for name, (known, _) in OVERFLOWS.items() if links == {known}]
        raise ValueError(
            f"a multiplier is applied on the link it was estimated on; got overflow {overflow!r} "
            f"({link}) with measured multipliers on {', '.join(sorted(links))}; "
            + (f"use overflow {fitting[0]!r}" if fitting else "use levels measured on one link")
        )
