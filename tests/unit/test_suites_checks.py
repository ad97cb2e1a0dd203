"""Each kind of expectation, beside a twin that fails and says what it saw."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

import frameengine.nodes
from frameengine.graph.loader import load_graph
from frameengine.jsonvalue import freeze
from frameengine.node import TEXT_EVENT
from frameengine.records import CallRecord, Emission, FrameRecord, FrameTrace
from frameengine.suites.checks import read_check
from frameengine.suites.evidence import EVENTS, Check, Evidence, ToolUse
from frameengine.tools.process_events import PROCESS_DONE, PROCESS_START

EMITS = re.compile(r"""emit\(\s*"(\w+)\"""")
ELSEWHERE = {TEXT_EVENT, PROCESS_START, PROCESS_DONE, "control_refused", "machine_refused", "state_refused"}
"""Events whose names do not stand where they are emitted."""
CALL = CallRecord(call=0, kind="model", name="m", request="", outcome="", status="ok")
CALLED = Emission(event="tool_call", data=freeze({"tool": "query_db"}))
SHOWN = Emission(event="tool_result", data=freeze({"tool": "query_db", "output": "24"}))
RECORDS = (
    FrameRecord(frame=1, node="input", phase="main", input=freeze({}), calls=(CALL,), condition=freeze({"reflex": False})),
    FrameRecord(frame=2, node="director", phase="main", input=freeze({}), calls=(CALL,), emissions=(CALLED, SHOWN)),
    FrameRecord(frame=3, node="memorizer", phase="epilogue", input=freeze({}), calls=(CALL,)),
)
EVIDENCE = Evidence(
    response="You have 24 Customers.",
    controls=freeze(
        [{"type": "button", "label": "More", "action": "show_more"}, {"type": "table", "columns": ["n"], "data": [["7"]]}]
    ),
    state=freeze({"memory": {"topic": "bills", "facts": ["one", "two"]}, "ui": {"state": {"count": 2}}}),
    records=RECORDS,
    trace=FrameTrace(input=1, path="director", total_frames=2, frames=3, calls=3, status="done", state=""),
    tools=(ToolUse(name="query_db", arguments='{"query":"SELECT COUNT(*) FROM customers"}', gave="customers\n24"),),
    asked=(("input", "hello"), ("director", "how many?")),
)
NOTHING = evolve(EVIDENCE, controls=(), records=(), tools=(), asked=(), response="")


def check(directive: str, text: str) -> Check:
    """Read an expectation."""
    found = read_check(directive, text)
    assert isinstance(found, Check), found
    return found


@pytest.mark.parametrize(
    ("directive", "holds", "fails", "seen"),
    [
        ("expect_response", 'contains "customers"', 'contains "buildings" or "flats"', '"You have 24 Customers."'),
        ("expect_response", 'contains "x" or "24"', 'contains "25"', "24"),
        ("expect_response", 'not contains "25"', 'not contains "24"', 'contains "24"'),
        ("expect_response", "length >= 10", "length > 100", "length is 22"),
        ("expect_actions", "length >= 1", "length >= 2", "number of buttons is 1"),
        ("expect_actions", "length == 1", "length != 1", "is 1"),
        ("expect_actions", 'any action contains "more"', 'any action contains "less"', "More show_more"),
        ("expect_actions", 'any control contains "7"', 'any control contains "8"', "table n 7"),
        ("expect_actions", "has table or label", "has label or machine", "button, table"),
        ("expect_actions", "has no machine", "has no buttons", "button, table"),
        ("expect_state", 'memory.topic contains "bill"', 'memory.topic contains "flat"', 'memory.topic is "bills"'),
        ("expect_state", 'memory.facts contains "two"', 'memory.facts contains "three"', "one"),
        ("expect_state", 'memory.facts.1 == "two"', 'memory.facts.1 == "one"', '"two"'),
        ("expect_state", "memory.facts length == 2", "memory.facts length == 3", "is 2"),
        ("expect_state", "ui.state.count == 2", "ui.state.count == 3", '"2"'),
        ("expect_state", "ui.state.count != 3", "ui.state.count != 2", '"2"'),
        ("expect_state", "ui.state.count >= 2", "ui.state.count > 2", '"2"'),
        ("expect_state", "ui.state.count <= 2.5", "memory.topic <= 2.5", "bills"),
        ("expect_state", 'memory.topic != "x"', 'memory.nothing != "x"', "memory.nothing is not there"),
        ("expect_state", 'memory.topic not contains "x"', 'nowhere.at.all not contains "x"', "nowhere.at.all is not there"),
        ("expect_state", 'memory.topic not contains "flat"', 'memory.topic not contains "bill"', "bills"),
        ("expect_trace", 'path "director" or "reflex"', 'path "reflex"', "the path is director"),
        ("expect_trace", "frames 2", "frames 4 or 5", "there were 2"),
        ("expect_trace", "node director ran", "node output ran", "output ran 0 times"),
        ("expect_trace", "node director ran 1 times", "node director ran 2 times", "director ran 1 times"),
        ("expect_trace", "node output did not run", "node input did not run", "input ran 1 times"),
        ("expect_trace", "tool query_db called", "tool python called", "query_db"),
        ("expect_trace", 'tool query_db called with "count(*)"', 'tool query_db called with "bills"', "SELECT COUNT"),
        ("expect_trace", "tool query_db called 1 times", "tool query_db called 2 times", "was called 1 times"),
        ("expect_trace", 'tool query_db gave "24"', 'tool query_db gave "25"', "24"),
        ("expect_trace", 'tool query_db gave "24"', 'tool python gave "24"', "python gave none"),
        ("expect_trace", "tool python not called", "tool query_db not called", "SELECT COUNT"),
        ("expect_trace", "event tool_result seen", "event controls seen", "director.tool_result"),
        ("expect_trace", 'event tool_result seen with "24"', 'event tool_result seen with "25"', "24"),
        ("expect_trace", "event tool_result seen 1 times", "event tool_result seen 2 times", "was seen 1 times"),
        ("expect_trace", "event director.tool_result seen", "event input.tool_result seen", "director.tool_result"),
        ("expect_trace", "event tool_call seen before tool_result", "event tool_result seen before tool_call", "tool_call"),
        ("expect_trace", "event tool_call seen before tool_result", "event tool_call seen before director.tool_call", "director"),
        ("expect_trace", "event tool_call seen before tool_result", "event thinking seen before tool_call", "director"),
        ("expect_trace", "event input.tool_call not seen", "event director.tool_call not seen", "query_db"),
        ("expect_trace", 'request of director contains "MANY"', 'request of director contains "hello"', "how many?"),
        ("expect_trace", 'request of director not contains "hello"', 'request of director not contains "many"', "how many?"),
        ("expect_trace", 'request of input contains "hello"', 'request of output not contains "hello"', "asked no model"),
        ("expect_trace", "event controls not seen", "event tool_result not seen", "24"),
        ("expect_trace", "condition reflex did not hold", "condition reflex held", "reflex did not hold"),
        ("expect_trace", "requests == 2", "requests == 3", "requests is 2"),
        ("expect_trace", 'status "done"', 'status "failed" or "cancelled"', "ended as done"),
    ],
)
def test_each_kind_of_expectation_has_a_failing_twin(directive: str, holds: str, fails: str, seen: str) -> None:
    """C123: what is so holds, what is not so fails, and the fault tells what was seen instead."""
    assert check(directive, holds).fault(EVIDENCE) == ""
    assert seen in check(directive, fails).fault(EVIDENCE)


@pytest.mark.parametrize(
    ("directive", "text"),
    [
        ("expect_response", 'contains "a"'),
        ("expect_actions", 'any action contains "a"'),
        ("expect_response", 'not contains "a"'),
        ("expect_actions", 'any control contains "a"'),
        ("expect_actions", "has table or buttons"),
        ("expect_trace", "node input ran"),
        ("expect_trace", "tool query_db called"),
        ("expect_trace", "event tool_result seen"),
        ("expect_trace", "event tool_call seen before tool_result"),
        ("expect_trace", 'tool query_db gave "24"'),
        ("expect_trace", 'request of director contains "a"'),
        ("expect_trace", 'request of director not contains "a"'),
        ("expect_trace", "condition reflex held"),
        ("expect_trace", "condition reflex did not hold"),
    ],
)
def test_where_nothing_happened_nothing_is_fulfilled(directive: str, text: str) -> None:
    """An expectation of something fails where there is nothing at all: no answer, no control, no record."""
    assert check(directive, text).fault(NOTHING)


def test_a_message_without_a_request_is_told_from_one_with() -> None:
    """The epilogue does not count: a click that no model answered made no request."""
    quiet = evolve(EVIDENCE, records=RECORDS[2:])
    assert check("expect_trace", "no model request").fault(quiet) == ""
    assert "2 model requests" in check("expect_trace", "no model request").fault(EVIDENCE)


def test_how_a_message_ended_is_told_with_its_errors() -> None:
    """A failed message names the node and what it raised."""
    broken = evolve(RECORDS[0], error=freeze({"type": "x", "message": "it broke"}))
    failed = evolve(EVIDENCE, records=(broken,), trace=evolve(EVIDENCE.trace, status="failed"))
    assert check("expect_trace", 'status "done"').fault(failed) == "the message ended as failed: input: it broke"


def test_long_values_are_cut_in_a_fault() -> None:
    """A fault is a line, not a page."""
    long: Any = evolve(EVIDENCE, response="x" * 5_000)
    assert len(check("expect_response", 'contains "y"').fault(long)) < 220


@pytest.mark.parametrize(
    ("text", "strange"),
    [
        ("node pa did not run", "v3-framed has no node pa"),
        ("tool launch not called", "v3-framed has no tool launch"),
        ('tool launch gave "x"', "v3-framed has no tool launch"),
        ('path "pa"', "v3-framed has no path pa"),
        ('path "pa" or "thinker"', "v3-framed has no path pa or thinker"),
        ('path "pa" or "reflex"', ""),
        ("event pa.text not seen", "v3-framed has no node pa"),
        ('request of pa not contains "x"', "v3-framed has no node pa"),
        ("condition expert_is_eras did not hold", "no condition"),
        ("node director did not run", ""),
        ("tool query_db not called", ""),
        ("event anything not seen", ""),
    ],
)
def test_an_expectation_of_what_the_graph_does_not_have_is_strange(text: str, strange: str) -> None:
    """What a graph does not have cannot be missed: such an expectation could not fail, and is named."""
    found = check("expect_trace", text).strange(load_graph("v3-framed"))
    assert strange in found
    assert bool(found) == bool(strange)


def test_the_events_that_may_be_missed_are_those_of_the_shipped_nodes() -> None:
    """Every event that a shipped node emits is known, and nothing else: another name could not be missed."""
    nodes = Path(frameengine.nodes.__file__).parent
    emitted = {name for path in nodes.glob("*.py") for name in EMITS.findall(path.read_text(encoding="utf-8"))}
    assert emitted | ELSEWHERE == EVENTS


def test_a_text_that_is_long_is_cut_where_it_matters_least() -> None:
    """What is new in a request stands at its end, so that is what a fault shows of it."""
    long: Any = evolve(EVIDENCE, asked=(("director", "begin" + "x" * 5_000 + "end"),))
    fault = check("expect_trace", 'request of director contains "y"').fault(long)
    assert "end" in fault
    assert "begin" not in fault
    assert len(fault) < 260
