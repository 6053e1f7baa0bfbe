"""`misgen study`: what studies there are, and how far the runs of a results folder are."""

from __future__ import annotations

import json
from importlib.resources import files

from misgen.experiments.cli import Parser
from misgen.experiments.run_folder import RESULTS_HELP, results_root
from misgen.experiments.status import format_status, runs_of, summary

COMMANDS = {"demo": "misgen demo", "cells": "misgen run-cells"}  # study -> what runs it


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError for wrong arguments or a folder without runs."""
    parser = Parser(prog="misgen study", description=__doc__, epilog=RESULTS_HELP)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="the studies that are declared", description="The studies.")
    text = "what is done, running, failed and missing, by arm"
    status = actions.add_parser("status", help=text, description=text.capitalize() + ".")
    status.add_argument("--json", action="store_true", help="as JSON, for programs")
    options = parser.parse_args(argv)
    if options.action == "list":
        print("\n".join(_listed()))
        return 0
    root = results_root()
    runs = runs_of(root)
    if not runs:
        raise ValueError(f"{root} has no runs; begin with `misgen train` or name it by --results")
    found = summary(runs)
    print(json.dumps(found, indent=1) if options.json else format_status(found), end="")
    if options.json:
        print()
    return 0


def _listed() -> list[str]:
    from misgen.experiments.study_file import load_study

    folder = files("misgen.configs") / "studies"
    names = sorted(file.name.removesuffix(".yaml") for file in folder.iterdir())
    return [f"{name}: {load_study(name).question}  ({COMMANDS[name]})" for name in names]
