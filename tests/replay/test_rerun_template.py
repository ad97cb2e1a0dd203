"""Templates: what they hold can be read back, and filled in they answer what was missing."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cli_runs import CALLS, JACKET, WEATHER, record_run
from frameengine.errors import UsageError
from frameengine.graph.loader import load_graph, parse_graph
from frameengine.graph.registry import BoundGraph, bind
from frameengine.jsonvalue import freeze
from frameengine.rerun.rerun import rerun
from frameengine.rerun.supply import PLACEHOLDER, Supply
from frameengine.rerun.template import template, toml
from frameengine.scenario import load_scenario
from frameengine.trace.verify import verify

DEFINITIONS = Path(__file__).parents[2] / "frameengine" / "graph" / "definitions"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES: st.SearchStrategy[Any] = st.recursive(
    TEXTS | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)


@given(VALUES)
@example("it's\n'''three''' \"quotes\"")
@example("ends in one'")
@example("\r\n\t\x7f\\n")
@example("\nbegins with a line feed")
@settings(max_examples=200)
def test_every_value_can_be_read_back(value: Any) -> None:
    """What is written as TOML is what TOML reads, whatever quotes and line ends a text has."""
    assert tomllib.loads(f"x = {toml(freeze(value))}\n")["x"] == value


def test_what_toml_cannot_say_is_left_out() -> None:
    """A null member is left out, and stands as an empty text in a list."""
    assert tomllib.loads("x = " + toml(freeze({"a": None, "b": [None, 1]})))["x"] == {"b": ["", 1]}


def warmer() -> BoundGraph:
    """Return the tool loop with tools that keep other names in requests: every request of it is another."""
    text = (DEFINITIONS / "tool-loop.toml").read_text(encoding="utf-8")
    return bind(parse_graph(text + "\n[state.params]\ntemperature = 1\n", "warmer"))


def test_a_template_answers_all_that_was_missing(tmp_path: Path) -> None:
    """Texts and tool calls of the recorded replies stand in it, in order; with it the run is complete, and nothing is needed."""
    path = record_run(tmp_path / "weather.trace.jsonl", [WEATHER, JACKET])
    found = rerun(path, warmer(), explore=True)
    assert [str(miss.call.key) for miss in found.needed] == ["1.1 model[0]", "1.3 model[0]", "2.1 model[0]"]
    script = tmp_path / "replies.toml"
    script.write_text(template(found.misses, "weather\x1b.trace.jsonl"), encoding="utf-8")
    assert "\x1b" not in script.read_text(encoding="utf-8")
    replies = load_scenario(script, replies=True).model["model"]
    assert [reply if isinstance(reply, str) else reply["tool_calls"] for reply in replies] == [
        freeze(CALLS["tool_calls"]),
        WEATHER[1][-1],
        JACKET[1][0],
    ]
    target = tmp_path / "new.trace.jsonl"
    result = rerun(path, warmer(), on_miss=Supply(script), output=target)
    assert (result.verdict, dict(result.count)) == ("completed", {"script": 3, "exact": 2})
    assert verify(target).counts == verify(path).counts


def test_a_template_keeps_what_a_script_gave(tmp_path: Path) -> None:
    """Made with a script that answers a part, it holds that part as it was written, and the rest."""
    path = record_run(tmp_path / "weather.trace.jsonl", [WEATHER, JACKET])
    script = tmp_path / "replies.toml"
    found = rerun(path, warmer(), explore=True)
    text = template(found.misses, "weather").replace("Yes, for the evening.", PLACEHOLDER)
    script.write_text(text.replace("12 °C", "21 °C"), encoding="utf-8")
    again = rerun(path, warmer(), on_miss=Supply(script), explore=True)
    assert [str(miss.call.key) for miss in again.needed] == ["2.1 model[0]"]
    replies = tomllib.loads(template(again.misses, "weather"))["model"]["model"]
    assert "21 °C" in replies[1]
    assert replies[2] == "Yes, for the evening."


def test_nothing_recorded_leaves_a_place_to_fill_in(tmp_path: Path) -> None:
    """A call like no recorded one has a marker in the template, which answers nothing."""
    path = record_run(tmp_path / "weather.trace.jsonl", [JACKET])
    demo = Path(__file__).parents[2] / "traces" / "reflex.trace.jsonl"
    found = rerun(demo, bind(load_graph("tool-loop")), explore=True)
    script = tmp_path / "replies.toml"
    script.write_text(template(found.misses, "reflex"), encoding="utf-8")
    assert tomllib.loads(script.read_text(encoding="utf-8"))["model"]["model"] == [PLACEHOLDER, PLACEHOLDER]
    again = rerun(demo, bind(load_graph("tool-loop")), on_miss=Supply(script), explore=True)
    assert len(again.needed) == len(found.needed) == 2
    assert rerun(path, bind(load_graph("tool-loop"))).needed == ()


def test_a_script_needs_no_inputs_and_must_hold_together(tmp_path: Path) -> None:
    """A file of replies alone will do; what is wrong in it is told with its place."""
    script = tmp_path / "replies.toml"
    script.write_text('[model]\noutput = ["hello"]\n', encoding="utf-8")
    assert load_scenario(script, replies=True).model["output"] == ("hello",)
    with pytest.raises(UsageError, match="graph"):
        load_scenario(script)
    script.write_text('[model]\noutput = "hello"\nodd = [1]\n', encoding="utf-8")
    with pytest.raises(UsageError, match="2 problems"):
        Supply(script)
