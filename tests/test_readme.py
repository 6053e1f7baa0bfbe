"""What the README shows runs, and what it quotes is what was published."""

import re
import tomllib
from pathlib import Path

import pytest

from misgen.experiments.cli import COMMANDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = ("README.md", "envs/README.md")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
PUBLISHED = ROOT / "analysis" / "published"


@pytest.mark.parametrize("code", BLOCKS, ids=["risk", "gymnasium", "stable_baselines3"])
@pytest.mark.filterwarnings("default")
def test_the_ten_lines_run(code, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})


@pytest.mark.parametrize(
    ("marker", "file"),
    [
        ("demo table", "demo/table.txt"),
        ("cells results", "cells/cells.txt"),
        ("factors", "calibration/factors.txt"),
    ],
)
def test_the_tables_are_the_published_ones(marker, file):
    quoted = re.search(rf"<!-- {marker} -->\n```text\n(.*?)```\n<!-- /{marker} -->", README, re.S)
    assert quoted, f"the README quotes analysis/published/{file} between its markers"
    assert quoted[1] == (PUBLISHED / file).read_text()


def test_the_published_records_are_small():
    """Under 20 MB, with every table and figure made from them."""
    files = [path for path in (PUBLISHED / "cells").rglob("*") if path.is_file()]
    assert 0 < sum(path.stat().st_size for path in files) < 20e6


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text())
    assert links
    for path in links:
        assert (ROOT / page).parent.joinpath(path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_command_it_names_exists(page):
    text = (ROOT / page).read_text().replace("The misgen developers", "")
    commands = {name for group in COMMANDS.values() for name in group}
    assert set(re.findall(r"misgen ([a-z][a-z-]*)", text)) <= commands


def test_published_results_say_where_they_come_from():
    for file in ("demo/summary", "cells/summary", "calibration/summary", "trust/trust"):
        summary = (PUBLISHED / f"{file}.json").read_text()
        assert '"git_commit"' in summary and '"cpu"' in summary and '"date_utc"' in summary


def test_no_lock_file_and_no_download_address():
    assert "uv.lock" in (ROOT / ".gitignore").read_text()
    project = (ROOT / "pyproject.toml").read_text()
    assert "://" not in project
    assert tomllib.loads(project)["project"]["name"] == "misgen"
