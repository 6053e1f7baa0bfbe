"""Scalar rules -> compiled kernels. The only file that knows numba.

A rule is an undecorated Python function. `kernel(template, name, **holes)` makes a twin of a loop
over environments in which each `hole` means a rule or a constant of this family; everything they
call is compiled with them. Kernels release the GIL and keep no reference counts, so a thread pool
can run them on chunks. With `interpreted=True` (or NUMBA_DISABLE_JIT=1) the same code runs as
Python.
"""

import dis
import hashlib
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import EnumType
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numba
import numpy as np

from misgen.envs.core.kernel_cache import PACKAGE, REMEDY, cache_folder, warn_once

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "_nrt": False,
    "no_cfunc_wrapper": True,
}
# Only kernels call the rules: without an entry for Python they take two thirds as long to compile.
RULE_OPTIONS: dict[str, Any] = {**OPTIONS, "forceinline": True, "no_cpython_wrapper": True}
LIBRARIES = sys.stdlib_module_names | {"numba", "numpy"}


@dataclass(frozen=True)
class Hole:
    name: str


def hole(name: str) -> Any:
    """A placeholder for a rule or a constant that `kernel` fills in."""
    return Hole(name)


APART: set[Any] = set()  # rules with a kernel of their own, see `apart`
INTERPRETED = bool(numba.config.DISABLE_JIT)  # type: ignore[attr-defined]


def _is_rule(value: Any) -> bool:
    """Any function but a library's: rules may stand in modules of the user's own."""
    return isinstance(value, FunctionType) and value.__module__.split(".")[0] not in LIBRARIES


def _meant(function: FunctionType, used: str, holes: dict[str, Any]) -> Any:
    """What the global name `used` of `function` means: a hole is filled, nothing else is."""
    value = function.__globals__.get(used)
    return holes.get(used, value) if isinstance(value, Hole) else value


def _twin(function: FunctionType, name: str, holes: dict[str, Any], inner: Callable[..., Any]):
    """A copy of `function` whose holes are filled and which calls compiled twins of other rules."""
    names = {**function.__globals__}
    for used in _names(function.__code__):
        value = _meant(function, used, holes)
        if isinstance(value, Hole):
            raise ValueError(
                f"{function.__qualname__} needs {value.name}: kernel({value.name}=...)"
            )
        if isinstance(value, ModuleType) and value.__name__.split(".")[0] not in LIBRARIES:
            raise ValueError(
                f"a rule names other rules by themselves; {function.__module__}."
                f"{function.__qualname__} reads the module {value.__name__}; write "
                f"`from {value.__name__} import ...` in its file"
            )
        if used in names:  # or a builtin
            names[used] = inner(value, holes) if _is_rule(value) else value
    twin = FunctionType(function.__code__, names, name, function.__defaults__)
    twin.__qualname__ = name
    twin.__module__ = function.__module__
    return twin


@cache
def _names(code: CodeType) -> frozenset[str]:
    """The global names that the code reads; names of attributes are not among them."""
    return frozenset(
        step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"
    )


def apart(rule: Any) -> Any:
    """Decorator: kernels call this rule instead of inlining it, and it is compiled and kept on disk
    once for all kernels that fill its holes alike. For what is large and seldom called."""
    APART.add(rule)
    return rule


@cache
def _inlined(function: FunctionType, holes: tuple[tuple[str, Any], ...]) -> Any:
    if function in APART:
        name = f"{function.__qualname__}_{_fingerprint(holes)}"
        return _kept(_twin(function, name, dict(holes), _inline))
    twin = _twin(function, function.__qualname__, dict(holes), _inline)
    return numba.njit(**RULE_OPTIONS)(twin)


def _inline(function: FunctionType, holes: dict[str, Any]) -> Any:
    below = _rules_below(function, holes)
    names = {name for rule in below for name in _holes_of(rule) if name in holes}
    return _inlined(function, tuple((name, holes[name]) for name in sorted(names)))


def _holes_of(rule: FunctionType) -> set[str]:
    return {name for name in _names(rule.__code__) if isinstance(rule.__globals__.get(name), Hole)}


def _rules_below(function: FunctionType, holes: dict[str, Any]) -> set[FunctionType]:
    """`function` and every rule that it or they call."""
    todo, found = [function], {function}
    while todo:
        current = todo.pop()
        for used in _names(current.__code__):
            value = _meant(current, used, holes)
            if _is_rule(value) and value not in found:
                found.add(value)
                todo.append(value)
    return found


@cache
def _kernel(template: FunctionType, name: str, holes: tuple[tuple[str, Any], ...], plain: bool):
    if plain or INTERPRETED:
        return _interpreted(template, name, dict(holes))
    return _kept(_twin(template, name, dict(holes), _inline))


def _kept(twin: FunctionType) -> Any:
    """A kernel that is looked for on disk before it is compiled, and left there."""
    folder = cache_folder()
    if folder is None:
        return numba.njit(**OPTIONS)(twin)
    config: Any = numba.config
    before, config.CACHE_DIR = config.CACHE_DIR, str(folder)  # read when the function is decorated
    try:
        dispatcher = numba.njit(cache=True, **OPTIONS)(twin)
    finally:
        config.CACHE_DIR = before
    store = dispatcher._cache
    dispatcher._cache = _Optional(store, folder)
    return dispatcher


class _Optional:
    """numba's cache of one function, whose failures cost time only."""

    def __init__(self, store: Any, folder: Path) -> None:
        self.store, self.folder = store, folder

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def load_overload(self, *args: Any) -> Any:
        try:
            return self.store.load_overload(*args)
        except Exception:  # a damaged file raises anything
            with suppress(OSError):
                self.store.flush()
            return None

    def save_overload(self, *args: Any) -> None:
        try:
            self.store.save_overload(*args)
        except OSError as error:
            warn_once(f"kernels cannot be kept in {self.folder} ({error.strerror}); {REMEDY}")


def _interpreted(template: FunctionType, name: str, holes: dict[str, Any]) -> Callable[..., Any]:
    def inner(function: FunctionType, below: dict[str, Any]) -> Any:
        return _twin(function, function.__qualname__, below, inner)

    twin = _twin(template, name, holes, inner)

    def run(*args: Any) -> Any:
        with np.errstate(over="ignore"):  # uint64 arithmetic wraps on purpose
            return twin(*args)

    return run


def kernel(
    template: Callable[..., Any], name: str, *, interpreted: bool = False, **holes: Any
) -> Callable[..., Any]:
    """A compiled twin of `template` in which the names in `holes` are replaced.

    Args:
        template: module-level function. Its names, and those of the rules below it, that are a
            `hole` mean what `holes` says; a rule's own constant of the same name stays its own.
        name: for people; the cache entry is named by it and by the holes.
        interpreted: run the same code as plain Python, for debugging and for tests.
    """
    filled = tuple(sorted(holes.items()))
    return _kernel(template, f"{name}_{_fingerprint(filled)}", filled, interpreted)


@cache
def _fingerprint(holes: tuple[tuple[str, Any], ...]) -> str:
    """What the holes were filled with. The cache folder knows the sources of this package only, so
    the sources of rules from elsewhere (a family of the user's own) count here."""
    digest = hashlib.blake2b(digest_size=4)
    for name, value in holes:
        if not _is_rule(value):
            digest.update(f"{name}={value!r};".encode())
            continue
        digest.update(f"{name}={value.__module__}.{value.__qualname__};".encode())
        for rule in sorted(_rules_below(value, dict(holes)), key=lambda rule: rule.__qualname__):
            digest.update(rule.__qualname__.encode() + _foreign_source(rule))
    return digest.hexdigest()


@cache
def _foreign_source(rule: FunctionType) -> bytes:
    """The file of a rule that does not belong to this package (its bytecode if it has no file) and
    the constants that it reads, which may stand in other files."""
    code = rule.__code__
    file = Path(code.co_filename)
    if PACKAGE in file.parents or PACKAGE.resolve() in file.resolve().parents:
        return b""
    read = ((name, rule.__globals__.get(name)) for name in sorted(_names(code)))
    constants = [
        f"{name}={_meaning(value)}"
        for name, value in read
        if not (_is_rule(value) or isinstance(value, Hole))
    ]
    return (file.read_bytes() if file.is_file() else code.co_code) + ";".join(constants).encode()


def rule_of_text(text: str, module: str, **names: Any) -> FunctionType:
    """The one function that `text` defines, as a rule of this module (whose name is given).

    `names`: what its global names mean beside `np`: rules or constants. Two rules that differ in
    the text or in a constant have different qualified names, by which kernels are cached.
    """
    file = getattr(sys.modules.get(module), "__file__", None) or "<rule>"
    namespace = {"__name__": module, "np": np, **names}
    before = set(namespace)
    exec(compile(text, file, "exec"), namespace)
    (rule,) = (namespace[name] for name in namespace.keys() - before - {"__builtins__"})
    meaning = [text, *(f"{name}={_meaning(value)}" for name, value in sorted(names.items()))]
    digest = hashlib.blake2b("\n".join(meaning).encode(), digest_size=4).hexdigest()
    rule.__qualname__ = f"{rule.__name__}_{digest}"
    assert isinstance(rule, FunctionType)
    return rule


def _meaning(value: Any) -> str:
    """What a name means, as a text that is the same in every process."""
    if isinstance(value, EnumType):
        return repr(list(value))
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.tolist()}"
    if hasattr(value, "__qualname__"):  # a rule, a library's function, a class
        return f"{value.__module__}.{value.__qualname__}"
    return value.__name__ if isinstance(value, ModuleType) else repr(value)


def bind(kernel_: Callable[..., Any], *args: Any) -> Callable[..., Any]:
    """`kernel_` for arguments of the types of `args` only, compiled now.

    Calling it skips numba's look at every argument: 8 us for the 60 arrays of a world, against
    0.8 us for the call itself. Later arguments must have the same types, dtypes and memory layout.
    """
    if not isinstance(kernel_, numba.core.dispatcher.Dispatcher):
        return kernel_  # interpreted
    return kernel_.compile(tuple(numba.typeof(arg) for arg in args))
