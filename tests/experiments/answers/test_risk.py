"""`misgen risk` from the command line."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.analysis.calibration.calibrated_folder import write_folder

from misgen.analysis.priors import PriorSet, load_priors
from misgen.analysis.risk.model import RiskModel
from misgen.analysis.text import filled
from misgen.analysis.words import DATA
from misgen.experiments import cli
from misgen.experiments.answers import risk, risk_options

FEW = ["--draws", "2000"]
GAME_AI = ["scenario", "--domain", "game_ai"]


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
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("AI Assistants"))
    assert "2024-2025   18 to 35" in lines[at] and "2026-2027   25 to 40" in lines[at + 1]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text())))
    data = json.loads((tmp_path / "t.json").read_text())
    assert len(rows) == len(data) == 20
    assert float(rows[7]["p_gm_mean"]) == data[7]["p_gm_mean"]


def test_data_enter_the_table_only_where_asked(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    argv: list[str | Path] = ["table", "--calibration", folder, *FEW]
    plain = output(capsys, *argv)
    assert "none [%]" in plain and "combine [%]" not in plain and "transport" not in plain
    assert "data of toy agents enter no domain by default; --data combine --toy-rates" in plain
    first = next(line for line in plain.splitlines() if line.startswith("C2 "))
    assert "q = 1, d = 0" in first and first.count("[") == 2  # the multiplier, and p_gm
    for data in ("combine", "only"):
        with pytest.raises(ValueError, match=r"only where that is asked for; .* \(--toy-rates\)"):
            risk.main([*map(str, argv), "--data", data])
        text = output(capsys, *argv, "--data", data, "--toy-rates")
        assert "enter the domain: toy rates were asked for" in text
        assert f"{data} [%]" in text and "none [%]" in text
        assert "transport: U(0.5, 1.5), on both rates" in text
    none = output(capsys, "table", "--calibration", write_folder(tmp_path, reference=False), *FEW)
    assert "no agents of the reference arm" in none and "no data may enter" in none
    assert "combine [%]" not in none and "none [%]" in none


def test_table_and_scenario_agree_on_data_in_a_domain(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    data: list[str | Path] = ["--calibration", folder, "--data", "combine", "--toy-rates"]
    rows = json.loads(output(capsys, "table", *data, "--json", "-"))
    (row,) = [r for r in rows if (r["model"], r["domain"]) == ("combine", "game_ai")][:1]
    argv = ["scenario", *data, "--domain", "game_ai", "--period", row["period"], "--json", "-"]
    assert json.loads(output(capsys, *argv))["p_gm"]["median"] == row["p_gm_median"]
    assert "were asked for" in row["notes"]


def test_data_state_their_condition_and_warnings(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    """One text in the table, a scenario, its JSON, and the gate; .5 is the low end of a range."""
    text = (
        "factors measured at q = 1, d = 0.1, PPO, and used as measured; the source's multiplier "
        "for q = 1 is x 0.5 [0.51, 0.74]: a specification level multiplies on top of it"
    )
    data: list[str | Path] = ["--calibration", folder, "--data", "combine"]
    gate = ["gate", "--shift", "moderate", "--max", "1", *data]
    scenario = ["scenario", "--shift", "moderate", *data]
    for argv in (["table", *data, "--toy-rates"], gate, scenario):
        found = output(capsys, *argv)
        assert filled(f"note: {text}", hanging=2) in found
        assert "note: moderate p_goal_fail: held\n" in found
        assert "pseudo-agent" not in found
    assert text in json.loads(output(capsys, *scenario, "--json", "-"))["warnings"]
    assert "pseudo-agent" in output(capsys, *gate[:-1], "only")
    kept = output(capsys, *gate[:1], "--shift", "superficial", *gate[3:])
    assert text not in kept and "held" not in kept  # this type keeps its prior


def test_audit(capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys, "audit")
    assert all(f"B{number}" in text for number in range(1, 13))
    items = json.loads(output(capsys, "audit", "--json", "-"))
    assert {"id", "title", "printed", "derived", "treatment", "where"} <= set(items[0])


def test_every_table_of_the_source_is_shown_with_what_it_is_used_as(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tables = json.loads(output(capsys, "source", "--json", "-"))
    assert len(tables) == 32 and all(row["used_as"] for row in tables)
    text = output(capsys, "source", "shift_types")
    title = "003 (Goal Misgeneralization Probability Model), lines 56-63"
    assert f"document {title}" in text and "used as: the means of the three factors" in text
    entries = {row["entry"]: row for row in json.loads(output(capsys, "source", "003.shift_types",
                                                              "--json", "-"))}  # fmt: skip
    assert entries["type_2.p_capability_transfer"]["printed"] == "0.65"
    assert entries["type_2.label"]["printed"] == "Moderate"
    with pytest.raises(ValueError, match="no table 'shift_type'; did you mean 'shift_types'"):
        risk.main(["source", "shift_type"])


def test_both_exponents_of_the_mesa_index_are_live(capsys: pytest.CaptureFixture[str]) -> None:
    def severities(*argv: str) -> list[float]:
        rows = json.loads(output(capsys, "mesa", "--draws", "500", *argv, "--json", "-"))
        return [row["severity_median"] for row in rows]

    half = severities("--misalignment", "0.25")
    assert half == pytest.approx([s * 0.25**1.5 for s in severities()])
    assert severities("--misalignment", "0.25", "--exponents", "2", "1") == pytest.approx(
        [2 * s for s in half]
    )
    text = output(capsys, "mesa", "--draws", "500")
    assert "5-30 %" in text and "transformative" in text and "deceptive_alignment" in text


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


def test_where_no_situation_tells_the_goals_apart_there_is_no_risk(
    capsys: pytest.CaptureFixture[str],
) -> None:
    none = ["--exposure", "0"]
    text = output(capsys, "scenario", "--shift", "moderate", *none, *FEW)
    assert "p_harmful_gm" in text and "as a product" not in text
    pair = ["compare", "--shift", "moderate", *FEW, "--exposure 0", ""]
    rate = next(line for line in output(capsys, *pair).splitlines() if "p_harmful_gm" in line)
    assert rate.split()[1] == "0.0000" and rate.split()[6] == "-"
    assert json.loads(output(capsys, *pair, "--json", "-"))[0]["ratio"] is None
    assert output(capsys, "sensitivity", "--shift", "moderate", *none, *FEW)


def test_a_scenario_as_squiggle_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    argv = ["scenario", "--shift", "4", "--diversity", "narrow", "--draws", "50", "--squiggle"]
    text = output(capsys, *argv, "-")
    assert text.rstrip().endswith("p_harmful_gm = (extreme_harmful) / 1") and "rate " not in text
    assert "rate " in output(capsys, *argv, tmp_path / "it.squiggle")
    assert (tmp_path / "it.squiggle").read_text() == text


def test_a_calibrated_scenario(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    argv = ["scenario", "--calibration", str(folder), "--data", "combine", "--domain", "game_ai"]
    with pytest.raises(ValueError, match=r"and the domain 'game_ai'; give toy_rates=True"):
        risk.main(argv)
    opened = output(capsys, *argv, "--toy-rates", "--transport", "0.8-1.2")
    assert "U(0.8, 1.2)" in opened


def test_what_an_intervention_buys(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["compare", "", "--intervention ai_control_protocols --intervention gradual_deployment"]
    argv += ["--shift", "4", "--diversity", "narrow", *FEW]
    text = output(capsys, *argv)
    assert "A: as it is\nB: --intervention ai_control_protocols" in text
    assert "gradual_deployment: no effect" in text and "lost to the difference" in text
    harmful, gm = json.loads(output(capsys, *argv, "--json", "-"))
    assert 0.2 < harmful["ratio"] < 0.3 and gm["ratio"] == 1
    same = json.loads(output(capsys, "compare", "", "", "--shift", "4", *FEW, "--json", "-"))
    assert [row["difference"] for row in same] == [0, 0]
    with pytest.raises(ValueError, match=r"risk compare B: .*--diversty"):
        risk.main(["compare", "", "--diversty narrow", "--shift", "4"])


def test_sensitivity(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["sensitivity", "--shift", "moderate", "--method", "reference", *FEW]
    argv += ["--diversity", "narrow", "--spec", "reference"]
    rows = list(csv.DictReader(io.StringIO(output(capsys, *argv, "--csv", "-"))))
    assert "capability" in [row["name"] for row in rows[:2]]
    assert "capability" in output(capsys, *argv, "--by", "log_span")
    shares = json.loads(output(capsys, *argv, "--sobol", "--base", "64", "--json", "-"))
    said = " ".join(output(capsys, *argv).split())
    held = "spec at reference, diversity at narrow, method at reference"
    assert f"open, over the whole range: capability; held: {held}" in said
    argv = ["sensitivity", "--domain", "game_ai", "--period", "2028-2030", *FEW]
    argv += ["--intervention", "diverse_adversarial_training"]
    said = " ".join(output(capsys, *argv).split())
    assert "open, over the whole range: method; held: spec at the domain's own, " in said
    (row,) = [row for row in shares if row["name"] == "capability"]
    assert row["total"] > row["first"] - 0.1 > 0


def test_mesa(capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys, "mesa", *FEW)
    assert "not a probability" in text and "medium_term" in text
    rows = json.loads(output(capsys, "mesa", *FEW, "--exponents", "1", "1", "--json", "-"))
    assert rows[0]["times_first_median"] == 1 and rows[2]["times_first_median"] < 30


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--draws", "0"], "at least 1"),
        (["--draws", "-1"], "at least 1"),
        (["--seed", "-1"], "a seed at least 0"),
        (["--exponents", "nan", "1"], "finite numbers of at least 0; got \\(nan, 1.0\\)"),
        (["--exponents", "1e6", "1"], "use smaller ones"),
    ],
)
def test_bad_input_for_mesa(argv: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        risk.main(["mesa", *argv])


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["--max", "0.3"], 0),  # the mean is 27.7 %
        (["--max", "30%"], 0),
        (["--max", "0.277"], 3),  # 2,000 draws have the error .003
        (["--max", "0.25"], 1),
        (["--max", "0.3", "--of", "gm"], 1),  # two factors: 33.8 %
        (["--max", "0.3", "--quantile", ".95"], 1),
        (["--max", "0.3", "--spec", "low"], 1),
        (["--max", "0.3", "--spec", "low", "--intervention", "ai_control_protocols"], 0),
    ],
)
def test_the_gate(argv: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["risk", "gate", "--shift", "extreme", *FEW, *argv]) == code
    said = {0: "not above the limit", 1: "is above the limit", 3: "too close to the limit"}
    assert said[code] in capsys.readouterr().out


@pytest.mark.parametrize("quantile", [None, 0.8])
def test_the_gate_prints_the_interval(
    quantile: float | None, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [] if quantile is None else ["--quantile", str(quantile)]
    text = output(capsys, "gate", "--shift", "extreme", "--max", "1", *FEW, *asked)
    model = RiskModel.from_prior(load_priors(), 2000)
    rate = model.predict("extreme").p_harmful_gm
    value = rate.mean() if quantile is None else rate.quantile(quantile)
    low, high = rate.interval()
    assert f" {value:.4f}, central 90 % [{low:.4f}, {high:.4f}]" in text


@pytest.mark.parametrize("error", [RuntimeError("a bug"), MemoryError(), ModuleNotFoundError("x")])
def test_an_unexpected_error_is_no_verdict(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(risk, "check_limit", fail)
    assert cli.main(["risk", "gate", "--shift", "extreme", "--max", ".3", *FEW]) == 4
    assert "Traceback" in capsys.readouterr().err


def test_wrong_input_with_its_traceback_is_no_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["risk", "gate", "--shift", "tiny", "--max", ".3"]
    assert cli.main(argv) == 2
    monkeypatch.setenv("MISGEN_TRACEBACK", "1")
    assert cli.main(argv) == 4
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--shift", "tiny", "--max", ".1"], "superficial"),
        (["--shift", "extreme", "--max", "5"], "5 % is .05"),
        (["--max", ".1"], "needs a shift type or a domain"),
        (["--shift", "extreme", "--max", ".1", "--draws", "0"], "at least 1"),
        (["--shift", "extreme", "--max", ".1", "--prior", "gospel"], "check the spelling"),
        (["--shift", "extreme", "--max", ".1", "--data", "combine"], "--calibration DIR"),
        (["--shift", "extreme", "--max", ".1", "--harm", "measured"], "give a calibration"),
        (["--shift", "extreme", "--max", ".1", "--calibration", "nowhere"], "summary.json"),
        (
            ["--domain", "game_ai", "--max", ".1", "--toy-rates"],
            "--toy-rates reads a calibration; got none; give --calibration DIR",
        ),
        (["--shift", "extreme", "--max", ".1", "--transport", "2-1"], "low to high"),
        (["--shift", "extreme", "--max", ".1", "--transport=-1"], "above 0"),
        (["--shift", "extreme", "--max", ".1", "--kappa", "0"], "kappa"),
    ],
)
def test_bad_input_is_exit_code_2(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["risk", "gate", *argv]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([*GAME_AI, "--toy-rates"], 'data "none" does not; got both; use data "combine"'),
        ([*GAME_AI, "--data", "combine"], "--toy-rates"),
        (["table", "--kappa", "5"], "misgen calibrate --kappa 5"),
        (["table", "--prior", "meta_analysis"], "used 'taxonomy'.*got 'meta_analysis'"),
    ],
)
def test_contradictory_options_for_a_calibration(
    argv: list[str], message: str, folder: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        risk.main([*argv, "--calibration", str(folder)])


def test_table_names_no_prior_file_that_differs(folder: Path, tmp_path: Path) -> None:
    """Two files of one name are two priors; the same figures are one, whatever kappa was."""
    for where, spec in (("a", 0.9), ("b", 0.8)):
        (tmp_path / where).mkdir()
        (tmp_path / where / "mine.yaml").write_text(f"domains: {{game_ai: {{spec: {spec}}}}}\n")
    own = load_priors(kappa=5, log_sd=0.3, file=tmp_path / "a" / "mine.yaml")
    copy = with_settings(write_folder(tmp_path / "own"), own)
    argv = [*GAME_AI, "--calibration", str(copy), "--json", str(tmp_path / "p.json"), "--prior"]
    assert risk.main([*argv, str(tmp_path / "a" / "mine.yaml")]) == 0
    with pytest.raises(ValueError, match=r"fingerprint .*; give that set or file \(--prior\)"):
        risk.main([*argv, str(tmp_path / "b" / "mine.yaml")])


def with_settings(folder: Path, priors: PriorSet) -> Path:
    """The folder as if it had been calibrated with these priors."""
    summary = json.loads((folder / "summary.json").read_text())
    summary["settings"] |= {
        "prior": priors.name,
        "prior_fingerprint": priors.fingerprint,
        "kappa": priors.kappa,
        "log_sd": priors.log_sd,
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def test_kappa_narrows_the_prior(capsys: pytest.CaptureFixture[str]) -> None:
    def width(*kappa: str) -> float:
        data = json.loads(
            output(capsys, "scenario", "--shift", "extreme", *FEW, *kappa, "--json", "-")
        )
        return float(data["p_gm"]["high"] - data["p_gm"]["low"])

    assert width("--kappa", "50") < 0.9 * width() < 0.81 * width("--kappa", "2")


def test_table_takes_modifier_levels(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["table", *FEW, "--intervention", "objective_specification_improvement"]
    with pytest.raises(ValueError, match="set spec to reference"):
        risk.main(argv)
    assert "Game AI" in output(capsys, *argv, "--spec", "reference")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.8", 0.8),
        ("1e-3", 0.001),
        (".5-1.5", (0.5, 1.5)),
        ("0.5,1.5", (0.5, 1.5)),
        ("1e-3-1.e-2", (0.001, 0.01)),
        ("-1", -1),
    ],
)
def test_transport_is_a_number_or_a_range(text: str, value: object) -> None:
    assert risk_options._number_or_range(text) == value


def test_another_transport_is_refused_in_words() -> None:
    for text in ("abc", "1-", "1-2-3"):
        with pytest.raises(ValueError, match=f"low-high such as .5-1.5; got '{text}'"):
            risk.main(["gate", "--shift", "extreme", "--max", ".1", "--transport", text])


def test_the_help_explains_what_data_do(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        risk.main(["table", "--help"])
    text = capsys.readouterr().out
    words = " ".join(text.split())
    assert all(f"{data}: " in words for data in DATA)
    assert text.index("--json FILE  ") < text.index("--csv FILE  ")


def test_a_missing_limit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"misgen risk gate: .*--max"):
        risk.main(["gate", "--shift", "extreme"])


def test_a_prior_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("shifts:\n  extreme: {p_capable: 0.9, p_goal_fail: 0.9, p_harm: 0.9}\n")
    argv = ["gate", "--shift", "extreme", *FEW, "--max", "0.5", "--prior", str(path)]
    assert cli.main(["risk", *argv]) == 1
    path.write_text("shifts:\n  extreme: {p_capable: 1.9}\n")
    assert cli.main(["risk", *argv]) == 2
    assert "mine.yaml" in capsys.readouterr().err


def test_notes_and_warnings_come_after_the_answer_or_not_at_all() -> None:
    argv = ["risk", "scenario", "--shift", "4", "--diversity", "narrow", "--draws", "500"]
    command = [sys.executable, "-m", "misgen.experiments.cli", *argv]
    done, quiet = (
        subprocess.run([*command, *more], capture_output=True, text=True, check=True)
        for more in ([], ["--quiet"])
    )
    answer, _, notes = done.stdout.partition("note: ")
    assert "p_harmful_gm" in answer and notes.startswith("clipped")
    assert quiet.stdout == answer and quiet.stderr == "" != done.stderr


def test_audit_warnings_come_once_per_process() -> None:
    code = (
        "from misgen.experiments.answers import risk;"
        "a = ['gate', '--shift', 'moderate', '--max', '1', '--draws', '10'];"
        "risk.main(a); risk.main(a)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.count("misgen risk audit") == done.stderr.count("B1.harm") == 1


def test_a_former_word_is_understood_with_a_note(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    argv = ["scenario", "--shift", "moderate", "--calibration", folder, "--json", "-"]
    said = [output(capsys, *argv, "--data", word) for word in ("only", "combine")]
    assert risk.main([*map(str, argv), "--data", "replace"]) == 0
    printed = capsys.readouterr()
    assert printed.out == said[0] != said[1]
    assert "note: replace is now called only" in printed.err
