"""A deterministic frame engine for LLM agents: record, replay, compare and step through their runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frameengine.inprocess import recording as recording
    from frameengine.inprocess import replaying as replaying

__version__ = "0.1.0"
__all__ = ["__version__", "recording", "replaying"]


def __getattr__(name: str) -> Any:
    """Import what records and replays an agent when it is asked for: an import of the engine stays light."""
    if name in ("recording", "replaying"):
        from frameengine import inprocess

        return getattr(inprocess, name)
    raise AttributeError(f"module 'frameengine' has no attribute {name!r}")
