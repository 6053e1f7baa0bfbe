"""Agents and interventions. `load_agent` and `quadruple` are those of published.py."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from misgen.agents.published import load_agent, quadruple

__all__ = ["load_agent", "quadruple"]


def __getattr__(name: str) -> Any:
    """Imports torch where it is asked for: most of the commands need none of it."""
    if name in __all__:
        from misgen.agents import published

        return getattr(published, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
