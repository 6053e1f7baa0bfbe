"""The arms of a study beside each other: what differs, along which dose, and at what cost.

Arms are compared by P(goal misgeneralization) of *all* trained agents, because competence and
capability are themselves consequences of training; goal failure of the competent ones stands
beside it. Whether arms differ is said by the permutation test of `misgen.analysis.verdicts` alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from misgen.analysis.along import REPAIR, dose_responses
from misgen.analysis.arms import NOT_ASSESSABLE, Arms, doubts, is_assessable, read_arms, trained
from misgen.analysis.blocks import CUE_BROKEN, Arm
from misgen.analysis.intervals import Estimate, bootstrap_difference, estimates
from misgen.analysis.modifiers.log_ratios import log_ratio
from misgen.analysis.modifiers.multiplicativity import of_square
from misgen.analysis.modifiers.results import DoseResponse, Multiplicativity
from misgen.analysis.rates import AgentCounts, FloatArray, mean
from misgen.analysis.settings import AGENT, SEEN
from misgen.analysis.study import StudyFolder
from misgen.analysis.verdicts import Verdict, permutation_test

EQUAL_SUCCESS = 0.9
"""Of the planner's success on the own distribution: where the cost of learning is read."""
ROLLOUTS = 3
"""In so many successive ones it is at least that. Of the first rollout of a training only short
episodes end, which succeed."""


OF_AGENT = (*AGENT, *SEEN, "repair_steps")
"""Columns of the settings that say what became of an agent, not how it was to be trained."""


@dataclass(frozen=True)
class Cost:
    """Means over the agents of an arm; NaN: not recorded. reached: agents whose training success
    came to EQUAL_SUCCESS of the planner's, in ROLLOUTS; the steps and seconds to it are theirs."""

    steps: float
    cpu_seconds: float
    reached: int
    steps_to_success: float
    seconds_to_success: float


@dataclass(frozen=True)
class ArmAt:
    """One arm in one cell at one variant.

    trained: counts of all agents, own: their success on held-out levels of their training
    distribution [k]; competent: counts of those that learned these. identifies: whether it is,
    as the d = 1 arm of its cell, a control by which rates may be quoted. factor: mean of each
    numeric setting and of what training saw. kind: what else agents see, remember and are trained
    by: observation mode, units of a GRU, intervention. training: how they were trained, by what may
    differ between arms.
    """

    family: str
    cell: str
    variant: str
    arm: str
    method: str
    trained: AgentCounts
    competent: AgentCounts
    run_ids: tuple[str, ...]
    own: FloatArray
    planner_own_success: float
    assessable: bool
    identifies: bool
    factor: Mapping[str, float]
    kind: tuple[str, float, str]
    training: Mapping[str, Any]
    cost: Cost
    rates: Mapping[str, Estimate] = field(default_factory=dict)
    """p_capable and p_gm of all trained, p_goal_fail of the competent agents."""

    @property
    def own_success(self) -> float:
        return mean(self.own)


@dataclass(frozen=True)
class Difference:
    """An arm less the one it is compared with; ratio: of P(goal misgeneralization)."""

    arm: ArmAt
    against: ArmAt
    p_gm: Estimate
    p_gm_ratio: Estimate
    p_gm_verdict: Verdict
    p_goal_fail: Estimate
    p_goal_fail_verdict: Verdict


@dataclass(frozen=True)
class Comparison:
    """arms: by cell, variant and the order of the study. doses: (variant, rates along what breaks
    the cue) of each cell; none unless the study varies it. squares: (variant, whether two changes
    multiply), where arms have each alone and both."""

    study: StudyFolder
    against: str
    along: str
    arms: tuple[ArmAt, ...]
    differences: tuple[Difference, ...]
    doses: tuple[tuple[str, DoseResponse], ...]
    squares: tuple[tuple[str, Multiplicativity], ...]

    def places(self) -> list[tuple[str, str]]:
        """(cell, variant) of the arms, each once."""
        return [*dict.fromkeys((arm.cell, arm.variant) for arm in self.arms)]

    def at(self, cell: str, variant: str) -> list[ArmAt]:
        return [arm for arm in self.arms if (arm.cell, arm.variant) == (cell, variant)]

    def is_identified(self, cell: str, variant: str) -> bool | None:
        """Whether rates there may be quoted by themselves, by the d = 1 arm; None without one."""
        floors = (
            arm
            for arm in self.at(cell, variant)
            if (arm.factor["d"], arm.factor["q"]) == (1, 1) and not any(arm.kind[1:])
        )
        return next((floor.identifies for floor in floors), None)


def compare(
    study: StudyFolder,
    against: str = "",
    along: str = "",
    variants: Sequence[str] = ("11", "10"),
    replicates: int = 4000,
) -> Comparison:
    """Compare all arms with one, in every cell where both are.

    against, along: by default what the study says. variants: of CUE_BROKEN.

    Raises:
        ValueError: no such arm, or no such variant.
    """
    against, along = against or study.against, along or study.along
    if against not in study.arms:
        raise ValueError(
            f"--against names an arm of the study {study.name}; got {against or 'none'!r}; it has "
            f"{', '.join(study.arms)}"
        )
    if wrong := {*variants} - {*CUE_BROKEN}:
        raise ValueError(f"goals are compared at {' or '.join(CUE_BROKEN)}; got {sorted(wrong)}")
    arms = tuple(_arms(study, variants, replicates))
    place = {(each.cell, each.variant): each for each in arms if each.arm == against}
    differences = tuple(
        _difference(each, place[each.cell, each.variant], replicates)
        for each in arms
        if each.arm != against and (each.cell, each.variant) in place
    )
    doses = tuple(dose_responses(arms, against, along))
    pairs = tuple(pair for each in place.values() for pair in squares(arms, each, replicates))
    return Comparison(study, against, along, arms, differences, doses, pairs)


def squares(
    arms: Sequence[ArmAt], reference: ArmAt, replicates: int
) -> Iterator[tuple[str, Multiplicativity]]:
    """(variant, whether two changes multiply) of each arm that differs from the reference in two
    ways of training, where the arms that differ in one of them are there."""
    here = [a for a in arms if (a.cell, a.variant) == (reference.cell, reference.variant)]
    for both in here:
        apart = [way for way, how in reference.training.items() if both.training[way] != how]
        if len(apart) != 2:
            continue
        corners = [{**reference.training, way: both.training[way]} for way in apart]
        ones = [next((arm for arm in here if arm.training == corner), None) for corner in corners]
        square = [arm for arm in (reference, *ones, both) if arm is not None]
        if len(square) == 4:
            found = of_square(
                (reference.family, reference.cell),
                (apart[0], apart[1]),
                {arm.arm: arm.trained for arm in square},
                (replicates, 0),
            )
            if not all(arm.assessable for arm in square):
                found = replace(found, verdict="not assessable")
            yield reference.variant, found


def _arms(study: StudyFolder, variants: Sequence[str], replicates: int) -> Iterator[ArmAt]:
    arms = read_arms(study.played, "d")
    names, curves = study.arm_of_run, study.curves()
    settings = {row["run_id"]: row for row in study.settings.to_pylist()}
    found: dict[tuple[str, str, str], tuple[Arm, str]] = {}
    for key, variant in arms.arms:
        runs = {block.run_id for block in arms.agents(key, variant)} & {*names}
        for name in {names[run] for run in runs} if variant in variants else ():
            if key.is_cross:
                continue
            found[key.cell, variant, name] = key, variant
    order = {name: place for place, name in enumerate(study.arms)}
    for cell, variant, name in sorted(
        found, key=lambda each: (each[0], variants.index(each[1]), order[each[2]])
    ):
        key, _ = found[cell, variant, name]
        yield _arm(arms, key, variant, name, (settings, curves), replicates)


def _arm(
    arms: Arms,
    key: Arm,
    variant: str,
    name: str,
    training: tuple[Mapping[str, Mapping[str, Any]], Mapping[str, list[tuple[int, float]]]],
    replicates: int,
) -> ArmAt:
    agents = trained(arms, key, variant)
    runs = {block.agent_number: block.run_id for block in arms.agents(key, variant)}
    run_ids = tuple(runs[number] for number in agents.counts.agent_number)
    settings, curves = training
    members = [settings[run] for run in run_ids]
    target = EQUAL_SUCCESS * agents.planner_success
    rates = estimates(agents.counts, replicates)
    return ArmAt(
        family=key.family,
        cell=key.cell,
        variant=variant,
        arm=name,
        method=key.method,
        trained=agents.counts,
        competent=agents.competent,
        run_ids=run_ids,
        own=agents.own_success,
        planner_own_success=agents.planner_success,
        assessable=is_assessable(arms, key, variant),
        identifies=not doubts(arms, key, variant),
        factor={"d": key.d, "q": key.q, **_factors(members)},
        kind=(key.observation_mode, *_kind(members[0])),
        training=_training(key, members[0]),
        cost=cost_of(members, [curves.get(run, []) for run in run_ids], target),
        rates={**rates, "p_goal_fail": estimates(agents.competent, replicates)["p_goal_fail"]},
    )


def _kind(settings: Mapping[str, Any]) -> tuple[float, str]:
    """Units of a GRU, and the intervention; those that are not there are not told."""
    return settings.get("gru_dim") or 0, settings.get("intervention") or ""


def _training(key: Arm, settings: Mapping[str, Any]) -> dict[str, Any]:
    """settings: of one of its agents."""
    name = settings.get("intervention")
    known = {word: value for word, value in settings.items() if value is not None}
    known = {word: value for word, value in known.items() if word not in (*OF_AGENT, "arm")}
    own = {word: value for word, value in known.items() if name and word.startswith(f"{name}_")}
    return {
        "d": key.d,
        "q": key.q,
        "method": key.method,
        "steps": known.pop("total_steps", None),
        "view": key.observation_mode,
        "memory": known.pop("gru_dim", 0),
        "intervention": (known.pop("intervention", ""), own),
        "settings": {word: value for word, value in known.items() if word not in own},
    }


def _factors(members: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Means of the numbers that all agents of an arm have."""
    if REPAIR in members[0]:  # in a study that has it
        members = [{**each, REPAIR: each[REPAIR] or 0} for each in members]
    names = [n for n in members[0] if all(_is_number(each.get(n)) for each in members)]
    return {name: float(np.mean([each[name] for each in members])) for name in names}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def cost_of(
    members: Sequence[Mapping[str, Any]],
    curves: Sequence[Sequence[tuple[int, float]]],
    target: float,
) -> Cost:
    """members: what is known of each agent. curves: (steps, training success) of each, in order.
    target: the success that is asked for."""
    told = [each.get("cpu_seconds") for each in members]
    seconds = [math.nan if each is None else each for each in told]
    learned = [curve[-1][0] if curve else math.nan for curve in curves]
    after = [each.get("repair_steps") or 0 for each in members]
    total = [own + more for own, more in zip(learned, after, strict=True)]
    first = [reaches(curve, target) for curve in curves]
    reached = [index for index, at in enumerate(first) if at == at]
    return Cost(
        steps=mean(total),
        cpu_seconds=mean(seconds),
        reached=len(reached),
        steps_to_success=mean([first[k] for k in reached]),
        seconds_to_success=mean([seconds[k] * first[k] / total[k] for k in reached]),
    )


def reaches(curve: Sequence[tuple[int, float]], target: float) -> float:
    """The steps after the first of ROLLOUTS successive ones with this success; NaN: never."""
    for k in range(len(curve) - ROLLOUTS + 1):
        if all(rate >= target for _, rate in curve[k : k + ROLLOUTS]):
            return curve[k][0]
    return math.nan


def _difference(arm: ArmAt, against: ArmAt, replicates: int) -> Difference:
    both = arm.trained, against.trained
    missing = next((each for each in (arm, against) if not each.assessable), None)
    reason = ""
    if missing is not None:
        reason = f"{'they are' if missing is arm else f'{against.arm} is'} {NOT_ASSESSABLE}"
    return Difference(
        arm,
        against,
        bootstrap_difference(*both, "p_gm", replicates),
        log_ratio(both, replicates=replicates).ratio,
        Verdict(reason=reason) if reason else permutation_test(*both, "p_gm"),
        *_of_competent(arm.competent, against.competent, reason, replicates),
    )


def _of_competent(
    arm: AgentCounts, against: AgentCounts, reason: str, replicates: int
) -> tuple[Estimate, Verdict]:
    """The difference in goal failure, and whether there is one; or why nothing is said of it."""
    if reason:
        return Estimate(math.nan, reason=reason), Verdict(reason=reason)
    verdict = permutation_test(arm, against, "p_goal_fail")
    if not (arm.k and against.k):
        return Estimate(math.nan, reason="no competent agent in one of the arms"), verdict
    return bootstrap_difference(arm, against, "p_goal_fail", replicates), verdict
