"""What is installed: the wheel's files, the base install alone, and everything beside packages that
are named as our folders are."""

import os
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("envs", "agents", "experiments", "configs", "analysis")
DATA = {".py", ".yaml", ".json", ".j2", ".txt", ".typed"}
HEAVY = ("torch", "numba", "gymnasium", "hydra", "stable_baselines3")

Run = Callable[..., str]


def tracked() -> list[str]:
    """The files of the project, whether or not they are committed yet."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\0") if name and os.path.lexists(ROOT / name)]


@pytest.fixture(scope="module")
def uv() -> str:
    found = os.environ.get("UV") or shutil.which("uv")
    assert found, "the README's first line brings uv"
    return found


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of the project as a clone would be, in a folder named misgen."""
    folder = tmp_path_factory.mktemp("parent") / "misgen"
    for name in tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name, follow_symlinks=False)
    return folder


@pytest.fixture(scope="module")
def wheels(uv, checkout, tmp_path_factory) -> tuple[Path, Path]:
    """The wheel built from the checkout, and the one built from its sdist."""
    out = tmp_path_factory.mktemp("dist")
    build = [uv, "build", "--quiet", "--out-dir"]
    subprocess.run([*build, out / "own", "--wheel", checkout], check=True)
    subprocess.run([*build, out / "sdist", "--sdist", checkout], check=True)
    (sdist,) = (out / "sdist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(out / "unpacked", filter="data")
    (source,) = (out / "unpacked").iterdir()
    subprocess.run([*build, out / "again", "--wheel", source], check=True)
    (own,), (again,) = ((out / name).glob("*.whl") for name in ("own", "again"))
    return own, again


def runner(python: Path, folder: Path) -> Run:
    """run(program, *arguments): in this folder, with nothing of this process's environment that
    would lead an import."""
    clean = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    clean.pop("PYTHONPATH", None)

    def run(program: str, *arguments: object) -> str:
        command = [str(python.with_name(program)), *map(str, arguments)]
        done = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def install(uv: str, wheel: Path, extra: str, folder: Path) -> Path:
    """A new environment with the wheel; returns its Python."""
    subprocess.run([uv, "venv", "--quiet", folder], check=True)
    python = folder / "bin/python"
    command = [
        uv,
        "pip",
        "install",
        "--quiet",
        "--python",
        python,
        f"misgen{extra} @ file://{wheel}",
    ]
    subprocess.run(command, check=True)
    return python


def test_the_wheel_holds_the_tree(wheels):
    names = [Path(name) for name in tracked()]
    expected = {
        f"misgen/{name}"
        for name in map(Path, tracked())
        if name.parts[0] in FLOORS
        and "gallery" not in name.parts  # belongs to the page that shows it
        and name.parts[:2]
        != ("agents", "published")  # tens of megabytes, for those with a checkout
        and (name.suffix in DATA or name.name == "py.typed" or "published" in name.parts)
    }
    expected |= {f"misgen/{name.name}" for name in names if name.parts[:2] == (".src", "misgen")
                 and not (ROOT / name).is_symlink()}  # fmt: skip
    launchers = (name for name in names if name.parts[:2] == ("experiments", "launchers"))
    expected |= {f"hydra_plugins/misgen/{name.name}" for name in launchers}  # where Hydra looks
    for wheel in wheels:
        found = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
        assert found == expected
    digests = [
        {info.filename: info.CRC for info in zipfile.ZipFile(wheel).infolist()} for wheel in wheels
    ]
    different = {name for name in digests[0] if digests[0][name] != digests[1].get(name)}
    assert {name for name in different if ".dist-info/" not in name} == set()


def test_the_base_install_calibrates_and_predicts(uv, wheels, tmp_path):
    """As a risk modeller has it: without the extra `rl`, no torch, no numba, no source tree."""
    python = install(uv, wheels[0], "", tmp_path / "own")
    run = runner(python, tmp_path)
    absent = f"import importlib.util as u; assert not any(map(u.find_spec, {HEAVY}))"
    where = "import misgen.analysis as a; print(a.__path__[0])"
    cells = Path(run("python", "-c", f"{absent}; {where}").strip()) / "published/cells"
    assert tmp_path in cells.parents
    run("misgen", "calibrate", "--results", cells, "-o", tmp_path / "calibration")
    table = run("misgen", "risk", "table", "--calibration", tmp_path / "calibration")
    assert "Game AI" in table and "C2 " in table
    assert "http" not in (tmp_path / "calibration/index.html").read_text().split("<body")[0]


def test_packages_named_as_our_folders_do_not_hide_ours(uv, wheels, checkout, tmp_path):
    """In a folder that holds such packages, and in the parent folder of a checkout."""
    python = install(uv, wheels[0], "[rl]", tmp_path / "own")
    for name in FLOORS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('not ours')\n")
    run = runner(python, tmp_path)
    run("misgen", "demo", "--quick")  # in processes of its own
    dry = run("misgen", "train", "-m", "cell=K3", "train_seed=0,1", "--dry-run")
    assert "dry run: 2 runs" in dry  # Hydra finds our launcher
    run("python", "-c", "import gymnasium as g; g.make('misgen.envs:misgen/CoinRun-v2').reset()")
    run("python", "-c", "from misgen.analysis.risk.model import RiskModel")
    found = runner(python, checkout.parent)("python", "-c", "import misgen; print(misgen.__file__)")
    assert tmp_path / "own" in Path(found.strip()).parents
