"""The calibration folder, as everybody reads what `misgen calibrate` wrote (`write.py`).

    <folder>/
        draws.parquet    one row per joint draw, one column per parameter (float64)
        summary.json     figures, settings, provenance; by calibration.schema.json
        *.txt *.csv      the tables

Columns of draws.parquet, beside the index `draw` (RATES: the three factors and two products):
    {prior|update|replace}/{type}/{rate of RATES}
    {prior|update|replace}/modifier/{modifier}/{level}     multipliers on the source's scale
    {measured|d0}/{family}/{code}/{rate of RATES}          bootstrap over competent agents of the
                                                           reference arm, of d = 0
    condition/{reference|d0|d1}                            the source's multipliers for that arm
    harm/{implied|note_50_70}/{type}                       P(harm | fails) by these assumptions
A feed that was refused has no columns; the summary says why. In every row and for every feed and
cell, p_capable x p_goal_fail x p_harm = p_harmful_gm and p_capable x p_goal_fail = p_gm, exactly.

Nothing here needs torch, or the packages that made the draws.
"""

import csv
import functools
import hashlib
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from misgen.analysis.calibration.feeds import COLUMNS_OF, feed_of
from misgen.analysis.files import utf8
from misgen.analysis.rates import Rates

FloatArray = npt.NDArray[np.float64]

SCHEMA_VERSION = 3
"""Of summary.json and draws.parquet; rises with every change of either."""
DRAWS, SUMMARY = "draws.parquet", "summary.json"
RATES = Rates._fields
REMEDY = "run `misgen calibrate --results RESULTS -o FOLDER` with this misgen again"


def exact(values: npt.ArrayLike) -> FloatArray:
    """Rounded to 17 significant bits (relative error below 1e-5, far below Monte Carlo error): the
    product of three such numbers is exact in float64, whatever the order of multiplication."""
    mantissa, exponent = np.frexp(np.asarray(values, dtype=np.float64))
    rounded: FloatArray = np.ldexp(np.round(mantissa * 2**17), exponent - 17)
    return rounded


def rate_columns(prefix: str, rates: Mapping[str, npt.ArrayLike]) -> dict[str, FloatArray]:
    """The five columns of a joint draw of three factors, with their exact products."""
    capable, fails, harm = (exact(rates[name]) for name in RATES[:3])
    values = (capable, fails, harm, capable * fails, capable * fails * harm)
    return {f"{prefix}/{name}": value for name, value in zip(RATES, values, strict=True)}


# ------------------------------------------------------------------------------------------ reading


@dataclass(frozen=True)
class CalibrationFile:
    """A calibration folder as read: the summary by its schema, and the joint draws."""

    folder: Path
    summary: dict[str, Any]
    draws: pa.Table

    @property
    def num_draws(self) -> int:
        return int(self.draws.num_rows)

    @property
    def types(self) -> tuple[str, ...]:
        return tuple(row["type"] for row in self.summary["types"])

    def require(self, feed: str) -> None:
        """ValueError with the reason and the remedy where this calibration refuses the feed."""
        state = self.summary["feeds"][feed_of(feed)]
        if not state["available"]:
            raise ValueError(f"the feed {feed!r} is refused for {self.folder}: {state['reason']}")

    def column(self, name: str) -> FloatArray:
        """One column [draws]; ValueError where there is none."""
        if name not in self.draws.column_names:
            raise ValueError(
                f"a column is one of draws.parquet's; got {name!r}, which {self.folder} lacks; "
                "list them with CalibrationFile.draws.column_names"
            )
        values: FloatArray = self.draws.column(name).to_numpy().astype(np.float64)
        return values

    def rates(self, prefix: str) -> Rates:
        """The joint draws of five rates, for example of `update/moderate`."""
        return Rates(*(self.column(f"{prefix}/{name}") for name in RATES))

    def feed_rates(self, feed: str, shift: str) -> Rates:
        """The joint draws [draws] of a shift type by a feed; `side_by_side` gives the prior's."""
        self.require(feed)
        return self.rates(f"{COLUMNS_OF[feed_of(feed)]}/{shift}")

    def feed_modifiers(self, feed: str) -> dict[tuple[str, str], FloatArray]:
        """(modifier, level) -> multipliers [draws] by a feed, for the levels it has columns of."""
        self.require(feed)
        start = f"{COLUMNS_OF[feed_of(feed)]}/modifier/"
        names = [name for name in self.draws.column_names if name.startswith(start)]
        return {
            (modifier, level): self.column(name)
            for name in names
            for modifier, _, level in [name.removeprefix(start).partition("/")]
        }

    def harm(self, assumption: str, shift: str, feed: str = "side_by_side") -> FloatArray:
        """P(harm | goal fails) [draws] by an assumption, in a feed.

        Raises ValueError for measured harm where the calibration was not asked for it.
        """
        self.require(feed)
        asked = self.summary["settings"]["harm"]
        if assumption == asked:
            return self.column(f"{COLUMNS_OF[feed_of(feed)]}/{shift}/p_harm")
        if assumption == "measured":
            raise ValueError(
                f"measured harm enters only where it was asked for; {self.folder} was calibrated "
                f"with --harm {asked}; run `misgen calibrate --results RESULTS -o FOLDER --harm "
                "measured`"
            )
        return self.column(f"harm/{assumption}/{shift}")


def read_calibration(folder: Path) -> CalibrationFile:
    """Read a calibration folder.

    Raises ValueError for a missing or unfinished folder, a torn file, another schema version, a
    summary that breaks the schema, or draws that do not belong to it.
    """
    folder = Path(folder)
    summary = _read_summary(folder / SUMMARY)
    draws = _read_draws(folder / DRAWS)
    if draws.num_rows != summary["settings"]["draws"]:
        raise ValueError(
            f"draws.parquet must have the draws that summary.json names; {folder} has "
            f"{draws.num_rows} and {summary['settings']['draws']}; {REMEDY}"
        )
    if hashlib.sha256((folder / DRAWS).read_bytes()).hexdigest() != summary["draws_sha256"]:
        raise ValueError(
            f"{folder / DRAWS} is not the file that {SUMMARY} was written with: its sha256 is "
            f"another; {REMEDY}"
        )
    return CalibrationFile(folder, summary, draws)


def _read_summary(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"a calibration folder holds {SUMMARY}; {path.parent} has none; {REMEDY}")
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{SUMMARY} must be JSON; {path} cannot be read ({error}); {REMEDY}"
        ) from error
    if not isinstance(summary, dict):
        raise ValueError(f"{SUMMARY} must hold one JSON object; {path} does not; {REMEDY}")
    _check_version(summary.get("schema_version"), path)
    validate(summary, path)
    return summary


def _check_version(version: Any, path: Path) -> None:
    if version == SCHEMA_VERSION:
        return
    newer = isinstance(version, int) and version > SCHEMA_VERSION
    raise ValueError(
        f"a calibration of schema version {SCHEMA_VERSION} can be read; {path} has {version}; "
        + ("update misgen" if newer else f"it is older: {REMEDY}")
    )


@functools.cache
def json_schema() -> dict[str, Any]:
    """The JSON Schema of summary.json."""
    text = (Path(__file__).parent / "calibration.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def validate(summary: Mapping[str, Any], path: Path) -> None:
    """ValueError with the first place at which a summary, of this path, breaks the schema."""
    import jsonschema  # here, because reading draws alone does not need it

    errors = jsonschema.Draft202012Validator(json_schema()).iter_errors(summary)
    first = jsonschema.exceptions.best_match(errors)
    if first is not None:
        raise ValueError(
            f"{SUMMARY} must fit calibration.schema.json; {path} does not at "
            f"{first.json_path}: {first.message[:200]}; {REMEDY}"
        )


def _read_draws(path: Path) -> pa.Table:
    try:
        table = pq.read_table(utf8(path))
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(
            f"{DRAWS} must be a whole Parquet file; {path} cannot be read ({error}); {REMEDY}"
        ) from error
    _check_version(int((table.schema.metadata or {}).get(b"schema_version", 0)), path)
    return table


# ----------------------------------------------------------------------------------------- adapters


def to_csv(folder: Path) -> str:
    """The joint draws as CSV text: a line per draw, the columns of draws.parquet."""
    draws = read_calibration(folder).draws
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(draws.column_names)
    writer.writerows(zip(*(column.to_pylist() for column in draws.columns), strict=True))
    return file.getvalue()


def to_squigglepy(
    folder: Path | CalibrationFile, feed: str = "update", how: str = "samples", points: int = 200
) -> dict[str, Any]:
    """squigglepy distributions of one feed: `{type}/{rate}` and `modifier/{modifier}/{level}`.

    folder: of a calibration, or a calibration that was read.
    how: "samples" for a discrete distribution over `points` equally likely values, each the mean of
    its share of the sorted draws (squigglepy samples thousands of values too slowly); "fitted" for
    a beta (rates) or log-normal (multipliers) with the draws' mean and variance. Distributions are
    marginal: dependence between them is in draws.parquet only.
    Raises ValueError for a refused feed or another `how`; needs the package squigglepy.
    """
    import squigglepy

    if how not in ("samples", "fitted"):
        raise ValueError(f"`how` must be 'samples' or 'fitted'; got {how!r}; choose one")
    file = folder if isinstance(folder, CalibrationFile) else read_calibration(folder)
    file.require(feed)
    start = f"{COLUMNS_OF[feed_of(feed)]}/"
    found: dict[str, Any] = {}
    for name in file.draws.column_names:
        if name.startswith(start):
            values, short = file.column(name), name.removeprefix(start)
            if how == "samples":
                found[short] = squigglepy.discrete(_equal_shares(values, points))
            else:
                found[short] = _fitted(squigglepy, values, short.startswith("modifier/"))
    return found


def _equal_shares(values: FloatArray, points: int) -> list[float]:
    shares = np.array_split(np.sort(values), min(points, len(values)))
    return [float(share.mean()) for share in shares]


def _fitted(squigglepy: Any, values: FloatArray, is_multiplier: bool) -> Any:
    mean, variance = float(values.mean()), float(values.var())
    if variance < 1e-12:
        return squigglepy.const(mean)
    if is_multiplier:
        log_variance = math.log1p(variance / mean**2)
        return squigglepy.lognorm(
            norm_mean=math.log(mean) - log_variance / 2, norm_sd=math.sqrt(log_variance)
        )
    size = mean * (1 - mean) / variance - 1
    return squigglepy.beta(mean * size, (1 - mean) * size)
