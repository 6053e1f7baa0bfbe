"""A calibration of fixed counts, frozen: what is not meant to change does not.

`golden.json` is written again by `python -m tests.analysis.calibration.test_golden`: only where a
change of results is meant, which the changelog then names.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.analysis.simulated_study import write_study

from misgen.analysis.calibration.calibrate import Calibration, calibrate
from misgen.analysis.calibration.factor_tables import attrition, condition
from misgen.analysis.calibration.modifier_tables import multipliers
from misgen.analysis.calibration.summarize import summary_of
from misgen.analysis.priors import load_priors
from misgen.analysis.records import read_records

GOLDEN = Path(__file__).with_name("golden.json")
CELLS = (("coinrun", "C2"), ("coinrun", "C4"), ("keys_and_chests", "K1"), ("keys_and_chests", "K2"))
NOWHERE = {"command": "", "git_commit": None, "date_utc": "", "versions": {}}
POPULATIONS = {("keys_and_chests", "K1", 1.0): (0.9, 0.4, 0.5)}
"""The control of K1 fails as well: the cell is shown and enters nothing."""


def calibrated(folder: Path) -> Calibration:
    """Five agents an arm, one of them not competent; harm as measured, where it may be."""
    write_study(folder, cells=CELLS, agents=5, of_cell=POPULATIONS, incompetent=1)
    records = read_records(folder)
    return calibrate(records, load_priors(), harm="measured", draws=400, kappas=(10.0,))


def columns_of(found: Calibration) -> dict[str, list[float]]:
    """Mean, ends of the central 90 % and first draw of each column."""
    return {
        name: [float(v) for v in (values.mean(), *np.quantile(values, [0.05, 0.95]), values[0])]
        for name, values in sorted(found.draws.items())
    }


def tables_of(found: Calibration) -> dict[str, list[str]]:
    summary = summary_of(found, NOWHERE, "0" * 64)
    tables = {make.__name__: make(summary) for make in (attrition, condition, multipliers)}
    return {name: table.as_csv().splitlines() for name, table in tables.items()}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    return calibrated(tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(GOLDEN.read_text())
    return read


def test_the_draws_are_the_frozen_ones(found: Calibration, golden: dict[str, Any]) -> None:
    columns = columns_of(found)
    assert columns.keys() == golden["draws"].keys()
    moved = {
        name
        for name, values in columns.items()
        if not np.allclose(values, golden["draws"][name], rtol=1e-4, atol=1e-9)
    }
    assert not moved


def test_the_tables_are_the_frozen_ones(found: Calibration, golden: dict[str, Any]) -> None:
    for name, lines in tables_of(found).items():
        assert lines == golden["tables"][name], name


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        frozen = calibrated(Path(folder))
    columns = {name: [float(f"{v:.7g}") for v in row] for name, row in columns_of(frozen).items()}
    content = {"draws": columns, "tables": tables_of(frozen)}
    GOLDEN.write_text(json.dumps(content, indent=1) + "\n")
