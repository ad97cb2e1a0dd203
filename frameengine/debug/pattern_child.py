"""Look for a regular expression, in a process of its own: one that goes back and forth for ever can be ended there.

Run by its path, and imports nothing of the project. It reads the pattern, then batches of texts, each number 4 bytes and each
text preceded by its length; for a batch it answers with the position of the first text that has the pattern, or `NONE`. A batch
that takes more than `SECONDS` of this process's time ends it, by a signal that Python has no say in.
"""

from __future__ import annotations

import re
import signal
import struct
import sys
import warnings

SECONDS = 1.0
"""Time of the processor that one batch of texts may take."""
NONE = 0xFFFFFFFF
"""The answer where no text has it."""
NUMBER = struct.Struct("!I")


def main() -> None:
    """Answer batches until there are no more."""
    # Ctrl-C is for the process that asks: it ends this one by closing the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
    read, write = sys.stdin.buffer.read, sys.stdout.buffer.write

    def text() -> str:
        return read(NUMBER.unpack(read(NUMBER.size))[0]).decode("utf-8", "surrogatepass")

    warnings.simplefilter("ignore")
    search = re.compile(text()).search
    while count := read(NUMBER.size):
        texts = [text() for _ in range(NUMBER.unpack(count)[0])]
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
        found = next((index for index, each in enumerate(texts) if search(each) is not None), NONE)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        write(NUMBER.pack(found))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
