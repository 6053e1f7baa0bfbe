"""Counts of one's own, from a file to the posterior."""

from pathlib import Path

import pytest

from misgen.analysis.calibration.calibrate import calibrate
from misgen.analysis.calibration.summarize import data_warnings
from misgen.analysis.own_counts import TEMPLATE, own_counts, read_own_counts
from misgen.analysis.posterior import OutcomePrior, mean_gm
from misgen.analysis.priors import load_priors
from misgen.analysis.rates import Rates
from misgen.experiments import cli

HEADER = "family,shift_type,cell,agent,levels,capable,failed"
CAPABLE, FAILED = (80, 90, 100, 70), (8, 0, 50, 7)


def columns(**changes: list[object]) -> dict[str, list[object]]:
    """Four agents of one cell."""
    return {
        "family": ["mine"] * 4, "shift_type": ["significant"] * 4, "cell": ["A"] * 4,
        "agent": [0, 1, 2, 3], "levels": [100] * 4, "capable": [*CAPABLE], "failed": [*FAILED],
        **changes,
    }  # fmt: skip


def test_they_move_their_type_as_measured_cells_do() -> None:
    calibration = calibrate(own_counts(columns()), load_priors(), draws=20_000)
    (cell,) = calibration.cells
    rates = cell.arms["reference"].rows["competent"]
    capable, gm = sum(CAPABLE) / 400, sum(FAILED) / 400
    assert rates.p_capable.value == pytest.approx(capable)
    assert rates.p_gm.value == pytest.approx(gm)
    raw = Rates(capable, gm / capable, float("nan"), gm, float("nan"))
    expected = mean_gm(OutcomePrior.of(load_priors(), "significant"), [raw])
    found = calibration.draws["combine/significant/p_gm"].mean()
    assert found == pytest.approx(expected, abs=0.004)
    assert any("not checked" in one.text for one in data_warnings(calibration)["combine"])


def test_harm_moves_only_where_it_is_given_and_asked_for() -> None:
    priors = load_priors()
    with_harm = own_counts(columns(harm=[0, 0, 0, 0]))
    means = [
        calibrate(counts, priors, harm=harm).draws["combine/significant/p_harm"].mean()
        for counts, harm in (
            (with_harm, "measured"), (with_harm, "implied"), (own_counts(columns()), "measured"),
        )
    ]  # fmt: skip
    assert means[0] < means[1] - 0.05
    assert means[2] == pytest.approx(means[1], abs=0.01)


def test_the_template_is_calibrated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "counts.csv"
    assert cli.main(["calibrate", "--counts-template", str(file)]) == 0
    assert file.read_text() == TEMPLATE
    argv = ["calibrate", "--counts", str(file), "-o", str(tmp_path / "out"), "--no-report"]
    assert cli.main(argv) == 0
    printed = capsys.readouterr().out
    text = " ".join(printed.split())
    assert "an identified, assessable reference arm: not checked" in text
    assert max(map(len, printed.splitlines()[1:-2])) <= 80  # the others name paths
    factors = (tmp_path / "out" / "factors.csv").read_text()
    assert ",3,100," in next(line for line in factors.splitlines() if ",A," in line)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("mine,moderate,A,0,100,101,5", "line 5: capable are some of the levels; got 101 of 100"),
        ("mine,moderate,A,3,100,50,51", "line 5: failed are some of the capable; got 51 of 50"),
        ("mine,moderat,A,3,100,50,5", "line 5: a shift type is .*; got 'moderat'"),
        ("mine,moderate,A,2,100,50,5", "mine A: an agent has one line; got several of 2"),
        ("mine,moderate,B,0,100,50,5", "mine B: a cell needs at least 3 agents; got 1"),
        ("mine,moderate,A,3,0,0,0", "line 5: an agent has at least one level"),
        ("mine,moderate,A,3,ten,0,0", "line 5: levels is a whole number from 0 on; got 'ten'"),
        ("mine,extreme,A,3,100,50,5", "mine A: a cell has one shift type"),
        (",moderate,A,3,100,50,5", "line 5: family and cell are names"),
    ],
)
def test_a_wrong_line_is_named(line: str, message: str, tmp_path: Path) -> None:
    rows = [f"mine,moderate,A,{k},100,50,5" for k in range(3)]
    (tmp_path / "mine.csv").write_text("\n".join([HEADER, *rows, line, ""]))
    with pytest.raises(ValueError, match=rf"mine\.csv.*{message}"):
        read_own_counts(tmp_path / "mine.csv")


def test_a_wrong_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.csv"
    for text, message in (
        ("", "lacks family"),
        (HEADER.replace("agent", "agnet") + "\n", "lacks agent; .*--counts-template"),
        (HEADER + ",hram\n", "unknown column 'hram'"),
        (HEADER + "\n", "a line for each agent"),
        (HEADER + "\n" + "\n".join(f"m,extreme,A,{k},9,0,0" for k in range(3)), "no agent was cap"),
    ):
        file.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_own_counts(file)
    assert cli.main(["calibrate", "--counts", str(tmp_path / "no.csv")]) == 2
    assert "no.csv cannot be read" in capsys.readouterr().err
