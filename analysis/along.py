"""The arms of a study along a number in which they differ: what breaks the cue in training, or any
setting."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from misgen.analysis.modifiers.dose_response import dose_response
from misgen.analysis.modifiers.results import DoseResponse
from misgen.analysis.settings import AGENT
from misgen.analysis.text import hint

if TYPE_CHECKING:
    from misgen.analysis.compare import ArmAt
    from misgen.analysis.study import StudyFolder

BREAKS = ("d", "broken_share", "broken_episodes")
"""What breaks the cue in training."""
REPAIR = "repair_episodes"
"""What breaks it after training; 0 of an agent that was not repaired."""
DOSES = (*BREAKS, REPAIR)
"""Along these a half effect can be placed."""
UNLIMITED = "num_levels"
"""Of this setting, 0 means no limit: the largest value."""


@dataclass(frozen=True)
class Along:
    """The arms of one cell at one variant along a factor, lowest value first.

    apart: arms that differ from the reference arm in more than the factor. dose: with the half
    effect, where the factor is one of DOSES and several arms differ in it.
    """

    cell: str
    variant: str
    factor: str
    values: tuple[float, ...]
    arms: tuple[ArmAt, ...]
    apart: tuple[ArmAt, ...]
    dose: DoseResponse | None


def require_number(study: StudyFolder, factor: str) -> None:
    """ValueError unless the agents of a study have a number of this name."""
    columns = [name for name in study.settings.column_names if name not in (*AGENT, "arm")]
    numbers = ["d", "q", *(name for name in columns if _is_number(study.settings[name].type))]
    if factor in columns and factor not in numbers:
        values = sorted({str(value) for value in study.settings[factor].to_pylist()})
        raise ValueError(
            f"arms are placed along a number; {factor} is {', '.join(values)}; choose from "
            f"{', '.join(numbers)}"
        )
    if factor not in numbers:
        raise ValueError(
            f"arms are placed along a number of theirs; got {factor!r}; {hint(factor, numbers)}"
        )


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def arms_along(arms: Sequence[ArmAt], against: str, factor: str) -> list[Along]:
    """Each cell and variant of `arms` along a factor; none where its arms do not differ in it."""
    groups: dict[tuple[str, str], list[ArmAt]] = {}
    for arm in arms:
        groups.setdefault((arm.cell, arm.variant), []).append(arm)
    found = [_along(members, against, factor) for members in groups.values()]
    return [each for each in found if len({*each.values}) > 1]


def _along(members: Sequence[ArmAt], against: str, factor: str) -> Along:
    reference = next((arm for arm in members if arm.arm == against), members[0])
    on = [arm for arm in members if factor in arm.factor and _differs_in(arm, reference, factor)]
    on.sort(key=lambda arm: value_of(arm, factor))
    values = tuple(value_of(arm, factor) for arm in on)
    dose = None
    if factor in DOSES and len({*values}) == len(values) > 1:
        points = [*zip(values, (arm.trained for arm in on), strict=True)]
        dose = dose_response((reference.family, reference.cell), factor, points)
    apart = tuple(arm for arm in members if arm not in on)
    return Along(reference.cell, reference.variant, factor, values, tuple(on), apart, dose)


def _differs_in(arm: ArmAt, reference: ArmAt, factor: str) -> bool:
    """Whether nothing but the factor tells an arm from the reference, of method, kind, length, d
    and q."""
    (mode, gru_dim, intervention), other = arm.kind, reference.kind
    return (
        (arm.method, mode) == (reference.method, other[0])
        and (factor == "gru_dim" or gru_dim == other[1])
        and (intervention == other[2] or factor.startswith(f"{intervention}_"))
        and (factor in BREAKS or arm.factor["d"] == reference.factor["d"])
        and (
            factor == "total_steps"
            or arm.factor.get("total_steps") == reference.factor.get("total_steps")
        )
        and (factor == "q" or arm.factor["q"] == reference.factor["q"])
    )


def value_of(arm: ArmAt, factor: str) -> float:
    value = arm.factor[factor]
    return math.inf if factor == UNLIMITED and value == 0 else value


def dose_responses(
    arms: Sequence[ArmAt], against: str, along: str
) -> Iterator[tuple[str, DoseResponse]]:
    """(variant, rates along one of DOSES), by cell and variant; none unless a study varies them."""
    if along not in DOSES:
        return
    every = [arms_along(arms, against, dose) for dose in (BREAKS if along in BREAKS else [along])]
    places = dict.fromkeys((arm.cell, arm.variant) for arm in arms)
    for place in places:
        for each in (each for found in every for each in found):
            if each.dose is not None and (each.cell, each.variant) == place:
                yield each.variant, each.dose
