"""Start foreign code, watch it, end it with all that it started: the program between a caller and a sandbox.

Run as ``python -I -S -c … ROOT STATUS``. The order comes as one line of JSON on standard input; after it, anything there, its end
included, means: kill. So a caller that dies takes the code with it. What happens goes to the file STATUS, a line of JSON each:
``{"walls": […]}`` when the code starts, ``{"exit": code, "ended": …}`` when nothing of it is left, ``{"error": …}`` where it
could not be started.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from typing import Any, Final

from frameengine.tools.sandbox import jail
from frameengine.tools.sandbox.kernel import PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, prctl
from frameengine.tools.sandbox.processes import descendants, exit_code, kill_rest, open_processes, read

_TICK_MILLISECONDS: Final = 50
"""Between two looks at the memory of all processes together."""
_LIKELY_VICTIM: Final = b"1000"


def main() -> None:
    """Do what the order says."""
    status = int(sys.argv[2])
    os.set_inheritable(status, False)
    try:
        order = json.loads(_line())
        # What the code leaves behind when it ends becomes our child, and is killed.
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        processes = open_processes()
        if order["isolate"]:
            jail.enter()
        child = os.fork()
        if child == 0:
            _in_child(order, status)
        ended = _watch(child, order, processes)
        if order["remove"]:
            # The caller removes it as well, and more thoroughly; but a caller that died removes nothing.
            import shutil

            shutil.rmtree(order["remove"], ignore_errors=True)
        _tell(status, **ended)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the caller must be told
        _tell(status, error=_words(error))


def _line() -> bytes:
    line = bytearray()
    while not line.endswith(b"\n"):
        part = os.read(0, 1 << 16)
        if not part:
            raise EOFError("the caller is gone")
        line += part
        # A kill behind the order would be taken for a part of it.
        end = line.find(b"\n") + 1
        if 0 < end < len(line):
            raise EOFError("the caller has changed its mind")
    return bytes(line)


def _tell(status: int, **facts: Any) -> None:
    os.write(status, json.dumps(facts).encode()[:4000] + b"\n")


def _words(error: BaseException) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"


def _in_child(order: jail.Order, status: int) -> None:
    """Never return: become the code, or the first process of its namespace."""
    try:
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if order["isolate"]:
            _become_likely_victim()
            jail.build(order["readable"], order["mountpoint"], order["code"].encode(), order["folder_options"])
            code = os.fork()
            if code != 0:
                os._exit(_reap_until(code))
        _become_code(order, status)
    except BaseException as error:  # noqa: BLE001 - a child that went on would be a second parent
        _tell(status, error=_words(error))
    os._exit(1)


def _become_likely_victim() -> None:
    """Let the kernel end this process and its children first, where memory runs out."""
    file = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    os.write(file, _LIKELY_VICTIM)
    os.close(file)


def _reap_until(code: int) -> int:
    """Be the first process: bury what ends, and end with the code, which ends all others."""
    # Without a handler the kernel lets nothing inside the namespace reach its first process.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == code:
            return exit_code(status)


def _become_code(order: jail.Order, status: int) -> None:
    os.setsid()
    os.umask(0o077)
    os.chdir(order["folder"])
    walls: list[str] = []
    if order["isolate"]:
        walls = jail.drop_rights(order["readable"])
    jail.limit(order["limits"], processes=order["isolate"])
    _tell(status, walls=walls)
    os.execve(order["command"][0], order["command"], order["environment"])


def _watch(child: int, order: jail.Order, processes: int) -> dict[str, Any]:
    """Wait until the code ends, or must; return its exit code and why it ended when nothing of it is left."""
    wakes, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake)
    for number in (signal.SIGCHLD, signal.SIGALRM):
        signal.signal(number, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, order["wall_seconds"])
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(wakes, select.POLLIN)
    while True:
        ready = [file for file, _ in poll.poll(_TICK_MILLISECONDS)]
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            kill_rest(processes)
            return {"exit": exit_code(status), "ended": "exit"}
        if 0 in ready:
            ended = "cancel"
        elif wakes in ready and signal.SIGALRM in os.read(wakes, 512):
            ended = "time"
        elif _memory(processes) > order["limits"]["memory_bytes"]:
            ended = "memory"
        else:
            continue
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        kill_rest(processes)
        return {"exit": exit_code(status), "ended": ended}


def _memory(processes: int) -> int:
    """Return how much memory all processes of the code hold together, in bytes; shared parts count for each."""
    pages = 0
    for pid in descendants(processes):
        fields = read(f"{pid}/statm", processes).split()
        pages += int(fields[1]) if fields else 0
    return pages * os.sysconf("SC_PAGESIZE")
