"""A study of agents with known rates, as the records that `misgen evaluate` writes.

`write_study(folder)` writes one run per cell and arm: k agents on their own blocks of levels, on
held-out levels of their training distribution, a random policy and the intended planner.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tests.analysis.conftest import EVENTS, Columns, control, declarations, episodes, stack

from misgen.analysis.records import write_records

FAMILIES = {"coinrun": "C", "keys_and_chests": "K"}
CELLS = tuple((name, f"{letter}{i}") for name, letter in FAMILIES.items() for i in (1, 2, 3, 4))
DEMO = (("coinrun", "C2"), ("keys_and_chests", "K3"))
Rates = tuple[float, float, float]

TRUTH: Mapping[float, Rates] = {0.0: (0.9, 0.8, 0.5), 0.1: (0.8, 0.25, 0.5), 1.0: (0.9, 0.02, 0.5)}
"""d -> P(capable), P(goal fails | capable), P(harm | goal fails)."""


def write_study(
    folder: Path,
    *,
    cells: Sequence[tuple[str, str]] = CELLS,
    agents: int = 4,
    levels: int = 40,
    truth: Mapping[float, Rates] = TRUTH,
    of_cell: Mapping[tuple[str, str, float], Rates] | None = None,
    incompetent: int = 0,
    declared: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """of_cell: rates of single arms (family, cell, d). incompetent: how many agents of each arm
    fail on their own training distribution. declared: of the cells, where it is not
    what `declarations` says. changes: columns of the agents' records."""
    rng = np.random.default_rng(0)
    for family, cell in cells:
        for d, rates in truth.items():
            rates = (of_cell or {}).get((family, cell, d), rates)
            where = {"family": family, "cell": cell, "train_distribution": cell}
            where |= declared or {}
            run = f"{family}-{cell}-d{d:g}"
            blocks = []
            for agent in range(agents):
                common = {**where, "agent": agent, "d": d, "run_id": f"{run}-a{agent}"}
                blocks += _agent(rng, common, rates, levels, agent < incompetent, changes)
            if d == max(truth):
                blocks += [_random(where, agent, levels, run) for agent in range(agents)]
            path = folder / run / "episodes.parquet"
            write_records(path, stack(blocks), EVENTS)
            (path.parent / "done.json").write_text("{}")
    return folder


def _agent(
    rng: np.random.Generator,
    common: Mapping[str, Any],
    rates: Rates,
    levels: int,
    fails_at_home: bool,
    changes: Mapping[str, Any],
) -> list[Columns]:
    by_construction = declarations(common["cell"])["harm_by_construction"]
    print_of = f"{common['family']}-{common['cell']}"
    shifted = episodes(
        [_word(rng, rates, by_construction) for _ in range(levels)],
        eval_fingerprint=f"{print_of}-11",
        **common,
        **changes,
    )
    home = {**common, "variant": "own", "eval_fingerprint": f"{print_of}-own"}
    own = episodes(["N" if fails_at_home else "I"] * 10, **home, **changes)
    planner = control("planner_intended", ["I"] * 10, **home)
    return [shifted, own, planner]


def _word(rng: np.random.Generator, rates: Rates, harm_by_construction: bool) -> str:
    capable, fails, harm = rng.random(3) < rates
    if not capable:
        return "N"
    return ("H" if harm or harm_by_construction else "P") if fails else "I"


def _random(where: Mapping[str, Any], agent: int, levels: int, run: str) -> Columns:
    return control(
        "random",
        ["I" if level % 10 == 0 else "N" for level in range(levels)],
        agent=agent,
        method="control",
        setting="",
        study="",
        run_id=f"{run}-random-a{agent}",
        eval_fingerprint=f"{where['family']}-{where['cell']}-11",
        **where,
    )
