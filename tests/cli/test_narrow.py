"""Narrow terminals: nothing is cut that something else is found by, and lines break between words."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli_runs import JACKET, WEATHER, Record
from pseudo_terminal import Terminal

COLUMNS = 40


def shown(cwd: Path, *arguments: str) -> list[str]:
    """Return the lines that a command shows on a narrow terminal."""
    with Terminal(*arguments, cwd=cwd, columns=COLUMNS) as terminal:
        terminal.end()
        return terminal.shown.split("\n")


@pytest.fixture
def two(record: Record) -> tuple[Path, Path]:
    """Return two traces of twelve messages, which differ in their last."""
    many = [JACKET] * 11
    return record("left", *many, WEATHER), record("right", *many, ("Which weather?", ["None."]))


def test_tables_keep_their_numbers_and_all_words(two: tuple[Path, Path], tmp_path: Path) -> None:
    """The rows of a run, of a comparison and of a matrix begin with their whole numbers, and no cell ends in an ellipsis."""
    left, right = map(str, two)
    for arguments in (("show", left), ("rerun", "--matrix", left, left)):
        lines = shown(tmp_path, *arguments)
        numbers = [line.split()[0] for line in lines if line[:2].strip().isdecimal()]
        assert numbers == [str(number) for number in range(1, 13)], arguments
        assert "…" not in "".join(lines)
    table = shown(tmp_path, "diff", left, right)
    begins = next(index for index, line in enumerate(table) if "path" in line and "calls" in line)
    assert [line.split()[0] for line in table[begins:] if line[:2].strip().isdecimal()] == ["12"]


def test_what_is_said_on_stderr_breaks_between_words_and_commands_stay_whole(tmp_path: Path) -> None:
    """A message that is too long goes on in an indented line; a hint with a command in it can be copied as it stands."""
    lines = shown(tmp_path, "replay", "--exec", "x.trace.jsonl")
    assert lines == [
        "error: --exec answers an agent, and no",
        "  command starts one",
        "  try: the command goes behind '--': frameengine replay --exec x.trace.jsonl -- python agent.py",
        "",
    ]
