"""Compilation: numba's options, the cache and its folder, interpreted twins."""

import importlib
import sys
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import pytest

from misgen.envs.core import compile as compile_module
from misgen.envs.core.compile import OPTIONS, RULE_OPTIONS, apart, bind, hole, kernel

ROOT = Path(__file__).parents[2]
rule = hole("rule")
FACTOR = hole("FACTOR")
OWN = {"FACTOR": 100, "__name__": "own"}  # what the names of a rule of another file mean
exec("def own(i, values):\n    return FACTOR * values[i]", OWN)


def double(i, values):
    return 2 * values[i]


def triple(i, values):
    return values[i] + double(i, values)


def template(lo, hi, values, out):
    for i in range(lo, hi):
        out[i] = FACTOR * rule(i, values)


def filled(factor=1, **holes) -> list[int]:
    """What the template makes of 0, 1, 2, 3."""
    values, out = np.arange(4), np.zeros(4, np.int64)
    kernel(template, "test", FACTOR=factor, **holes)(1, 4, values, out)
    return out.tolist()


@pytest.mark.parametrize("options", [OPTIONS, RULE_OPTIONS])
def test_numba_still_knows_the_options(options):
    """An unknown option is an error, so that a renamed one is noticed here."""
    assert {"nogil", "_nrt"} <= set(options)
    function = numba.njit(**options)(lambda x: x + 1)
    function.compile((numba.int64,))
    with pytest.raises(KeyError, match="bogus"):
        numba.njit(bogus=True)(lambda x: x + 1).compile((numba.int64,))


@pytest.mark.parametrize("interpreted", [False, True])
def test_holes_are_filled_with_rules_and_constants(interpreted):
    assert filled(rule=double, interpreted=interpreted) == [0, 2, 4, 6]
    assert filled(rule=triple, factor=10, interpreted=interpreted) == [0, 30, 60, 90]


@pytest.mark.parametrize("interpreted", [False, True])
def test_a_rules_own_constant_is_not_a_hole_of_the_same_name(interpreted):
    assert filled(rule=OWN["own"], factor=2, interpreted=interpreted) == [0, 200, 400, 600]


def test_kernels_of_one_name_do_not_share_a_cache_entry():
    names = {kernel(template, "test", rule=used, FACTOR=1).__name__ for used in (double, triple)}
    assert len(names) == 2
    again = [kernel(template, "test", rule=double, FACTOR=1) for _ in range(2)]
    assert again[0] is again[1]


@apart
def large(i, values):
    return rule(i, values) + 1


def once(i, values):
    return large(i, values)


def twice(i, values):
    return 2 * large(i, values) * FACTOR


def test_a_rule_apart_is_compiled_once_for_all_kernels(tmp_path, monkeypatch):
    monkeypatch.setattr(compile_module, "cache_folder", lambda: tmp_path)
    kernels = [
        kernel(once, "once", rule=double),
        kernel(twice, "twice", rule=double, FACTOR=5),
        kernel(twice, "twice", rule=triple, FACTOR=5),
    ]
    assert [run(3, np.arange(4)) for run in kernels] == [7, 70, 100]
    assert len([*tmp_path.rglob("*.large_*.nbi")]) == 2, "with double and with triple"


# Names that a rule reads


class Params(NamedTuple):
    corner: int


def corner(params, value):
    """A parameter may have the name of a rule, and so may a local variable."""
    triple = params.corner
    return triple + value


def corner_kernel(params, value):
    return rule(params, value)


@pytest.mark.parametrize("interpreted", [True, False])
def test_names_of_attributes_are_no_globals(interpreted):
    run = kernel(corner_kernel, "test_corner", interpreted=interpreted, rule=corner)
    assert run(Params(corner=40), 2) == 42


def reads_a_module(i, values):
    return compile_module.INTERPRETED + values[i]


def test_a_rule_that_reads_a_module_says_how_to_name_what_is_in_it():
    with pytest.raises(ValueError, match=r"reads_a_module reads the module misgen\.envs"):
        kernel(template, "test", rule=reads_a_module, FACTOR=1)
    with pytest.raises(ValueError, match=r"write `from misgen\.envs\.core\.compile import"):
        kernel(template, "test", rule=reads_a_module, FACTOR=1, interpreted=True)


# Rules of a user's own


HELPER = "FACTOR = np.array([{0}])\nTIMES = {0}\n\n\ndef helped(value):\n    return {0} * value\n"
RULES = "from own_helper import {}\n\n\ndef same(i, values):\n    return {}\n"


def own_rule(folder: Path, monkeypatch, used: str, line: str, factor: int):
    """The rule of a module that takes something from another one, imported anew."""
    folder.mkdir()
    (folder / "own_helper.py").write_text("import numpy as np\n\n" + HELPER.format(factor))
    (folder / "own_rules.py").write_text(RULES.format(used, line))
    monkeypatch.syspath_prepend(folder)
    for name in ("own_helper", "own_rules"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("own_rules").same


@pytest.mark.parametrize(
    ("used", "line"),
    [
        ("helped", "helped(values[i])"),
        ("TIMES", "TIMES * values[i]"),
        ("FACTOR", "FACTOR[0] * values[i]"),
    ],
)
def test_a_users_rules_are_compiled_with_what_they_read_and_known_by_it(
    tmp_path, monkeypatch, used, line
):
    """What is read was edited in its file; the file of the rule stays the same."""
    names = []
    for factor in (5, 7):
        rule = own_rule(tmp_path / str(factor), monkeypatch, used, line, factor)
        assert filled(rule=rule) == [0, factor, 2 * factor, 3 * factor]
        assert filled(rule=rule, interpreted=True) == filled(rule=rule)
        names.append(kernel(template, "test", rule=rule, FACTOR=1).__name__)
    assert names[0] != names[1]


def test_an_empty_hole_says_how_to_fill_it():
    with pytest.raises(ValueError, match=r"template needs FACTOR: kernel\(FACTOR="):
        kernel(template, "test", rule=double)


def test_a_bound_kernel_does_the_same():
    values, out = np.arange(4), np.zeros(4, np.int64)
    bound = bind(kernel(template, "test", rule=double, FACTOR=1), 0, 4, values, out)
    assert bound(0, 4, values, out) is None
    assert out.tolist() == [0, 2, 4, 6]
    plain = kernel(template, "test", interpreted=True, rule=double, FACTOR=1)
    assert bind(plain, 0, 4, values, out) is plain
