"""Every row of the behaviour has a test that names it, and the page of rows tells which."""

from __future__ import annotations

import rows


def test_every_row_has_a_test() -> None:
    """No row is without a test whose docstring names it."""
    missing = [row for row, tests in rows.named().items() if not tests]
    assert not missing, f"name these rows in the docstrings of the tests that show them: {', '.join(missing)}"


def test_the_page_of_rows_is_up_to_date() -> None:
    """docs/rows.md lists what the tests' docstrings name."""
    _, mark, listed = rows.PAGE.read_text(encoding="utf-8").partition(rows.MARK)
    assert mark
    assert listed == rows.table(rows.named()), "run: python tests/support/rows.py"
