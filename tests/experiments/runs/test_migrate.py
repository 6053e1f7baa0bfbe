"""`misgen migrate`: records of misgen 0.3 say the same, in today's words."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.analysis.conftest import EVENTS, episodes, stack

from misgen.analysis.records import SCHEMA, event_names, query, read_records, write_records
from misgen.experiments import cli
from misgen.experiments.runs import migrate
from misgen.experiments.runs.episode_records import fingerprint

NEW = ("shift_type", "informs_type", "harm_informs")
Save = Callable[..., Path]


def old_fingerprint(cell: str, variant: str, **parts: Any) -> str:
    """As misgen 0.3 made it for an evaluation with the default block of levels."""
    argument = {
        "subject": {"family": "coinrun"}, "family_version": 1, "cell": cell,
        "eval_base": 10**12, "eval_seed": 0, "outcome_version": 1, **parts,
    }  # fmt: skip
    return fingerprint(argument, variant)


@pytest.fixture
def old_run(tmp_path: Path) -> Save:
    """Write one finished run as misgen 0.3 did; cells by their shift type."""

    def save(run: str, *blocks: Mapping[str, Any], version: int = 2) -> Path:
        file = tmp_path / "runs" / run / "episodes.parquet"
        write_records(file, stack([block | {"run_id": run} for block in blocks]), EVENTS)
        table = pq.read_table(file).drop_columns([*NEW, *["setting"] * (version == 1)])
        versions = pa.array([version] * len(table), pa.int32())
        i = table.column_names.index("schema_version")
        table = table.set_column(i, SCHEMA.field("schema_version"), versions)
        metadata = {**table.schema.metadata, b"schema_version": str(version).encode()}
        pq.write_table(table.replace_schema_metadata(metadata), file)
        (file.parent / "done.json").write_text("{}")
        return file

    return save


def in_words(words: list[str], cell: str, variant: str = "11", **changes: Any) -> dict[str, Any]:
    """A block of a cell that is named by its type."""
    old = {"cell": cell, "train_distribution": cell}
    return {
        **episodes(words, variant, eval_fingerprint=old_fingerprint(cell, variant)),
        **old,
        "shift_type": cell,
        **changes,
    }


def test_records_say_the_same_in_codes(old_run: Save, tmp_path: Path) -> None:
    there = in_words(["P"], "extreme", train_distribution="moderate", variant="10", agent_number=1)
    there["eval_fingerprint"] = old_fingerprint("extreme", "10")
    file = old_run("one", in_words(["I", "P", "N-"], "moderate"), there)
    before = pq.read_table(file).to_pylist()
    assert "1 of 1 record files rewritten" in migrate.migrate(tmp_path)
    after = read_records(tmp_path).order("variant desc, level_seed").to_arrow_table().to_pylist()
    assert [(r["cell"], r["train_distribution"], r["shift_type"]) for r in after] == [
        *[("C2", "C2", "moderate")] * 3,
        ("C4", "C2", "extreme"),
    ]
    assert [(row["informs_type"], row["harm_informs"]) for row in after] == [
        *[(True, True)] * 3,
        (True, False),
    ]
    changed = {"cell", "train_distribution", "eval_fingerprint", "schema_version"}
    for old, new in zip(before, after, strict=True):
        assert {name: new[name] for name in old if name not in changed} == {
            name: value for name, value in old.items() if name not in changed
        }
    assert event_names(file) == EVENTS


def test_the_oldest_records_get_an_empty_setting(old_run: Save, tmp_path: Path) -> None:
    old_run("one", in_words(["I"], "moderate"), version=1)
    migrate.migrate(tmp_path)
    assert query(read_records(tmp_path), "select setting from records") == [("",)]


def test_what_could_be_pooled_can_and_what_could_not_cannot(old_run: Save, tmp_path: Path) -> None:
    """An evaluation of today has the fingerprint of the same one of misgen 0.3."""
    default, again, moved = (
        old_run(run, in_words(["I"], "moderate", agent_number=number))
        for number, run in enumerate(("default", "again", "moved"))
    )
    _replace(moved, eval_fingerprint=old_fingerprint("moderate", "11", eval_base=5))
    migrate.migrate(tmp_path)
    prints = [pq.read_table(f)["eval_fingerprint"][0].as_py() for f in (default, again, moved)]
    assert prints[0] == prints[1] == old_fingerprint("C2", "11")
    assert prints[2] != prints[0]
    with pytest.raises(ValueError, match="compared on the same evaluation"):
        read_records(tmp_path)


def _replace(file: Path, **values: Any) -> None:
    table = pq.read_table(file)
    for name, value in values.items():
        i = table.column_names.index(name)
        table = table.set_column(i, table.schema.field(i), pa.array([value] * len(table)))
    pq.write_table(table, file)


def test_an_interrupted_migration_is_continued(
    old_run: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [old_run(f"a{i}", in_words(["I"], "moderate", agent_number=i)) for i in range(3)]
    old = [file.read_bytes() for file in files]
    write, written = migrate.write_table, []

    def killed(path: Path, *arguments: Any) -> None:
        if written:
            raise KeyboardInterrupt
        write(path, *arguments)
        written.append(path)

    monkeypatch.setattr(migrate, "write_table", killed)
    with pytest.raises(KeyboardInterrupt):
        migrate.migrate(tmp_path)
    assert [file.read_bytes() == data for file, data in zip(files, old, strict=True)].count(
        True
    ) == 2
    monkeypatch.undo()
    assert "2 of 3 record files rewritten" in migrate.migrate(tmp_path)
    done = [file.read_bytes() for file in files]
    assert "0 of 3 record files rewritten" in migrate.migrate(tmp_path)
    assert [file.read_bytes() for file in files] == done
    assert query(read_records(tmp_path), "select count(*) from records") == [(3,)]


def test_tables_beside_the_records_name_cells_by_code(old_run: Save, tmp_path: Path) -> None:
    old_run("one", in_words(["I"], "moderate"))
    row = {"family": "keys_and_chests", "cell": "extreme", "code": "K4", "auc": 0.9}
    (tmp_path / "shifts.json").write_text(json.dumps({"rows": [row]}))
    config = {"subject": {"family": "coinrun", "cell": "moderate"}}  # its hash is a run's identity
    (tmp_path / "runs" / "one" / "config.json").write_text(json.dumps(config))
    migrate.migrate(tmp_path)
    (found,) = json.loads((tmp_path / "shifts.json").read_text())["rows"]
    assert found == {
        "family": "keys_and_chests", "cell": "K4", "shift_type": "extreme", "auc": 0.9
    }  # fmt: skip
    assert json.loads((tmp_path / "runs" / "one" / "config.json").read_text()) == config


# ---------------------------------------------------------------------------------------- bad input


def refused(capsys: pytest.CaptureFixture[str], folder: Path) -> str:
    """The one line on stderr; exit code 2."""
    assert cli.main(["migrate", "--results", str(folder)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_a_folder_without_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"{tmp_path} has none; name a results folder" in refused(capsys, tmp_path)
    assert "nowhere has none" in refused(capsys, tmp_path / "nowhere")


def test_a_torn_file_is_named(
    old_run: Save, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = old_run("one", in_words(["I"], "moderate"))
    file.write_bytes(file.read_bytes()[:-20])
    line = refused(capsys, tmp_path)
    assert f"must be a whole Parquet file; {file} cannot be read" in line


def test_a_cell_that_misgen_0_3_did_not_have(
    old_run: Save, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = old_run("one", in_words(["I"], "moderate", family="chess"))
    line = refused(capsys, tmp_path)
    assert "are of the cells coinrun/superficial, " in line
    assert f"{file} has chess/moderate; take this run out of the folder" in line
