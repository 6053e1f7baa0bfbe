"""What follows from a declaration of fields: empty arrays, keys of states, legal parameters."""

from typing import NamedTuple

import numpy as np
import pytest

from misgen.envs.core import schema
from misgen.envs.core.compile import hole, kernel
from misgen.envs.core.schema import between, i16, i32, key_rules, u8, u16
from misgen.envs.families import FAMILIES

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered")  # uint64 wraps on purpose


class State(NamedTuple):
    row: i16(key=range(13))
    speed: i16(key=range(-2, 2))
    seen: u8(3)  # no part of the key
    left: i32(key=range(5, 5 + 2**20))
    shown: u16(2, 4, fill=7)


class NoKey(NamedTuple):
    row: i16()


class TooMany(NamedTuple):
    left: i32(key=range(2**31))
    right: i32(key=range(2**31))
    sign: u8(key=range(5))


class Plain(NamedTuple):
    row: int


def test_empty_arrays_are_those_that_are_declared():
    state = schema.empty(State, 5)
    assert {name: (array.dtype, array.shape) for name, array in state._asdict().items()} == {
        "row": (np.int16, (5,)),
        "speed": (np.int16, (5,)),
        "seen": (np.uint8, (5, 3)),
        "left": (np.int32, (5,)),
        "shown": (np.uint16, (5, 2, 4)),
    }
    assert (state.shown == 7).all() and not any(array.any() for array in state[:4])
    scratch = schema.empty_scratch(State)
    assert scratch.shown.shape == (2, 4) and scratch.row.shape == ()


state_key, restore = (hole(name) for name in ("state_key", "restore"))


def key_kernel(lo, hi, state, keys, twin):
    for i in range(lo, hi):
        keys[i] = state_key(i, 0, state)
        restore(i, 0, twin, keys[i])


@pytest.mark.parametrize("interpreted", [True, False])
def test_restoring_undoes_the_key_of_a_state(interpreted):
    n, rng = 300, np.random.default_rng(0)
    state, twin, keys = schema.empty(State, n), schema.empty(State, n), np.zeros(n, np.uint64)
    for name, field in State.__annotations__.items():
        values = field.key or range(200)
        array = getattr(state, name)
        array[...] = rng.integers(values.start, values.stop, array.shape)
        array.reshape(-1)[:2] = values[0], values[-1]
    rules = dict(zip(("state_key", "restore"), key_rules(State, __name__), strict=True))
    kernel(key_kernel, "test_keys", interpreted=interpreted, **rules)(0, n, state, keys, twin)
    for name in ("row", "speed", "left"):
        assert np.array_equal(getattr(state, name), getattr(twin, name)), name
    assert not twin.seen.any() and (twin.shown == 7).all(), "without a key it stays as it is"
    by_hand = (state.row.astype(int) * 4 + state.speed + 2) * 2**20 + state.left - 5
    assert keys.tolist() == by_hand.tolist()


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: key_rules(NoKey, __name__), "have a key=range.* got 1 in no field"),
        (
            lambda: key_rules(TooMany, __name__),
            r"at most 2\^64 values; got 23058",
        ),
        (lambda: schema.empty(Plain, 1), r"field of Plain is declared as `row: u8\(.*got.*int"),
        (lambda: schema.declared(Plain, schema.Range), r"as `row: between\(0, 9\)`; got"),
    ],
)
def test_what_is_not_declared_well_is_one_clear_value_error(attempt, message):
    with pytest.raises(ValueError, match=message):
        attempt()


def test_parameters_stay_in_their_ranges():
    class Params(NamedTuple):
        rooms: between(2, 5)

    assert schema.declared(Params, schema.Range)["rooms"] == schema.Range(2, 5)
    for family in FAMILIES.values():
        params = family.cells[0].params
        for name, (low, high) in family.param_ranges.items():
            for value in (low - 1, high + 1):
                with pytest.raises(ValueError, match=rf"{name} of .* is in \[{low}, {high}\]; got"):
                    family.check_params(params._replace(**{name: value}))
    coinrun = FAMILIES["coinrun"]
    crossed = coinrun.cells[0].params._replace(length_min=12, length_max=11)
    with pytest.raises(ValueError, match="length_max is at least length_min"):
        coinrun.check_params(crossed)
