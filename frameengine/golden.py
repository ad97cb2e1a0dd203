"""Goldens: traces that must replay, the pending ones that wait for review, and the index that says which were approved.

The index of a folder, ``goldens.sha256``, has a line for each golden in it and below: the digest of its bytes, and its name, as
``sha256sum`` writes them. A replay proves that a golden and the code agree; it cannot notice that a golden is gone, was put there
by nobody, was made anew behind everybody's back, or has changed places with another. The index does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from hashlib import file_digest
from pathlib import Path
from typing import Literal, TypeAlias

from attrs import frozen

from frameengine.errors import TraceFormat, TraceNotFound, UsageError
from frameengine.trace.files import published, storage_error

TRACE = ".trace.jsonl"
"""How the name of a golden trace ends."""
VALUE = ".value.json"
"""How the name of a golden value ends, of which tests hold snapshots."""
PENDING: Mapping[str, str] = {TRACE: ".trace.pending.jsonl", VALUE: ".value.pending.json"}
"""How the name of a golden ends, to how that of a pending one beside it does: none of these is the end of another."""
INDEX = "goldens.sha256"
"""Name of the index of a folder of goldens."""
DIVERGING = "diverging"
"""A golden in a folder of this name must not replay."""
DIVERGENCE = ".divergence.txt"
"""How the name of the file ends that says where a golden must diverge."""
_LINE = re.compile(r"([0-9a-f]{64})  ([^\x00-\x1f\x7f\\]+)")

Kind: TypeAlias = Literal["empty", "no index", "missing", "unused", "changed", "reordered", "pending"]
"""What is wrong with a folder of goldens, or with one of them."""


@frozen(kw_only=True)
class Unsettled:
    """Something that keeps a folder of goldens from being what was approved."""

    kind: Kind
    """What kind of thing."""
    path: Path
    """The golden, or the pending one; the folder where it is about all of them."""
    what: str
    """What is wrong, in a sentence that names it."""
    hint: str
    """The way out."""


def check_no_ci(environment: Mapping[str, str], what: str) -> None:
    """Raise `UsageError` where *environment* has CI set: there *what*, which changes goldens, is refused."""
    if environment.get("CI", "").lower() not in ("", "0", "false"):
        raise UsageError(
            f"{what} is refused where CI is set: goldens change through review, on somebody's own machine",
            hint="unset CI to do it here",
        )


def pending_path(golden: Path) -> Path:
    """Return where the pending golden of *golden* stands, beside it. Raises `UsageError` where it can have none."""
    for suffix, pending in PENDING.items():
        if golden.name.endswith(suffix) and golden.name != suffix:
            return golden.with_name(golden.name.removesuffix(suffix) + pending)
    raise UsageError(
        f"{golden} is no golden: its name ends neither in {TRACE} nor in {VALUE}", hint="rename it", path=str(golden)
    )


def golden_path(pending: Path) -> Path:
    """Return the golden whose place a pending one would take. Raises `UsageError` where *pending* is none."""
    for suffix, ending in PENDING.items():
        if pending.name.endswith(ending) and pending.name != ending:
            return pending.with_name(pending.name.removesuffix(ending) + suffix)
    raise UsageError(f"{pending} is no pending golden", hint="see them all: frameengine snapshot pending", path=str(pending))


def is_pending(path: Path) -> bool:
    """Return whether a file is a pending golden, by its name."""
    return path.name.endswith(tuple(PENDING.values()))


def is_trace(path: Path) -> bool:
    """Return whether a file is a golden trace, by its name; a pending one is none."""
    return path.name.endswith((TRACE, TRACE + ".zst"))


def is_golden(path: Path) -> bool:
    """Return whether a file is a golden, a trace or a value, by its name."""
    return is_trace(path) or path.name.endswith(VALUE)


def must_diverge(golden: Path) -> bool:
    """Return whether a golden stands where those do that must not replay."""
    return golden.absolute().parent.name == DIVERGING


def divergence_path(golden: Path) -> Path:
    """Return where it is written down, beside it, at what place a golden must diverge."""
    return golden.with_name(golden.name.removesuffix(".zst").removesuffix(TRACE) + DIVERGENCE)


def left_behind(golden: Path) -> str:
    """Return the end of a sentence that names the pending golden of an earlier run, where there is one; else nothing."""
    pending = pending_path(golden)
    return f"; {pending} is still there, of an earlier run" if pending.is_symlink() or pending.exists() else ""


def files(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and below it, by name; hidden ones, virtual environments and linked folders are passed over."""
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if not entry.is_dir():
            yield entry
        elif not (entry.is_symlink() or (entry / "pyvenv.cfg").exists()):
            yield from files(entry)


def digest_of(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hex. Raises `TraceNotFound` where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TraceNotFound(f"{path}: {error.strerror}", hint="check the name and its permissions", path=str(path)) from error


def indexes_above(path: Path) -> list[Path]:
    """Return the folders that have an index, *path* itself and those above it, the nearest first."""
    whole = path.absolute()
    return [folder for folder in (whole, *whole.parents) if (folder / INDEX).is_file()]


def read_index(folder: Path) -> dict[str, str] | None:
    """Return the approved digest of each golden by its name in *folder*; None without an index.

    Raises `TraceFormat` where it was not written by `write_index`: a line that is none, a name twice, another order.
    """
    path = folder / INDEX
    if not path.exists():
        return None
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise TraceFormat(f"{path}: {error}", hint=_again(folder), path=str(path), line=1) from None
    listed: dict[str, str] = {}
    last = ""
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else (), start=1):
        found = _LINE.fullmatch(line)
        problem = "is no line of an index" if found is None else "" if found[2] > last else "is out of order, or there twice"
        if found is None or problem or not _inside(found[2]):
            what = problem or "names a file outside of the folder"
            raise TraceFormat(f"{path}: line {number} {what}", hint=_again(folder), path=str(path), line=number)
        last = found[2]
        listed[last] = found[1]
    return listed


def write_index(folder: Path, listed: Mapping[str, str]) -> None:
    """Write the index of *folder*, whole or not at all.

    Raises `UsageError` for a name that it cannot hold, and `StorageError`.
    """
    for name, digest in listed.items():
        if not _LINE.fullmatch(f"{digest}  {name}") or name.encode(errors="replace").decode() != name:
            raise UsageError(f"{name!r} cannot stand in an index", hint="rename the golden", path=name)
    text = "".join([f"{digest}  {name}\n" for name, digest in sorted(listed.items())])
    with published(folder / INDEX, replace=True) as file:
        file.write(text.encode())


def goldens(folder: Path) -> dict[str, Path]:
    """Return the golden traces in a folder and below it by their names in it. Raises `StorageError` where it cannot be read."""
    try:
        return {path.relative_to(folder).as_posix(): path for path in files(folder) if is_trace(path)}
    except OSError as error:
        raise storage_error(folder, error) from error


def unsettled(folder: Path) -> list[Unsettled]:
    """Return what keeps the goldens of *folder* from being those that were approved; nothing else is to be compared then.

    Raises `TraceFormat` for a broken index, and `StorageError`.
    """
    found = goldens(folder)
    listed = read_index(folder)
    waiting = [_pending(path) for path in files(folder) if is_pending(path) and path.name.endswith(PENDING[TRACE])]
    if not found and not listed:
        what = f"there is no golden in {folder}: nothing would be compared"
        return [*waiting, Unsettled(kind="empty", path=folder, what=what, hint="record one, or name another folder")]
    if listed is None:
        what = f"{folder} has no {INDEX}: a golden that is lost would not be missed"
        return [*waiting, Unsettled(kind="no index", path=folder, what=what, hint=_again(folder))]
    digests = {name: digest_of(path) for name, path in found.items()}
    names = {digest: name for name, digest in listed.items()}
    differing = [_differs(folder, name, digests, listed, names) for name in sorted({**found, **listed})]
    return [*[one for one in differing if one is not None], *waiting]


def _differs(
    folder: Path, name: str, digests: Mapping[str, str], listed: Mapping[str, str], names: Mapping[str, str]
) -> Unsettled | None:
    path, actual, approved = folder / name, digests.get(name), listed.get(name)
    if actual == approved:
        return None
    if actual is None:
        what = f"golden {path} is missing: it was approved, and is not there"
        return Unsettled(kind="missing", path=path, what=what, hint=f"get it back, or give it up: {_approve(folder)}")
    other = names.get(actual)
    if other is not None and digests.get(other) != actual:
        what = f"golden {path} is reordered: it holds what was approved as {other}"
        return Unsettled(
            kind="reordered", path=path, what=what, hint=f"rename it back, or approve the new order: {_approve(folder)}"
        )
    if approved is None:
        what = f"golden {path} is unused: it is there, and nobody approved it"
        return Unsettled(kind="unused", path=path, what=what, hint=f"remove it, or approve it: {_approve(folder)}")
    what = f"golden {path} was changed without a review: it does not hold the bytes that were approved"
    return Unsettled(kind="changed", path=path, what=what, hint=f"get it back, or approve it as it is: {_approve(folder)}")


def _pending(path: Path) -> Unsettled:
    what = f"{path} is pending: a new golden waits for review"
    return Unsettled(kind="pending", path=path, what=what, hint=f"frameengine snapshot review {path.parent}")


def _inside(name: str) -> bool:
    parts = name.split("/")
    return not any(part in ("", ".", "..") for part in parts)


def _approve(folder: Path) -> str:
    return f"frameengine snapshot index {folder}"


def _again(folder: Path) -> str:
    return f"look at the goldens, and approve them: {_approve(folder)}"
