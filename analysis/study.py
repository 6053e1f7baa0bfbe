"""The folder of a study: what its agents were and did, small enough to be sent or committed.

`misgen study run` writes it; everything that compares or shows a study reads this folder alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from duckdb import DuckDBPyRelation

from misgen.analysis.counts import read_played
from misgen.analysis.files import utf8
from misgen.analysis.settings import read_settings

STUDY = "study.json"
CURVES = "curves.parquet"  # columns run_id, steps, success_rate; a row per rollout
PATHS = "paths.json"


def film_of(code: str) -> str:
    """File name of the film of a cell."""
    return f"film-{code}.gif"


@dataclass(frozen=True)
class StudyFolder:
    """arms: in the study's order. against, along: see `misgen.experiments.studies.file.Analysis`.
    overrides: arm -> how its agents are trained, in words of `misgen train`. cells: code -> what it
    declares, by name ("intended goal", "proxy", ...). Folders of earlier versions lack these two.
    earlier_parts: provenance of what was published before the last part of it.

    played: counts (or episodes, see `read_played`) of all agents and their controls. settings: one
    row per evaluated agent, with the column `arm`; see `misgen.analysis.settings`.
    """

    path: Path
    name: str
    question: str
    arms: tuple[str, ...]
    against: str
    along: str
    is_smoke_run: bool
    provenance: Mapping[str, Any]
    played: DuckDBPyRelation
    settings: pa.Table
    overrides: Mapping[str, Sequence[str]]
    cells: Mapping[str, Mapping[str, str]]
    earlier_parts: Sequence[Mapping[str, Any]] = ()

    @property
    def arm_of_run(self) -> dict[str, str]:
        """Run id of an evaluation -> arm."""
        return dict(zip(*(self.settings[name].to_pylist() for name in ("run_id", "arm")),
                        strict=True))  # fmt: skip

    @cached_property
    def _training(self) -> dict[str, dict[str, Any]]:
        return {row["run_id"]: row for row in self.settings.to_pylist()}

    def training_of(self, run_id: str) -> dict[str, Any]:
        """The row of an evaluated agent in `settings`."""
        return self._training[run_id]

    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """Run id of an evaluation -> (steps, success rate of the episodes that ended) per rollout
        of the agent's training."""
        curves: dict[str, list[tuple[int, float]]] = {}
        for row in pq.read_table(utf8(self.path / CURVES)).to_pylist():
            curves.setdefault(row["run_id"], []).append((row["steps"], row["success_rate"]))
        return curves

    def film(self, code: str) -> bytes:
        """The GIF of a cell's first agent; empty where the folder has none."""
        file = self.path / film_of(code)
        return file.read_bytes() if file.is_file() else b""

    def paths(self) -> dict[str, Any]:
        """A few levels and the agents' ways through them; {} where the folder has none.

        `rule`: how the levels were chosen. `cells`: code -> agent number -> quadruples, each
        `level_seed` and `variants`: name -> `picture` (base64 of a PNG), `size` (rows, columns) and
        `ways`: arm -> `outcome` and `squares` (row * columns + column, at the start and after each
        step).
        """
        file = self.path / PATHS
        if not file.is_file():
            return {}
        try:
            found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(
                f"{file} is damaged ({error}); run the study again, or remove the file"
            ) from error
        return found


def read_study_folder(path: Path) -> StudyFolder:
    """Open what `misgen study run` left.

    Raises:
        ValueError: there is no study in the folder; see also `read_played`.
    """
    try:
        said = json.loads((path / STUDY).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"the folder of a study holds {STUDY}, as `misgen study run` leaves it; {path} has none"
        ) from error
    settings = read_settings(path)
    if settings is None:
        raise ValueError(f"{path} has no settings.parquet; run the study again: it is written last")
    return StudyFolder(
        path=path,
        name=said["name"],
        question=said["question"],
        arms=tuple(said["arms"]),
        against=said["against"],
        along=said["along"],
        is_smoke_run=said["smoke_run"],
        provenance=said["provenance"],
        played=read_played(path),
        settings=settings,
        overrides=said.get("overrides", {}),
        cells=said.get("cells", {}),
        earlier_parts=said.get("earlier_parts", ()),
    )
