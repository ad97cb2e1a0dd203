"""Lanes: which of an agent's tasks and threads is speaking.

Order means something within one task or thread only: two that run side by side reach the wire in an order that is chance. So
every call and every draw carries its lane. A lane is named by its place in the tree of who started whom, ``main/2/1`` being the
first one started by the second one started by whoever opened the block: addresses and thread numbers would be new in every run.
"""

from __future__ import annotations

import sys
import threading
from typing import Any
from weakref import WeakKeyDictionary

ROOT = "main"
"""The lane of the task or thread that opened the block."""


class Lanes:
    """The lanes of one block. Safe to use from every thread."""

    def __init__(self) -> None:
        self._names: WeakKeyDictionary[Any, str] = WeakKeyDictionary({_owner(): ROOT})
        self._children: dict[str, int] = {}
        self._lock = threading.Lock()

    def here(self) -> str:
        """Return the lane of the current task or thread; one that nobody was seen starting is a child of the root."""
        return self._give(_owner(), ROOT)

    def adopt(self, started: Any) -> None:
        """Give a task or thread its lane when it is started: that order is the program's, who speaks first is chance.

        What is started by somebody without a lane (a server in the same process) is left alone until it speaks.
        """
        parent = self._names.get(_owner())
        if parent is not None:
            self._give(started, parent)

    def _give(self, owner: Any, parent: str) -> str:
        with self._lock:
            name = self._names.get(owner)
            if name is None:
                number = self._children[parent] = self._children.get(parent, 0) + 1
                name = self._names[owner] = f"{parent}/{number}"
            return name


def _owner() -> Any:
    """Return the task that runs, whichever loop runs it, else the thread."""
    for library in ("asyncio", "trio.lowlevel"):
        loops = sys.modules.get(library)
        try:
            task = loops.current_task() if loops is not None else None
        except RuntimeError:  # no loop of this library in this thread
            continue
        if task is not None:
            return task
    return threading.current_thread()
