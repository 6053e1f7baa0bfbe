"""Files as every writer and reader of results needs them: written whole, found behind links."""

import errno
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

_NO_PLACE_FOR_A_FILE = {
    *(errno.EACCES, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG),
    *(errno.ENOENT, errno.ENOTDIR, errno.EPERM, errno.EROFS),
}


_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


def is_disk_full(error: BaseException) -> bool:
    """Whether there was no room, on the disk or in the user's quota."""
    return isinstance(error, OSError) and error.errno in _FULL


def atomic_write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file or nothing: a killed writer leaves only a hidden temporary file.

    Raises ValueError where no file can be at `path`, OSError if the write fails (a full disk).
    """
    atomic_write(path, lambda temporary: temporary.write_bytes(data))


def atomic_write(path: Path, write: Callable[[Path], object]) -> None:
    """The same of a file that `write` makes, under another name."""
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        _write_and_replace(path, write)
    except OSError as error:
        # Its own text names the temporary file, which the reader of the message never saw.
        if error.errno in _NO_PLACE_FOR_A_FILE:
            raise ValueError(
                f"a file is written into a folder that exists and may be written to; {path} "
                f"cannot be written ({error.strerror}); make its folder, or name another file"
            ) from error
        if error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _write_and_replace(path: Path, write: Callable[[Path], object]) -> None:
    temporary = path.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}-{path.name}")
    # Not `tempfile`: its mode 0600 would hide results from colleagues on a shared disk.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        try:
            write(temporary)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # elsewhere a folder cannot be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def files_under(folder: Path, name: str = "") -> Iterator[Path]:
    """Every file in a folder and below it, or every one of this name, in no order. Links to folders
    are followed; a folder that several paths lead to is entered once, without a link if possible.

    Raises ValueError for a link that leads nowhere, OSError for a folder that cannot be listed.
    """
    seen: set[tuple[int, int]] = set()
    folders, links = [folder], list[Path]()
    while folders or links:
        current = folders.pop() if folders else links.pop(0)
        status = current.stat()
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(current) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
        for entry in ordered:
            if entry.is_symlink():
                require_target(Path(entry.path))
            if entry.is_dir():
                (links if entry.is_symlink() else folders).append(Path(entry.path))
            elif name in ("", entry.name):
                yield Path(entry.path)


def require_target(path: Path) -> None:
    """ValueError for a link that leads nowhere. Hidden ones are the locks of editors."""
    if path.is_symlink() and not path.exists() and not path.name.startswith("."):
        raise ValueError(
            f"a link in a results folder leads to a file or folder; {path} leads to "
            f"{os.readlink(path)}, which is not there; bring it back, or remove the link"
        )


def utf8(path: Path) -> str:
    """The path as DuckDB and Arrow read it in every locale. ValueError for a name of another
    encoding."""
    try:
        return os.fsencode(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"files of results have names in UTF-8; {str(path)!r} has not; rename its folder"
        ) from error
