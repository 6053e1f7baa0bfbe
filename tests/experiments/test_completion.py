"""What the Tab key offers: asked in a real bash, by the function that the command installs."""

import os
import shutil
import subprocess
import sys

import pytest

from misgen.experiments import cli
from misgen.experiments.completion import offers

ASK = """
eval "$(misgen -sc install=bash)"
complete -p misgen
for line in "$@"; do
    COMP_LINE="$line" COMP_POINT=${#line} COMP_WORDS=(misgen) COMPREPLY=()
    _misgen
    (IFS='|'; echo "${COMPREPLY[*]}")
done
eval "$(misgen train -sc uninstall=bash)"
complete -p misgen 2>/dev/null || echo gone
"""
LINES = {
    "misgen tr": "train |trust ",
    "misgen train cell=K": "K1 |K2 |K3 |K4 ",
    "misgen train -m cell=C2,M": "C2,M1 |C2,M2 |C2,M3 |C2,M4 |C2,M5 |C2,M6 ",
    "misgen train agent=": "cloning |ppo |sb3_ppo ",
    "misgen train --dry-run -m cell=K3 intervention.d": "intervention.diversity=",
}


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_commands_groups_and_settings(tmp_path):
    command = tmp_path / "misgen"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m misgen.experiments.cli "$@"\n')
    command.chmod(0o755)
    environment = dict(
        os.environ,
        PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        PYTHONPATH=os.pathsep.join(sys.path),
    )
    done = subprocess.run(
        ["bash", "-c", ASK, "bash", *LINES], env=environment, capture_output=True, text=True
    )
    installed, *found, gone = done.stdout.splitlines()
    assert installed.endswith("-F _misgen misgen") and gone == "gone", done.stderr
    assert dict(zip(LINES, found, strict=True)) == LINES


def test_settings_values_and_flags():
    assert "agent.settings.learning_rate=" in offers("misgen train agent.settings.l")
    assert offers("misgen train -m agent.settings.learning_rate=1e-3 interv") == [
        "intervention.",
        "intervention=",
    ]
    assert "hydra/launcher=misgen " in offers("misgen train hydra/launcher=mis")
    assert offers("misgen train launcher=sl") == ["launcher=slurm "]
    assert offers("misgen train agent.method=cl") == ["agent.method=cloning "]
    assert offers("misgen train --d") == ["--dry-run "]
    assert offers("misgen evaluate --lev") == ["--levels "]
    assert offers("misgen no-such-command --x") == []


def test_other_shells_are_refused(capsys):
    assert cli.main(["-sc", "install=tcsh"]) == 2
    assert "install=bash" in capsys.readouterr().err
