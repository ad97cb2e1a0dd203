"""What a node may know beside the conversation: sensors, memory, director's line, machines, screen, flags (C51, C60, C64).

It goes to a model as one message of role ``user`` between tags, never as a system message: values of the memory and words of a
user stand in it (W59). It is a function of the state alone, so building it twice adds nothing (W03) and loses nothing (W04).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from frameengine.codec import dumps
from frameengine.jsonvalue import EMPTY, FrozenMap, Json
from frameengine.node import NodeContext
from frameengine.nodes.context import chat, untrusted
from frameengine.state import Change, RunState
from frameengine.ui.audit import audit_lines
from frameengine.ui.machines import summary_lines

TAG: Final = "context"
"""The block stands between these tags."""
SECOND: Final = 1_000_000
"""Microseconds."""
LINE_CHARS_MAX: Final = 1_000
"""Length of one line of the block."""


def context_block(ctx: NodeContext, changes: Iterable[Change] = ()) -> tuple[FrozenMap, ...]:
    """Return the block as one chat message, or none where there is nothing to tell.

    *changes* are those that the node is about to make itself: a node that begins a turn sees what the turn was told.
    """
    state = RunState(ctx.state).apply(changes).sections
    parts = [
        _titled(_sensor_title(state), _sensor_lines(state, ctx)),
        _titled("Memory", _memory_lines(state)),
        _titled("Director", [line] if (line := _text(state, "director", "line")) else []),
        _titled("Machines", summary_lines(state.get("ui", EMPTY))),
        _titled("Screen", _screen_lines(state)),
        _titled("Now", _flag_lines(state)),
    ]
    text = "\n\n".join([part for part in parts if part])
    return (chat("user", untrusted(TAG, text)),) if text else ()


def shown(value: Json) -> str:
    """Return a value as one line of text: nothing in it can pass for a line of its own."""
    if isinstance(value, tuple):
        return "; ".join([shown(item) for item in value])
    text = value if isinstance(value, str) else dumps(value).decode()
    line = " ".join(text.split())
    return line if len(line) <= LINE_CHARS_MAX else f"{line[:LINE_CHARS_MAX]}…"


def duration(seconds: int) -> str:
    """Return a length of time for people: 45s, 5m0s."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def age(microseconds: int) -> str:
    """Return how long ago something was: just now, seconds, or whole minutes."""
    seconds = microseconds // SECOND
    if seconds < 10:
        return "just now"
    return f"{seconds} s ago" if seconds < 60 else f"{seconds // 60} min ago"


def _titled(title: str, lines: Iterable[str]) -> str:
    listed = list(lines)
    return "\n".join([f"{title}:", *listed]) if listed else ""


def _text(state: FrozenMap, section: str, key: str) -> str:
    return shown(state.get(section, EMPTY).get(key, ""))


def _sensor_title(state: FrozenMap) -> str:
    sensor = state.get("sensor", EMPTY)
    ticks = sensor.get("ticks", 0)
    return f"Sensors (tick {ticks}, every {sensor.get('interval')} s)" if ticks else "Sensors"


def _sensor_lines(state: FrozenMap, ctx: NodeContext) -> Iterator[str]:
    """Yield a line for each reading; the time is read for their ages alone."""
    if "sensor" not in state:
        return
    readings = state["sensor"].get("readings", EMPTY)
    if not readings:
        yield "- none"
        return
    now = ctx.now()
    for name, reading in readings.items():
        yield f"- {name}: {shown(reading.get('detail') or reading['value'])} ({age(now - reading['at'])})"


def _memory_lines(state: FrozenMap) -> Iterator[str]:
    for key, value in state.get("memory", EMPTY).items():
        if value:
            yield f"- {key}: {shown(value)}"


def _screen_lines(state: FrozenMap) -> tuple[str, ...]:
    dashboard = state.get("turn", EMPTY).get("dashboard")
    return () if dashboard is None else audit_lines(state.get("ui", EMPTY), dashboard)


def _flag_lines(state: FrozenMap) -> Iterator[str]:
    flags = state.get("turn", EMPTY).get("flags", EMPTY)
    if "idle_return" in flags:
        away = duration(flags["idle_return"]["away_duration"])
        yield f"- The user is back after {away} away. Greet them in half a sentence before anything else."
    if "workspace_mismatch" in flags:
        yield "- The screen does not show what it should, see above. Check the controls, and offer again what is missing."
