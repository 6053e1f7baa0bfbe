"""summary.json of a calibration, typed: writing, reading, JSON Schema and messages follow.

NaN is null in the file. Parts that are dataclasses are those that the numbers are computed as.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from misgen.analysis.json_fields import Integers, Interval, Number, Numbers
from misgen.analysis.modifiers.results import (
    CapabilitySlope,
    DoseResponse,
    Multiplicativity,
    RiskRatio,
)
from misgen.analysis.rates import Rates

SCHEMA_VERSION = 4
"""Of summary.json and draws.parquet; rises with every change of either."""
SUMMARY = "summary.json"
REMEDY = "run `misgen calibrate --results RESULTS -o FOLDER` with this misgen again"


def _every_rate(rates: dict[str, Any]) -> dict[str, Any]:
    if {*rates} != {*Rates._fields}:
        raise ValueError(f"there is a value for each of {', '.join(Rates._fields)}")
    return rates


RateIntervals = Annotated[dict[str, Interval], AfterValidator(_every_rate)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", revalidate_instances="always")


class Provenance(BaseModel):
    """What wrote the folder; further entries are kept."""

    model_config = ConfigDict(frozen=True, extra="allow")

    command: str
    git_commit: str | None
    date_utc: str
    versions: dict[str, str | None]


class Inputs(_Part):
    """What was read. fingerprints: `family/code` -> of its evaluation. missing_cells: what their
    study names and the records lack."""

    episodes: int
    runs: int
    schema_version: int
    families: dict[str, int]
    studies: tuple[str, ...]
    fingerprints: dict[str, str]
    missing_cells: tuple[str, ...]


class CalibrationSettings(_Part):
    """What was asked for; the prior by name, with the fingerprint of its figures."""

    prior: str
    prior_fingerprint: str
    kappa: float
    log_sd: float
    phi: float
    power: float
    harm: str
    overflow: str
    draws: int
    seed: int
    kappas: tuple[float, ...]
    phis: tuple[float, ...]


class ReferenceCondition(_Part):
    """Under what the arm that combine and only read was trained and evaluated."""

    d: float
    q: float
    method: str
    variant: str
    text: str


class Source(_Part):
    """The printed rates of a shift type, and its printed range of p_harmful_gm."""

    rates: Annotated[dict[str, float], AfterValidator(_every_rate)]
    likelihood: tuple[float, float]


class TypeSummary(_Part):
    """One shift type. combine, only: None where refused. wide_weight: of the prior's wide part
    after the data. cells: `family/code` of those that enter; keeps_prior: why there are none."""

    type: str
    number: int
    label: str
    source: Source
    prior: RateIntervals
    combine: RateIntervals | None
    only: RateIntervals | None
    wide_weight: Number
    wide_flagged: bool
    cells: tuple[str, ...]
    keeps_prior: str

    @property
    def title(self) -> str:
        return f"{self.number} {self.type}"


class Population(_Part):
    """agents, levels of each, their rates."""

    agents: int
    levels: str
    rates: RateIntervals
    note: str


class Divided(_Part):
    """Rates over the source's multipliers for the arm's condition. levels: modifier -> what
    the condition resolved to. A divided rate may exceed 1."""

    levels: dict[str, str]
    multiplier: Interval
    p_gm: Interval
    p_harmful_gm: Interval


class ArmSummary(_Part):
    """One arm of a cell; `agent_*` has a value per competent agent, shares of its levels."""

    d: float
    condition: str
    own_success: Number
    agent_numbers: Integers
    agent_levels: Integers
    agent_capable: Numbers
    agent_goal_failure: Numbers
    agent_gm: Numbers
    agent_harmful_gm: Numbers
    competent: Population
    all_trained: Population
    bounds: Interval
    divided: Divided


class CellSummary(_Part):
    """One measured cell. left_out: why combine and only do not read it, or empty."""

    family: str
    cell: str
    shift_type: str
    observation_mode: str
    setting: str
    arms: dict[str, ArmSummary]
    identified: bool
    random_capable: Number
    control_goal_fail: Interval
    left_out: str
    informs_type: bool
    harm_may_update: bool
    harm_by_construction: bool

    @property
    def name(self) -> str:
        return f"{self.family}/{self.cell}"

    @property
    def shown(self) -> tuple[str, ArmSummary] | None:
        """The reference arm with its name, else d = 0, else none."""
        return next(((n, self.arms[n]) for n in ("reference", "d0") if n in self.arms), None)


class MultiplierSummary(_Part):
    """One level of one modifier, by data; agents: of the arm and of its reference."""

    modifier: str
    level: str
    reference: str
    prior: Interval
    measured: Interval
    combine: Interval | None
    only: Interval | None
    arm: str
    scope: str
    agents: tuple[int, ...]
    note: str


class ModifierSummary(_Part):
    """What the arms say about modifiers. not_identified: a modifier, or modifier/level, and
    the reason."""

    model_config = ConfigDict(from_attributes=True)

    ratios: tuple[RiskRatio, ...]
    slopes: tuple[CapabilitySlope, ...]
    dose_responses: tuple[DoseResponse, ...]
    multiplicativity: tuple[Multiplicativity, ...]
    not_identified: dict[str, str]


@dataclass(frozen=True)
class ConflictRow:
    """A measured factor of a cell beside the prior's prediction. tail: two-sided."""

    family: str
    cell: str
    shift_type: str
    factor: str
    measured: float
    source: float
    predictive: Interval
    tail: float
    flagged: bool
    agents: int
    enters: bool


class ConflictSummary(_Part):
    """tail, wide_flag: below and above which a row, or a type, is flagged."""

    tail: float
    tests: int
    expected_by_chance: float
    wide_prior_weight: float
    wide_flag: float
    rows: tuple[ConflictRow, ...]

    @property
    def flagged(self) -> int:
        return sum(row.flagged for row in self.rows)


@dataclass(frozen=True)
class SweepRow:
    """One type where `what` ("kappa" or "phi") has another value."""

    what: str
    value: float
    type: str
    prior: RateIntervals
    combine: RateIntervals | None
    wide_weight: Number


@dataclass(frozen=True)
class SweptMultiplier:
    """A measured multiplier where the source's has another spread on the log scale."""

    log_sd: float
    modifier: str
    level: str
    prior: Interval
    combine: Interval


@dataclass(frozen=True)
class Score:
    """A forecast of p_gm and how it did."""

    forecast: float
    log_score: float
    brier: float


@dataclass(frozen=True)
class HeldOutRow:
    """cell: `family/code`; with "family" the family, whose numbers are means over its cells.
    measured: p_gm of the competent agents."""

    left_out: Literal["cell", "type", "family"]
    cell: str
    measured: float
    agents: int
    model: Score
    source: Score
    pooled: Score


@dataclass(frozen=True)
class HeldOut:
    """reason: why there are no rows, or empty; verdict: in plain words."""

    reason: str
    verdict: str
    rows: tuple[HeldOutRow, ...]


@dataclass(frozen=True)
class Warned:
    """about: the shift type or the modifier that the text is about; "" for any prediction."""

    about: str
    text: str


class Summary(_Part):
    """Everything a calibration says, but its draws. refused: why there is no combine and no
    only, or empty."""

    schema_version: Literal[4]
    draws_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    provenance: Provenance
    inputs: Inputs
    settings: CalibrationSettings
    reference_condition: ReferenceCondition
    estimand: str
    refused: str
    types: tuple[TypeSummary, ...]
    cells: tuple[CellSummary, ...]
    modifiers: tuple[MultiplierSummary, ...]
    modifier_report: ModifierSummary
    conflicts: ConflictSummary
    sweep: tuple[SweepRow, ...]
    log_sd_sweep: tuple[SweptMultiplier, ...]
    held_out: HeldOut
    data_warnings: dict[str, tuple[Warned, ...]]
    warnings: tuple[str, ...]
    limits: tuple[str, ...]

    def cells_of(self, shift: str) -> list[CellSummary]:
        return [cell for cell in self.cells if cell.shift_type == shift]


def read_summary(path: Path) -> Summary:
    """Raises ValueError for a missing file, no JSON, another version, or what breaks the types."""
    if not path.is_file():
        raise ValueError(f"a calibration folder holds {SUMMARY}; {path.parent} has none; {REMEDY}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{SUMMARY} must be JSON; {path} cannot be read ({error}); {REMEDY}"
        ) from error
    if not isinstance(found, dict):
        raise ValueError(f"{SUMMARY} must hold one JSON object; {path} does not; {REMEDY}")
    check_version(found.get("schema_version"), path)
    try:
        return Summary.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(
            f"{SUMMARY} must be as `misgen calibrate` writes it; {path} is not at {where}: "
            f"{first['msg'][:200]}; {REMEDY}"
        ) from None


def check_version(version: object, path: Path) -> None:
    """ValueError for files of another schema version."""
    if version == SCHEMA_VERSION:
        return
    newer = isinstance(version, int) and version > SCHEMA_VERSION
    raise ValueError(
        f"a calibration of schema version {SCHEMA_VERSION} can be read; {path} has {version}; "
        + ("update misgen" if newer else f"it is older: {REMEDY}")
    )
