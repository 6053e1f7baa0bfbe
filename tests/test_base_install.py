"""The base install alone, as a risk modeller has it: no torch, no numba, no source tree."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "numba", "gymnasium", "hydra", "stable_baselines3")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_base_install_calibrates_and_predicts(tmp_path):
    """misgen is copied, built and installed without the extra `rl` in an environment of its own."""
    uv = os.environ.get("UV") or shutil.which("uv")
    assert uv, "the README's first line brings uv"
    source = tmp_path / "source"
    shutil.copytree(
        ROOT, source, ignore=shutil.ignore_patterns(".*", "*.egg-info", "build", "results", "tests")
    )
    clean = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    clean.pop("PYTHONPATH", None)

    def run(*command: object) -> str:
        done = subprocess.run(
            [str(part) for part in command], cwd=tmp_path, env=clean, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(uv, "venv", "--quiet", "own")
    python, misgen = tmp_path / "own/bin/python", tmp_path / "own/bin/misgen"
    run(uv, "pip", "install", "--quiet", "--python", python, source)
    shutil.rmtree(source)
    absent = f"import importlib.util as u; assert not any(map(u.find_spec, {HEAVY}))"
    where = "import analysis; print(next(iter(analysis.__path__)))"
    cells = Path(run(python, "-c", f"{absent}; {where}").strip()) / "published/cells"
    assert tmp_path in cells.parents
    run(misgen, "calibrate", cells, "-o", tmp_path / "calibration")
    table = run(misgen, "risk", "table", "--calibration", tmp_path / "calibration")
    assert "Game AI" in table and "C2 " in table
    assert "http" not in (tmp_path / "calibration/index.html").read_text().split("<body")[0]
