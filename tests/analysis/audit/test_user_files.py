"""The audit of a user's own figures: whatever a legal prior file says, it never crashes."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from misgen.analysis.audit import audit, format_audit
from misgen.analysis.audit.deployment import growth
from misgen.analysis.audit.modifiers import linear_crossing
from misgen.analysis.priors import load_priors
from misgen.analysis.priors.types import PRIOR_SETS, SHIFT_TYPES, PriorSet

ALL = {item.id: item for item in audit()}


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], PriorSet]:
    """The prior set of a file with this text."""

    def load(text: str) -> PriorSet:
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return load_priors(file=path)

    return load


def left_out(priors: PriorSet) -> set[str]:
    items = audit(priors)
    assert {item.id for item in items} <= set(ALL)
    text = format_audit(items)
    assert "nan" not in text.split() and "inf" not in text.split()
    return set(ALL) - {item.id for item in items}


def test_the_documented_example_can_be_audited(load: Callable[[str], PriorSet]) -> None:
    doc = (load_priors.__doc__ or "").partition("base: taxonomy")
    example = "base: taxonomy" + doc[2].partition("\n\n")[0]
    priors = load(example.replace("\n        ", "\n"))
    assert priors.shifts["moderate"].likelihood_range.range == (0, 0.3)
    # Its timeline grows by 1.2 or more, and no domain by less than that. It asks for
    # endpoint_rule: table, but its own knots give .9 and .2 other multipliers again.
    middles = [growth(domain)[2] for domain in priors.domains.values()]
    assert min(middles) >= priors.periods["2026-2027"].multiplier[0] == 1.2
    assert left_out(priors) == {"B8.growth"}


NEUTRAL = "modifiers: {" + ", ".join(
    f"{name}: {{range: [1, 1]}}" for name in ("spec", "capability", "diversity", "method")
) + "}"  # fmt: skip
TINY = "{p_capable: 1.0e-100, p_goal_fail: 1.0e-100, p_harm: 1.0e-130}"


@pytest.mark.parametrize(
    "text, missing",
    [
        ("shifts: {moderate: {likelihood_range: [0, 0.3]}}", set()),
        ("shifts: {moderate: {likelihood_range: [0, 0]}}", set()),
        ("shifts: {moderate: {likelihood_range: [1, 1]}}", set()),
        ("domains: {game_ai: {p_current: [0, 0.1]}}", {"B8.growth"}),
        ("domains: {game_ai: {p_current: [0, 0], p_2027: [0, 0], spec: 0}}", {"B8.growth"}),
        ("domains: {game_ai: {p_2027: [0, 1], spec: 1}}", set()),
        ("periods: {2026-2027: {multiplier: [0.1, 0.1]}}", {"B8.growth"}),
        ("mesa: {periods: {current: {p_emergence: [0, 0.2]}}}", {"B10.implied"}),
        ("mesa: {periods: {near_term: {p_misaligned: [0, 0]}}}", {"B10.implied"}),
        ("mesa: {periods: {near_term: {p_catastrophic: [0, 0.2]}}}", {"B10.implied"}),
        ("mesa: {periods: {current: {p_catastrophic: [0, 0]}}}", set()),
        ("mesa: {p_emergence: [0, 0], p_misaligned: [1, 1]}", set()),
        ("modifiers: {capability: {range: [1, 1]}}", set()),
        (NEUTRAL, {"B3.overflow"}),
        ("modifiers: {diversity: {levels: {narrow: 1, diverse: 1}}}", set()),
        ("modifiers: {diversity: {levels: {narrow: 3, diverse: 2}}}", {"B4.coinrun"}),
        ("modifiers: {spec: {knots: [[0, 1], [1, 1]]}}", {"B4.coinrun"}),
        ("interventions: {ai_control_protocols: {reduction: [1, 1]}}", set()),
        ("interventions: {diverse_adversarial_training: {reduction: [0, 1]}}", set()),
        ("log_sd: 0\nkappa: 0.01", set()),
        ("diversity_rule: linear\nendpoint_rule: table", {"B5.endpoints"}),
        ("mesa: {exponent_misalignment: 1.0e+300}", set()),
        ("modifiers: {spec: {range: [1.0e-300, 1.0e+300]}}", set()),
    ],
)
def test_only_findings_that_the_figures_do_not_give_are_left_out(
    text: str, missing: set[str], load: Callable[[str], PriorSet]
) -> None:
    assert left_out(load(text)) == missing


def test_products_too_small_for_a_float_leave_their_findings_out(
    load: Callable[[str], PriorSet],
) -> None:
    missing = left_out(load("shifts: {" + ", ".join(f"{s}: {TINY}" for s in SHIFT_TYPES) + "}"))
    assert {"B1.harm", "B3.overflow", "B3.ranges", "B3.overview", "B8.domains"} <= missing


def test_the_worst_type_is_the_one_that_overflows_most(load: Callable[[str], PriorSet]) -> None:
    factors = "{p_capable: 0.9, p_goal_fail: 0.9, p_harm: 0.9}"
    items = {i.id: i for i in audit(load(f"shifts: {{superficial: {factors}}}"))}
    assert "for type 1" in items["B3.overflow"].treatment
    assert "for type 4" in ALL["B3.overflow"].treatment


def test_a_line_that_does_not_cross_1_has_no_crossing(load: Callable[[str], PriorSet]) -> None:
    assert linear_crossing(load_priors()) == pytest.approx(0.214, abs=5e-4)
    for narrow, diverse in ((1, 1), (3, 2), (0.9, 0.5), (2, 2)):
        levels = f"levels: {{narrow: {narrow}, diverse: {diverse}}}"
        priors = load(f"modifiers: {{diversity: {{{levels}}}}}")
        assert linear_crossing(priors) is None
        (middle,) = (item for item in audit(priors) if item.id == "B6.middle")
        assert "would not cross 1" in middle.derived and f"{narrow:g}x below" in middle.printed


def test_the_treatment_names_the_rule_that_the_file_chose(load: Callable[[str], PriorSet]) -> None:
    items = {item.id: item for item in audit(load("diversity_rule: linear"))}
    assert "it is no reference" in items["B6.middle"].treatment
    assert "diversity_rule: step" in ALL["B6.middle"].treatment


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
def test_any_legal_file_can_be_audited(seed: int, load: Callable[[str], PriorSet]) -> None:
    rng = random.Random(seed)
    for _ in range(3):
        whole = legal_file(rng)
        stated = rng.sample(sorted(whole), k=rng.randint(1, len(whole)))
        left_out(load(yaml.safe_dump({key: whole[key] for key in stated})))
