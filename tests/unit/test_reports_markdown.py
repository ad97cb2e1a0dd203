"""Comments on a pull request: bounded, whole, and nothing from outside is markup of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from frameengine.diff.compare import compare
from frameengine.diff.result import TraceDiff
from frameengine.plaintext import is_visible, visible_line
from frameengine.replay.divergence import Divergence
from frameengine.reports.markdown import BYTES_MAX, code, fenced, markdown, of_divergence
from payloads import PAYLOADS, filled, poisoned
from report_pages import sample
from sample_traces import record

OUR_HTML = re.compile(r"(<details><summary><code>[^<>]*</code>[\w ,]*</summary>|</details>)\s*")
MARKUP = (
    "[x](http://evil.invalid)",
    "![x](http://evil.invalid/y.png)",
    "<http://evil.invalid>",
    "http://evil.invalid/autolink",
    "@someone #1 org/repo#2",
    "`` ` ``` ````` ~~~",
    "```\n</details>\n# x",
    "~~~\n<script>",
    "| a | b |\n|---|---|",
    "x\n\n# heading\n\n- item",
    "\\` \\\\ &lt;img&gt;",
    "[x]: http://evil.invalid 'y'",
    "</code></summary><img src=x>",
    "**bold** __bold__ ~~x~~ $x$",
    "- [ ] task",
    "{+x+} [-y-]",
    ":tada: <!-- x -->",
)
OUTSIDE = ("evil.invalid", "alert(1)", "@someone", "#1")
OUTSIDE_CHARS = st.characters(exclude_categories=["Cs"])


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> TraceDiff:
    """Return a small comparison that has every part."""
    return sample(tmp_path_factory.mktemp("traces"))


def tokens(document: str) -> list[Token]:
    """Return what an independent parser makes of a document, inline parts included."""
    parsed = MarkdownIt("commonmark", {"html": True}).enable("table").parse(document)
    return [*parsed, *[child for token in parsed for child in token.children or ()]]


def check(document: str) -> None:
    """Hold a document against what may stand in it: no link, no picture, no HTML but ours, outside text in code alone."""
    folds = [0, 0]
    for token in tokens(document):
        assert token.type not in ("link_open", "image", "html_inline", "hr", "blockquote_open", "bullet_list_open"), token
        if token.type == "html_block":
            assert all(OUR_HTML.fullmatch(line) for line in token.content.split("\n") if line.strip()), token.content
            folds = [folds[0] + token.content.count("<details>"), folds[1] + token.content.count("</details>")]
        if token.type == "text":
            assert not any(outside in token.content for outside in OUTSIDE), token.content
        if token.type == "heading_open":
            assert token.tag == "h3"
    assert folds[0] == folds[1]
    assert all(is_visible(char) for char in document)


@pytest.mark.parametrize("payload", [*PAYLOADS[::2], *MARKUP], ids=range(len(PAYLOADS[::2]) + len(MARKUP)))
def test_nothing_from_outside_is_markup(payload: str) -> None:
    """Whatever stands in every field, an independent parser finds it in code alone."""
    check(markdown(poisoned(payload)))
    check(of_divergence(filled(Divergence, payload), payload))


@settings(max_examples=100)
@given(st.text(OUTSIDE_CHARS, max_size=40))
def test_inline_code_ends_where_it_should(outside: str) -> None:
    """Any text is one piece of inline code, and one block of fenced code, whatever backticks and lines it holds."""
    inline = [token for token in tokens(f"a {code(outside)} b") if token.type in ("text", "code_inline")]
    assert [token.type for token in inline] == ["text", "code_inline", "text"]
    assert inline[1].content.strip() == visible_line(outside).replace("|", "¦").strip()
    blocks = [token.type for token in MarkdownIt("commonmark").parse(f"a\n\n{fenced([outside])}\n\nb")]
    assert blocks == ["paragraph_open", "inline", "paragraph_close", "fence", "paragraph_open", "inline", "paragraph_close"]


def test_a_comment_says_what_was_found(found: TraceDiff) -> None:
    """Place, cause, both sides, what was left out and the messages stand open; the other records are folded."""
    told = markdown(found)
    open_part, _, folded = told.partition("<details>")
    for part in ("### ❌ differs at `1.1 model`", "**cause** model reply", "```diff\n- [-1-]\n+ {+7+}\n```", "old.trace.jsonl"):
        assert part in open_part
    assert "1 difference left out: 1 at /figures/frames" in open_part
    assert "| 3 | `tools` | `4 → 3` | `3` | `done` | 2 |" in re.sub(r" +\|", " |", open_part)
    assert "<code>2.2 tools</code> changed, differs by itself" in folded or "<code>2.2 tools</code>" in told
    assert told.count("<details>") == 3
    check(told)


def test_traces_that_are_the_same_are_told(tmp_path: Path) -> None:
    """A comment on no difference says so and has nothing to unfold."""
    path = record(tmp_path / "a.trace.jsonl")
    told = markdown(compare(path, path))
    assert told.startswith("### ✅ same\n")
    assert "<details>" not in told


def test_a_comment_is_bounded(found: TraceDiff) -> None:
    """However much differs, a comment fits, ends with a whole part, and counts what has no room."""
    text = "wörter " * 20
    base = found.changes[0]
    many = [
        evolve(
            base,
            left=evolve(base.spot, frame=frame),
            right=evolve(base.spot, frame=frame),
            fields=tuple([evolve(base.fields[0], pointer=f"/{text}{n}", left=f"{text} {n} {frame}") for n in range(2)]),
        )
        for frame in range(1, 400)
    ]
    told = markdown(evolve(found, changes=tuple(many)))
    assert BYTES_MAX - 10_000 < len(told.encode()) <= BYTES_MAX
    left = re.search(r"… ([\d,]+) more parts have no room here", told)
    assert left is not None
    assert int(left[1].replace(",", "")) + told.count("<details>") == 398
    check(told)


@pytest.mark.parametrize("limit", [300, 1_000, 5_000])
def test_even_a_small_bound_holds(limit: int) -> None:
    """A bound that has no room for the first difference is kept all the same."""
    told = markdown(poisoned("x" * 5_000), limit=limit)
    assert len(told.encode()) <= limit
    assert "more parts have no room here" in told


def test_a_huge_text_takes_no_time() -> None:
    """Tens of thousands of backticks, brackets and stars are cut before they are looked at twice."""
    for sign in ("`", "[", "*", "<"):
        check(markdown(poisoned(sign * 30_000)))
