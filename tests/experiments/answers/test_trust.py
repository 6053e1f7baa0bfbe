"""`misgen trust`: the exit code says whether the posterior misses its aims."""

from pathlib import Path

import pytest

from misgen.analysis.trust import Trusted
from misgen.experiments import cli
from misgen.experiments.answers import trust


@pytest.mark.parametrize(("coverage", "code"), [(0.9, 0), (0.8, 1)])
def test_trust_is_written_instead(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    coverage: float,
    code: int,
) -> None:
    """Simulating has tests of its own: here only what is asked of it."""

    def write(folder: Path, studies: int, seed: int, **more: object) -> list[Trusted]:
        (folder / "trust.txt").write_text(f"{studies} studies, seed {seed}, {sorted(more)}\n")
        return [Trusted("one", studies, coverage, 0.05, 0.05, 0.1, 0.2, 0.0, 0.3)]

    monkeypatch.setattr(trust, "write_trust", write)
    argv = ["trust", str(tmp_path / "trust"), "--studies", "700", "--seed", "5"]
    assert cli.main(argv) == code
    assert capsys.readouterr().out == "700 studies, seed 5, ['provenance']\n"


def test_too_few_simulated_studies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["trust", str(tmp_path / "trust"), "--studies", "0"]) == 2
    assert "at least 100 --studies; got 0" in capsys.readouterr().err
    assert not (tmp_path / "trust").exists()
