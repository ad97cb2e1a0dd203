"""Fork a run: what was recorded up to the first edit, and from there on what the code makes of it, as a new trace."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile, zip_longest
from pathlib import Path
from shlex import quote
from typing import Any, TypeAlias

from attrs import frozen

from frameengine.cassette.match import Policy
from frameengine.debug.edit import Edit, EditInput, EditReply, check_answered
from frameengine.debug.place import Place
from frameengine.debug.timeline import Timeline
from frameengine.diff.compare import compare as compare_traces
from frameengine.diff.result import TraceDiff
from frameengine.effects import EffectKey
from frameengine.errors import Diverged, InternalError, NothingCompared, TraceIntegrity, UsageError
from frameengine.graph.registry import BoundGraph
from frameengine.inputs import StateEdit
from frameengine.jsonvalue import FrozenMap, freeze
from frameengine.replay.divergence import Divergence
from frameengine.replay.replayer import Replayer
from frameengine.rerun.edited import Edited, EditedCall, PutIn, is_before
from frameengine.rerun.rerun import HOWS, RerunResult, Verdict, rerun
from frameengine.rerun.stage import How, Miss
from frameengine.rerun.supply import Supply
from frameengine.trace.files import steady
from frameengine.trace.reader import Counts, TraceReader

Position: TypeAlias = tuple[int, int]
"""Where a line of a trace stands: its message, and the frame that it belongs to or comes before; 0 for the message's own input,
and `_END` for its figures."""
_END = 1 << 62


@frozen(kw_only=True)
class ForkResult:
    """What a fork came to."""

    parent: Path
    """The trace that was forked."""
    edits: tuple[Edit, ...]
    """What was changed in it."""
    first: Place
    """Place of the first edit: what comes before it is as it was."""
    rerun: RerunResult
    """The run of it, with its parent's numbers and keys."""
    unreached: tuple[EditReply, ...]
    """Edits of calls that the fork never made."""
    divergence: Divergence | None
    """Where the code of now differs from the record behind the first edit, edit or no edit; None where it does not."""

    @property
    def path(self) -> Path | None:
        """The new trace; None where calls are needed, and so nothing was written."""
        return self.rerun.output

    @property
    def verdict(self) -> Verdict:
        """What it is worth, as of a rerun."""
        return self.rerun.verdict

    @property
    def counts(self) -> Counts:
        """Its inputs, frames and calls."""
        return self.rerun.counts

    @property
    def hows(self) -> dict[How, int]:
        """How many calls were answered in each way that occurs."""
        return {how: self.rerun.count[how] for how in HOWS if self.rerun.count[how]}

    @property
    def needed(self) -> tuple[Miss, ...]:
        """Calls that nobody answered."""
        return self.rerun.needed

    @property
    def dropped(self) -> tuple[EffectKey, ...]:
        """Calls of the parent that the fork makes no more; those that were edited are not counted."""
        edited = [edit.key for edit in self.edits if isinstance(edit, EditReply)]
        return tuple([entry.key for entry in self.rerun.unused if entry.key not in edited])

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON."""
        counts = self.counts
        return {
            "path": None if self.path is None else str(self.path),
            "head": self.rerun.head,
            "parent": {"path": str(self.parent), "head": self.rerun.parent},
            "first": self.first.to_json(),
            "edits": [edit.to_json() for edit in self.edits],
            "unreached": [edit.to_json() for edit in self.unreached],
            "verdict": self.verdict,
            "counts": {"inputs": counts.inputs, "frames": counts.frames, "calls": counts.calls},
            "hows": self.hows,
            "needed": [
                {"key": miss.call.key.wire(), "effect": miss.call.effect.kind, "name": str(miss.call.effect.name)}
                for miss in self.needed
            ],
            "dropped": [key.wire() for key in self.dropped],
            "failed": [miss.call.key.wire() for miss in self.rerun.broken],
            "moved": [{"input": each.input, "recorded": each.recorded, "now": each.now} for each in self.rerun.moved],
            "divergence": None if self.divergence is None else self.divergence.to_json(),
        }


def fork(
    timeline: Timeline,
    edits: Sequence[Edit],
    output: Path,
    *,
    bound: BoundGraph | None = None,
    policy: Policy = "exact",
    supply: Supply | None = None,
    trust: bool = False,
    switch: Callable[[str], BoundGraph] | None = None,
) -> ForkResult:
    """Run the inputs of a sealed trace again with *edits* made, and write what comes of it to *output*, sealed.

    What comes before the first edit must replay just as it was recorded, by *bound* or else by the graph in the header (*trust*:
    code that only the header names may be imported). Behind it a call gets its recorded reply where the request still matches
    under *policy*, else what *supply* has for it; where neither does, nothing is written, and the result says which calls are
    needed. *switch* finds graphs that inputs switch to.

    Raises `UsageError` for no edit, two of one thing, an edit of what is not there, and for an *output* that exists; `TraceError`
    for a parent that is damaged or not sealed; `GraphError` where its code is gone; `Diverged` where it does not replay up to the
    first edit; `CassetteUnused` where a script has answers left over.
    """
    path = timeline.path
    _check_output(output, path)
    timeline.load_all()
    if timeline.problem is not None:
        hint = f"frameengine repair {quote(str(path))} -o FILE keeps its good part; fork that"
        raise type(timeline.problem)(timeline.problem.message, hint=hint, **timeline.problem.fields)
    edited, start, first = _edited(timeline, edits)
    with steady(path):
        _check_open(timeline)
        divergence, bound = _replayed(timeline, start, first, Replayer(path, bound=bound, trust=trust, switch=switch))
        result = rerun(
            path,
            bound,
            policy=policy,
            on_miss=supply,
            explore=True,
            output=output,
            switch=switch,
            edited=edited,
            prove=lambda draft: _prove(timeline, draft, start),
        )
    done = frozenset([answer.key for answer in result.answered if answer.how == "edited"])
    return ForkResult(
        parent=path,
        edits=tuple(edits),
        first=first.place,
        rerun=result,
        unreached=tuple([edit for edit in edits if isinstance(edit, EditReply) and edit.key not in done]),
        divergence=divergence,
    )


def compare(parent: Path | Timeline, fork: Path) -> TraceDiff:
    """Return what differs between a trace and its fork: the edits, and what follows from them.

    A *parent* that is open must be the file that has its name now: `TraceIntegrity`. Raises besides as `diff.compare`.
    """
    if isinstance(parent, Path):
        return compare_traces(parent, fork)
    parent.check_unchanged()
    found = compare_traces(parent.path, fork)
    parent.check_unchanged()
    return found


def _check_output(output: Path, path: Path) -> None:
    if not os.path.lexists(output):
        return
    what = f"{output} is the trace that is forked" if output.exists() and output.samefile(path) else f"{output} exists"
    raise UsageError(f"{what}: a fork is a new file", hint="choose another name", path=str(output))


def _check_open(timeline: Timeline) -> None:
    """Raise `TraceIntegrity` where the file that has the name now is not the run that is open, and that the edits are for."""
    timeline.check_unchanged()
    with TraceReader(timeline.path) as reader:
        for _ in reader.lines():
            pass
    if reader.head != timeline.head:
        what = f"{timeline.path} is no longer the run that is open: it ends with another chain value"
        raise TraceIntegrity(what, hint="open it again, and look at it anew", path=str(timeline.path))


def _prove(timeline: Timeline, draft: Path, start: Position) -> None:
    """Look at a fork before it gets its name: its parent was read by name several times, and must have stayed the same."""
    timeline.check_unchanged()
    _check_same(timeline.path, draft, start)


def _edited(timeline: Timeline, edits: Sequence[Edit]) -> tuple[Edited, Position, Edit]:
    """Return the edits as a rerun takes them, and the first of them with its position. Raises `UsageError`, `UnknownRef`."""
    if not edits:
        raise UsageError("there is nothing to fork: no edit", hint="edit a reply, a result, an input or the state first")
    calls: dict[EffectKey, EditedCall] = {}
    bodies: dict[int, Any] = {}
    states: list[PutIn] = []
    for edit in edits:
        timeline.index(edit.place)
        if isinstance(edit, EditReply):
            made = next((made for made in timeline.effects(edit.place) if made.key == edit.key), None)
            if made is None or edit.key in calls:
                raise _refused(edit, twice=edit.key in calls)
            check_answered(made)
            calls[edit.key] = EditedCall(effect=edit.effect, name=edit.name, outcome=edit.outcome)
        elif isinstance(edit, EditInput):
            if edit.number in bodies:
                raise _refused(edit, twice=True)
            bodies[edit.number] = edit.body
        else:
            at = edit.place.boundary
            states.append(PutIn(input=at.message, frame=at.frame, body=StateEdit(edit.changes)))
    first = min(edits, key=lambda edit: (_start(timeline, edit), edit.key.call if isinstance(edit, EditReply) else -1))
    told: FrozenMap = freeze({"place": str(first.place), "edits": [edit.told() for edit in edits]})
    return Edited(calls=calls, bodies=bodies, states=tuple(states), told=told), _start(timeline, first), first


def _refused(edit: EditReply | EditInput, *, twice: bool) -> UsageError:
    what = f"two edits of one thing: {edit.text}" if twice else f"the run has no such call: {edit.text}"
    return UsageError(what, hint="drop one of them" if twice else "edit a call that was made")


def _start(timeline: Timeline, edit: Edit) -> Position:
    """Return the position from which on an edit may make a difference."""
    place = edit.place
    if isinstance(edit, EditReply):
        return place.message, place.frame
    if isinstance(edit, EditInput):
        return place.message, place.frame + (edit.number != place.message)
    frame = edit.place.boundary.frame
    frames = len(timeline.message(place.message).steps) if place.message else 0
    if is_before(frame, frames):
        return place.message, 0
    return place.message, frame + 1 if frame < frames else _END + 1


def _replayed(timeline: Timeline, start: Position, first: Edit, replayer: Replayer) -> tuple[Divergence | None, BoundGraph]:
    """Replay the parent strictly; raise `Diverged` for a difference before the first edit, return one that comes later."""
    try:
        found = replayer.run().divergence
    except NothingCompared:
        if timeline.counts.calls:
            raise
        # Of a run that asks nothing a replay is no proof of itself, and this one found no difference.
        found = None
    if found is not None and _comes_before(found, start, first):
        raise Diverged(
            f"{timeline.path}: the code of now differs from the record at {found.place}, before the first edit",
            hint="frameengine replay shows how; fork with the code that recorded it, or record again",
            divergence=found.to_json(),
        )
    return found, replayer.bound


def _comes_before(found: Divergence, start: Position, first: Edit) -> bool:
    position = (found.input, found.frame or _END)
    if position != start or not isinstance(first, EditReply):
        return position < start
    # In the frame of the edited call: what its node does behind the call is behind the edit.
    key = first.key
    return found.node != key.node or (found.call is not None and found.call <= key.call)


def _check_same(parent: Path, draft: Path, start: Position) -> None:
    """Raise `InternalError` where a fork is another run than its parent before the first edit: the replay was, so it must be."""
    before = takewhile(lambda line: line[0] < start, _forms(parent))
    for recorded, made in zip_longest(before, takewhile(lambda line: line[0] < start, _forms(draft))):
        if recorded != made:
            at = (recorded or made or ((0, 0), b""))[0]
            what = f"{parent}: the fork differs from its parent at {at[0]}.{at[1]}, before the first edit"
            raise InternalError(what, hint="please report it")


def _forms(path: Path) -> Iterator[tuple[Position, bytes]]:
    """Yield position and canonical form of every line; outcomes in key order, whatever the order of their arrival."""
    arrived: dict[EffectKey, bytes] = {}
    number, frame = 0, 0
    with TraceReader(path) as reader:
        for line in reader.lines():
            if line.kind == "outcome":
                arrived[line.key()] = line.canonical()
                continue
            yield from [((number, frame), arrived[key]) for key in sorted(arrived)]
            arrived.clear()
            if line.kind == "input" and "during" not in line.value:
                number, frame = line.value["number"], 0
            yield (number, _END if line.kind == "trace" else frame), line.canonical()
            frame += line.kind == "frame" or frame == 0
