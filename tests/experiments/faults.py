"""What faults cost sweeps: `python -m tests.experiments.faults`.

`misgen train -m` trains twelve agents for one rollout each, two at a time. In every trial something
is done to it, where that has a moment at a random one of the whole sweep; then the same sweep runs
once more. Counted is what must not happen. The table is in analysis/published/faults.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.experiments.fault_sweeps import (
    JOBS,
    OWN_FAMILY,
    WORKERS,
    NotHereError,
    Sweep,
    run_here,
    small_disk,
)

from misgen.experiments.provenance import provenance

STOPS_WITHIN_S = 30.0
SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT")
GIVEN_UP = {"worker": 1, "server": WORKERS, "parent": 0, "terminal of a nohup": 0}
"""Victim -> runs at most that a sweep which goes on may give up; the others stop it."""

COLUMNS = {
    "trials": "",
    "finished before": "runs that were finished when the first sweep had ended, over all trials",
    "given up": "runs that the fault did not hit and that a sweep which goes on did not finish",
    "wrong end": "sweeps with another exit code or message than documented, or that go on for 30 s "
    "after what stops them",
    "lost": "finished runs that are gone after the repetition",
    "torn": "finished runs whose files are not those that `done.json` hashes",
    "repeated": "finished runs that were trained again",
    "missing": "runs that are not there after the repetition",
    "other weights": "agents that differ in a bit from those of an undisturbed sweep",
    "orphans": "processes that live 5 s after the command has ended",
    "left files": "half-written files and notes of failure after the repetition",
}
HARMLESS = ("trials", "finished before")


class TooLateError(Exception):
    """The sweep was over before the fault."""


@dataclass(frozen=True)
class Bench:
    """What a trial needs. folder: its own. seconds, weights: of an undisturbed sweep, the hash of
    each agent's weights by its seed."""

    folder: Path
    rng: random.Random
    seconds: float
    weights: dict[int, str]

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def moment(self, sweep: Sweep) -> None:
        """Wait for a random moment of a sweep: one of its start, or until some runs are finished
        and a little longer. Other work on this machine does not shift it."""
        number = self.rng.choice([0, 0, 0, *range(JOBS)])
        while len(sweep.finished()) < number and sweep.process.poll() is None:
            time.sleep(0.02)
        time.sleep(self.rng.uniform(0, self.seconds / (2 if number == 0 else JOBS)))


# --- Signals -------------------------------------------------------------------------------------


def kill(victim: str, name: str, bench: Bench) -> Counter[str]:
    """A process of the sweep, or what started it, gets a signal."""
    sweep = Sweep.start(bench.results, parent=victim)
    bench.moment(sweep)
    while not (victims := sweep.victims(victim)):
        if sweep.process.poll() is not None:
            raise TooLateError
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.kill(bench.rng.choice(victims), getattr(signal, name))
    wrong: Counter[str] = Counter()
    try:
        sweep.end(float("inf") if victim in GIVEN_UP else STOPS_WITHIN_S)
    except TimeoutError:
        wrong["wrong end"] = 1
        sweep.end()
    wrong["orphans"] = sweep.orphans()
    if victim in GIVEN_UP:
        wrong["given up"] = max(0, JOBS - GIVEN_UP[victim] - len(sweep.finished()))
    return wrong + repeat(sweep, bench)


def repeat(sweep: Sweep, bench: Bench, is_own: bool = False) -> Counter[str]:
    """The same sweep once more, and what is wrong with both. is_own: code of the user's runs."""
    before = sweep.finished()
    code = Sweep.start(sweep.results, OWN_WORDS).end() if is_own else run_here(sweep.results)
    wrong = Counter({"wrong end": int(code != 0), "finished before": len(before)})
    after = sweep.finished()
    wrong["lost"] = len(before.keys() - after.keys())
    wrong["torn"] = sum(run.is_torn for run in after.values())
    wrong["repeated"] = sum(after[run].when != before[run].when for run in before.keys() & after)
    wrong["missing"] = JOBS - len(after)
    wrong["other weights"] = sum(bench.weights[r.seed] != r.weights for r in after.values())
    wrong["left files"] = len(sweep.left_files())
    if wrong["left files"]:
        print(f"left: {sweep.left_files()}", file=sys.stderr)
    return wrong


def harm(total: Counter[str]) -> dict[str, int]:
    """What must not happen, and did."""
    return {name: number for name, number in total.items() if number and name not in HARMLESS}


# --- Runs of one's own that fail -----------------------------------------------------------------

OWN_WORDS = ("family=faulty_family:FAMILY", "cell=M5")


def failing_run(code: str, error: str, bench: Bench) -> Counter[str]:
    """One training, whichever begins after a random moment, runs this code of the user's."""
    bench.folder.mkdir()
    (bench.folder / "faulty_family.py").write_text(OWN_FAMILY.replace("FAULT", code))
    sweep = Sweep.start(bench.results, OWN_WORDS)
    while not [*bench.results.glob("runs/*/*/config.json")]:  # its rules may have to be compiled
        time.sleep(0.02)
    bench.moment(sweep)
    (bench.folder / "fault").touch()
    code_of_sweep = sweep.end()
    if (bench.folder / "fault").exists():
        raise TooLateError
    wrong = Counter(orphans=sweep.orphans())
    wrong["given up"] = JOBS - 1 - len(sweep.finished())
    is_said = error in sweep.said() and f"1 of {JOBS} runs failed" in sweep.said()
    wrong["wrong end"] = int(code_of_sweep != 1 or not is_said)
    return wrong + repeat(sweep, bench, is_own=True)


def bad_value(bench: Bench) -> Counter[str]:
    """One value in the middle of a sweep is refused before anything starts."""
    sweep = Sweep.start(bench.results, ("cell=M5", "train_seed=0,1,2,-3,4"))
    code = sweep.end()
    is_said = "1 of 5 configurations are refused, and nothing was started" in sweep.said()
    wrong = Counter({"wrong end": int(code != 2 or not is_said or bool(sweep.finished()))})
    return wrong + repeat(sweep, bench)


# --- Two sweeps, and disks -----------------------------------------------------------------------


def twins(bench: Bench) -> Counter[str]:
    """Two equal sweeps at once: both end well, and every run is trained by one of them."""
    first, second = Sweep.start(bench.results), Sweep.start(bench.results)
    codes = [first.end(), second.end()]
    trained = first.said().count("done: train ")
    wrong = Counter({"wrong end": int(codes != [0, 0]), "repeated": max(0, trained - JOBS)})
    wrong["orphans"] = first.orphans()
    wrong["given up"] = JOBS - len(first.finished())
    return wrong + repeat(first, bench)


def full_disk(bench: Bench) -> Counter[str]:
    """Room for a random part of the runs; then there is enough."""
    with small_disk(bench.results, f"size={bench.rng.randint(150, 1200)}k") as change:
        sweep = Sweep.start(bench.results)
        code = sweep.end()
        if code == 0:
            raise TooLateError
        wrong = Counter(orphans=sweep.orphans())
        is_said = "its disk is full; make room there" in sweep.said()
        is_calm = "Traceback" not in sweep.said().rpartition("misgen: error")[2]
        wrong["wrong end"] = int(code != 2 or not is_said or not is_calm)
        wrong["left files"] = len([*bench.results.rglob(".tmp-*")])
        change("size=64m")
        return wrong + repeat(sweep, bench)


def read_only(bench: Bench) -> Counter[str]:
    """Results that were finished in part and cannot be written to any more: one message."""
    with small_disk(bench.results, "size=64m") as change:
        assert Sweep.start(bench.results, ("cell=M5", "train_seed=0,5")).end() == 0
        change("ro")
        sweep = Sweep.start(bench.results)
        code = sweep.end()
        is_said = "must be a folder that can be written to" in sweep.said()
        wrong = Counter({"wrong end": int(code != 2 or not is_said)})
        wrong["orphans"] = sweep.orphans()
        change("rw")
        return wrong + repeat(sweep, bench)


# --- The table -----------------------------------------------------------------------------------

Trial = Callable[[Bench], "Counter[str]"]
RANDOM: dict[str, Trial] = {
    **{
        f"{name} of the {victim}": partial(kill, victim, name)
        for victim in ("worker", "server", "launcher", "parent")
        for name in SIGNALS
    },
    **{
        f"the {victim} is closed": partial(kill, victim, "SIGKILL")
        for victim in ("terminal", "terminal of a nohup")
    },
}
OTHERS: dict[str, Trial] = {
    "a run raises": partial(
        failing_run, "raise RuntimeError('of the user')", "RuntimeError: of the user"
    ),
    "a run calls sys.exit(3)": partial(failing_run, "sys.exit(3)", "SystemExit: 3"),
    "full disk": full_disk,
    "two equal sweeps at once": twins,
    "read-only results": read_only,
    "one bad value in the middle": bad_value,
}


def trials(
    number: int, others: int = 1, seed: int | None = None, only: Sequence[str] = ("",)
) -> Iterator[tuple[str, Counter[str]]]:
    """The sums over so many trials of each random fault, and of each other one; without trials
    where it cannot be tried here. only: faults whose names hold one of these."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        run_here(Path(place) / "warm" / "results")
        seconds, weights = undisturbed(Path(place) / "whole")
        for fault, trial in {**RANDOM, **OTHERS}.items():
            total: Counter[str] = Counter()
            wanted = (
                (number if fault in RANDOM else others)
                if any(word in fault for word in only)
                else 0
            )
            while total["trials"] < wanted:
                folder = Path(place) / f"{rng.getrandbits(40)}"
                try:
                    found = trial(Bench(folder, rng, seconds, weights))
                except TooLateError:
                    continue
                except NotHereError as error:
                    print(f"{fault}: {error}", file=sys.stderr)
                    break
                if harm(found):
                    said = (folder / "results.said").read_text(errors="replace")
                    print(f"{fault}: {dict(found)}\n{said}", file=sys.stderr, flush=True)
                total += found + Counter(trials=1)
                shutil.rmtree(folder)
            if wanted:
                yield fault, total


def undisturbed(folder: Path) -> tuple[float, dict[int, str]]:
    """Seconds of a whole sweep, and the hashes of its weights by seed."""
    started = time.monotonic()
    whole = Sweep.start(folder / "results")
    assert whole.end() == 0, whole.said()
    seconds = time.monotonic() - started
    weights = {run.seed: run.weights for run in whole.finished().values()}
    assert len(weights) == JOBS
    return seconds, weights


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--trials", type=int, default=20, help="of each random fault")
    parser.add_argument("--others", type=int, default=5, help="of each other one")
    parser.add_argument("--only", nargs="+", default=[""], metavar="WORD", help="faults named so")
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup before this command is none of a sweep's
    print("# What faults cost sweeps\n")
    print(f"| fault | {' | '.join(COLUMNS)} |\n|---|{'---:|' * len(COLUMNS)}")
    bad = 0
    for fault, total in trials(options.trials, options.others, options.seed, options.only):
        print(f"| {fault} | {' | '.join(str(total[name]) for name in COLUMNS)} |", flush=True)
        bad += sum(harm(total).values())
    print("\n" + "\n".join(f"- {name}: {text}" for name, text in COLUMNS.items() if text))
    made = provenance()
    machine, commit = made["machine"], str(made["git_commit"])[:12]
    print(
        f"\n`python -m tests.experiments.faults {' '.join(sys.argv[1:])}` at {commit}; "
        f"{machine['cpu']}, {machine['cores']} cores, Python {made['versions']['python']}; "
        f"{made['date_utc']}. A sweep: {JOBS} runs, {WORKERS} at a time."
    )
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main())
