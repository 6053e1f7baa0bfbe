"""`misgen coverage`: a table that needs no results."""

import pytest

from misgen.analysis.hierarchy.coverage import Coverage
from misgen.experiments import cli, coverage


def test_coverage_needs_no_results(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = Coverage("alike", 3, "p_gm", 0.5, 0.9, 0.06, 0.04, 0.4)
    monkeypatch.setattr(coverage, "interval_coverage", lambda: [row])
    assert cli.main(["coverage"]) == 0
    assert (
        "alike       3       p_gm  .500   .900              .060         .040   .400"
        in capsys.readouterr().out
    )
