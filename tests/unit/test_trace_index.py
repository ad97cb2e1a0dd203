"""Lines and contents of a trace, read again in any order."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from frameengine.errors import TraceIntegrity
from frameengine.inputs import UserMessage
from frameengine.jsonvalue import freeze
from frameengine.limits import TEXT_CHUNK
from frameengine.trace.compressed import compress
from frameengine.trace.index import TraceIndex
from frameengine.trace.reader import TraceReader
from frameengine.trace.stored import Stored, resolved, unresolved
from frameengine.trace.writer import TraceWriter
from sample_traces import bodies_of, forged, members, record, write_every_shape
from toy import bound, pass_on, random_run
from toy import record as record_toy


def indexed(path: Path) -> tuple[TraceIndex, list[tuple[int, bytes, bytes, Any]]]:
    """Read a trace once; return its index, and number, bytes, canonical form and members of each line."""
    index = TraceIndex(path)
    with TraceReader(path, note=index.note) as reader:
        lines = [(line.number - 1, line.raw, line.canonical(), line.data) for line in reader.lines()]
    index.settle()
    return index, lines


def check_all(index: TraceIndex, lines: list[tuple[int, bytes, bytes, Any]], seed: int = 0) -> None:
    """Read every line again, in a random order, and compare it with what it was."""
    shuffled = list(lines)
    Random(seed).shuffle(shuffled)
    for number, raw, form, data in shuffled:
        assert index.raw(number) == raw
        line = index.line(number)
        assert (line.number, line.data, line.canonical()) == (number + 1, data, form)


@pytest.mark.parametrize("seed", range(6))
def test_every_line_again(tmp_path: Path, seed: int) -> None:
    """Any line of a random run says the same when it is read again, whichever was read before."""
    random_run(tmp_path / "t", seed)
    check_all(*indexed(tmp_path / "t"), seed)


def test_every_shape_again(tmp_path: Path) -> None:
    """Lines of every kind and shape are read again, keys with ``$`` and long texts among them."""
    with TraceWriter(tmp_path / "t", members()) as writer:
        write_every_shape(writer)
        writer.seal()
    check_all(*indexed(tmp_path / "t"))


def test_nothing_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where contents are forgotten at once everything is fetched, lists that follow from long rows of lists included."""
    monkeypatch.setattr("frameengine.trace.stored.CONTENT_WINDOW_BYTES", 0)
    monkeypatch.setattr("frameengine.trace.stored.LISTS_REMEMBERED", 1)
    record(tmp_path / "t", 30)
    check_all(*indexed(tmp_path / "t"))


def test_a_text_in_pieces(tmp_path: Path) -> None:
    """A text that stands in several contents comes back in one."""
    record_toy(tmp_path / "t", bound({"node": pass_on}), ["ä" * (3 * TEXT_CHUNK + 7)])
    index, lines = indexed(tmp_path / "t")
    check_all(index, lines)
    assert index.line(lines[0][0]).input().body == UserMessage.of("ä" * (3 * TEXT_CHUNK + 7))


def test_a_compressed_trace(tmp_path: Path) -> None:
    """A packed trace is read from the middle as well, and no file is left behind."""
    random_run(tmp_path / "t", 1)
    compress(tmp_path / "t", tmp_path / "t.zst")
    before = sorted(tmp_path.iterdir())
    index, lines = indexed(tmp_path / "t.zst")
    assert index.compressed
    check_all(index, lines)
    assert sorted(tmp_path.iterdir()) == before
    assert index.changed(growing=False) == ""


def test_a_range_of_lines(tmp_path: Path) -> None:
    """A range gives its lines in order, contents left out."""
    record(tmp_path / "t", 2)
    index, lines = indexed(tmp_path / "t")
    assert [line.raw for line in index.lines(1, len(index) - 2)] == [raw for _, raw, _, _ in lines]


@pytest.mark.parametrize("where", ["content", "outcome", "frame"])
def test_a_line_that_was_changed(tmp_path: Path, where: str) -> None:
    """A byte that changes in a file while it is open is found when its line is read again, and named; others still read."""
    record(tmp_path / "t", 2)
    index, lines = indexed(tmp_path / "t")
    data = (tmp_path / "t").read_bytes()
    raws = data.splitlines(keepends=True)
    number = next(number for number, raw in enumerate(raws) if raw.startswith(b'{"kind":"%b"' % where.encode()))
    at = sum(map(len, raws[:number])) + len(raws[number]) // 2
    with (tmp_path / "t").open("r+b") as file:
        file.seek(at)
        file.write(b"~" if data[at : at + 1] != b"~" else b"!")
    with pytest.raises(TraceIntegrity, match=rf"line {number + 1} is no longer what it was") as caught:
        index.raw(number)
    assert caught.value.fields["line"] == number + 1
    assert index.raw(len(index) - 1) == raws[-1]
    assert lines


def test_a_line_whose_chain_was_changed_with_it(tmp_path: Path) -> None:
    """Lines that were written anew with a chain that holds are not those that were read."""
    record(tmp_path / "t", 2)
    index, _ = indexed(tmp_path / "t")
    record(tmp_path / "other", 2)
    text = (tmp_path / "other").read_bytes()
    bodies = [body.replace(b"customers", b"guests....") for body in bodies_of(text)]
    with (tmp_path / "t").open("r+b") as file:
        file.write(forged(bodies))
    with pytest.raises(TraceIntegrity):
        list(index.lines(0, len(index) - 1))


def test_what_was_done_to_the_file(tmp_path: Path) -> None:
    """A file that is cut, written over, replaced or removed shows; one that grows only where nobody may add to it."""
    path = tmp_path / "t"
    record(path, 1, seal=False)
    index = TraceIndex(path)
    with TraceReader(path, damaged=True, note=index.note) as reader:
        list(reader.lines())
    index.settle()
    changed = partial(index.changed, growing=True)
    assert changed() == ""
    data = path.read_bytes()
    path.write_bytes(data + b"more")
    assert changed() == ""
    assert index.changed(growing=False).startswith("it has ")
    path.write_bytes(data[:-9])
    assert changed().startswith("it has ")
    path.write_bytes(data)
    os.utime(path, ns=(1, 1))
    assert changed() == "it was written over"
    path.rename(tmp_path / "elsewhere")
    assert changed().startswith("it is gone")
    path.write_bytes(data)
    assert changed() == "another file stands in its place"


def test_values_held_as_in_a_file() -> None:
    """What is held as it stands in a file comes back with its keys, and nothing of a user's is taken for a reference."""
    value = freeze({"$c": 1, "a": [{"$$list": [1]}, "x" * 50, {"$join": [1, 2]}], "$": {}})
    held = unresolved(value)
    assert held["$$c"] == 1
    assert resolved(held, Stored(lambda _: (1, [], 0))) == value
    assert resolved(held, Stored(lambda _: (1, [], 0))).dollar


def test_lists_open_one_step(tmp_path: Path) -> None:
    """A content opens one step deep: a list to references, an object to its members, a text to itself."""
    values = ["x" * 50, {"role": "user", "content": {"$c": 1}}, {"$list": [2]}, {"$list": [[3, 0, 1], 2]}]
    stored = Stored(lambda _: (1, values, 100))
    assert stored.opened(4) == ({"$c": 2}, {"$c": 2})
    assert stored.opened(2) == {"role": "user", "content": {"$c": 1}}
    assert stored.opened(1) == "x" * 50
    assert stored.get(4) == ({"role": "user", "content": "x" * 50},) * 2
