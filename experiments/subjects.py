"""Who is evaluated: which agents, checkpoints or policies of one's own a configuration means, and
the job argument of each."""

from __future__ import annotations

import secrets
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from misgen.agents.description import files_of, read_entries
from misgen.agents.policy import Policy, find_function
from misgen.envs.core.family import Family
from misgen.envs.core.render import Renderer
from misgen.envs.core.types import Cell
from misgen.envs.families import find_family, reference
from misgen.experiments.cell_choice import choose_cell
from misgen.experiments.run_folder import (
    RunFolder,
    is_done,
    read_json,
    remove_run,
    results_root,
    run_folders,
    run_id,
)
from misgen.experiments.train import CHECKPOINT, EARLIER_CHECKPOINTS, is_repeated

OUTCOME_VERSION = 2  # rises when an outcome rule or the playing of episodes changes


def _option(default: Any, metavar: str, text: str) -> Any:
    """A field with what the command's help says about it."""
    return field(default=default, metadata={"metavar": metavar, "help": text})


@dataclass(frozen=True)
class EvaluateConfig:
    """How trained agents, or a policy of one's own, are evaluated."""

    agents: str = _option("", "PATH", "checkpoint, run or results folder (default: the results)")
    cell: str = _option("", "CODE|all", "where agents play (default: where they were trained)")
    policy: str = _option("", "MODULE:FUNCTION", "a policy of your own; its code is executed")
    policy_family: str = _option("", "NAME", "what it plays (default: the cell's)")
    policy_cell: str = _option("", "CODE", "its training distribution, as its records call it")
    policy_observation_mode: str = _option("", "MODE", "what it sees (default: the family's)")
    policy_d: float = _option(0.0, "D", "the diversity that its records are labelled with")
    policy_number: int = _option(0, "N", "its agent number, which names its block of levels")
    num_levels: int = _option(0, "N", "quadruples an agent (default: the cell's)")
    checkpoints: str = _option("final", "final|all", "all: also at 1/8, 1/4 and 1/2 of training")
    eval_base: int = _option(10**12, "SEED", "first level seed of agent number 0")
    eval_seed: int = _option(0, "SEED", "names the draws of sampled actions and tie-breaks")
    num_workers: int = _option(0, "N", "processes (default: one a core)")
    study: str = _option("", "NAME", "of the records (default: the agent's)")

    def __post_init__(self) -> None:
        if self.num_levels > 10**6:
            raise ValueError(f"--levels is in [0, 10^6]; got {self.num_levels}")
        for name in ("num_levels", "eval_base", "eval_seed", "num_workers", "policy_number"):
            if getattr(self, name) < 0:
                raise ValueError(f"{flag_of(name)} is at least 0; got {getattr(self, name)}")
        if self.checkpoints not in ("final", "all"):
            raise ValueError(f"--checkpoints is final or all; got {self.checkpoints!r}")
        if self.policy and self.agents:
            raise ValueError("evaluate either --agents or --policy module:function, not both")


def flag_of(name: str) -> str:
    """The flag of a field; that of a count goes without its `num_`."""
    return "--" + name.removeprefix("num_").replace("_", "-")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Who is evaluated, and the labels of its records."""

    family: str  # what `find_family` finds it by
    cell: str  # code of the one where it was trained
    observation_mode: str
    method: str
    d: float
    q: float
    train_seed: int
    agent_number: int
    steps: int
    identity: str  # hash of the weights, or of the source of a policy of one's own


def find_agents(where: str) -> list[Path]:
    """Paths of checkpoints (without suffix): of one file, of one run, or of all finished runs.

    Raises:
        ValueError: there is none, or the one that was named cannot be loaded.
    """
    root = Path(where) if where else results_root()
    for named in (root, root / CHECKPOINT):
        if files_of(named)[1].is_file():
            checkpoint = named.with_name(files_of(named)[1].name.removesuffix(".json"))
            load_agent(checkpoint)
            return [checkpoint]
    if root.exists() and not root.is_dir():
        raise ValueError(f"--agents is a checkpoint or a folder; {root} is another kind of file")
    runs = run_folders(root, "train")
    found = [run / CHECKPOINT for run in runs if is_done(run) and not is_repeated(run)]
    if not found:
        raise ValueError(
            f"no trained agent in {root} ({len(runs)} unfinished); train some with `misgen train` "
            "or name a checkpoint with --agents PATH"
        )
    return found


def agent_arguments(checkpoint: Path, config: EvaluateConfig) -> list[dict[str, Any]]:
    """The job arguments that evaluate one checkpoint, one for each cell it plays."""
    meta = read_entries(files_of(checkpoint)[1])
    subject = Subject(
        family=meta["family"],
        cell=meta["cell"],
        observation_mode=meta["observation_mode"],
        method=meta["method"],
        d=meta["diversity"],
        q=meta["specification"],
        train_seed=meta["train_seed"],
        agent_number=meta["train_seed"],
        steps=meta["steps"],
        identity=meta["weights_sha256"],
    )
    trained = read_json(checkpoint.parent / "config.json") or {"method": meta["settings"]}
    study = config.study or str(trained.get("study", "train"))
    labels = (study, str(checkpoint), setting_of(trained))
    earlier = earlier_checkpoints(checkpoint, subject.steps)
    arguments = []
    for code in played_cells(subject, config.cell):
        argument = _argument(subject, code, config, *labels)
        everything = {**argument, "checkpoints": earlier}
        has_all = RunFolder(results_root(), "evaluate", everything).is_done
        arguments.append(everything if config.checkpoints == "all" or has_all else argument)
    return arguments


def played_cells(subject: Subject, asked: str) -> list[str]:
    """Codes of the cells that `asked` (a code, "all", or "" = the subject's own) means.

    Raises:
        ValueError: the family has no such cell, or its cue cannot be seen in the subject's mode.
    """
    named = asked if asked != "all" else ""
    family, cell = choose_cell(subject.family, named or subject.cell)
    cells = family.cells if asked == "all" else (cell,)
    for cell in cells:
        try:
            Renderer(family, cell, subject.observation_mode)
        except ValueError as error:
            raise ValueError(
                f"{subject.method} agent {subject.agent_number} sees {subject.observation_mode}, "
                f"so it cannot be evaluated in cell {cell.code}: {error}"
            ) from None
    return [cell.code for cell in cells]


def earlier_checkpoints(checkpoint: Path, steps: int) -> list[dict[str, Any]]:
    """Those that were saved on the way to a checkpoint of `steps`. Short trainings have less than
    a rollout between some of them: one of equals is enough."""
    found = {}
    for name in EARLIER_CHECKPOINTS.values() if checkpoint.name == CHECKPOINT else ():
        meta = read_json(checkpoint.with_name(f"{name}.json"))
        if meta is not None and meta["steps"] < steps:
            found[meta["steps"]] = {"name": name, "identity": meta["weights_sha256"]}
    return [{"steps": number, **found[number]} for number in sorted(found)]


def setting_of(trained: Mapping[str, Any]) -> str:
    """A hash of how an agent was trained, but for its seed, study, method, diversity and
    specification: what the arms of a study that differ in these have in common."""
    other = ("train_seed", "study", "checkpoints")
    setting = {key: value for key, value in trained.items() if key not in other}
    intervention = dict(setting.get("intervention", {}))
    for varied in ("diversity", "specification"):
        intervention.pop(varied, None)
    agent = {key: value for key, value in setting.get("agent", {}).items() if key != "method"}
    return run_id({**setting, "intervention": intervention, "agent": agent})


def policy_arguments(config: EvaluateConfig) -> list[dict[str, Any]]:
    """The job arguments that evaluate a policy of the user's own. Its code is executed."""
    sys.path.insert(0, str(Path.cwd()))
    print(f"running the code of {config.policy}: evaluate only policies that you trust")
    family, cell = choose_cell(config.policy_family, config.policy_cell)
    find_function(config.policy)
    subject = Subject(
        family=reference(family),
        cell=cell.code,
        observation_mode=config.policy_observation_mode or family.default_mode,
        method=config.policy,
        d=config.policy_d,
        q=1.0,
        train_seed=config.policy_number,
        agent_number=config.policy_number,
        steps=0,
        identity=secrets.token_hex(16),  # what it does cannot be known: it is always played again
    )
    labels = (config.study or "policy", config.policy, run_id({"policy": config.policy}))
    codes = played_cells(subject, config.cell)
    return [_argument(subject, code, config, *labels) for code in codes]


def refuse_second_evaluation(arguments: Sequence[Mapping[str, Any]]) -> None:
    """ValueError where an agent has been evaluated on other levels in the same cell: rates are of
    one evaluation per agent."""
    planned = {(one["subject"]["identity"], one["cell"]): one for one in arguments}
    for folder in run_folders(results_root(), "evaluate"):
        done = (read_json(folder / "config.json") or {}) if is_done(folder) else {}
        one = planned.get((done.get("subject", {}).get("identity"), done.get("cell")), done)
        for name in ("num_levels", "eval_base", "eval_seed"):
            if one.get(name) != done.get(name):
                raise ValueError(
                    f"an agent is evaluated once in a cell; {folder} has agent "
                    f"{one['subject']['agent_number']} in {one['cell']} with {flag_of(name)} "
                    f"{done[name]}, asked for is {one[name]}; remove that folder, or keep both "
                    f"apart: --results OTHER --agents {shlex.quote(one['location'])}"
                )


def remove_earlier(argument: dict[str, Any]) -> None:
    """Earlier evaluations of a policy of one's own in this cell, now that there is a new one."""
    now = {**argument["subject"], "identity": "", "played": argument["cell"]}
    for folder in run_folders(results_root()):
        config = read_json(folder / "config.json") or {}
        for member in config.get("members", [config]):
            subject = member.get("subject", {})
            then = {**subject, "identity": "", "played": member.get("cell")}
            if subject.get("identity") != argument["subject"]["identity"] and now == then:
                remove_run(folder)


def _argument(
    subject: Subject,
    cell: str,
    config: EvaluateConfig,
    study: str,
    location: str,
    setting: str,
) -> dict[str, Any]:
    family = find_family(subject.family)
    return {
        "subject": asdict(subject),
        "cell": cell,  # code of the one where it plays
        "setting": setting,
        "study": study,
        "num_levels": config.num_levels or family.cell(cell).evaluation_levels,
        "eval_base": config.eval_base,
        "eval_seed": config.eval_seed,
        "family_version": family.version,
        "outcome_version": OUTCOME_VERSION,
        "checkpoints": [],
        "location": location,
    }


def is_at_home(argument: Mapping[str, Any]) -> bool:
    """Whether the subject plays in the cell that it was trained in."""
    return bool(argument["cell"] == argument["subject"]["cell"])


def family_of(argument: Mapping[str, Any]) -> Family:
    """The family that is played."""
    return find_family(argument["subject"]["family"])


def cell_of(argument: Mapping[str, Any]) -> Cell:
    """The cell that is played."""
    return family_of(argument).cell(argument["cell"])


def arm_of(argument: Mapping[str, Any]) -> tuple[Any, ...]:
    """What the agents of one arm have in common, and how they are evaluated. Checkpoints tell arms
    apart by name: how long a repair takes differs between agents."""
    subject = argument["subject"]
    labels = (subject[name] for name in ("family", "cell", "observation_mode", "method", "d", "q"))
    how = (argument[name] for name in ("setting", "num_levels", "eval_base", "eval_seed"))
    return (*labels, Path(argument["location"]).name, *how)


def load_agent(checkpoint: Path, family: Family | None = None) -> Policy:
    """The agent of a checkpoint; see misgen.agents.checkpoint.load."""
    from misgen.agents.checkpoint import load  # imports torch: seconds

    return load(checkpoint, family)[0]
