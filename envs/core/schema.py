"""Declared fields: the arrays of a Level, a State or a Scratch, and the ranges of Params.

    class State(NamedTuple):
        square: i16(key=range(SIZE * SIZE))
        shown: u16(SIZE, SIZE)

declares arrays int16 [n] and uint16 [n, SIZE, SIZE]. From the declaration follow the empty arrays,
the two rules that pack into one number what the future depends on (the fields with a `key`, which
names their values), and the legal values of parameters (`between`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import numpy as np

from misgen.envs.core.compile import rule_of_text


@dataclass(frozen=True)
class Field:
    """An array of n environments, [n, *shape]."""

    dtype: type
    shape: tuple[int, ...] = ()
    key: range | None = None  # the values of a scalar that belongs to the key of a state
    fill: int = 0  # what an empty array is filled with


def _kind(dtype: type) -> Callable[..., Any]:
    def declare(*shape: int, key: range | None = None, fill: int = 0) -> Field:
        return Field(dtype, shape, key, fill)

    return declare


u8, u16, i16, i32 = map(_kind, (np.uint8, np.uint16, np.int16, np.int32))


@dataclass(frozen=True)
class Range:
    """An integer parameter: its least and its largest value."""

    low: int
    high: int


def between(low: int, high: int) -> Any:
    """A parameter in [low, high]."""
    return Range(low, high)


def declared(kind: type, what: type) -> dict[str, Any]:
    """The fields of a NamedTuple as declared; ValueError if one is not a `what`."""
    for name, value in kind.__annotations__.items():
        if not isinstance(value, what):
            example = "u8(ROWS, COLS)" if what is Field else "between(0, 9)"
            raise ValueError(
                f"a field of {kind.__name__} is declared as `{name}: {example}`; got {value!r} "
                "(`from __future__ import annotations` hides what is declared)"
            )
    return dict(kind.__annotations__)


def empty(kind: type, n: int) -> Any:
    """Arrays [n, ...] of everything that `kind` declares."""
    fields = declared(kind, Field).values()
    return kind(*(np.full((n, *field.shape), field.fill, field.dtype) for field in fields))


def empty_scratch(kind: type) -> Any:
    """The same without the axis of environments: working memory that one of them uses at a time."""
    return kind(*(array[0] for array in empty(kind, 1)))


def key_rules(kind: type, module: str) -> tuple[FunctionType, FunctionType]:
    """The rules state_key(i, level, state) -> uint64 and restore(i, level, state, key), its inverse
    on the level that was last reset; fields without a key stay as they are.

    Raises:
        ValueError: no field has a key, or all together have more than 2^64 values.
    """
    keys = {name: field.key for name, field in declared(kind, Field).items() if field.key}
    values = math.prod(map(len, keys.values()))
    if not keys or values > 2**64:
        raise ValueError(
            f"the fields of {kind.__name__} on which the future depends have a key=range(...), "
            f"together at most 2^64 values; got {values} in {list(keys) or 'no field'}"
        )
    pack = ["def state_key(i, level, state):", "    key = np.uint64(0)"]
    unpack = ["def restore(i, level, state, key):", "    left = np.uint64(key)"]
    for name, key in keys.items():
        term = f"np.uint64(int(state.{name}[i]) - {key.start})"
        pack.append(f"    key = key * np.uint64({len(key)}) + {term}")
    for name, key in reversed(keys.items()):
        radix = f"np.uint64({len(key)})"
        unpack.append(f"    state.{name}[i] = np.int64(left % {radix}) + {key.start}")
        unpack.append(f"    left = left // {radix}")
    texts = ("\n".join([*pack, "    return key"]), "\n".join(unpack))
    state_key, restore = (rule_of_text(text, module) for text in texts)
    return state_key, restore
