"""The calibration folder: exact products, refusals that name the remedy, adapters."""

import json
import shutil
from itertools import permutations
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.analysis.simulated_study import DEMO, TRUTH, write_study

from misgen.analysis.calibration.calibrate import calibrate
from misgen.analysis.calibration.handoff import (
    DRAWS,
    RATES,
    exact,
    rate_columns,
    read_calibration,
    to_squigglepy,
)
from misgen.analysis.calibration.summary import SCHEMA_VERSION, SUMMARY
from misgen.analysis.calibration.write import write_calibration
from misgen.analysis.priors import load_priors
from misgen.analysis.priors.types import SHIFT_TYPES
from misgen.analysis.records import read_records
from misgen.analysis.words import DATA, FORMER_DATA, data_of


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's cells without a reference arm: nothing is updated."""
    root = tmp_path_factory.mktemp("handoff")
    arms = {d: TRUTH[d] for d in (0.0, 1.0)}
    records = read_records(write_study(root / "runs", cells=DEMO, truth=arms))
    write_calibration(
        calibrate(records, load_priors(), draws=1000),
        root / "calibration",
        {"command": "misgen calibrate results", "git_commit": "abc"},
    )
    return root / "calibration"


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(original, tmp_path / "calibration"))


def change(folder: Path, **fields: Any) -> None:
    summary = json.loads((folder / SUMMARY).read_text())
    (folder / SUMMARY).write_text(json.dumps(summary | fields))


def test_products_are_exact_in_any_order() -> None:
    factors = exact(np.random.default_rng(0).random((3, 10_000)))
    products = [prod(order) for order in permutations(factors)]
    assert all((product == products[0]).all() for product in products)


def test_rounding_is_far_below_monte_carlo_error() -> None:
    values = np.random.default_rng(0).random(10_000) ** 8  # also tiny ones
    np.testing.assert_allclose(exact(values), values, rtol=1e-5)
    assert np.isnan(exact(np.array([np.nan]))[0]) and exact(np.array([0.0, 1.0])).tolist() == [0, 1]


def test_rate_columns_hold_the_identity() -> None:
    rng = np.random.default_rng(0)
    factors = {name: rng.beta(2, 3, 1000) for name in RATES[:3]}
    columns = rate_columns("x", factors)
    capable, fails, harm, gm, harmful = (columns[f"x/{name}"] for name in RATES)
    assert (capable * fails == gm).all() and (capable * (fails * harm) == harmful).all()


def test_what_was_written_is_read(original: Path) -> None:
    file = read_calibration(original)
    assert file.num_draws == 1000
    assert tuple(row.type for row in file.summary.types) == SHIFT_TYPES
    assert file.summary.schema_version == SCHEMA_VERSION
    assert file.summary.provenance.git_commit == "abc"
    assert file.summary.provenance.versions["numpy"] == np.__version__
    assert file.rates_of("none", "moderate").p_gm.mean() == pytest.approx(0.182, abs=0.02)
    levels = file.multipliers_of("none")
    assert np.median(levels["diversity", "narrow"]) == pytest.approx(1.4, rel=0.05)


def test_refused_data_say_what_to_run(original: Path) -> None:
    file = read_calibration(original)
    for data in DATA[1:]:
        with pytest.raises(ValueError, match=r"refused for .*reference arm.*misgen run-cells"):
            file.rates_of(data, "moderate")
    assert not any(name.startswith(("combine", "only")) for name in file.draws.column_names)
    with pytest.raises(ValueError, match="data is one of none, combine, only"):
        file.require("both")


def test_harm_by_assumption(original: Path) -> None:
    file = read_calibration(original)
    note = file.harm("note_50_70", "extreme")
    assert 0.5 <= note.min() and note.max() <= 0.7
    assert file.harm("implied", "extreme").mean() == pytest.approx(0.821, abs=0.02)
    with pytest.raises(
        ValueError, match=r"with --harm implied; run `misgen calibrate .*--harm mea"
    ):
        file.harm("measured", "moderate")


def test_a_folder_without_a_calibration(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds summary.json; .* has none; run `misgen calibrate"):
        read_calibration(tmp_path)


def test_torn_files(folder: Path, original: Path) -> None:
    whole = (folder / DRAWS).read_bytes()
    (folder / DRAWS).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"whole Parquet file; .*draws.parquet cannot be read"):
        read_calibration(folder)
    (folder / SUMMARY).write_text((folder / SUMMARY).read_text()[:100])
    with pytest.raises(ValueError, match=r"must be JSON; .*summary.json cannot be read"):
        read_calibration(folder)


@pytest.mark.parametrize(
    ("version", "remedy"),
    [
        (SCHEMA_VERSION - 1, "it is older: run `misgen calibrate"),
        (SCHEMA_VERSION + 1, "update mis"),
    ],
)
def test_another_schema_version_is_refused(folder: Path, version: int, remedy: str) -> None:
    change(folder, schema_version=version)
    with pytest.raises(
        ValueError, match=rf"{SCHEMA_VERSION} can be read; .* has {version}; {remedy}"
    ):
        read_calibration(folder)


def test_draws_of_another_schema_version_are_refused(folder: Path) -> None:
    table = pq.read_table(folder / DRAWS)
    pq.write_table(table.replace_schema_metadata({"schema_version": "0"}), folder / DRAWS)
    with pytest.raises(
        ValueError, match=r"draws.parquet has 0; it is older: run `misgen calibrate"
    ):
        read_calibration(folder)


def test_the_summary_must_be_as_it_is_typed(folder: Path) -> None:
    change(folder, held_out={"reason": "", "verdict": "", "rows": [{"left_out": "agent"}]})
    with pytest.raises(ValueError, match=r"as `misgen calibrate` writes it; .* at held_out"):
        read_calibration(folder)


def test_the_summary_holds_nothing_else(folder: Path) -> None:
    change(folder, unheard_of=1)
    with pytest.raises(ValueError, match=r"is not at unheard_of: Extra inputs"):
        read_calibration(folder)


def test_draws_must_belong_to_the_summary(folder: Path) -> None:
    table = pq.read_table(folder / DRAWS)
    pq.write_table(table.slice(0, 10), folder / DRAWS)
    with pytest.raises(ValueError, match="has 10 and 1000; run `misgen calibrate"):
        read_calibration(folder)
    name = table.column_names[1]
    tripled = pa.array(3 * table.column(name).to_numpy())
    pq.write_table(table.set_column(1, name, tripled), folder / DRAWS)
    with pytest.raises(ValueError, match=r"draws.parquet is not the file that .* is another"):
        read_calibration(folder)


def test_data_have_a_former_word(original: Path) -> None:
    assert [data_of(word) for word in FORMER_DATA] == [*DATA] == [data_of(data) for data in DATA]
    file = read_calibration(original)
    one, other = (file.rates_of(word, "moderate").p_gm for word in ("none", "side_by_side"))
    assert (one == other).all() and len(file.multipliers_of("none")) > 5
    assert (file.harm("implied", "moderate", "none") == file.rates("prior/moderate").p_harm).all()
    with pytest.raises(ValueError, match="'combine' is refused"):
        file.rates_of("combine", "moderate")
    with pytest.raises(ValueError, match=r"none, combine, only; got 'updat'"):
        file.require("updat")


@pytest.mark.parametrize("how", ["samples", "fitted"])
def test_squigglepy_reproduces_mean_and_quantiles(original: Path, how: str) -> None:
    squigglepy = pytest.importorskip("squigglepy")
    file = read_calibration(original)
    found = to_squigglepy(file if how == "fitted" else original, "none", how, points=100)
    assert len(found) == len([c for c in file.draws.column_names if c.startswith("prior/")])
    squigglepy.set_seed(0)
    for name in ("moderate/p_goal_fail", "extreme/p_harmful_gm", "modifier/spec/low"):
        sampled = np.asarray(squigglepy.sample(found[name], 4000))
        drawn = file.column(f"prior/{name}")
        assert sampled.mean() == pytest.approx(drawn.mean(), rel=0.04)
        np.testing.assert_allclose(
            np.quantile(sampled, [0.05, 0.5, 0.95]),
            np.quantile(drawn, [0.05, 0.5, 0.95]),
            rtol=0.12,
            atol=0.015,
        )


def test_squigglepy_refuses_what_the_folder_refuses(original: Path) -> None:
    pytest.importorskip("squigglepy")
    with pytest.raises(ValueError, match="'combine' is refused"):
        to_squigglepy(original)
    with pytest.raises(ValueError, match="'samples' or 'fitted'; got 'kde'"):
        to_squigglepy(original, "none", "kde")
