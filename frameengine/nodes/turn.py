"""The begin of a turn: what the sensor has noticed is told once, and the user counts as active (C61, C62, W04)."""

from __future__ import annotations

from typing import Final

from frameengine.jsonvalue import EMPTY, FrozenMap, freeze
from frameengine.node import NodeContext
from frameengine.nodes.context import HISTORY, chat
from frameengine.state import HISTORY_KEEP, Change

NOT_ANSWERED: Final = "[no answer: the message failed]"
"""What stands in the history for the answer to a message that failed or was cancelled (W27)."""
ACTIVE: Final = "active"
"""Value of the reading ``idle`` while the user has done something lately."""


def begin_turn(ctx: NodeContext) -> tuple[Change, ...]:
    """Return the changes that begin the turn of a message, or of a click that somebody has to think about.

    Flags and dashboard move from the sensor into section ``turn``, where every node of the turn reads them as often as it likes,
    and no later turn does.
    """
    sensor = ctx.state.get("sensor")
    if sensor is None:
        return ()
    changes = []
    turn: FrozenMap = freeze({"flags": sensor.get("flags", EMPTY), "dashboard": sensor.get("dashboard")})
    if turn != ctx.state.get("turn"):
        changes.append(Change.set("/turn", turn))
    if turn["flags"]:
        changes.append(Change.set("/sensor/flags", EMPTY))
    if turn["dashboard"] is not None:
        changes.append(Change.set("/sensor/dashboard", None))
    return (*changes, *note_activity(ctx))


def close_failed_turn(ctx: NodeContext) -> tuple[Change, ...]:
    """Return the change that closes a turn which was never answered (W27): no later reader takes its question for an open one.

    Only what begins a message of its own may ask: during a message its question is open indeed.
    """
    past = ctx.state.get("history", ())
    if ctx.frame > 1 or not past or past[-1].get("role") != "user":
        return ()
    return (Change.append(HISTORY, chat("assistant", NOT_ANSWERED), keep=HISTORY_KEEP),)


def note_activity(ctx: NodeContext) -> tuple[Change, ...]:
    """Return the change that lets the user count as active now. Without a ticking sensor nobody asks, and no clock is read."""
    if not ctx.state.get("sensor", EMPTY).get("ticks"):
        return ()
    return (Change.set("/sensor/readings/idle", active(ctx.now())),)


def active(now: int) -> FrozenMap:
    """Return the reading ``idle`` of somebody who did something at *now*, in microseconds."""
    reading: FrozenMap = freeze({"value": ACTIVE, "raw": 0, "since": now, "at": now})
    return reading
