"""The page of a comparison in a real browser: nothing runs, nothing is asked for, and it can be read at any width."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from chromium import Chromium, Visit, find
from documents import edited
from frameengine.diff.compare import compare
from frameengine.reports.html import html
from frameengine.reports.page import Markup, page
from payloads import PAYLOADS, poisoned
from sample_traces import record

CHUNK = 25
POLICY = "Content-Security-Policy"


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    """Return a browser, or skip where there is none."""
    program = find()
    if program is None:
        pytest.skip("no Chromium is installed, and FRAMEENGINE_CHROMIUM names none")
    with Chromium(program) as running:
        yield running


def visits(browser: Chromium, payload: str, folder: Path) -> list[Visit]:
    """Open the page of a comparison that holds *payload* everywhere: as it is, and without the policy that would stop it."""
    document = html(poisoned(payload), facts=(payload, payload))
    path = folder / "page.html"
    found = []
    for whole in (document, document.replace(POLICY, "X-Nothing", 1)):
        path.write_text(whole, encoding="utf-8")
        found.append(browser.open(path))
    return found


@pytest.mark.parametrize("start", range(0, len(PAYLOADS), CHUNK))
def test_nothing_runs_and_nothing_is_asked_for(browser: Chromium, tmp_path: Path, start: int) -> None:
    """With and without the policy, no script of a page is parsed and no request leaves, whatever stands in its fields."""
    for visit in visits(browser, "\n".join(PAYLOADS[start : start + CHUNK]), tmp_path):
        assert visit.quiet, visit


@pytest.mark.nightly
@pytest.mark.parametrize("number", range(len(PAYLOADS)))
def test_nothing_runs_for_each_by_itself(browser: Chromium, tmp_path: Path, number: int) -> None:
    """The same for each text alone, at the start and at the end of every field."""
    for visit in visits(browser, PAYLOADS[number], tmp_path):
        assert visit.quiet, visit


@pytest.mark.parametrize(
    ("planted", "seen"),
    [
        ("<script>alert(1)</script>", "dialogs"),
        ("<img src=x onerror=alert(1)>", "dialogs"),
        ("<svg onload=alert(1)>", "scripts"),
        ("<img src=http://evil.invalid/x>", "requests"),
        ("<style>body{background:url(http://evil.invalid/x)}</style>", "requests"),
        ("<meta http-equiv=refresh content=0;url=http://evil.invalid/x>", "requests"),
    ],
)
def test_a_page_that_does_something_is_noticed(browser: Chromium, tmp_path: Path, planted: str, seen: str) -> None:
    """What these tests look for is found where it is; and the policy alone stops a script that got in."""
    document = page("planted", Markup(planted))
    path = tmp_path / "page.html"
    path.write_text(document.replace(POLICY, "X-Nothing", 1), encoding="utf-8")
    assert getattr(browser.open(path), seen)
    path.write_text(document, encoding="utf-8")
    assert not browser.open(path).dialogs


@pytest.mark.parametrize("width", [400, 1600])
@pytest.mark.parametrize("dark", [False, True])
def test_a_page_fits_its_window(browser: Chromium, tmp_path: Path, width: int, dark: bool) -> None:
    """Nothing is wider than the window, the style sheet applies, and the two sides stand below or beside each other."""

    def edit(whole: Any) -> None:
        whole["messages"][0]["frames"][0][0]["output"] = {"type": "x", "text": "word " * 300 + "w" * 3000}

    one = record(tmp_path / "old.trace.jsonl")
    found = compare(one, edited(one, tmp_path / "new.trace.jsonl", edit))
    long = Path("deep/" * 60 + "x" * 400)
    path = tmp_path / "page.html"
    path.write_text(html(evolve(found, left=evolve(found.left, path=long))), encoding="utf-8")
    browser.open(path, width=width, dark=dark)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    boxes = browser.evaluate("[...document.querySelectorAll('.first .side')].slice(0, 2).map(e => e.getBoundingClientRect().top)")
    assert (boxes[0] == boxes[1]) == (width == 1600)
    ink, paper = [browser.evaluate(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor")]
    assert (ink, paper) == (("rgb(223, 227, 230)", "rgb(20, 23, 26)") if dark else ("rgb(29, 33, 38)", "rgb(251, 251, 249)"))
