"""`misgen -sc install=bash`: what the Tab key offers in a shell.

Hydra's completion takes the program for the application; here that is `misgen train`. Its answers
on config groups and settings are Hydra's, with the values that we know and it does not.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
from collections.abc import Iterable

from misgen.experiments.cli import COMMANDS

TRAIN_FLAGS = ("--multirun", "--dry-run", "--results", "--cfg", "--config-dir", "--help")

# Readline puts what is offered behind the last `=`, where that parts words.
INSTALL = r"""
_misgen() {
    local IFS=$'\n' line="${COMP_LINE:0:COMP_POINT}"
    local word="${line##* }"
    COMPREPLY=($(COMP_LINE="$line" "${COMP_WORDS[0]}" -sc query=bash 2>/dev/null))
    if [[ $word == *=* && $COMP_WORDBREAKS == *=* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${word%=*}="}")
    fi
}
complete -o nospace -o default -F _misgen misgen
"""
UNINSTALL = "complete -r misgen; unset -f _misgen"


def main(argv: list[str]) -> int:
    """Exit code. A query answers for the line in COMP_LINE, an offer a line; a word that is whole
    ends with a space."""
    answers = {
        "install=bash": lambda: INSTALL,
        "uninstall=bash": lambda: UNINSTALL,
        "query=bash": lambda: "\n".join(offers(os.environ.get("COMP_LINE", ""))),
    }
    if len(argv) != 1 or argv[0] not in answers:
        raise ValueError(
            f"-sc takes {', '.join(answers)}; got {' '.join(argv)}; to have completion in bash "
            'write eval "$(misgen -sc install=bash)"'
        )
    print(answers[argv[0]]())
    return 0


def offers(line: str) -> list[str]:
    """How the last word of a command line may go on, `misgen` being its first."""
    *before, word = line.split(" ")
    words = [each for each in before if each][1:]
    if not words:
        names = [name for group in COMMANDS.values() for name in group]
        return [f"{name} " for name in names if name.startswith(word)]
    found: Iterable[str]
    if words[0] == "train":
        found = TRAIN_FLAGS if word.startswith("-") else _of_train(words[1:], word)
    else:
        found = _flags(words[0]) if word.startswith("-") else ()
    whole = (each if each.endswith(("=", ".", "/", ",")) else f"{each} " for each in found)
    return sorted({each for each in whole if each.startswith(word)})


def _of_train(words: list[str], word: str) -> list[str]:
    """Settings and groups of `misgen train`, or the values of one."""
    key, is_value, value = word.partition("=")
    values = _values(key) if is_value else []
    if values:
        earlier = value.rpartition(",")[0]
        return [f"{key}={earlier + ',' if earlier else ''}{each}" for each in values]
    hydras = [each for each in words if each != "--dry-run"]
    return _asked_of_hydra(" ".join(["train", *hydras, word]))


def _values(key: str) -> list[str]:
    """Those of a setting that are names, of what is built in."""
    from misgen.envs.families import FAMILIES
    from misgen.experiments.config import METHODS

    families = FAMILIES.values()
    return {
        "cell": [cell.code for family in families for cell in family.cells],
        "family": [*FAMILIES],
        "observation_mode": sorted({mode for family in families for mode in family.modes}),
        "agent.method": [*METHODS],
        "device": ["auto", "cpu", "cuda"],
    }.get(key, [])


def _asked_of_hydra(line: str) -> list[str]:
    from misgen.experiments.application import hydra_main
    from misgen.experiments.config import TrainConfig

    answer = io.StringIO()
    os.environ["COMP_LINE"] = line  # where Hydra looks for it
    with (
        contextlib.redirect_stdout(answer),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.suppress(SystemExit),
    ):
        hydra_main("train", TrainConfig, lambda _: None, ["-sc", "query=bash"])
    return answer.getvalue().split()


def _flags(command: str) -> Iterable[str]:
    """Those that the help of a command names."""
    commands = {name: each for group in COMMANDS.values() for name, each in group.items()}
    if command not in commands:
        return ()
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        module = importlib.import_module(f"misgen.experiments.{commands[command].module}")
        module.main(["--help"])
    return sorted({*re.findall(r"(?<![\w-])--[a-z][a-z-]+", text.getvalue())})
