"""The Sensor: readings change when they should, flags are raised once, and only ticks tell the time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driven import Driven
from frameengine.graph.loader import load_graph
from frameengine.inputs import Dashboard, Tick
from frameengine.jsonvalue import thaw
from frameengine.nodes.sensor import IDLE_SECONDS, Sensor

GRAPH = load_graph("v3-framed")
SECTIONS: dict[str, Any] = thaw(GRAPH.state)
SECOND = 1_000_000
WINTER = int(datetime(2026, 1, 5, 13, 5, 7, tzinfo=UTC).timestamp()) * SECOND
TALK = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


class Ticking:
    """A sensor whose state is carried from tick to tick."""

    def __init__(self, **sections: Any) -> None:
        self.state = {**SECTIONS, "history": TALK, **sections}

    def at(self, now: int, message: Any = None, **readings: Any) -> Driven:
        """Let a tick (or *message*) come in at *now*, in microseconds."""
        driven = Driven(Sensor(), GRAPH.node("sensor"), message or Tick(readings=readings), state=self.state, now=now)
        self.state = driven.after
        assert (driven.message, driven.effects) == (None, [])
        return driven

    @property
    def sensor(self) -> dict[str, Any]:
        """The section of the state."""
        section: dict[str, Any] = self.state["sensor"]
        return section


def deltas(driven: Driven) -> dict[str, Any]:
    """Return what a tick told; nothing where it told nothing."""
    return driven.event("tick")["deltas"] if "tick" in driven.events() else {}


def test_the_first_tick_starts_the_sensor() -> None:
    """The first tick says started and tells the time; the next in the same minute counts and says nothing (C53h, C57, C59)."""
    ticking = Ticking()
    first = ticking.at(WINTER)
    assert first.events() == ["started", "tick"]
    assert first.event("started") == {"interval": 5}
    assert first.event("tick") == {"tick": 1, "deltas": {"clock": "13:05"}}
    assert ticking.at(WINTER + 5 * SECOND).events() == []
    assert ticking.sensor["ticks"] == 2


def test_a_quiet_minute_has_one_clock_tick() -> None:
    """Twelve ticks in a minute tell the time once, at the turn of the minute (C59, C29)."""
    ticking = Ticking()
    ticking.at(WINTER)
    told = [deltas(ticking.at(WINTER + 5 * number * SECOND)) for number in range(1, 13)]
    assert [tick for tick in told if "clock" in tick] == [{"clock": "13:06"}]


def test_the_last_tick_stops_the_sensor() -> None:
    """A tick that says so is the last: stopped, and nothing is told of readings that nobody takes any more (C53h)."""
    ticking = Ticking()
    ticking.at(WINTER)
    stopped = ticking.at(WINTER + SECOND, stopped=True)
    assert stopped.events() == ["stopped"]
    assert (ticking.sensor["ticks"], ticking.sensor["readings"]) == (0, {})
    assert ticking.at(WINTER + 2 * SECOND).events() == ["started", "tick"]


def test_idle_tells_of_thresholds_that_were_passed() -> None:
    """At 0, 29, 30, 61 and 3600 seconds there is news at 30, 61 and 3600 only: several thresholds at once are one (C58)."""
    ticking = Ticking()
    told = {second: deltas(ticking.at(WINTER + second * SECOND)).get("idle") for second in (0, 29, 30, 61, 3600)}
    assert told == {0: None, 29: None, 30: "30s", 61: "1m1s", 3600: "60m0s"}
    assert ticking.sensor["readings"]["idle"]["raw"] == 3600


@given(st.lists(st.integers(1, 900), min_size=1, max_size=30))
def test_idle_changes_exactly_where_a_threshold_is_passed(steps: list[int]) -> None:
    """For any times of ticks the label changes where a threshold lies between two of them, and nowhere else."""
    ticking = Ticking()
    ticking.at(WINTER)
    before = 0
    for step in steps:
        now = before + step
        passed = any(before < second <= now for second in IDLE_SECONDS)
        assert ("idle" in deltas(ticking.at(WINTER + now * SECOND))) is passed
        before = now


def test_idle_return_is_raised_by_ticks_alone() -> None:
    """After the graph's five minutes a flag says how long the user has been away; later ticks keep it up to date (C62)."""
    ticking = Ticking()
    for second in (0, 299):
        ticking.at(WINTER + second * SECOND)
    assert ticking.sensor["flags"] == {}
    ticking.at(WINTER + 300 * SECOND)
    assert ticking.sensor["flags"] == {"idle_return": {"away_duration": 300}}
    ticking.at(WINTER + 600 * SECOND)
    assert ticking.sensor["flags"] == {"idle_return": {"away_duration": 600}}


def test_nobody_comes_back_to_what_has_not_begun() -> None:
    """Before the first message there is nobody to be greeted again."""
    ticking = Ticking(history=[])
    ticking.at(WINTER)
    ticking.at(WINTER + 3600 * SECOND)
    assert ticking.sensor["flags"] == {}


@pytest.mark.parametrize(
    ("readings", "value", "detail"),
    [
        ({}, "13:05", "13:05 on Monday, 5 January 2026, UTC"),
        ({"zone": "Europe/Berlin"}, "13:05", "13:05 on Monday, 5 January 2026, UTC"),
        ({"offset_minutes": 60}, "14:05", "14:05 on Monday, 5 January 2026, UTC+01:00"),
        ({"offset_minutes": 60, "zone": "Europe/Berlin"}, "14:05", "14:05 on Monday, 5 January 2026, Europe/Berlin (UTC+01:00)"),
        ({"offset_minutes": -210}, "09:35", "09:35 on Monday, 5 January 2026, UTC-03:30"),
        ({"offset_minutes": 840}, "03:05", "03:05 on Tuesday, 6 January 2026, UTC+14:00"),
    ],
)
def test_w40_the_clock_shows_the_users_time(readings: Any, value: str, detail: str) -> None:
    """The caller says how far ahead the user's clock is, and it is labelled so; else it is UTC and says so (W40, N03)."""
    ticking = Ticking()
    ticking.at(WINTER, **readings)
    assert ticking.sensor["readings"]["clock"] == {"value": value, "detail": detail, "at": WINTER}


def test_w40_the_clock_is_right_in_winter_and_in_summer() -> None:
    """An offset is that of the moment, not of the place: Berlin is one hour ahead in January and two in July (W40)."""
    summer = int(datetime(2026, 7, 6, 13, 5, tzinfo=UTC).timestamp()) * SECOND
    told = [deltas(Ticking().at(now, offset_minutes=offset))["clock"] for now, offset in ((WINTER, 60), (summer, 120))]
    assert told == ["14:05", "15:05"]


@given(st.integers(WINTER, WINTER + 7 * 86_400 * SECOND), st.sampled_from([0, 1, 399, 400, 499_999, 500_000, 999_600, 999_999]))
def test_w36_the_clock_never_goes_back(second: int, within: int) -> None:
    """The time is read once and never rounded up: a later tick never shows an earlier time (W36)."""
    start = second - second % SECOND
    ticking = Ticking()
    shown = []
    for now in (start, start + within, start + SECOND):
        ticking.at(now)
        shown.append(
            datetime.strptime(ticking.sensor["readings"]["clock"]["detail"], "%H:%M on %A, %d %B %Y, UTC").replace(tzinfo=UTC)
        )
    assert shown == sorted(shown)
    assert shown[0] == shown[1] == datetime.fromtimestamp(start // SECOND, tz=UTC).replace(second=0)


@pytest.mark.parametrize(
    ("readings", "name"),
    [
        ({"offset_minutes": "60"}, "offset_minutes"),
        ({"offset_minutes": True}, "offset_minutes"),
        ({"offset_minutes": 100_000}, "offset_minutes"),
        ({"zone": ["x"]}, "zone"),
        ({"zone": "z" * 65}, "zone"),
        ({"interval": 0}, "interval"),
        ({"temperature": 21}, "temperature"),
    ],
)
def test_odd_readings_are_refused_visibly(readings: Any, name: str) -> None:
    """What a tick says and nobody can use is named; the tick counts all the same."""
    ticking = Ticking()
    driven = ticking.at(WINTER, **readings)
    assert driven.event("reading_refused")["name"] == name
    assert ticking.sensor["readings"]["clock"]["detail"].endswith("UTC")
    assert (ticking.sensor["ticks"], ticking.sensor["interval"]) == (1, 5)


def test_the_interval_is_what_the_caller_says() -> None:
    """A caller with another interval says so, and the context tells it."""
    ticking = Ticking()
    assert ticking.at(WINTER, interval=30).event("started") == {"interval": 30}
    assert ticking.sensor["interval"] == 30


def test_the_memory_is_watched() -> None:
    """News of the memory are told as old and new value, joined; what was empty before is none (C58)."""
    ticking = Ticking()
    ticking.at(WINTER)
    ticking.state["memory"] = {**SECTIONS["memory"], "user_mood": "annoyed", "topic": "bills", "language": "de"}
    told = deltas(ticking.at(WINTER + SECOND))
    assert told == {"memo_delta": "user_mood: neutral -> annoyed; language: en -> de"}
    assert deltas(ticking.at(WINTER + 2 * SECOND)) == {}
    assert ticking.sensor["readings"]["memo_delta"]["at"] == WINTER + SECOND


def test_the_same_news_twice_is_news_twice() -> None:
    """A mood that goes and comes back is told each time."""
    ticking = Ticking()
    ticking.at(WINTER)
    told = []
    for number, mood in enumerate(["annoyed", "neutral", "annoyed"], start=1):
        ticking.state["memory"] = {**SECTIONS["memory"], "user_mood": mood}
        told.append(deltas(ticking.at(WINTER + number * SECOND))["memo_delta"])
    assert told == ["user_mood: neutral -> annoyed", "user_mood: annoyed -> neutral", "user_mood: neutral -> annoyed"]


BUTTON = {"type": "button", "label": "Send", "action": "send"}


def test_a_screen_that_shows_something_else_raises_a_flag() -> None:
    """A dashboard is compared when it comes; a good one takes the flag of a bad one back (C62)."""
    ticking = Ticking(ui={**SECTIONS["ui"], "thinker_controls": [BUTTON]})
    driven = ticking.at(WINTER, Dashboard(controls=[]))
    assert driven.context.now_read is False
    assert "the screen is empty" in ticking.sensor["flags"]["workspace_mismatch"]["detail"]
    assert ticking.sensor["dashboard"] == []
    ticking.at(WINTER, Dashboard(controls=[BUTTON]))
    assert ticking.sensor["flags"] == {}
    assert ticking.sensor["dashboard"] == [BUTTON]


def test_a_dashboard_keeps_the_other_flag() -> None:
    """That the screen is right says nothing of who is there."""
    ticking = Ticking()
    ticking.state["sensor"] = {**SECTIONS["sensor"], "flags": {"idle_return": {"away_duration": 400}}}
    ticking.at(WINTER, Dashboard(controls=[]))
    assert ticking.sensor["flags"] == {"idle_return": {"away_duration": 400}}


@pytest.mark.parametrize("odd", ["text", {"a": 1}, 7, [1, None, {"type": 3}], [[[]]]], ids=repr)
def test_a_bad_dashboard_is_a_mismatch(odd: Any) -> None:
    """What is no list of controls does not raise: it is a screen that does not show what it should."""
    ticking = Ticking(ui={**SECTIONS["ui"], "thinker_controls": [BUTTON]})
    ticking.at(WINTER, Dashboard(controls=odd))
    assert ticking.sensor["flags"]["workspace_mismatch"]["detail"]


@pytest.mark.parametrize("minutes", [-840, 0, 840])
def test_a_time_beyond_the_calendar_stops_the_clock_and_nothing_else(minutes: int) -> None:
    """A tick from beyond the year 9999 shows the calendar's end, in every zone, and the next one is read as well."""
    ticking = Ticking()
    for now in (10**18, 10**18 + SECOND):
        assert "error" not in ticking.at(now, offset_minutes=minutes).events()
    assert "9999" in ticking.sensor["readings"]["clock"]["detail"]
