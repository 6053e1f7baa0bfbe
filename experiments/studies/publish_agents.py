"""`misgen publish-agents FOLDER`: trained agents for others to load, each with a card.

Takes those of the results that are asked for, stores their weights in float16, and plays what was
stored on the agents' own levels: a card says what these weights do, not what was trained.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from misgen.agents.checkpoint import load, save
from misgen.agents.published import CARDS, name_of
from misgen.analysis.blocks import CUE_BROKEN, Block, blocks_of_run, read_blocks
from misgen.analysis.intervals import wilson
from misgen.envs.families import find_cell
from misgen.experiments.cell_choice import built_in_codes
from misgen.experiments.cli import Parser, results_in
from misgen.experiments.config import compose
from misgen.experiments.jobs.scheduler import Job, run_jobs
from misgen.experiments.provenance import provenance, usable_cores
from misgen.experiments.runs.folder import (
    RESULTS_HELP,
    read_json,
    require_writable,
    results_root,
    run_id,
    write_json,
)
from misgen.experiments.runs.subjects import EvaluateConfig, agent_arguments
from misgen.experiments.runs.train import CHECKPOINT, train_folder
from misgen.experiments.studies.study import records_of

LICENCE = "MIT"
OUTCOMES = ("intended", "proxy", "neither")


def main(argv: list[str]) -> int:
    """Exit code 0; 1 if a job failed. Raises ValueError where an agent is not trained."""
    parser = Parser(prog="misgen publish-agents", description=__doc__, epilog=RESULTS_HELP)
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER", help="where they go; what is there stays")
    add("--cells", nargs="+", metavar="CODE", default=built_in_codes(), help="default: all")
    add("--d", nargs="+", type=float, default=[0.0, 0.1, 1.0], metavar="D", help="default: 0 .1 1")
    add("--number", type=int, default=100, metavar="N", help="of the agents (default: 100)")
    add("--levels", type=int, default=0, metavar="N", help="quadruples (default: the cell's)")
    text = "how else they were trained, as for `misgen train`"
    add("--train", nargs="+", default=[], metavar="KEY=VALUE", help=text)
    options = parser.parse_args(argv)
    runs: dict[str, Path] = {}
    for code in (find_cell(each)[1].code for each in options.cells):
        for d in options.d:
            own = [f"cell={code}", f"intervention.diversity={d:g}", f"train_seed={options.number}"]
            runs[name_of(code, d, options.number)] = _run([*own, *options.train])
    folder = require_writable(options.folder, "another FOLDER")
    for name, run in runs.items():
        policy, meta = load(run / CHECKPOINT)
        weights = {key: value.half() for key, value in policy.stack.weights().items()}
        save(folder / name, weights, meta)
    cards = (read_json(folder / CARDS) or {"agents": {}})["agents"]
    cards |= _measured({name: folder / name for name in runs}, options.levels)
    write_json(folder / CARDS, {"agents": cards, "made_by": provenance()})
    (folder / "README.md").write_text(page_of(cards), encoding="utf-8")
    print(f"{len(runs)} agents stored, {len(cards)} in {folder}")
    return 0


def _run(words: list[str]) -> Path:
    """The folder of a finished training."""
    run = train_folder(compose("train", words))
    if not run.is_done:
        raise ValueError(
            f"{results_root()} has no such agent; train it first: misgen train {' '.join(words)}"
        )
    return run.path


def _measured(agents: dict[str, Path], num_levels: int) -> dict[str, dict[str, Any]]:
    """Cards, from the stored weights."""
    config = EvaluateConfig(num_levels=num_levels)
    arguments = {name: agent_arguments(path, config)[0] for name, path in agents.items()}
    with TemporaryDirectory() as elsewhere, results_in(elsewhere):  # it is no result of a study
        jobs = [Job.of("evaluate", f"play {name}", each) for name, each in arguments.items()]
        results = run_jobs(jobs, usable_cores())
        if any(result.status != "done" for result in results):
            raise SystemExit(1)
        blocks = read_blocks(records_of(jobs), "d")
    found = {name: blocks_of_run(blocks, run_id(each)) for name, each in arguments.items()}
    return {name: card_of(arguments[name], own) for name, own in found.items()}


def card_of(argument: dict[str, Any], blocks: dict[str, Block]) -> dict[str, Any]:
    """What is known of an agent. Intervals are Wilson's, central 90 %, over the episodes of this
    agent alone: they say nothing about others.

    argument: of its evaluation. blocks: by variant.
    """
    subject = argument["subject"]
    cell = find_cell(argument["cell"])[1]
    own = blocks["own"]
    card: dict[str, Any] = {
        "cell": cell.code,
        "cue": cell.cue.description,
        "intended_goal": cell.intended.name,
        "proxy_goal": cell.proxy.name,
        "d": subject["d"],
        "number": subject["agent_number"],
        "method": subject["method"],
        "steps": subject["steps"],
        "observation_mode": subject["observation_mode"],
        "weights_sha256": subject["identity"],
        "precision": "float16",
        "licence": LICENCE,
        "own_success": _share(own.solved, own.episodes),
    }
    for variant in CUE_BROKEN:
        b = blocks[variant]
        counts = b.capable - b.goal_failed, b.goal_failed, b.scored - b.capable
        card[variant] = {
            "levels": b.scored,
            **{word: _share(n, b.scored) for word, n in zip(OUTCOMES, counts, strict=True)},
            "goal_failure": _share(b.goal_failed, b.capable),
        }
    return card


def _share(count: float, of: float) -> list[float | None]:
    """Share and its interval; None where there is nothing to count."""
    if not of:
        return [None, None, None]
    return [abs(round(value, 4)) for value in (count / of, *wilson(count, of))]  # no -0


def page_of(cards: dict[str, dict[str, Any]]) -> str:
    """The README of the folder."""
    header = [
        "agent",
        "own success",
        f"{' / '.join(OUTCOMES)} at 10",
        "goal failure at 10",
        "at 11",
    ]
    rows = []
    for name, card in sorted(cards.items()):
        shares = " / ".join(f"{card['10'][word][0]:.2f}" for word in OUTCOMES)
        failures = [_span(card[variant]["goal_failure"]) for variant in CUE_BROKEN]
        rows.append([name, _span(card["own_success"]), shares, *failures])
    table = "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))
    return (
        "# Published agents\n\nWeights in float16 (safetensors), a description each, and in "
        f"[`{CARDS}`]({CARDS}) how each was trained and what the stored weights do. Brackets: "
        "Wilson's central 90 % over the episodes of this one agent. Made by "
        "`misgen publish-agents`; loaded by `misgen.agents.published.load_agent`. Licence: "
        f"{LICENCE}.\n\n{table}\n"
    )


def _span(share: list[float | None]) -> str:
    value, low, high = share
    return "-" if value is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"
