"""The folder of a study of agents with known rates, as `misgen study run` leaves it."""

import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tests.analysis.simulated_study import Rates, write_study

STEPS = 1000


def write_folder(
    folder: Path,
    truth: Mapping[float, Rates],
    *,
    against: float = 0.0,
    agents: int = 6,
    levels: int = 60,
    cells: tuple[tuple[str, str], ...] = (("coinrun", "C2"),),
    **changes,
) -> Path:
    """An arm `d=D` for each d of `truth`. Trainings reach success .95 after half of their steps in
    the arms but the last, which does after all of them, in 10 CPU seconds."""
    write_study(
        folder / "records", cells=cells, agents=agents, levels=levels, truth=truth, **changes
    )
    rows, curves = [], []
    for family, cell in cells:
        for d in truth:
            for agent in range(agents):
                run = f"{family}-{cell}-d{d:g}-a{agent}"
                rows.append({
                    "run_id": run, "setting": "a1b2c3d4", "weights_sha256": run, "arm": f"d={d:g}",
                    "seconds": 20.0, "cpu_seconds": 10.0,
                    "episodes": 5000, "broken_draws": 5000 * d,
                    "broken_share": 0.9 * d, "d_distinguishing": 0.8 * d,
                    "broken_episodes": 4500 * d, "total_steps": STEPS,
                })  # fmt: skip
                early = 0.95 if d != max(truth) else 0.5
                half = [(run, STEPS // 2 + k, early) for k in range(3)]
                curves += [*half, *((run, STEPS + k - 2, 0.95) for k in range(3))]
    pq.write_table(pa.Table.from_pylist(rows), folder / "settings.parquet")
    names = ("run_id", "steps", "success_rate")
    columns = {name: [row[k] for row in curves] for k, name in enumerate(names)}
    pq.write_table(pa.table(columns), folder / "curves.parquet")
    said = {
        "name": "planted", "question": "Is what was planted found?",
        "arms": [f"d={d:g}" for d in truth], "against": f"d={against:g}", "along": "d",
        "smoke_run": False, "provenance": {"git_commit": "abc"},
    }  # fmt: skip
    (folder / "study.json").write_text(json.dumps(said))
    return folder
