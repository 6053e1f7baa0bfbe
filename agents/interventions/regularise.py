"""A regularised network: weights that are kept small, and features that are dropped at random while
it learns (Cobbe et al. 2019 compare both in CoinRun)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from misgen.agents.interventions import Intervention, Minibatch

if TYPE_CHECKING:
    from torch import Tensor


def regularise(*, weight_decay: float = 1e-4, dropout_prob: float = 0.1) -> Intervention:
    """Args:
        weight_decay: times the sum of the squared weights, biases apart, is added to the loss.
        dropout_prob: with which each feature is 0 in an update; the others are larger by as much.

    Raises:
        ValueError: a value outside its range.
    """
    if not (weight_decay >= 0 and 0 <= dropout_prob < 1):
        raise ValueError(
            "weight_decay is at least 0 and dropout_prob in [0, 1); got "
            f"{weight_decay} and {dropout_prob}; try 1e-4 and 0.1"
        )
    return Intervention(
        loss=partial(_decayed, weight_decay) if weight_decay else None,
        features=partial(_dropped, dropout_prob) if dropout_prob else None,
    )


def _decayed(weight_decay: float, loss: Tensor, minibatch: Minibatch) -> Tensor:
    weights = [value for name, value in minibatch.parameters.items() if name.endswith("weight")]
    squares: Any = sum(value.square().flatten(1).sum(1) for value in weights)
    return loss + weight_decay * squares


def _dropped(prob: float, features: Tensor, rng: Any) -> Tensor:
    import torch

    kept = rng.random(tuple(features.shape), dtype=np.float32) >= prob
    return features * torch.from_numpy(kept).to(features) / (1 - prob)
