"""`misgen doctor`: does this installation work, and what can this machine do?"""

import argparse
import contextlib
import importlib
import importlib.metadata
import importlib.util
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments.run_folder import machine_kind, require_writable, results_root, versions

PACKAGE_NAMES = ("envs", "agents", "experiments", "configs", "analysis")
IMPORT_NAMES = {"stable-baselines3": "stable_baselines3", "hydra-core": "hydra"}
RL_DISTRIBUTIONS = ("torch", "stable-baselines3", "gymnasium", "numba", "hydra-core")
BF16_GAIN = 1.1
"""bfloat16 loses precision, so it has to be at least this much faster to be advised."""


@dataclass(frozen=True)
class Check:
    """One row: `broken` makes the exit code 1, `note` does not."""

    name: str
    status: Literal["ok", "note", "broken"]
    detail: str


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="misgen doctor", description=__doc__)
    parser.parse_args(argv)
    checks = [
        *check_packages(versions()),
        *(check_shadowing(name) for name in PACKAGE_NAMES),
        *check_machine(),
        check_results_folder(),
    ]
    _print(checks)
    return int(any(check.status == "broken" for check in checks))


def check_packages(found: dict[str, str | None]) -> list[Check]:
    """Import every package: a version number does not show that its libraries load."""
    if all(found[name] is None for name in RL_DISTRIBUTIONS):
        detail = "not installed; enough for `analysis` (pip install 'misgen[rl]' for the rest)"
        found = {name: version for name, version in found.items() if name not in RL_DISTRIBUTIONS}
        return [*check_packages_present(found), Check("rl extra", "note", detail)]
    return check_packages_present(found)


def check_packages_present(found: dict[str, str | None]) -> list[Check]:
    checks = []
    for name, version in found.items():
        if version is None:
            checks.append(Check(name, "broken", "missing; pip install 'misgen[rl]'"))
        elif name in ("python", "misgen"):
            checks.append(Check(name, "ok", version))
        else:
            try:
                importlib.import_module(IMPORT_NAMES.get(name, name))
                checks.append(Check(name, "ok", version))
            except Exception as error:  # a broken shared library raises anything
                checks.append(Check(name, "broken", f"{version}, but import fails: {error}"))
    return checks


def check_shadowing(name: str) -> Check:
    """Our packages have plain names; another distribution's `envs` would be imported instead."""
    ours = Path(__file__).resolve().parent.parent / name
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # something put a module without a spec into sys.modules
        spec = None
    where = [Path(path).resolve() for path in (spec and spec.submodule_search_locations) or []]
    others = set(importlib.metadata.packages_distributions().get(name, [])) - {"misgen"}
    if where[:1] != [ours]:
        got = where[0] if where else getattr(spec, "origin", None)
        return Check(f"import {name}", "broken", f"shadowed by {got}; remove or rename that")
    if others:
        owner = ", ".join(sorted(others))
        detail = (
            f"{owner} also installs a package {name!r}; pip uninstall {owner}, reinstall misgen"
        )
        return Check(f"import {name}", "broken", detail)
    return Check(f"import {name}", "ok", "ours")


def check_machine() -> list[Check]:
    machine = machine_kind()
    checks = [
        Check("cpu", "ok", f"{machine['cpu']}, {machine['cores']} usable cores"),
        Check("gpu", *_gpu(machine["gpu"])),
    ]
    if importlib.util.find_spec("torch") is not None:
        with contextlib.suppress(Exception):  # reported by check_packages
            checks.append(_bf16())
    return checks


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


def _bf16() -> Check:
    ratio = bf16_speedup(1.0)
    instructions = "present" if has_avx512_bf16() else "absent"
    use = "yes" if has_avx512_bf16() and ratio >= BF16_GAIN else "no"
    detail = f"{use} (AVX512-BF16 {instructions}; {ratio:.2f} x float32 on one core)"
    return Check("use bf16 on the CPU", "ok", detail)


def has_avx512_bf16() -> bool:
    with contextlib.suppress(OSError):
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text()
    return False


def bf16_speedup(seconds: float) -> float:
    """Time of a float32 training step of a small MLP over that under bfloat16 autocast.

    One CPU thread, about `seconds` s. The two alternate, so another load slows both.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        step = _training_step()
        for bf16 in (False, True):
            step(bf16)
        times: dict[bool, list[float]] = {False: [], True: []}
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline or len(times[True]) < 3:
            for bf16 in (False, True):
                started = time.perf_counter()
                step(bf16)
                times[bf16].append(time.perf_counter() - started)
    finally:
        torch.set_num_threads(threads)
    return statistics.median(times[False]) / statistics.median(times[True])


def _training_step() -> Callable[[bool], None]:
    """A step (bf16 or not) on random numbers; the layer sizes are those of the agents' networks."""
    import torch

    generator = torch.Generator().manual_seed(0)
    obs = torch.randn(256, 512, generator=generator)
    network = torch.nn.Sequential(
        torch.nn.Linear(512, 256),
        torch.nn.ReLU(),
        torch.nn.Linear(256, 256),
        torch.nn.ReLU(),
        torch.nn.Linear(256, 16),
    )
    weights = list(network.parameters())

    def step(bf16: bool) -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss = network(obs).float().square().mean()
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():  # not torch.optim, whose first use imports the compiler: seconds
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.sub_(1e-3 * gradient)

    return step


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


def _print(checks: list[Check]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "", "", box=None, show_header=False)
    for check in checks:
        table.add_row(check.name, check.status, check.detail)
    Console(highlight=False, markup=False).print(table)
