"""A YAML file as entries that know their lines, so that a mistake is shown where it stands."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import yaml

from misgen.analysis.priors.source import Figure, Range


@dataclass(frozen=True)
class Entry:
    """A value of the file under its dotted key: a number, text, a list, or entries by key."""

    path: Path
    key: str
    line: int
    value: Any

    def fail(self, rule: str) -> NoReturn:
        value = "entries" if isinstance(self.value, dict) else repr(self.value)
        raise ValueError(f"{self.path}, line {self.line}: {self.key} {rule}; got {value}")

    def entries(self, names: Collection[str]) -> dict[str, "Entry"]:
        """The entries below this one, each of which has one of the names."""
        if not isinstance(self.value, dict):
            self.fail("needs entries below it (`name: value`)")
        for name, below in self.value.items():
            if name in ("p_gm", "p_harmful_gm"):
                below.fail("follows from the three factors: give those")
            if name not in names:
                raise ValueError(
                    f"{below.path}, line {below.line}: unknown key {below.key}; "
                    f"choose {', '.join(names)}"
                )
        return self.value

    def figure(self, value: float | Range, unit: str) -> Figure:
        return Figure(value, unit, "user", self.path.name, self.key, (self.line, self.line))


def read_prior_file(path: Path) -> Entry:
    """The file as entries that know their lines."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        root = _entry(path, "", node) if node else Entry(path, "", 1, None)
    except OSError as error:
        raise ValueError(f"{path}: a prior file must be readable; {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: a prior file must be UTF-8 text; it is not") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f"{path}, line {mark.line + 1}" if mark else str(path)
        what = getattr(error, "problem", error)
        raise ValueError(f"{at}: a prior file must be plain valid YAML; {what}") from None
    if not isinstance(root.value, dict) or not root.value:
        raise ValueError(
            f"{path}, line {root.line}: a prior file needs entries such as `shifts:`; it has none"
        )
    return root


def _entry(path: Path, key: str, node: yaml.Node) -> Entry:
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        value = yaml.SafeLoader("").construct_object(node, deep=True)
        return Entry(path, key, line, value)
    entries: dict[str, Entry] = {}
    for name_node, child in node.value:
        name = str(name_node.value)
        below = _entry(path, f"{key}.{name}".lstrip("."), child)
        below = replace(below, line=name_node.start_mark.line + 1)
        if name in entries:
            below.fail(f"must be given once; the first is in line {entries[name].line}")
        entries[name] = below
    return Entry(path, key, line, entries)
