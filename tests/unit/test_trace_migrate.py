"""A trace of an older format is brought up to this one, step by step, or refused with the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from frameengine.errors import StorageError, TraceError, TraceFormat, TraceIncomplete, TraceIntegrity, TraceVersion, UsageError
from frameengine.trace.compressed import compress
from frameengine.trace.format import FORMAT, seal_wire
from frameengine.trace.migrate import MIGRATIONS, Lines, migrate
from frameengine.trace.reader import TraceReader
from frameengine.trace.source import zstd
from frameengine.trace.verify import verify
from sample_traces import bodies_of, body_of, forged, lines_of, record


def from_zero(lines: Lines) -> Lines:
    """Turn a made-up format 0, in which frames are called steps and inputs have no type, into format 1."""
    for line in lines:
        if line["kind"] == "step":
            yield {**line, "kind": "frame"}
        elif line["kind"] == "input":
            yield {"kind": "input", "number": line["number"], "type": "UserMessage", "data": line["data"], "at": line["at"]}
        else:
            yield line


def from_before_zero(lines: Lines) -> Lines:
    """Turn a made-up format -1, in which nothing but the header differs, into format 0."""
    header = next(lines)
    yield {name: value for name, value in header.items() if name != "old"}
    yield from lines


PLANTED = {0: from_zero, -1: from_before_zero}


def sealed(lines: list[dict[str, Any]]) -> bytes:
    """Return a file of these lines and a seal that fits."""
    bodies = [body_of(line) for line in lines]
    seal = seal_wire(inputs=0, frames=0, calls=0, lines=len(bodies) + 1, head=forged(bodies)[-67:-3])
    return forged([*bodies, body_of(seal)])


@pytest.fixture
def current(tmp_path: Path) -> Path:
    """Return a trace of this format."""
    return record(tmp_path / "current", messages=2)


def zero_of(path: Path, number: int = 0) -> bytes:
    """Return a trace as format 0, or -1, would have had it."""
    lines = lines_of(path)[:-1]
    lines[0] = {**lines[0], "format": number, **({"old": True} if number < 0 else {})}
    for line in lines:
        if line["kind"] == "frame":
            line["kind"] = "step"
        if line["kind"] == "input":
            del line["type"]
    return sealed(lines)


@pytest.mark.parametrize(("number", "steps"), [(0, (0,)), (-1, (-1, 0))])
def test_a_planted_older_format_is_migrated(tmp_path: Path, current: Path, number: int, steps: tuple[int, ...]) -> None:
    """Every migration from its format on runs in order, and the result is the trace that this version would have written."""
    old = tmp_path / "old"
    old.write_bytes(zero_of(current, number))
    report = migrate(old, tmp_path / "new", migrations=PLANTED)
    assert report.steps == steps
    receipt, expected = verify(tmp_path / "new"), verify(current)
    assert receipt.canonical == expected.canonical
    assert receipt.counts == report.counts == expected.counts
    assert receipt.lines == report.lines == expected.lines
    assert (tmp_path / "new").read_bytes() == current.read_bytes()


def test_a_compressed_trace_is_migrated(tmp_path: Path, current: Path) -> None:
    """Migration reads what the reader reads."""
    module = zstd(current)
    (tmp_path / "old.zst").write_bytes(module.compress(zero_of(current)))
    migrate(tmp_path / "old.zst", tmp_path / "new", migrations=PLANTED)
    assert verify(tmp_path / "new").canonical == verify(current).canonical
    compress(tmp_path / "new", tmp_path / "new.zst")


def test_there_is_nothing_to_migrate_from_yet() -> None:
    """Format 1 is the first; each later one comes with the migration from the one before."""
    assert sorted(MIGRATIONS) == list(range(1, FORMAT))


def test_this_format_is_not_migrated(tmp_path: Path, current: Path) -> None:
    """A trace of this format is refused as it needs nothing."""
    with pytest.raises(UsageError, match="nothing to migrate"):
        migrate(current, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("found", "hint"),
    [(2, "newer frameengine"), (10**15, "newer frameengine"), (0, "version that wrote it"), (-(10**15), "wrote it")],
)
def test_a_format_without_a_way_is_refused(tmp_path: Path, current: Path, found: int, hint: str) -> None:
    """A newer or a forgotten format names the number, those that can be migrated, and what to install instead."""
    old = tmp_path / "old"
    old.write_bytes(current.read_bytes().replace(b'"format":1', b'"format":%d' % found, 1))
    for migrations in (MIGRATIONS, {-7: from_zero}):
        with pytest.raises(TraceVersion) as caught:
            migrate(old, tmp_path / "new", migrations=migrations)
        assert hint in caught.value.hint
        assert caught.value.fields["found"] == found
        assert caught.value.fields["supported"] == [*migrations, FORMAT]
    assert not (tmp_path / "new").exists()


def test_damage_in_an_older_trace_is_found(tmp_path: Path, current: Path) -> None:
    """Nothing is migrated that was changed, cut, added to or never sealed."""
    data = zero_of(current)
    lines = data.split(b"\n")
    place = len(data) // 2
    bad = {
        "bit": (data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :], TraceError),
        "torn": (data[:-20], TraceError),
        "no seal": (b"\n".join([*lines[:-2], b""]), TraceIncomplete),
        "no header": (b"\n".join(lines[1:]), TraceFormat),
        "more": (data + b"x", TraceIntegrity),
        "seal": (forged([*bodies_of(data)[:-1], bodies_of(data)[-1].replace(b'"lines":', b'"lines":1')]), TraceIntegrity),
        "binary": (b"\0\1\n" * 10, TraceFormat),
        "empty": (b"", TraceFormat),
        "list": (b"[]\n", TraceFormat),
    }
    for name, (damaged, kind) in bad.items():
        (tmp_path / "old").write_bytes(damaged)
        with pytest.raises(kind) as caught:
            migrate(tmp_path / "old", tmp_path / "new", migrations=PLANTED)
        assert caught.value.hint, name
        assert caught.value.fields["line"] >= 1, name
        assert not (tmp_path / "new").exists(), name


def test_a_wrong_migration_is_found(tmp_path: Path, current: Path) -> None:
    """A migration that gives lines which the reader refuses leaves no file behind."""
    (tmp_path / "old").write_bytes(zero_of(current))
    with pytest.raises(TraceFormat):
        migrate(tmp_path / "old", tmp_path / "new", migrations={0: from_before_zero})
    assert sorted(found.name for found in tmp_path.iterdir()) == ["current", "old"]


def test_the_target_is_left_alone(tmp_path: Path, current: Path) -> None:
    """An existing file is not written over, and a folder that is missing is named."""
    (tmp_path / "old").write_bytes(zero_of(current))
    with pytest.raises(UsageError, match="exists"):
        migrate(tmp_path / "old", current, migrations=PLANTED)
    with pytest.raises(StorageError):
        migrate(tmp_path / "old", tmp_path / "no folder" / "new", migrations=PLANTED)
    with TraceReader(current) as reader:
        assert len(list(reader.lines())) > 10
