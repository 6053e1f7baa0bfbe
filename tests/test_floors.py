"""Which part of the project may import which: experiments -> agents -> envs, and analysis alone."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import misgen

ROOT = Path(__file__).resolve().parent.parent
FLOORS = {"envs", "agents", "experiments", "configs", "analysis"}
RL_ONLY = {"gymnasium", "hydra", "numba", "omegaconf", "safetensors", "stable_baselines3", "torch"}

FORBIDDEN = {
    "envs": {"agents", "experiments", "configs", "analysis", "torch", "stable_baselines3", "numba"},
    "agents": {"experiments", "configs", "analysis", "numba"},
    "experiments": {"numba"},
    "configs": {"envs", "agents", "experiments", "analysis", "numba"},
    "analysis": {"envs", "agents", "experiments", "configs"} | RL_ONLY,
}
"""Floor -> floors and packages that it may not import."""

EXCEPTIONS = {("envs/core/compile.py", "numba")}


def imports(source: str, module: str) -> set[str]:
    """Absolute names of everything `module` imports anywhere in it: functions, relative, dynamic.

    module: dotted name; that of a package ends with `.__init__`.
    """
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = module.split(".")[: -node.level] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{name}.{alias.name}".lstrip(".") for alias in node.names}
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = ast.unparse(node.func).split(".")[-1]
            if function in ("import_module", "__import__"):
                found.add(str(node.args[0].value))
    return found


def violations(path: str, source: str) -> list[str]:
    """path: relative to the repository, like "envs/maze.py"."""
    names = imports(source, "misgen." + path.removesuffix(".py").replace("/", "."))
    bare = {name.split(".")[0] for name in names} & FLOORS
    tops = {name.removeprefix("misgen.").split(".")[0] for name in names} - bare
    bad = tops & FORBIDDEN[path.split("/")[0]]
    found = [f"{path} imports {top}" for top in sorted(bad) if (path, top) not in EXCEPTIONS]
    return found + [f"{path} imports {top} without misgen" for top in sorted(bare)]


@pytest.mark.parametrize("floor", sorted(FORBIDDEN))
def test_floor(floor):
    found = []
    for path in sorted((ROOT / floor).rglob("*.py")):
        found += violations(path.relative_to(ROOT).as_posix(), path.read_text())
    assert not found


@pytest.mark.parametrize(
    ("path", "source", "expected"),
    [
        ("envs/batch.py", "import torch.nn as nn", ["envs/batch.py imports torch"]),
        ("envs/batch.py", "from numba import njit", ["envs/batch.py imports numba"]),
        ("envs/core/compile.py", "import numba", []),
        ("envs/a.py", "def f():\n    from misgen.agents import p", ["envs/a.py imports agents"]),
        ("envs/a.py", "from .agents import x", []),
        ("envs/b/a.py", "from ..types import Goal\nfrom . import b", []),
        ("envs/b/a.py", "from ... import agents", ["envs/b/a.py imports agents"]),
        ("agents/a.py", "import misgen.experiments.cli", ["agents/a.py imports experiments"]),
        ("analysis/a.py", "importlib.import_module('torch')", ["analysis/a.py imports torch"]),
        ("experiments/a.py", "from misgen import agents, envs, analysis\nimport torch", []),
        ("experiments/a.py", "import envs", ["experiments/a.py imports envs without misgen"]),
        ("agents/a.py", "from envs.b import c", ["agents/a.py imports envs without misgen"]),
    ],
)
def test_the_check_itself(path, source, expected):
    assert violations(path, source) == expected


def test_tests_and_texts_name_our_packages_in_full():
    bare = re.compile(rf"^\W*(from|import) ({'|'.join(FLOORS)})\b", re.MULTILINE)
    texts = [*(ROOT / "tests").rglob("*.py"), *ROOT.rglob("README.md")]
    found = [
        str(path) for path in texts if path != Path(__file__) and bare.search(path.read_text())
    ]
    assert not found


def test_every_folder_is_a_floor():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    links = {path.name for path in (ROOT / ".src" / "misgen").iterdir() if path.is_symlink()}
    assert packages == links == FLOORS == set(FORBIDDEN)
    assert Path(misgen.__file__).resolve().parent == ROOT / ".src" / "misgen"
    assert not list((ROOT / "tests").rglob("__init__.py")), "would shadow what it is named like"


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import {analysis}", RL_ONLY),
        ("import misgen.analysis.rates, misgen.analysis.table", {"matplotlib"}),
        ("from misgen.analysis.audit import audit; audit()", {"scipy"}),
        (
            "from misgen.analysis.calibration.handoff import read_calibration; "
            "from pathlib import Path; read_calibration(Path('analysis/published/calibration'))",
            {"matplotlib"},
        ),
        ("import misgen.experiments.answers.rates", RL_ONLY | {"matplotlib"}),
        ("import misgen.experiments.answers.calibrate", RL_ONLY),
        (
            "from misgen.experiments.answers import risk; risk.main(['table', '--draws', '100'])",
            RL_ONLY | {"SALib"},
        ),
        ("import misgen.experiments.cli", RL_ONLY | {"numpy", "rich"}),
    ],
)
def test_what_is_not_imported(statement, absent):
    paths = (ROOT / "analysis").rglob("[!_]*.py")
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    code = statement.format(analysis=", ".join(f"misgen.{name}" for name in modules))
    code = f"import sys; {code}; print('modules:', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not absent & set(done.stdout.partition("modules:")[2].split())
