"""`misgen run-cells`: (slow) a whole smoke run."""

import json

import pyarrow.parquet as pq
import pytest

from misgen.analysis.records import query, read_records
from misgen.experiments.cli import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run-cells --agents 0", "--agents is at least 1"),
        ("run-cells --cells C2 X1", "the cells are C1, K1"),
        ("demo --cells moderate", "which is the shift type of C2, K2"),
        ("report nowhere", "nowhere has none"),
    ],
)
def test_wrong_arguments(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("MISGEN_RESULTS", str(tmp_path / "results"))
    monkeypatch.chdir(tmp_path)
    assert main(arguments.split()) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_smoke_run_leaves_tables_and_figures_that_can_be_made_again(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("MISGEN_RESULTS", str(tmp_path / "results"))
    published = tmp_path / "published"
    arguments = ["run-cells", "--quick", "--agents", "1", "--cells", "C1", "K3"]
    arguments += ["--publish", str(published)]
    assert main(arguments) == 0
    made = {
        path.relative_to(published): path.read_bytes()
        for path in published.rglob("*")
        if path.is_file()
    }
    names = {path.as_posix() for path in made}
    tables = {f"{n}.txt" for n in ("cells", "shifts", "cross", "compare", "checkpoints")}
    assert {*tables, "rates.csv", "cells.png", "contact_sheet.png", "study.json"} <= names
    records = read_records(published / "records")
    methods = query(records, "select distinct family, method from records where role = 'agent'")
    assert {method for _, method in methods} == {"ppo", "cloning"}
    assert query(records, "select count(*) from records where octet_length(actions) > 0") == [(0,)]
    capsys.readouterr()
    for path in made:
        if path.suffix in (".txt", ".csv", ".png"):
            (published / path).unlink()
    assert main(["report", str(published)]) == 0
    again = {path: (published / path).read_bytes() for path in made}
    assert again == made
    assert set(json.loads(made[next(p for p in made if p.name == "examples.json")])) == {"C1", "K3"}
    settings = pq.read_table(published / "settings.parquet").to_pylist()
    runs = query(records, "select distinct run_id, d from records where role = 'agent'")
    at_home = query(
        records,
        "select distinct run_id from records where role = 'agent' and cell = train_distribution",
    )
    assert {row["run_id"] for row in settings} == {run for (run,) in at_home}
    seen = {row["run_id"]: row["broken_episodes"] for row in settings}
    assert all((seen[run] == 0) == (d == 0) for run, d in runs if run in seen)
    trained = len(list((tmp_path / "results").glob("quick/runs/kind=train/run=*/done.json")))
    assert main(arguments) == 0, "a second run trains nothing"
    assert (
        len(list((tmp_path / "results").glob("quick/runs/kind=train/run=*/done.json"))) == trained
    )
