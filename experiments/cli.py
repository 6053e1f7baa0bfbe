"""The `misgen` command. Nothing heavy is imported before a subcommand is chosen."""

import argparse
import contextlib
import importlib
import importlib.metadata
import io
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn, cast

from misgen.analysis.files import is_disk_full
from misgen.analysis.text import hint


@dataclass(frozen=True)
class Command:
    """`main(argv) -> exit code` of `misgen.experiments.MODULE`, imported when it is chosen."""

    module: str
    help: str


COMMANDS: dict[str, dict[str, Command]] = {
    "start here": {
        "demo": Command("studies.demo", "train a few agents and see which goal they learned"),
        "cells": Command("shown.cells", "what the cells are and look like"),
        "play": Command("shown.play", "walk through a level yourself"),
        "watch": Command("shown.watch", "an agent or a planner at play in the terminal"),
        "film": Command("shown.film", "an animation of an agent on the four variants of a level"),
        "maps": Command("shown.maps", "what an agent values, where it goes, how it fails"),
        "doctor": Command("doctor", "check that this installation works"),
    },
    "research": {
        "train": Command("runs.train", "train agents (Hydra: key=value, --multirun)"),
        "evaluate": Command("runs.evaluate", "record episodes of trained agents"),
        "run-cells": Command("studies.run_cells", "train, evaluate and compare all cells (hours)"),
        "study": Command("studies.command", "run a declared study; what is done, failed, missing"),
        "compare": Command("answers.compare", "the arms of a study: verdicts, doses, costs"),
        "plot": Command("answers.plot", "the page of a study, and its figures"),
        "report": Command(
            "studies.cells_report", "tables and figures of run-cells again, from its folder"
        ),
        "rates": Command("answers.rates", "misgeneralization rates from the records"),
        "sql": Command("answers.sql", "one question to runs, agents or episodes, in SQL"),
        "power": Command("answers.power", "how many agents a difference needs to be found"),
        "coverage": Command(
            "answers.coverage", "how often intervals and verdicts on few agents are right"
        ),
        "compact": Command("answers.compact", "one file beside many runs that opens fast"),
        "migrate": Command("runs.migrate", "rewrite records of misgen 0.3 for this version"),
    },
    "risk": {
        "calibrate": Command(
            "answers.calibrate",
            "measured rates -> posterior of the risk model, report",
        ),
        "trust": Command("answers.trust", "how far the posterior can be trusted, by simulation"),
        "risk": Command("answers.risk", "what the risk model says: table, gate, audit"),
    },
    "engineering": {
        "bench": Command("bench.command", "measure speed on this machine"),
        "noise": Command("studies.noise", "how much noise a superficial shift has, by its rule"),
        "publish-agents": Command(
            "studies.publish_agents", "store trained agents for others to load"
        ),
        "gallery": Command("shown.gallery", "draw every cell anew for envs/README.md"),
    },
}

MOVED = {
    ("run-cells", "--report"): "misgen report FOLDER",
    ("rates", "--coverage"): "misgen coverage",
    ("calibrate", "--trust"): "misgen trust FOLDER",
    ("calibrate", "--sets"): "misgen trust FOLDER --sets N",
}
"""Command and flag of misgen 0.3.0 -> the command that it has become."""

RL_PACKAGES = {
    "gymnasium",
    "hydra",
    "numba",
    "omegaconf",
    "safetensors",
    "stable_baselines3",
    "torch",
}
"""Import names that only the extra `rl` installs."""


WRONG_INPUT = (
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)
"""Errors of files that say what to correct even if they name no file."""

PIPE_CLOSED = 141  # as shells call the end by SIGPIPE


def main(argv: list[str] | None = None) -> int:
    """Exit code: 0 good, 1 the subcommand failed, 2 wrong input or a full disk, 130 interrupted,
    141 whoever read the output has stopped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that cannot be shown is shown in escapes
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            return _main(sys.argv[1:] if argv is None else argv)
        finally:  # what fails when the interpreter ends cannot be answered any more
            sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        return PIPE_CLOSED
    except OSError as error:
        if error.filename is not None or not is_disk_full(error):
            raise
        _discard_output()
        return _error(_full("the output or a cache"))


def _discard_output() -> None:
    """Let what cannot be written go nowhere when the interpreter flushes at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with contextlib.suppress(OSError):  # a stream without a file
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _main(argv: list[str]) -> int:
    try:
        argv, results = _without_results(argv)
    except ValueError as error:
        return _error(str(error))
    if {"-sc", "--shell-completion"} & {*argv[:2]}:  # the whole command's, as Hydra calls it
        rest = [word for word in argv if "=" in word]
        return _run(Command("completion", "what the Tab key offers"), rest)
    arguments = _parser().parse_args(argv)
    commands = {name: command for group in COMMANDS.values() for name, command in group.items()}
    if arguments.command is None:
        _parser().print_help()
        return 0
    if arguments.command not in commands:
        name = arguments.command
        return _error(f"unknown command {name!r}; {hint(name, commands)}")
    for word in arguments.rest:
        if instead := MOVED.get((arguments.command, word.partition("=")[0])):
            return _error(f"`{arguments.command} {word}` has become a command: {instead}")
    with results_in(results):
        return _run(commands[arguments.command], arguments.rest)


def _without_results(argv: list[str]) -> tuple[list[str], str | None]:
    """The command line without `--results FOLDER`, which every command takes, and the folder."""
    kept, results = list[str](), None
    words = iter(argv)
    for word in words:
        name, is_joined, value = word.partition("=")
        if word == "--":
            return [*kept, word, *words], results
        if name != "--results":
            kept.append(word)
            continue
        results = value if is_joined else next(words, "")
        if not results or results.startswith("-"):
            raise ValueError(
                f"--results names the folder of runs; got {results!r}; write --results FOLDER"
            )
    return kept, results


@contextlib.contextmanager
def results_in(folder: str | None) -> Iterator[None]:
    """Results are in `folder` for the time of a command, in this process and its children."""
    before = os.environ.get("MISGEN_RESULTS")
    if folder is not None:
        os.environ["MISGEN_RESULTS"] = folder
    try:
        yield
    finally:
        if folder is not None:
            os.environ.pop("MISGEN_RESULTS")
        if before is not None:
            os.environ["MISGEN_RESULTS"] = before


def _run(command: Command, argv: list[str]) -> int:
    # Small products are all there is, and the threads of NumPy's BLAS wait for them by spinning:
    # verdicts took five times the CPU time. It is read when NumPy is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        module = importlib.import_module(f"misgen.experiments.{command.module}")
        return cast(Callable[[list[str]], int], module.main)(argv)
    except KeyboardInterrupt:
        return 130
    except (ValueError, OSError) as error:
        message = _what_to_correct(error)
        if message is None or os.environ.get("MISGEN_TRACEBACK") == "1":
            raise
        return _error(message)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in RL_PACKAGES or os.environ.get("MISGEN_TRACEBACK") == "1":
            raise
        from misgen.experiments.provenance import how_to_install

        return _error(f"this needs {package}, which is not installed: {how_to_install('rl')}")


def _what_to_correct(error: ValueError | OSError) -> str | None:
    """One line for the user; None for an error that is ours, or of the output."""
    if not isinstance(error, OSError) or (
        isinstance(error, WRONG_INPUT) and error.filename is None
    ):
        return str(error) or type(error).__name__
    if error.filename is None:
        return None
    if is_disk_full(error):
        return _full(error.filename)
    return f"{error.filename}: {error.strerror}; check its path, its folder and its disk"


def _full(name: str) -> str:
    return (
        f"{name} cannot be written: its disk is full; make room there, or keep results elsewhere "
        "with --results FOLDER"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="misgen",
        usage="misgen COMMAND [arguments]",
        description="Measure goal misgeneralization: train agents where several goals agree,\n"
        "then see which one they pursue where the goals disagree.",
        epilog=_command_list(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=_version())
    parser.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _command_list() -> str:
    lines = []
    for group, commands in COMMANDS.items():
        lines += [f"{group}:", *(f"  {name:<15}{c.help}" for name, c in commands.items()), ""]
    lines += [
        "Every command takes --results FOLDER, where runs are kept and looked for",
        "(default: $MISGEN_RESULTS or results). `misgen COMMAND --help` explains one.",
        'Completion in bash: eval "$(misgen -sc install=bash)"',
    ]
    return "\n".join(lines)


def _version() -> str:
    try:
        return f"misgen {importlib.metadata.version('misgen')}"
    except importlib.metadata.PackageNotFoundError:
        return "misgen (not installed)"


class Parser(argparse.ArgumentParser):
    """Of the flags of a command: what is wrong is said in one line, with the nearest flag."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **kwargs})

    def error(self, message: str) -> NoReturn:
        flags = [flag for flag in self._option_string_actions if flag.startswith("--")]
        prefix = "unrecognized arguments: "
        if message.startswith(prefix):
            word = message.removeprefix(prefix).split()[0].partition("=")[0]
            message = f"there is no {word}; {hint(word, flags)}"
        raise ValueError(f"{self.prog}: {message}; `{self.prog} --help` explains it")


def _error(message: str) -> int:
    print(f"misgen: error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
