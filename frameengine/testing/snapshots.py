"""What a run must equal: a golden file for each trace or JSON value, named as syrupy names snapshots.

Traces are compared by what they recorded: times, meta and headers are in no canonical digest, so they need not be masked. syrupy
finds the files and reports those that no test uses; it writes and deletes none, because goldens change through review. They have
a folder of their own: in that of syrupy's own snapshots, what these do not know is deleted by an update.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.data import SnapshotCollections
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from syrupy.location import PyTestLocation
from syrupy.session import SnapshotSession

from frameengine.diff.compare import compare
from frameengine.diff.result import Change, FieldChange
from frameengine.errors import FrameEngineError
from frameengine.golden import TRACE, VALUE, pending_path
from frameengine.jsonvalue import MISSING, Json, first_difference, freeze, thaw
from frameengine.replay.divergence import NOTHING, shortened
from frameengine.review import read_value
from frameengine.testing.goldens import VALUE_WIDTH, visible_line_of
from frameengine.trace.files import published
from frameengine.trace.verify import verify

FOLDER = "__goldens__"
"""Name of the folder beside tests that holds their goldens, in a folder for each file of tests."""
CHANGES_MAX = 10
"""Changes that an assertion's message tells; the rest is counted."""


class _Reviewed(SingleFileSnapshotExtension):
    """A file that tests read and only a review writes; its data is its path, so that a trace may be of any size."""

    _write_mode = WriteMode.TEXT
    snapshot_dirname = FOLDER

    @classmethod
    def dirname(cls, *, test_location: PyTestLocation) -> str:
        """Return the folder of the goldens of a file of tests."""
        return str(Path(test_location.filepath).parent / FOLDER / test_location.basename)

    def discover_snapshots(
        self, *, test_location: PyTestLocation, ignore_extensions: list[str] | None = None
    ) -> SnapshotCollections:
        """Return the goldens that tests of this session should use; none where syrupy updates, as it deletes what none did.

        Those of a file of tests that was left out are nobody's to judge; those of one that is gone are unused.
        """
        item = test_location.item
        found = SnapshotCollections()
        if item.config.option.update_snapshots:
            return found
        here = Path(test_location.filepath).parent
        run = {each.path for each in item.session.items}
        for collection in super().discover_snapshots(test_location=test_location, ignore_extensions=ignore_extensions):
            module = here / f"{Path(collection.location).parent.name}.py"
            if module in run or not module.exists():
                found.add(collection)
        return found

    def delete_snapshots(self, *, snapshot_location: str, snapshot_names: set[str]) -> None:
        """Refuse to delete."""
        raise AssertionError("goldens are removed by people only")

    def serialize(self, data: Any, **_: Any) -> str:
        """Return the path of the trace, or the text of the value."""
        return os.fspath(data) if isinstance(data, os.PathLike) else value_text(data)

    def read_snapshot_data_from_location(self, *, snapshot_location: str, **_: Any) -> str | None:
        """Return the path of the golden; None where there is none."""
        return snapshot_location if Path(snapshot_location).exists() else None

    @classmethod
    def write_snapshot_collection(cls, **_: Any) -> None:
        """Refuse to write."""
        raise AssertionError("goldens are written by a review only")


class TraceExtension(_Reviewed):
    """A golden trace."""

    file_extension = TRACE.removeprefix(".")

    def matches(self, *, serialized_data: Any, snapshot_data: Any) -> bool:
        """Return whether both traces recorded the same; each is proven first."""
        return verify(Path(snapshot_data)).canonical == verify(Path(serialized_data)).canonical

    def diff_lines(self, serialized_data: Any, snapshot_data: Any) -> Iterator[str]:
        """Yield what differs, in lines."""
        found = compare(Path(snapshot_data), Path(serialized_data))
        first = found.first
        told = [first] if first is not None else []
        told += [change for change in found.changes if change is not first and not change.follows][: CHANGES_MAX - 1]
        # What matters most stands in the few lines that pytest shows unless it is told to show all.
        for number, change in enumerate(told):
            yield from lines_of(change)
            if not number:
                yield f"  cause  {found.cause}{f': {found.because}' if found.because else ''}"
        if len(found.changes) > len(told):
            yield f"  and {len(found.changes) - len(told)} more"


class ValueExtension(_Reviewed):
    """A golden JSON value."""

    file_extension = VALUE.removeprefix(".")

    def matches(self, *, serialized_data: Any, snapshot_data: Any) -> bool:
        """Return whether both are the same value."""
        return value_text(read_value(Path(snapshot_data))) == str(serialized_data)

    def diff_lines(self, serialized_data: Any, snapshot_data: Any) -> Iterator[str]:
        """Yield the first place that differs."""
        from frameengine import foreign

        found = first_difference(read_value(Path(snapshot_data)), foreign.parse(serialized_data))
        if found is not None:
            yield f"  {found[0] or '/'}"
            yield from _sides(FieldChange(pointer=found[0], left=found[1], right=found[2]))


def value_text(value: Any) -> str:
    """Return a JSON value, or what has `to_json`, as the text of a golden. Raises `ValueRefused` for anything else."""
    from json import dumps

    value = value.to_json() if hasattr(value, "to_json") else value
    return dumps(thaw(freeze(value)), indent=2, ensure_ascii=False) + "\n"


def lines_of(change: Change) -> Iterator[str]:
    """Yield a change in lines: where, and each field with both values."""
    there = f" (now {change.right})" if change.left and change.right and change.left != change.right else ""
    for each in change.fields:
        yield f"  {change.spot}{there} {change.kind}: {each.pointer}"
        yield from _sides(each)
    if not change.fields:
        yield f"  {change.spot}{there} {change.kind}"


def _sides(each: FieldChange) -> Iterator[str]:
    yield f"  golden {_shown(each.left)}"
    yield f"  now    {_shown(each.right)}"


def _shown(value: Json) -> str:
    return NOTHING if value is MISSING else shortened(value, VALUE_WIDTH)


def _assertion(test: pytest.Item, kind: type[_Reviewed]) -> SnapshotAssertion:
    """Return syrupy's assertion, which never writes.

    The one of syrupy's own fixture would not do: with it come snapshots of another kind, to which pending goldens are files that
    nobody uses, and that an update deletes.
    """
    session: SnapshotSession = test.config._syrupy  # type: ignore[attr-defined] # noqa: SLF001 - it is had nowhere else
    return SnapshotAssertion(session=session, extension_class=kind, test_location=PyTestLocation(test), update_snapshots=False)


class FramesSnapshot:
    """What ``assert trace == frames_snapshot`` compares with: a path stands for its trace, anything else is a JSON value."""

    def __init__(self, test: pytest.Item, *, update: bool) -> None:
        """*test*: the test that compares; *update*: whether a pending golden is written where the two differ."""
        self._update = update
        self._kinds = {kind: _assertion(test, kind) for kind in (TraceExtension, ValueExtension)}
        self._report = ["nothing was compared"]

    def __eq__(self, other: object) -> bool:
        assertion = self._kinds[TraceExtension if isinstance(other, os.PathLike) else ValueExtension]
        same = bool(assertion == other)
        if not same:
            self._report = [visible_line_of(line) for line in self._told(assertion, other)]
        return same

    def __hash__(self) -> int:
        raise TypeError("a snapshot is no key: it is compared once")

    def __repr__(self) -> str:
        return "frames_snapshot"

    def report(self) -> list[str]:
        """Return in lines how the last comparison came out."""
        return self._report

    def _told(self, assertion: SnapshotAssertion, other: object) -> Iterator[str]:
        result = assertion.executions[assertion.num_executions - 1]
        golden = Path(result.snapshot_location)
        error = result.exception
        if error is not None and not isinstance(error, FrameEngineError):
            raise error
        yield f"run == golden {golden}"
        if error is not None:
            yield from (f"  {error.message}", f"  try: {error.hint}")
        elif result.recalled_data is None or result.asserted_data is None:
            yield from ("  there is no such golden", self._way_out(golden, other))
        else:
            first, *rest = [*assertion.extension.diff_lines(result.asserted_data, result.recalled_data)]
            yield from [first, *rest[:3], self._way_out(golden, other), *rest[3:]]

    def _way_out(self, golden: Path, other: object) -> str:
        if not self._update:
            return "  try: the same with --frames-update, then frameengine snapshot review"
        pending = pending_path(golden)
        pending.parent.mkdir(parents=True, exist_ok=True)
        content = Path(other).read_bytes() if isinstance(other, os.PathLike) else value_text(other).encode()
        with published(pending, replace=True) as file:
            file.write(content)
        return f"  written: {pending}, for frameengine snapshot review"
