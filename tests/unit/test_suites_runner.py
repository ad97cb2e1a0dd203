"""Running suites: what counts as done, what time it is, and what does not fit a graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

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
    (done,) = faults(suite("1. a", "send: hi", 'expect_trace: status "done"'), Broken())
    assert done.startswith("the message ended as failed: output: no reply in time")


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
        ("expect_trace: event tool_refuesd not seen", "line 5: v3-framed shows no event tool_refuesd.*is it tool_refused"),
        ("expect_trace: event ui.perceived not seen", "line 5: ui shows no event perceived"),
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
    nodes = [evolve(spec, implementation="mine:Output") if spec.name == "output" else spec for spec in V3.graph.nodes]
    graph = evolve(V3.graph, nodes=tuple(nodes))
    lines = ("1. a", "send: hi", "expect_trace: event output.fireworks seen")
    missed = ("send: hi", "expect_trace: event output.fireworks not seen")
    check_graph(suite(*lines, *missed), graph)
    with pytest.raises(UsageError, match=r"line 5: output shows no event fireworks.*expect it in another step"):
        check_graph(suite("1. a", "send: hi", *missed[1:]), graph)
    with pytest.raises(UsageError, match="line 7: output shows no event fireworks"):
        check_graph(suite(*lines, *missed), V3.graph)


@pytest.mark.parametrize(
    ("act", "kind"),
    [("wait: 5m", "Tick"), ("dashboard: as shown", "Dashboard"), ("action: More", "Action"), ("send: ACTION: more", "Action")],
)
def test_an_act_that_no_node_takes_is_refused(act: str, kind: str) -> None:
    """Where nothing would happen, whatever is expected not to happen could not fail: such an act is an error with its line."""
    one = suite("1. a", act, 'expect_response: not contains "x"', "clear:", "expect_state: history length == 0")
    with pytest.raises(UsageError, match=f"line 4: no node of tool-loop takes a {kind}"):
        check_graph(one, load_graph("tool-loop"))
    check_graph(one, V3.graph)


def test_what_a_request_holds_is_looked_at_with_the_calls_in_it() -> None:
    """The call of a tool that stands in a conversation is part of what a model is asked."""
    function = {"name": "query_db", "arguments": '{"query": "SELECT secret FROM bills"}'}
    calls = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": function}]}
    replies: dict[str, list[Any]] = {
        "input": ['{"intent": "request", "complexity": "complex"}'],
        "thinker": [calls, "There is one."],
        "director": ["{}", "{}"],
        "output": ["One."],
        "memorizer": ["{}"],
    }
    one = suite("1. a", "send: How many?", 'expect_trace: request of thinker not contains "secret"')
    bound = bind(load_graph("v1-current"))
    (result,) = run_suite(one, bound, Scripted(replies, {"thinker": ["n\n1"]}))
    assert "secret" in result.fault


def test_a_suite_runs_on_the_graphs_that_it_names() -> None:
    """A graph that the setup does not name is refused."""
    one = suite("1. a", "send: hi", "expect_trace: frames 2", setup="- graph: v4-eras, v2-director-drives")
    with pytest.raises(UsageError, match="written for v4-eras, v2-director-drives, not for v3-framed"):
        check_graph(one, V3.graph)
