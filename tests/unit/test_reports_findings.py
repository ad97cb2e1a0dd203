"""Findings for CI: annotations of one line each, and SARIF that a scanner takes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote

import jsonschema
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from frameengine.diff.compare import compare
from frameengine.diff.result import TraceDiff
from frameengine.errors import TraceNotFound
from frameengine.plaintext import visible
from frameengine.replay.divergence import Divergence
from frameengine.reports.finding import RULES, Finding, of_diff, of_divergence, of_error
from frameengine.reports.github import SHOWN_MAX, commands
from frameengine.reports.sarif import sarif
from payloads import PAYLOADS, filled, poisoned
from report_pages import sample
from sample_traces import record

COMMAND = re.compile(r"::(error|warning|notice) ([^:]*)::([^\n]*)")
SARIF = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "properties": {
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "additionalProperties": False,
                            "required": ["ruleId", "ruleIndex", "level", "message", "locations", "partialFingerprints"],
                            "properties": {
                                "ruleId": {"enum": list(RULES)},
                                "ruleIndex": {"type": "integer", "minimum": 0},
                                "level": {"enum": ["error", "warning"]},
                                "message": {"required": ["text"], "additionalProperties": False, "properties": {"text": {}}},
                                "locations": {"type": "array", "maxItems": 1},
                                "partialFingerprints": {"type": "object"},
                            },
                        },
                    }
                },
            },
        },
    },
}
"""What the standard, and GitHub's code scanning, ask of the members that are written here."""
OUTSIDE_CHARS = st.characters(exclude_categories=["Cs"])


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> TraceDiff:
    """Return a small comparison that has every part."""
    return sample(tmp_path_factory.mktemp("traces"))


def read(annotation: str) -> tuple[str, dict[str, str], str]:
    """Return level, properties and message of an annotation, decoded as the runner does."""
    match = COMMAND.fullmatch(annotation)
    assert match is not None, annotation
    properties = dict([pair.split("=", 1) for pair in match[2].split(",")])
    return match[1], {name: unquote(value) for name, value in properties.items()}, unquote(match[3])


def test_the_first_difference_is_an_error_and_the_others_are_warnings(found: TraceDiff) -> None:
    """What makes the result red is an error with its cause; what differs by itself is a warning; what follows is neither."""
    findings = of_diff(found, "new.trace.jsonl")
    assert [(each.level, each.rule, each.place) for each in findings] == [
        ("error", "first-difference", "1.1 model"),
        ("warning", "difference", "2.2 tools"),
        ("warning", "difference", "3.4 output"),
    ]
    told = [
        "changed /calls/0/outcome/value/usage/total_tokens",
        "left: 1",
        "right: 7",
        "cause: model reply (the request is the same, what came back is not)",
        "3 changed, 1 removed; 1 of 4 follow",
    ]
    assert findings[0].message.split("\n") == told
    level, properties, message = read(commands(findings).split("\n")[0])
    assert (level, message.split("\n")) == ("error", told)
    assert properties == {"file": "new.trace.jsonl", "title": "differs at 1.1 model"}


def test_no_difference_is_no_finding(tmp_path: Path) -> None:
    """Traces that are the same have no annotation; one that ends early has an error though nothing differs."""
    path = record(tmp_path / "a.trace.jsonl")
    same = compare(path, path)
    assert of_diff(same, "a") == ()
    assert commands(()) == ""
    broken = evolve(same, right=evolve(same.right, problem="no seal"))
    assert [(each.level, each.rule, each.file) for each in of_diff(broken, "a")] == [("error", "incomplete", str(path))]


def test_a_node_that_raised_is_annotated_at_its_line() -> None:
    """A divergence in which code raised is about the line of that code, and names the trace."""
    found = Divergence(kind="error", input=1, frame=2, node="n", recorded="(nothing)", replayed="x", where="src/nodes.py:17")
    finding = of_divergence(found, "a.trace.jsonl")
    assert (finding.file, finding.line) == ("src/nodes.py", 17)
    assert "recorded: (nothing)" in finding.message
    assert "trace: a.trace.jsonl" in finding.message
    assert of_divergence(evolve(found, where=""), "a.trace.jsonl").file == "a.trace.jsonl"


@pytest.mark.parametrize("payload", [*PAYLOADS[::4], "x\r\n::stop-commands::y", "%0A::error::z", "a:b,c=d"])
def test_no_text_is_a_command_of_its_own(payload: str) -> None:
    """Each annotation is one line, and says what it should once it is decoded, whatever stands in every field."""
    error, diverged = TraceNotFound(payload, hint=payload), filled(Divergence, payload)
    findings = [*of_diff(poisoned(payload), payload), of_divergence(diverged, payload), of_error(error, payload)]
    lines = commands(findings).split("\n")
    assert lines.pop() == ""
    told = [read(line) for line in lines]
    assert visible(payload) in told[-1][2] or any(visible(payload) in each[2] for each in told)
    assert {name for _, properties, _ in told for name in properties} <= {"file", "line", "title"}


@given(st.text(OUTSIDE_CHARS, max_size=60))
def test_annotations_give_back_what_they_were_told(outside: str) -> None:
    """Encoding keeps the whole text, percent signs, commas and colons included."""
    finding = Finding(rule="error", level="error", title=visible(outside).replace("\n", " "), message=visible(outside), file="x")
    (line,) = commands([finding]).split("\n")[:-1]
    assert read(line) == ("error", {"file": "x", "title": finding.title}, finding.message)


def test_only_as_many_annotations_as_are_shown() -> None:
    """Of each level ten, and then how many were left out."""
    findings = [
        Finding(rule="difference", level=level, title=str(number), message="m", file="f")
        for level in ("error", "warning")
        for number in range(SHOWN_MAX + 3)
    ]
    lines = commands(findings).split("\n")[:-1]
    assert [read(line)[0] for line in lines] == ["error"] * 10 + ["warning"] * 10 + ["notice"]
    assert read(lines[-1])[2] == "6 more differences"


def test_sarif_is_what_a_scanner_takes(found: TraceDiff) -> None:
    """The document has the members that the standard asks for, places in files and in the run, and equal bytes each time."""
    document = sarif(of_diff(found, "sub folder/new.trace.jsonl"))
    assert document == sarif(of_diff(found, "sub folder/new.trace.jsonl"))
    value = json.loads(document)
    jsonschema.validate(value, SARIF)
    first, *others = value["runs"][0]["results"]
    assert first["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "sub%20folder/new.trace.jsonl"
    assert first["locations"][0]["logicalLocations"] == [{"fullyQualifiedName": "1.1 model"}]
    prints = [each["partialFingerprints"]["place/v1"] for each in (first, *others)]
    assert len(set(prints)) == 3
    rules = value["runs"][0]["tool"]["driver"]["rules"]
    assert all(rules[each["ruleIndex"]]["id"] == each["ruleId"] for each in (first, *others))


@pytest.mark.parametrize("payload", [*PAYLOADS[::7], "[x](http://evil.invalid)", "\\[x](1)", "\x1b[2J"])
def test_sarif_has_no_links_and_no_hidden_text(payload: str) -> None:
    """Brackets that would make a link are escaped, and what a terminal would obey is shown as its number."""
    document = sarif([*of_diff(poisoned(payload), payload), of_divergence(filled(Divergence, payload), payload)])
    value = json.loads(document)
    jsonschema.validate(value, SARIF)
    for result in value["runs"][0]["results"]:
        assert not re.search(r"(?<!\\)(\\\\)*\[", result["message"]["text"])
    assert visible(document) == document
