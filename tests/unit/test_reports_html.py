"""The page of a comparison: it says what was found, and nothing from outside becomes markup of it."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from frameengine.diff.compare import compare
from frameengine.diff.result import TraceDiff
from frameengine.plaintext import is_visible, visible
from frameengine.reports.html import RECORDS, html
from frameengine.reports.page import STYLE, Markup, element, page, text
from payloads import PAYLOADS, poisoned
from report_pages import KEPT, Reader, sample
from sample_traces import record

OUTSIDE_CHARS = st.characters(exclude_categories=["Cs"])


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> TraceDiff:
    """Return the comparison of two small traces: an answer, what follows from it, and a record that is gone."""
    return sample(tmp_path_factory.mktemp("traces"))


def test_a_page_says_what_was_found(found: TraceDiff) -> None:
    """Place, cause, both sides, the table of messages, what else differs and what follows stand on the page, as reviewed."""
    read = Reader(html(found))
    assert read.problems == []
    assert read.lines == KEPT.joinpath("diff.txt").read_text(encoding="utf-8")


def test_equal_comparisons_give_equal_pages(found: TraceDiff) -> None:
    """Nothing of the moment stands on a page: not the time, not an id."""
    assert html(found) == html(evolve(found))


def test_traces_that_are_the_same_have_a_page_too(tmp_path: Path) -> None:
    """A page of no difference says so, and how much was compared."""
    path = record(tmp_path / "a.trace.jsonl")
    read = Reader(html(compare(path, path)))
    assert read.problems == []
    assert "same" in read.texts
    assert "3 messages, frame by frame" in read.texts


def test_the_policy_lets_nothing_in_but_the_style_sheet(found: TraceDiff) -> None:
    """The policy refuses everything, and names the one style sheet by the hash of what stands there."""
    document = html(found)
    digest = b64encode(sha256(Reader(document).style.encode()).digest()).decode()
    assert Reader(document).style == STYLE
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', document)
    assert policy is not None
    told = policy[1].replace("&#x27;", "'")
    assert told == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert document.index(policy[0]) < document.index("<title>")
    assert "url(" not in STYLE
    assert "@import" not in STYLE


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_nothing_from_outside_is_markup(payload: str) -> None:
    """Whatever stands in every field of a comparison is text of the page, visible and whole, and no element or attribute."""
    document = html(poisoned(payload), facts=(payload, payload))
    read = Reader(document)
    assert read.problems == []
    assert read.text.count(visible(payload)) > 60
    assert all(is_visible(char) for char in document)


@settings(max_examples=30)
@given(st.text(OUTSIDE_CHARS, max_size=60))
def test_no_text_at_all_is_markup(outside: str) -> None:
    """A page has the same elements whatever the text in it is."""
    read = Reader(html(poisoned(outside)))
    assert read.problems == []


def test_markup_that_gets_through_is_noticed() -> None:
    """The reader of these tests finds an element, an attribute, an address and a comment that do not belong."""
    for planted in ("<script>x</script>", "<img src=x>", "<p onclick=x>y</p>", "<!-- x -->", "</div>", '<a href="x">y</a>'):
        assert Reader(page("x", Markup(planted))).problems
    assert Reader(page("x", element("p", "<script>x</script>"))).problems == []
    assert text("<b>") == "&lt;b&gt;"


def test_a_page_is_bounded(found: TraceDiff) -> None:
    """Of thousands of records the first are on the page, and the number of the others."""
    assert found.first is not None
    base = found.changes[0]
    spots = [evolve(base.spot, frame=frame) for frame in range(1, 3 * RECORDS)]
    many = [evolve(base, left=spot, right=spot, fields=(evolve(base.fields[0], left=spot.frame),)) for spot in spots]
    for changes in (many, [many[0], *[evolve(change, follows=True) for change in many[1:]]]):
        document = html(evolve(found, changes=tuple(changes)))
        assert document.count("<details") < RECORDS + 10
        assert re.search(r"… and [\d,]+ more", document)
        assert len(document) < 1_000_000


def test_white_space_that_is_all_of_a_difference_can_be_seen(found: TraceDiff) -> None:
    """A line feed or tab that was added is shown by a sign."""
    base = found.changes[0]
    field = evolve(base.fields[0], left="a b", right="a\n\tb")
    document = html(evolve(found, changes=(evolve(base, fields=(field,)),)))
    assert "<ins>⏎\n⇥\t</ins>" in document


def test_the_first_line_feed_of_a_text_is_kept(found: TraceDiff) -> None:
    """A text that begins with a line feed does so on the page: the one that a browser drops is not the text's."""
    base = found.changes[0]
    field = evolve(base.fields[0], left="\nsame words", right="\nsame word")
    document = html(evolve(found, changes=(evolve(base, fields=(field,)),)))
    assert "<pre>\n\nsame " in document
