"""Run the Python code that a model wrote, in a process of its own that is shut in (`frameengine.tools.sandbox`).

One `Processes` belongs to one run: it counts the processes from 1, can say what each of them does, and can end them. Where the
machine cannot shut code in, nothing is run, unless the caller asked for `unsafe_local`; what was the case is meant for the
header of the trace (`Processes.stamp`).

A result holds what is a function of the code as far as code is one: no process number of the machine, no path of it, and no
time unless the caller gave a clock. How long an outcome took stands in its meta.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from threading import Lock
from typing import Final, Literal, TypeAlias

from frameengine.errors import NoSandbox, ToolFailed, UsageError
from frameengine.jsonvalue import FrozenMap, freeze
from frameengine.tools.registry import ToolRegistry
from frameengine.tools.sandbox.box import Box, Ended, Limits
from frameengine.tools.sandbox.probe import Sandbox, probe

CODE_BYTES_MAX: Final = 256 << 10
"""Size of the code in UTF-8."""
NO_EXIT_CODE: Final = -1
"""The exit code of what was killed before it could have one."""
UNSAFE: Final = "unsafe-local"
"""Stamp of a run whose code was not shut in."""
REFUSED: Final = "refused"
"""Stamp of a run whose code was not run, because it could not be shut in."""

NAME: Final = "python"
SCHEMA: Final[FrozenMap] = freeze(
    {
        "description": "Run a Python program and return what it prints. It has the standard library, an empty folder, no network "
        "and ten seconds; nothing is kept between two programs.",
        "parameters": {
            "type": "object",
            "properties": {"code": {"type": "string", "description": "The program."}},
            "required": ["code"],
            "additionalProperties": False,
        },
    }
)

Status: TypeAlias = Literal["pending", "running", "done", "failed", "cancelled", "timed_out"]


class Process:
    """One process of a run. Made by `Processes.begin`, it has its number and has not begun."""

    def __init__(self, owner: Processes, pid: int, code: str) -> None:
        self.pid = pid
        """Its number in the run, from 1. The machine's own number is shown to nobody."""
        self.status: Status = "pending"
        """What has become of it."""
        self._owner = owner
        self._digest = sha256(code.encode()).hexdigest()
        self._box: Box | None = Box(code, owner.limits, isolate=not owner.unsafe_local)
        self._lock = Lock()
        self._started: float | None = None
        self._elapsed: float | None = None

    def run(self) -> FrozenMap:
        """Run it to its end and return the result, once. Raises `NoSandbox`."""
        with self._lock:
            box = self._box
        if box is None:
            raise UsageError(f"process {self.pid} has run", hint="begin another one", pid=self.pid)
        clock = self._owner.monotonic
        self._started = clock() if clock is not None else None
        try:
            self._owner.check()
            ended = box.run(self._begun)
        except BaseException:
            self._end("failed")
            raise
        self._end("failed" if ended.why == "exit" and ended.exit_code else _STATUS[ended.why])
        return self._result(ended)

    def cancel(self) -> bool:
        """End it and all that it started, or do not let it begin; tell whether it was there to be ended."""
        with self._lock:
            if self.status not in ("pending", "running"):
                return False
            self.status, box = "cancelled", self._box
        if box is not None:
            box.kill()
        return True

    def line(self) -> FrozenMap:
        """Return pid, tool and status; with a clock, the seconds that it has taken as well."""
        clock, started = self._owner.monotonic, self._started
        elapsed = self._elapsed
        if elapsed is None and clock is not None:
            elapsed = 0.0 if started is None else clock() - started
        timed = {} if elapsed is None else {"elapsed": round(elapsed, 2)}
        line: FrozenMap = freeze({"pid": self.pid, "tool": NAME, "status": self.status, **timed})
        return line

    def _begun(self) -> None:
        with self._lock:
            if self.status == "pending":
                self.status = "running"

    def _end(self, status: Status) -> None:
        clock = self._owner.monotonic
        with self._lock:
            if clock is not None and self._started is not None:
                self._elapsed = clock() - self._started
            # A cancel that came first stays, whatever the process still did.
            if self.status != "cancelled":
                self.status = status
            self._box = None

    def _result(self, ended: Ended) -> FrozenMap:
        limits = self._owner.limits
        passed = {"time": f"{limits.wall_seconds:g} s", "memory": f"{limits.memory_bytes >> 20:,} MiB of memory"}
        result: FrozenMap = freeze(
            {
                **self.line(),
                "exit_code": NO_EXIT_CODE if self.status in ("cancelled", "timed_out") else ended.exit_code,
                "stdout": ended.stdout,
                "stderr": ended.stderr,
                "stdout_cut": ended.stdout_cut,
                "stderr_cut": ended.stderr_cut,
                "limit": passed.get(ended.why),
                "code_sha256": self._digest,
            }
        )
        return result


_STATUS: Final[dict[str, Status]] = {"exit": "done", "time": "timed_out", "memory": "failed", "cancel": "cancelled"}


class Processes:
    """The Python tool of one run. Safe to use from several threads."""

    def __init__(
        self, limits: Limits | None = None, *, unsafe_local: bool = False, monotonic: Callable[[], float] | None = None
    ) -> None:
        """Run code in a sandbox; with *unsafe_local* as an ordinary process of this machine, which may do what its user may.

        With *monotonic*, a clock in seconds, results and `status` have the time that each process took; without it time is
        virtual and they have none.
        """
        self.limits = limits or Limits()
        self.unsafe_local = unsafe_local
        self.monotonic = monotonic
        self._lock = Lock()
        self._probing = Lock()
        self._sandbox: Sandbox | None = None
        self._processes: dict[int, Process] = {}

    @property
    def sandbox(self) -> Sandbox:
        """What shuts the code in; found out by trying, at the first use."""
        with self._probing:
            if self._sandbox is None:
                self._sandbox = Sandbox() if self.unsafe_local else probe()
            return self._sandbox

    def stamp(self) -> dict[str, str]:
        """Return what the header of a trace says about this tool, as a part of its provenance."""
        if self.unsafe_local:
            return {"python_tool": UNSAFE}
        return {"python_tool": REFUSED if self.sandbox.missing else "+".join(self.sandbox.walls)}

    def check(self) -> None:
        """Raise `NoSandbox` where code cannot be shut in, and nobody said that it need not be."""
        missing = self.sandbox.missing
        if missing:
            hint = "use a Linux that allows user namespaces, or accept the danger with unsafe_local"
            raise NoSandbox(f"Python code cannot be run safely on this machine: {missing}", hint=hint, missing=missing)

    def __call__(self, code: str) -> FrozenMap:
        """Run *code* to its end and return the result. Raises `ToolFailed`."""
        return self.execute(code)

    def execute(self, code: str) -> FrozenMap:
        """Run *code* to its end and return the result. Raises `ToolFailed`."""
        return self.begin(code).run()

    def begin(self, code: str) -> Process:
        """Give *code* the next number. Raises `ToolFailed` for code that no file could hold, or that is too long."""
        try:
            size = len(code.encode())
        except UnicodeEncodeError as error:
            raise ToolFailed(f"the code has half a character at {error.start:,}", hint="send whole ones") from error
        if size > CODE_BYTES_MAX:
            raise ToolFailed(f"the code has {size:,} bytes, the bound is {CODE_BYTES_MAX:,}", hint="send less")
        with self._lock:
            process = Process(self, len(self._processes) + 1, code)
            self._processes[process.pid] = process
        return process

    def cancel(self, pid: int) -> bool:
        """End a process and all that it started; tell whether it was there to be ended."""
        with self._lock:
            process = self._processes.get(pid)
        return process is not None and process.cancel()

    def status(self) -> list[FrozenMap]:
        """Return pid, tool and status of each process, in order; with a clock, the seconds it has taken as well."""
        with self._lock:
            return [process.line() for process in self._processes.values()]


def register_python(registry: ToolRegistry, processes: Processes) -> None:
    """Add the tool ``python``."""
    registry.register(NAME, processes, SCHEMA)
