"""envs/README.md: what it says of adding a family and a cell is done here to the letter."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from misgen.envs import SingleEnv, find_family
from misgen.envs.core.contract import check_family

README = (Path(__file__).parents[2] / "envs" / "README.md").read_text()


def blocks(section: str, language: str) -> list[str]:
    """The code of a section, block by block."""
    text = re.split(r"^## ", README.split(f"\n## {section}\n")[1], flags=re.MULTILINE)[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def patched(text: str, diff: str) -> str:
    """The text after a diff, in which each hunk fits in one place."""
    for hunk in diff.split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] in " -")
        new = "".join(line[1:] for line in lines if line[0] in " +")
        assert text.count(old) == 1, f"not in one place:\n{old}"
        text = text.replace(old, new)
    return text


def imported(folder: Path, monkeypatch, text: str):
    """The family of a file `toy.py` in a folder outside the package."""
    (folder / "toy.py").write_text(text)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "toy", raising=False)
    return find_family("toy:FAMILY")


def test_its_first_lines_run(capsys):
    code = re.findall(r"```python\n(import gymnasium.*?)```", README, re.DOTALL)[0]
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert "'coin': " in capsys.readouterr().out


@pytest.mark.slow
def test_a_cell_added_to_a_family_added(tmp_path, monkeypatch):
    """The file with both cells keeps the contract."""
    toy, _ = blocks("Add a family", "python")
    (cell,) = blocks("Add a cell", "python")
    (diff,) = blocks("Add a cell", "diff")
    text = patched(toy, diff)
    assert text.count("\nFAMILY = ") == 1
    family = imported(tmp_path, monkeypatch, text.replace("\nFAMILY = ", f"\n{cell}\nFAMILY = "))
    assert [each.code for each in family.cells] == ["T1", "T2"]
    check_family(family, num_levels=50)
    obs, info = SingleEnv(family, cell="T2").reset(seed=0)
    assert obs.shape == (4, 7, 7) and set(info["events"]) == {"coin", "door", "south_east"}


@pytest.mark.slow
def test_the_family_from_check_to_rates(tmp_path, monkeypatch, capfd):
    """Its blocks in their order: the file, Python, commands."""
    from misgen.experiments.cli import main

    toy, code = blocks("Add a family", "python")
    (commands,) = blocks("Add a family", "sh")
    imported(tmp_path, monkeypatch, toy)
    monkeypatch.setenv("MISGEN_RESULTS", str(tmp_path / "results"))
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert "(4, 7, 7)" in capfd.readouterr().out
    for line in commands.splitlines():
        uv, run, program, *arguments = shlex.split(line)
        assert (uv, run, program) == ("uv", "run", "misgen") and main(arguments) == 0, line
    assert "\nT1 " in capfd.readouterr().out
