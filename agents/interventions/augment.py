"""Augmented observations: what an agent sees in training is disturbed anew in every step, so that
it cannot rely on any one part of it.

A part cut out and a shift are those of Laskin et al. 2020; dropping whole planes suits binary ones.
"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import numpy as np

from misgen.agents.interventions import Intervention
from misgen.envs.core.types import Array


def augment(
    *, drop_prob: float = 0.1, cutout_prob: float = 0.0, cutout_squares: int = 3, max_shift: int = 0
) -> Intervention:
    """Observations [n, planes, rows, cols] are disturbed; pictures have channels for planes.

    Args:
        drop_prob: with which each plane is blank, each on its own.
        cutout_prob: with which a square part of all planes is blank.
        cutout_squares: its side, in squares of planes or pixels of pictures.
        max_shift: squares or pixels by which all planes are moved, at most, down or up and right or
            left; what comes in is blank.

    Raises:
        ValueError: a value outside its range.
    """
    if not (0 <= drop_prob < 1 and 0 <= cutout_prob <= 1):
        raise ValueError(
            "drop_prob is in [0, 1) and cutout_prob in [0, 1]; got "
            f"{drop_prob} and {cutout_prob}; try 0.1 and 0.5"
        )
    if cutout_squares < 1 or max_shift < 0:
        raise ValueError(
            "cutout_squares is at least 1 and max_shift at least 0; got "
            f"{cutout_squares} and {max_shift}; try 3 and 1"
        )
    return Intervention(
        observe=partial(
            _disturbed,
            drop_prob=drop_prob,
            cutout=(cutout_prob, cutout_squares),
            max_shift=max_shift,
        )
    )


def _disturbed(
    obs: Array, rng: Any, *, drop_prob: float, cutout: tuple[float, int], max_shift: int
) -> Array:
    is_picture = obs.shape[-1] == 3  # no view is 3 columns wide
    seen = np.moveaxis(obs, -1, 1) if is_picture else obs
    kept = rng.random(seen.shape[:2]) >= drop_prob
    seen = seen * kept[:, :, None, None].astype(np.uint8)
    if cutout[0]:
        cut_out(seen, rng, *cutout)
    if max_shift:
        seen = shifted(seen, rng, max_shift)
    return np.moveaxis(seen, 1, -1) if is_picture else seen


def cut_out(seen: Array, rng: Any, prob: float, size: int) -> None:
    """Blank a square part of some of the observations [n, planes, rows, cols], in place."""
    n, _, rows, cols = seen.shape
    top, left = (rng.integers(1 - size, edge, n) for edge in (rows, cols))  # may hang over
    row, col = np.arange(rows), np.arange(cols)
    in_rows = (row >= top[:, None]) & (row < top[:, None] + size)
    in_cols = (col >= left[:, None]) & (col < left[:, None] + size)
    is_out = in_rows[:, :, None] & in_cols[:, None, :] & (rng.random(n) < prob)[:, None, None]
    seen *= ~is_out[:, None]


def shifted(seen: Array, rng: Any, most: int) -> Array:
    """The observations [n, planes, rows, cols], each moved on its own."""
    n, _, rows, cols = seen.shape
    padded = np.pad(seen, ((0, 0), (0, 0), (most, most), (most, most)))
    moved = np.empty_like(seen)
    down, right = rng.integers(0, 2 * most + 1, (2, n))
    for d, r in product(range(2 * most + 1), repeat=2):
        those = (down == d) & (right == r)
        moved[those] = padded[those, :, d : d + rows, r : r + cols]
    return moved
