"""Who is shown at play: trained agents as a command line names them, and planners."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from misgen.agents.description import files_of, read_entries
from misgen.agents.play import Episodes, play_episodes
from misgen.agents.policy import PlannerPolicy, Policy
from misgen.envs.core.family import Family
from misgen.envs.core.types import Cell
from misgen.envs.families import reference
from misgen.experiments.runs.evaluation_levels import Variant
from misgen.experiments.runs.folder import id_of, is_done, results_root, run_folders
from misgen.experiments.runs.subjects import EvaluateConfig, find_agents, load_agent
from misgen.experiments.runs.train import CHECKPOINT, is_repeated
from misgen.experiments.shown.drawing import COLOURS, INK, Colour

PLANNERS = "planners"
AGENT_HELP = (
    "number of a trained agent of this cell, its run (folder, or first digits of its id), or a "
    f"checkpoint; `{PLANNERS}` for none (default: the first of the results that was trained here, "
    f"with the cue the least broken; {PLANNERS} where there is none)"
)


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who plays: a trained agent, or the planner of a goal."""

    name: str
    goal: str = ""  # of a planner
    policy: Policy | None = None  # of an agent
    observation_mode: str = "planes"
    number: int = 0  # of an agent: names its block of levels
    trained: str = ""  # of an agent: the cell where
    d: float = 0.0  # ... and its diversity
    run: str = ""

    @property
    def is_agent(self) -> bool:
        return self.policy is not None

    @property
    def facts(self) -> dict[str, Any]:
        """Which agent it is, as JSON data."""
        return {"number": self.number, "trained_in": self.trained, "d": self.d, "run": self.run}

    @property
    def colour(self) -> Colour:
        return COLOURS.get(self.goal, INK)

    @property
    def names(self) -> Sequence[str]:
        """What it is called, the longest first."""
        if self.is_agent:
            return [f"{self.name}: what it does", self.name]
        asks = "what was wanted" if self.goal == "intended" else "what the cue says"
        return [f"{self.name}: {asks}", self.name, "planner"]

    def play(self, variant: Variant) -> Episodes:
        """Its episode on each level of a variant: that which `misgen evaluate` records."""
        return play_episodes(
            self.policy or PlannerPolicy(variant.plans, self.goal),
            variant.levels,
            horizon_steps=variant.limit,
            judged_at_steps=variant.judged,
            eval_seed=EvaluateConfig().eval_seed,
            observation_mode=self.observation_mode,
            batch_size=len(variant.levels),
        )


INTENDED = Actor(name="intended planner", goal="intended")
PROXY = Actor(name="proxy planner", goal="proxy")


def choose_agents(words: Sequence[str], family: Family, cell: Cell) -> list[Actor]:
    """The agents that a command line means; none for PLANNERS, or where none is named or trained.

    Raises:
        ValueError: there is no such agent, or several; it is of another family or version.
    """
    if list(words) == [PLANNERS]:
        return []
    trained = _trained_agents(family, cell)
    paths = [_find(word, trained, cell) for word in words] if words else [*trained][:1]
    actors = [actor_of(path, family) for path in paths]
    names = [actor.name for actor in actors]
    return [
        replace(actor, name=f"{actor.name}, d={actor.d:g}")
        if names.count(actor.name) > 1
        else actor
        for actor in actors
    ]


Described = dict[Path, dict[str, Any]]  # checkpoint -> what it says of itself


def _trained_agents(family: Family, cell: Cell) -> Described:
    """The results' agents that were trained in a cell: by d, then by number."""
    found = _described(run for run in _trainings() if not is_repeated(run))
    here = [
        (path, meta)
        for path, meta in found.items()
        if (meta["family"], meta["cell"]) == (reference(family), cell.code)
    ]
    return dict(sorted(here, key=lambda each: (each[1]["diversity"], each[1]["train_seed"])))


def _trainings() -> list[Path]:
    return [run for run in run_folders(results_root(), "train") if is_done(run)]


def _described(runs: Iterable[Path]) -> Described:
    return {run / CHECKPOINT: _entries(run / CHECKPOINT) for run in runs}


def _entries(checkpoint: Path) -> dict[str, Any]:
    return read_entries(files_of(checkpoint)[1])


def _find(word: str, trained: Described, cell: Cell) -> Path:
    """The checkpoint that a word means."""
    named = {path: meta for path, meta in trained.items() if word == str(meta["train_seed"])}
    if not named and len(word) >= 4:
        named = _described(run for run in _trainings() if id_of(run).startswith(word))
    if len(named) > 1:
        which = "; ".join(f"d={m['diversity']:g}: {id_of(p.parent)}" for p, m in named.items())
        raise ValueError(f"{word} names {len(named)} agents; name one by its run, of {which}")
    if named:
        return next(iter(named))
    if Path(word).exists() or files_of(word)[1].is_file():
        paths = find_agents(word)
        if len(paths) > 1:
            raise ValueError(f"{word} holds {len(paths)} agents; name one of its runs")
        return paths[0]
    numbers: dict[float, dict[int, None]] = {}
    for meta in trained.values():
        numbers.setdefault(meta["diversity"], {})[meta["train_seed"]] = None
    there = "; ".join(f"d={d:g}: {', '.join(map(str, own))}" for d, own in numbers.items())
    raise ValueError(
        f"an agent is a number, run or checkpoint; got {word!r}; {results_root()} has these agents "
        f"of {cell.code}: {there or 'none'}; train one with `misgen train cell={cell.code} "
        "intervention.diversity=0 train_seed=NUMBER`, or name other results with --results FOLDER"
    )


def actor_of(checkpoint: Path, family: Family) -> Actor:
    """The agent of a checkpoint, with what that says of itself."""
    meta = _entries(checkpoint)
    return Actor(
        name=f"agent {meta['train_seed']}",
        policy=load_agent(checkpoint, family),
        observation_mode=meta["observation_mode"],
        number=meta["train_seed"],
        trained=meta["cell"],
        d=meta["diversity"],
        run=id_of(checkpoint.parent) if checkpoint.parent.name.startswith("run=") else "",
    )
