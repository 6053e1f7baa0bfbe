"""Which files of a results folder hold the records of finished runs.

A run is a folder with `episodes.parquet` and, written last, `done.json`; without the second file
the run is unfinished and is not read.
"""

from pathlib import Path

from misgen.analysis.files import files_under
from misgen.analysis.record_schema import FILE_NAME


def record_files(results: Path) -> list[Path]:
    """Of all finished runs under a folder, or under its folder `runs` if there is one.

    Raises ValueError where there is none.
    """
    _require_folder(results)
    runs = results / "runs"  # beside it, a study may have gathered copies to be published
    found = [*files_under(runs if runs.is_dir() else results, FILE_NAME)]
    finished = sorted(file for file in found if (file.parent / "done.json").is_file())
    if not finished:
        raise ValueError(
            f"a finished run is a folder with {FILE_NAME} and done.json; {results} has none, and "
            f"{len(found)} unfinished; start the experiment again to resume it"
        )
    return finished


def _require_folder(results: Path) -> None:
    if not results.exists():
        raise ValueError(
            f"the results folder must exist; {results} does not; run an experiment first, "
            "or name another folder"
        )
    if not results.is_dir():
        raise ValueError(
            f"results must be a folder; {results} is a file; name the folder that holds the runs"
        )
