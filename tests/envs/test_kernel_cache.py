"""Kernels on disk: found again, never stale, never needed."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from misgen.envs.core import kernel_cache
from misgen.envs.core.kernel_cache import cache_folder

ROOT = Path(__file__).parents[2]


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A new process, in which only these variables name folders."""
    named = ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "TMPDIR", "TEMP", "TMP", "PYTHONWARNINGS")
    env = {key: value for key, value in os.environ.items() if key not in named} | environment
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Other folders than this user's; where one is to be refused it has a file's name."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    (tmp_path / "file").write_text("")
    kernel_cache.warn_once.cache_clear()
    return tmp_path


def folder() -> Path | None:
    found: Path | None = cache_folder.__wrapped__()
    return found


@pytest.mark.parametrize("edited", ["keys_and_chests/world.py", "coinrun/planes.txt"])
@pytest.mark.parametrize("variable", ["NUMBA_CACHE_DIR", "XDG_CACHE_HOME"])
def test_the_folder_depends_on_the_sources(elsewhere, monkeypatch, edited, variable):
    monkeypatch.setenv(variable, str(elsewhere / "mine"))
    package = elsewhere / "envs"
    shutil.copytree(kernel_cache.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    real = folder()
    assert real is not None and real.is_relative_to(elsewhere / "mine")
    monkeypatch.setattr(kernel_cache, "PACKAGE", package)
    assert folder() == real, "the place of the sources does not matter"
    with (package / edited).open("a") as file:
        file.write("\n")
    changed = folder()
    assert changed is not None and changed != real and changed.parent == real.parent


def test_what_cannot_be_written_is_passed_over(elsewhere, monkeypatch):
    home = folder()
    assert home is not None and home.is_relative_to(elsewhere / "cache")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(elsewhere / "file"))
    assert folder() == home
    monkeypatch.setenv("XDG_CACHE_HOME", str(elsewhere / "file" / "below"))
    temporary = folder()
    assert temporary is not None and temporary.is_relative_to(elsewhere / "temporary")
    assert temporary.stat().st_mode & 0o077 == 0, "nobody else may put code there"
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere / "file"))
    with pytest.warns(RuntimeWarning, match="set XDG_CACHE_HOME or NUMBA_CACHE_DIR"):
        assert folder() is None
    assert folder() is None, "said once"


def test_old_folders_are_pruned(elsewhere):
    current = folder()
    assert current is not None
    now = time.time()
    for age_days in range(1, 21):
        old = current.parent / f"kernels-{age_days:016}"
        old.mkdir()
        (old / "kernel").write_text("")
        os.utime(old, (now - age_days * 86_400 - 60,) * 2)
    assert folder() == current
    left = sorted(path.name for path in current.parent.iterdir() if path != current)
    assert left == [f"kernels-{age_days:016}" for age_days in range(1, kernel_cache.KEPT + 1)]


OWN = """from helper_rules import times
from misgen.envs.core.compile import hole

answer = hole("answer")


def template(values):
    return answer(2, values)


def rule(i, values):
    return times(i, values)
"""
SCRIPT = """
import sys, tempfile
tempfile.tempdir = {temporary!r}
sys.path.insert(0, {folder!r})
import numpy as np
from misgen.envs.core.compile import kernel
from misgen.envs.core.kernel_cache import cache_folder
from own_rules import rule, template

run = kernel(template, "edited", answer=rule)
"""


def own_rules(folder: Path, factor: int, temporary: Path) -> str:
    """Write a kernel and a rule in another file, that multiplies; returns how to make it."""
    (folder / "own_rules.py").write_text(OWN)
    # Python's own cache knows an edited file by its second and its size only.
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    (folder / "helper_rules.py").write_text(
        f"FACTOR = {factor}\n\n\ndef times(i, values):\n    return FACTOR * values[i]\n"
    )
    return SCRIPT.format(folder=str(folder), temporary=str(temporary))


@pytest.mark.parametrize("place", ["named by the user", "the first is refused", "all are refused"])
def test_a_rule_edited_in_another_file_is_compiled_anew(tmp_path, place):
    (tmp_path / "file").write_text("")
    refused = str(tmp_path / "file")
    first = str(tmp_path / "mine") if place == "named by the user" else refused
    second = refused if place == "all are refused" else str(tmp_path / "cache")
    for factor in (5, 7, 7):
        code = own_rules(tmp_path, factor, Path(second))
        code += "print(run(np.arange(4)))"
        done = run(code, NUMBA_CACHE_DIR=first, XDG_CACHE_HOME=second)
        assert done.stdout.split() == [str(2 * factor)]
        assert done.stderr.count("RuntimeWarning") == (place == "all are refused")


def test_a_damaged_file_costs_time_only(tmp_path):
    code = own_rules(tmp_path, 5, tmp_path) + "print(run(np.arange(4)), cache_folder())"
    for content in (b"", b"nonsense", None):
        answer, cache = run(code, XDG_CACHE_HOME=str(tmp_path)).stdout.split()
        assert answer == "10"
        kept = [path for path in Path(cache).rglob("*") if path.is_file()]
        assert len(kept) == 2, "an index and a kernel"
        for path in kept:
            if content is not None:
                path.write_bytes(content)


def test_a_full_disk_costs_time_only(tmp_path):
    code = own_rules(tmp_path, 5, tmp_path) + (
        "def full(*_):\n    raise OSError(28, 'No space left on device')\n"
        "run._cache.store.save_overload = full\nprint(run(np.arange(4)))"
    )
    done = run(code, XDG_CACHE_HOME=str(tmp_path))
    assert done.stdout.split() == ["10"]
    assert "No space left on device" in done.stderr and done.stderr.count("RuntimeWarning") == 1
