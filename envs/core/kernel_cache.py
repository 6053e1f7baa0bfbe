"""Where compiled kernels are kept between processes: a cache that is never stale and never needed.

numba does not notice an edit in another file than a kernel's own, so kernels are kept in a folder
named by a hash of this package's sources. Where no folder can be written, kernels are compiled
anew in every process.
"""

import hashlib
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]  # whose sources name the cache folder
KEPT = 8  # folders of earlier sources that are left
FRESH_S = 24 * 3600  # and those used in this time
REMEDY = "set XDG_CACHE_HOME or NUMBA_CACHE_DIR to a folder that can be written"


@cache
def cache_folder() -> Path | None:
    """The folder of this version's kernels, made; None, with a warning, where none can be."""
    for root in _roots():
        folder = root / f"kernels-{_sources_hash()}"
        if _is_usable(folder):
            os.utime(folder)
            _prune(root)
            return folder
    warn_once(f"no folder for compiled kernels can be written; {REMEDY}")
    return None


@cache
def warn_once(reason: str) -> None:
    """Say why kernels are not kept."""
    warnings.warn(
        f"{reason}: every process compiles them anew, which takes up to a minute",
        RuntimeWarning,
        stacklevel=3,
    )


def _sources_hash() -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".txt")):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _roots() -> Iterator[Path]:
    """Where the folder may be, the first choice first: where the user wants numba's caches, the
    user's cache, or else a private place among temporary files."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(os.environ["NUMBA_CACHE_DIR"]) / "misgen"
    if os.environ.get("XDG_CACHE_HOME"):
        yield Path(os.environ["XDG_CACHE_HOME"]) / "misgen"
    else:
        yield Path(os.path.expanduser("~")) / ".cache" / "misgen"
    user = getattr(os, "getuid", lambda: os.environ.get("USERNAME", "user"))()
    try:
        yield Path(tempfile.gettempdir()) / f"misgen-{user}"
    except OSError:  # no temporary folder can be written either
        return


def _is_usable(folder: Path) -> bool:
    """Make the folder if it is not there; whether this user owns it and can write files in it."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(exist_ok=True, mode=0o700)  # kernels are code: nobody else may put any there
        with tempfile.TemporaryFile(dir=folder):
            return not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
    except OSError:
        return False


def _prune(root: Path) -> None:
    """Remove the folders of sources that were edited since, but for the last used ones."""
    folders = [path for path in root.glob("kernels-*") if path.is_dir()]
    try:
        used = {path: path.stat().st_mtime for path in folders}
    except OSError:  # another process prunes
        return
    for path in sorted(folders, key=used.__getitem__, reverse=True)[1 + KEPT :]:
        if used[path] < time.time() - FRESH_S:
            shutil.rmtree(path, ignore_errors=True)
