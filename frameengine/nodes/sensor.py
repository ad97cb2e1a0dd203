"""Sensor: the clock, how long the user has been away, what the memory learnt, what the screen shows (C57 to C62).

Ticks and dashboards are inputs with a place in the run, so nothing runs in the background (N08), building a run starts nothing
(W60), and the time is that of the input (N01). Only ticks tell that somebody is away: virtual time alone raises no flag.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import ClassVar, Final

from frameengine.inputs import Dashboard, Tick
from frameengine.jsonvalue import EMPTY, FrozenMap, Json, freeze
from frameengine.node import NodeContext, NodeResult
from frameengine.nodes.context_block import SECOND, duration, shown
from frameengine.nodes.turn import ACTIVE, active
from frameengine.state import Change
from frameengine.ui.audit import mismatch

IDLE_SECONDS: Final = (30, 60, 300, 600, 1_800)
"""When the reading ``idle`` changes."""
IDLE_RETURN: Final = 300
"""Seconds of absence after which the user is greeted, unless the graph says otherwise (``config.idle_return``)."""
OFFSET_MAX: Final = 14 * 60
"""Minutes that a place may be ahead of UTC, or behind."""
ZONE_CHARS_MAX: Final = 64
"""Length of a zone's name."""
SECONDS_MAX: Final = 253_402_200_000
"""The last time that the clock can show, a day before the end of the year 9999 so that every zone has it."""
INTERVAL_MAX: Final = 86_400
"""Seconds between two ticks."""
VALUE_CHARS_MAX: Final = 80
"""Length of one value in ``memo_delta``."""
MISMATCH: Final = "workspace_mismatch"
# Not the machine's own names: those follow its locale (N03).
WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS: Final = tuple("January February March April May June July August September October November December".split())


class Sensor:
    """Turn ticks into readings, and dashboards into flags.

    A tick may say more (`Tick.readings`): ``offset_minutes`` and ``zone`` of the user's local time, resolved by the caller for
    that moment (without an offset the clock shows UTC and says so); ``interval`` in seconds; ``stopped``: true for the last one.
    """

    slot: ClassVar[str] = "sensor"

    async def run(self, message: Tick | Dashboard, ctx: NodeContext) -> NodeResult:
        """Ask no model; emit ``tick`` only where a reading has changed."""
        if isinstance(message, Dashboard):
            return NodeResult(changes=_dashboard(message, ctx))
        if message.readings.get("stopped") is True:
            ctx.emit("stopped")
            return NodeResult(changes=_set(ticks=0, readings=EMPTY, memory_seen=EMPTY))
        return NodeResult(changes=_tick(message.readings, ctx))


def _tick(given: FrozenMap, ctx: NodeContext) -> list[Change]:
    sensor: FrozenMap = ctx.state["sensor"]
    said = _Said(given, ctx)
    now, ticks, memory = ctx.now(), sensor["ticks"] + 1, ctx.state.get("memory", EMPTY)
    interval = said.number("interval", 1, INTERVAL_MAX, sensor["interval"])
    before: FrozenMap = sensor["readings"]
    idle = _idle(before.get("idle") or active(now), now)
    new = {
        "clock": _clock(before.get("clock"), now, said),
        "idle": idle,
        "memo_delta": _learnt(before.get("memo_delta"), now, sensor["memory_seen"], memory),
    }
    readings = {name: reading for name, reading in new.items() if reading is not None}
    deltas = {name: reading["value"] for name, reading in readings.items() if _changed(before.get(name), reading)}
    if ticks == 1:
        ctx.emit("started", interval=interval)
    if deltas:
        ctx.emit("tick", tick=ticks, deltas=deltas)
    said.note_rest()
    changes = _set(ticks=ticks, readings=readings)
    if interval != sensor["interval"]:
        changes += _set(interval=interval)
    if memory != sensor["memory_seen"]:
        changes += _set(memory_seen=memory)
    # Nobody comes back to a conversation that has not begun.
    if idle["raw"] >= ctx.config.config.get("idle_return", IDLE_RETURN) and ctx.state.get("history"):
        changes.append(Change.set("/sensor/flags/idle_return", freeze({"away_duration": idle["raw"]})))
    return changes


def _dashboard(message: Dashboard, ctx: NodeContext) -> list[Change]:
    """Compare what the screen shows with what it should; a newer screen takes the place of an older one and of its flag."""
    flags = {name: flag for name, flag in ctx.state["sensor"]["flags"].items() if name != MISMATCH}
    found = mismatch(ctx.state.get("ui", EMPTY), message.controls)
    if found:
        flags[MISMATCH] = {"detail": found}
    return _set(dashboard=message.controls, flags=flags)


def _set(**values: Json) -> list[Change]:
    return [Change.set(f"/sensor/{name}", freeze(value)) for name, value in values.items()]


def _changed(before: FrozenMap | None, reading: FrozenMap) -> bool:
    """Return whether a reading is news. Nobody is told that the user, who was not thought of before, is active."""
    if before is None:
        return bool(reading["value"] != ACTIVE)
    return bool(before["at"] != reading["at"])


def _clock(before: FrozenMap | None, now: int, said: _Said) -> FrozenMap:
    """Return the time to the minute, in the user's zone where the caller told its offset."""
    offset, zone = said.number("offset_minutes", -OFFSET_MAX, OFFSET_MAX, None), said.text("zone", ZONE_CHARS_MAX)
    label = "UTC"
    if offset is not None:
        hours, minutes = divmod(abs(offset), 60)
        ahead = f"UTC{'-' if offset < 0 else '+'}{hours:02}:{minutes:02}"
        label = f"{zone} ({ahead})" if zone else ahead
    # Beyond the calendar the clock stands still: a time that is wrong must not end every tick that comes after it.
    moment = datetime.fromtimestamp(min(now // SECOND, SECONDS_MAX), tz=timezone(timedelta(minutes=offset or 0)))
    value = f"{moment.hour:02}:{moment.minute:02}"
    detail = f"{value} on {WEEKDAYS[moment.weekday()]}, {moment.day} {MONTHS[moment.month - 1]} {moment.year}, {label}"
    if before is not None and before["detail"] == detail:
        return before
    return _reading({"value": value, "detail": detail, "at": now})


def _idle(before: FrozenMap, now: int) -> FrozenMap:
    """Return how long the user has been away: the seconds, and a label that changes when a threshold is passed."""
    raw = (now - before["since"]) // SECOND
    if bisect_right(IDLE_SECONDS, raw) > bisect_right(IDLE_SECONDS, before["raw"]):
        return _reading({**before, "value": duration(raw), "raw": raw, "at": now})
    return _reading({**before, "raw": raw})


def _learnt(before: FrozenMap | None, now: int, seen: FrozenMap, memory: FrozenMap) -> FrozenMap | None:
    """Return what the memory has taken in since the last tick; the reading before where that is nothing."""
    changed = [
        f"{key}: {_brief(seen[key])} -> {_brief(value)}"
        for key, value in memory.items()
        if seen.get(key) not in (None, "") and seen[key] != value
    ]
    return _reading({"value": "; ".join(changed), "at": now}) if changed else before


def _brief(value: Json) -> str:
    text = shown(value)
    return text if len(text) <= VALUE_CHARS_MAX else f"{text[:VALUE_CHARS_MAX]}…"


def _reading(value: Mapping[str, Json]) -> FrozenMap:
    reading: FrozenMap = freeze(value)
    return reading


class _Said:
    """What a tick says beside the time, read one by one; what is odd or unknown is refused where everybody sees it."""

    def __init__(self, given: FrozenMap, ctx: NodeContext) -> None:
        self._given = given
        self._ctx = ctx
        self._read: dict[str, None] = {}

    def number(self, name: str, least: int, most: int, default: Json) -> Json:
        value = self._take(name)
        if value is None or (type(value) is int and least <= value <= most):
            return default if value is None else value
        self._refuse(name, f"it is no whole number from {least} to {most}")
        return default

    def text(self, name: str, most: int) -> str:
        value = self._take(name)
        if value is None or (isinstance(value, str) and len(value) <= most):
            return shown(value or "")
        self._refuse(name, f"it is no text of at most {most} characters")
        return ""

    def note_rest(self) -> None:
        for name in self._given:
            if name not in self._read:
                self._refuse(name, "nobody reads it")

    def _take(self, name: str) -> Json:
        self._read[name] = None
        return self._given.get(name)

    def _refuse(self, name: str, reason: str) -> None:
        self._ctx.emit("reading_refused", name=name, reason=reason)
