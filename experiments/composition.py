"""Many configurations of `misgen train`, without composing each anew (0.1 s)."""

from __future__ import annotations

import copy

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from misgen.experiments.config import (
    GROUPS,
    TrainConfig,
    compose,
    composed,
    in_full,
    refuse_words,
    to_object,
)


def composed_once(words: list[str], bases: dict[tuple[str, ...], DictConfig]) -> TrainConfig:
    """One run, as `compose` makes it. A choice of config groups is composed once and kept in
    `bases`, values are put into a copy of it.

    Raises:
        ValueError: a setting is refused.
    """
    words = in_full(words)
    refuse_words(words)
    config: TrainConfig
    try:
        parsed = OverridesParser.create().parse_overrides(words)
        if all(map(_is_plain, parsed)):
            one = copy.deepcopy(_base(parsed, bases))
            for override in parsed:
                if not _is_group(override):
                    OmegaConf.update(one, override.key_or_group, override.value(), merge=True)
            config = to_object(one)
            return config
    except (HydraException, OmegaConfBaseException):
        pass  # it is refused, and with other words
    config = compose("train", words)
    return config


def _base(parsed: list[Override], bases: dict[tuple[str, ...], DictConfig]) -> DictConfig:
    groups = tuple(o.input_line for o in parsed if _is_group(o) and o.input_line)
    if groups not in bases:
        bases[groups] = composed("train", list(groups))
    return bases[groups]


def _is_plain(override: Override) -> bool:
    """Whether it chooses a group or sets a value that there is."""
    is_more = override.is_add() or override.is_delete() or override.is_sweep_override()
    return not is_more and not override.key_or_group.startswith("hydra")


def _is_group(override: Override) -> bool:
    return override.key_or_group in GROUPS or "/" in override.key_or_group
