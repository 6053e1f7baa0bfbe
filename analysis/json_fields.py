"""Types of fields that are stored as JSON: NaN is null there, an `Estimate` an object."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, PlainSerializer, PlainValidator, WithJsonSchema

from misgen.analysis.intervals import Estimate

_NULLABLE = {"type": ["number", "null"]}


def _nan(value: object) -> object:
    return math.nan if value is None else value


def _null(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _estimate(value: Any) -> Estimate:
    """Of an `Estimate`, or of what `_fields` writes."""
    if isinstance(value, Estimate):
        return value
    if not isinstance(value, Mapping) or {*value} != {*Estimate._fields}:
        raise ValueError(f"an estimate has {', '.join(Estimate._fields)}")
    numbers = [value[name] for name in ("value", "low", "high")]
    if any(isinstance(each, str | bool) for each in numbers) or type(value["reason"]) is not str:
        raise ValueError("value, low and high are numbers or null, reason is text")
    middle, low, high = (math.nan if each is None else float(each) for each in numbers)
    return Estimate(middle, low, high, value["reason"])


def _fields(found: Estimate) -> dict[str, float | str | None]:
    return {**{name: _null(getattr(found, name)) for name in Estimate._fields[:3]},
            "reason": found.reason}  # fmt: skip


def _listed(values: object) -> object:
    return values.tolist() if isinstance(values, np.ndarray) else values


Number = Annotated[float, BeforeValidator(_nan), PlainSerializer(_null), WithJsonSchema(_NULLABLE)]
Numbers = Annotated[tuple[Number, ...], BeforeValidator(_listed)]
Integers = Annotated[tuple[int, ...], BeforeValidator(_listed)]
Interval = Annotated[
    Estimate,
    PlainValidator(_estimate),
    PlainSerializer(_fields),
    WithJsonSchema({
        "type": "object",
        "properties": {**dict.fromkeys(Estimate._fields[:3], _NULLABLE),
                       "reason": {"type": "string"}},
        "required": [*Estimate._fields],
        "additionalProperties": False,
    }),
]  # fmt: skip
