"""A trace that is torn at any byte keeps every line that was acknowledged, and says from where it is torn."""

from __future__ import annotations

import errno
import signal
from itertools import chain
from pathlib import Path

import pytest

from crash_children import call
from frameengine.errors import TraceError, TraceIncomplete
from frameengine.trace.reader import TraceReader
from frameengine.trace.repair import repair
from frameengine.trace.verify import verify
from sample_traces import record

EACH = [pytest.param(16, id="every 16th byte"), pytest.param(1, id="every byte", marks=pytest.mark.nightly)]


def recovered(path: Path, whole: bytes, cut: int) -> int:
    """Check that a torn file is an exact prefix and is reported as torn; return how many lines are good."""
    data = path.read_bytes()
    assert data == whole[:cut]
    start = data.rfind(b"\n") + 1
    try:
        with TraceReader(path, damaged=True) as reader:
            kept = [reader.header_line.raw, *[line.raw for line in reader.lines()]]
    except TraceError as error:
        problem: TraceError | None = error
        lines = 0
    else:
        problem, lines = reader.problem, reader.line_count
        assert not reader.sealed
        good = [line + b"\n" for line in data[:start].split(b"\n")[:-1]]
        assert kept == [line for line in good if not line.startswith(b'{"kind":"content"')]
        assert lines == len(good)
    assert problem is not None
    assert problem.exit_code == 3
    assert problem.fields["offset"] == start
    if cut:
        assert type(problem) is TraceIncomplete
        if cut > start:
            assert f"byte {start}" in problem.message
            assert problem.fields["torn"] == cut - start
    return lines


@pytest.mark.parametrize("step", EACH)
@pytest.mark.parametrize("durability", ["durable", "fast"])
def test_what_was_acknowledged_is_recovered(tmp_path: Path, step: int, durability: str) -> None:
    """Torn by a process that dies in the write or by a write that fails, the file holds at least the lines acknowledged."""
    whole = record(tmp_path / "whole", messages=1, durability=durability).read_bytes()  # type: ignore[arg-type]
    assert len(whole) >= 2_048
    ends = [index + 1 for index, byte in enumerate(whole) if byte == 10]
    near = chain.from_iterable((end - 1, end, end + 1) for end in ends)
    cuts = sorted({*range(0, len(whole), step), *[cut for cut in near if cut < len(whole)]})
    (tmp_path / "torn").mkdir()
    results = call("tear", folder=str(tmp_path / "torn"), cuts=cuts, durability=durability, messages=1)
    assert len(results) == 2 * len(cuts)
    for cut, die, ended, acknowledged, path in results:
        assert ended == (-signal.SIGXFSZ if die else errno.EFBIG)
        assert acknowledged == sorted(acknowledged)
        assert max(acknowledged, default=0) <= recovered(Path(path), whole, cut)


def test_the_check_finds_a_lost_line(tmp_path: Path) -> None:
    """A file that lacks one line in the middle, or whose torn end was made whole, does not pass as a torn one."""
    whole = record(tmp_path / "whole", messages=1).read_bytes()
    lines = whole.split(b"\n")
    for planted in (b"\n".join([*lines[:4], *lines[5:-3]]), whole[:-5] + b"\n"):
        (tmp_path / "planted").write_bytes(planted)
        with pytest.raises(AssertionError):
            recovered(tmp_path / "planted", whole, len(planted))


def test_a_torn_trace_can_be_repaired_and_goes_on_being_one(tmp_path: Path) -> None:
    """What is left by a process that died in the middle of its third message is two messages, sealed."""
    whole = record(tmp_path / "whole", messages=3).read_bytes()
    call("tear", folder=str(tmp_path), cuts=[len(whole) - 1_000], durability="durable", messages=3)
    for way in ("die", "fail"):
        report = repair(tmp_path / f"{len(whole) - 1_000}-{way}", tmp_path / way)
        assert report.counts.inputs == 2
        assert verify(tmp_path / way).counts == report.counts
