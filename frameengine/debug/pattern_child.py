"""Look for a regular expression, in a process of its own: one that goes back and forth for ever can be ended there.

Run by its path, and imports nothing of the project. It reads batches of texts: the time that they may take, their number, the
bytes of all of them together, the code points of each, and they themselves in a row. The first batch is the pattern; for each
other one it answers with the time that was taken, and the position of the first text that has the pattern, or `NONE`. A batch
that takes longer than it may ends the process, by a signal that Python has no say in. All times are seconds of the processor.
"""

from __future__ import annotations

import re
import resource
import signal
import struct
import sys
import warnings
from collections.abc import Callable, Sequence
from itertools import accumulate

NONE = 0xFFFFFFFF
"""The answer where no text has it."""
HEAD = struct.Struct("!dII")
ANSWER = struct.Struct("!dI")


def packed(texts: Sequence[str], seconds: float = 0) -> bytes:
    """Return a batch that may take so long."""
    data = "".join(texts).encode("utf-8", "surrogatepass")
    return HEAD.pack(seconds, len(texts), len(data)) + struct.pack(f"!{len(texts)}I", *map(len, texts)) + data


def _unpacked(read: Callable[[int], bytes]) -> tuple[float, list[str]] | None:
    """Return the next batch, and how long it may take; None where there are no more."""
    head = read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    seconds, count, size = HEAD.unpack(head)
    sizes = struct.unpack(f"!{count}I", read(count * struct.calcsize("!I")))
    data = read(size).decode("utf-8", "surrogatepass")
    ends = list(accumulate(sizes))
    return seconds, [data[end - size : end] for end, size in zip(ends, sizes, strict=True)]


def _taken() -> float:
    """Return the time that this process has taken so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


def main() -> None:
    """Answer batches until there are no more."""
    # Ctrl-C is for the process that asks: it ends this one by closing the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
    read, write = sys.stdin.buffer.read, sys.stdout.buffer.write
    warnings.simplefilter("ignore")
    _, [pattern] = _unpacked(read) or (0, [""])
    search = re.compile(pattern).search
    while (batch := _unpacked(read)) is not None:
        seconds, texts = batch
        before = _taken()
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
        found = next((index for index, each in enumerate(texts) if search(each) is not None), NONE)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        write(ANSWER.pack(_taken() - before, found))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
