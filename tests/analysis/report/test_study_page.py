"""The page of a study: every agent is a dot, verdicts are those of compare, nothing is fetched."""

import json
import re
import shutil
from collections import Counter

import numpy as np
import pytest
from tests.analysis.simulated_folder import write_folder
from tests.analysis.simulated_paths import RULE, write_paths

from misgen.analysis.compare import compare
from misgen.analysis.compare_tables import short
from misgen.analysis.report.study_charts import AgentDots, DoseColumn, along_chart, shares_chart
from misgen.analysis.report.study_content import mean_curve
from misgen.analysis.report.study_page import comparison_of, study_page, write_page
from misgen.analysis.study import read_study_folder

AGENTS = 6
PLANTED = {0.0: (0.9, 0.8, 0.5), 0.02: (0.9, 0.8, 0.5), 0.1: (0.9, 0.2, 0.5), 1.0: (0.9, 0.02, 0.5)}
ARMS = [f"d={d:g}" for d in PLANTED]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = write_folder(tmp_path_factory.mktemp("study"), PLANTED, agents=AGENTS)
    write_paths(folder, ARMS, agents=AGENTS)
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return written(folder)


@pytest.fixture
def copied(folder, tmp_path):
    """The folder elsewhere, for a test to change."""
    return shutil.copytree(folder, tmp_path / "copied")


def written(folder):
    return write_page(comparison_of(read_study_folder(folder)), folder).read_text()


def data_of(page, name="data"):
    return json.loads(re.search(rf'id="{name}">(.*?)</script>', page, re.DOTALL)[1])


def test_every_agent_of_every_arm_is_a_dot_beside_the_others_and_along_the_dose(page):
    dots = re.findall(r'<circle class="dot"[^>]*data-agent="(\d+)" data-arm="([^"]*)"', page)
    assert Counter(dots) == {(str(a), arm): 2 for a in range(AGENTS) for arm in ARMS}


def test_a_dot_stands_at_the_share_of_its_agent(folder, page):
    arm = compare(read_study_folder(folder)).at("C2", "11")[0]
    shares = arm.trained.shares()[1]
    own = re.search(r'<svg class="shares".*?</svg>', page, re.DOTALL)[0]
    at = re.findall(r'<circle class="dot" cx="([\d.]+)%"[^>]*data-agent="(\d+)"', own)
    assert {int(a): float(x) for x, a in at} == pytest.approx(
        dict(enumerate(100 * shares)), abs=0.01
    )


def test_verdicts_are_the_words_of_compare(folder, page):
    found = compare(read_study_folder(folder))
    said = re.findall(r'<small class="verdict">(.*?)</small>', page)
    assert said == ["compared with", *(short(each.p_gm_verdict) for each in found.differences)]
    assert [words.split()[0] for words in said[1:]] == ["not", "differs", "differs"]
    assert "C2 at 11: p_gm is " in page
    assert re.search(r"no difference shown in d=0.02 \(\d+\.\d\)", page)


def test_the_bar_of_an_arm_is_its_three_shares(folder):
    arm = study_page(compare(read_study_folder(folder)))["cells"][0]["places"][0]["rows"][0]
    widths = re.findall(r'<rect class="(\w+)" x="[\d.]+%" width="([\d.]+)%"', arm["svg"])
    assert [name for name, _ in widths] == ["proxy", "intended", "neither"]
    assert sum(float(width) for _, width in widths) == pytest.approx(100, abs=0.02)
    assert arm["p_gm"].startswith(f"{float(widths[0][1]):.1f} [")


def test_nothing_is_fetched_and_no_path_of_the_machine_is_told(page, folder):
    said = re.sub(r'"data:[^"]*"|http://www.w3.org/2000/svg', "", page)
    assert not re.search(r"https?:|//[a-z]|@import|url\(|<link (?!rel=\"icon\")", said)
    assert str(folder) not in page and str(folder.parent) not in page


def test_a_film_of_the_folder_is_in_the_page(page, copied):
    assert "image/gif" not in page
    (copied / "film-C2.gif").write_bytes(b"GIF89a")
    shown = written(copied)
    assert 'src="data:image/gif;base64,R0lGODlh"' in shown
    assert "What the first agent of d=0 does in C2" in shown


def test_a_folder_that_was_moved_has_the_same_page(page, copied):
    assert written(copied) == page


def test_the_page_holds_the_ways_of_every_agent_and_how_levels_were_chosen(page):
    cell = data_of(page)["C2"]
    assert cell["levels"]["3"][0]["variants"]["10"]["ways"]["d=0.1"]["squares"] == [18, 19, 20, 21]
    assert set(cell["levels"]) == set(cell["agents"]) == {str(a) for a in range(AGENTS)}
    assert data_of(page, "rule") == RULE
    assert cell["agents"]["0"]["d=0"][0] == "d=0"
    assert {len(row) for arms in cell["agents"].values() for row in arms.values()} == {
        len(cell["header"])
    }


def test_the_arms_shown_first_are_the_farthest_apart(page):
    assert data_of(page)["C2"]["first"] == ["d=0", "d=1"]


def test_text_of_a_study_cannot_end_the_script_or_become_markup(copied):
    said = json.loads((copied / "study.json").read_text())
    (copied / "study.json").write_text(json.dumps({**said, "question": "Is 1 < 2 </script><b>?"}))
    paths = json.loads((copied / "paths.json").read_text())
    (copied / "paths.json").write_text(json.dumps({**paths, "rule": "</script><b>"}))
    page = written(copied)
    assert "<b>" not in page and "Is 1 &lt; 2" in page
    assert data_of(page, "rule") == "</script><b>"


def test_without_ways_the_page_says_so_and_shows_the_rest(copied):
    (copied / "paths.json").unlink()
    page = written(copied)
    assert "has no paths.json" in page
    assert data_of(page)["C2"]["levels"] == {}
    assert page.count('<circle class="dot"') > AGENTS


def test_damaged_ways_are_one_message(copied):
    (copied / "paths.json").write_text("{")
    with pytest.raises(ValueError, match=r"paths\.json is damaged .* run the study again"):
        written(copied)


def test_a_study_that_names_no_arm_is_compared_with_its_first(copied):
    said = json.loads((copied / "study.json").read_text())
    (copied / "study.json").write_text(json.dumps({**said, "against": "", "along": ""}))
    page = written(copied)
    assert "names no arm to compare with; here it is d=0, its first" in page
    assert "names no number that its arms vary" in page


def test_one_agent_an_arm_has_no_interval_and_no_verdict_and_says_why(tmp_path):
    page = written(write_folder(tmp_path, PLANTED, agents=1))
    assert page.count('<small class="verdict">no verdict</small>') == len(PLANTED) - 1
    assert "No interval: 1 agent: an interval needs at least 3 (all arms)." in page
    assert "nan" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL).lower()


# --- Charts --------------------------------------------------------------------------------------


def dots(*values, mean=0.5):
    return AgentDots("a < b", mean, 0.4, 0.6, range(len(values)), np.array(values))


def test_equal_agents_lie_above_each_other():
    svg = shares_chart([("proxy", 0.5)], dots(0.5, 0.5, 0.5, 0.9))
    heights = [float(y) for y in re.findall(r'cy="([\d.]+)"', svg)]
    assert len(set(heights[:3])) == 3 and heights[3] == heights[0]
    assert "a &lt; b" in svg and "a < b" not in svg


def test_half_effect_is_drawn_where_it_lies_among_the_columns():
    columns = [DoseColumn([text], dots(0.5)) for text in ("0", "1")]
    svg = along_chart(columns, ["d"], "alt", (0.5, 0.0, 1.0))
    line = float(re.search(r'<line class="half" x1="([\d.]+)"', svg)[1])
    first, second = (
        float(x) for x in re.findall(r'<text x="([\d.]+)" y="\d+" text-anchor="middle">[01]<', svg)
    )
    assert line == pytest.approx((first + second) / 2, abs=0.1)
    assert "half" not in along_chart(columns, ["d"], "alt")


def test_the_mean_curve_is_over_the_steps_that_all_agents_have():
    curves = [
        (np.array([10.0, 20.0, 30.0]), np.array([np.nan, 0.2, 0.4])),
        (np.array([10.0, 20.0]), np.array([0.0, 0.6])),
    ]
    steps, mean = mean_curve(curves)
    assert steps.tolist() == [20] and mean.tolist() == [pytest.approx(0.4)]
