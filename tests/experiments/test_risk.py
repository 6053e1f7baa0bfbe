"""`misgen risk` from the command line."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import cli, risk
from tests.analysis.calibration.calibrated_folder import write_folder

FEW = ["--draws", "2000"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("calibration"))


def output(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> str:
    assert risk.main([str(word) for word in argv]) == 0
    return capsys.readouterr().out


def test_without_an_action_the_help_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys)
    assert all(name in text for name in ("table", "audit", "scenario", "sensitivity", "gate"))


def test_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = output(capsys, "table", *FEW, "--csv", tmp_path / "t.csv", "--json", tmp_path / "t.json")
    lines = [line for line in text.splitlines() if line.startswith("AI Assistants")]
    assert len(lines) == 4 and "18-35" in lines[0] and "25-40" in lines[1]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text())))
    data = json.loads((tmp_path / "t.json").read_text())
    assert len(rows) == len(data) == 20
    assert float(rows[7]["p_gm_mean"]) == data[7]["p_gm_mean"]


def test_the_table_of_a_calibration(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    text = output(capsys, "table", "--calibration", folder, "--feed", "update", *FEW)
    assert "update %" in text and "prior %" in text
    assert "transport: U(0.5, 1.5), on both rates" in text
    (line,) = [line for line in text.splitlines() if line.startswith("C2 ")]
    assert "q = 1, d = 0.1, PPO" in line and line.count("[") == 3  # measured, multiplier, divided
    assert output(capsys, "table", "--calibration", folder, *FEW) == text  # side by side
    none = output(capsys, "table", "--calibration", write_folder(tmp_path, reference=False), *FEW)
    assert "no agents of the reference arm" in none and "no update" in none
    assert "update %" not in none and "prior %" in none


def test_audit(capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys, "audit")
    assert all(f"B{number}" in text for number in range(1, 13))
    items = json.loads(output(capsys, "audit", "--json", "-"))
    assert {"id", "title", "printed", "derived", "treatment", "where"} <= set(items[0])


def test_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["scenario", "--domain", "ai_assistants", "--period", "2028-2030", *FEW]
    argv += ["--intervention", "ai_control_protocols"]
    text = output(capsys, *argv)
    assert "moderate: p_harmful_gm" in text and "intervention/ai_control_protocols" in text
    data = json.loads(output(capsys, *argv, "--json", "-"))
    assert data["p_harmful_gm"]["mean"] < data["p_gm"]["mean"]
    assert data["inputs"]["period"]["what"].startswith("2028-2030: x 2.45")
    assert data["inputs"]["exposure"]["median"] == 1 and "by default" in text
    assert set(data["by_shift"]) == {"moderate", "significant"}


def test_a_calibrated_scenario(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    argv = ["scenario", "--calibration", folder, "--feed", "update", "--domain", "game_ai"]
    assert "no power in Game AI" in output(capsys, *argv)
    opened = output(capsys, *argv, "--domain-data", "calibrated", "--transport", "0.8-1.2")
    assert "U(0.8, 1.2)" in opened


def test_sensitivity(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["sensitivity", "--shift", "extreme", "--capability", "unknown", *FEW]
    rows = list(csv.DictReader(io.StringIO(output(capsys, *argv, "--csv", "-"))))
    assert rows[0]["name"] == "capability"
    assert "capability" in output(capsys, *argv, "--by", "log_span")
    shares = json.loads(output(capsys, *argv, "--sobol", "--base", "64", "--json", "-"))
    assert shares[0]["name"] == "capability" and shares[0]["total"] > shares[0]["first"] - 0.1


def test_mesa(capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys, "mesa", *FEW)
    assert "not a probability" in text and "medium_term" in text
    rows = json.loads(output(capsys, "mesa", *FEW, "--exponents", "1", "1", "--json", "-"))
    assert rows[0]["times_first_median"] == 1 and rows[2]["times_first_median"] < 30


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["--max", "0.3"], 0),  # the mean is 27.7 %
        (["--max", "0.25"], 1),
        (["--max", "0.3", "--of", "gm"], 1),  # two factors: 33.8 %
        (["--max", "0.3", "--quantile", ".95"], 1),
        (["--max", "0.3", "--spec", "low"], 1),
        (["--max", "0.3", "--spec", "low", "--intervention", "ai_control_protocols"], 0),
    ],
)
def test_the_gate(argv: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["risk", "gate", "--shift", "extreme", *FEW, *argv]) == code
    assert ("not above" in capsys.readouterr().out) == (code == 0)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--shift", "tiny", "--max", ".1"], "superficial"),
        (["--shift", "extreme", "--max", "5"], "5 % is .05"),
        (["--max", ".1"], "needs a shift type or a domain"),
        (["--shift", "extreme", "--max", ".1", "--draws", "0"], "at least 1"),
        (["--shift", "extreme", "--max", ".1", "--prior", "gospel"], "check the spelling"),
        (["--shift", "extreme", "--max", ".1", "--feed", "update"], "--calibration DIR"),
        (["--shift", "extreme", "--max", ".1", "--harm", "measured"], "give a calibration"),
        (["--shift", "extreme", "--max", ".1", "--calibration", "nowhere"], "summary.json"),
    ],
)
def test_bad_input_is_exit_code_2(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["risk", "gate", *argv]) == 2
    assert message in capsys.readouterr().err


def test_a_missing_limit_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        risk.main(["gate", "--shift", "extreme"])
    assert caught.value.code == 2 and "--max" in capsys.readouterr().err


def test_a_prior_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("shifts:\n  extreme: {p_capable: 0.9, p_goal_fail: 0.9, p_harm: 0.9}\n")
    argv = ["gate", "--shift", "extreme", *FEW, "--max", "0.5", "--prior", str(path)]
    assert cli.main(["risk", *argv]) == 1
    path.write_text("shifts:\n  extreme: {p_capable: 1.9}\n")
    assert cli.main(["risk", *argv]) == 2
    assert "mine.yaml" in capsys.readouterr().err


def test_audit_warnings_come_once_per_process() -> None:
    code = (
        "from experiments import risk;"
        "a = ['gate', '--shift', 'moderate', '--max', '1', '--draws', '10'];"
        "risk.main(a); risk.main(a)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert "misgen risk audit" in lines[0] and len(set(lines)) == len(lines)
    assert any(line.startswith("  B1") for line in lines)


def test_it_needs_neither_torch_nor_hydra_nor_jax() -> None:
    code = (
        "import sys; from experiments import risk;"
        "risk.main(['table', '--draws', '100']);"
        "print({'torch', 'hydra', 'numba', 'gymnasium', 'jax', 'SALib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")
