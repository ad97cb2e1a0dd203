"""One execution of foreign code, as its caller sees it: start, read, kill, and what came of it."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import tempfile
from codecs import getincrementaldecoder
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import IO, Any, Final, Literal

from attrs import asdict, define, field, frozen

from frameengine.codec import dumps
from frameengine.errors import NoSandbox
from frameengine.foreign import parse
from frameengine.jsonvalue import FrozenMap
from frameengine.tools.sandbox import CODE, WORK
from frameengine.tools.sandbox import __name__ as package

_START: Final = f"import sys; sys.path.append(sys.argv[1]); from {package}.launch import main; main()"
_ROOT: Final = str(Path(__file__).parents[3])
_LIBRARIES: Final = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")
_PATIENCE_SECONDS: Final = 5.0
"""Beyond the limit of time, without a word from the launcher: then the launcher itself is killed."""
_CHUNK: Final = 1 << 16
_PIPE_CHUNKS: Final = 16
_NAME: Final = "code.py"


@frozen(kw_only=True)
class Limits:
    """What one execution may take. Those of one process hold for each; the others for all that it starts together."""

    wall_seconds: float = 10.0
    """Time, the start included."""
    cpu_seconds: int = 10
    """Time of the processor, for one process."""
    memory_bytes: int = 512 << 20
    """Address space of one process; memory that all hold together."""
    file_bytes: int = 16 << 20
    """Size of one file."""
    folder_bytes: int = 64 << 20
    """Size of the work folder, in the sandbox."""
    folder_files: int = 1_000
    """Files in the work folder, in the sandbox."""
    processes: int = 32
    """Processes and threads together, in the sandbox."""
    open_files: int = 64
    """Open files of one process."""
    output_bytes: int = 1 << 20
    """Bytes kept of standard output, and of standard error; the rest is read and dropped."""


@frozen(kw_only=True)
class Ended:
    """What came of an execution."""

    exit_code: int
    """As a shell has it: 128 and the number of the signal where one ended the code."""
    why: Literal["exit", "time", "memory", "cancel"]
    """It ended by itself, or what it was killed for."""
    stdout: str
    """Standard output; bytes that are no UTF-8 as ``\\xff``."""
    stderr: str
    """Standard error."""
    stdout_cut: bool
    """Whether there was more."""
    stderr_cut: bool
    """Whether there was more."""
    walls: tuple[str, ...]
    """What stood around the code: namespaces, landlock, seccomp; nothing outside of a sandbox."""


class Box:
    """Runs one piece of code, once. `kill` may come from any thread, at any time."""

    def __init__(self, code: str, limits: Limits, *, isolate: bool = True) -> None:
        self._code = code
        self._limits = limits
        self._isolate = isolate
        self._lock = Lock()
        self._control: IO[bytes] | None = None
        self._killed = False

    def kill(self) -> None:
        """End the code and all that it started; code that has not begun does not begin."""
        with self._lock:
            self._killed = True
            self._let_go()

    def run(self, on_start: Callable[[], None] = lambda: None) -> Ended:
        """Run the code to its end. *on_start* is called when the code itself begins.

        Nothing of it is left when this returns or raises. Raises `NoSandbox` where it could not be started.
        """
        if self._isolate:
            return self._launch(on_start, WORK, CODE, "")
        with tempfile.TemporaryDirectory(prefix="frameengine-python-") as folder:
            work, code = Path(folder, "work"), Path(folder, _NAME)
            work.mkdir()
            code.write_text(self._code, encoding="utf-8", newline="")
            return self._launch(on_start, str(work), str(code), folder)

    def _launch(self, on_start: Callable[[], None], work: str, code: str, hidden: str) -> Ended:
        reader = _Reader(self._limits, hidden, on_start)
        with self._lock:
            if self._killed:
                return reader.ended("cancel", 0)
            process, status = self._start()
        try:
            with open(status, "rb", buffering=0) as told:  # noqa: PTH123 - a pipe has no path
                self._order(work, code, hidden)
                reader.read(process, told)
        finally:
            with self._lock:
                self._let_go()
            process.wait()
            for file in (process.stdout, process.stderr):
                if file is not None:
                    file.close()
        return reader.result(process.returncode, self._killed)

    def _start(self) -> tuple[subprocess.Popen[bytes], int]:
        status, theirs = os.pipe()
        try:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own program
                [python(), "-I", "-S", "-c", _START, _ROOT, str(theirs)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={},
                cwd="/",
                pass_fds=(theirs,),
                bufsize=0,
                start_new_session=True,  # Ctrl-C is for us; the launcher is told by its standard input
            )
        except OSError as error:
            os.close(status)
            raise NoSandbox(f"the launcher does not start: {error}", hint="look at the machine") from error
        finally:
            os.close(theirs)
        self._control = process.stdin
        return process, status

    def _order(self, work: str, code: str, remove: str) -> None:
        limits = asdict(self._limits)
        order = {
            "isolate": self._isolate,
            "code": self._code,
            "command": [python(), "-s", "-P", "-B", code],
            "environment": environment(work),
            "folder": work,
            "remove": remove,
            "folder_options": f"size={limits['folder_bytes']},nr_inodes={limits['folder_files']},mode=700",
            "readable": installation() if self._isolate else [],
            "mountpoint": os.path.realpath(sys.base_prefix),
            "wall_seconds": limits["wall_seconds"],
            "limits": limits,
        }
        with self._lock:
            if self._control is not None and not self._control.closed:
                _write_all(self._control, dumps(order) + b"\n")

    def _let_go(self) -> None:
        """Close the launcher's standard input, which tells it to kill."""
        if self._control is not None:
            self._control.close()


def python() -> str:
    """Return the interpreter that runs the code: that of the installation, not that of a virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)


def installation() -> list[str]:
    """Return what code in the sandbox may read: the Python installation, and the libraries that it is linked with."""
    prefixes = dict.fromkeys(os.path.realpath(prefix) for prefix in (sys.base_prefix, sys.base_exec_prefix))
    own = [f"{prefix}/{name}" for prefix in prefixes for name in ("lib", "lib64")]
    return list(dict.fromkeys([python(), *own, *_LIBRARIES]))


def environment(work: str) -> dict[str, str]:
    """Return all variables that the code gets: none of ours, and what makes it behave the same everywhere."""
    return {
        "HOME": work,
        "TMPDIR": work,
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "PYTHONUNBUFFERED": "1",  # what was printed before a kill is not lost
        "MALLOC_ARENA_MAX": "2",  # each arena reserves 64 MiB of the address space
    }


def _write_all(file: IO[bytes], data: bytes) -> None:
    try:
        while data:
            data = data[file.write(data) :]
    except BrokenPipeError:
        return  # the launcher has ended; why, it has said


@define
class _Kept:
    """The beginning of an output."""

    most: int
    data: bytearray = field(factory=bytearray)
    cut: bool = False

    def add(self, chunk: bytes) -> None:
        room = self.most - len(self.data)
        self.data += chunk[:room]
        self.cut = self.cut or len(chunk) > room

    def text(self, hidden: str) -> str:
        """Return the text, with *hidden*, a path that differs from run to run, left out."""
        data = bytes(self.data).replace(hidden.encode(), b"") if hidden else bytes(self.data)
        # Half a character at the cut is left out.
        return getincrementaldecoder("utf-8")("backslashreplace").decode(data, not self.cut)


class _Reader:
    """Takes in what the code prints and what the launcher says."""

    def __init__(self, limits: Limits, hidden: str, on_start: Callable[[], None]) -> None:
        self._limits = limits
        self._hidden = hidden
        self._on_start = on_start
        self._out, self._err, self._told = (_Kept(most) for most in (limits.output_bytes, limits.output_bytes, 1 << 16))
        self._started = False

    def read(self, process: subprocess.Popen[bytes], told: IO[bytes]) -> None:
        """Read until the launcher has ended, which it does when nothing of the code is left."""
        assert process.stdout is not None  # noqa: S101 - asked for as pipes
        assert process.stderr is not None  # noqa: S101
        with selectors.DefaultSelector() as selector:
            for file, kept in ((process.stdout, self._out), (process.stderr, self._err), (told, self._told)):
                os.set_blocking(file.fileno(), False)
                selector.register(file, selectors.EVENT_READ, kept)
            while told in selector.get_map():
                ready = selector.select(self._limits.wall_seconds + _PATIENCE_SECONDS)
                if not ready:
                    process.kill()
                for key, _ in ready:
                    self._take(selector, key.fileobj, key.data)
            # What was printed is there already: whoever could add to it has ended. A pipe holds no more than this.
            for key, _ in [ready for ready in selector.select(0) for _ in range(_PIPE_CHUNKS)]:
                self._take(selector, key.fileobj, key.data)

    def _take(self, selector: selectors.BaseSelector, file: Any, kept: _Kept) -> None:
        chunk = file.read(_CHUNK)
        if chunk:
            kept.add(chunk)
            if kept is self._told and not self._started and b'"walls"' in kept.data:
                self._started = True
                self._on_start()
        elif chunk is not None and file in selector.get_map():
            selector.unregister(file)

    def result(self, status: int, killed: bool) -> Ended:
        """Return what came of it. Raises `NoSandbox` where the code could not be started."""
        facts: dict[str, Any] = {}
        for line in self._told.data.split(b"\n"):
            if line:
                said = parse(bytes(line))
                assert isinstance(said, FrozenMap)  # noqa: S101 - the launcher writes nothing else
                facts.update(said)
        if "exit" in facts and "error" not in facts:
            return self.ended(facts["ended"], facts["exit"], facts.get("walls", ()))
        if killed:
            return self.ended("cancel", 0)
        # Without a word it did not come to its own program.
        last = self._err.text("").rstrip().rpartition("\n")[2]
        why = facts.get("error") or f"the launcher ended with status {status}: {last}"
        raise NoSandbox(f"the sandbox cannot be made: {why}", hint="look at what the machine allows")

    def ended(self, why: Literal["exit", "time", "memory", "cancel"], exit_code: int, walls: tuple[str, ...] = ()) -> Ended:
        """Return an end with the output so far."""
        return Ended(
            exit_code=exit_code,
            why=why,
            stdout=self._out.text(self._hidden),
            stderr=self._err.text(self._hidden),
            stdout_cut=self._out.cut,
            stderr_cut=self._err.cut,
            walls=walls,
        )
