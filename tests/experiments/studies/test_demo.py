"""The demo compares each cell with its own control; killed, it continues (slow)."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest

from misgen.experiments.studies.demo import pairs

COMMAND = [sys.executable, "-m", "misgen.experiments.cli", "demo", "--quick"]


def start(results):
    environment = {**os.environ, "MISGEN_RESULTS": str(results)}
    return subprocess.Popen(
        COMMAND, env=environment, start_new_session=True, stdout=subprocess.PIPE, text=True
    )


def test_two_cells_of_one_shift_type_are_compared_with_their_own_controls():
    rows = [
        SimpleNamespace(family="keys_and_chests", cell=code, shift_type="significant", value=d,
                        variant="11", observation_mode="planes", population=population, agents=3)
        for d in (1.0, 0.0) for code in ("K3", "K9") for population in ("competent", "all trained")
    ]  # fmt: skip
    found = [(row.cell, row.value, control.cell, control.value) for row, control in pairs(rows)]
    assert found == [("K3", 0.0, "K3", 1.0), ("K9", 0.0, "K9", 1.0)]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_at_random_moments_the_same_command_finishes(tmp_path):
    moments, runs = random.Random(0), tmp_path / "quick" / "runs"
    finished: dict[str, int] = {}
    for _ in range(5):
        demo = start(tmp_path)
        try:
            demo.wait(moments.uniform(8, 35))
        except subprocess.TimeoutExpired:
            os.killpg(demo.pid, signal.SIGKILL)
            demo.wait()
        demo.stdout.close()
        time.sleep(1)
        done = {str(p): p.stat().st_mtime_ns for p in runs.rglob("done.json")}
        assert finished.items() <= done.items()  # nothing that was finished is done again
        for marker in tmp_path.rglob("done.json"):
            for file in marker.parent.glob("*.parquet"):
                pq.read_table(file)  # not torn
        finished = done
    demo = start(tmp_path)
    output, _ = demo.communicate()
    assert demo.returncode == 0
    assert "SMOKE RUN" in output and "C2 coinrun" in output and "K3 keys_and_chests" in output
    summary = json.loads((tmp_path / "quick" / "demo-quick" / "summary.json").read_text())
    assert summary["smoke_run"] is True
    files = {p: p.stat().st_mtime_ns for p in runs.rglob("*") if p.is_file()}
    demo = start(tmp_path)
    second, _ = demo.communicate()
    assert demo.returncode == 0
    tables = [text.split("files:")[0].partition("C2 coinrun")[2] for text in (output, second)]
    assert tables[0] == tables[1]
    assert files == {p: p.stat().st_mtime_ns for p in runs.rglob("*") if p.is_file()}
    # What it leaves can be calibrated: without a reference arm nothing is updated.
    command = [
        *COMMAND[:-2],
        "calibrate",
        "--results",
        str(tmp_path / "quick"),
        "-o",
        str(tmp_path / "calibration"),
    ]
    calibrated = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "combine and only are refused: these records have no agents of the reference" in (
        " ".join(calibrated.stdout.split())
    )
    assert (tmp_path / "calibration" / "index.html").is_file()
