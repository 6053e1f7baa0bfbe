"""`misgen calibrate`: tables, folder, page; bad input in one line with exit code 2."""

import json
import logging
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.analysis.simulated_study import DEMO, TRUTH, write_study

from misgen.analysis.calibration.handoff import read_calibration
from misgen.analysis.counts import write_counts
from misgen.analysis.records import read_records
from misgen.experiments import cli
from misgen.experiments.answers import calibrate

DEMO_ARMS = {d: TRUTH[d] for d in (0.0, 1.0)}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("demo"), cells=DEMO, truth=DEMO_ARMS, agents=3)


@pytest.fixture
def runs(demo: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(demo, tmp_path / "runs"))


def a_record(runs: Path) -> Path:
    return sorted(runs.rglob("episodes.parquet"))[0]


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line on stderr; exit code 2, and nothing was written."""
    assert cli.main(["calibrate", "--results", *map(str, arguments), "--no-report"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("misgen: error: ")
    return line


def test_a_study_with_a_reference_arm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tables on the terminal; a page; a folder that the risk model reads."""
    write_study(tmp_path / "runs", cells=DEMO, agents=4)
    out = tmp_path / "out"
    argv = ["--results", str(tmp_path / "runs"), "-o", str(out), "--draws", "400", "--seed", "3"]
    argv += ["--phi", "5"]
    assert cli.main(["calibrate", *argv]) == 0
    text = capsys.readouterr().out
    assert "source" in text and "prior" in text and "combine" in text
    line = next(line for line in text.splitlines() if line.startswith("2 moderate"))
    assert "source" in line and ".650" in line
    assert "alone would flag" in text and "other table: calibration.txt" in text
    assert max(map(len, text.splitlines()[:-2])) <= 80  # the last lines are paths
    file = read_calibration(out)
    file.require("combine")
    settings = file.summary.settings
    assert settings.seed == 3 and settings.phi == 5 and file.num_draws == 400
    assert file.summary.estimand.startswith("A posterior is for the mean over a population")
    assert " ".join(file.summary.estimand.split()) in " ".join(text.split())
    provenance = file.summary.provenance
    assert provenance.command.startswith(f"misgen calibrate --results {tmp_path / 'runs'} ")
    assert provenance.date_utc and {"misgen", "scipy", "numpy"} <= provenance.versions.keys()
    assert "Each cell left out" in (out / "calibration.txt").read_text()
    assert (out / "index.html").is_file() and (out / "lab.html").is_file()
    assert (out / "factors.csv").read_text().startswith("type,what,P(capable),P(capable) low,")


def test_cells_that_the_study_names_and_the_records_lack_are_named(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(pa.table({"run_id": ["a"], "setting": [""]}), runs / "settings.parquet")
    said = dict.fromkeys(("name", "question", "against", "along"), "") | {
        "arms": [], "smoke_run": False, "provenance": {}, "cells": {"C2": {}, "K3": {}, "M5": {}},
    }  # fmt: skip
    (runs / "study.json").write_text(json.dumps(said))
    argv = ["--results", str(runs), "-o", str(tmp_path / "out"), "--no-report"]
    assert cli.main(["calibrate", *argv]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "note: the study of these records names M5, which they lack" in text


def test_a_terminal_sees_what_it_does(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ["--results", str(demo), "-o", str(tmp_path), "--no-report", "--draws", "200"]
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    # Hydra, in an earlier test of this process, disables the loggers that are there.
    for name in ("", ".calibration.calibrate"):
        monkeypatch.setattr(logging.getLogger(f"misgen.analysis{name}"), "disabled", False)
    assert cli.main(["calibrate", *argv, "--quiet"]) == 0
    assert "..." not in capsys.readouterr().err
    assert cli.main(["calibrate", *argv]) == 0
    assert "measuring the cells ...\ncomparing arms ...\n" in capsys.readouterr().err


def test_the_demo_has_no_reference_arm(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--results", str(demo), "-o", str(tmp_path / "out"), "--no-report"]
    assert cli.main(["calibrate", *argv]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "combine and only are refused: these records have no agents of the reference arm" in text
    assert "run `misgen run-cells`" in text
    assert "C2, d=0" in text
    file = read_calibration(tmp_path / "out")
    assert file.rates_of("none", "moderate").p_gm.shape == (4000,)
    assert not (tmp_path / "out" / "index.html").exists()


def test_a_folder_of_counts_is_calibrated_as_its_episodes(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_counts(tmp_path, read_records(demo))
    said = []
    for results in (demo, tmp_path):
        argv = ["--results", str(results), "-o", str(tmp_path / "out"), "--no-report"]
        assert cli.main(["calibrate", *argv]) == 0
        summary = json.loads((tmp_path / "out" / "summary.json").read_text())
        said.append((capsys.readouterr().out, summary["inputs"], summary["modifiers"]))
    assert said[0] == said[1]


def test_a_named_prior_and_a_users_file(demo: Path, tmp_path: Path) -> None:
    assert calibrate.chosen_priors("meta_analysis", None).name == "meta_analysis"
    file = tmp_path / "mine.yaml"
    text = "{kappa: 4, p_capable: 0.9, p_goal_fail: [0.1, 0.2]}"
    file.write_text(f"shifts:\n  moderate: {text}\n")
    out = tmp_path / "out"
    argv = ["--no-report", "--prior", str(file), "--kappa", "20"]
    assert cli.main(["calibrate", "--results", str(demo), "-o", str(out), *argv]) == 0
    summary = read_calibration(out).summary
    assert summary.settings.kappa == 20
    (moderate,) = [row for row in summary.types if row.type == "moderate"]
    assert moderate.source.rates["p_capable"] == 0.9
    fails, capable = (moderate.prior[rate] for rate in ("p_goal_fail", "p_capable"))
    assert (fails.low, fails.high) == pytest.approx((0.1, 0.2), abs=0.01)
    assert capable.low < 0.6  # 4 observations, not 20


# ---------------------------------------------------------------------------------------- bad input


def test_an_empty_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, tmp_path)
    assert str(tmp_path) in line and "start the experiment" in line


def test_a_torn_parquet_file(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = a_record(runs)
    path.write_bytes(path.read_bytes()[:2000])
    line = refused(capsys, runs)
    assert str(path) in line and "whole Parquet file" in line


def test_missing_columns(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = a_record(runs)
    pq.write_table(pq.read_table(path).drop_columns(["harm"]), path)
    line = refused(capsys, runs)
    assert str(path) in line and "['harm']" in line


def test_duplicate_run_ids(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = a_record(runs)
    shutil.copytree(path.parent, runs / "copy")
    line = refused(capsys, runs)
    assert str(path) in line and str(runs / "copy") in line and "remove the copy" in line


def with_column(path: Path, name: str, value: object) -> None:
    table = pq.read_table(path)
    i = table.column_names.index(name)
    column = pa.array([value] * len(table), table.schema.field(name).type)
    pq.write_table(table.set_column(i, table.schema.field(name), column), path)


def test_different_evaluations(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_column(a_record(runs), "eval_fingerprint", "other")
    line = refused(capsys, runs)
    assert "the fingerprint" in line and "evaluate one of them again" in line


def test_older_records(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = a_record(runs)
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({"schema_version": "1"}), path)
    line = refused(capsys, runs)
    assert f"{path} has 1; run `misgen migrate --results FOLDER`" in line


def test_probabilities_outside_0_to_1(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("base: taxonomy\nshifts:\n  moderate:\n    p_goal_fail: 1.3\n")
    line = refused(capsys, demo, "--prior", file)
    assert str(file) in line and "1.3" in line and "4" in line


def test_an_unknown_prior(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "'taxonmy', which is neither" in refused(capsys, demo, "--prior", "taxonmy")


def test_a_power_out_of_range(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, demo, "-o", tmp_path / "out", "--power", 2)
    assert "within 0 (ignored) and 1 (full); got 2" in line


def test_a_phi_out_of_range(demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, demo, "-o", tmp_path / "out", "--phi", 0)
    assert "phi, how alike cells of a type are, is above 0; got 0" in line


def test_the_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        calibrate.main(["--help"])
    text = capsys.readouterr().out
    for option in (
        "--prior",
        "--kappa",
        "--phi",
        "--power",
        "--harm",
        "--overflow",
        "--no-report",
    ):
        assert option in text


def test_episodes_found_twice(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = a_record(runs)
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table]), path)
    line = refused(capsys, runs)
    assert f"{path} breaks this in row {len(table)}" in line and "evaluate this run again" in line


def test_torn_pages_under_a_whole_footer(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = a_record(runs)
    data = bytearray(path.read_bytes())
    data[4:3000] = bytes(2996)
    path.write_bytes(bytes(data))
    line = refused(capsys, runs)
    assert str(path) in line and "run it again" in line


@pytest.mark.parametrize(("name", "kind"), [("d", "string"), ("capable", "int32")])
def test_a_column_of_another_type(
    runs: Path, capsys: pytest.CaptureFixture[str], name: str, kind: str
) -> None:
    path = a_record(runs)
    table = pq.read_table(path)
    i = table.column_names.index(name)
    pq.write_table(table.set_column(i, name, table[name].cast(kind)), path)
    line = refused(capsys, runs)
    assert f"`{name}` in {path} is {kind}" in line


def test_a_file_for_a_folder(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    line = refused(capsys, demo, "-o", tmp_path / "file")
    assert repr(str(tmp_path / "file")) in line and "name another folder" in line


def test_arms_of_another_study_are_added(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of the same cells and settings; what both hold counts once."""
    one, other = tmp_path / "one", tmp_path / "other"
    write_study(one, cells=DEMO, agents=4)
    write_study(other / "q", cells=DEMO[:1], agents=4, truth={0.1: (0.9, 0.8, 0.5)}, q=0.5)
    write_study(other / "gru", cells=DEMO[1:], agents=4, truth={0.1: (1, 1, 1)}, setting="ffff")
    shutil.copytree(one / "coinrun-C2-d0", other / "again")
    out = tmp_path / "out"
    words = ["calibrate", "--results", str(one), "-o", str(out), "--draws", "400", "--no-report"]
    assert cli.main(words) == 0
    alone = read_calibration(out).summary
    assert "spec" in alone.modifier_report.not_identified
    assert cli.main([*words, "--with", str(other)]) == 0
    both = read_calibration(out).summary
    assert "spec" not in both.modifier_report.not_identified
    ratios = [r for r in both.modifier_report.ratios if (r.modifier, r.scope) == ("spec", "cell")]
    assert [ratio.cells for ratio in ratios] == [(("coinrun", "C2"),)]
    assert both.types == alone.types, "the reference arm has no more agents than before"
    capsys.readouterr()
    assert refused(capsys, one, "--with", tmp_path / "nowhere").count("nowhere") == 1
    assert "--counts" in refused(capsys, one, "--with", other, "--counts", "x.csv")
