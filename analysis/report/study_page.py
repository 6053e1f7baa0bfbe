"""The page of a study: its folder in, one self-contained page.html out.

It opens by double click and can be sent by mail: no request, system fonts, a script of its own that
shows agents and their ways. All else can be read without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from misgen.analysis.compare import ArmAt, Comparison, compare
from misgen.analysis.compare_tables import costs_table
from misgen.analysis.files import atomic_write_bytes
from misgen.analysis.report.pages import render
from misgen.analysis.report.study_content import VARIANTS, cell_of
from misgen.analysis.study import StudyFolder
from misgen.analysis.text import percent

PAGE = "page.html"


def write_page(found: Comparison, folder: Path) -> Path:
    """Write page.html of a study into a folder; returns its path."""
    path = folder / PAGE
    atomic_write_bytes(path, render("study_page.html.j2", study_page(found)).encode())
    return path


def comparison_of(study: StudyFolder, along: str = "") -> Comparison:
    """Its arms against the one it names, else the first."""
    return compare(study, study.against or study.arms[0], along)


def study_page(found: Comparison) -> dict[str, Any]:
    """For the template. filmed: the arm whose first agent the films show. status: what must be
    known before any number. facts: what was run, by name. data: for the script, by cell; rule: how
    its levels were chosen, "" without any."""
    study = found.study
    codes = dict.fromkeys(arm.cell for arm in found.arms)
    paths = study.paths()
    return {
        "title": study.name,
        "question": study.question,
        "against": found.against,
        "filmed": study.arms[0],
        "status": [*_status(found, bool(paths))],
        "findings": [(code, _finding(found, code)) for code in codes],
        "facts": [*_facts(found)],
        "cells": [cell_of(found, code) for code in codes],
        "costs": costs_table(found),
        "data": {code: _data(found, code, paths) for code in codes},
        "rule": paths.get("rule", ""),
    }


def _status(found: Comparison, has_paths: bool) -> Iterator[str]:
    if found.study.is_smoke_run:
        yield "Smoke run (--quick): agents are barely trained, the numbers mean nothing."
    if not found.study.against:
        yield f"The study names no arm to compare with; here it is {found.against}, its first."
    if not has_paths:
        yield (
            "This folder has no paths.json, so the agents' ways cannot be shown; misgen study run "
            "leaves it where the agents were trained."
        )


def _finding(found: Comparison, code: str) -> str:
    """What the verdicts at the first variant say, in a sentence."""
    variant = next(variant for cell, variant in found.places() if cell == code)
    base = next((a for a in found.at(code, variant) if a.arm == found.against), None)
    if base is None:
        return f"{code}: {found.against} was not trained there, so nothing is compared."
    arms: dict[str, list[tuple[str, float]]] = {
        "lower in": [], "higher in": [], "no difference shown in": [], "no verdict on": [],
    }  # fmt: skip
    for each in found.differences:
        if (each.arm.cell, each.arm.variant) == (code, variant):
            verdict, lower = each.p_gm_verdict, each.p_gm.value < 0
            kind = "lower in" if lower else "higher in"
            kind = kind if verdict.differs else "no difference shown in"
            found_in = each.arm.arm, each.arm.rates["p_gm"].value
            arms["no verdict on" if verdict.reason else kind].append(found_in)
    kinds = {words: there for words, there in arms.items() if there}
    said = "; ".join(
        f"{words} {_named(there, is_all=len(kinds) == 1)}" for words, there in kinds.items()
    )
    p_gm = percent(base.rates["p_gm"].value)
    where = f"{code} at {variant}"
    if found.is_identified(code, variant) is False:
        where += " (not identified: only differences count)"
    return f"{where}: p_gm is {p_gm} % in {found.against}; {said or 'no other arm'}."


def _commit(made_by: Mapping[str, Any]) -> str:
    commit = str(made_by.get("git_commit") or "")
    return commit + " with changes" * bool(commit and made_by.get("git_dirty"))


def _named(arms: Sequence[tuple[str, float]], is_all: bool) -> str:
    """Some arms and their p_gm; is_all: they are all that there are."""
    few = 3
    if is_all and len(arms) > few:
        values = [value for _, value in arms]
        return f"all other arms ({percent(min(values))} to {percent(max(values))})"
    return ", ".join(f"{name} ({percent(value)})" for name, value in arms)


def _facts(found: Comparison) -> Iterator[tuple[str, str]]:
    study = found.study
    here = {(arm.cell, arm.arm): arm for arm in found.arms}
    sizes = sorted({arm.trained.k for arm in here.values()})
    agents = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    yield "cells", ", ".join(dict.fromkeys(cell for cell, _ in here))
    yield "agents", f"{sum(arm.trained.k for arm in here.values())}: {agents} in each arm and cell"
    yield "arms compared with", found.against
    for name in study.arms:
        if name in study.overrides and name in {arm for _, arm in here}:
            yield f"arm {name}", " ".join(study.overrides[name]) or "the defaults"
    said = study.provenance
    if said.get("command"):
        yield "command", said["command"]
    commits = dict.fromkeys(map(_commit, [*study.earlier_parts, said]))
    yield "commit", "; ".join(filter(None, commits)) or "not known"
    if versions := said.get("versions"):
        names = ("misgen", "python", "torch", "numpy")
        yield "versions", ", ".join(f"{n} {versions[n]}" for n in names if versions.get(n))
    if machine := said.get("machine"):
        gpu = f", {machine['gpu']}" if machine.get("gpu") else ""
        yield "machine", f"{machine['cpu']}, {machine['cores']} cores{gpu}"
    if said.get("date_utc"):
        yield "date", said["date_utc"]


def _data(found: Comparison, code: str, paths: dict[str, Any]) -> dict[str, Any]:
    """What the script shows of a cell: each agent's numbers, and its ways."""
    variants = [variant for cell, variant in found.places() if cell == code]
    at = {variant: found.at(code, variant) for variant in variants}
    agents: dict[int, dict[str, list[str]]] = {}
    for arm in at[variants[0]]:
        same = [next((a for a in at[v] if a.arm == arm.arm), None) for v in variants]
        for place, number in enumerate(arm.trained.agent_number.tolist()):
            trained = found.study.training_of(arm.run_ids[place])
            agents.setdefault(number, {})[arm.arm] = [
                arm.arm,
                percent(float(arm.own[place])),
                "yes" if number in arm.competent.agent_number else "no",
                *(text for each in same for text in _played(each, number)),
                *(_whole(trained.get(name)) for name in ("broken_episodes", "cpu_seconds")),
            ]
    return {
        "arms": [arm.arm for arm in at[variants[0]]],
        "against": found.against,
        "first": [*_most_different(found, code, variants[0])],
        "header": ["arm", "own [%]", "learned", *(
            name.format(variant) for variant in variants
            for name in ("capable at {} [%]", "p_gm at {} [%]", "levels at {}")
        ), "broken episodes", "CPU s"],
        "agents": agents,
        "levels": paths.get("cells", {}).get(code, {}),
        "variants": [*VARIANTS.items()],
    }  # fmt: skip


def _most_different(found: Comparison, code: str, variant: str) -> Iterator[str]:
    """The arms that are shown first: the one compared with, and the farthest from it."""
    arms = [arm.arm for arm in found.at(code, variant)]
    yield found.against if found.against in arms else arms[0]
    here = [d for d in found.differences if (d.arm.cell, d.arm.variant) == (code, variant)]
    if here:
        yield max(here, key=lambda each: abs(each.p_gm.value)).arm.arm


def _played(arm: ArmAt | None, number: int) -> tuple[str, str, str]:
    """The rates of an agent at a variant, and on how many levels."""
    numbers = [] if arm is None else arm.trained.agent_number.tolist()
    if arm is None or number not in numbers:
        return "-", "-", "-"
    k = numbers.index(number)
    capable, gm, _ = arm.trained.shares()[:, k]
    return percent(capable), percent(gm), f"{arm.trained.n[k]:.0f}"


def _whole(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:,.0f}"
