"""The context block: which sections in which order, whose words where, how old readings are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameengine.effects import EffectKey
from frameengine.graph.loader import load_graph
from frameengine.jsonvalue import EMPTY, freeze, thaw
from frameengine.node import NodeContext
from frameengine.nodes.context_block import LINE_CHARS_MAX, age, context_block, duration, shown
from frameengine.state import Change

SECTIONS: dict[str, Any] = thaw(load_graph("v3-framed").state)
SECOND = 1_000_000


def context(state: Any, now: int = 0) -> NodeContext:
    """Return what a node would be given."""
    return NodeContext(EffectKey(1, 1, "node", 0), freeze(state), now=now)


def block(state: Any, now: int = 0) -> list[str]:
    """Return the lines of the only message, without its tags."""
    (message,) = context_block(context(state, now))
    assert message["role"] == "user"
    lines: list[str]
    first, *lines, last = message["content"].split("\n")
    assert (first, last) == ("<context>", "</context>")
    return lines


FULL: dict[str, Any] = {
    **SECTIONS,
    "sensor": {
        "ticks": 12,
        "interval": 5,
        "readings": {
            "clock": {"value": "14:05", "detail": "14:05 on Monday, 5 January 2026, UTC", "at": 61 * SECOND},
            "idle": {"value": "45s", "raw": 45, "since": 0, "at": 95 * SECOND},
        },
        "flags": {},
        "memory_seen": {},
    },
    "memory": {**SECTIONS["memory"], "user_name": "eva", "facts": ["likes tables", "works in Jena"]},
    "director": {"line": "She is in a hurry."},
    "ui": {
        **SECTIONS["ui"],
        "machines": {"m": {"initial": "a", "current": "a", "states": {"a": {"buttons": [], "display": []}}, "data": {}}},
    },
    "turn": {
        "flags": {"idle_return": {"away_duration": 605}, "workspace_mismatch": {"detail": "the table is missing"}},
        "dashboard": [],
    },
}


def test_the_sections_come_in_their_order() -> None:
    """Sensors, memory, the director's line, machines, the screen, flags (C51), each under its name."""
    assert block(FULL, now=125 * SECOND) == [
        "Sensors (tick 12, every 5 s):",
        "- clock: 14:05 on Monday, 5 January 2026, UTC (1 min ago)",
        "- idle: 45s (30 s ago)",
        "",
        "Memory:",
        "- user_name: eva",
        "- user_mood: neutral",
        "- language: en",
        "- style_hint: casual, technical",
        "- facts: likes tables; works in Jena",
        "",
        "Director:",
        "She is in a hurry.",
        "",
        "Machines:",
        'machine "m" is in state "a" of "a"',
        "",
        "Screen:",
        "The screen is empty.",
        "",
        "Now:",
        "- The user is back after 10m5s away. Greet them in half a sentence before anything else.",
        "- The screen does not show what it should, see above. Check the controls, and offer again what is missing.",
    ]


def test_what_is_empty_is_left_out() -> None:
    """An empty field of the memory is not told (C64), a sensor without readings says none (C60), no state gives no block."""
    assert block(SECTIONS)[:3] == ["Sensors:", "- none", ""]
    assert not [line for line in block(SECTIONS) if line.startswith(("- topic", "- user_name", "- facts", "- clicks"))]
    assert context_block(context(EMPTY)) == ()
    assert context_block(context({"history": [], "caches": {"schema": {}}})) == ()


def test_the_time_is_read_for_readings_alone() -> None:
    """Where nothing has an age no clock is read, so that the record does not depend on one (N02)."""
    for state, read in ((FULL, True), (SECTIONS, False)):
        ctx = context(state, now=200 * SECOND)
        context_block(ctx)
        assert ctx.now_read is read


def test_w03_building_it_twice_gives_the_same() -> None:
    """Nothing is appended to anything and nothing is used up (W03, W04)."""
    ctx = context(FULL, now=130 * SECOND)
    first = context_block(ctx)
    assert context_block(ctx) == first
    assert ctx.state == freeze(FULL)
    assert first[0]["content"].count("Memory:") == 1


def test_a_node_sees_what_it_is_about_to_change() -> None:
    """Changes that are given count as made, for this block alone."""
    ctx = context(SECTIONS)
    (message,) = context_block(ctx, [Change.set("/memory/user_name", "eva")])
    assert "- user_name: eva" in message["content"]
    assert "eva" not in context_block(ctx)[0]["content"]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "just now"),
        (9, "just now"),
        (10, "10 s ago"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (119, "1 min ago"),
        (7200, "120 min ago"),
    ],
)
def test_ages(seconds: int, told: str) -> None:
    """Below ten seconds it is just now, then seconds, then whole minutes (C60)."""
    assert age(seconds * SECOND) == told


@pytest.mark.parametrize(("seconds", "told"), [(0, "0s"), (45, "45s"), (60, "1m0s"), (300, "5m0s"), (3605, "60m5s")])
def test_durations(seconds: int, told: str) -> None:
    """Seconds alone below a minute, then minutes and seconds (C58)."""
    assert duration(seconds) == told


TROUBLE = st.text(alphabet='</context>\n\r\u2028 -:aA\\"', max_size=60)


@given(TROUBLE, TROUBLE)
def test_w59_no_value_passes_for_a_line_or_closes_the_block(name: str, fact: str) -> None:
    """Whatever stands in the memory, the block has the same lines and ends at its own end (W59)."""
    usual = block(FULL, now=125 * SECOND)
    lines = block({**FULL, "memory": {**FULL["memory"], "user_name": f"n{name}", "facts": [f"f{fact}"]}}, now=125 * SECOND)
    assert len(lines) == len(usual)
    assert "</context" not in "\n".join(lines).lower()


def test_long_values_are_cut() -> None:
    """One value takes one line of bounded length, and shows that it was cut."""
    assert shown("x" * 5000) == "x" * LINE_CHARS_MAX + "…"
    assert shown(freeze({"a": [1, None]})) == '{"a":[1,null]}'
