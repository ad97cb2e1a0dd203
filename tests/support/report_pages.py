"""A page that is looked at: the comparison on it, a reader of its text, and pictures of it.

``python tests/support/report_pages.py`` takes the text and the pictures anew. Look at them before you keep them.
"""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import evolve

from chromium import Chromium, find
from documents import edited
from frameengine.diff.compare import compare
from frameengine.diff.result import TraceDiff
from frameengine.reports.html import html
from sample_traces import record

KEPT = Path(__file__).parents[1] / "unit" / "report_pages"
"""What was looked at and found good: the text of a page, and pictures of it."""
ELEMENTS = frozenset(
    "html head meta title style body main header h1 h2 div b p code span section dl dt dd small details summary pre del ins "
    "table tr th td footer".split()
)
ATTRIBUTES = {
    "html": {"lang"},
    "meta": {"charset", "name", "content", "http-equiv"},
    "details": {"class", "open"},
}
"""What an element may have besides a class."""
CLASSES = frozenset(
    "good bad quiet traces card first same facts field sides side scroll number body message more changed added removed renamed "
    "moved repeated".split()
)


class Reader(HTMLParser):
    """An independent reader of a page: its elements, and its text."""

    def __init__(self, document: str) -> None:
        super().__init__(convert_charrefs=True)
        self.problems: list[str] = []
        self.texts: list[str] = []
        self.style = ""
        self._open: list[str] = []
        self.feed(document)
        self.close()
        if self._open:
            self.problems.append(f"left open: {self._open}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Hold an element against the lists."""
        if tag not in ELEMENTS:
            self.problems.append(f"element {tag}")
        for name, value in attrs:
            if name not in ATTRIBUTES.get(tag, {"class"}):
                self.problems.append(f"attribute {name} of {tag}")
            if name == "class" and not CLASSES.issuperset((value or "").split()):
                self.problems.append(f"class {value}")
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the element that was opened last."""
        if not self._open or self._open.pop() != tag:
            self.problems.append(f"closes {tag}")

    def handle_data(self, data: str) -> None:
        """Take text."""
        if self._open and self._open[-1] == "style":
            self.style += data
        else:
            self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        """There is none."""
        self.problems.append(f"comment {data}")

    def handle_pi(self, data: str) -> None:
        """There is none."""
        self.problems.append(f"instruction {data}")

    def unknown_decl(self, data: str) -> None:
        """There is none."""
        self.problems.append(f"declaration {data}")

    @property
    def text(self) -> str:
        """All text, one piece after another."""
        return "".join(self.texts)

    @property
    def lines(self) -> str:
        """All text that is more than white space, each piece on a line of its own."""
        return "".join([f"{' '.join(each.split())}\n" for each in self.texts if each.strip()])


def sample(folder: Path) -> TraceDiff:
    """Return a comparison whose page is small and has every part."""

    def edit(whole: Any) -> None:
        first, second, third = whole["messages"]
        call = first["frames"][0][0]["calls"][0]
        call["outcome"]["value"]["usage"] = {"total_tokens": 7}
        second["frames"][1][0]["calls"][0]["outcome"]["value"]["content"]["rows"][0][1] = "Basel"
        del third["frames"][-1]

    one = record(folder / "old.trace.jsonl")
    found = compare(one, edited(one, folder / "new.trace.jsonl", edit), ignore=["/figures/frames"])
    return evolve(
        found,
        left=evolve(found.left, path=Path("old.trace.jsonl")),
        right=evolve(found.right, path=Path("new.trace.jsonl")),
    )


def keep() -> None:
    """Write the text of the page, and pictures of it: narrow and dark, wide and light."""
    program = find()
    if program is None:
        raise SystemExit("no Chromium is installed, and FRAMEENGINE_CHROMIUM names none")
    with TemporaryDirectory() as folder, Chromium(program) as browser:
        path = Path(folder, "page.html")
        path.write_text(html(sample(Path(folder))), encoding="utf-8")
        KEPT.joinpath("diff.txt").write_text(Reader(path.read_text(encoding="utf-8")).lines, encoding="utf-8")
        for width, dark in ((400, True), (1600, False)):
            browser.open(path, width=width, dark=dark)
            browser.picture(KEPT / f"diff-{width}-{'dark' if dark else 'light'}.png")


if __name__ == "__main__":
    keep()
