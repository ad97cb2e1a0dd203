"""Run references: a path, ``-``, ``latest``, ``latest~1``, the start of a name or id; ``REF@MESSAGE.FRAME`` for a place in it."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from frameengine.errors import FrameEngineError, TraceError, UnknownRef, UsageError

SUFFIXES = (".trace.jsonl", ".trace.jsonl.zst")
ID_DIGITS = 12
ID_DIGITS_MIN = 4
"""Fewer digits of an id are no reference: they would name something by chance."""
SEAL_BYTES_MAX = 1 << 10
CHAT_BYTES = 1 << 16
"""How far into a file that is no trace it is looked for signs of a conversation."""
STDIN = Path("stdin")
"""What a trace from stdin is called."""
_PLACE = re.compile(r"(?s)(.+)@(\d{1,9})(?:\.(\d{1,9}))?")
_LATEST = re.compile(r"latest(?:~(\d{1,9}))?")


@frozen(kw_only=True)
class Place:
    """A message of a run, or a frame of one."""

    message: int
    """Number of the input."""
    frame: int | None = None
    """Number of the frame."""


@frozen(kw_only=True)
class Source:
    """A trace that a command reads."""

    path: Path
    """Where its bytes are."""
    name: Path
    """What it is called on screens: its path, or stdin."""
    typed: str | None = None
    """How to name it on a command line; None where that is impossible, because stdin gives a trace once."""
    agent: str | None = None
    """How to name the recording of somebody's agent whose conversations these are; None for any other run."""
    recording: Path | None = None
    """Where the bytes of a recording of HTTP calls are, also where it holds no conversation and these are shown; else None."""


def typed(path: Path | str) -> str:
    """Return a path as it is typed in a shell."""
    return shlex.quote(str(path))


def split_place(ref: str) -> tuple[str, Place | None]:
    """Return the run's reference and the place in it. A file whose name looks like a place is a file."""
    match = _PLACE.fullmatch(ref)
    if match is None or Path(ref).exists():
        return ref, None
    return match[1], Place(message=int(match[2]), frame=None if match[3] is None else int(match[3]))


def traces_folder(option: Path | None) -> Path:
    """Return the folder in which names are looked up: the option, else FRAMEENGINE_TRACES, else ./traces."""
    return option or Path(os.environ.get("FRAMEENGINE_TRACES") or "traces")


@contextmanager
def opened(ref: str, folder: Path | None = None) -> Iterator[Source]:
    """Give the trace that *ref* names; stdin is kept in a file meanwhile. Raises `UnknownRef`."""
    if ref != "-":
        path = find(ref, traces_folder(folder))
        try:
            yield Source(path=path, name=path, typed=typed(path))
        except TraceError as error:
            _point_to_import(error, path, typed(path))
            raise
        return
    if sys.stdin.isatty():
        raise UsageError("'-' reads a trace from stdin, and stdin is a terminal", hint="frameengine show - < FILE")
    from shutil import copyfileobj
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="frameengine-") as temporary:
        path = Path(temporary) / "stdin.trace.jsonl"
        with path.open("wb") as sink:
            copyfileobj(sys.stdin.buffer, sink)
        try:
            yield Source(path=path, name=STDIN)
        except FrameEngineError as error:
            _point_to_import(error, path, "-")
            error.hint = error.hint.replace(str(path), "-")
            rename(error, path, STDIN)
            raise


def _point_to_import(error: FrameEngineError, path: Path, typed_path: str) -> None:
    """Say what else can be done with a file that is no trace from its first line on, but a conversation."""
    if error.fields.get("line") != 1 or not path.is_file():
        return
    with path.open("rb") as file:
        start = file.read(CHAT_BYTES).lstrip()
    if start[:1] in (b"[", b"{") and not start.startswith(b'{"kind":') and (b'"role"' in start or b'"messages"' in start):
        error.hint = f"it looks like a conversation: frameengine import openai {typed_path}"


def rename(error: FrameEngineError, path: Path, name: Path) -> None:
    """Let an error speak of *name* where it speaks of *path*: of what somebody has opened, not of a file that will be gone."""
    error.message = error.message.replace(str(path), str(name))
    error.hint = error.hint.replace(str(path), str(name))
    error.fields = {member: str(name) if value == str(path) else value for member, value in error.fields.items()}


def find(ref: str, folder: Path) -> Path:
    """Return the path of the trace that *ref* names. Raises `UnknownRef` where that is none, or several."""
    path = Path(ref)
    place = None if path.exists() else _PLACE.fullmatch(ref)
    if place is not None:
        hint = f"leave out {ref[len(place[1]) :]}, or: frameengine show {typed(ref)}"
        raise UsageError(f"{ref}: only show and testcase take @MESSAGE", hint=hint, ref=ref)
    if path.is_dir() and "/" in ref:
        raise _is_folder(path)
    if (path.exists() and not path.is_dir()) or "/" in ref or ref.endswith(SUFFIXES):
        return path
    listed = traces(folder)
    latest = _LATEST.fullmatch(ref)
    if latest is not None:
        return _latest(ref, int(latest[1] or 0), folder, listed)
    exact = [trace for trace in listed if stem(trace) == ref]
    named = exact or [trace for trace in listed if stem(trace).startswith(ref)]
    if not named and len(ref) >= ID_DIGITS_MIN:
        named = [trace for trace in listed if (run_id(trace) or "").startswith(ref.lower())]
    if len(named) == 1:
        return named[0]
    if not named and path.is_dir():
        raise _is_folder(path)
    known = [describe(trace) for trace in named or listed]
    if named:
        raise UnknownRef(
            f"{ref!r} is the start of {len(named)} runs: {_some(known)}",
            hint="write more of the name or id",
            ref=ref,
            candidates=known,
        )
    where = f"the folder {folder} has {_some(known) if known else 'no traces'}"
    here = next((trace for trace in traces(Path()) if stem(trace).startswith(ref)), None)
    meant = f"did you mean the file {typed(here)}? Else " if here is not None else ""
    raise UnknownRef(
        f"no run {ref!r}: there is no such file, and {where}",
        hint=f"{meant}name a file, or the start of a name or id; --traces DIR looks in another folder",
        ref=ref,
        candidates=known,
    )


def _is_folder(path: Path) -> UnknownRef:
    held = traces(path)
    hint = f"name a trace in it: {typed(held[0])}" if held else "name a trace; there is none in it"
    return UnknownRef(f"{path} is a folder", hint=hint, ref=str(path), candidates=[describe(trace) for trace in held])


def _latest(ref: str, back: int, folder: Path, listed: list[Path]) -> Path:
    if back >= len(listed):
        raise UnknownRef(
            f"no run {ref!r}: the folder {folder} has {len(listed)} {'trace' if len(listed) == 1 else 'traces'}",
            hint="record one with 'frameengine run', or look elsewhere with --traces DIR",
            ref=ref,
            candidates=[describe(trace) for trace in listed],
        )
    return sorted(listed, key=lambda trace: (trace.stat().st_mtime_ns, trace.name), reverse=True)[back]


def traces(folder: Path) -> list[Path]:
    """Return the traces of a folder, by name."""
    if not folder.is_dir():
        return []
    return sorted([entry for entry in folder.iterdir() if entry.name.endswith(SUFFIXES) and entry.is_file()])


def stem(path: Path) -> str:
    """Return a trace's name without its suffix."""
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return path.stem


def describe(path: Path) -> str:
    """Return name and id of a trace."""
    found = run_id(path)
    return f"{stem(path)} ({found})" if found else f"{stem(path)} (no seal)"


def short_id(head: str) -> str:
    """Return the id of the run whose seal has this chain value."""
    return head[:ID_DIGITS]


def run_id(path: Path) -> str | None:
    """Return the id that a file's last line gives it; None where that is no seal. The file is not proven by this."""
    seal = last_seal(path)
    return None if seal is None else short_id(str(seal["chain"]))


def last_seal(path: Path) -> dict[str, object] | None:
    """Return the members of a file's seal, unproven; None where its last line is none. Compressed files are not looked into."""
    from frameengine.codec import Undecodable, loads

    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - SEAL_BYTES_MAX))
            lines = file.read().split(b"\n")
        value = loads(lines[-2]) if len(lines) > 1 else None
    except (OSError, Undecodable):
        return None
    return value if isinstance(value, dict) and value.get("kind") == "seal" and "chain" in value else None


def size(path: Path) -> int | None:
    """Return the bytes that there are to read; None where that is known at their end only."""
    from frameengine.trace.source import is_compressed

    return None if is_compressed(path) else path.stat().st_size


def _some(known: list[str], limit: int = 8) -> str:
    listed = ", ".join(known[:limit])
    return listed if len(known) <= limit else f"{listed} and {len(known) - limit} more"


def free_name(folder: Path, name: str) -> Path:
    """Return a path in *folder* that is not taken: ``name``, ``name-2`` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 1
    while (path := folder / f"{name}{'' if number == 1 else f'-{number}'}.trace.jsonl").exists():
        number += 1
    return path


def check_absent(path: Path, *, force: bool, read: Path | None = None) -> None:
    """Raise `UsageError` where *path* exists and may not be written over; never over the trace that is *read* meanwhile."""
    if read is not None and path.exists() and path.samefile(read):
        raise UsageError(f"{path} is the trace that is replayed", hint="choose another name", path=str(path))
    if path.exists() and not force:
        if path.is_dir():
            raise UsageError(f"{path} is a folder", hint="name a file in it", path=str(path))
        raise UsageError(f"{path} exists", hint="choose another name, or say --force", path=str(path))
