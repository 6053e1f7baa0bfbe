"""What is known of a training: progress, learning curve and TensorBoard while it runs; what its
levels held."""

from __future__ import annotations

import csv
import functools
import importlib
import importlib.util
import io
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from misgen.analysis.files import atomic_write_bytes
from misgen.envs.families import find_family
from misgen.experiments.jobs.child import report_progress
from misgen.experiments.provenance import how_to_install

if TYPE_CHECKING:  # imported when there is something to train
    from misgen.envs.core.levels import Levels
    from misgen.experiments.config import TrainConfig

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
        self.board: Any = None
        if tensorboard:
            module = importlib.import_module("torch.utils.tensorboard")
            self.board = module.SummaryWriter(str(folder / TENSORBOARD))

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
            + how_to_install("tensorboard")
        )


# --- What the training levels hold ---------------------------------------------------------------

BROKEN_SAMPLE = 2000  # levels of either draw
DISTINGUISHING_SAMPLE = 500  # of them, solved


def seen_in_training(config: TrainConfig, curve: Any) -> dict[str, Any]:
    """What training saw of the broken cue. broken_draws counts finished episodes on levels with the
    broken draw, which restores the cue now and then; broken_episodes estimates those on levels
    where it is really broken."""
    shares = shares_of(config)
    episodes = sum(row.episodes for row in curve)
    return {
        "episodes": episodes,
        "broken_draws": curve[-1].broken_episodes,
        "broken_share": shares.broken,
        "d_distinguishing": shares.distinguishing,
        "broken_episodes": episodes * shares.broken,
        "broken_episodes_is": "an estimate: finished episodes x broken_share",
        "final_success_rate": curve[-1].success_rate,
    }


class Shares(NamedTuple):
    """Shares of training levels."""

    broken: float  # that do not look as with the cue intact
    distinguishing: float  # that tell the goals apart


def shares_of(config: TrainConfig) -> Shares:
    """Of the training distribution; of a finite set all levels are looked at, and
    DISTINGUISHING_SAMPLE of them solved."""
    d, num_levels = config.intervention.diversity, config.intervention.num_levels
    if num_levels:
        from misgen.envs.core.levels import finite_levels

        return _shares(
            finite_levels(config.get_family(), config.distribution(), config.train_seed),
            config.distribution().horizon_steps,
        )
    intact, broken = (shares_of_draw(config.family, config.cell, draw) for draw in (0.0, 1.0))
    return Shares(*((1 - d) * a + d * b for a, b in zip(intact, broken, strict=True)))


@functools.cache
def shares_of_draw(family: str, cell: str, d: float) -> Shares:
    """Among the intact (d = 0) or the broken draws (d = 1) of a cell, from BROKEN_SAMPLE of them.
    At a small d, where few draws are broken, the two give a better estimate than levels of the
    distribution."""
    import numpy as np

    from misgen.envs.core.levels import sample_levels

    found = find_family(family)
    distribution = found.train_distribution(found.cell(cell), d)
    levels = sample_levels(found, distribution, np.arange(BROKEN_SAMPLE) + 10**15)
    return _shares(levels, distribution.horizon_steps)


def _shares(levels: Levels, horizon_steps: int) -> Shares:
    import numpy as np

    from misgen.envs.core.levels import cue_holds
    from misgen.envs.core.plans import is_distinguishing, solve

    some = np.arange(min(len(levels), DISTINGUISHING_SAMPLE))
    plans = solve(levels.take(some), horizon_steps, (0.0,))
    distinguishing = is_distinguishing(plans.plays.at(0)).mean()
    return Shares(float(1 - cue_holds(levels).mean()), float(distinguishing))
