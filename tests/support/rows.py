"""Rows of the behaviour that is built, and the tests whose docstrings name them.

Usage: python tests/support/rows.py     writes docs/rows.md anew
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "rows.md"
SHOWN = 3
"""Tests that are listed for one row."""
MARK = "<!-- what follows is written by tests/support/rows.py -->\n"
_ROW = re.compile(r"\b[CWN]\d{2,3}\b")


def _numbers(letter: str, *spans: tuple[int, int]) -> list[str]:
    return [f"{letter}{number:02}" for first, last in spans for number in range(first, last + 1)]


ROWS = [
    *_numbers("C", (1, 93), (122, 124), (126, 126), (128, 129)),
    *_numbers("W", (1, 16), (22, 22), (25, 30), (33, 40), (54, 59), (62, 63)),
    *_numbers("N", (1, 24)),
]
"""Every row that must have a test."""


def named() -> dict[str, list[str]]:
    """Return row -> tests that name it in their docstring, as ``path::test``, in order of path and line."""
    found: dict[str, list[str]] = {row: [] for row in ROWS}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name, docstring in _tests(ast.parse(path.read_text(encoding="utf-8"))):
            for row in dict.fromkeys(_ROW.findall(docstring)):
                if row in found:
                    found[row].append(f"{path.relative_to(ROOT)}::{name}")
    return found


def _tests(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name, ast.get_docstring(node) or ""


def table(found: dict[str, list[str]]) -> str:
    """Return the table of all rows."""
    lines = ["| row | tests |", "|---|---|"]
    for row, tests in found.items():
        more = len(tests) - SHOWN
        listed = [f"`{test}`" for test in tests[:SHOWN]] + ([f"and {more} more"] if more > 0 else [])
        lines.append(f"| {row} | {'<br>'.join(listed)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the page anew."""
    head, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    PAGE.write_text(head + mark + table(named()), encoding="utf-8")


if __name__ == "__main__":
    main()
