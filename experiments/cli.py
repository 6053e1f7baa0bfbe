"""The `misgen` command. Nothing heavy is imported before a subcommand is chosen."""

import argparse
import difflib
import importlib
import importlib.metadata
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import cast


@dataclass(frozen=True)
class Command:
    """`main(argv) -> exit code` of `misgen.experiments.MODULE`, imported when it is chosen."""

    module: str
    help: str


COMMANDS: dict[str, dict[str, Command]] = {
    "start here": {
        "demo": Command("demo", "train a few agents and see which goal they learned"),
        "cells": Command("cells", "what the cells are and look like"),
        "play": Command("play", "walk through a level yourself, or watch one"),
        "doctor": Command("doctor", "check that this installation works"),
    },
    "research": {
        "train": Command("train", "train agents (Hydra: key=value, --multirun)"),
        "evaluate": Command("evaluate", "record episodes of trained agents"),
        "run-cells": Command("run_cells", "train, evaluate and compare all cells (hours)"),
        "report": Command("cells_report", "tables and figures of run-cells again, from its folder"),
        "rates": Command("rates", "misgeneralization rates from the records"),
        "coverage": Command("coverage", "how often intervals over few agents hold the truth"),
        "migrate": Command("migrate", "rewrite records of misgen 0.3 for this version"),
    },
    "risk": {
        "calibrate": Command(
            "calibrate",
            "measured rates -> posterior of the risk model, report",
        ),
        "trust": Command("trust", "how far the posterior can be trusted, by simulation"),
        "risk": Command("risk", "what the risk model says: table, gate, audit"),
    },
    "engineering": {
        "bench": Command("bench", "measure speed on this machine"),
        "gallery": Command("gallery", "draw every cell anew for envs/README.md"),
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
    ValueError,
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)
"""Errors that say what to correct; any other keeps its traceback."""


def main(argv: list[str] | None = None) -> int:
    """Exit code: 0 good, 1 the subcommand failed, 2 wrong input, 130 interrupted."""
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
    return _run(commands[arguments.command], arguments.rest)


def _run(command: Command, argv: list[str]) -> int:
    try:
        module = importlib.import_module(f"misgen.experiments.{command.module}")
        return cast(Callable[[list[str]], int], module.main)(argv)
    except KeyboardInterrupt:
        return 130
    except WRONG_INPUT as error:
        if os.environ.get("MISGEN_TRACEBACK") == "1":
            raise
        return _error(str(error) or type(error).__name__)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in RL_PACKAGES or os.environ.get("MISGEN_TRACEBACK") == "1":
            raise
        return _error(f"this needs {package}, which is not installed: pip install 'misgen[rl]'")


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
        lines += [f"{group}:", *(f"  {name:<10}{c.help}" for name, c in commands.items()), ""]
    return "\n".join([*lines, "`misgen COMMAND --help` explains a command."])


def _version() -> str:
    try:
        return f"misgen {importlib.metadata.version('misgen')}"
    except importlib.metadata.PackageNotFoundError:
        return "misgen (not installed)"


def hint(name: str, known: Iterable[str]) -> str:
    """What else could have been meant by a name."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(known)}"


def _error(message: str) -> int:
    print(f"misgen: error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
