"""The review of pending goldens: what each would change, what was judged, and the one place where goldens are written.

A trace is chained, so a golden is taken as a whole; what is judged is each of its frames that changed. What was accepted is
remembered by what was seen: when a pending golden is made anew, it holds for the frames that come out the same.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Literal, TypeAlias

from attrs import field, frozen

from frameengine import foreign
from frameengine.codec import Undecodable, digest, dumps, loads
from frameengine.diff.result import Change
from frameengine.errors import TraceFormat, TraceIntegrity, TraceLocked, TraceNotFound, UsageError
from frameengine.golden import (
    INDEX,
    PENDING,
    TRACE,
    digest_of,
    files,
    golden_path,
    goldens,
    indexes_above,
    is_pending,
    pending_path,
    read_index,
    write_index,
)
from frameengine.jsonvalue import EMPTY, Json, freeze
from frameengine.trace.files import published, storage_error
from frameengine.trace.owner import owner_of
from frameengine.trace.reader import read_header
from frameengine.trace.verify import verify

Verdict: TypeAlias = Literal["accepted", "rejected", "later"]
"""What becomes of a pending golden: it takes the golden's place, it is removed, or it waits on."""
Listing: TypeAlias = Literal["added", "changed", "removed"]
"""What became of a golden's line in an index."""
JUDGED = ".judged.json"
"""How the name of the file ends that remembers the accepted frames of a pending golden that waits on."""


@frozen(kw_only=True)
class Part:
    """What is judged at once: all that changed in one frame."""

    input: int
    """Number of the input."""
    frame: int
    """Number of the frame; 0 for the input itself and the figures of its message."""
    changes: tuple[Change, ...]
    """What changed in it, in order."""

    @property
    def place(self) -> str:
        """The place as a reference names it: ``2.3``, or ``2``."""
        return f"{self.input}.{self.frame}" if self.frame else str(self.input)

    @property
    def digest(self) -> str:
        """Digest of all that a judge of it sees."""
        return digest(freeze([self.place, [change.to_json() for change in self.changes]]))


@frozen(kw_only=True)
class Candidate:
    """A pending golden, read and proven, beside the golden whose place it would take."""

    pending: Path
    """The pending one."""
    golden: Path
    """The golden."""
    digest: str
    """Digest of the pending one's bytes."""
    before: str
    """Digest of the golden's bytes; empty where there is none."""
    parts: tuple[Part, ...] = ()
    """The frames that changed; none where it is new, a value, or differs in its header and in times only."""
    seen: frozenset[str] = field(default=frozenset())
    """Digests of the parts that were accepted before."""
    unapproved: bool = False
    """Whether it stands in the golden's place already, and an index does not have it."""
    made: str = ""
    """What the rerun that made it says of itself: its verdict, and how calls were answered; empty where none did."""

    @property
    def new(self) -> bool:
        """Whether there is no golden yet that somebody approved, so that all of it is to be judged."""
        return self.unapproved or not self.before

    @property
    def approximate(self) -> bool:
        """Whether replies that were recorded for other requests stand in it."""
        return self.made.startswith("approximate")

    @property
    def is_trace(self) -> bool:
        """Whether it is a trace, and not a value."""
        return self.golden.name.endswith(TRACE)

    @property
    def open(self) -> tuple[Part, ...]:
        """The parts that nobody has accepted yet."""
        return tuple([part for part in self.parts if part.digest not in self.seen])


@frozen(kw_only=True)
class Decision:
    """What somebody decided about a candidate."""

    candidate: Candidate
    """The candidate, as it was looked at."""
    verdict: Verdict
    """What becomes of it."""
    seen: frozenset[str] = field(default=frozenset())
    """Digests of the parts accepted so far, where it waits on."""


def pending_in(paths: Iterable[Path], *, needed: bool = True) -> list[Path]:
    """Return the pending goldens among *paths*: those named, themselves or by their golden, and those in folders that are named.

    Raises `UsageError` where a path is not there and, where they are *needed*, where it names a golden without one.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            found.update(dict.fromkeys([file for file in files(path) if is_pending(file)]))
            continue
        pending = path if is_pending(path) else pending_path(path)
        if not (pending.is_file() or pending.is_symlink()):
            if path.exists() and not needed:
                continue
            hint = "see what is pending: frameengine snapshot pending"
            raise UsageError(f"{path}: nothing is pending there: there is no file {pending}", hint=hint, path=str(path))
        found[pending] = None
    return list(found)


def candidate(pending: Path) -> Candidate:
    """Read a pending golden and the golden, prove both, and compare them.

    Raises `TraceError` for a file that is damaged or was edited, `TraceIntegrity` for a golden that is not the approved one, and
    `UsageError` for one that is a link.
    """
    golden = golden_path(pending)
    _check_links(pending, golden)
    actual = digest_of(pending)
    before = _digest_if_any(golden)
    changed: tuple[Change, ...] = ()
    unapproved, made = False, ""
    if not golden.name.endswith(TRACE):
        read_value(pending)
    else:
        verify(pending)
        made = str(read_header(pending).get("provenance", EMPTY).get("rerun", ""))
        unapproved = bool(before) and not _approved(golden, before, placed=before == actual)
        if before and before != actual:
            verify(golden)
            changed = _changes(golden, pending)
    return Candidate(
        pending=pending,
        golden=golden,
        digest=actual,
        before=before,
        parts=_parts(changed),
        seen=_remembered(judged_path(pending)),
        unapproved=unapproved,
        made=made,
    )


def _check_links(pending: Path, golden: Path) -> None:
    if golden.is_symlink():
        where = golden.resolve()
        raise UsageError(
            f"golden {golden} is a link: a review would put a file in its place",
            hint=f"put the pending one beside {where}, and review it there",
            path=str(golden),
        )
    if pending.is_symlink() and not pending.exists():
        hint = f"remove it: frameengine snapshot reject {pending}"
        raise TraceNotFound(f"{pending} is a link that leads nowhere", hint=hint, path=str(pending))


def _changes(golden: Path, pending: Path) -> tuple[Change, ...]:
    from frameengine.diff.compare import compare

    return compare(golden, pending).changes


def read_value(path: Path) -> Json:
    """Return the JSON value in a file. Raises `TraceFormat`."""
    try:
        return foreign.parse(path.read_bytes())
    except (OSError, UsageError) as error:
        raise TraceFormat(f"{path}: {error}", hint="make it again with --frames-update", path=str(path), line=1) from None


def _approved(golden: Path, before: str, *, placed: bool) -> bool:
    """Return whether all indexes above have *golden* as it is; only where the pending one is *placed* already may they not."""
    for folder in indexes_above(golden.parent):
        approved = (read_index(folder) or {}).get(_name(golden, folder))
        if approved == before:
            continue
        if placed:
            return False
        what = "was approved by nobody" if approved is None else "was changed without a review"
        back = "remove it" if approved is None else f"get it back (git restore {golden})"
        raise TraceIntegrity(
            f"golden {golden} {what}: it is not the one that {folder / INDEX} names",
            hint=f"{back}, or approve it as it is: frameengine snapshot index {folder}",
            path=str(golden),
            line=1,
        )
    return True


def _parts(changes: Iterable[Change]) -> tuple[Part, ...]:
    """Return changes by frame: the place in the pending one, or in the golden for what is no more.

    Figures that differ because frames do are judged with the last of these.
    """
    by_place: dict[tuple[int, int], list[Change]] = {}
    for change in changes:
        spot = change.right or change.spot
        place = (spot.input, spot.frame)
        if change.follows and not spot.frame:
            place = next((known for known in reversed(by_place) if known[0] == spot.input), place)
        by_place.setdefault(place, []).append(change)
    return tuple([Part(input=place[0], frame=place[1], changes=tuple(found)) for place, found in by_place.items()])


def judged_path(pending: Path) -> Path:
    """Return where the accepted frames of a pending golden that waits on are remembered."""
    suffix = next(ending for ending in PENDING.values() if pending.name.endswith(ending))
    stem = pending.name.removesuffix(suffix)
    return pending.with_name(stem + suffix.rpartition(".")[0] + JUDGED)


def _remembered(path: Path) -> frozenset[str]:
    if not path.exists():
        return frozenset()
    try:
        accepted = loads(path.read_bytes())["accepted"]
        return frozenset([text for text in accepted if isinstance(text, str)])
    except (OSError, Undecodable, KeyError, TypeError):
        hint = "remove it: its frames are then judged again"
        raise TraceFormat(f"{path} does not say what was judged", hint=hint, path=str(path), line=1) from None


@contextmanager
def reviewing(paths: Iterable[Path]) -> Iterator[None]:
    """Keep other reviewers away from the folders of these pending goldens, and from their indexes.

    Raises `TraceLocked` where one is at it, and `StorageError` where a folder cannot be written to.
    """
    folders = {path.absolute().parent: None for path in paths}
    folders.update({folder: None for path in list(folders) for folder in indexes_above(path)})
    with ExitStack() as stack:
        for folder in sorted(folders):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = owner_of(folder)
                what = f"the goldens in {folder} are being reviewed by {owner}"
                raise TraceLocked(what, hint="wait until that review ends", path=str(folder), owner=owner) from None
            if not os.access(folder, os.W_OK):
                raise storage_error(folder, OSError(errno.EACCES, os.strerror(errno.EACCES)))
        yield


def commit(decisions: Sequence[Decision]) -> None:
    """Carry all decisions out; to be called inside `reviewing`.

    Nothing is written where a file is not the one that was judged. Each golden is put in place whole; the pending ones go last,
    so that whoever is stopped in the middle can run the same again. Raises `UsageError`, `StorageError`.
    """
    contents = {one.candidate.golden: _unchanged(one.candidate) for one in decisions}
    accepted = [one.candidate for one in decisions if one.verdict == "accepted"]
    for one in accepted:
        with published(one.golden, replace=True) as file:
            file.write(contents[one.golden])
    _list_accepted(accepted)
    for decision in decisions:
        judged = judged_path(decision.candidate.pending)
        if decision.verdict == "later":
            if decision.seen != decision.candidate.seen:
                _remember(judged, decision.seen)
            continue
        pending = decision.candidate.pending
        # Whoever makes pending goldens waits for no review: one that came meanwhile was not judged, and stays.
        done = (judged, pending) if _digest_if_any(pending) == decision.candidate.digest else (judged,)
        for path in done:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise storage_error(path, error) from error


def _unchanged(judged: Candidate) -> bytes:
    """Return the bytes of a pending golden, which are those that were judged. Raises `UsageError` where they are not."""
    content, found = b"", ""
    try:
        content = judged.pending.read_bytes()
        found = sha256(content).hexdigest()
    except OSError as error:
        # What could not be read when it was judged can be rejected all the same.
        if judged.digest:
            raise storage_error(judged.pending, error) from error
    if found != judged.digest or _digest_if_any(judged.golden) != judged.before:
        raise UsageError(
            f"{judged.pending}, or its golden, changed while it was reviewed: nothing was written",
            hint="review it again",
            path=str(judged.pending),
        )
    return content


def _list_accepted(accepted: Iterable[Candidate]) -> None:
    """Put the digests of accepted traces into all indexes that they stand below."""
    by_folder: dict[Path, dict[str, str]] = {}
    for one in accepted:
        for folder in indexes_above(one.golden.parent) if one.is_trace else ():
            by_folder.setdefault(folder, {})[_name(one.golden, folder)] = one.digest
    for folder, listed in by_folder.items():
        write_index(folder, {**(read_index(folder) or {}), **listed})


def _remember(path: Path, seen: frozenset[str]) -> None:
    with published(path, replace=True) as file:
        file.write(dumps({"schema_version": 1, "accepted": sorted(seen)}) + b"\n")


def _name(golden: Path, folder: Path) -> str:
    return golden.absolute().relative_to(folder).as_posix()


def approve_all(folder: Path) -> dict[str, Listing]:
    """Write the index of *folder* anew from the goldens that are there, each of them proven; return what is other than before.

    Raises `TraceError` for a golden that is damaged, `UsageError` where there is none, and `StorageError`.
    """
    found = goldens(folder)
    if not found:
        raise UsageError(f"there is no golden in {folder}", hint="record one, or name another folder", path=str(folder))
    with reviewing([folder / INDEX]):
        listed = _listed(folder)
        for path in found.values():
            if not path.name.endswith(TRACE):
                hint = f"unpack it (zstd -d --rm {path})"
                raise UsageError(f"{path} is compressed: no pending golden could take its place", hint=hint, path=str(path))
            verify(path)
        digests = {name: digest_of(path) for name, path in found.items()}
        told: dict[str, Listing] = {}
        for name in sorted({**digests, **listed}):
            if digests.get(name) != listed.get(name):
                told[name] = "added" if name not in listed else "changed" if name in digests else "removed"
        if told or not (folder / INDEX).exists():
            write_index(folder, digests)
    return told


def _listed(folder: Path) -> Mapping[str, str]:
    """Return what the index has; nothing where it is broken, because this is the way out of that."""
    try:
        return read_index(folder) or {}
    except TraceFormat:
        return {}


def unread(pending: Path) -> Candidate:
    """Return a candidate that nobody looked at, as it need not be whole to be rejected."""
    golden = golden_path(pending)
    return Candidate(pending=pending, golden=golden, digest=_digest_if_any(pending), before=_digest_if_any(golden))


def _digest_if_any(path: Path) -> str:
    """Return the digest of a file; nothing where there is none, or none that can be read."""
    try:
        return digest_of(path)
    except TraceNotFound:
        return ""
