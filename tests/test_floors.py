"""Which part of the project may import which: experiments -> agents -> envs, and analysis alone."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import envs

ROOT = Path(__file__).resolve().parent.parent
OURS = {"envs", "agents", "experiments", "configs", "analysis"}
RL_ONLY = {"gymnasium", "hydra", "numba", "omegaconf", "safetensors", "stable_baselines3", "torch"}

FORBIDDEN = {
    "envs": {"agents", "experiments", "configs", "analysis", "torch", "stable_baselines3", "numba"},
    "agents": {"experiments", "configs", "analysis", "numba"},
    "experiments": {"numba"},
    "configs": {"envs", "agents", "experiments", "analysis", "numba"},
    "analysis": {"envs", "agents", "experiments", "configs"} | RL_ONLY,
}
"""Floor -> top-level packages it may not import."""

EXCEPTIONS = {("envs/compile.py", "numba")}


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
    """path: relative to the repository, like "envs/families/keys.py"."""
    module = path.removesuffix(".py").replace("/", ".")
    tops = {name.split(".")[0] for name in imports(source, module)}
    bad = tops & FORBIDDEN[module.split(".")[0]]
    return [f"{path} imports {top}" for top in sorted(bad) if (path, top) not in EXCEPTIONS]


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
        ("envs/compile.py", "import numba", []),
        ("envs/a.py", "def f():\n    from agents import ppo", ["envs/a.py imports agents"]),
        ("envs/a.py", "from .agents import x", []),
        ("envs/families/a.py", "from ..types import Goal\nfrom . import b", []),
        ("envs/families/a.py", "from ... import agents", ["envs/families/a.py imports agents"]),
        ("agents/a.py", "if 1:\n    import experiments.cli", ["agents/a.py imports experiments"]),
        ("analysis/a.py", "importlib.import_module('torch')", ["analysis/a.py imports torch"]),
        ("experiments/a.py", "import agents, envs, analysis, torch", []),
    ],
)
def test_the_check_itself(path, source, expected):
    assert violations(path, source) == expected


def test_every_folder_is_a_floor():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages == OURS == set(FORBIDDEN)


def test_analysis_leaves_torch_and_numba_out():
    paths = (ROOT / "analysis").rglob("[!_]*.py")
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    code = f"import sys, {', '.join(['analysis', *modules])}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"torch", "numba", "gymnasium"} & set(done.stdout.split())


def test_envs_is_ours():
    """PyPI has a package `envs`; an `__init__.py` in tests/envs would shadow ours as well."""
    assert envs.__file__ is not None
    assert Path(envs.__file__).resolve().parent == ROOT / "envs"
    assert not list((ROOT / "tests").rglob("__init__.py"))
