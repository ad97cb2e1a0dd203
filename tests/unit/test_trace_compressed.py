"""The zstd form of a trace: written whole or not at all, read with bounded memory, and never trusted."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameengine.errors import InternalError, TraceError, TraceFormat, TraceIncomplete, TraceIntegrity, UsageError
from frameengine.replay.replayer import Replayer
from frameengine.trace import compressed
from frameengine.trace.compressed import compress
from frameengine.trace.source import WINDOW_LOG_MAX, is_compressed, zstd
from frameengine.trace.verify import verify
from sample_traces import record


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sealed trace."""
    return record(tmp_path_factory.mktemp("plain") / "a.trace.jsonl", messages=5)


@pytest.fixture(scope="module")
def packed(plain: Path) -> Path:
    """Return its compressed form."""
    target = plain.with_name("a.trace.jsonl.zst")
    compress(plain, target)
    return target


def refused(tmp_path: Path, data: bytes) -> TraceError:
    """Return the error of verifying these bytes, which must be one with a line and a hint."""
    path = tmp_path / "bad.zst"
    path.write_bytes(data)
    with pytest.raises(TraceError) as caught:
        verify(path)
    assert caught.value.hint
    assert caught.value.fields["line"] >= 1
    return caught.value


def test_the_compressed_form_is_the_trace(plain: Path, packed: Path) -> None:
    """It is smaller, private, verifies with the same digests, and replays."""
    assert packed.stat().st_size < plain.stat().st_size / 3
    assert stat.S_IMODE(packed.stat().st_mode) == 0o600
    assert is_compressed(packed)
    assert not is_compressed(plain)
    one, other = verify(plain), verify(packed)
    assert (one.head, one.canonical, one.size, one.lines) == (other.head, other.canonical, other.size, other.lines)
    assert Replayer(packed).run().verdict == "same"


def test_only_sealed_traces_are_compressed(tmp_path: Path, plain: Path, packed: Path) -> None:
    """An unfinished, a damaged and a compressed trace are refused, and nothing is written."""
    path, target = tmp_path / "bad", tmp_path / "bad.zst"
    data = plain.read_bytes()
    for damaged in (data[:-5], data[: data.rindex(b"\n", 0, -1) + 1], data[:200] + b"x" + data[201:], b""):
        path.write_bytes(damaged)
        with pytest.raises(TraceError):
            compress(path, target)
    with pytest.raises(UsageError, match="compressed already"):
        compress(packed, target)
    with pytest.raises(UsageError, match="exists"):
        compress(plain, path)
    assert sorted(found.name for found in tmp_path.iterdir()) == ["bad"]


def test_a_target_may_be_replaced(tmp_path: Path, plain: Path) -> None:
    """Where it is asked for, an existing file gives way at once."""
    target = tmp_path / "a.zst"
    target.write_text("old")
    compress(plain, target, replace=True)
    assert verify(target).canonical == verify(plain).canonical


def test_what_was_packed_is_read_back(tmp_path: Path, plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trace that changes between proving and packing is not put in place."""
    heads = iter(["one", "other"])
    monkeypatch.setattr(compressed, "_head", lambda _: next(heads))
    with pytest.raises(InternalError):
        compress(plain, tmp_path / "a.zst")
    assert not list(tmp_path.iterdir())


def test_a_broken_stream_is_refused(tmp_path: Path, packed: Path) -> None:
    """A stream that ends early, that was changed, or that goes on after its end is refused with a line number."""
    data = packed.read_bytes()
    for cut in (5, 20, len(data) // 2, len(data) - 5, len(data) - 1):
        error = refused(tmp_path, data[:cut])
        assert "zstd" in error.message
    for more in (b"x", b"\0" * 100, data):
        assert type(refused(tmp_path, data + more)) in (TraceFormat, TraceIntegrity)
    assert type(refused(tmp_path, data[:4])) is TraceFormat


@settings(max_examples=300)
@given(data=st.data())
def test_any_change_of_the_stream_is_found(
    tmp_path_factory: pytest.TempPathFactory, plain: Path, packed: Path, data: st.DataObject
) -> None:
    """Whatever byte of a compressed trace is changed, it is refused, or holds every byte of the trace all the same."""
    bad = bytearray(packed.read_bytes())
    place = data.draw(st.integers(0, len(bad) - 1))
    bad[place] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "changed.zst"
    path.write_bytes(bad)
    try:
        receipt = verify(path)
    except TraceError:
        return
    assert receipt.head == verify(plain).head


def test_an_unsealed_stream_is_incomplete(tmp_path: Path, plain: Path) -> None:
    """Compressing by other means does not make an unfinished trace a finished one."""
    data = plain.read_bytes()
    module: Any = zstd(plain)
    cut = data[: data.rindex(b"\n", 0, -1) + 1]
    assert type(refused(tmp_path, module.compress(cut))) is TraceIncomplete
    assert type(refused(tmp_path, module.compress(cut + b"{"))) is TraceIncomplete
    assert type(refused(tmp_path, module.compress(module.compress(data)))) is TraceFormat


def test_a_stream_in_pieces_is_one_trace(tmp_path: Path, plain: Path) -> None:
    """Several zstd frames one after the other, as some tools write them, are read as one."""
    data = plain.read_bytes()
    module: Any = zstd(plain)
    path = tmp_path / "a.zst"
    path.write_bytes(b"".join(module.compress(data[start : start + 999]) for start in range(0, len(data), 999)))
    assert verify(path).canonical == verify(plain).canonical


READ = """
import resource, sys
from pathlib import Path
from frameengine.errors import TraceError
from frameengine.trace.verify import verify
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    verify(Path(sys.argv[1]))
except TraceError as error:
    print(type(error).__name__, error.message.split(": ", 1)[1][:60], sep="|", end="|")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def bomb(path: Path, line: bytes, count: int, **options: int) -> None:
    """Write a small file that unpacks to *count* times *line*."""
    module: Any = zstd(path)
    chosen = {getattr(module.CompressionParameter, name): value for name, value in options.items()}
    with module.ZstdFile(path, "w", options=chosen or None) as file:
        for _ in range(count):
            file.write(line)


@pytest.mark.parametrize(
    ("line", "said"), [(b"x" * (1 << 20), "longer than"), (b"\0" * (1 << 20), "longer than"), (b"{}\n" * 300_000, "line 1")]
)
def test_a_bomb_is_stopped_with_bounded_memory(tmp_path: Path, line: bytes, said: str) -> None:
    """A file of some kilobytes that unpacks to 256 MiB is refused after the first line, without taking much memory."""
    path = tmp_path / "bomb.zst"
    bomb(path, line, 256)
    assert path.stat().st_size < 100_000
    done = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=True, timeout=60)
    kind, message, memory = done.stdout.split("|")
    assert kind == "TraceFormat"
    assert said in message
    assert int(memory) << 10 < 33 << 20


def test_a_window_beyond_the_limit_is_refused(tmp_path: Path, plain: Path) -> None:
    """A stream that wants more memory than a trace may take is refused; one at the limit is read."""
    module: Any = zstd(plain)
    names = module.CompressionParameter
    for size, fine in ((WINDOW_LOG_MAX, True), (WINDOW_LOG_MAX + 1, False), (27, False)):
        path = tmp_path / f"{size}.zst"
        with module.ZstdFile(path, "w", options={names.window_log: size}) as file:
            for block in (plain.read_bytes()[start : start + 500] for start in range(0, plain.stat().st_size, 500)):
                file.write(block)
        if fine:
            assert verify(path).canonical == verify(plain).canonical
        else:
            with pytest.raises(TraceFormat, match="zstd"):
                verify(path)


def test_without_zstd_the_way_out_is_named(tmp_path: Path, packed: Path) -> None:
    """Where no zstd module is installed, plain traces are read, and compressed ones name what to install."""
    code = (
        "import sys\n"
        "sys.modules['backports.zstd'] = sys.modules['compression.zstd'] = sys.modules['compression'] = None\n"
        "from pathlib import Path\n"
        "from frameengine.errors import TraceFormat\n"
        "from frameengine.trace.compressed import compress\n"
        "from frameengine.trace.verify import verify\n"
        "plain, packed, target = map(Path, sys.argv[1:])\n"
        "verify(plain)\n"
        "for work in (lambda: verify(packed), lambda: compress(plain, target)):\n"
        "    try:\n"
        "        work()\n"
        "    except TraceFormat as error:\n"
        "        assert 'pip install' in error.hint\n"
        "    else:\n"
        "        sys.exit('no error')\n"
    )
    arguments = [str(packed.with_suffix("")), str(packed), str(tmp_path / "target")]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, timeout=60, env={**os.environ})
    assert not list(tmp_path.iterdir())
