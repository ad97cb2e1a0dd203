"""Start somebody's program and stay with it: the process between a caller and an agent.

Run as ``python -I -S -c … CONTROL``; CONTROL is a socket on which both sides write lines of JSON. The caller sends an order,
``{"command": […], "isolate": bool}``. Back comes ``{"port": …}``, and with it the descriptor of a socket that listens on the
loopback that the program will have: only there can the caller be reached. Then ``{"environment": {…}}``, all of it, starts the
program, and ``{"signal": …}`` is handed to it. ``{"exit": code}`` comes when nothing of it is left, or ``{"error": …, "at": …}``.
A caller that dies closes its end, and takes the program and all that it started with it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from typing import Any, Final, NoReturn

from frameengine.tools.sandbox import network
from frameengine.tools.sandbox.kernel import PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, prctl
from frameengine.tools.sandbox.processes import exit_code, kill_rest, open_processes

_PASSED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals that are for the program. A terminal sends them to it as well; the caller hands on those that came to the caller."""
_BY_PYTHON: Final = (signal.SIGPIPE, signal.SIGXFSZ)
"""Signals that Python ignores, and other programs do not."""
_NOT_FOUND: Final = 127
_BACKLOG: Final = 128


def main() -> None:
    """Do what the caller says."""
    control = _Control(socket.socket(fileno=int(sys.argv[1])))
    at = "start"
    # The caller waits for signals with a mask, which its children get from it.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    try:
        order = control.line()
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        processes = open_processes()
        if order["isolate"]:
            at = "isolate"
            network.leave()
        at = "start"
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(_BACKLOG)
            control.tell(listener, port=listener.getsockname()[1])
        environment = control.line()["environment"]
        at = "command"
        program = _start(order["command"], environment)
        at = "watch"
        control.tell(exit=_watch(program, control, processes))
    except BaseException as error:  # noqa: BLE001 - whatever it is, the caller must be told
        control.tell(error=(error.strerror or str(error)) if isinstance(error, OSError) else repr(error), at=at)


class _Control:
    """The socket to the caller."""

    def __init__(self, socket: socket.socket) -> None:
        self.socket = socket
        socket.set_inheritable(False)
        self._left = b""

    def line(self) -> dict[str, Any]:
        """Return the next line. Raises `EOFError` where the caller is gone."""
        while b"\n" not in self._left:
            self._fill()
        return self._taken()

    def lines(self) -> list[dict[str, Any]]:
        """Return the lines that have come; at least a part of one must have. Raises `EOFError`."""
        self._fill()
        found = []
        while b"\n" in self._left:
            found.append(self._taken())
        return found

    def _fill(self) -> None:
        part = self.socket.recv(1 << 16)
        if not part:
            raise EOFError("the caller is gone")
        self._left += part

    def _taken(self) -> dict[str, Any]:
        line, _, self._left = self._left.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def tell(self, handed: socket.socket | None = None, **facts: Any) -> None:
        """Send a line, and the descriptor of *handed* with it. A caller that is gone needs none."""
        line = json.dumps(facts).encode() + b"\n"
        with suppress(OSError):
            socket.send_fds(self.socket, [line], [] if handed is None else [handed.fileno()])


def _start(command: list[str], environment: dict[str, str]) -> int:
    """Start the program and return its process id. Raises `OSError` where it cannot be started."""
    inherited = {number: signal.getsignal(number) for number in _PASSED}
    failed, fail = os.pipe()
    escort = os.getpid()
    program = os.fork()
    if program == 0:
        _become(command, environment, inherited, fail, escort)
    for number in _PASSED:
        signal.signal(number, signal.SIG_IGN)
    os.close(fail)
    with open(failed, "rb") as told:
        problem = told.read()
    if problem:
        os.waitpid(program, 0)
        errno = int(problem)
        raise OSError(errno, os.strerror(errno))
    return program


def _become(command: list[str], environment: dict[str, str], inherited: dict[Any, Any], fail: int, escort: int) -> NoReturn:
    """Become the program, as if the caller's caller had started it."""
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != escort:
            os._exit(_NOT_FOUND)
        for number, handler in inherited.items():
            # What whoever started us wanted ignored (nohup) stays ignored.
            signal.signal(number, signal.SIG_IGN if handler == signal.SIG_IGN else signal.SIG_DFL)
        for number in _BY_PYTHON:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvpe(command[0], command, environment)
    except OSError as error:
        os.write(fail, str(error.errno).encode())
    finally:
        os._exit(_NOT_FOUND)


def _watch(program: int, control: _Control, processes: int) -> int:
    """Hand signals on until the program ends; return its exit code when nothing of it is left."""
    wakes, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    poll = select.poll()
    poll.register(control.socket, select.POLLIN)
    poll.register(wakes, select.POLLIN)
    # It may have ended before anybody listened.
    code = _reap(program)
    while code is None:
        ready = [file for file, _ in poll.poll()]
        if wakes in ready:
            os.read(wakes, 512)
            code = _reap(program)
        if code is None and control.socket.fileno() in ready:
            try:
                for line in control.lines():
                    os.kill(program, line["signal"])
            except (EOFError, ConnectionError):
                os.kill(program, signal.SIGKILL)
                _, status = os.waitpid(program, 0)
                code = exit_code(status)
    kill_rest(processes)
    return code


def _reap(program: int) -> int | None:
    """Bury what has ended; return the program's exit code where it is among that."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if not pid:
            return code
        if pid == program:
            code = exit_code(status)
