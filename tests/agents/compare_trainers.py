"""Do two trainers teach the same? `python tests/agents/compare_trainers.py BEFORE NOW --to FOLDER`

BEFORE and NOW are results folders with agents of equal numbers, trained by one trainer each and
evaluated on the same levels (records of misgen 0.3 or later). For each arm and each rate of an
agent: the means, a permutation test of their difference, a Kolmogorov-Smirnov test, and the
difference of means that would be found four times in five if it were there.
Leaves agents.csv, one line an agent, and table.txt.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
from scipy.stats import ks_2samp, norm, permutation_test

from misgen.analysis.text import aligned, number

NAMES = {"coinrun": "C2", "keys_and_chests": "K3"}  # 0.3.0 names cells by their shift type
RATES = ("own", "capable 10", "goal failure 10", "capable 11", "goal failure 11")
ALPHA, POWER = 0.05, 0.8
RESAMPLES = 9999


def agents(folder: Path, trainer: str) -> Iterator[dict[str, object]]:
    """The rates of every agent at the end of its training."""
    rows = duckdb.sql(f"""
        with own as (
            select *, max(checkpoint_step) over (partition by run_id) as last
            from read_parquet('{folder}/runs/kind=evaluate/*/episodes.parquet', union_by_name=true)
            where role = 'agent'
        )
        select family, d, agent_number,
            avg(success::int) filter (variant = 'own'),
            {
        ", ".join(
            f'''
            avg(capable::int) filter (variant = '{v}' and is_distinguishing),
            avg(goal_failure::int) filter (variant = '{v}' and is_distinguishing and capable)'''
            for v in ("10", "11")
        )
    }
        from own where checkpoint_step = last group by all order by all
    """).fetchall()
    for family, d, agent, *rates in rows:
        arm = f"{NAMES[family]} d={d:g}"
        yield {
            "trainer": trainer,
            "arm": arm,
            "agent": agent,
            **dict(zip(RATES, rates, strict=True)),
        }


def p_of(first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> float:
    """Of the permutation test on the difference of means."""

    def difference(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        return x.mean(axis=axis) - y.mean(axis=axis)

    found = permutation_test(
        (first, second), difference, n_resamples=RESAMPLES, vectorized=True, rng=rng
    )
    return float(found.pvalue)


def detectable(groups: list[np.ndarray]) -> float:
    """The difference of means that a two-sided test at ALPHA finds with probability POWER, by the
    normal approximation with the agents' own spread."""
    variances = [group.var(ddof=1) / len(group) for group in groups]
    quantiles = norm.ppf(1 - ALPHA / 2) + norm.ppf(POWER)
    return float(quantiles * np.sqrt(sum(variances)))


def table(rows: list[dict[str, object]]) -> str:
    rng = np.random.default_rng(0)
    lines = []
    for arm in sorted({str(row["arm"]) for row in rows}):
        for rate in RATES:
            groups = [
                np.array([row[rate] for row in rows if row["arm"] == arm and row["trainer"] == one])
                for one in ("before", "now")
            ]
            p = p_of(*groups, rng)
            shown = [" ".join((number(g.mean()), "+-", number(g.std(ddof=1)))) for g in groups]
            least = detectable(groups)
            ks = float(ks_2samp(*groups).pvalue)
            lines.append([arm, rate, "/".join(str(len(g)) for g in groups), *shown,
                          number(groups[1].mean() - groups[0].mean()), f"{p:.2f}", f"{ks:.2f}",
                          number(least)])  # fmt: skip
    header = "arm,rate,agents,before,now,difference,p means,p KS,found with .8"
    return aligned(header.split(","), lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("before", type=Path)
    parser.add_argument("now", type=Path)
    parser.add_argument("--to", type=Path, default=Path("."))
    options = parser.parse_args()
    rows = [*agents(options.before, "before"), *agents(options.now, "now")]
    with (options.to / "agents.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    text = table(rows)
    (options.to / "table.txt").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
