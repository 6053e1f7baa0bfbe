"""`misgen evaluate`: episodes of trained agents on their own level blocks, with all controls.

Finished evaluations are not repeated: interrupted, the same command continues.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import fields

from misgen.experiments.cli import Parser
from misgen.experiments.jobs.scheduler import run_jobs
from misgen.experiments.provenance import usable_cores
from misgen.experiments.runs.evaluation_jobs import evaluation_jobs
from misgen.experiments.runs.evaluation_levels import forget_plans
from misgen.experiments.runs.folder import RESULTS_HELP, require_writable, results_root
from misgen.experiments.runs.subjects import (
    EvaluateConfig,
    agent_arguments,
    find_agents,
    flag_of,
    policy_arguments,
    refuse_second_evaluation,
    remove_earlier,
)


def main(argv: list[str]) -> int:
    """Exit code 0; 1 if a job failed. Raises ValueError for wrong arguments."""
    _refuse_old_words(argv)
    config = EvaluateConfig(**vars(_parser().parse_args(argv)))
    require_writable(results_root())
    if config.policy:
        arguments = policy_arguments(config)
    else:
        paths = find_agents(config.agents)
        arguments = [found for path in paths for found in agent_arguments(path, config)]
        if config.checkpoints == "all" and not any(each["checkpoints"] for each in arguments):
            raise ValueError(
                f"--checkpoints all plays those that trainings kept; {len(paths)} agents kept "
                "their last one only; train with checkpoints=all"
            )
        refuse_second_evaluation(arguments)
    results = run_jobs(evaluation_jobs(arguments), config.num_workers or usable_cores())
    forget_plans()
    if any(result.status not in ("done", "skipped") for result in results):
        return 1
    if config.policy:
        for argument in arguments:
            remove_earlier(argument)
    agents = {argument["subject"]["identity"] for argument in arguments}
    where = shlex.quote(str(results_root()))
    print(f"{len(agents)} evaluated; see: misgen rates --results {where}")
    return 0


def _parser() -> Parser:
    parser = Parser(prog="misgen evaluate", description=__doc__, epilog=RESULTS_HELP)
    for field in fields(EvaluateConfig):
        parser.add_argument(
            flag_of(field.name),
            dest=field.name,
            type=type(field.default),
            default=field.default,
            **field.metadata,
        )
    return parser


def _refuse_old_words(argv: Sequence[str]) -> None:
    """Up to misgen 0.3 settings were Hydra's key=value."""
    flags = {field.name: flag_of(field.name) for field in fields(EvaluateConfig)}
    for word in argv:
        key, is_word, value = word.lstrip("+~").partition("=")
        if is_word and key in flags:
            raise ValueError(
                f"a setting of evaluate is a flag; got {word}; write {flags[key]} {value}".rstrip()
            )
