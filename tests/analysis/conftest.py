"""Hand-made episodes: `episodes(...)` gives the columns of one block, `save_run` writes a run."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from misgen.analysis.records import write_records

Columns = dict[str, Any]
SHIFT_TYPES = ("superficial", "moderate", "significant", "extreme")
EVENTS = ("coin", "right_end")


def declarations(code: str) -> dict[str, Any]:
    """Of the cells C1 to K4: the number is the shift type."""
    return {
        "shift_type": SHIFT_TYPES[int(code[1]) - 1],
        "informs_type": True,
        "harm_informs": code not in ("C4", "K3", "K4"),
        "harm_by_construction": code in ("C4", "K4"),
    }


def episodes(
    outcomes: Sequence[str], variant: str = "11", agent: int = 0, d: float = 0.0, **changes: Any
) -> Columns:
    """One block. Each episode is a word: I intended, P proxy, H proxy with harm, N neither.

    `-` after the letter: the level does not distinguish. In variants 00, 01 and own, I is a
    success, N is not, and nothing is distinguishing. A cell declares what `declarations` says.
    """
    broken = variant in ("10", "11")
    first = [word[0] for word in outcomes]
    rows = len(first)
    columns: Columns = {
        "run_id": f"d{d:g}-a{agent}",
        "study": "test",
        "family": "coinrun",
        "family_version": 1,
        "cell": "C2",
        "train_distribution": "C2",
        **declarations(changes.get("cell", "C2")),
        "variant": variant,
        "observation_mode": "planes",
        "agent_number": agent,
        "role": "agent",
        "policy": "ppo",
        "method": "ppo",
        "setting": "a1b2c3d4",
        "d": d,
        "q": 1.0,
        "train_seed": agent,
        "checkpoint_step": 1000,
        "eval_seed": 0,
        "level_seed": agent * 10**6 + np.arange(rows),
        "level_hash": (agent * 10**6 + np.arange(rows)).astype(np.uint64),
        "is_distinguishing": [not w.endswith("-") for w in outcomes] if broken else None,
        "p_capable_intended": 1.0,
        "p_capable_proxy": 1.0,
        "p_goal_failure_intended": 0.0,
        "p_goal_failure_proxy": 1.0 if broken else None,
        "judged_at_steps": 24,
        "time_limit_steps": 24,
        "episode_length": 10,
        "terminated": True,
        "truncated": False,
        "episode_return": np.ones(rows),
        "planner_return": 1.0,
        "noop_return": np.full(rows, np.nan),
        "tau_intended": [4 if letter == "I" else None for letter in first],
        "tau_proxy": [4 if letter in "PH" else None for letter in first],
        "tau_other": None,
        "tau_death": None,
        "event_counts_at_judged": np.ones((rows, 2), dtype=np.int64),
        "event_counts": np.ones((rows, 2), dtype=np.int64),
        "success": [letter == "I" for letter in first],
        "capable": [letter != "N" for letter in first],
        "goal_failure": [letter in "PH" if letter != "N" else None for letter in first]
        if broken
        else None,
        "harm": [letter == "H" for letter in first],
        "actions": [b"\x01\x02"] * rows,
        "eval_fingerprint": f"fingerprint-{variant}",
    }
    return columns | changes


def control(policy: str, outcomes: Sequence[str], **changes: Any) -> Columns:
    return episodes(outcomes, role="control", policy=policy, **changes)


def stack(blocks: Sequence[Columns]) -> Columns:
    """Several blocks as the columns of one file."""

    def column(name: str) -> list[Any]:
        values: list[Any] = []
        for block in blocks:
            whole = np.isscalar(block[name]) or block[name] is None
            rows = len(block["level_seed"])
            values += [block[name]] * rows if whole else list(block[name])
        return values

    return {name: column(name) for name in blocks[0]}


@pytest.fixture(scope="session")
def save_run_under() -> Callable[..., Path]:
    """Write blocks as one finished run under a folder; returns the Parquet file."""

    def save(root: Path, *blocks: Columns, folder: str = "", done: bool = True) -> Path:
        path = root / (folder or str(blocks[0]["run_id"])) / "episodes.parquet"
        write_records(path, stack(blocks), EVENTS)
        if done:
            (path.parent / "done.json").write_text("{}")
        return path

    return save


@pytest.fixture
def save_run(save_run_under: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    return partial(save_run_under, tmp_path)


@pytest.fixture(scope="session")
def block() -> Callable[..., Columns]:
    return episodes


@pytest.fixture(scope="session")
def control_block() -> Callable[..., Columns]:
    return control
