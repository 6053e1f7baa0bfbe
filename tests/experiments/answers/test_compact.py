"""`misgen compact` says what it made; see tests/analysis/test_compacted.py for what that is."""

from pathlib import Path

import pytest
from tests.analysis.conftest import EVENTS, episodes

from misgen.analysis.compacted import copies_of
from misgen.analysis.records import write_records
from misgen.experiments import cli


def test_rates_are_the_same_from_the_copy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for agent in range(3):
        run = tmp_path / "runs" / f"a{agent}"
        write_records(run / "episodes.parquet", episodes(["P", "I"] * 15, agent=agent), EVENTS)
        (run / "done.json").write_text("{}")
    where = ["--results", str(tmp_path)]
    assert cli.main(["rates", *where]) == 0
    before = capsys.readouterr().out
    assert cli.main(["compact", *where]) == 0
    (copy,) = copies_of(tmp_path)
    assert f"{copy}: the episodes of 3 runs, " in capsys.readouterr().out
    assert cli.main(["rates", *where]) == 0
    assert capsys.readouterr().out == before


def test_a_folder_without_records_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        assert cli.main(["compact", "--results", str(folder)]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not [*tmp_path.iterdir()]
