"""Sweeps that something is done to, as their results folder and the system's list of processes show
them: what faults.py starts, kills and counts."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from misgen.experiments import cli
from misgen.experiments.jobs.attempt import file_hashes

JOBS, WORKERS = 12, 2
ORPHANS_AFTER_S = 5.0
COMMAND = [sys.executable, "-m", "misgen.experiments.cli"]
SIZE = [
    "agent.settings.total_steps=1", "agent.settings.num_envs=16", "agent.settings.num_steps=64",
    "agent.settings.features_dim=32", "agent.settings.head_dim=32",
]  # fmt: skip
SWEEP = ["train", "-m", *SIZE, f"train_seed=range({JOBS})", f"hydra.launcher.n_jobs={WORKERS}"]
MARK = "MISGEN_FAULT_TRIAL"  # in the environment of every process of a sweep

SHELL = ["sh", "-c", '"$@"; exit $?', "sh"]  # waits for the command instead of becoming it
TERMINAL = [sys.executable, "-c", "import pty, sys; pty.spawn(sys.argv[1:])"]
DEAF = ["sh", "-c", 'trap "" HUP; "$@"; exit $?', "sh"]  # as nohup, but its output stays
PARENTS = {
    "parent": SHELL,
    "terminal": TERMINAL,
    "terminal of a nohup": [*TERMINAL, *DEAF],
}
"""What starts a command and may be killed, and how."""


OWN_FAMILY = '''
"""The maze, but for what happens to the first training that finds the file `fault`."""
import dataclasses, os, sys
from misgen.envs import maze
from misgen.envs.core.family import Family


class Faulty(Family):
    def empty_scratch(self):
        try:
            os.rename("fault", f"taken-{os.getpid()}")
        except FileNotFoundError:
            return super().empty_scratch()
        FAULT


declared = {field.name: getattr(maze.FAMILY, field.name) for field in dataclasses.fields(Family)}
FAMILY = Faulty(**{**declared, "name": "faulty", "title": "Faulty", "module": __name__})
'''


@dataclass(frozen=True)
class Sweep:
    """A running sweep and its results."""

    process: subprocess.Popen[bytes]
    results: Path

    @classmethod
    def start(cls, results: Path, words: Sequence[str] = ("cell=M5",), parent: str = "") -> Sweep:
        """Started in the folder that holds the results; what it says goes to `said` there."""
        # A shell lets what it starts in the background ignore Ctrl-C; a handler, it does not leave.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        results.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "MISGEN_RESULTS": str(results), MARK: str(results)}
        command = [*PARENTS.get(parent, []), *COMMAND, *SWEEP, *words]
        with open(said(results), "ab") as output:
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=results.parent,
            )
        return cls(process, results)

    def living(self) -> dict[int, int]:
        """Its processes and their parents."""
        mark = f"{MARK}={self.results}".encode()
        return {
            pid: parent
            for pid, parent in parents().items()
            if mark in read(f"/proc/{pid}/environ").split(b"\0")
        }

    def launchers(self) -> list[int]:
        command = [word.encode() for word in COMMAND]
        return [p for p in self.living() if read(f"/proc/{p}/cmdline").split(b"\0")[:3] == command]

    def victims(self, kind: str) -> list[int]:
        """The launcher, its server, the jobs of that, or what has started the launcher."""
        launchers = self.launchers()
        if kind in PARENTS:
            return [self.process.pid] if launchers and self.process.poll() is None else []
        if kind == "launcher":
            return launchers
        of = self.living()
        servers = [pid for pid, parent in of.items() if parent in launchers]
        return servers if kind == "server" else [p for p, parent in of.items() if parent in servers]

    def end(self, seconds: float = float("inf")) -> int:
        """Wait for it, or for what goes on without the process that was started; the exit code.

        Raises:
            TimeoutError: it has not ended in time.
        """
        deadline = time.monotonic() + seconds
        while self.launchers() or self.process.poll() is None:
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(0.05)
        return self.process.wait()

    def orphans(self) -> int:
        """Its processes that live ORPHANS_AFTER_S after its end."""
        deadline = time.monotonic() + ORPHANS_AFTER_S
        while (living := self.living()) and time.monotonic() < deadline:
            time.sleep(0.05)
        for pid in living:
            print(f"lives: {read(f'/proc/{pid}/cmdline')!r:.200}", file=sys.stderr)
        return len(living)

    def finished(self) -> dict[str, Finished]:
        """By run folder."""
        runs = self.results.glob("runs/kind=train/run=*/done.json")
        return {done.parent.name: Finished.read(done.parent) for done in runs}

    def left_files(self) -> list[Path]:
        """Half-written files, and what only unfinished runs need."""
        patterns = (".tmp-*", "resume.safetensors", "failed.json")
        return [path for pattern in patterns for path in self.results.rglob(pattern)]

    def said(self) -> str:
        return said(self.results).read_text(errors="replace")


@dataclass(frozen=True)
class Finished:
    seed: int
    when: int  # it was finished, in ns
    weights: str  # their hash
    is_torn: bool

    @classmethod
    def read(cls, folder: Path) -> Finished:
        weights = (folder / "checkpoint.safetensors").read_bytes()
        done = json.loads((folder / "done.json").read_bytes())
        return cls(
            seed=json.loads((folder / "config.json").read_bytes())["train_seed"],
            when=(folder / "done.json").stat().st_mtime_ns,
            weights=hashlib.sha256(weights).hexdigest(),
            is_torn=done["sha256"] != file_hashes(folder),
        )


def run_here(results: Path) -> int:
    """A sweep by the command in this process, which has imported what it needs; its exit code."""
    results.mkdir(parents=True, exist_ok=True)
    with (
        open(said(results), "a") as output,
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
    ):
        return cli.main([*SWEEP, "cell=M5", "--results", str(results)])


def said(results: Path) -> Path:
    return results.with_name(f"{results.name}.said")


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


class NotHereError(Exception):
    """What cannot be tried on this machine, and why."""


@contextlib.contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Callable[[str], None]]:
    """A disk of its own, where this user may mount one; a function that changes its options."""
    folder.mkdir(parents=True)

    def mount(changed: str, *how: str) -> None:
        command = ["mount", *how, "-o", changed, "-t", "tmpfs", "tmpfs", str(folder)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise NotHereError("a disk cannot be mounted here") from error

    mount(options)
    try:
        yield lambda changed: mount(f"remount,{changed}")
    finally:
        subprocess.run(["umount", str(folder)], check=True)
