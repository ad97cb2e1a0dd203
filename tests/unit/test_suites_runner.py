"""Running suites: what counts as done, what time it is, and what does not fit a graph."""

from __future__ import annotations

from pathlib import Path

import pytest

from driven import failure
from frameengine.effects import Answer
from frameengine.engine.stops import Ask
from frameengine.errors import CassetteMiss, UsageError
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import bind
from frameengine.performers.scripted import Scripted
from frameengine.suites.format import Suite, read
from frameengine.suites.runner import NOT_DONE, Result, check_graph, run_suite

V3 = bind(load_graph("v3-framed"))
SOCIAL = '{"intent": "social", "complexity": "trivial"}'


def suite(*lines: str, setup: str = "") -> Suite:
    """Return a suite; a line that begins with a number is a step."""
    written = [f"### {line}" if line[0].isdigit() else f"- {line}" for line in lines]
    return read("\n".join(["# T", *(["## Setup", setup] if setup else []), "## Steps", *written]), Path("t.md"))


def greetings(times: int, **more: list[str]) -> Scripted:
    """Return replies for so many greetings."""
    return Scripted({"input": [SOCIAL] * times, "output": ["Hello!"] * times, "memorizer": ["{}"] * times, **more})


def faults(one: Suite, performer: Scripted | Broken) -> list[str]:
    """Return the fault of each result; empty where it holds."""
    return [result.fault for result in run_suite(one, V3, performer)]


def test_an_expectation_looks_at_the_last_act() -> None:
    """Acts and expectations take turns in a step; each expectation is about the act before it."""
    one = suite("1. a", "send: hi", 'expect_response: contains "hello"', "clear:", 'expect_response: not contains "hello"')
    assert faults(one, greetings(1)) == ["", "the response is empty"]


def test_a_click_on_nothing_leaves_nothing_to_look_at() -> None:
    """What stands behind a click that found no button fails as well, until something is done again: no older answer passes."""
    one = suite(
        "1. a",
        "send: hi",
        "action: More",
        'expect_response: contains "hello"',
        "2. b",
        'expect_trace: path "reflex"',
        "send: hi",
        'expect_response: contains "hello"',
    )
    assert faults(one, greetings(2)) == ["no button is called that; there are none", NOT_DONE, NOT_DONE, ""]


class Broken:
    """A performer whose models fail where the answer is worded."""

    def __init__(self) -> None:
        self._behind = greetings(9)

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer all but the output node."""
        if ask.new[0].key.node == "output":
            return [Answer(call.key, failure("no reply in time")) for call in ask.new]
        return self._behind.perform(ask)


def test_a_message_that_fails_is_a_result_of_its_own() -> None:
    """A message that failed is red by itself, with node and reason, unless the next expectations are about how it ended."""
    failed, ran = faults(suite("1. a", "send: hi", "expect_trace: node input ran"), Broken())
    assert failed.startswith("the message ended as failed: output: no reply in time")
    assert ran == ""
    assert faults(suite("1. a", "send: hi", 'expect_trace: status "failed"'), Broken()) == [""]


def test_an_expectation_of_failure_covers_its_own_message_only() -> None:
    """Of two messages that fail in one step, the one that nobody asks about stays red."""
    first, second = faults(suite("1. a", "send: hi", "send: hi", 'expect_trace: status "failed"'), Broken())
    assert first.startswith("the message ended as failed")
    assert second == ""


def test_time_passes_where_a_suite_waits_and_hardly_elsewhere() -> None:
    """A wait is as long as it says; messages take seconds, so that nobody counts as away who did not wait."""
    one = suite(
        "1. a",
        "wait: 5s",
        "send: hi",
        "dashboard: []",
        "dashboard: []",
        "wait: 4m",
        "expect_state: sensor.readings.idle.raw < 300",
        "expect_state: sensor.readings.idle.raw >= 240",
        "send: hi",
        "expect_state: turn.flags length == 0",
        "wait: 2h",
        "expect_state: sensor.readings.idle.raw >= 7200",
        "expect_state: sensor.readings.idle.raw < 7260",
        'expect_state: sensor.readings.clock.value contains "02:04"',
    )
    assert faults(one, greetings(2)) == [""] * 6


def test_w56_results_do_not_grow_from_run_to_run() -> None:
    """W56: a run begins with nothing, tells its steps before it does them, and ends with the checks it said beforehand."""
    one = suite("1. a", "send: hi", 'expect_trace: path "reflex"', "2. b", "send: hi", "expect_trace: frames 2")
    told: list[str] = []

    def on_result(result: Result) -> None:
        told.append(f"line {result.line}")

    for _ in range(3):
        told.clear()
        results = run_suite(one, V3, greetings(2), on_step=lambda step: told.append(step.name), on_result=on_result)
        assert told == ["a", "line 5", "b", "line 8"]
        assert len(results) == one.checks == 2


def test_a_missing_reply_stops_the_run_after_what_was_told() -> None:
    """What was looked at before the script ended has been told; the rest is an error and no result."""
    one = suite("1. a", "send: hi", "expect_trace: frames 2", "2. b", "send: hi", "expect_trace: frames 2")
    told: list[Result] = []
    with pytest.raises(CassetteMiss):
        run_suite(one, V3, greetings(1), on_result=told.append)
    assert [result.passed for result in told] == [True]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("expect_trace: event tool_refuesd not seen", "nothing shows an event tool_refuesd.*is it tool_refused"),
        ("expect_trace: event fireworks not seen", "expect it in another step"),
        ("expect_trace: node pa did not run", "line 5: v3-framed has no node pa"),
        ('expect_trace: path "pa" or "thinker"', "v3-framed has no path pa or thinker"),
    ],
)
def test_what_a_graph_does_not_have_cannot_be_expected(line: str, said: str) -> None:
    """A name that the graph does not have, or an event that nothing shows, is an error with its line before anything runs."""
    with pytest.raises(UsageError, match=said):
        check_graph(suite("1. a", "send: hi", line), V3.graph)


def test_an_event_of_ones_own_may_be_missed_where_it_is_seen_elsewhere() -> None:
    """A suite that sees an event in one step may miss it in another: so its name is proven."""
    lines = (
        "1. a",
        "send: hi",
        "expect_trace: event fireworks seen",
        "send: hi",
        "expect_trace: event output.fireworks not seen",
    )
    check_graph(suite(*lines), V3.graph)


def test_a_suite_runs_on_the_graphs_that_it_names() -> None:
    """A graph that the setup does not name is refused."""
    one = suite("1. a", "send: hi", "expect_trace: frames 2", setup="- graph: v4-eras, v2-director-drives")
    with pytest.raises(UsageError, match="written for v4-eras, v2-director-drives, not for v3-framed"):
        check_graph(one, V3.graph)
