"""The suites that are shipped: all hold on the graphs they name, and each of three spoilt replies turns checks red, by name."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen
from hypothesis import given
from hypothesis import strategies as st

from billing_database import build_billing
from frameengine.errors import FrameEngineError, UsageError
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import bind
from frameengine.jsonvalue import FrozenMap, freeze
from frameengine.scenario import Scenario, load_scenario
from frameengine.suites.format import Suite, load, read, text
from frameengine.suites.runner import Result, run_suite

ROOT = Path(__file__).parents[2]
SUITES = ROOT / "fixtures" / "suites"
CHECKS = {
    "counter_state": 26,
    "expert_eras": 31,
    "expert_progress": 17,
    "fast": 29,
    "fast_v4": 28,
    "pub_conversation": 33,
    "smoketest": 40,
    "workspace_feedback": 28,
    "workspace_mismatch": 30,
}
"""Each suite and its checks."""
STEPS = {"smoketest": 12, "fast": 10, "fast_v4": 10, "counter_state": 7, "pub_conversation": 12}

# One database serves the tests of this file, so one worker takes all of them.
pytestmark = pytest.mark.xdist_group("suites")


@pytest.fixture(scope="session")
def billing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the billing database."""
    return build_billing(tmp_path_factory.mktemp("billing"))


def named(name: str) -> Suite:
    """Return a shipped suite."""
    return load(SUITES / f"{name}.md")


def replies(suite: Suite, graph: str, database: Path) -> Scenario:
    """Return the replies of a suite, its queries on *database*."""
    source = suite.replies(graph)
    assert source is not None
    return evolve(load_scenario(source, replies=True), databases=dict.fromkeys(suite.databases, database))


def test_the_suites_are_all_there() -> None:
    """C124: nine suites with the checks that are promised, and no file of replies that no suite uses."""
    assert {path.stem for path in SUITES.glob("*.md")} == set(CHECKS)
    assert {name: named(name).checks for name in CHECKS} == CHECKS
    assert {name: len(named(name).steps) for name in STEPS} == STEPS
    used = {named(name).replies(graph) for name in CHECKS for graph in named(name).needs("graph")}
    assert {path.resolve() for path in (SUITES / "replies").iterdir()} == {path.resolve() for path in used if path is not None}


@pytest.mark.parametrize("name", CHECKS)
def test_a_shipped_suite_reads_as_it_is_written_back(name: str) -> None:
    """Reading what `text` writes of a shipped suite gives the same suite."""
    suite = named(name)
    assert read(text(suite), suite.path) == suite


SOURCES = {name: (SUITES / f"{name}.md").read_text(encoding="utf-8") for name in CHECKS}
PIECES = st.sampled_from(["", "\n", "- ", "#", '"', " or ", "not ", "0", "expect_trace: ", "\x00", "é", "== ", "## Steps\n"])


@given(st.sampled_from(sorted(CHECKS)), st.data())
def test_a_suite_with_a_slip_is_read_or_refused_with_its_lines(name: str, data: st.DataObject) -> None:
    """A shipped suite with a piece cut out and another put in reads, and then back as itself, or names lines of the file."""
    source = SOURCES[name]
    start = data.draw(st.integers(0, len(source)))
    slip = source[:start] + data.draw(PIECES) + source[start + data.draw(st.integers(0, 30)) :]
    try:
        suite = read(slip, Path("x.md"))
    except UsageError as error:
        lines = [problem["line"] for problem in error.fields["problems"]]
        assert lines
        assert all(1 <= line <= slip.count("\n") + 1 for line in lines)
    else:
        assert read(text(suite), Path("x.md")) == suite


RUNS = [(name, graph) for name in CHECKS for graph in named(name).needs("graph")]


@pytest.mark.parametrize(("name", "graph"), RUNS, ids=lambda value: value)
def test_every_check_of_a_shipped_suite_holds(name: str, graph: str, billing: Path) -> None:
    """C124, C177: offline, on real queries, with no reply missing and none left over."""
    suite = named(name)
    performer = replies(suite, graph, billing).performer()
    results = run_suite(suite, bind(load_graph(graph)), performer)
    assert [(result.line, result.expected, result.fault) for result in results if not result.passed] == []
    assert len(results) == suite.checks
    performer.check_used()


@frozen
class Spoilt:
    """A reply that a model should not have given, and a check that must notice."""

    suite: str
    graph: str
    node: str
    index: int
    reply: Any
    red: str
    """The check, as it is written."""


CUT = '{"goal": "Count", "tool_sequence": [{"tool": "query'
PROSE = "I am sorry, I cannot help with that."
KNOWS = '{"tool_sequence": [], "response_hint": "12"}'
REFLEX = '{"intent": "social", "complexity": "trivial"}'
STRINGS = '{"tool_sequence": [{"tool": "set_state", "args": {"key": "windows", "value": "0"}}]}'
NO_CUSTOMERS = 'expect_trace: event interpreter.interpreted seen with "no customers"'
THINKING = 'expect_trace: event pa.text seen with "I am going through the readings"'
AGAIN = 'expect_trace: tool emit_actions called with "Bills of Jena"'
SPOILT = [
    Spoilt("smoketest", "v3-framed", "input", 0, PROSE, 'expect_trace: path "reflex" or "thinker"'),
    Spoilt("smoketest", "v3-framed", "director", 1, CUT, 'expect_trace: tool query_db gave "Birkenallee 29"'),
    Spoilt("smoketest", "v3-framed", "output", 1, "You have **23 customers**.", 'expect_response: contains "24"'),
    Spoilt("smoketest", "v2-director-drives", "memorizer", 7, "Noted!", 'expect_state: memory.facts contains "Jena"'),
    Spoilt("smoketest", "v1-current", "thinker", 1, "About two dozen.", 'expect_trace: tool query_db called with "count(*)"'),
    Spoilt("smoketest", "v1-current", "thinker", 4, "Here they are.", "expect_actions: has table or buttons"),
    Spoilt("fast", "v3-framed", "interpreter", 3, "null", 'expect_trace: request of output contains "Error"'),
    Spoilt("fast", "v3-framed", "director", 4, CUT, "expect_state: ui.state.winter == false"),
    Spoilt("fast", "v2-director-drives", "director", 1, KNOWS, 'expect_trace: tool query_db called with "jena"'),
    Spoilt("fast", "v3-framed", "output", 7, "Done, they are gone.", 'expect_response: contains "cannot" or "not possible"'),
    Spoilt("fast_v4", "v4-eras", "pa", 1, '{"expert": "archive"}', 'expect_trace: path "pa+expert+interpreter"'),
    Spoilt("fast_v4", "v4-eras", "expert_eras", 7, CUT, "expect_actions: has table"),
    Spoilt("fast_v4", "v4-eras", "output", 6, "It is a clock.", 'expect_response: contains "degrees"'),
    Spoilt("expert_eras", "v4-eras", "pa", 0, '{"expert": "eras"}', 'expect_trace: event pa.routed seen with "none"'),
    Spoilt("expert_eras", "v4-eras", "expert_eras", 15, KNOWS, 'expect_trace: tool query_db gave "refused"'),
    Spoilt("expert_eras", "v4-eras", "interpreter", 8, CUT, NO_CUSTOMERS),
    Spoilt("expert_progress", "v4-eras", "pa", 0, '{"expert": "eras", "job": "Count."}', THINKING),
    Spoilt("expert_progress", "v4-eras", "expert_eras", 3, PROSE, "expect_trace: event expert_eras.tool_call seen 2 times"),
    Spoilt("expert_progress", "v4-eras", "output", 2, "Fourteen.", 'expect_response: contains "not recorded"'),
    Spoilt("counter_state", "v3-framed", "director", 0, STRINGS, "expect_actions: length == 4"),
    Spoilt("counter_state", "v3-framed", "input", 1, '{"intent": "social"}', 'expect_trace: path "reflex"'),
    Spoilt("counter_state", "v2-director-drives", "director", 3, CUT, "expect_state: ui.state.doors == 1"),
    Spoilt("pub_conversation", "v3-framed", "memorizer", 1, PROSE, 'expect_state: memory.facts contains "Göttingen"'),
    Spoilt("pub_conversation", "v3-framed", "input", 5, REFLEX, 'expect_trace: path "director+interpreter"'),
    Spoilt("pub_conversation", "v2-director-drives", "output", 10, "Wasser.", 'expect_response: contains "Weizen"'),
    Spoilt("workspace_mismatch", "v3-framed", "director", 1, PROSE, AGAIN),
    Spoilt("workspace_mismatch", "v3-framed", "output", 1, "All is well.", 'expect_response: contains "again"'),
    Spoilt("workspace_mismatch", "v2-director-drives", "director", 4, KNOWS, "expect_trace: tool query_db called 1 times"),
    Spoilt("workspace_feedback", "v3-framed", "director", 5, PROSE, "expect_actions: has no machine"),
    Spoilt("workspace_feedback", "v3-framed", "director", 3, CUT, 'expect_trace: tool emit_display called with "Leaks"'),
    Spoilt("workspace_feedback", "v2-director-drives", "output", 4, "Three.", 'expect_response: contains "one"'),
]


def test_each_suite_has_three_spoilt_replies() -> None:
    """No suite goes without, and each has them in two roles at least."""
    for name in CHECKS:
        roles = [spoilt.node for spoilt in SPOILT if spoilt.suite == name]
        assert len(roles) >= 3, name
        assert len(set(roles)) >= 2, name


@pytest.mark.parametrize("spoilt", SPOILT, ids=lambda spoilt: f"{spoilt.suite}-{spoilt.node}-{spoilt.index}")
def test_a_spoilt_reply_turns_a_named_check_red(spoilt: Spoilt, billing: Path) -> None:
    """Replies pass through the real parsers: a spoilt one is noticed by the check that it concerns, and no check before it."""
    red = failing(spoilt, billing)
    assert red
    assert red[0] == spoilt.red


def failing(spoilt: Spoilt, database: Path) -> list[str]:
    """Return the checks that fail with a spoilt reply, up to where the replies no longer fit."""
    suite = named(spoilt.suite)
    scenario = replies(suite, spoilt.graph, database)
    given = [*scenario.model[spoilt.node]]
    given[spoilt.index] = freeze(spoilt.reply)
    performer = evolve(scenario, model=FrozenMap({**scenario.model, spoilt.node: tuple(given)})).performer()
    results: list[Result] = []
    with suppress(FrameEngineError):
        run_suite(suite, bind(load_graph(spoilt.graph)), performer, on_result=results.append)
    return [result.expected for result in results if not result.passed]
