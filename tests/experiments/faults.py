"""What a sweep loses when one of its processes is killed: `python tests/experiments/faults.py`.

`misgen train -m` trains twelve agents for one rollout each, two at a time. In every trial one of
its processes gets a signal at a moment drawn from the sweep's whole duration; then the same sweep
runs once more. Counted is what must not happen: runs that the first sweep gave up although they
were not running, finished ones that are lost, repeated or torn, weights other than those of an
undisturbed sweep, processes that live on. The table is in analysis/published/faults.md.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from misgen.experiments.provenance import provenance

JOBS, WORKERS = 12, 2
ORPHANS_AFTER_S = 5.0
SWEEP = [
    "train", "-m", "cell=K3", f"train_seed=range({JOBS})", f"hydra.launcher.n_jobs={WORKERS}",
    "agent.settings.total_steps=1", "agent.settings.num_envs=64", "agent.settings.num_steps=64",
]  # fmt: skip
MARK = "MISGEN_FAULT_TRIAL"  # in the environment of every process of a sweep
FAULTS = [(victim, "SIGKILL") for victim in ("worker", "server", "launcher")]


@dataclass(frozen=True)
class Sweep:
    """A running sweep and its results."""

    process: subprocess.Popen[bytes]
    results: Path

    @classmethod
    def start(cls, results: Path) -> Sweep:
        environment = {**os.environ, "MISGEN_RESULTS": str(results), MARK: str(results)}
        command = [sys.executable, "-m", "misgen.experiments.cli", *SWEEP]
        quiet = subprocess.DEVNULL
        return cls(subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet), results)

    def living(self) -> dict[int, int]:
        """Its processes and their parents."""
        mark = f"{MARK}={self.results}".encode()
        return {
            pid: parent
            for pid, parent in parents().items()
            if mark in read(f"/proc/{pid}/environ").split(b"\0")
        }

    def victims(self, kind: str) -> list[int]:
        """The launcher, its server, or the jobs of that."""
        launcher = self.process.pid
        if kind == "launcher":
            return [launcher] if self.process.poll() is None else []
        of = self.living()
        servers = [pid for pid, parent in of.items() if parent == launcher]
        return servers if kind == "server" else [p for p, parent in of.items() if parent in servers]

    def finished(self) -> dict[str, tuple[int, str]]:
        """Run folder -> when it was finished, and the hash of its weights."""
        found = {}
        for done in self.results.glob("runs/kind=train/run=*/done.json"):
            json.loads(done.read_bytes())  # a torn one raises
            weights = (done.parent / "checkpoint.safetensors").read_bytes()
            digest = hashlib.sha256(weights).hexdigest()
            found[done.parent.name] = (done.stat().st_mtime_ns, digest)
        return found


def parents() -> dict[int, int]:
    """Every process that is not dead -> its parent."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        state, parent, *_ = read(f"{folder}/stat").rpartition(b")")[2].split() or [b"Z", b"0"]
        if state not in (b"Z", b"X"):
            found[int(folder.name)] = int(parent)
    return found


def read(path: str) -> bytes:
    with contextlib.suppress(OSError):  # it has ended
        return Path(path).read_bytes()
    return b""


def undisturbed(folder: Path) -> tuple[float, dict[str, str]]:
    """Seconds of a whole sweep, and the hashes of its weights by run."""
    started = time.monotonic()
    whole = Sweep.start(folder)
    assert whole.process.wait() == 0
    weights = {run: digest for run, (_, digest) in whole.finished().items()}
    assert len(weights) == JOBS
    return time.monotonic() - started, weights


def trial(
    folder: Path, victim: str, number: str, at_s: float, expected: dict[str, str]
) -> Counter[str] | None:
    """What went wrong when a process was killed so many seconds after the start; None if there was
    none to kill any more."""
    first = Sweep.start(folder)
    time.sleep(at_s)
    while not (victims := first.victims(victim)):
        if first.process.poll() is not None:
            return None
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.kill(random.choice(victims), getattr(signal, number))
    if victim == "launcher":
        first.process.wait()
        deadline = time.monotonic() + ORPHANS_AFTER_S
        while first.living() and time.monotonic() < deadline:
            time.sleep(0.05)
    else:
        first.process.wait()
    wrong = Counter(orphans=len(first.living()))
    before = first.finished()
    wrong["trials"] = 1
    wrong["given up"] = 0 if victim == "launcher" else max(0, JOBS - WORKERS - len(before))
    wrong["finished before"] = len(before)
    again = Sweep.start(folder)
    wrong["failed"] = int(again.process.wait() != 0)
    after = again.finished()
    wrong["lost"] = len(before.keys() - after.keys())
    wrong["repeated"] = sum(after[run][0] != before[run][0] for run in before.keys() & after.keys())
    wrong["missing"] = JOBS - len(after)
    wrong["other weights"] = sum(expected[run] != digest for run, (_, digest) in after.items())
    wrong["left files"] = len([*folder.rglob(".tmp-*"), *folder.rglob("resume.safetensors")])
    return wrong


COLUMNS = (
    "trials", "finished before", "given up", "failed", "lost", "repeated", "missing",
    "other weights", "orphans", "left files",
)  # fmt: skip
HARMLESS = ("trials", "finished before")


def trials(number: int, seed: int | None = None) -> Iterator[tuple[str, Counter[str]]]:
    """The sums over so many trials of each fault."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        undisturbed(Path(place) / "warm")
        seconds, expected = undisturbed(Path(place) / "whole")
        for victim, name in FAULTS:
            total: Counter[str] = Counter()
            while total["trials"] < number:
                folder = Path(place) / f"{victim}-{rng.getrandbits(40)}"
                wrong = trial(folder, victim, name, rng.uniform(0, seconds), expected)
                total.update(wrong or {})
            yield f"{name} of the {victim}", total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    print("# Sweeps whose processes are killed\n")
    print(f"| fault | {' | '.join(COLUMNS)} |\n|---|{'---:|' * len(COLUMNS)}")
    bad = 0
    for fault, total in trials(options.trials, options.seed):
        print(f"| {fault} | {' | '.join(str(total[name]) for name in COLUMNS)} |", flush=True)
        bad += sum(total[name] for name in COLUMNS if name not in HARMLESS)
    made = provenance()
    machine, commit = made["machine"], str(made["git_commit"])[:12]
    print(
        f"\n`python tests/experiments/faults.py --trials {options.trials}` at {commit}; "
        f"{machine['cpu']}, {machine['cores']} cores, Python {made['versions']['python']}; "
        f"{made['date_utc']}. A sweep: {JOBS} runs, {WORKERS} at a time."
    )
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main())
