"""How the evaluated agents of a results folder were trained, from their training runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from misgen.analysis.settings import SEEN, read_settings, rows_of
from misgen.experiments.runs.folder import (
    id_of,
    is_done,
    read_json,
    run_folders,
)

LEFT_OUT = {
    "train_seed", "study", "family", "cell", "method", "diversity", "specification",
    "observation_mode", "device", "num_threads", "checkpoints", "tensorboard",
}  # fmt: skip
"""What the records say themselves, or what decides nothing."""


def settings_of(results: Path) -> pa.Table | None:
    """One row per evaluated agent; of a folder of records alone what it holds beside them."""
    published = read_settings(results)
    return published if published is not None else table_of(settings_rows(results))


def settings_rows(results: Path) -> list[dict[str, Any]]:
    """The rows of `settings_of`; a table of them takes longer to make: Arrow imports pandas."""
    published = read_settings(results)
    if published is not None:
        return rows_of(published)
    return [row for folder in run_folders(results, "evaluate") for row in _row(results, folder)]


def table_of(rows: list[dict[str, Any]]) -> pa.Table | None:
    return pa.Table.from_pylist(alike(rows)) if rows else None


def _row(results: Path, folder: Path) -> Iterator[dict[str, Any]]:
    config = read_json(folder / "config.json") if is_done(folder) else None
    if config is None or config["cell"] != config["subject"]["cell"]:
        return  # what an agent does elsewhere is not another agent
    training = results / "runs" / "kind=train" / Path(config["location"]).parent.name
    trained = read_json(training / "config.json")
    if trained is None or not is_done(training):
        return
    seen = read_json(training / "train.json") or {}
    done = read_json(training / "done.json") or {}
    before = training.with_name(f"run={seen.get('went_on_from')}") / "done.json"
    took = [done, read_json(before) or {}]  # an agent that went on from another took both
    yield {
        "run_id": id_of(folder),
        "train_id": id_of(training),
        "setting": config["setting"],
        "weights_sha256": config["subject"]["identity"],
        **{name: _sum(each.get(name) for each in took) for name in ("seconds", "cpu_seconds")},
        **{name: seen.get(name) for name in ("episodes", "broken_draws", *SEEN)},
        **{name: seen[name] for name in ("repair_steps",) if name in seen},
        **{"gru_dim": 0, **dict(settings_in(trained))},  # see `as_dict`
    }


def _sum(numbers: Iterable[float | None]) -> float | None:
    """Of those that there are; None if there is none."""
    given = [number for number in numbers if number is not None]
    return sum(given) if given else None


def settings_in(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """What can be varied, by its last word; of cloning as `cloning_batch_size`."""
    for key, value in config.items():
        if key == "intervention" and value.get("name"):
            yield from _intervention(value)
        elif isinstance(value, Mapping):
            yield from settings_in(value, "cloning_" if key == "cloning" else "")
        elif key not in LEFT_OUT:
            yield prefix + key, value


def _intervention(asked: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """One with hooks, by its name; its settings as `repair_episodes`."""
    name = asked["name"].rpartition(":")[2]
    yield "num_levels", asked["num_levels"]
    yield "intervention", name
    yield from ((f"{name}_{word}", value) for word, value in asked["settings"].items())


def alike(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same columns in every row."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]
