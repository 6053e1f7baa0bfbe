"""`misgen migrate`: rewrite a folder of records from before schema version 3.

Up to misgen 0.3 a cell was named by its shift type, and each family had one cell of a type. Records
now hold the cell's code, and what the cell declares beside it. One file is replaced at a time and
what is current is left alone, so the same command continues an interrupted migration. Agents,
checkpoints and run folders stay as they are: train again what must be trained further.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from misgen.analysis.files import files_under, utf8
from misgen.analysis.records import FILE_NAME, SCHEMA, SCHEMA_VERSION, event_names, write_table
from misgen.envs.families import find_cell
from misgen.experiments.cli import Parser
from misgen.experiments.runs.episode_records import fingerprint
from misgen.experiments.runs.folder import (
    RESULTS_HELP,
    parse_flags,
    read_json,
    results_root,
    write_json,
)

CODES = {
    ("coinrun", "superficial"): "C1",
    ("coinrun", "moderate"): "C2",
    ("coinrun", "significant"): "C3",
    ("coinrun", "extreme"): "C4",
    ("keys_and_chests", "superficial"): "K1",
    ("keys_and_chests", "moderate"): "K2",
    ("keys_and_chests", "significant"): "K3",
    ("keys_and_chests", "extreme"): "K4",
}
"""(family, former name of the cell) -> code."""
EVAL_BASE, OUTCOME_VERSION = 10**12, 1
"""Parts of a fingerprint that records do not hold, as evaluations had them by default."""
COMPRESSION_LEVEL = 19


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError for a folder without records, a torn file, an unknown cell."""
    parser = Parser(
        prog="misgen migrate",
        description=(__doc__ or "").split("\n\n")[0],
        epilog=f"{RESULTS_HELP}; or a published one",
    )
    parse_flags(parser, argv)
    print(migrate(results_root()))
    return 0


def migrate(folder: Path) -> str:
    """Rewrite every finished run's records under a folder, and the results beside them that name
    cells; returns what was done, in words."""
    everything = sorted(files_under(folder)) if folder.is_dir() else []
    found = [file for file in everything if file.name == FILE_NAME]
    files = [file for file in found if (file.parent / "done.json").is_file()]
    if not files:
        raise ValueError(
            f"a folder to migrate holds finished runs, each with {FILE_NAME} and done.json; "
            f"{folder} has none; name a results folder"
        )
    rewritten = sum(map(_migrate_file, files))
    results = sum(map(_migrate_results, [file for file in everything if file.suffix == ".json"]))
    return (
        f"{rewritten} of {len(files)} record files rewritten to schema version {SCHEMA_VERSION}, "
        f"{len(files) - rewritten} were current; {results} files of results likewise"
    )


# --- Records -------------------------------------------------------------------------------------


def _migrate_file(file: Path) -> bool:
    """Whether it had to be rewritten."""
    try:
        if "shift_type" in pq.read_schema(utf8(file)).names:
            return False
        table = pq.read_table(utf8(file))
        names = event_names(file)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"a record must be a whole Parquet file; {file} cannot be read ({error}); copy it "
            "again, or delete the folder of this run, and start the migration again"
        ) from error
    write_table(file, _current(table, file), names, COMPRESSION_LEVEL)
    return True


def _current(table: pa.Table, file: Path) -> pa.Table:
    """The rows in the columns of SCHEMA."""
    families = table["family"].to_pylist()
    cells, trained = (
        _codes(families, table[name].to_pylist(), file) for name in ("cell", "train_distribution")
    )
    declared = {code: find_cell(code)[1] for code in {*cells}}
    columns = {
        **{name: table[name] for name in table.column_names},
        "cell": cells,
        "train_distribution": trained,
        "shift_type": [declared[code].shift_type for code in cells],
        "informs_type": [declared[code].informs_type for code in cells],
        "harm_informs": [declared[code].harm_informs for code in cells],
        "eval_fingerprint": _fingerprints(table, cells),
        "schema_version": pa.repeat(SCHEMA_VERSION, len(table)),
    }
    columns.setdefault("setting", pa.repeat("", len(table)))  # since schema version 2
    arrays = (_array(columns[field.name], field.type) for field in SCHEMA)
    return pa.table(list(arrays), schema=SCHEMA)


def _array(values: Any, kind: pa.DataType) -> Any:
    return values.cast(kind) if hasattr(values, "cast") else pa.array(values, kind)


def _codes(families: list[str], names: list[str], file: Path) -> list[str]:
    unknown = sorted({*zip(families, names, strict=True)} - {*CODES})
    if unknown:
        raise ValueError(
            f"records before schema version {SCHEMA_VERSION} are of the cells "
            f"{', '.join(map('/'.join, CODES))}; {file} has {'/'.join(unknown[0])}; take this run "
            "out of the folder"
        )
    return [CODES[where] for where in zip(families, names, strict=True)]


def _fingerprints(table: pa.Table, codes: list[str]) -> list[str]:
    """Equal where they were equal, different where they were different."""
    names = ("family", "family_version", "cell", "variant", "eval_seed", "eval_fingerprint")
    rows = list(zip(*(table[name].to_pylist() for name in names), codes, strict=True))
    found = {row: _fingerprint(*row) for row in {*rows}}
    return [found[row] for row in rows]


def _fingerprint(
    family: str, version: int, cell: str, variant: str, eval_seed: int, old: str, code: str
) -> str:
    """The one that the same evaluation has today, where its parts are known to be the default ones;
    else one that depends on the old one."""
    argument = {
        "subject": {"family": family},
        "family_version": version,
        "cell": cell,
        "eval_base": EVAL_BASE,
        "eval_seed": eval_seed,
        "outcome_version": OUTCOME_VERSION,
    }
    if fingerprint(argument, variant) == old:
        return fingerprint({**argument, "cell": code}, variant)
    return hashlib.sha256(json.dumps([old, code]).encode()).hexdigest()[:16]


# --- Results beside them -------------------------------------------------------------------------


def _old_rows(results: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The rows of a JSON file of results that name their cell by its shift type."""
    rows = (results or {}).get("rows")
    found = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return [row for row in found if (row.get("family"), row.get("cell")) in CODES]


def _migrate_results(path: Path) -> bool:
    """Whether it had to be rewritten."""
    results = read_json(path)
    rows = _old_rows(results)
    for row in rows:
        family, cell = row["family"], find_cell(CODES[row["family"], row["cell"]])[1]
        row |= {"cell": cell.code, "shift_type": cell.shift_type}
        row.pop("code", None)
        if "train_distribution" in row:
            row |= {
                "train_distribution": CODES[family, row["train_distribution"]],
                "informs_type": cell.informs_type,
                "harm_informs": cell.harm_informs,
            }
    if rows:
        write_json(path, results)
    return bool(rows)
