"""`misgen bench TOPIC`: measure speed on this machine."""

import importlib

from misgen.analysis.text import hint

TOPICS = {
    "envs": "steps per second of one core, level generation, planning, memory",
    "train": "trained steps and agents per hour, beside Stable-Baselines3",
    "gpu": "the same of populations of agents on a GPU",
    "risk": "draws per second of the risk model, all domains and periods",
}
"""Topic -> what is measured, by `main(arguments)` of `misgen.experiments.bench_TOPIC`."""


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError for an unknown topic or wrong arguments."""
    if not argv or argv[0] in ("-h", "--help"):
        lines = [f"  {name:<8}{what}" for name, what in TOPICS.items()]
        print("\n".join(["misgen bench TOPIC", *lines, "`misgen bench TOPIC --help` explains it."]))
        return 0
    topic, *arguments = argv
    if topic not in TOPICS:
        raise ValueError(f"bench has no topic {topic!r}; {hint(topic, TOPICS)}")
    return int(importlib.import_module(f"misgen.experiments.bench_{topic}").main(arguments))
