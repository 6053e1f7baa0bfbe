"""A user's prior file: the README's example, every mistake, and any legal file."""

import itertools
import random
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from scipy.stats import beta

from misgen.analysis.audit import audit
from misgen.analysis.priors import Figure, load_priors
from misgen.analysis.priors.types import FACTORS, PRIOR_SETS
from misgen.analysis.risk.model import RiskModel


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def documented_example() -> str:
    """The prior file of the README."""
    page = (Path(__file__).parents[3] / "analysis" / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```yaml\n(.*?)^```", page.split("## Own priors")[1], re.M | re.S)
    return str(example)


def test_the_documented_example_replaces_what_it_names(write: Callable[[str], Path]) -> None:
    priors = load_priors(file=write(documented_example()))
    assert (priors.kappa, priors.log_sd) == (20, 0.3)
    assert priors.modifiers["method"].level("behavioral_cloning").log_sd == 0.3
    assert priors.modifiers["diversity"].rule == "linear"
    moderate = priors.shifts["moderate"]
    assert [getattr(moderate, f).number for f in FACTORS] == [0.7, 0.3, 0.5]
    assert moderate.p_harmful_gm.number == pytest.approx(0.105)
    assert moderate.p_capable.kind == "user" and moderate.p_gm.kind == "derived"
    assert (moderate.p_capable.source, moderate.p_capable.lines) == ("mine.yaml", (8, 8))
    assert moderate.likelihood_range.range == (0, 0.3)
    capability = priors.modifiers["capability"]
    assert capability.level("unknown").high == 4 and capability.level("superhuman").median == 4
    assert capability.level("below_human").kind == "band"
    assert priors.modifiers["spec"].level(0.25).median == pytest.approx(1.5)
    assert priors.domains["game_ai"].spec == 0.9
    assert priors.periods["2026-2027"].multiplier == (1.2, 1.8)
    control = priors.interventions["ai_control_protocols"]
    assert control.reduction and control.reduction.range == (0.3, 0.6)
    assert control.target == "p_harm"
    assert priors.transport == (0.3, 2)
    assert priors.mesa.exponent_capability.number == 1.5
    assert priors.mesa.periods["current"].p_emergence.range == (0.05, 0.2)
    extreme = priors.shifts["extreme"]
    assert extreme.kappa == 30 and moderate.kappa is None
    assert {*extreme.own_betas} == {"p_goal_fail", "p_harm"}
    # What it does not name stays.
    assert extreme.p_capable == load_priors().shifts["extreme"].p_capable
    assert priors.shifts["significant"] == load_priors().shifts["significant"]
    assert priors.name == "taxonomy with mine.yaml"


def test_factors_not_given_stay_and_the_products_follow(write: Callable[[str], Path]) -> None:
    shift = load_priors(file=write("shifts: {extreme: {p_goal_fail: 0.5}}")).shifts["extreme"]
    assert shift.p_harm == load_priors().shifts["extreme"].p_harm
    assert shift.p_gm.number == pytest.approx(0.45 * 0.5)
    assert shift.p_harmful_gm.number == pytest.approx(0.277 * 0.5 / 0.75)


def test_a_range_or_a_kappa_gives_a_factor_a_beta_of_its_own(write: Callable[[str], Path]) -> None:
    text = """
        shifts:
          extreme:
            kappa: 30
            p_capable: [0.3, 0.6]
            p_goal_fail: {value: 0.6, kappa: 20}
            p_harm: {kappa: 5}
        """
    shift = load_priors(file=write(textwrap.dedent(text))).shifts["extreme"]
    a, b = shift.own_betas["p_capable"]
    assert beta(a, b).ppf([0.05, 0.95]) == pytest.approx([0.3, 0.6], abs=1e-6)
    assert shift.p_capable.number == pytest.approx(a / (a + b)) and shift.p_capable.kind == "user"
    # Of 20 observations only the capable ones tell about the goal.
    size = 20 * shift.p_capable.number
    assert shift.own_betas["p_goal_fail"] == pytest.approx((0.6 * size, 0.4 * size))
    implied = load_priors().shifts["extreme"].p_harm.number
    assert shift.own_betas["p_harm"] == pytest.approx((5 * implied, 5 * (1 - implied)))
    assert shift.p_gm.number == pytest.approx(shift.p_capable.number * 0.6)
    plain = load_priors(file=write("shifts: {extreme: {p_capable: 0.5}}")).shifts["extreme"]
    assert plain.own_betas == {} and plain.kappa is None


@pytest.mark.parametrize(
    ("low", "high"), [(0.001, 0.999), (0.0001, 0.001), (0.98, 0.99), (0.4, 0.41)]
)
def test_every_range_inside_0_to_1_is_that_of_a_beta(
    low: float, high: float, write: Callable[[str], Path]
) -> None:
    path = write(f"shifts: {{extreme: {{p_harm: [{low}, {high}]}}}}")
    found = beta(*load_priors(file=path).shifts["extreme"].own_betas["p_harm"])
    assert found.cdf([low, high]) == pytest.approx([0.05, 0.95], abs=1e-4)


def test_one_kappa_for_all_types(write: Callable[[str], Path]) -> None:
    priors = load_priors(file=write("shifts: {extreme: {kappa: 30, p_harm: [0.2, 0.5]}}"))
    swept = priors.with_kappa(2)
    assert swept.kappa == 2 and swept.shifts["extreme"].kappa is None
    assert swept.shifts["extreme"].own_betas == priors.shifts["extreme"].own_betas


def test_levels_of_a_line_follow_the_file(write: Callable[[str], Path]) -> None:
    path = write("modifiers: {diversity: {levels: {narrow: 2}}}")
    line = load_priors(file=path, diversity_rule="linear").modifiers["diversity"]
    assert line.level(0.05).median == 2 and line.level(0.2).median == pytest.approx(1.35)
    assert load_priors(file=path).modifiers["diversity"].level(0.05).median == 2


def test_an_option_of_the_call_wins_over_the_file_s(write: Callable[[str], Path]) -> None:
    path = write("kappa: 5\nlog_sd: 0\nendpoint_rule: table\ndiversity_rule: linear")
    stated = load_priors(file=path)
    assert (stated.kappa, stated.log_sd) == (5, 0)
    assert stated.modifiers["spec"].level(0.9).median == pytest.approx(0.5)
    assert stated.modifiers["diversity"].level(0.1).median == 1.4
    asked = load_priors(
        file=path, kappa=30, log_sd=0.1, endpoint_rule="bands", diversity_rule="step"
    )
    assert (asked.kappa, asked.log_sd) == (30, 0.1)
    assert asked.modifiers == load_priors(log_sd=0.1).modifiers
    # What neither states is the base set's.
    assert load_priors(file=write("base: meta_analysis\nlog_sd: 0.4")).kappa == 2
    assert load_priors(file=write("kappa: 5")).log_sd == load_priors().log_sd == 0.2


def test_the_base_can_be_named_in_the_file_or_in_the_call(write: Callable[[str], Path]) -> None:
    path = write("base: meta_analysis\ntransport: [0.5, 2]")
    assert load_priors(file=path).name == "meta_analysis with mine.yaml"
    assert load_priors("meta_analysis", file=path).kappa == 2
    with pytest.raises(ValueError, match=r"line 1: base must be .* asked for, external_revision"):
        load_priors("external_revision", file=path)
    path = write("transport: [0.5, 2]")
    assert load_priors("external_revision", file=path).shifts["extreme"].p_harm.number == 0.82


@pytest.mark.parametrize(
    "text, message",
    [
        ("shifts:\n  moderate: {p_goal_fail: 1.3}", "line 2: shifts.moderate.p_goal_fail is a "),
        ("shifts:\n  moderate:\n    p_harm: -0.1", r"line 3: .*must lie in \[0, 1\]; got -0.1"),
        ("shifts:\n  moderate: {p_harm: 1}", "line 2: .*must lie inside 0..1, not at an end"),
        ("shifts:\n  moderate: {p_harm: .nan}", "line 2: .*one number"),
        ("shifts:\n  moderate: {p_harm: true}", "line 2: .*one number.*got True"),
        ("shifts:\n  moderate: {kappa: 0}", "line 2: .*number of observations.*got 0"),
        ("shifts:\n  moderate: {p_harm: [0, .3]}", "line 2: .*two different numbers inside 0..1"),
        ("shifts:\n  moderate: {p_harm: [.3, .3]}", "line 2: .*two different numbers inside 0..1"),
        ("shifts:\n  moderate: {p_harm: [.3, .2]}", "line 2: .*low <= high"),
        ("shifts:\n  moderate: {p_harm: {value: .3}}", "line 2: .*p_harm needs a `kappa`"),
        ("shifts:\n  moderate: {p_harm: {value: 1, kappa: 3}}", "line 2: .*inside 0..1, not at"),
        ("shifts:\n  moderate: {p_harm: {kappa: -1}}", "line 2: .*p_harm.kappa is a number"),
        ("shifts:\n  moderate: {p_harm: {mean: .3}}", "line 2: unknown key .*choose value, kappa"),
        ("shifts:\n  moderat: {p_harm: .3}", "line 2: unknown key shifts.moderat; choose super"),
        ("shifts:\n  moderate: {p_gm: .3}", "line 2: .*p_gm follows from the three factors"),
        ("domains:\n  game_ai: {p_2027: [0.2, 1.2]}", "line 2: .*probability and must lie in"),
        ("domains:\n  game_ai: {p_2027: [0.3, 0.2]}", "line 2: .*low <= high"),
        ("domains:\n  game_ai: {p_2027: 0.3}", "line 2: .*two numbers"),
        ("domains:\n  game_ai: {spec: 80}", "line 2: .*quality and must lie in"),
        ("modifiers:\n  spec: {range: [0, 2]}", "line 2: .*multiplier .*greater than 0"),
        ("modifiers:\n  method: {levels: {behavioral_cloning: -1}}", "line 2: .*greater than 0"),
        ("modifiers:\n  method: {levels: {reference: 2}}", "line 2: unknown key .*reference"),
        ("modifiers:\n  method: {knots: [[0, 1], [1, 2]]}", "unknown key modifiers.method.knots"),
        ("modifiers:\n  spec: {knots: [[0, 1], [1, -2]]}", "line 2: .*multipliers > 0"),
        ("modifiers:\n  spec: {knots: [[0.5, 1], [0.2, 2]]}", "line 2: .*increasing"),
        ("modifiers:\n  spec: {knots: 3}", "line 2: .*pairs"),
        ("periods:\n  2026-2027: {multiplier: [0, 1]}", "line 2: .*greater than 0"),
        ("transport: [.inf, 1]", "line 1: transport must be two numbers"),
        ("interventions:\n  objective_probing: {reduction: [0.2, 7]}", "fraction and must lie"),
        ("interventions:\n  objective_probing: {target: all}", "line 2: .*must be one of"),
        ("mesa:\n  exponent_capability: 0", "line 2: .*exponent .*greater than 0"),
        ("mesa: 3", "line 1: mesa needs entries below it"),
        ("name: me", "line 1: unknown key name; choose base, kappa, .* shifts, modifiers"),
        ("kappa: 0", "line 1: kappa is a number of observations and must be greater than 0; got 0"),
        ("kappa: [2, 50]", "line 1: kappa must be one number"),
        ("transport: [1, 2]\nlog_sd: 11", r"line 2: log_sd must lie in \[0, 10\]; got 11"),
        ("log_sd: true", "line 1: log_sd must be one number"),
        ("endpoint_rule: ends", "line 1: endpoint_rule must be bands or table; got 'ends'"),
        ("diversity_rule: {step: 1}", "line 1: diversity_rule must be step or linear; got entries"),
        ("base: mine", "line 1: base must be one of taxonomy"),
        ("shifts:\n  extreme: {p_harm: .2, p_harm: .3}", "line 2: .*given once; .* in line 2"),
        ("shifts: [1,\ntransport: {", "line 2: a prior file must be plain valid YAML"),
        ("transport: !mine [1, 2]", "line 1: a prior file must be plain valid YAML"),
        ("", "line 1: a prior file needs entries"),
        ("- 1", "line 1: a prior file needs entries"),
    ],
)
def test_a_mistake_is_one_error_with_file_and_line(
    text: str, message: str, write: Callable[[str], Path]
) -> None:
    path = write(text)
    with pytest.raises(ValueError, match=message) as caught:
        load_priors(file=path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_an_unreadable_file_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none.yaml: a prior file must be readable"):
        load_priors(file=tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"base: \xe9")
    with pytest.raises(ValueError, match="must be UTF-8"):
        load_priors(file=tmp_path / "latin.yaml")
    (tmp_path / "nul.yaml").write_bytes(b"base: \x00")
    with pytest.raises(ValueError, match="must be plain valid YAML"):
        load_priors(file=tmp_path / "nul.yaml")


def test_an_intervention_without_a_printed_reduction_can_be_given_one(
    write: Callable[[str], Path],
) -> None:
    path = write("interventions: {anomaly_monitoring: {reduction: [0.1, 0.3]}}")
    reduction = load_priors(file=path).interventions["anomaly_monitoring"].reduction
    assert reduction == Figure(
        (0.1, 0.3),
        "fraction",
        "user",
        "mine.yaml",
        "interventions.anomaly_monitoring.reduction",
        (1, 1),
    )


# --------------------------------------------------------------------------------- the fingerprint


def test_equal_figures_have_one_fingerprint_whatever_their_file(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "elsewhere" / "b.yaml"
    second.parent.mkdir()
    lines = documented_example().replace("kappa: 20", "kappa: 20.0").splitlines()
    first.write_text(documented_example())
    # The blocks in another order, with other line numbers.
    starts = [i for i, line in enumerate(lines) if not line.startswith(" ")] + [len(lines)]
    blocks = ["\n".join(lines[a:b]) for a, b in itertools.pairwise(starts)]
    random.Random(0).shuffle(blocks)
    second.write_text("\n\n".join(blocks))
    one, other = load_priors(file=first), load_priors(file=second)
    assert one.name != other.name and one.fingerprint == other.fingerprint
    assert len(one.fingerprint) == 16 and int(one.fingerprint, 16) >= 0


def test_a_file_that_repeats_the_set_s_figures_keeps_its_fingerprint(
    write: Callable[[str], Path],
) -> None:
    text = "shifts: {moderate: {likelihood_range: [0.03, 0.22]}}\nkappa: 10\nlog_sd: 0.2"
    text += "\nmodifiers: {capability: {levels: {superhuman: 3}}}"
    text += "\ninterventions: {ai_control_protocols: {target: p_harm}}"
    path = write(text)
    assert load_priors(file=path).fingerprint == load_priors().fingerprint


@pytest.mark.parametrize(
    "text",
    [
        "kappa: 11",
        "log_sd: 0.21",
        "endpoint_rule: table",
        "diversity_rule: linear",
        "transport: [0.5, 1.6]",
        "shifts: {moderate: {p_harm: 0.551}}",
        "shifts: {moderate: {likelihood_range: [0.03, 0.2200001]}}",
        "modifiers: {method: {range: [0.4, 1.6]}}",
        "modifiers: {method: {levels: {behavioral_cloning: 1.51}}}",
        "modifiers: {spec: {knots: [[0, 2], [1, 0.5]]}}",
        "domains: {game_ai: {spec: 0.91}}",
        "domains: {game_ai: {p_2027: [0.05, 0.16]}}",
        "periods: {2026-2027: {multiplier: [1.5, 1.6]}}",
        "interventions: {ai_control_protocols: {reduction: [0.6, 0.91]}}",
        "interventions: {ai_control_protocols: {target: exposure}}",
        "interventions: {anomaly_monitoring: {reduction: [0, 0]}}",
        "mesa: {exponent_capability: 2.1}",
        "mesa: {p_emergence: [0.1, 0.71]}",
        "mesa: {periods: {current: {p_emergence: [0.1, 0.41]}}}",
    ],
)
def test_one_changed_figure_changes_the_fingerprint(
    text: str, write: Callable[[str], Path]
) -> None:
    assert load_priors(file=write(text)).fingerprint != load_priors().fingerprint


# ------------------------------------------------------------------------------- any legal file


def legal_file(rng: random.Random) -> dict[str, Any]:
    """A file that says something of everything, often at an end of what is legal."""

    def probabilities() -> list[float]:
        return sorted(rng.choice((0, 1, 0.5, rng.random())) for _ in range(2))

    def inside() -> float:
        return rng.choice((1e-9, 1 - 1e-9, 0.5, rng.uniform(0.01, 0.99)))

    def above_0() -> float:
        return rng.choice((1e-9, 1, 1e9, rng.uniform(0.1, 5)))

    def multipliers() -> list[float]:
        return sorted((above_0(), above_0()))

    base = load_priors()
    mesa_fields = ("p_emergence", "p_misaligned", "p_catastrophic")
    modifiers: dict[str, dict[str, Any]] = {
        name: {
            "range": multipliers(),
            "levels": {
                level: rng.choice((above_0(), multipliers()))
                for level in modifier.levels
                if level not in ("reference", "unknown")
            },
        }
        for name, modifier in base.modifiers.items()
    }
    modifiers["spec"]["knots"] = [[0, above_0()], [0.5, above_0()], [1, above_0()]]
    return {
        "base": rng.choice(PRIOR_SETS),
        "kappa": above_0(),
        "log_sd": rng.choice((0, 0.2, 10)),
        "endpoint_rule": rng.choice(("bands", "table")),
        "diversity_rule": rng.choice(("step", "linear")),
        "transport": multipliers(),
        "shifts": {
            name: {
                **{factor: inside() for factor in ("p_capable", "p_goal_fail", "p_harm")},
                "likelihood_range": probabilities(),
            }
            for name in base.shifts
        },
        "modifiers": modifiers,
        "domains": {
            name: {
                "spec": rng.choice((0, 1, rng.random())),
                "p_current": probabilities(),
                "p_2027": probabilities(),
            }
            for name in base.domains
        },
        "periods": {name: {"multiplier": multipliers()} for name in base.periods},
        "interventions": {
            name: {"reduction": probabilities(), "target": rng.choice(("p_harm", "exposure"))}
            for name in base.interventions
        },
        "mesa": {
            "p_emergence": probabilities(),
            "p_misaligned": probabilities(),
            "exponent_capability": above_0(),
            "exponent_misalignment": above_0(),
            "periods": {
                name: {field: probabilities() for field in mesa_fields}
                for name in base.mesa.periods
            },
        },
    }


@pytest.mark.parametrize("seed", range(20))
def test_any_legal_file_can_be_used_and_audited(seed: int, write: Callable[[str], Path]) -> None:
    rng = random.Random(seed)
    for _ in range(3):
        whole = legal_file(rng)
        stated = rng.sample(sorted(whole), k=rng.randint(1, len(whole)))
        priors = load_priors(file=write(yaml.safe_dump({key: whole[key] for key in stated})))
        assert {*audit(priors)} <= {*audit()}
        rates = RiskModel.from_prior(priors, draws=10).predict("extreme", domain="ai_assistants")
        assert (0 <= rates.p_harmful_gm.values).all() and (rates.p_harmful_gm.values <= 1).all()
