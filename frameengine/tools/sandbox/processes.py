"""Find and end all that descends from this process."""

from __future__ import annotations

import os
import signal
from typing import Final

_READ_BYTES: Final = 1 << 16


def open_processes() -> int:
    """Open ``/proc``, before anything that stands there is hidden."""
    return os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)


def exit_code(status: int) -> int:
    """Return the code as a shell does: 128 and the number of the signal where one ended it."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def kill_rest(processes: int) -> None:
    """Kill all that descends from this process until nothing does; *processes* is ``/proc``, opened.

    What loses its parent meanwhile must come to this process: `PR_SET_CHILD_SUBREAPER` sees to that.
    """
    while True:
        for pid in descendants(processes):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            os.waitpid(-1, 0)
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return


def descendants(processes: int) -> list[int]:
    """Return the ids of all that descend from this process; *processes* is ``/proc``, opened."""
    found, left = [], [os.getpid()]
    while left:
        pid = left.pop()
        for task in _tasks(pid, processes):
            left += [int(child) for child in read(f"{pid}/task/{task}/children", processes).split()]
        found.append(pid)
    return found[1:]


def _tasks(pid: int, processes: int) -> list[str]:
    try:
        folder = os.open(f"{pid}/task", os.O_RDONLY | os.O_DIRECTORY, dir_fd=processes)
    except OSError:
        return []
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
    finally:
        os.close(folder)


def read(path: str, folder: int) -> bytes:
    """Return what stands in a file; nothing where its process is gone."""
    try:
        file = os.open(path, os.O_RDONLY, dir_fd=folder)
    except OSError:
        return b""
    try:
        return os.read(file, _READ_BYTES)
    except OSError:
        return b""
    finally:
        os.close(file)
