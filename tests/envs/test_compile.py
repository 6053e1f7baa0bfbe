"""Compilation: numba's options, the cache and its folder, interpreted twins."""

import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from misgen.envs import compile as compile_module
from misgen.envs.compile import OPTIONS, RULE_OPTIONS, bind, hole, kernel

ROOT = Path(__file__).parents[2]
rule = hole("rule")
FACTOR = 1


def double(i, values):
    return 2 * values[i]


def triple(i, values):
    return values[i] + double(i, values)


def template(lo, hi, values, out):
    for i in range(lo, hi):
        out[i] = FACTOR * rule(i, values)


def filled(**holes) -> list[int]:
    """What the template makes of 0, 1, 2, 3."""
    values, out = np.arange(4), np.zeros(4, np.int64)
    kernel(template, "test", **holes)(1, 4, values, out)
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
    assert filled(rule=triple, FACTOR=10, interpreted=interpreted) == [0, 30, 60, 90]


def test_kernels_of_one_name_do_not_share_a_cache_entry():
    names = {kernel(template, "test", rule=used).__name__ for used in (double, triple)}
    assert len(names) == 2
    assert kernel(template, "test", rule=double) is kernel(template, "test", rule=double)


def test_the_name_of_a_kernel_knows_the_file_of_a_rule_outside_the_package(tmp_path, monkeypatch):
    names = []
    for body in ("values[i]", "-values[i]"):
        path = tmp_path / "rules.py"
        path.write_text(f"def same(i, values):\n    return {body}\n")
        space: dict = {"__name__": "tests.rules"}
        exec(compile(path.read_text(), str(path), "exec"), space)
        names.append(kernel(template, "test", rule=space["same"]).__name__)
    assert names[0] != names[1]


def test_an_empty_hole_says_how_to_fill_it():
    with pytest.raises(RuntimeError, match="pass rule="):
        rule(0)


def test_a_bound_kernel_does_the_same():
    values, out = np.arange(4), np.zeros(4, np.int64)
    bound = bind(kernel(template, "test", rule=double), 0, 4, values, out)
    assert bound(0, 4, values, out) is None
    assert out.tolist() == [0, 2, 4, 6]
    plain = kernel(template, "test", interpreted=True, rule=double)
    assert bind(plain, 0, 4, values, out) is plain


def test_the_cache_folder_depends_on_the_sources(tmp_path, monkeypatch):
    package = tmp_path / "envs"
    shutil.copytree(Path(compile_module.__file__).parent, package)
    real = compile_module._cache_folder()
    monkeypatch.setattr(compile_module, "__file__", str(package / "compile.py"))
    assert compile_module._cache_folder() == real, "the place of the sources does not matter"
    rules = package / "families" / "keys_and_chests.py"
    rules.write_text(rules.read_text() + "\n")
    edited = compile_module._cache_folder()
    assert edited != real and edited.parent == real.parent


@pytest.mark.parametrize("first", ["numba", "misgen.envs.compile"])
def test_the_cache_folder_is_used_even_if_numba_was_imported_before(first, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    code = f"import {first}, numba, misgen.envs.compile; print(numba.config.CACHE_DIR)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()).parent == tmp_path / "misgen"
