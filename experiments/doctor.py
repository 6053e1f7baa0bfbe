"""`misgen doctor`: does this installation work, and what can this machine do?"""

import importlib
import importlib.metadata
import shutil
import warnings
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.table import Table

from misgen.experiments.cli import Parser
from misgen.experiments.provenance import how_to_install, machine_kind, versions
from misgen.experiments.runs.folder import require_writable, results_root

IMPORT_NAMES = {"stable-baselines3": "stable_baselines3", "hydra-core": "hydra"}
CPU_S_PER_MILLION_STEPS, MB_PER_AGENT = 60, 3.2
"""Of a training with its evaluation: the demo's 12 agents took 11 min of an AMD EPYC's cores."""
RL_DISTRIBUTIONS = ("torch", "stable-baselines3", "gymnasium", "numba", "hydra-core")


@dataclass(frozen=True)
class Check:
    """One row: `broken` makes the exit code 1, `note` does not."""

    name: str
    status: Literal["ok", "note", "broken"]
    detail: str


def main(argv: list[str]) -> int:
    parser = Parser(prog="misgen doctor", description=__doc__)
    parser.parse_args(argv)
    checks = [
        *check_packages(versions()),
        *check_machine(),
        check_kernel_cache(),
        check_results_folder(),
        check_studies(),
    ]
    table = Table("", "", "", box=None, show_header=False)
    for check in checks:
        table.add_row(check.name, check.status, check.detail)
    Console(highlight=False, markup=False).print(table)
    return int(any(check.status == "broken" for check in checks))


def check_packages(found: dict[str, str | None]) -> list[Check]:
    """Import every package: a version number does not show that its libraries load."""
    lacks_rl = all(found[name] is None for name in RL_DISTRIBUTIONS)
    checks = []
    for name, version in found.items():
        if lacks_rl and name in RL_DISTRIBUTIONS:
            continue
        if version is None:
            checks.append(Check(name, "broken", f"missing; {how_to_install('rl')}"))
        elif name in ("python", "misgen"):
            checks.append(Check(name, "ok", version))
        else:
            try:
                importlib.import_module(IMPORT_NAMES.get(name, name))
                checks.append(Check(name, "ok", version))
            except Exception as error:  # a broken shared library raises anything
                checks.append(Check(name, "broken", f"{version}, but import fails: {error}"))
    if lacks_rl:
        detail = f"not installed; enough for `analysis` (the rest: {how_to_install('rl')})"
        checks.append(Check("rl extra", "note", detail))
    return checks


def check_machine() -> list[Check]:
    machine = machine_kind()
    return [
        Check("cpu", "ok", f"{machine['cpu']}, {machine['cores']} usable cores"),
        Check("gpu", *_gpu(machine["gpu"])),
    ]


def _gpu(driver_name: str | None) -> tuple[Literal["ok", "note", "broken"], str]:
    try:
        torch = importlib.import_module("torch")
    except Exception:
        return "note", f"driver: {driver_name or 'none'}; torch cannot be imported"
    if torch.cuda.is_available():
        return "ok", torch.cuda.get_device_name(0)
    if driver_name:
        return "note", f"{driver_name}, but torch {torch.__version__} cannot use it; CPU is used"
    return "ok", "none; CPU is used"


def check_kernel_cache() -> Check:
    """The folder that compiled rules will be kept in, tried."""
    try:
        cache = importlib.import_module("misgen.envs.core.kernel_cache")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            folder = cache.cache_folder()
    except ImportError:  # reported by check_packages
        return Check("compiled rules", "note", "need the rl extra")
    if folder is None:
        detail = f"no folder can be written, so every process compiles anew; {cache.REMEDY}"
        return Check("compiled rules", "note", detail)
    return Check("compiled rules", "ok", str(folder))


def check_results_folder() -> Check:
    root = results_root()
    existed = root.exists()
    try:
        require_writable(root)
    except ValueError as error:
        return Check("results folder", "broken", str(error))
    free_gib = shutil.disk_usage(root).free / 2**30
    if not existed:
        root.rmdir()
    return Check("results folder", "ok", f"{root}, {free_gib:.0f} GiB free")


def check_studies() -> Check:
    """What the declared studies will take, beside the room there is."""
    try:
        study_file = importlib.import_module("misgen.experiments.studies.file")
    except ImportError:  # reported by check_packages
        return Check("studies", "note", "need the rl extra")
    lines = []
    for name in study_file.study_names():
        agents, steps = study_file.size_of(study_file.load_study(name))
        hours = steps / 1e6 * CPU_S_PER_MILLION_STEPS / 3600
        lines.append(f"{name}: {agents} agents, {hours:.1f} h, {agents * MB_PER_AGENT:,.0f} MB")
    about = "of CPU time, to be divided by the cores, and disk, about:"
    return Check("studies", "ok", "\n".join([about, *lines]))
