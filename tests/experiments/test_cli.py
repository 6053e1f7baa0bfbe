import contextlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from misgen.experiments import cli, doctor


@pytest.fixture
def command(monkeypatch):
    """command(function) makes `misgen rates` call it."""

    def install(function):
        module = ModuleType("misgen.experiments.toy")
        module.main = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        entry = cli.Command("toy", "")
        monkeypatch.setitem(cli.COMMANDS["research"], "rates", entry)

    monkeypatch.delenv("MISGEN_TRACEBACK", raising=False)
    return install


def raising(error: BaseException):
    def main(argv):
        raise error

    return main


# --- Dispatch ------------------------------------------------------------------------------------


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--help"])
    shown = capsys.readouterr().out
    for text in (
        *("start here:", "demo", "play", "doctor", "train", "evaluate", "rates", "bench"),
        *("risk:", "calibrate"),
    ):
        assert text in shown


def test_no_command_shows_the_help(capsys):
    assert cli.main([]) == 0
    assert "start here:" in capsys.readouterr().out


def test_arguments_and_exit_code_pass_through(command):
    seen = []

    def function(argv):
        seen.append(argv)
        return 5

    command(function)
    assert cli.main(["rates", "--help", "a=b", "--", "-x"]) == 5
    assert seen == [["--help", "a=b", "--", "-x"]]


@pytest.mark.parametrize(
    ("typed", "passed_on"),
    [
        ("rates --results some/where --by d", "--by d"),
        ("rates --by d --results=some/where", "--by d"),
        ("--results some/where rates", ""),
        ("rates --results nowhere -x --results some/where -- --results", "-x -- --results"),
    ],
)
def test_every_command_takes_the_results_folder(command, monkeypatch, typed, passed_on):
    monkeypatch.setenv("MISGEN_RESULTS", "before")
    seen = []
    command(lambda argv: seen.append((argv, os.environ["MISGEN_RESULTS"])) or 0)
    assert cli.main(typed.split()) == 0
    assert seen == [(passed_on.split(), "some/where")]
    assert os.environ["MISGEN_RESULTS"] == "before"


@pytest.mark.parametrize(
    "typed", ["rates --results", "rates --results= -x", "rates --results --by"]
)
def test_a_results_folder_without_a_name(capsys, typed):
    assert cli.main(typed.split()) == 2
    assert "write --results FOLDER" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "hint"), [("demmo", "did you mean 'demo'?"), ("qqq", "choose from demo, cells, play")]
)
def test_an_unknown_command(capsys, typed, hint):
    assert cli.main([typed]) == 2
    assert f"misgen: error: unknown command '{typed}'; {hint}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [kind("bad size") for kind in (ValueError, FileNotFoundError, IsADirectoryError)]
    + [FileExistsError("bad size")],
)
def test_wrong_input_is_one_line(command, capsys, monkeypatch, error):
    command(raising(error))
    assert cli.main(["rates"]) == 2
    assert capsys.readouterr().err == "misgen: error: bad size\n"
    monkeypatch.setenv("MISGEN_TRACEBACK", "1")
    with pytest.raises(type(error)):
        cli.main(["rates"])


@pytest.mark.parametrize("error", [KeyError("x"), OSError(5, "Input/output error")])
def test_a_mistake_that_is_not_the_users_keeps_its_traceback(command, error):
    command(raising(error))
    with pytest.raises(type(error)):
        cli.main(["rates"])


def test_interrupted(command):
    command(raising(KeyboardInterrupt()))
    assert cli.main(["rates"]) == 130


def test_a_missing_extra_is_named(command, capsys):
    command(raising(ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn")))
    assert cli.main(["rates"]) == 2
    error = capsys.readouterr().err
    assert "needs torch, which is not installed: pip install '.[rl]' in a checkout" in error
    command(raising(ModuleNotFoundError("No module named 'misgen.x'", name="misgen.x")))
    with pytest.raises(ModuleNotFoundError):
        cli.main(["rates"])


@pytest.mark.parametrize(
    ("typed", "instead"),
    [
        ("run-cells --report folder", "misgen report FOLDER"),
        ("run-cells --report=folder", "misgen report FOLDER"),
        ("rates results --coverage", "misgen coverage"),
        ("calibrate --trust folder", "misgen trust FOLDER"),
        ("calibrate --sets 20", "misgen trust FOLDER --sets N"),
    ],
)
def test_a_flag_that_became_a_command_names_it(typed, instead, capsys):
    assert cli.main(typed.split()) == 2
    error = capsys.readouterr().err
    assert error.endswith(f"has become a command: {instead}\n") and error.count("\n") == 1


# --- Doctor --------------------------------------------------------------------------------------


def test_doctor_is_content_here(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("MISGEN_RESULTS", str(tmp_path / "results"))
    assert cli.main(["doctor"]) == 0
    shown = capsys.readouterr().out
    for text in ("python", "stable-baselines3", "numba", "cpu", "gpu", "diversity: 350 agents"):
        assert text in shown
    assert "broken" not in shown
    assert not (tmp_path / "results").exists()


def test_doctor_exits_with_1_if_anything_is_broken(monkeypatch, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MISGEN_RESULTS", str(tmp_path / "file"))
    monkeypatch.setattr(doctor, "check_machine", list)
    assert doctor.main([]) == 1
    shown = capsys.readouterr().out
    assert "broken" in shown and "--results or MISGEN_RESULTS" in " ".join(shown.split())


def test_doctor_knows_a_missing_package_from_a_missing_extra():
    found: dict[str, str | None] = {"python": "3.11", "numpy": "2"}
    without_extra = found | dict.fromkeys(doctor.RL_DISTRIBUTIONS)
    assert [check.status for check in doctor.check_packages(without_extra)] == ["ok", "ok", "note"]
    without_torch = {**found, "gymnasium": "1.1", "torch": None}
    without_torch |= dict.fromkeys(set(doctor.RL_DISTRIBUTIONS) - {"gymnasium"})
    statuses = {check.name: check.status for check in doctor.check_packages(without_torch)}
    assert statuses["torch"] == "broken" and statuses["gymnasium"] == "ok"


def test_the_command_is_installed():
    script = Path(sys.executable).with_name("misgen")
    if not script.exists():
        pytest.skip("not installed in this environment")
    done = subprocess.run([script, "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("misgen ")


@pytest.mark.parametrize("command", [c for g in cli.COMMANDS.values() for c in g.values()])
def test_every_command_has_its_module(command):
    import importlib.util

    assert importlib.util.find_spec(f"misgen.experiments.{command.module}")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["evaluate", "--level", "3"], "misgen evaluate: there is no --level; did you mean"),
        (["rates", "--bye=d"], "there is no --bye; did you mean '--by'"),
        (["risk", "tabl"], "invalid choice: 'tabl'"),
        (["cells", "C2", "--seed", "x"], "argument --seed: invalid int value: 'x'"),
        (["demo", "--agents"], "argument --agents: expected one argument"),
    ],
)
def test_wrong_flags_are_one_line_with_the_nearest(words, says, capsys):
    assert cli.main(words) == 2
    assert says in (error := capsys.readouterr().err) and error.count("\n") == 1


ANSWERS = (
    *("cells", "cells C4", "cells K1", "cells M6", "study list", "sql", "risk table", "risk audit"),
    *(
        "risk source",
        "risk mesa",
        "risk scenario --shift extreme",
        "risk sensitivity --shift moderate",
    ),
    *("risk sensitivity --domain autonomous_agents", "risk gate --domain game_ai --max .2"),
    "power --assume alike --simulations 100",
    *(f"{name} --help" for group in cli.COMMANDS.values() for name in group if name != "train"),
)


@pytest.mark.parametrize("words", ANSWERS)
def test_an_answer_fits_a_terminal(words, capsys, monkeypatch):
    """In 80 columns; what `misgen train --help` lists is Hydra's."""
    monkeypatch.setenv("COLUMNS", "80")
    with contextlib.suppress(SystemExit):  # of --help
        assert cli.main(words.split()) == 0
    said = capsys.readouterr()
    lines = [*said.out.splitlines(), *said.err.splitlines()]
    assert lines and [line for line in lines if len(line) > 80] == []


@pytest.mark.parametrize(("own", "expected"), [(None, "1"), ("4", "4")])
def test_threads_of_small_products_do_not_spin(own, expected, monkeypatch):
    """Unless the user asked for them: NumPy reads this when a command imports it."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", own or "")
    if own is None:
        monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    assert cli.main(["sql"]) == 0
    assert os.environ["OPENBLAS_NUM_THREADS"] == expected
