"""Longer trainings, where an arm of a study has learned little."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from duckdb import DuckDBPyRelation

from misgen.analysis.table import rates_table
from misgen.experiments.config import TrainConfig
from misgen.experiments.study_file import Longer


def longer_configs(
    longer: Longer, controls: Sequence[TrainConfig], codes: Iterable[str]
) -> list[TrainConfig]:
    """The first agent of an arm in each of these cells, with more steps."""
    configs = []
    for code in codes:
        config = next(config for config in controls if config.cell == code)
        configs.append(with_steps(config, lambda steps: longer.times * steps))
    return configs


def with_steps(config: TrainConfig, change: Callable[[int], int]) -> TrainConfig:
    """The same with another number of PPO's steps, made from its own."""
    settings = config.agent.settings
    changed = replace(settings, total_steps=change(settings.total_steps))
    return replace(config, agent=replace(config.agent, settings=changed))


def unlearned(
    records: DuckDBPyRelation, controls: Sequence[TrainConfig], below: float
) -> list[str]:
    """Codes of the cells where the competent agents of an arm stay below this share of the
    planner's success on their own distribution, or where there are none."""
    arms = {
        (c.cell, c.agent.method, c.intervention.diversity, c.intervention.specification)
        for c in controls
    }
    return sorted(
        {
            row.cell
            for row in rates_table(records)
            if (row.cell, row.method, row.d, row.q) in arms
            and row.train_distribution == row.cell
            and row.population == "competent"
            and not row.own_success >= below * row.planner_own_success
        }
    )
