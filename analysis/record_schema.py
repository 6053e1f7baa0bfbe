"""What a record is: the columns of an episode, and the words that they may hold.

The reader owns the contract: `SCHEMA` is what `experiments` writes and all of `analysis` reads.
"""

from collections.abc import Iterator

import pyarrow as pa

SCHEMA_VERSION = 3
"""Rises when columns change; older records are rewritten by `misgen migrate`."""

FILE_NAME = "episodes.parquet"
COMPACT = "compact"
"""The folder beside the runs of `misgen.analysis.compacted`."""
VARIANTS = ("00", "10", "01", "11", "own")
"""Cue broken (first digit), context changed (second); `own` = held-out training distribution."""
ROLES = ("agent", "control")
DECLARATIONS = ("shift_type", "informs_type", "harm_informs", "harm_by_construction")
"""What the cell of a row declares: equal in all rows of one (family, cell)."""
PLAY = "run_id, role, policy, variant, checkpoint_step, agent_number, level_seed"
"""The columns that tell one episode from another."""


def tags_of(q: float) -> str:
    """The tags of an agent trained with specification quality q: below 1 its reward was wrong, and
    what it then does is specification gaming, another failure than misgeneralization."""
    return "spec_gaming" if q < 1 else ""


def _columns(kind: pa.DataType, names: str) -> Iterator[pa.Field]:
    """Fields of one type; a name that ends with `?` may be null."""
    for name in names.split():
        yield pa.field(name.rstrip("?"), kind, nullable=name.endswith("?"))


SCHEMA = pa.schema(
    [
        *_columns(pa.string(), "run_id study family"),
        *_columns(pa.int32(), "family_version"),
        # Codes of cells. cell: where the episode was played; train_distribution: the cell of the
        # training levels.
        *_columns(pa.string(), "cell train_distribution"),
        # What the cell that was played declares: its shift type, and whether its rates, and the
        # harm of its failures, enter those of the type.
        *_columns(pa.string(), "shift_type"),
        *_columns(pa.bool_(), "informs_type harm_informs harm_by_construction"),
        *_columns(pa.string(), "variant observation_mode"),
        *_columns(pa.int32(), "agent_number"),
        # policy: ppo, planner_intended, noisy_proxy, random, noop, constant_3, ...
        # A control on variants 00, 10, 01, 11 depends on the block of levels alone: it has method
        # "control", setting and study "", d 0, q 1. Controls that depend on an arm (noise-matched
        # planners; whoever plays variant own, whose levels depend on d) have the labels of the
        # agent that they accompany.
        # setting: hash of the training configuration without train_seed, study, method, d and q.
        *_columns(pa.string(), "role policy method setting"),
        *_columns(pa.float64(), "d q"),
        *_columns(pa.int64(), "train_seed checkpoint_step eval_seed level_seed"),
        *_columns(pa.uint64(), "level_hash"),
        *_columns(pa.bool_(), "is_distinguishing?"),
        *_columns(pa.float64(), "p_capable_intended? p_capable_proxy?"),
        *_columns(pa.float64(), "p_goal_failure_intended? p_goal_failure_proxy?"),
        *_columns(pa.int32(), "judged_at_steps time_limit_steps episode_length"),
        *_columns(pa.bool_(), "terminated truncated"),
        *_columns(pa.float64(), "episode_return planner_return? noop_return?"),
        # First times, counted from 1; null: never.
        *_columns(pa.int32(), "tau_intended? tau_proxy? tau_other? tau_death?"),
        # One count per event of the family, in the order of `event_names`.
        *_columns(pa.list_(pa.int32()), "event_counts_at_judged event_counts"),
        *_columns(pa.bool_(), "success? capable? goal_failure? harm?"),
        *_columns(pa.binary(), "actions"),
        *_columns(pa.string(), "eval_fingerprint"),
        *_columns(pa.string(), "tags"),  # see tags_of
        *_columns(pa.int32(), "schema_version"),
    ]
)
