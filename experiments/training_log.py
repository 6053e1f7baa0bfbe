"""How a training is followed while it runs: progress, its learning curve, TensorBoard."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import io
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from misgen.analysis.files import atomic_write_bytes
from misgen.experiments.jobs_child import report_progress

Progress = Callable[[int, int, Any], None] | None  # (steps, of steps, newest row of the curve)

CURVE = "curve.csv"
CURVE_S = 5.0  # between two writings of a curve that grows
TENSORBOARD = "tensorboard"  # folder in a run's


class Meter:
    """Progress on the terminal: one line that is rewritten, or a plain line now and then."""

    def __init__(self, label: str) -> None:
        self.label, self.shown = label, -1

    def __call__(self, steps: int, total: int, row: Any) -> None:
        percent = 100 * steps // total
        stride = 1 if sys.stderr.isatty() else 20
        if percent // stride == self.shown // stride and percent < 100:
            return
        self.shown = percent
        end = "\r" if sys.stderr.isatty() and percent < 100 else "\n"
        text = f"{self.label}: {percent:3d} % of {total:,} steps, success {row.success_rate:.2f}"
        print(text, end=end, file=sys.stderr, flush=True)


class TrainingLog:
    """Called after each rollout: writes progress and the curve so far into the run folder.

    A training that goes on continues its curve. Whatever of this is lost costs no result:
    `write_curve` writes the whole curve at the end.
    """

    def __init__(self, folder: Path, on_progress: Progress = None, tensorboard: bool = False):
        self.folder, self.on_progress = folder, on_progress
        self.rows: list[dict[str, Any]] | None = None
        self.written = -math.inf
        self.board = _summary_writer(folder / TENSORBOARD) if tensorboard else None

    def __call__(self, steps: int, total: int, row: Any) -> None:
        done = min(steps, total)
        report_progress(self.folder, done, total, f"success {row.success_rate:.2f}")
        self._grow(asdict(row))
        if self.on_progress is not None:
            self.on_progress(done, total, row)

    def _grow(self, row: dict[str, Any]) -> None:
        (axis, at), *values = row.items()  # steps, or labelled states
        if self.rows is None:  # those of an attempt that was interrupted
            self.rows = [old for old in read_curve(self.folder / CURVE) if old.get(axis, at) < at]
        self.rows.append(row)
        if self.board is not None:
            for name, value in values:
                self.board.add_scalar(f"training/{name}", value, at)
        if time.monotonic() - self.written >= CURVE_S:
            self.written = time.monotonic()
            _write_rows(self.folder / CURVE, self.rows)

    def close(self) -> None:
        if self.board is not None:
            self.board.close()


def write_curve(path: Path, curve: Sequence[Any]) -> None:
    """A learning curve as CSV: one row per rollout, or chunk of labelled states."""
    _write_rows(path, [asdict(row) for row in curve])


def read_curve(path: Path) -> list[dict[str, float]]:
    """The rows of a curve as far as it is written; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def _write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    atomic_write_bytes(path, text.getvalue().encode())


def require_tensorboard() -> None:
    """ValueError unless it is installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise ValueError(
            "tensorboard=true needs the package tensorboard, which is not installed: "
            "pip install 'misgen[tensorboard]'"
        )


def _summary_writer(folder: Path) -> Any:
    return importlib.import_module("torch.utils.tensorboard").SummaryWriter(str(folder))
