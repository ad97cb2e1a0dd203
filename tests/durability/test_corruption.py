"""Whatever happens to the bytes of a sealed trace, it is noticed, in the line where it happened."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from frameengine.errors import TraceError, TraceIncomplete
from frameengine.trace.reader import TraceReader
from frameengine.trace.verify import verify
from frameengine.trace.writer import TraceWriter
from sample_traces import bodies_of, converse, forged, members, record

FLIPS = 2_000
OTHERS = 150
SEED = 20_240

Mutation = Callable[[random.Random, bytes, bytes], bytes]


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """Return the bytes of a sealed trace and of another run."""
    folder = tmp_path_factory.mktemp("traces")
    with TraceWriter(folder / "b", {**members(), "seed": 7}) as writer:
        for _ in converse(writer, 3):
            pass
        writer.seal()
    return record(folder / "a", messages=2).read_bytes(), (folder / "b").read_bytes()


def split(data: bytes) -> list[bytes]:
    """Return the lines of a file, newlines included, a torn last one too."""
    lines = [line + b"\n" for line in data.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def first_changed(data: bytes, changed: bytes) -> int:
    """Return the number of the first line that is not as it was."""
    before, after = split(data), split(changed)
    for number, (one, other) in enumerate(zip(before, after, strict=False), start=1):
        if one != other:
            return number
    return min(len(before), len(after)) + 1


def flip(chance: random.Random, data: bytes, _: bytes) -> bytes:
    """Flip a bit."""
    return flipped(data, chance.randrange(len(data) * 8))


def flipped(data: bytes, bit: int) -> bytes:
    """Flip this bit."""
    return data[: bit // 8] + bytes([data[bit // 8] ^ (1 << bit % 8)]) + data[bit // 8 + 1 :]


def insert(chance: random.Random, data: bytes, _: bytes) -> bytes:
    """Insert some bytes."""
    place = chance.randrange(len(data) + 1)
    return data[:place] + chance.randbytes(chance.randint(1, 5)) + data[place:]


def delete(chance: random.Random, data: bytes, _: bytes) -> bytes:
    """Delete some bytes."""
    place = chance.randrange(len(data))
    return data[:place] + data[place + chance.randint(1, 5) :]


def overwrite(chance: random.Random, data: bytes, _: bytes) -> bytes:
    """Put other bytes in the place of some."""
    place = chance.randrange(len(data) - 8)
    return data[:place] + chance.randbytes(8) + data[place + 8 :]


def swap_lines(chance: random.Random, data: bytes, _: bytes) -> bytes:
    """Let two lines change places."""
    lines = split(data)
    one, other = chance.sample(range(len(lines)), 2)
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def duplicate_line(chance: random.Random, data: bytes, _: bytes) -> bytes:
    """Write a line twice."""
    lines = split(data)
    place = chance.randrange(len(lines))
    return b"".join([*lines[: place + 1], *lines[place:]])


def drop_line(chance: random.Random, data: bytes, _: bytes) -> bytes:
    """Leave out a line."""
    lines = split(data)
    del lines[chance.randrange(len(lines))]
    return b"".join(lines)


def cut_at_line_end(chance: random.Random, data: bytes, _: bytes) -> bytes:
    """Cut the file between two lines."""
    lines = split(data)
    return b"".join(lines[: chance.randrange(len(lines))])


def cut(chance: random.Random, data: bytes, _: bytes) -> bytes:
    """Cut the file anywhere."""
    return data[: chance.randrange(len(data))]


def splice(chance: random.Random, data: bytes, other: bytes) -> bytes:
    """Go on with the lines of another run."""
    ours, theirs = split(data), split(other)
    place = chance.randrange(1, len(ours))
    return b"".join([*ours[:place], *theirs[chance.randrange(len(theirs)) :]])


def foreign_line(chance: random.Random, data: bytes, other: bytes) -> bytes:
    """Put a line of another run in the place of one."""
    ours, theirs = split(data), split(other)
    ours[chance.randrange(len(ours))] = chance.choice(theirs)
    return b"".join(ours)


def zero_block(chance: random.Random, data: bytes, _: bytes) -> bytes:
    """Zero a block of the disk."""
    block = chance.randrange(len(data) // 512 + 1) * 512
    size = min(512, len(data) - block)
    return data[:block] + b"\0" * size + data[block + size :]


def carriage_returns(chance: random.Random, data: bytes, _: bytes) -> bytes:
    """End some or all lines as other systems do."""
    lines = split(data)
    start = chance.randrange(len(lines))
    return b"".join([*lines[:start], *[line[:-1] + b"\r\n" for line in lines[start:]]])


def byte_order_mark(chance: random.Random, data: bytes, _: bytes) -> bytes:
    """Start a line with a byte order mark."""
    lines = split(data)
    place = chance.choice([0, chance.randrange(len(lines))])
    lines[place] = b"\xef\xbb\xbf" + lines[place]
    return b"".join(lines)


def trailing_bytes(chance: random.Random, data: bytes, other: bytes) -> bytes:
    """Add something at the end."""
    return data + chance.choice([b"\n", b" ", b"\0" * 100, b"{}\n", other, data, chance.randbytes(9), split(data)[-1]])


def another_encoding(chance: random.Random, data: bytes, _: bytes) -> bytes:
    """Save the file, from some line on, as another tool would write the same JSON."""
    lines = split(data)
    place = chance.randrange(len(lines))
    again = json.dumps(json.loads(lines[place]), ensure_ascii=chance.random() < 0.5).encode() + b"\n"
    return b"".join([*lines[:place], again, *lines[place + 1 :]])


OTHER_MUTATIONS = [
    insert,
    delete,
    overwrite,
    swap_lines,
    duplicate_line,
    drop_line,
    cut_at_line_end,
    cut,
    splice,
    foreign_line,
    zero_block,
    carriage_returns,
    byte_order_mark,
    trailing_bytes,
    another_encoding,
]


def samples(mutation: Mutation, count: int, traces: tuple[bytes, bytes]) -> Iterator[bytes]:
    """Yield changed files; those that came out unchanged are drawn again."""
    chance = random.Random(f"{SEED} {mutation.__name__}")
    yielded = 0
    while yielded < count:
        changed = mutation(chance, *traces)
        if changed != traces[0]:
            yielded += 1
            yield changed


def detected(path: Path, data: bytes, changed: bytes) -> None:
    """Check that a changed file is refused, in the right line, and that what is given out before is what was written."""
    path.write_bytes(changed)
    with pytest.raises(TraceError) as caught:
        verify(path)
    error = caught.value
    expected = first_changed(data, changed)
    assert error.exit_code == 3
    assert error.hint
    assert error.fields["line"] == expected, error
    kept = prefix(path)
    assert kept == [
        line for line in split(data)[: expected - 1] if not line.startswith((b'{"kind":"content"', b'{"kind":"seal"'))
    ]


def prefix(path: Path) -> list[bytes]:
    """Return the lines that a reader of damaged files gives out."""
    try:
        with TraceReader(path, damaged=True) as reader:
            kept = [reader.header_line.raw, *[line.raw for line in reader.lines()]]
            assert reader.problem is not None
            assert not reader.sealed
            return kept
    except TraceError:
        return []


def test_flipped_bits_are_detected(tmp_path: Path, traces: tuple[bytes, bytes]) -> None:
    """Two thousand single flipped bits of a sealed trace are all noticed in their line."""
    assert len(traces[0]) >= 3_072
    for changed in samples(flip, FLIPS, traces):
        detected(tmp_path / "a", traces[0], changed)


@pytest.mark.nightly
def test_every_flipped_bit_is_detected(tmp_path: Path, traces: tuple[bytes, bytes]) -> None:
    """Every single bit of a sealed trace matters."""
    for bit in range(len(traces[0]) * 8):
        detected(tmp_path / "a", traces[0], flipped(traces[0], bit))


@pytest.mark.parametrize("mutation", OTHER_MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_other_changes_are_detected(tmp_path: Path, traces: tuple[bytes, bytes], mutation: Mutation) -> None:
    """Every other kind of damage to a sealed trace is noticed in its line."""
    for changed in samples(mutation, OTHERS, traces):
        detected(tmp_path / "a", traces[0], changed)


@pytest.mark.nightly
@pytest.mark.parametrize("mutation", OTHER_MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_a_thousand_other_changes_are_detected(tmp_path: Path, traces: tuple[bytes, bytes], mutation: Mutation) -> None:
    """A thousand of each kind of damage are noticed as well."""
    for changed in samples(mutation, 1_000, traces):
        detected(tmp_path / "a", traces[0], changed)


@pytest.mark.parametrize("mutation", [flip, *OTHER_MUTATIONS], ids=lambda mutation: mutation.__name__)
def test_an_unsealed_trace_loses_its_torn_line_only(tmp_path: Path, traces: tuple[bytes, bytes], mutation: Mutation) -> None:
    """Of a trace without a seal nothing changed is given out; where only its last line is torn, it is called incomplete."""
    path = tmp_path / "a"
    data = b"".join(split(traces[0])[:-1])
    for changed in samples(mutation, 100, (data, traces[1])):
        path.write_bytes(changed)
        with pytest.raises(TraceError) as caught:
            verify(path)
        good = first_changed(data, changed) - 1
        kept = prefix(path)
        assert kept == [line for line in split(data)[:good] if not line.startswith(b'{"kind":"content"')]
        if data.startswith(changed) and changed:
            assert type(caught.value) is TraceIncomplete
            torn = changed[changed.rfind(b"\n") + 1 :]
            assert ("torn" in caught.value.message) == bool(torn)
            assert caught.value.fields["offset"] == len(changed) - len(torn)


def test_a_reader_that_does_not_check_would_be_found() -> None:
    """These changes are not trivial: one who only parses the lines and counts on the seal misses many of them."""
    chance = random.Random(SEED)
    data = forged([b'{"kind":"header","text":"some text that may change"'] * 20)
    missed = 0
    for _ in range(300):
        try:
            lines = [json.loads(line) for line in flip(chance, data, b"").split(b"\n")[:-1]]
        except ValueError:
            continue
        missed += len(lines) == 20
    assert missed > 50


def test_a_chain_that_was_forged_is_not_noticed(tmp_path: Path, traces: tuple[bytes, bytes]) -> None:
    """Who knows the format can change a figure that no record tells of and chain every line anew. A chain is no signature."""
    bodies = [body.replace(b'"ms":1.5', b'"ms":9.5') for body in bodies_of(traces[0])]
    assert bodies != bodies_of(traces[0])
    data = forged(bodies)
    head = split(data)[-2][-67:-3]
    bodies[-1] = bodies[-1][: bodies[-1].index(b'"head":')] + b'"head":"' + head + b'"'
    (tmp_path / "a").write_bytes(forged(bodies))
    assert verify(tmp_path / "a").counts.inputs == 2
