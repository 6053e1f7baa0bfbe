"""The films of a study, one a cell: what its first agents do where the cue is broken."""

from __future__ import annotations

from pathlib import Path

from misgen.agents.description import read_entries
from misgen.analysis.files import atomic_write_bytes
from misgen.analysis.study import film_of
from misgen.envs.families import find_cell
from misgen.experiments.film import direct
from misgen.experiments.film_files import encoded
from misgen.experiments.shown_agents import actor_of
from misgen.experiments.study import Measured
from misgen.experiments.train import CHECKPOINT, train_folder


def write_films(measured: Measured, folder: Path) -> None:
    """Of each cell whose film the folder lacks and whose levels can be drawn: the first agent of
    the first arm. A smoke run has none."""
    arm = next(iter(measured.plan.study.arms))
    for code in () if measured.plan.quick else measured.plan.cells:
        file = folder / film_of(code)
        here = [config for config in measured.configs.get(arm, ()) if config.cell == code]
        family, cell = find_cell(code)
        if file.is_file() or not here or family.paint is None:
            continue
        checkpoint = train_folder(here[0]).path / CHECKPOINT
        agent = actor_of(checkpoint, read_entries(checkpoint.with_suffix(".json")), family)
        script, _ = direct(family, cell, [agent])
        atomic_write_bytes(file, encoded(script, ".gif"))
