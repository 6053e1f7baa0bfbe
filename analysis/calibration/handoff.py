"""The calibration folder, as everybody reads what `misgen calibrate` wrote (`write.py`).

    <folder>/
        draws.parquet    one row per joint draw, one column per parameter (float64)
        summary.json     figures, settings, provenance, as `summary.Summary` types them
        *.txt *.csv      the tables

Columns of draws.parquet, beside the index `draw` (RATES: the three factors and two products):
    {prior|combine|only}/{type}/{rate of RATES}
    {prior|combine|only}/modifier/{modifier}/{level}     multipliers on the source's scale
    {measured|d0}/{family}/{code}/{rate of RATES}          bootstrap over competent agents of the
                                                           reference arm, of d = 0
    condition/{reference|d0|d1}                            the source's multipliers for that arm
    harm/{implied|note_50_70}/{type}                       P(harm | fails) by these assumptions
What was refused has no columns; the summary says why. In every row and for all data and
cells, p_capable x p_goal_fail x p_harm = p_harmful_gm and p_capable x p_goal_fail = p_gm, exactly.

Nothing here needs torch, or the packages that made the draws.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from misgen.analysis.calibration.summary import (
    REMEDY,
    SUMMARY,
    Summary,
    check_version,
    read_summary,
)
from misgen.analysis.files import utf8
from misgen.analysis.rates import Rates
from misgen.analysis.words import COLUMNS_OF, data_of

FloatArray = npt.NDArray[np.float64]

DRAWS = "draws.parquet"
RATES = Rates._fields


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
    """A calibration folder as read: its summary and its joint draws."""

    folder: Path
    summary: Summary
    draws: pa.Table

    @property
    def num_draws(self) -> int:
        return int(self.draws.num_rows)

    def require(self, data: str) -> None:
        """ValueError with the reason and the remedy where this calibration refuses the data."""
        if data_of(data) != "none" and self.summary.refused:
            raise ValueError(f"{data!r} is refused for {self.folder}: {self.summary.refused}")

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
        """The joint draws of five rates, for example of `combine/moderate`."""
        return Rates(*(self.column(f"{prefix}/{name}") for name in RATES))

    def rates_of(self, data: str, shift: str) -> Rates:
        """The joint draws [draws] of a shift type; "none" gives the prior's."""
        self.require(data)
        return self.rates(f"{COLUMNS_OF[data_of(data)]}/{shift}")

    def multipliers_of(self, data: str) -> dict[tuple[str, str], FloatArray]:
        """(modifier, level) -> multipliers [draws], for the levels it has columns of."""
        self.require(data)
        start = f"{COLUMNS_OF[data_of(data)]}/modifier/"
        names = [name for name in self.draws.column_names if name.startswith(start)]
        return {
            (modifier, level): self.column(name)
            for name in names
            for modifier, _, level in [name.removeprefix(start).partition("/")]
        }

    def harm(self, assumption: str, shift: str, data: str = "none") -> FloatArray:
        """P(harm | goal fails) [draws] by an assumption.

        Raises ValueError for measured harm where the calibration was not asked for it.
        """
        self.require(data)
        asked = self.summary.settings.harm
        if assumption == asked:
            return self.column(f"{COLUMNS_OF[data_of(data)]}/{shift}/p_harm")
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
    summary that breaks its types, or draws that do not belong to it.
    """
    folder = Path(folder)
    summary, path = read_summary(folder / SUMMARY), folder / DRAWS
    try:
        draws = pq.read_table(utf8(path))
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(
            f"{DRAWS} must be a whole Parquet file; {path} cannot be read ({error}); {REMEDY}"
        ) from error
    check_version(int((draws.schema.metadata or {}).get(b"schema_version", 0)), path)
    if draws.num_rows != summary.settings.draws:
        raise ValueError(
            f"draws.parquet must have the draws that summary.json names; {folder} has "
            f"{draws.num_rows} and {summary.settings.draws}; {REMEDY}"
        )
    if hashlib.sha256(path.read_bytes()).hexdigest() != summary.draws_sha256:
        raise ValueError(
            f"{path} is not the file that {SUMMARY} was written with: its sha256 is another; "
            f"{REMEDY}"
        )
    return CalibrationFile(folder, summary, draws)


# ----------------------------------------------------------------------------------------- adapters


def to_squigglepy(
    folder: Path | CalibrationFile, data: str = "combine", how: str = "samples", points: int = 200
) -> dict[str, Any]:
    """squigglepy distributions by some data: `{type}/{rate}` and `modifier/{modifier}/{level}`.

    folder: of a calibration, or a calibration that was read.
    how: "samples" for a discrete distribution over `points` equally likely values, each the mean of
    its share of the sorted draws (squigglepy samples thousands of values too slowly); "fitted" for
    a beta (rates) or log-normal (multipliers) with the draws' mean and variance. Distributions are
    marginal: dependence between them is in draws.parquet only.
    Raises ValueError for refused data or another `how`; needs the package squigglepy.
    """
    import squigglepy

    if how not in ("samples", "fitted"):
        raise ValueError(f"`how` must be 'samples' or 'fitted'; got {how!r}; choose one")
    file = folder if isinstance(folder, CalibrationFile) else read_calibration(folder)
    file.require(data)
    start = f"{COLUMNS_OF[data_of(data)]}/"
    found: dict[str, Any] = {}
    for name in file.draws.column_names:
        if name.startswith(start):
            values, short = file.column(name), name.removeprefix(start)
            if how == "samples":
                shares = np.array_split(np.sort(values), min(points, len(values)))
                found[short] = squigglepy.discrete([float(share.mean()) for share in shares])
            else:
                found[short] = _fitted(squigglepy, values, short.startswith("modifier/"))
    return found


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
