"""How a question to the risk model is read: names, and what is refused."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from misgen.analysis.priors.levels import Level
from misgen.analysis.priors.types import FACTORS, SHIFT_TYPES, Domain, Intervention, Period
from misgen.analysis.risk.formula import OVERFLOWS, TARGETS, Input
from misgen.analysis.risk.parameters import Parameters

HARM_CHOICES = ("implied", "note_50_70", "measured")

T = TypeVar("T")


def check_choice(what: str, name: str, options: Iterable[str]) -> None:
    if name not in options:
        raise ValueError(f"{what} is one of {', '.join(options)}; got {name!r}; choose one")


def refuse_without_data(data: str, harm: str, toy_rates: bool) -> None:
    """Without data nothing else may ask for them."""
    asked = {'harm "measured"': harm == "measured", "toy rates": toy_rates}
    for name, lets_data_in in asked.items():
        if data == "none" and lets_data_in:
            raise ValueError(
                f'{name} let data in and data "none" does not; got both; use data "combine" or '
                '"only"'
            )


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


def shift_types(shift: str | None, domain: Domain | None) -> tuple[str, ...]:
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


def refuse_twice(
    levels: Mapping[str, Level], period: Period | None, interventions: Sequence[Intervention]
) -> None:
    """One lever is applied once: as a modifier, as an intervention, or as a period's driver. An
    intervention may start from a level that raises the risk: that is what it changes."""
    names = [intervention.name for intervention in interventions]
    if len(set(names)) < len(names):
        raise ValueError(f"an intervention counts once; got {', '.join(names)}; name each once")
    sides: list[Intervention | Period] = [*interventions]
    if period is not None and period.multiplier != (1.0, 1.0):
        sides.append(period)
    for side in sides:
        level = levels[side.excludes] if side.excludes else None
        raises = level is not None and level.kind in ("named", "band") and level.median > 1
        starts_there = raises and isinstance(side, Intervention)
        if side.excludes and level and level.kind != "reference" and not starts_there:
            raise ValueError(
                f"{side.name} and the modifier {side.excludes} are one lever and apply once; got "
                f"{side.name} with {side.excludes} = {levels[side.excludes].name}; leave one out, "
                f"or set {side.excludes} to reference"
            )


def check_policy(overflow: str, target: str, links: set[str]) -> None:
    """Measured multipliers fix the link; the factor target has a clip of its own."""
    check_choice("overflow", overflow, OVERFLOWS)
    check_choice("target", target, TARGETS)
    if target == "factor" and overflow != "clip":
        raise ValueError(
            f'target "factor" clips each factor; got overflow {overflow!r}; use overflow "clip", '
            'or target "printed"'
        )
    link, _ = OVERFLOWS[overflow]
    if links - {link}:
        fitting = [name for name, (known, _) in OVERFLOWS.items() if links == {known}]
        raise ValueError(
            f"a multiplier is applied on the link it was estimated on; got overflow {overflow!r} "
            f"({link}) with measured multipliers on {', '.join(sorted(links))}; "
            + (f"use overflow {fitting[0]!r}" if fitting else "use levels measured on one link")
        )


def links(inputs: Mapping[str, Input]) -> set[str]:
    return {item.link for item in inputs.values() if item.link}


def factor_inputs(parameters: Parameters, shifts: Sequence[str]) -> dict[str, Input]:
    return {
        f"{shift}/{factor}": Input(
            parameters.origin[shift], getattr(parameters.factors[shift], factor)
        )
        for shift in shifts
        for factor in FACTORS
    }


def exposure_input(share: float) -> dict[str, Input]:
    if not 0 <= share <= 1:
        raise ValueError(f"exposure is the share of situations, within 0..1; got {share:g}")
    label = f"{share:g}, set by the caller"
    if share == 1:
        label = "1 by default: every situation tells the goals apart"
    return {"exposure": Input(label, np.array([float(share)]), "exposure")}


def level_label(level: Level) -> str:
    if level.kind == "reference":
        return "reference: exactly 1"
    return f"{level.name}: x {level.median:.3g} [{level.low:.3g}, {level.high:.3g}]"


def question_notes(
    levels: Mapping[str, Level],
    interventions: Sequence[Intervention],
    domain: Domain | None,
    shifts: Sequence[str],
    inputs: Mapping[str, Input],
) -> list[str]:
    """What a reader of the result must know about how the question was read."""
    notes = []
    for name, level in levels.items():
        if level.kind == "unknown":
            notes.append(
                f"{name}: level: unknown: the whole range {level.low:g}-{level.high:g} counts as "
                "uncertainty, which widens the result"
            )
        elif level.note and level.kind != "reference":
            notes.append(f"{name}: {level.note}")
    if len(interventions) > 1:
        notes.append("interventions are multiplied as if independent, which nobody has tested")
    if domain is not None and not set(shifts) <= set(domain.shift_types):
        notes.append(f"{shifts[0]} is not a shift type that the source names for {domain.label}")
    for each in interventions:
        if each.excludes and levels[each.excludes].kind != "reference":
            start = levels[each.excludes].name
            notes.append(f"{each.name} starts from {each.excludes} = {start}, which stays")
        if each.reduction is None:
            notes.append(f"{each.name}: {inputs[f'intervention/{each.name}'].label}")
    if "transport" in inputs:
        notes.append(f"transport: {inputs['transport'].label}, on both rates")
    return notes
