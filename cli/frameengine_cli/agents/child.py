"""An agent as a child process, seen from its caller: where it finds the caller, what it is told, how it ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from frameengine.errors import FrameEngineError, NoSandbox, UsageError

_START: Final = "import sys; sys.path.append(sys.argv[2]); from frameengine.tools.sandbox.escort import main; main()"
_ROOT: Final = str(Path(sys.modules["frameengine"].__path__[0]).parent)
_PASSED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_STDERR: Final = 2
_KILLED: Final = 137
_LINE_BYTES: Final = 1 << 16


class Child:
    """An agent that can be started: `listener` listens where it will be able to reach us."""

    def __init__(self, command: Sequence[str], *, isolate: bool | None = False, aside: bool = False) -> None:
        """Prepare a network for *command*: with *isolate* one of its own; None for one of its own where the machine allows it.

        With *aside* what it prints on standard output goes to standard error. Raises `NoSandbox` where *isolate* is true and
        cannot be had.
        """
        self.command = list(command)
        self._aside = aside
        self.isolated = isolate is not False
        """Whether it can reach nothing but us."""
        self.why_not = ""
        """Why it can, although nobody said that it may."""
        if not sys.platform.startswith("linux"):
            raise UsageError("starting an agent needs Linux", hint="start it yourself, beside 'frameengine proxy'")
        try:
            self._prepare()
        except _NoNetwork as error:
            if isolate:
                hint = "leave --isolate out, or allow namespaces of users (kernel.unprivileged_userns_clone)"
                raise NoSandbox(f"the agent cannot be shut in: {error}", hint=hint, missing=str(error)) from None
            self.isolated, self.why_not = False, str(error)
            self._prepare()

    def _prepare(self) -> None:
        """Start the escort, and take the listening socket from it. Raises `_NoNetwork`."""
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own program
                [sys.executable, "-I", "-S", "-c", _START, str(theirs.fileno()), _ROOT],
                pass_fds=(theirs.fileno(),),
                stdout=_STDERR if self._aside else None,
            )
        self._left = b""
        self._tell(command=self.command, isolate=self.isolated)
        line, descriptors, _, _ = socket.recv_fds(self._control, _LINE_BYTES, 1)
        self._left = line
        told = self._told()
        if told.get("at") == "isolate":
            self.close()
            raise _NoNetwork(told["error"])
        if not descriptors:
            self.close()
            raise FrameEngineError(f"the agent's keeper does not start: {told.get('error')}", hint="look at the machine")
        self.listener = socket.socket(fileno=descriptors[0])

    @property
    def url(self) -> str:
        """Where the agent finds us."""
        host, port = self.listener.getsockname()
        return f"http://{host}:{port}"

    def run(self, environment: Mapping[str, str]) -> int:
        """Start the agent with *environment* and no other, hand on signals that are sent to us, and return its exit code.

        It has our standard input, output and error. A signal that ends it counts as 128 and its number. Nothing of it is left
        when this returns: what it started and left behind is killed. Raises `UsageError` where it cannot be started.
        """
        self._tell(environment=dict(environment))
        while self._process.poll() is None:
            received = signal.sigwaitinfo({*_PASSED, signal.SIGCHLD})
            # What a terminal sends, it sends to the agent as well.
            if received.si_signo != signal.SIGCHLD and received.si_code <= 0:
                self._tell(signal=received.si_signo)
        told = self._told()
        if "error" in told and told.get("at") != "command":
            raise FrameEngineError(f"the agent's keeper failed: {told['error']}", hint="look at the machine, and try again")
        if "error" in told:
            raise UsageError(f"{self.command[0]}: {told['error']}", hint="check the command behind '--'", command=self.command)
        return int(told.get("exit", _KILLED))

    def _tell(self, **facts: Any) -> None:
        try:
            self._control.sendall(json.dumps(facts).encode() + b"\n")
        except OSError:
            # It has ended, and says so by that.
            return

    def _told(self) -> dict[str, Any]:
        """Return the next line that the escort wrote; nothing where it ended without one."""
        while b"\n" not in self._left:
            try:
                part = self._control.recv(_LINE_BYTES)
            except ConnectionError:
                part = b""
            if not part:
                return {}
            self._left += part
        line, _, self._left = self._left.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        """End what still runs, and let go of everything."""
        # The escort takes this for our death, and kills the agent and all that it started.
        self._control.close()
        self._process.wait()
        if hasattr(self, "listener"):
            self.listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _NoNetwork(Exception):
    """The machine gives no network of its own to a child; the message says why."""


@contextmanager
def waiting_for_signals() -> Iterator[None]:
    """Keep signals for `Child.run`. Enter before any thread is started: threads of ours must not take them either."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*_PASSED, signal.SIGCHLD})
    try:
        yield
    finally:
        while signal.sigtimedwait({signal.SIGCHLD}, 0) is not None:
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
