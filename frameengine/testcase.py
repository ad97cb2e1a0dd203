"""A test from a frame: what its nodes were given, what came back for their calls, and the records that they must leave again.

`cut` takes a frame out of a trace, `differences` runs it with the code of now, `check_frame` is what the written test calls. The
state is folded from the records before the frame, so nothing but the frame itself runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from frameengine import foreign
from frameengine.effects import Answer, Call, EffectKey, effect_from_json, outcome_from_json
from frameengine.engine.message import Engine
from frameengine.engine.stops import Ask, Committed, Reply
from frameengine.errors import FrameEngineError, InternalError, NothingCompared, TraceFormat, UsageError
from frameengine.graph.loader import load_graph
from frameengine.graph.model import Graph
from frameengine.graph.registry import BoundGraph, bind, fingerprint
from frameengine.inputs import Input, input_from_json
from frameengine.jsonvalue import EMPTY, FrozenMap, Json, freeze, thaw
from frameengine.messages import to_json
from frameengine.plaintext import visible, visible_json
from frameengine.records import Phase
from frameengine.replay.cause import Circumstances, changed
from frameengine.replay.divergence import NOTHING, Divergence, compare_records, compare_requests, shortened, wired
from frameengine.replay.frames import STOPPED
from frameengine.restore import class_name, find_class, message_classes, restored
from frameengine.state import RunState
from frameengine.trace.shape import check_data

FORMAT = 1
"""Number of the form in which a case is written."""
VALUE_WIDTH = 400
"""Code points of a value that a failed test shows."""
LEAD = 60
"""Code points of a long text that are shown before the place where it differs."""
TOLD_MAX = 10
"""Differences that a failed test tells; the rest is counted."""


@frozen(kw_only=True)
class NodeCase:
    """One node of the frame."""

    message: str | None = None
    """Class of the message it is given, as ``module:Class``; None for plain JSON."""
    calls: tuple[FrozenMap, ...] = ()
    """Its calls: index, kind of the effect, request and outcome."""
    record: FrozenMap
    """Its record, as the trace has it: the message among it."""

    @property
    def node(self) -> str:
        """Its name in the graph."""
        return str(self.record["node"])

    def given(self) -> Any:
        """Return the message as the node got it. Raises `UsageError` where its class is gone, or has changed too much."""
        value = self.record["input"]
        return value if self.message is None else restored(find_class(self.message), value)


@frozen(kw_only=True)
class FrameCase:
    """A frame by itself: all that is needed to run it again, and what must come of it."""

    run: str = ""
    """Id of the run it was taken from; empty where that has no seal."""
    input: Input
    """The input whose frame it is."""
    frame: int
    """Number of the frame."""
    phase: Phase
    """main or epilogue."""
    seed: int
    """Seed of the run."""
    now: int
    """The frame's time, in microseconds."""
    state: FrozenMap
    """The sections of the state when the frame began."""
    nodes: tuple[NodeCase, ...]
    """Its nodes, or those of them that the test is about."""
    graph: FrozenMap | None = None
    """Definition of the graph; None where the test names one."""
    fingerprint: FrozenMap = field(default=EMPTY)
    """Digests of graph, code and prompts when the test was made."""

    @property
    def place(self) -> str:
        """Where the frame stands, as it is typed: ``2.3``."""
        return f"{self.input.number}.{self.frame}"

    def text(self) -> str:
        """Return the case as the text of a file."""
        from json import dumps

        members = {
            "format": FORMAT,
            "run": self.run,
            "input": {**thaw(wired(self.input.wire())), "at": self.input.at},
            "frame": self.frame,
            "phase": self.phase,
            "seed": self.seed,
            "now": self.now,
            "nodes": [{"message": node.message, "record": node.record, "calls": node.calls} for node in self.nodes],
            "state": self.state,
            "graph": self.graph,
            "fingerprint": self.fingerprint,
        }
        # It is read by people: what a recording hides or reorders stands there as its number.
        return visible_json(dumps(thaw(freeze(members)), indent=1, ensure_ascii=False)) + "\n"

    @classmethod
    def parse(cls, text: str | bytes, source: str) -> FrameCase:
        """Return the case that `text` wrote; *source* names it in errors. Raises `TraceFormat`, `NothingCompared`."""
        try:
            value = foreign.parse(text)
            if value["format"] != FORMAT:
                raise TraceFormat(f"{source} has format {value['format']}, this version reads {FORMAT}", hint=_AGAIN, path=source)
            _check(value)
            nodes = tuple([NodeCase(**{str(name): item for name, item in node.items()}) for node in value["nodes"]])
            entered = input_from_json(value["input"], value["input"]["at"])
            case = cls(input=entered, nodes=nodes, **{name: value[name] for name in _MEMBERS})
        except (UsageError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise TraceFormat(f"{source} is no frame of a test: {error}", hint=_AGAIN, path=source) from None
        if not nodes:
            raise NothingCompared(f"{source} has no node: there is nothing to compare", hint=_AGAIN, path=source)
        return case


def _check(value: FrozenMap) -> None:
    """Raise `ValueError` where the parts of a written case are not what the same parts of a trace are."""
    if not all(type(value[name]) is int for name in ("frame", "now")):
        raise ValueError("'frame' and 'now' are whole numbers")
    check_data("header", freeze({name: value[name] for name in ("seed", "state", "fingerprint")}))
    check_data("input", value["input"])
    check_data("frame", freeze({"records": [node["record"] for node in value["nodes"]]}))
    for node in value["nodes"]:
        for call in node["calls"]:
            check_data("outcome", call)


_MEMBERS = ("run", "frame", "phase", "seed", "now", "state", "graph", "fingerprint")
_AGAIN = "make the test anew: frameengine testcase REF@MESSAGE.FRAME --force"


def with_messages(case: FrameCase, bound: BoundGraph) -> tuple[FrameCase, tuple[Divergence, ...]]:
    """Return *case* with the classes of its messages, with which it comes out as recorded; and what differs where none does.

    A record says what a class is called and not where it stands, so each one of that name that the graph's own code has is tried.
    """
    for node in case.nodes:
        bound.graph.node(node.node)
        tried = list(_with_classes(node, bound))
        if len(tried) > 1:
            tried.sort(key=lambda one: len(differences(evolve(case, nodes=(one,)), bound)))
        case = evolve(case, nodes=tuple([tried[0] if each is node else each for each in case.nodes]))
    return case, differences(case, bound)


def _with_classes(node: NodeCase, bound: BoundGraph) -> Iterator[NodeCase]:
    """Yield *node* with each class that its message may be of; at last with none."""
    import sys

    names = ["frameengine.messages", "frameengine.inputs"]
    owners = [type(bound.implementations[name]) for name in (node.node, *bound.implementations) if name in bound.implementations]
    modules = dict.fromkeys([*[owner.__module__ for owner in owners], *names])
    kinds = message_classes(str(node.record["input"].get("type", "")), (sys.modules[name] for name in modules))
    for kind in kinds:
        candidate = evolve(node, message=class_name(kind))
        try:
            if to_json(candidate.given()) == node.record["input"]:
                yield candidate
        except FrameEngineError:
            continue
    yield node


def differences(case: FrameCase, bound: BoundGraph) -> tuple[Divergence, ...]:
    """Run the frame with *bound* and return what differs from its records, in graph order; nothing where it is the same.

    Raises `GraphError` where a node is gone, `UsageError` where the class of a message is, and `Nondeterminism`.
    """
    messages: dict[str, tuple[Any, FrozenMap]] = {}
    for node in case.nodes:
        bound.graph.node(node.node)
        message = node.given()
        messages[node.node] = (message, to_json(message))
    engine = Engine(bound, seed=case.seed, state=RunState(case.state))
    engine.advance(case.now)
    answers = _Answers(case)
    with closing(engine.frame(case.input, case.frame, case.phase, messages)) as steps:
        stop = next(steps)
        while isinstance(stop, Ask):
            stop = steps.send(Reply(tuple([answers.to(call) for call in stop.new])))
    if not isinstance(stop, Committed):
        raise InternalError(f"frame {case.place} came to no end")
    found = _judged(case, stop, answers)
    return tuple(_explained(found, case, bound)) if found else ()


def _explained(found: list[Divergence], case: FrameCase, bound: BoundGraph) -> Iterator[Divergence]:
    """Yield each difference with its likely cause, told from the digests that were taken when the test was made."""
    current, prompts = fingerprint(bound), {spec.name: spec.prompts for spec in bound.graph.nodes}
    circumstances = Circumstances(recorded=case.fingerprint, current=current, prompts=prompts, ran=())
    unchanged = bool(case.fingerprint) and not any(changed(case.fingerprint, current))
    for each in found:
        if each.kind == "input":
            yield evolve(each, because="the class of the message makes other JSON than it did")
        elif each.kind == "outcome":
            yield evolve(circumstances.of(each), because="the outcome in the test is not the one that the record tells of")
        elif unchanged:
            yield evolve(each, because="graph, prompts and the code of this node's module are what they were")
        else:
            yield circumstances.of(each)


class _Answers:
    """Answers calls from what was recorded, and keeps what differs."""

    def __init__(self, case: FrameCase) -> None:
        self._recorded: dict[EffectKey, FrozenMap] = {
            EffectKey(case.input.number, case.frame, node.node, call["call"], case.input.stream): call
            for node in case.nodes
            for call in node.calls
        }
        self.found: dict[str, list[Divergence]] = {node.node: [] for node in case.nodes}
        self.made: dict[EffectKey, None] = {}

    def to(self, call: Call) -> Answer:
        """Return the recorded outcome; a node whose call differs stands still there."""
        key, effect = call.key, call.effect
        self.made[key] = None
        place: dict[str, Any] = {"input": key.input, "frame": key.frame, "node": key.node, "call": key.call}
        recorded = self._recorded.get(key)
        if recorded is None:
            what = f"{effect.kind} call {effect.name}"
            difference: Divergence | None = Divergence(kind="extra", effect=effect.kind, recorded=NOTHING, replayed=what, **place)
        else:
            asked = (str(recorded["effect"]), recorded["request"])
            difference = compare_requests(asked, (effect.kind, wired(effect.wire())), **place)
        if difference is not None:
            self.found[key.node].append(difference)
        if recorded is None or difference is not None:
            return Answer(key, STOPPED)
        return Answer(key, outcome_from_json(effect.kind, recorded["outcome"]))

    def missing(self, node: str) -> list[Divergence]:
        """Return a difference for each recorded call of *node* that was not made."""
        return [
            Divergence(
                kind="missing",
                input=key.input,
                frame=key.frame,
                node=node,
                call=key.call,
                effect=str(call["effect"]),
                recorded=f"{call['effect']} call {effect_from_json(call['effect'], call['request']).name}",
                replayed=NOTHING,
            )
            for key, call in self._recorded.items()
            if key.node == node and key not in self.made
        ]


def _judged(case: FrameCase, committed: Committed, answers: _Answers) -> list[Divergence]:
    """Compare the records; of a node that was stopped at calls that differ, only those are told."""
    ours = {record.node: wired(record.wire()) for record in committed.frame.records}
    found: list[Divergence] = []
    for node in case.nodes:
        stopped = answers.found[node.node]
        if stopped:
            found += stopped
            continue
        missing = answers.missing(node.node)
        told = [each.call for each in missing]
        where = committed.raised.get(node.node, "")
        found += missing
        for each in compare_records(node.record, ours[node.node], input=case.input.number, frame=case.frame, node=node.node):
            if each.call is None or each.call not in told:
                found.append(evolve(each, where=where) if each.kind == "error" else each)
    return found


def lines(found: Iterable[Divergence]) -> list[str]:
    """Return in lines what differs: where, the field, both values; for the first also its likely cause."""
    told: list[str] = []
    listed = list(found)
    for number, each in enumerate(listed[:TOLD_MAX]):
        recorded, now = _around(each.recorded, each.replayed)
        told += [
            each.place,
            f"  differs   {each.kind} {each.pointer}".rstrip(),
            f"  recorded  {recorded}",
            f"  now       {now}",
        ]
        if each.where:
            told.append(f"  raised at {each.where}")
        if not number:
            told.append(f"  cause     {each.cause}{f': {each.because}' if each.because else ''}")
    if len(listed) > TOLD_MAX:
        told.append(f"and {len(listed) - TOLD_MAX} more")
    return told


def _around(recorded: Json, now: Json) -> tuple[str, str]:
    """Return both values in short: of long texts what stands around the first place where they differ."""
    if not (isinstance(recorded, str) and isinstance(now, str) and max(len(recorded), len(now)) > VALUE_WIDTH):
        return shortened(recorded, VALUE_WIDTH), shortened(now, VALUE_WIDTH)
    same = next((index for index, (one, other) in enumerate(zip(recorded, now, strict=False)) if one != other), None)
    start = max(0, (min(len(recorded), len(now)) if same is None else same) - LEAD)
    cuts = [text[start : start + VALUE_WIDTH] for text in (recorded, now)]
    ends = ["…" if start + VALUE_WIDTH < len(text) else "" for text in (recorded, now)]
    first, second = [f"{'…' if start else ''}{cut}{end}" for cut, end in zip(cuts, ends, strict=True)]
    return first, second


def bound_graph(case: FrameCase, graph: str | Path | None) -> BoundGraph:
    """Return the graph to run a case with: the one of that name or path, or else the definition in it. Raises `GraphError`."""
    if graph is not None:
        return bind(load_graph(graph))
    if case.graph is None:
        hint = "say which: check_frame(fixture, graph=NAME), or the path of its file"
        raise UsageError("the test has no graph in it, and names none", hint=hint)
    return bind(Graph.from_json(thaw(case.graph)))


def check_frame(fixture: Path, *, graph: str | Path | None = None) -> None:
    """Run the frame in *fixture* with the code of now; raise `AssertionError`, in words, where it is not as it was recorded.

    *graph* is the name or the file of the graph that it belongs to, so that a change of it is noticed.
    """
    __tracebackhide__ = True
    try:
        case = FrameCase.parse(_read(fixture), fixture.name)
        found = lines(differences(case, bound_graph(case, graph)))
        told = [f"frame {case.place} is not as it was recorded ({fixture.name})", *found] if found else []
        way_out = "if the change is meant, record the run again and make the test anew"
    except FrameEngineError as error:
        told = [f"the frame cannot be run ({fixture.name})", *error.message.split("\n")]
        way_out = error.hint
    if told:
        shown = [visible(line).replace("\n", " ").replace("\t", " ") for line in (*told, f"  try: {way_out}")]
        raise AssertionError("\n".join(shown))


def _read(fixture: Path) -> bytes:
    try:
        return fixture.read_bytes()
    except OSError as error:
        what = f"{fixture.name} cannot be read: {error.strerror}"
        raise TraceFormat(
            what, hint="it belongs beside the test; get it back, or make the test anew", path=fixture.name
        ) from None
