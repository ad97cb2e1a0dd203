"""JUnit XML: what other tools read of it."""

from __future__ import annotations

from typing import get_args
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from frameengine.plaintext import visible
from frameengine.reports.junit import Case, Status, junit

CASES = (
    Case(name="one", classname="suite.1 first", file="s.md", line=3, seconds=0.25),
    Case(name='two "quoted" <b> & more', classname="suite.1 first", status="failed", message="saw <x>", detail="saw\n<x> ]]>"),
    Case(name="three", classname="suite", status="error", message="a reply is missing"),
    Case(name="four", classname="suite.2 second", status="skipped", message="not reached"),
)
ROOM: dict[str, tuple[set[str], set[str]]] = {
    "testsuites": ({"tests", "failures", "errors", "skipped", "time"}, {"testsuite"}),
    "testsuite": ({"name", "tests", "failures", "errors", "skipped", "time"}, {"testcase"}),
    "testcase": ({"classname", "name", "file", "line", "time"}, {"failure", "error", "skipped"}),
    "failure": ({"message"}, set()),
    "error": ({"message"}, set()),
    "skipped": ({"message"}, set()),
}
"""Element -> attributes and children that the readers of this format agree upon."""


def test_counts_and_places_are_those_of_the_cases() -> None:
    """Suite and whole count failures, errors and skipped ones apart; file, line and time stand at each case."""
    root = ET.fromstring(junit([("suite", CASES), ("empty", ())]))
    assert root.attrib == {"tests": "4", "failures": "1", "errors": "1", "skipped": "1", "time": "0.250"}
    first, empty = root
    assert first.attrib == {"name": "suite", **root.attrib}
    assert empty.attrib == {"name": "empty", "tests": "0", "failures": "0", "errors": "0", "skipped": "0", "time": "0.000"}
    assert first[0].attrib == {"classname": "suite.1 first", "name": "one", "file": "s.md", "line": "3", "time": "0.250"}
    assert [[child.tag for child in case] for case in first] == [[], ["failure"], ["error"], ["skipped"]]
    failure = first[1][0]
    assert (first[1].get("name"), failure.get("message"), failure.text) == (CASES[1].name, "saw <x>", "saw\n<x> ]]>")
    assert first[2][0].text == "a reply is missing"


TEXT = st.text(max_size=30)


@given(
    st.lists(
        st.builds(
            Case, name=TEXT, classname=TEXT, status=st.sampled_from(get_args(Status)), message=TEXT, detail=TEXT, file=TEXT
        ),
        max_size=4,
    )
)
def test_whatever_a_case_says_the_xml_is_whole(cases: list[Case]) -> None:
    """Any text gives XML that parses, in the form that its readers know, and says the same, made visible."""
    root = ET.fromstring(junit([("s", cases)]))
    for element in root.iter():
        attributes, children = ROOM[element.tag]
        assert set(element.attrib) <= attributes
        assert {child.tag for child in element} <= children
    assert [case.get("name") for case in root.iter("testcase")] == [visible(case.name) for case in cases]
    texts = [element.text or "" for element in root.iter() if element.tag in ("failure", "error", "skipped")]
    assert texts == [visible(case.detail or case.message) for case in cases if case.status != "passed"]
