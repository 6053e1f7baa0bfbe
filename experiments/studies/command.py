"""`misgen study`: run a study, see how far it is, try again what failed."""

from __future__ import annotations

import importlib
import json
from typing import cast

from misgen.analysis.text import filled, hint
from misgen.experiments.cli import Parser
from misgen.experiments.runs.folder import (
    QUICK,
    RESULTS_HELP,
    read_json,
    require_writable,
    results_root,
)
from misgen.experiments.studies.file import load_study, study_names
from misgen.experiments.studies.status import Run, format_status, runs_of, summary, sweeps_of

OWN_REPORTS = {
    "demo": "studies.demo:report",
    "cells": "studies.run_cells:show",
}  # study -> module:function


def main(argv: list[str]) -> int:
    """Exit code 0; 1 if a job failed. Raises ValueError for wrong arguments or a folder without
    runs."""
    if argv[:1] == ["run"] and argv[1:] and not argv[1].startswith("-"):
        return _run(argv[1], argv[2:])
    options = _parser().parse_args(argv)
    if options.action == "run":
        raise ValueError(f"name a study: {', '.join(study_names())}, or the file of your own")
    if options.action == "list":
        questions = {name: load_study(name).question for name in study_names()}
        lines = [filled(f"{name}: {about}", hanging=2) for name, about in questions.items()]
        print(json.dumps(questions, indent=1) if options.json else "\n".join(lines))
        return 0
    runs = _runs(options.study)
    if options.action == "retry":
        return _retry(runs, options.workers)
    found = summary(runs)
    print(json.dumps(found, indent=1) + "\n" if options.json else format_status(found), end="")
    return 0


def _parser() -> Parser:
    parser = Parser(prog="misgen study", description=__doc__, epilog=RESULTS_HELP)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, text: str) -> Parser:
        added = actions.add_parser(name, help=text, description=text.capitalize() + ".")
        return cast(Parser, added)

    action("run", "train, evaluate and compare what a study declares (NAME, or a file)")
    listed = action("list", "the studies that are declared")
    status = action("status", "what is done, running, failed and missing, by arm")
    retry = action("retry", "run again what failed, and nothing else")
    for one in (status, retry):
        one.add_argument("study", nargs="?", default="", metavar="NAME", help="only of this study")
    for one in (listed, status):
        one.add_argument("--json", action="store_true", help="as JSON, for programs")
    text = "processes (default: one a core)"
    retry.add_argument("--workers", type=int, default=0, metavar="N", help=text)
    return parser


def _run(name: str, argv: list[str]) -> int:
    from misgen.experiments.studies.study import command

    study = load_study(name)
    module, _, function = OWN_REPORTS.get(name, "studies.folder:show").partition(":")
    report = getattr(importlib.import_module(f"misgen.experiments.{module}"), function)
    about = "Train, evaluate and compare; interrupted, the same command goes on."
    return command(study, about, argv, report, f"misgen study run {name}")


def _runs(study: str) -> list[Run]:
    """Those of the results folder, or of one study in it."""
    root = results_root()
    runs = runs_of(root, study)
    if not runs and study:
        known = sorted({sweep["study"] for sweep in sweeps_of(root)} - {""})
        instead = hint(study, known) if known else f"begin with `misgen study run {study}`"
        if study.endswith("-quick"):
            instead = f"smoke runs are in a folder of their own: --results {root / QUICK}"
        raise ValueError(f"{root} has no runs of a study {study!r}; {instead}")
    if not runs:
        raise ValueError(f"{root} has no runs; begin with `misgen train` or name it by --results")
    return runs


def _retry(runs: list[Run], workers: int) -> int:
    from misgen.experiments.jobs.scheduler import Job, run_jobs
    from misgen.experiments.provenance import usable_cores

    failed = [run for run in runs if run.state == "failed"]
    if not failed:
        print("nothing has failed")
        return 0
    require_writable(results_root())
    jobs = []
    for run in failed:
        folder = results_root() / "runs" / f"kind={run.kind}" / f"run={run.id}"
        config = read_json(folder / "config.json") or {}
        jobs.append(Job.of(run.kind, f"{run.kind} {run.arm} {run.id}", config, folder=folder))
    results = run_jobs(jobs, workers or usable_cores())
    ended = sum(result.status in ("done", "skipped") for result in results)
    print(f"{ended} of {len(failed)} runs that had failed are done")
    return int(ended < len(failed))
