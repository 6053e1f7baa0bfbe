"""A command as a Hydra application, which refuses input in our words."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import hydra
from omegaconf import DictConfig

from misgen.experiments.config import in_full, refuse_words, register, to_object


def _is_override(word: str) -> bool:
    return word.startswith(("+", "~")) or ("=" in word and not word.startswith("-"))


@dataclass
class _Application:
    """What a Hydra application has come to: whether its work has begun, and what ended it."""

    has_begun: bool = False
    refused: ValueError | OSError | None = None


_application = _Application()


@contextlib.contextmanager
def at_work(has_begun: bool = True) -> Iterator[None]:
    """Around what Hydra calls: it would print an error in its own way, and `hydra_main` says it.

    has_begun: whether this is more than checking the input.
    """
    _application.has_begun |= has_begun
    try:
        yield
    except (ValueError, OSError) as error:
        _application.refused = error
        raise SystemExit(2) from error


def hydra_main(name: str, kind: type, job: Callable[[Any], None], argv: list[str]) -> int:
    """Run `job(config object)` as a Hydra application with the config configs/`name`.yaml.

    Returns the exit code: 2 for input that Hydra refuses, 1 if a job failed.

    Raises:
        ValueError: input that the config or the job refuses.
    """
    global _application
    register()
    argv = in_full(argv)
    if not {"-sc", "--shell-completion"} & {*argv}:
        refuse_words(argv)
    argv = sorted(argv, key=_is_override)  # Hydra takes them only where no option parts them
    _application = _Application()

    def run(composed: DictConfig) -> None:
        with at_work():
            config = to_object(composed)
            assert isinstance(config, kind)
            job(config)

    application = hydra.main(
        version_base="1.3", config_path="pkg://misgen.configs", config_name=name
    )(run)
    # `hydra.main` takes its words from nowhere else, and only it knows --help, --cfg and
    # --multirun; `hydra.compose` composes one config and launches nothing.
    before, sys.argv = sys.argv, [f"misgen {name}", *argv]
    try:
        application()
    except SystemExit as stop:
        if _application.refused is not None:
            raise _application.refused from None
        code = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
        return 2 if code == 1 and not _application.has_begun else code
    finally:
        sys.argv = before
    return 0
