"""Whatever is fed to the reader, it says in one message what is wrong, where, and what to do; nothing else ever comes out."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from io import BufferedReader, BytesIO, RawIOBase
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameengine.codec import dumps, loads
from frameengine.errors import TraceError, TraceFormat, TraceIncomplete, TraceIntegrity, TraceNotFound, TraceVersion
from frameengine.limits import DEPTH_MAX, KEYS_MAX, LINE_BYTES_MAX
from frameengine.trace import reader as module
from frameengine.trace.contents import ITEMS_MAX
from frameengine.trace.format import CHAIN_BYTES, GENESIS, seal_wire
from frameengine.trace.numbering import LIST_ITEMS_MAX
from frameengine.trace.reader import TraceReader, read_header
from frameengine.trace.verify import verify
from sample_traces import bodies_of, body_of, forged, record


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the bytes of a sealed trace."""
    return record(tmp_path_factory.mktemp("good") / "a.trace.jsonl", messages=2).read_bytes()


def read_all(path: Path) -> int:
    """Read a file to its end, every member of every line; return the number of lines."""
    count = 0
    with TraceReader(path) as reader:
        for line in reader.lines():
            _ = line.data, line.meta, line.canonical()
            if line.kind == "outcome":
                line.key()
                line.outcome()
            elif line.kind == "input":
                line.input()
            count += 1
    return count


def refusal(path: Path) -> TraceError:
    """Return the error of reading *path*, which must be a good one."""
    with pytest.raises(TraceError) as caught:
        read_all(path)
    error = caught.value
    assert error.exit_code == 3
    assert error.hint
    assert "\n" not in error.message
    assert len(error.message) < 1_000
    assert error.fields["path"] == str(path)
    return error


def refused(tmp_path: Path, data: bytes) -> TraceError:
    """Return the error of reading these bytes."""
    path = tmp_path / "bad.trace.jsonl"
    path.write_bytes(data)
    return refusal(path)


HEADER = b'{"kind":"header","format":1'
NOT_TRACES = {
    "empty": (b"", "empty"),
    "one newline": (b"\n", "line 1"),
    "binary": (bytes(range(256)) * 20 + b"\n", "line 1"),
    "zero bytes": (b"\0" * 5_000 + b"\n", "zero bytes"),
    "text": (b"hello\nworld\n", "line 1"),
    "not UTF-8": (b'{"kind":"header","format":1,"x":"\xff\xfe"}\n', "line 1"),
    "byte order mark": (b"\xef\xbb\xbf" + HEADER + b"}\n", "byte order mark"),
    "CRLF": (HEADER + b"}\r\n", "CR LF"),
    "an array": (b"[1,2]\n", "line 1"),
    "a number": (b"1\n", "line 1"),
    "null": (b"null\n", "line 1"),
    "no chain": (HEADER + b"}\n", "chain"),
    "kind is a list": (forged([b'{"kind":[]']), "line 1"),
    "unknown kind": (forged([b'{"kind":"footer"']), "line 1"),
    "an endless line": (b"x" * (2 * LINE_BYTES_MAX), "longer than"),
    "deep brackets": (b"[" * 1_000_000 + b"\n", "line 1"),
    "no header": (
        forged([b'{"kind":"trace","input":1,"path":"","total_frames":0,"frames":0,"calls":0,"status":"done"']),
        "header",
    ),
    "header without a format": (forged([b'{"kind":"header"']), "format"),
    "header with a format that is a text": (forged([b'{"kind":"header","format":"1"']), "format"),
    "header with a format that is true": (forged([b'{"kind":"header","format":true']), "format"),
}


@pytest.mark.parametrize("name", NOT_TRACES)
def test_what_is_no_trace_is_refused(tmp_path: Path, name: str) -> None:
    """A file of another kind is refused in its first line."""
    data, said = NOT_TRACES[name]
    error = refused(tmp_path, data)
    assert said in error.message
    assert error.fields["line"] == 1


def test_other_things_than_files_are_refused(tmp_path: Path) -> None:
    """A missing file, a folder, a pipe, a socket, a device and impossible names are refused at once, without blocking."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "socket"))
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    names = [
        tmp_path / "missing",
        tmp_path,
        pipe,
        tmp_path / "socket",
        loop,
        tmp_path / ("x" * 300),
        Path("/dev/null"),
        Path("/dev/zero"),
    ]
    for path in [*names, tmp_path / "a\0b", tmp_path / "pipe" / "below"]:
        error = refusal(path)
        assert type(error) is TraceNotFound
        assert "check" in error.hint or "name" in error.hint


def test_the_suffix_does_not_matter(tmp_path: Path, good: bytes) -> None:
    """A trace is known by its bytes: it is read under any name."""
    path = tmp_path / "notes.txt"
    path.write_bytes(good)
    assert read_all(path) > 10
    assert read_header(path)["clock"] == "virtual"


def test_a_link_to_a_trace_is_read(tmp_path: Path, good: bytes) -> None:
    """Reading follows links."""
    (tmp_path / "a").write_bytes(good)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert read_all(tmp_path / "b") > 10


def test_a_trace_cut_at_any_byte_keeps_its_whole_lines(tmp_path: Path, good: bytes) -> None:
    """Cut anywhere, a trace is incomplete, names the byte from which it is torn, and still gives every whole line."""
    path = tmp_path / "a.trace.jsonl"
    ends = [index + 1 for index, byte in enumerate(good) if byte == 10]
    step = 7
    for cut in [
        *range(1, len(good), step),
        *[end + shift for end in ends for shift in (-1, 0, 1) if 0 < end + shift < len(good)],
    ]:
        path.write_bytes(good[:cut])
        whole = sum(end <= cut for end in ends)
        error = refusal(path)
        assert type(error) is TraceIncomplete
        assert error.fields["line"] == whole + 1
        start = ends[whole - 1] if whole else 0
        assert error.fields["offset"] == start
        if cut > start:
            assert f"byte {start}" in error.message
        if whole:
            with TraceReader(path, damaged=True) as reader:
                for _ in reader.lines():
                    pass
            assert reader.line_count == whole
            assert reader.offset == start
            assert not reader.sealed


MEMBERS = {
    "NaN": b'"x":NaN',
    "infinity": b'"x":Infinity',
    "too large a number": b'"x":1e999',
    "2**64": b'"x":18446744073709551616',
    "below -2**63": b'"x":-9223372036854775809',
    "a duplicate key": b'"x":1,"x":2',
    "a duplicate kind": b'"kind":"input"',
    "a lone surrogate": b'"x":"\\ud800"',
    "a space": b'"x": 1',
    "an escape that is not needed": b'"x":"\\u0041"',
    "a float written long": b'"x":1.0e0',
    "a comment": b'"x":1/**/',
    "a raw control character": b'"x":"\x01"',
    "an overlong encoding": b'"x":"\xc0\xaf"',
}


@pytest.mark.parametrize("name", MEMBERS)
def test_json_that_reads_in_two_ways_is_refused(tmp_path: Path, good: bytes, name: str) -> None:
    """A line that another parser might read otherwise is refused even where its chain value holds."""
    bodies = bodies_of(good)
    bodies[2] += b"," + MEMBERS[name]
    error = refused(tmp_path, forged(bodies))
    assert type(error) is TraceFormat
    assert error.fields["line"] == 3


def line_of(length: int) -> bytes:
    """Return a header's body whose line has so many bytes, newline included."""
    start = HEADER + b',"x":"'
    return start + b"y" * (length - len(start) - 1 - CHAIN_BYTES) + b'"'


@pytest.mark.parametrize(("length", "fine"), [(LINE_BYTES_MAX - 1, True), (LINE_BYTES_MAX, True), (LINE_BYTES_MAX + 1, False)])
def test_the_length_of_a_line_has_a_limit(tmp_path: Path, length: int, fine: bool) -> None:
    """A line may be as long as the limit, newline included, and no longer."""
    data = forged([line_of(length)])
    assert len(data) == length
    error = refused(tmp_path, data)
    if fine:
        assert type(error) is TraceIncomplete
        assert error.fields["line"] == 2
    else:
        assert type(error) is TraceFormat
        assert "longer than" in error.message


@pytest.mark.parametrize(("depth", "fine"), [(DEPTH_MAX, True), (200, True), (254, False), (300, False), (1_100, False)])
def test_the_depth_of_a_value_has_a_limit(tmp_path: Path, good: bytes, depth: int, fine: bool) -> None:
    """Nesting beyond the limit is refused, also where it would be too much for the encoder or the parser."""
    bodies = bodies_of(good)
    value = b'{"a":' * depth + b"{}" + b"}" * depth
    bodies[1:] = [b'{"kind":"input","number":1,"type":"Webhook","data":{"source":"","payload":%b},"at":0' % value]
    error = refused(tmp_path, forged(bodies))
    assert type(error) is (TraceIncomplete if fine else TraceFormat)
    assert error.fields["line"] == (3 if fine else 2)


@pytest.mark.parametrize(("count", "fine"), [(KEYS_MAX, True), (KEYS_MAX + 1, False)])
def test_the_number_of_members_has_a_limit(tmp_path: Path, good: bytes, count: int, fine: bool) -> None:
    """An object may have as many members as the limit, and no more."""
    payload = dumps({f"k{n}": 0 for n in range(count)})
    body = b'{"kind":"input","number":1,"type":"Webhook","data":{"source":"","payload":%b},"at":0' % payload
    error = refused(tmp_path, forged([bodies_of(good)[0], body]))
    assert type(error) is (TraceIncomplete if fine else TraceFormat)


@pytest.mark.parametrize("found", [-1, 0, 2, 99, 10**18])
def test_another_format_is_refused_with_the_way_out(tmp_path: Path, good: bytes, found: int) -> None:
    """Another format number is named, also where the file is chained in a way of its own; the hint tells old from new."""
    bodies = bodies_of(good)
    bodies[0] = bodies[0].replace(b'"format":1', b'"format":%d' % found)
    for data in (forged(bodies), b"\n".join([*[body + b"}" for body in bodies], b""])):
        error = refused(tmp_path, data)
        assert type(error) is TraceVersion
        assert error.fields["found"] == found
        assert error.fields["supported"] == [1]
        assert ("newer frameengine" if found > 1 else "migrate") in error.hint


def content(first: int, *values: bytes) -> bytes:
    """Return the body of a content line."""
    return b'{"kind":"content","first":%d,"values":[%b]' % (first, b",".join(values))


def webhook(payload: bytes) -> bytes:
    """Return the body of an input line."""
    return b'{"kind":"input","number":1,"type":"Webhook","data":{"source":"","payload":%b},"at":0' % payload


OUTCOME = b'{"kind":"outcome","key":%b,"effect":"tool","request":{"name":"f","arguments":{}},"outcome":%b,"at":0'
FORGERIES = {
    "content number 0": [content(0, b'"x"')],
    "a gap in the numbers": [content(2, b'"x"')],
    "a number that is true": [content(1, b'"x"').replace(b":1,", b":true,")],
    "no contents": [content(1)],
    "contents that are an object": [b'{"kind":"content","first":1,"values":{"a":1}'],
    "a content that is a number": [content(1, b"5")],
    "a content that is null": [content(1, b"null")],
    "a content that is a list": [content(1, b"[]")],
    "a content that stands for another": [content(1, b'"x"', b'{"$c":1}')],
    "a content that refers to an object": [content(1, b'{"a":1}', b'{"b":{"$c":1}}'), webhook(b'{"$c":2}')],
    "a content that refers to itself": [content(1, b'{"a":{"$c":1}}'), webhook(b'{"$c":1}')],
    "pieces that are not there": [content(1, b'{"$join":[1,1]}')],
    "pieces out of order": [content(1, b'"x"', b'"y"', b'{"$join":[2,1]}')],
    "pieces from far away": [content(1, b'"x"', b'"y"', b'{"$join":[1,1]}')],
    "pieces joined twice": [content(1, b'"x"', b'{"$join":[1,1]}', b'{"$join":[1,2]}')],
    "pieces without an end": [content(1, b'"x"', b'{"$join":[1,999999999999]}')],
    "pieces that are texts": [content(1, b'"x"', b'{"$join":["a","b"]}')],
    "a join that is a number": [content(1, b'"x"', b'{"$join":5}')],
    "a join of objects": [content(1, b"{}", b'{"$join":[1,1]}')],
    "a join with more in it": [content(1, b'"x"', b'{"$join":[1,1],"a":1}')],
    "a list that is a number": [content(1, b'{"$list":5}')],
    "a list of texts": [content(1, b'"x"', b'{"$list":[1]}'), webhook(b'{"$c":2}')],
    "a list of what is not there": [content(1, b'{"$list":[7]}')],
    "a list that follows from none": [content(1, b'{"$list":[[9,0,1]]}')],
    "a list that follows from too few": [content(1, b"{}", b'{"$list":[1]}', b'{"$list":[[2,0,2]]}')],
    "a list that starts before its beginning": [content(1, b"{}", b'{"$list":[1]}', b'{"$list":[[2,-1,1]]}')],
    "a list with an odd entry": [content(1, b"{}", b'{"$list":[1]}', b'{"$list":[[2,0]]}')],
    "a list with a text in it": [content(1, b'{"$list":["a"]}')],
    "a list inside an object": [content(1, b"{}", b'{"$list":[1]}', b'{"a":{"$c":2}}'), webhook(b'{"$c":3}')],
    "a reference to what is not there": [webhook(b'{"$c":7}')],
    "a reference to 0": [webhook(b'{"$c":0}')],
    "a negative reference": [webhook(b'{"$c":-1}')],
    "a reference that is a fraction": [webhook(b'{"$c":1.5}')],
    "a reference with more in it": [content(1, b'"x"'), webhook(b'{"$c":1,"a":2}')],
    "an unknown dollar": [webhook(b'{"$x":1}')],
    "a reference in the header": [],
    "a second header": [HEADER],
    "an input without a number": [b'{"kind":"input","type":"Clear","data":{}'],
    "an input of an unknown type": [b'{"kind":"input","number":1,"type":"Sigh","data":{},"at":0'],
    "an input with odd data": [b'{"kind":"input","number":1,"type":"Tick","data":{"readings":5,"x":1},"at":0'],
    "an input with data that is a list": [b'{"kind":"input","number":1,"type":"Tick","data":[],"at":0'],
    "an input with an odd place": [b'{"kind":"input","number":1,"type":"Cancel","data":{},"during":[1],"at":0'],
    "a time that is a text": [b'{"kind":"input","number":1,"type":"Clear","data":{},"at":"now"'],
    "a time that is true": [b'{"kind":"input","number":1,"type":"Clear","data":{},"at":true'],
    "a meta that is a list": [b'{"kind":"input","number":1,"type":"Clear","data":{},"at":0,"meta":[]'],
    "a meta that is empty": [b'{"kind":"input","number":1,"type":"Clear","data":{},"at":0,"meta":{}'],
    "a meta that stands first": [b'{"kind":"input","meta":{"a":1},"number":1,"type":"Clear","data":{},"at":0'],
    "a deep meta": [b'{"kind":"input","number":1,"type":"Clear","data":{},"at":0,"meta":{"a":%b}' % (b"[" * 99 + b"]" * 99)],
    "a key that is short": [OUTCOME % (b'[1,1,"n"]', b'{"status":"cancelled"}')],
    "a key that is odd": [OUTCOME % (b'[1,1,2,"n"]', b'{"status":"cancelled"}')],
    "a key that is a text": [OUTCOME % (b'"1.1"', b'{"status":"cancelled"}')],
    "an outcome without a status": [OUTCOME % (b'[1,1,"n",0]', b"{}")],
    "an outcome without a value": [OUTCOME % (b'[1,1,"n",0]', b'{"status":"ok"}')],
    "an outcome with an odd value": [OUTCOME % (b'[1,1,"n",0]', b'{"status":"ok","value":5}')],
    "an outcome with an odd error": [OUTCOME % (b'[1,1,"n",0]', b'{"status":"error","error":[]}')],
    "an outcome that is a list": [OUTCOME % (b'[1,1,"n",0]', b"[]")],
    "a frame without records": [b'{"kind":"frame","input":1,"frame":1'],
    "a frame with odd records": [b'{"kind":"frame","input":1,"frame":1,"records":[5]'],
    "a record without an input": [b'{"kind":"frame","input":1,"frame":1,"records":[{"node":"n"}]'],
    "a trace without a status": [b'{"kind":"trace","input":1,"path":"","total_frames":0,"frames":0,"calls":0'],
    "a seal without counts": [b'{"kind":"seal"'],
    "a seal with counts that are true": [b'{"kind":"seal","inputs":false,"frames":0,"calls":0,"lines":2,"head":""'],
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_line_is_refused(tmp_path: Path, good: bytes, name: str) -> None:
    """A file whose chain holds, but which no writer wrote, is refused in the line that is wrong."""
    first = bodies_of(good)[0]
    if name == "a reference in the header":
        first = HEADER + b',"graph":{"$c":1}'
    bodies = [first, *FORGERIES[name]]
    error = refused(tmp_path, forged(bodies))
    assert type(error) is TraceFormat, error
    assert error.fields["line"] == len(bodies), error


def test_a_seal_that_does_not_fit_is_refused(tmp_path: Path, good: bytes) -> None:
    """Each figure of the seal, and the line it names, must be those of the file."""
    bodies = bodies_of(good)
    head = forged(bodies[:-1])[-67:-3]
    with_right = {"inputs": 2, "frames": 8, "calls": 6, "lines": len(bodies), "head": head}
    path = tmp_path / "a.trace.jsonl"
    path.write_bytes(forged([*bodies[:-1], body_of(seal_wire(**with_right))]))  # type: ignore[arg-type]
    read_all(path)
    wrong: list[dict[str, Any]] = [{name: value + 1} for name, value in with_right.items() if isinstance(value, int)]
    for change in [*wrong, {"head": GENESIS}]:
        body = body_of(seal_wire(**{**with_right, **change}))
        error = refused(tmp_path, forged([*bodies[:-1], body]))
        assert type(error) is TraceIntegrity
        assert error.fields["line"] == len(bodies)


def test_a_seal_inside_a_message_is_refused(tmp_path: Path, good: bytes) -> None:
    """A sealed trace says of every message how it ended; one that does not was not finished by a writer."""
    bodies = bodies_of(good)[:3]
    data = forged(bodies)
    seal = seal_wire(inputs=1, frames=0, calls=0, lines=4, head=data[-67:-3])
    error = refused(tmp_path, forged([*bodies, body_of(seal)]))
    assert type(error) is TraceFormat
    assert "input 1" in error.message


def test_bytes_after_the_seal_are_refused(tmp_path: Path, good: bytes) -> None:
    """One byte or a whole line after the seal is too much, and named by its offset."""
    for more in (b"\n", b"x", good.split(b"\n")[-2] + b"\n", b"\0" * 512):
        error = refused(tmp_path, good + more)
        assert type(error) is TraceIntegrity
        assert f"byte {len(good)}" in error.message


def read_in_child(path: Path) -> tuple[str, int]:
    """Read a file in a process of its own; return how that ended and how many bytes of memory it took beyond a start."""
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from frameengine.errors import TraceError\n"
        "from frameengine.trace.reader import TraceReader\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n"
        "    with TraceReader(Path(sys.argv[1])) as reader:\n"
        "        for line in reader.lines():\n"
        "            line.data, line.canonical()\n"
        "except TraceError as error:\n"
        "    print(type(error).__name__, end=' ')\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, timeout=120)
    words = done.stdout.split()
    return words[0], int(words[-1]) << 10


def doubling(times: int) -> list[bytes]:
    """Return content values in which each list is twice the one before."""
    values = [b"{}", b'{"$list":[1,1]}']
    values += [b'{"$list":[[%d,0,%d],[%d,0,%d]]}' % (n, 2 ** (n - 1), n, 2 ** (n - 1)) for n in range(2, times)]
    return values


BOMBS = {
    "joins of joins": [content(1, b'"%b"' % (b"x" * 500_000), *[b'{"$join":[1,%d]}' % n for n in range(1, 40)])],
    "lists of lists": [content(1, *doubling(60))],
    "many long lists": [
        content(1, *doubling(17)),
        *[content(18 + n, b'{"$list":[[%d,0,65536]]}' % (17 + n)) for n in range(2_000)],
        webhook(b"[" + b",".join([b'{"$c":2017}'] * 50_000) + b"]"),
    ],
    "objects in objects": [content(1, b'"x"', *[b'{"a":{"$c":%d}}' % n for n in range(1, 20_000)]), webhook(b'{"$c":20000}')],
    "a wide line": [webhook(b"[" + b",".join([b"[]"] * 340_000) + b"]")],
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_short_file_cannot_stand_for_a_huge_value(tmp_path: Path, good: bytes, name: str) -> None:
    """Contents that multiply each other are stopped before they take memory."""
    path = tmp_path / "bomb.trace.jsonl"
    path.write_bytes(forged([bodies_of(good)[0], *BOMBS[name]]))
    ended, memory = read_in_child(path)
    assert ended in ("TraceFormat", "TraceIncomplete")
    assert memory < 150 << 20, memory
    assert ITEMS_MAX * 67 < 50 << 20
    assert LIST_ITEMS_MAX > 100_000


def test_reading_leaves_no_file_open(tmp_path: Path, good: bytes) -> None:
    """Neither a good file nor a bad one leaves a descriptor behind."""
    (tmp_path / "good").write_bytes(good)
    (tmp_path / "bad").write_bytes(good[:100])
    read_all(tmp_path / "good")
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0
    for _ in range(20):
        read_all(tmp_path / "good")
        for name in ("bad", "missing", "."):
            with pytest.raises(TraceError):
                TraceReader(tmp_path / name)
        with TraceReader(tmp_path / "good") as reader:
            next(reader.lines())
    after = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0
    assert after == before
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 0


@given(data=st.binary(max_size=400) | st.lists(st.binary(max_size=60), max_size=6).map(forged))
def test_any_bytes_are_refused_in_good_order(data: bytes) -> None:
    """Random bytes, also in lines whose chain holds, raise a `TraceError` and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x")
        path.write_bytes(data)
        with pytest.raises(TraceError):
            read_all(path)


WORDS = [
    "kind",
    "first",
    "values",
    "$c",
    "$join",
    "$list",
    "$$c",
    "number",
    "type",
    "data",
    "key",
    "outcome",
    "records",
    "node",
    "input",
]
ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 70) | st.sampled_from([*WORDS, "", "ok", "model", "tool", "Webhook", "x" * 50]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=8,
)
KINDS = st.sampled_from(["header", "input", "content", "outcome", "frame", "trace", "seal"])
NAMES = [
    "number",
    "type",
    "data",
    "first",
    "values",
    "key",
    "effect",
    "request",
    "outcome",
    "input",
    "frame",
    "records",
    "at",
    "meta",
    "during",
]


@settings(max_examples=200)
@given(
    data=st.data(),
    index=st.integers(0, 30),
    more=st.lists(st.tuples(KINDS, st.dictionaries(st.sampled_from(NAMES), ODD, max_size=6)), max_size=4),
)
def test_any_forged_lines_are_refused_in_good_order(
    good: bytes, data: st.DataObject, index: int, more: list[tuple[str, dict[str, Any]]]
) -> None:
    """Odd members in lines whose chain holds, and odd lines among good ones, raise a `TraceError` or are read."""
    bodies = bodies_of(good)
    index %= len(bodies)
    bodies[index:index] = [body_of({"kind": kind, **members}) for kind, members in more]
    if data.draw(st.booleans()):
        members = loads(bodies[index] + b"}")
        members[data.draw(st.sampled_from(sorted(members)))] = data.draw(ODD)
        bodies[index] = body_of(members)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x")
        path.write_bytes(forged(bodies))
        for read in (read_all, verify):
            with suppress(TraceError):
                read(path)


@settings(max_examples=50)
@given(sizes=st.lists(st.integers(1, 3_000), min_size=1, max_size=50))
def test_how_the_bytes_arrive_does_not_matter(good: bytes, sizes: list[int]) -> None:
    """Whatever pieces the system gives the bytes in, the lines are the same."""

    class Pieces(RawIOBase):
        def __init__(self) -> None:
            self._left, self._sizes = BytesIO(good), cycle(sizes)

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            data = self._left.read(min(len(buffer), next(self._sizes)))
            buffer[: len(data)] = data
            return len(data)

    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x")
        path.write_bytes(good)
        with TraceReader(path) as reader:
            expected = [(line.number, line.offset, line.raw, line.canonical()) for line in reader.lines()]
        patch.setattr(module, "open_trace", lambda _: BufferedReader(Pieces(), 512))
        with TraceReader(path) as reader:
            assert [(line.number, line.offset, line.raw, line.canonical()) for line in reader.lines()] == expected
