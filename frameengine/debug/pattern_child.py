"""Look for a regular expression, in a process of its own: one that goes back and forth for ever can be ended there.

Run by its path, and imports nothing of the project. It reads batches of texts: their number, the bytes of all of them together,
the code points of each, and they themselves in a row. The first batch is the pattern; for each other one it answers with the
position of the first text that has the pattern, or `NONE`. A batch that takes more than `SECONDS` of this process's time ends
it, by a signal that Python has no say in.
"""

from __future__ import annotations

import re
import signal
import struct
import sys
import warnings
from collections.abc import Callable, Sequence
from itertools import accumulate

SECONDS = 1.0
"""Time of the processor that one batch of texts may take."""
NONE = 0xFFFFFFFF
"""The answer where no text has it."""
NUMBER = struct.Struct("!I")
HEAD = struct.Struct("!II")


def packed(texts: Sequence[str]) -> bytes:
    """Return a batch."""
    data = "".join(texts).encode("utf-8", "surrogatepass")
    return HEAD.pack(len(texts), len(data)) + struct.pack(f"!{len(texts)}I", *map(len, texts)) + data


def _unpacked(read: Callable[[int], bytes]) -> list[str] | None:
    """Return the texts of the next batch; None where there are no more."""
    head = read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    count, size = HEAD.unpack(head)
    sizes = struct.unpack(f"!{count}I", read(count * NUMBER.size))
    data = read(size).decode("utf-8", "surrogatepass")
    ends = list(accumulate(sizes))
    return [data[end - size : end] for end, size in zip(ends, sizes, strict=True)]


def main() -> None:
    """Answer batches until there are no more."""
    # Ctrl-C is for the process that asks: it ends this one by closing the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
    read, write = sys.stdin.buffer.read, sys.stdout.buffer.write
    warnings.simplefilter("ignore")
    [pattern] = _unpacked(read) or [""]
    search = re.compile(pattern).search
    while (texts := _unpacked(read)) is not None:
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
        found = next((index for index, each in enumerate(texts) if search(each) is not None), NONE)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        write(NUMBER.pack(found))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
