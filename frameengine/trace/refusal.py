"""What is said of a line that is not accepted."""

from __future__ import annotations

from frameengine.errors import FrameEngineError
from frameengine.trace.contents import BadContent

SAID_MAX = 300
"""Code points of another error's message that are repeated."""


def said(error: Exception) -> str:
    """Return what to repeat of an error that a line led to."""
    if isinstance(error, BadContent):
        return str(error)
    if isinstance(error, KeyError):
        return f"the member {error.args[0]!r} is missing or unknown"
    # What it quotes may be as long as the file that it comes from.
    text = (
        error.message if isinstance(error, FrameEngineError) else f"its members are not of the form that they must have ({error})"
    )
    return text[:SAID_MAX]


def rewritten(raw: bytes) -> str:
    """Return what an editor or a transfer did to a line; empty where nothing shows."""
    if raw.startswith(b"\xef\xbb\xbf"):
        return "starts with a byte order mark"
    if raw.endswith(b"\r\n"):
        return "ends in CR LF"
    if b"\0" in raw:
        return "holds zero bytes"
    return ""
