"""What a study is: the types of a file in configs/studies, and how it is read.

(The folder is not called `study`: Hydra would take the label in `misgen train study=NAME` for the
name of a file in it.)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from misgen.analysis.text import hint
from misgen.envs.families import find_cell
from misgen.experiments.cell_choice import built_in_codes

FOLDER = files("misgen.configs") / "studies"

GIVEN = {"cell": "cells", "family": "cells", "train_seed": "first_agent", "study": "name"}
"""Overrides that no arm has -> the key of a study that says it."""

FORMS = {
    bool: "true or false",
    dict: "keys and values",
    float: "a number",
    int: "a whole number",
    list: "a list",
    str: "text",
}


@dataclass(frozen=True)
class Arm:
    """Agents that differ in their number and cell only."""

    overrides: tuple[str, ...]  # of `misgen train`
    agents: int | None = None  # at most; None = as many as are asked for
    cells: tuple[str, ...] = ()  # codes; () = all of the study


@dataclass(frozen=True)
class Evaluation:
    """What is evaluated besides every agent in its own cell, at the end of its training."""

    checkpoints_of: tuple[str, ...] = ()  # arms whose agents are evaluated at earlier ones, too
    cross_play_of: tuple[str, ...] = ()  # arms whose agents play their family's other cells, too
    cross_play_agents: int = 0  # so many of the first ones


@dataclass(frozen=True)
class Analysis:
    """How its arms are compared."""

    against: str = ""  # the arm that all others are compared with
    along: str = ""  # what the arms vary, by its last word: d, q, num_levels, total_steps, ...


LONGER = "curves.json"  # in a study's folder: code of a cell -> the curve of a longer training


@dataclass(frozen=True)
class Longer:
    """A longer training of the first agent of an arm, in cells where the arm has learned little."""

    arm: str
    times: int  # the steps of PPO
    below: float  # of the planner's success


@dataclass(frozen=True)
class Quick:
    """What makes a smoke run of a study: the numbers mean nothing."""

    num_levels: int  # quadruples an agent
    steps_divisor: int = 1  # of PPO's steps
    overrides: tuple[str, ...] = ()
    agents: int | None = None  # at most, in each arm
    cells: tuple[str, ...] = ()  # only these; () = all of the study


@dataclass(frozen=True)
class Study:
    name: str
    question: str
    arms: dict[str, Arm]
    agents: int  # in each arm, unless asked for more or fewer
    quick: Quick
    cells: tuple[str, ...] = ()  # codes; () = all built-in ones
    first_agent: int = 0
    evaluation: Evaluation = Evaluation()
    analysis: Analysis = Analysis()
    shifts: bool = False  # measure how far they are from training
    longer: Longer | None = None

    def __post_init__(self) -> None:
        if not self.arms or self.agents < 1:
            raise ValueError(
                "a study has at least one arm, with at least one agent; got "
                f"{len(self.arms)} and {self.agents}"
            )
        if self.quick.steps_divisor < 1:
            raise ValueError(f"steps_divisor is at least 1; got {self.quick.steps_divisor}")
        for code in (
            *self.cells,
            *self.quick.cells,
            *(code for arm in self.arms.values() for code in arm.cells),
        ):
            find_cell(code)
        for named in (*self.evaluation.checkpoints_of, *self.evaluation.cross_play_of):
            _require_known(named, self.arms, "the evaluation", "arm")
        if self.analysis.against:
            _require_known(self.analysis.against, self.arms, "the analysis", "arm")
        if self.longer:
            _require_known(self.longer.arm, self.arms, "longer", "arm")
        for name, arm in self.arms.items():
            for key in {override.partition("=")[0] for override in arm.overrides} & {*GIVEN}:
                raise ValueError(
                    f"an arm says how agents are trained; got {key}= in {name!r}; that is the "
                    f"study's {GIVEN[key]!r}"
                )


def size_of(study: Study) -> tuple[int, int]:
    """How many agents it trains, and all their steps of PPO, at its default size."""
    agents = steps = 0
    for arm in study.arms.values():
        said = dict(override.split("=", 1) for override in arm.overrides)
        for code in arm.cells or study.cells or built_in_codes():
            family, cell = find_cell(code)
            own = cell.total_steps or family.total_steps
            number = min(study.agents, arm.agents or study.agents)
            agents += number
            steps += number * int(said.get("agent.settings.total_steps", own))
    return agents, steps


def study_names() -> list[str]:
    """Ours."""
    return sorted(file.name.removesuffix(".yaml") for file in FOLDER.iterdir())


def load_study(name: str) -> Study:
    """A study of ours by its name, or one of a user's by the path of its file.

    Raises:
        ValueError: there is none; see also `read_study`.
    """
    if name.endswith((".yaml", ".yml")):
        file = Path(name)
        if not file.is_file():
            raise ValueError(f"a study of your own is a YAML file; there is no {name}")
        return read_study(file)
    if name not in study_names():
        raise ValueError(
            f"there is no study {name!r}; {hint(name, study_names())} A study of your own is named "
            "by its file, as own_study.yaml"
        )
    return read_study(FOLDER / f"{name}.yaml")


def read_study(file: Traversable | Path) -> Study:
    """The study that a YAML file declares, named like the file unless it says otherwise.

    Raises:
        ValueError: the file is not YAML, a key is unknown or missing, a value is of another kind,
            or there is no such cell or arm.
    """
    name = Path(file.name).stem
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise ValueError("a study has keys, such as `arms`")
        study: Study = _parsed(Study, {"name": name, **data}, "the study")
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{file}: {' '.join(str(error).split())}") from error
    return study


def _parsed(kind: Any, data: Any, where: str) -> Any:
    """Data of a YAML file as a dataclass, tuple, dictionary or plain value; ValueError says which
    part of the file is not of this kind."""
    if isinstance(kind, UnionType):  # X | None: given here
        kind = get_args(kind)[0]
    whole, inside = get_origin(kind) or kind, get_args(kind)
    if whole is Arm and isinstance(data, list):  # the overrides alone
        data = {"overrides": data}
    form = list if whole is tuple else dict if is_dataclass(whole) else whole
    accepted: Any = (int, float) if form is float else form
    if not isinstance(data, accepted) or (isinstance(data, bool) and form is not bool):
        raise ValueError(f"{where} is {FORMS[form]}; got {data!r}")
    if is_dataclass(whole):
        return _declared(whole, data, where)
    if form is list:
        return tuple(_parsed(inside[0], each, f"each of {where}") for each in data)
    if form is dict:
        return {str(k): _parsed(inside[1], each, f"{where} {k!r}") for k, each in data.items()}
    return data


def _declared(kind: Any, data: dict[Any, Any], where: str) -> Any:
    """A dataclass of these keys and values."""
    hints = get_type_hints(kind)
    for key in data:
        _require_known(str(key), hints, where, "key")
    for item in fields(kind):
        if item.default is MISSING and item.name not in data:
            raise ValueError(f"{where} has no {item.name!r}; say it")
    return kind(**{key: _parsed(hints[key], each, f"{key!r}") for key, each in data.items()})


def _require_known(name: str, known: Iterable[str], where: str, what: str) -> None:
    if name not in known:
        raise ValueError(f"{where} names no known {what}: {name!r}; {hint(name, known)}")
