"""`misgen trust`: the exit code says whether simulation finds the sampler wrong."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from misgen.experiments import cli


@pytest.mark.parametrize(("failures", "code"), [([], 0), (["p_capable/mu: coverage"], 1)])
def test_trust_is_written_instead(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    failures: list[str],
    code: int,
) -> None:
    """Simulating takes minutes, and tests of its own: here only what is asked of it."""
    from misgen.analysis.hierarchy import trust

    def write(folder: Path, num_sets: int, seed: int, **more: object) -> SimpleNamespace:
        (folder / "trust.txt").write_text(f"{num_sets} sets, seed {seed}, {sorted(more)}\n")
        return SimpleNamespace(failures=failures)

    monkeypatch.setattr(trust, "write_trust", write)
    argv = ["trust", str(tmp_path / "trust"), "--sets", "70", "--seed", "5"]
    assert cli.main(argv) == code
    assert capsys.readouterr().out == "70 sets, seed 5, ['provenance']\n"


def test_too_few_simulated_sets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["trust", str(tmp_path / "trust"), "--sets", "0"]) == 2
    assert "--sets is at least 20; got 0" in capsys.readouterr().err
    assert not (tmp_path / "trust").exists()
