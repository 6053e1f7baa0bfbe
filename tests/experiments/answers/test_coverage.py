"""`misgen coverage`: a table that needs no results."""

import json
from pathlib import Path

import pytest

from misgen.analysis.coverage import Coverage, Flags
from misgen.experiments import cli
from misgen.experiments.answers import coverage


def test_coverage_needs_no_results(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = Coverage("alike", 3, "p_gm", 0.5, 0.9, 0.06, 0.04, 0.4)
    monkeypatch.setattr(coverage, "interval_coverage", lambda: [row])
    assert cli.main(["coverage"]) == 0
    assert (
        "alike       3       p_gm  .500   .900      .060   .040   .400" in capsys.readouterr().out
    )


def test_verdicts_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    row = Flags("spread", 8, 5, "p_gm", 0.049, 2000)
    monkeypatch.setattr(coverage, "flags_of_equal_arms", lambda: [row])
    assert cli.main(["coverage", "--verdicts", "--json", str(tmp_path / "verdicts.json")]) == 0
    assert "spread" in capsys.readouterr().out
    found = json.loads((tmp_path / "verdicts.json").read_text())
    assert found["rows"] == [row._asdict()]
    assert found["command"].startswith("misgen coverage --verdicts") and "git_commit" in found
