"""What the pages show runs, and what they quote is what was published."""

import re
import tomllib
from pathlib import Path

import pytest

from misgen.experiments.cli import COMMANDS

ROOT = Path(__file__).parents[1]
PAGES = [
    "README.md",
    *(f"{folder}/README.md" for folder in ("envs", "agents", "experiments", "analysis")),
    ".github/CONTRIBUTING.md",
    ".github/CHANGELOG.md",
]
PUBLISHED = ROOT / "analysis" / "published"


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


BLOCKS = [
    pytest.param(code, id=f"{page}-{k}")
    for page in PAGES
    for k, code in enumerate(re.findall(r"```python\n(.*?)```", text_of(page), re.DOTALL))
    if code.startswith(("import ", "from ")) and "FAMILY" not in code
]


@pytest.mark.parametrize("code", BLOCKS)
@pytest.mark.filterwarnings("default")
def test_the_ten_lines_run(code, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})


def test_every_page_is_a_page():
    """The first one is read to its end."""
    assert len(text_of("README.md").splitlines()) <= 200
    assert len(BLOCKS) >= 5
    for page in PAGES:
        assert text_of(page).startswith("# "), page


def test_the_table_of_the_cells_is_the_published_one():
    _, table, _ = re.split(r"<!-- /?cells -->\n", text_of("README.md"))
    assert table == (PUBLISHED / "cells" / "cells.md").read_text(encoding="utf-8")


def test_the_published_records_are_small():
    """Under 20 MB, with every table and figure made from them."""
    files = [path for path in (PUBLISHED / "cells").rglob("*") if path.is_file()]
    assert 0 < sum(path.stat().st_size for path in files) < 20e6


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text_of(page))
    for path in links:
        assert (ROOT / page).parent.joinpath(path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_command_it_names_exists(page):
    text = text_of(page).replace("The misgen developers", "")
    commands = {name for group in COMMANDS.values() for name in group}
    assert set(re.findall(r"misgen ([a-z][a-z-]*)", text)) <= commands


def test_published_results_say_where_they_come_from():
    files = [PUBLISHED / f"{name}/summary.json" for name in ("demo", "calibration")]
    files += [*PUBLISHED.glob("*/study.json")]
    files += [file for name in ("power", "films") for file in (PUBLISHED / name).glob("*.json")]
    for file in [*files, PUBLISHED / "trust/trust.json"]:
        summary = file.read_text()
        assert '"git_commit"' in summary and '"cpu"' in summary and '"date_utc"' in summary


def test_no_lock_file_and_no_download_address():
    assert "uv.lock" in (ROOT / ".gitignore").read_text()
    project = (ROOT / "pyproject.toml").read_text()
    assert "://" not in project
    assert tomllib.loads(project)["project"]["name"] == "misgen"
