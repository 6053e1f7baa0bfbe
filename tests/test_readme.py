"""What the pages show runs, and what they quote is what was published."""

import csv
import json
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


def test_the_demo_table_is_what_was_published():
    with (PUBLISHED / "demo" / "rates.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["population"] == "competent"]
    lines = []
    for row in rows:
        if row["variant"] in ("10", "11") and float(row["value"]) == 0:
            (control,) = (
                each
                for each in rows
                if float(each["value"]) == 1
                and (each["cell"], each["variant"]) == (row["cell"], row["variant"])
            )
            cells = (
                f"{row['cell']}, {row['variant']}",
                f"{row['agents']} + {control['agents']}",
                interval(row, "p_capable"),
                interval(row, "p_goal_fail"),
                interval(control, "p_goal_fail"),
                interval(row, "difference_goal_fail"),
            )
            lines.append(f"| {' | '.join(cells)} |")
    quoted = re.search(r"<!-- demo headline -->\n(.*?)<!-- /", text_of("README.md"), re.DOTALL)
    assert quoted and quoted[1].splitlines()[2:] == lines


def interval(row: dict[str, str], name: str) -> str:
    value, low, high = (float(row[name + end]) for end in ("", "_low", "_high"))
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


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
    files = [PUBLISHED / f"{name}/summary.json" for name in ("demo", "cells", "calibration")]
    files += [file for name in ("power", "films") for file in (PUBLISHED / name).glob("*.json")]
    for file in [*files, PUBLISHED / "trust/trust.json"]:
        summary = file.read_text()
        assert '"git_commit"' in summary and '"cpu"' in summary and '"date_utc"' in summary


def test_agents_needed_are_what_was_published():
    lines = re.findall(
        r"^\| (C\d), d = ([.\d]+).*\| (\d+ / \d+) \|(.*)\|$", text_of("analysis/README.md"), re.M
    )
    assert len(lines) == 3
    flags = json.loads((PUBLISHED / "power" / "verdicts.json").read_text())["rows"]
    most = max(row["flagged"] for row in flags)
    assert f"agents, at most {100 * most:.1f} %" in text_of("analysis/README.md")
    for cell, d, needed, found in lines:
        file = PUBLISHED / "power" / (f"{cell}.json" if d == "0" else f"{cell}_d0{d}.json")
        published = json.loads(file.read_text())
        assert needed == " / ".join(map(str, published["needed"]))
        smallest = {line["agents"]: line["smallest"] for line in published["lines"]}
        shown = [[float(x) for x in each.split("/")] for each in found.split("|")]
        assert shown == [[pytest.approx(x, abs=0.0051) for x in smallest[k]] for k in (5, 10, 20)]


def test_no_lock_file_and_no_download_address():
    assert "uv.lock" in (ROOT / ".gitignore").read_text()
    project = (ROOT / "pyproject.toml").read_text()
    assert "://" not in project
    assert tomllib.loads(project)["project"]["name"] == "misgen"
