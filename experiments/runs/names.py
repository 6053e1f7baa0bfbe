"""How runs and arms are called, in progress lines and tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from misgen.experiments.cell_choice import arm_words, cell_label
from misgen.experiments.config import TrainConfig, as_dict

NOT_SAID = ("study", "train_seed", "intervention.name")  # of an arm


def run_name(config: TrainConfig) -> str:
    """How a run is called in progress lines."""
    return run_names([config])[0]


def run_names(configs: Sequence[TrainConfig]) -> list[str]:
    """The same for runs of one study or sweep: with the settings that tell their arms apart."""
    arms = arm_names(configs)
    return [f"{arm} agent {one.train_seed}" for arm, one in zip(arms, configs, strict=True)]


def arm_names(configs: Sequence[TrainConfig]) -> list[str]:
    """What the agents of an arm have in common, in words, of each run of a study or sweep: with
    the settings that tell apart arms that would have one name."""
    arms: list[tuple[str, dict[str, Any]]] = []
    twins: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for config in configs:
        asked, cell = config.intervention, cell_label(config.get_family(), config.get_cell())
        words = arm_words(cell, config.agent.method, asked.diversity, asked.specification)
        arm = f"{words} {asked.name.rpartition(':')[2]}".rstrip()
        arms.append((arm, dict(_flat(as_dict(config)))))
        twins[arm].append(arms[-1][1])
    names = []
    for arm, settings in arms:
        varied = (
            key
            for key in settings
            if any(twin.get(key) != settings[key] for twin in twins[arm]) and key not in NOT_SAID
        )
        said = (f"{key.rpartition('.')[2]}={settings[key]}" for key in varied)
        names.append(" ".join([arm, *said]))
    return names


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
