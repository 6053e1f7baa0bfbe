"""Write a calibration folder: draws, summary and tables, as `handoff` lays them out."""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from misgen.analysis.calibration.calibrate import Calibration
from misgen.analysis.calibration.handoff import DRAWS, FloatArray
from misgen.analysis.calibration.summarize import summary_of
from misgen.analysis.calibration.summary import SCHEMA_VERSION, SUMMARY
from misgen.analysis.calibration.tables import files_of
from misgen.analysis.files import atomic_write_bytes

PACKAGES = ("misgen", "numpy", "scipy", "pyarrow", "duckdb")


def write_calibration(
    calibration: Calibration, folder: Path, provenance: Mapping[str, Any] | None = None
) -> None:
    """Write draws, summary and tables. provenance: `command`, `git_commit` and more, as known.

    Raises ValueError when the summary breaks its own types, or the folder is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"a calibration is a folder; {folder} is a file; name another with -o")
    folder.mkdir(parents=True, exist_ok=True)
    draws = _parquet(calibration.draws)
    sha256 = hashlib.sha256(draws).hexdigest()
    known = provenance or {}
    made = {
        "command": "",
        "git_commit": None,
        "date_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        **known,
        "versions": {**known.get("versions", {}), **_versions()},
    }
    summary = summary_of(calibration, made, sha256)
    # The old summary must not stand beside new draws if this is interrupted.
    (folder / SUMMARY).unlink(missing_ok=True)
    atomic_write_bytes(folder / DRAWS, draws)
    for name, text in files_of(summary).items():
        atomic_write_bytes(folder / name, text.encode())
    text = json.dumps(summary.model_dump(), indent=1, allow_nan=False) + "\n"
    atomic_write_bytes(folder / SUMMARY, text.encode())


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def _parquet(draws: Mapping[str, FloatArray]) -> bytes:
    (length,) = {len(values) for values in draws.values()}
    table = pa.table({"draw": np.arange(length), **draws})
    metadata = {"schema_version": str(SCHEMA_VERSION)}
    sink = pa.BufferOutputStream()
    # Byte streams are split because the draws have short mantissas: half the size.
    pq.write_table(
        table.replace_schema_metadata(metadata),
        sink,
        compression="zstd",
        use_dictionary=False,
        use_byte_stream_split=[name for name in table.column_names if name != "draw"],
    )
    data: bytes = sink.getvalue().to_pybytes()
    return data
