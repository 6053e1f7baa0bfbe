"""`misgen rates` on hand-made runs: d = 0 always follows the proxy, d = 1 never does."""

import csv
import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.analysis.conftest import EVENTS, episodes

from misgen.analysis.records import write_records
from misgen.experiments import cli
from misgen.experiments.answers import rates
from misgen.experiments.runs.folder import write_json
from misgen.experiments.runs.settings_table import settings_of


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    for d in (0.0, 1.0):
        for agent in range(3):
            run = root / f"d{d:g}-a{agent}"
            outcomes = ["I" if d else "P"] * 30
            write_records(run / "episodes.parquet", episodes(outcomes, agent=agent, d=d), EVENTS)
            (run / "done.json").write_text("{}")
    return root


def rates_of(results: Path, arguments: Sequence[str]) -> int:
    """`misgen rates` of a results folder; errors pass."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MISGEN_RESULTS", str(results))
        return rates.main([*arguments])


def test_the_table_compares_arms(
    results: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert rates_of(results, ["--full"]) == 0
    text = capsys.readouterr().out
    (line,) = [line for line in text.splitlines() if "d=0" in line and "competent" in line]
    assert "3 x 30" in line and line.count("1.000 [") == 5  # rates, and differences to d = 1
    monkeypatch.setenv("COLUMNS", "80")
    assert rates_of(results, []) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_csv_to_a_file_and_to_stdout(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rates_of(results, ["--csv", str(tmp_path / "rates.csv")])
    assert "goal fails" in capsys.readouterr().out
    rates_of(results, ["--csv", "-"])
    text = capsys.readouterr().out
    assert text == (tmp_path / "rates.csv").read_text()
    rows = [row for row in csv.DictReader(io.StringIO(text)) if row["population"] == "competent"]
    assert [(row["d"], row["p_goal_fail"]) for row in rows] == [("0.0", "1.0"), ("1.0", "0.0")]


def test_one_study(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rates_of(results, [])
    everything = capsys.readouterr().out
    rates_of(results, ["--study", "test"])
    assert capsys.readouterr().out == everything


def test_other_studies_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for agent, study in enumerate(["it's", "other"]):
        run = tmp_path / study
        columns = episodes(["P"] * 30, agent=agent, study=study)
        write_records(run / "episodes.parquet", columns, EVENTS)
        (run / "done.json").write_text("{}")
    rates_of(tmp_path, [])
    assert " 2/2 " in capsys.readouterr().out
    rates_of(tmp_path, ["--study", "it's"])
    assert " 1/1 " in capsys.readouterr().out


def test_controls_belong_to_every_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are played once for all studies of a block of levels, under no study's name."""
    blocks = {"one": {"role": "agent"}, "two": {"role": "agent", "d": 1.0}}
    blocks["controls"] = {"role": "control", "policy": "random", "study": ""}
    for run, changes in blocks.items():
        columns = episodes(["N"] * 30, **{"study": run, "run_id": run, **changes})
        write_records(tmp_path / run / "episodes.parquet", columns, EVENTS)
        (tmp_path / run / "done.json").write_text("{}")
    for study, arm in (("one", "d=0"), ("two", "d=1")):
        rates_of(tmp_path, ["--study", study, "--full"])
        controls = capsys.readouterr().out.partition("Controls on the same levels")[2]
        assert "random" in controls and arm in controls
    with pytest.raises(ValueError, match=r"they have one, two$"):
        rates_of(tmp_path, ["--study", "three"])


def test_the_default_folder(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISGEN_RESULTS", str(results))
    assert rates.main([]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--by", "capable"], "`by` must be one of family, cell.*got 'capable'"),
        (["--against", "0.5"], "its value of 'd'; got '0.5'; these records have 0.0, 1.0"),
        (["--by", "method"], "its value of 'method'; got none; these records have ppo"),
        (["--study", "tset"], "a study of these records; got 'tset'; they have test"),
        (["--csv", "missing/rates.csv"], "missing"),
    ],
)
def test_errors_name_what_is_wrong(
    arguments: list[str], message: str, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(results)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        rates_of(results, arguments)


def test_a_missing_folder_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["rates", "--results", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_results_are_named_by_a_flag(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["rates", f"--results={results}"]) == 0
    capsys.readouterr()
    for words in (["some folder", "--by", "d"], ["--by", "d", "some folder"]):
        assert cli.main(["rates", *words]) == 2
        assert "got some folder; write --results 'some folder'" in capsys.readouterr().err


# What varied beside the columns of the records


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four agents at 50 levels follow the proxy, four at 500 do not; at 50 levels and d = .02 one
    is the d = 0 agent of its number, bit by bit. As an evaluation of training runs leaves it."""
    root = tmp_path_factory.mktemp("sweep")
    for levels in (50, 500):
        for agent in range(4):
            for d in (0.0, 0.02):
                setting = f"setting{levels}"
                run = root / f"runs/kind=evaluate/run=L{levels}-d{d:g}-a{agent}"
                outcomes = ["P" if levels == 50 else "I"] * 30
                same = {"agent": agent, "d": d, "setting": setting, "run_id": run.name[4:]}
                noisy = {**same, "role": "control", "policy": "noisy_intended"}
                parts = [episodes(outcomes, **same), episodes(["I"] * 30, **noisy)]
                write_records(run / "episodes.parquet", parts, EVENTS)
                (run / "done.json").write_text("{}")
                training = root / f"runs/kind=train/run=T{levels}-d{d:g}-a{agent}"
                training.mkdir(parents=True)
                weights = "same" if (levels, agent) == (50, 3) else run.name
                location = f"/elsewhere/{training.name}/checkpoint"
                write_json(run / "config.json", {
                    "location": location, "setting": setting, "cell": "C2",
                    "subject": {"identity": weights, "cell": "C2"},
                })  # fmt: skip
                write_json(training / "config.json", {
                    "cell": "C2", "train_seed": agent,
                    "agent": {"settings": {"features_dim": 256}, "cloning": {"batch_size": 8}},
                    "intervention": {"diversity": d, "num_levels": levels},
                })  # fmt: skip
                write_json(training / "train.json", {"broken_share": d / 2, "episodes": 9})
                write_json(training / "done.json", {"seconds": 12.5})
    return root


def test_arms_differ_by_a_setting(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Compared with the arm of the same d; what else is equal is not said."""
    assert rates_of(sweep, ["--by", "num_levels", "--against", "500", "--csv", "-"]) == 0
    out, err = capsys.readouterr()
    rows = [row for row in csv.DictReader(io.StringIO(out)) if row["population"] == "competent"]
    found = {(row["value"], row["d"]): row for row in rows}
    assert set(found) == {(v, d) for v in ("50", "500") for d in ("0.0", "0.02")}
    few = found["50", "0.02"]
    assert (few["difference_p_gm"], few["noisy_intended_capable"]) == ("1.0", "1.0")
    assert float(few["verdict_p_gm_p"]) == pytest.approx(2 / 70)
    assert float(few["broken_share"]) == pytest.approx(0.01)
    said = " ".join(err.split())
    assert "warning: 1 agents stand in several arms" in said and "L50-d0-a3 = L50-d0.02-a3" in said
    rates_of(sweep, ["--by", "num_levels", "--against", "500", "--full"])
    text = capsys.readouterr().out
    assert "num_levels=50 d=0.02 " in text and "(" not in text.split("competent")[0]


def test_agents_without_a_setting_are_an_arm_of_it(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of before there was one, or without the intervention that it is of."""
    copy = shutil.copytree(sweep, tmp_path / "copy")
    for file in copy.glob("runs/kind=train/run=T50-*/config.json"):
        config = json.loads(file.read_text())
        config["agent"]["settings"]["gru_dim"] = 128
        config["intervention"] |= {"name": "plr", "settings": {}, "num_levels": 0}
        write_json(file, config)
    for file in copy.glob("runs/kind=train/run=T500-*/config.json"):
        config = json.loads(file.read_text())
        config["intervention"]["num_levels"] = 0
        write_json(file, config)
    for by, against, values in (
        ("gru_dim", "0", {"0", "128"}),
        ("intervention", "none", {"none", "plr"}),
    ):
        assert rates_of(copy, ["--by", by, "--against", against, "--csv", "-"]) == 0
        rows = [*csv.DictReader(io.StringIO(capsys.readouterr().out))]
        assert {row["value"] for row in rows} == values


def test_arms_differ_by_two_factors(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Along the first within each value of the second, whichever of them the records hold."""
    both = [(levels, d) for levels in ("50", "500") for d in ("0.0", "0.02")]
    for by, against in (("num_levels,d", "500"), ("d,num_levels", "0")):
        assert rates_of(sweep, ["--by", by, "--against", against, "--csv", "-"]) == 0
        rows = [*csv.DictReader(io.StringIO(capsys.readouterr().out))]
        if by == "num_levels,d":
            assert {(row["value"], row["d"]) for row in rows} == {*both}
        else:
            arms = {(row["setting"].split()[0], row["value"]) for row in rows}
            assert arms == {(f"num_levels={levels}", d) for levels, d in both}
    assert rates_of(sweep, ["--by", "d,num_levels", "--against", "0"]) == 0
    assert "d=0.02 num_levels=50" in capsys.readouterr().out
    with pytest.raises(ValueError, match="a column or two"):
        rates_of(sweep, ["--by", "d,q,method"])


def test_a_setting_that_there_is_not_is_refused(sweep: Path, results: Path) -> None:
    with pytest.raises(ValueError, match=r"got 'levels'; did you mean 'num_levels'"):
        rates_of(sweep, ["--by", "levels", "--against", "1"])
    with pytest.raises(ValueError, match=r"`by` must be one of .*got 'num_levels'"):
        rates_of(results, ["--by", "num_levels", "--against", "50"])


def test_settings_are_published_beside_records(sweep: Path, tmp_path: Path) -> None:
    """A folder of records alone knows no training runs."""
    settings = settings_of(sweep)
    pq.write_table(settings, tmp_path / "settings.parquet")
    assert settings_of(tmp_path).equals(settings)
    assert settings["cloning_batch_size"].to_pylist() == [8] * 16
    assert settings_of(tmp_path / "nothing") is None


def test_settings_that_tell_no_weights_name_no_twins(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As those of published records of 0.3."""
    shutil.copytree(results, tmp_path, dirs_exist_ok=True)
    settings = pa.table({"run_id": ["a0"], "setting": [""], "num_levels": [100]})
    pq.write_table(settings, tmp_path / "settings.parquet")
    assert rates_of(tmp_path, []) == 0
    assert "same agent" not in capsys.readouterr().err
