"""How long trainings will take: as long as finished ones of their kind did."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from misgen.experiments.config import TrainConfig, as_dict
from misgen.experiments.run_folder import is_done, read_json, results_root, run_folders

STEPS_PER_S = {"ppo": 22_000, "sb3_ppo": 6_800}
"""Of one core of an AMD EPYC, means over C2 and K3: analysis/published/bench/train.json."""


def expected(configs: Sequence[TrainConfig], workers: int) -> str:
    """How long they take, so many at a time, in words, and how that is known."""
    took = _seconds_of_kinds()
    seconds, assumed = [], set()
    for config in configs:
        kind = _kind(as_dict(config))
        method = config.agent.method
        if kind in took:
            seconds.append(statistics.median(took[kind]))
        elif method in STEPS_PER_S:
            seconds.append(config.agent.settings.total_steps / STEPS_PER_S[method])
            assumed.add(method)
        else:
            return f"time unknown: no training by {method} of this length has finished here"
    total = max(sum(seconds) / workers, *seconds, 0.0) if seconds else 0.0
    if not assumed:
        return f"about {in_words(total)}, as finished runs like these took"
    rates = ", ".join(f"{method} {STEPS_PER_S[method]:,}" for method in sorted(assumed))
    return (
        f"about {in_words(total)} at a default rate, measured elsewhere ({rates} steps/s a core); "
        "of some no like has finished here"
    )


def in_words(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def _seconds_of_kinds() -> Mapping[Any, Sequence[float]]:
    """What finished trainings of this results folder took, by kind."""
    found = defaultdict(list)
    for folder in run_folders(results_root(), "train"):
        done = read_json(folder / "done.json") if is_done(folder) else None
        config = read_json(folder / "config.json")
        if done and config:
            found[_kind(config)].append(float(done["seconds"]))
    return found


def _kind(config: Mapping[str, Any]) -> Any:
    """Trainings of one kind take about as long: one cell seen in one way, by one method, with one
    number of steps, or of states and epochs."""
    agent = config["agent"]
    of, names = (
        ("cloning", ("num_states", "num_epochs"))
        if agent["method"] == "cloning"
        else ("settings", ("total_steps",))
    )
    size = tuple(agent[of][name] for name in names)
    return config["family"], config["cell"], config["observation_mode"], agent["method"], size
