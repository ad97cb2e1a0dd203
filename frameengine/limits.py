"""Every bound of the project, named once. Passing one raises `LimitError` with the name, the bound and the actual figure."""

from __future__ import annotations

from frameengine.errors import LimitError

LINE_BYTES_MAX = 1 << 20
"""One line of a trace, newline included."""
DEPTH_MAX = 64
"""Nesting of a JSON value."""
KEYS_MAX = 10_000
"""Members of one JSON object."""
FRAME_WEIGHT_MAX = 64 << 20
"""Weight of the lines of one frame (`trace.format.weight`): whoever replays or digests a frame holds all of them."""
FOREIGN_DIGITS_MAX = 4_300
"""Digits of an integer in foreign JSON."""
FOREIGN_BYTES_MAX = 64 << 20
"""One foreign JSON document."""
INTEGER_MIN = -(1 << 63)
"""Smallest integer that a trace holds."""
INTEGER_MAX = (1 << 64) - 1
"""Largest integer that a trace holds."""
TEXT_SHARED_MIN = 40
"""Code points from which a string is stored once and referred to."""
TEXT_CHUNK = 128 << 10
"""Code points of one piece of a long string: the limit of a line holds for the worst encoding (6 bytes each)."""
CONTENT_WINDOW_BYTES = 8 << 20
"""Encoded size of the contents that a line may refer back to."""
FRAMES_PER_MESSAGE_MAX = 1_000
"""Frames of one input: a graph that goes round for ever ends here."""
CALLS_PER_NODE_MAX = 100_000
"""Effects of one node in one frame."""
EMISSIONS_PER_NODE_MAX = 100_000
"""Emissions of one node in one frame."""
EXPRESSION_CHARS_MAX = 4_096
"""Length of an expression."""
EXPRESSION_STEPS_MAX = 10_000
"""Evaluation steps of one expression."""
GRAPH_NODES_MAX = 1_000
"""Nodes of one graph."""
MODEL_BODY_BYTES_MAX = 8 << 20
"""The body of one answer of a model over HTTP, decoded."""
MODEL_EVENT_BYTES_MAX = 1 << 20
"""One event of a model's stream."""
MODEL_ERROR_BYTES_MAX = 16 << 10
"""What is kept of the body of an HTTP error."""
TOOL_CALLS_PER_REPLY_MAX = 128
"""Tool calls of one reply."""


def check(name: str, bound: int, actual: int, hint: str = "") -> None:
    """Raise `LimitError` when *actual* passes *bound*."""
    if actual > bound:
        raise LimitError(f"{name} is {actual:,}, the bound is {bound:,}", hint=hint, name=name, bound=bound, actual=actual)
