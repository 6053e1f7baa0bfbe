"""`misgen power` on a simulated study: agents of C2 and K3 that are alike."""

import json
import re
from pathlib import Path

import pytest
from tests.analysis.simulated_study import DEMO, write_study

from misgen.experiments import cli


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """d = 0.1: capable on .8 of 200 levels, of these .25 fail; one of five is not competent."""
    folder = tmp_path_factory.mktemp("results")
    return write_study(folder, cells=DEMO, agents=5, levels=200, incompetent=1)


QUICK = ["--agents", "5", "--simulations", "200"]


def test_agents_needed_by_a_measured_spread(
    results: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "power.json"
    command = ["power", "--results", str(results), "--cell", "C2", "--against", "0.1", *QUICK]
    command += ["--setting", "a1b2"]
    assert cli.main([*command, "--difference", "0.3", "--json", str(file)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith(
        "C2 at variant 11, d=0.1 method=ppo setting=a1b2: 5 trained agents x 200"
    )
    found = json.loads(file.read_text())
    (line,) = found["lines"]
    assert line["found"][0] == 1.0 > line["found"][1] and line["equal"] < 0.1
    assert line["smallest"][0] < 0.3 < line["smallest"][1]
    four, more = found["needed"]
    assert four == 4 < more  # fewer never have a verdict
    assert f"found with probability 0.8 by {four} agents if every agent moves and {more}" in text
    assert "git_commit" in found and "date_utc" in found
    assert found["command"].startswith("misgen power --cell C2 --against 0.1")


def test_what_no_difference_reaches_is_null(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Three agents against three never have a verdict."""
    file = tmp_path / "power.json"
    command = ["power", "--assume", "alike", *QUICK, "--agents", "3", "--json", str(file)]
    assert cli.main(command) == 0
    (line,) = json.loads(file.read_text())["lines"]
    assert (line["found"], line["smallest"]) == ([0, 0], [None, None])
    assert "3 / 3   .000 +-.000" in capsys.readouterr().out


def test_conditional_rates_are_of_competent_agents(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["power", "--results", str(results), "--cell", "K3", "--against", "0", *QUICK]
    assert cli.main([*command, "--rate", "p_goal_fail", "--difference", "-0.4"]) == 0
    text = capsys.readouterr().out
    assert "4 competent agents x 200 levels" in text
    assert "4 of 5 trained agents are competent" in text


def test_without_data_a_spread_is_assumed(capsys: pytest.CaptureFixture[str]) -> None:
    for spread_as in ("alike", "two-kinds"):
        command = ["power", "--assume", spread_as, "--goal-fail", "0.2", *QUICK]
        assert cli.main([*command, "--agents", "5", "8", "--against-agents", "5"]) == 0
        text = capsys.readouterr().out
        assert f"nothing measured: assumed are agents that are {spread_as}, capable on .950" in text
        assert "p_gm: .190; of the second arm .390" in text and "8 / 5" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "measured or assumed; neither was asked for; name --cell CODE"),
        (["--cell", "C2", "--assume", "alike"], "measured or assumed; both was asked for"),
        (["--cell", "C2", "--levels", "9"], "--levels says what is assumed; got --cell, too"),
        (["--assume", "alike", "--d", "0"], "--d says which agents were measured; got --assume"),
        (["--cell", "C9"], "a cell of these records; got 'C9'; choose from C2, K3"),
        (["--cell", "C2", "--by", "depth"], "`by` must be one of .*; got 'depth'"),
        (["--cell", "C2", "--against", "0.7"], "its value of 'd'; got '0.7'; these records have 0"),
        (["--cell", "C2", "--rate", "gm"], "argument --rate: invalid choice: 'gm'"),
        (["--cell", "C2", "--variant", "10"], "0 of these at variant 10 fit"),
        (["--cell", "C2", "--against", "0.1", "--setting", "b2"], "0 of these .* setting=a1b2"),
        (["--cell", "C2", "--by", "policy", "--against", "ppo"], "3 of these .* fit: .*d=0.1"),
        (["--cell", "C2", "--difference", "0.9"], "between -.* and .*, and not 0; got 0.9"),
        (["--cell", "C2", "--rate", "p_harm"], "how often harm given that the goal"),
        (["--assume", "alike", "--rate", "p_harm"], "harm is not assumed; got --rate p_harm"),
        (["--assume", "two-kinds", "--goal-fail", "0.01"], "between 0.05 and 0.95"),
        (["--assume", "alike", "--agents", "1"], "--agents is between 2 and 100; got 1"),
        (["--assume", "alike", "--power", "1"], "--power is between 0.2 and 0.99; got 1"),
        (["--assume", "alike", "--simulation", "9"], "did you mean '--simulations'"),
    ],
)  # fmt: skip
def test_errors_are_one_line(
    arguments: list[str], message: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["power", "--results", str(results), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error), error


def test_too_few_agents_and_agents_by_chance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = write_study(tmp_path / "few", cells=DEMO[:1], agents=2, levels=100)
    assert cli.main(["power", "--results", str(few), "--cell", "C2"]) == 2
    assert "at least 3 agents, each with 30 episodes" in capsys.readouterr().err
    weak = {("coinrun", "C2", 1.0): (0.1, 0.5, 0.5)}
    chance = write_study(tmp_path / "weak", cells=DEMO[:1], levels=100, of_cell=weak)
    assert cli.main(["power", "--results", str(chance), "--cell", "C2"]) == 2
    assert "no more capable than a random policy" in capsys.readouterr().err
