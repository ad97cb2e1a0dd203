"""Checks of what ran: path, frames, nodes, tools, events, conditions, requests (C123)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from frameengine.suites.evidence import Check, Evidence, as_json, count, cut_start, listed, unless
from frameengine.suites.words import Problem, Words

TOOL: Final = 'it is tool NAME called, called N times, called with "…", gave "…", or not called'
EVENT: Final = 'it is event NAME seen, seen N times, seen with "…", seen before NAME, or not seen'
REQUEST: Final = 'it is request of NODE contains "…", or request of NODE not contains "…"'
ANY: Final = -1
"""Once or more often."""


def trace_check(words: Words) -> Check:
    """Return what an ``expect_trace`` expects. Raises `Problem`."""
    for name, make in _TRACE.items():
        if words.take(name):
            return make(words)
    if words.take("no", "model", "request"):
        return Check(fault=lambda evidence: unless(evidence.requests == 0, f"{evidence.requests} model requests were made"))
    raise Problem(f"it begins with {', '.join(_TRACE)}, or is no model request")


def _path(words: Words) -> Check:
    wanted = words.texts()
    return Check(
        fault=lambda evidence: unless(evidence.trace.path in wanted, f"the path is {evidence.trace.path}"),
        names=(("path", wanted),),
    )


def _status(words: Words) -> Check:
    wanted = words.texts()
    for status in wanted:
        if status not in ("done", "failed", "cancelled"):
            raise Problem(f"{status} is no status; there is done, failed, cancelled")
    if "done" in wanted and len(dict.fromkeys(wanted)) > 1:
        raise Problem("done stands beside another status, so a message that fails would pass like one that does not")
    return Check(fault=lambda evidence: unless(evidence.trace.status in wanted, _ended(evidence)), status=True)


def _ended(evidence: Evidence) -> str:
    errors = [f"{record.node}: {record.error.get('message', '')}" for record in evidence.records if record.error is not None]
    return f"the message ended as {evidence.trace.status}{': ' if errors else ''}{'; '.join(errors)}"


def _times(words: Words) -> int:
    """Return how many times something is expected; `ANY` where nothing more is said."""
    if not words.peek():
        return ANY
    times = words.number("how many times")
    if times == 0 or not words.take("times"):
        raise Problem("N times is missing its word" if times else "what happens 0 times is written with not")
    return times


def _often(number: int, times: int) -> bool:
    return number > 0 if times == ANY else number == times


def _any_in(wanted: Iterable[str], texts: Sequence[str]) -> bool:
    return any(item.casefold() in text.casefold() for item in wanted for text in texts)


def _frames(words: Words) -> Check:
    wanted = [words.number("a number of frames")]
    while words.take("or"):
        wanted.append(words.number("a number of frames"))
    return Check(
        fault=lambda evidence: unless(evidence.trace.total_frames in wanted, f"there were {evidence.trace.total_frames}")
    )


def _node(words: Words) -> Check:
    node = words.word("the name of a node")
    if words.take("did", "not", "run"):
        times = 0
    elif words.take("ran"):
        times = _times(words)
    else:
        raise Problem("it is node NAME ran, node NAME ran N times, or node NAME did not run")

    def fault(evidence: Evidence) -> str:
        ran = sum(record.node == node for record in evidence.records)
        return unless(_often(ran, times), f"{node} ran {ran} times")

    return Check(fault=fault, names=(("node", (node,)),))


def _tool(words: Words) -> Check:
    tool = words.word("the name of a tool")
    names = (("tool", (tool,)),)
    if words.take("gave"):
        results = words.texts()

        def lacking(evidence: Evidence) -> str:
            gave = [use.gave for use in evidence.tools if use.name == tool]
            return unless(_any_in(results, gave), f"{tool} gave {listed(gave)}")

        return Check(fault=lacking, names=names)
    if words.take("not", "called"):
        return Check(
            fault=lambda evidence: unless(not _used(evidence, tool), f"{tool} was called with {_given(evidence, tool)}"),
            names=names,
        )
    if not words.take("called"):
        raise Problem(TOOL)
    wanted = words.texts() if words.take("with") else ()
    times = ANY if wanted else _times(words)

    def fault(evidence: Evidence) -> str:
        used = _used(evidence, tool)
        if not used:
            return f"the tools that were called are {', '.join([use.name for use in evidence.tools]) or 'none'}"
        if not _often(len(used), times):
            return f"{tool} was called {len(used)} times"
        return unless(not wanted or _any_in(wanted, used), f"{tool} was called with {_given(evidence, tool)}")

    return Check(fault=fault, names=names)


def _used(evidence: Evidence, tool: str) -> list[str]:
    return [use.arguments for use in evidence.tools if use.name == tool]


def _given(evidence: Evidence, tool: str) -> str:
    return listed(_used(evidence, tool))


def _event(words: Words) -> Check:
    event = _Event(words.word("the name of an event"))
    if words.take("not", "seen"):

        def too_many(evidence: Evidence) -> str:
            seen = event.seen(evidence)
            return f"{event} was seen with {listed(seen)}" if seen else ""

        return Check(fault=too_many, names=event.names, misses=event.which)
    if not words.take("seen"):
        raise Problem(EVENT)
    if words.take("before"):
        return _before(event, _Event(words.word("the name of an event")))
    wanted = words.texts() if words.take("with") else ()
    times = ANY if wanted else _times(words)

    def fault(evidence: Evidence) -> str:
        seen = event.seen(evidence)
        if not seen:
            return f"what was seen is {_shown(evidence)}"
        if not _often(len(seen), times):
            return f"{event} was seen {len(seen)} times"
        return unless(not wanted or _any_in(wanted, seen), f"{event} was seen with {listed(seen)}")

    return Check(fault=fault, names=event.names, sees=(event.which,))


def _before(first: _Event, second: _Event) -> Check:
    def fault(evidence: Evidence) -> str:
        earlier, later = first.place(evidence), second.place(evidence)
        ordered = earlier is not None and later is not None and earlier < later
        return unless(ordered, f"what was seen is {_shown(evidence)}")

    return Check(fault=fault, names=(*first.names, *second.names), sees=(first.which, second.which))


class _Event:
    """An event that a check names, by itself or as ``node.event``."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._node, _, self._name = text.rpartition(".")
        self.which = self._node, self._name
        self.names = (("node", (self._node,)),) if self._node else ()

    def __str__(self) -> str:
        return self._text

    def place(self, evidence: Evidence) -> int | None:
        """Return the place of the first such event among all; None where there is none."""
        events = enumerate(evidence.events())
        return next((place for place, (node, emission) in events if self._is_it(node, emission.event)), None)

    def seen(self, evidence: Evidence) -> list[str]:
        """Return what each such event held, as JSON."""
        return [as_json(emission.data) for node, emission in evidence.events() if self._is_it(node, emission.event)]

    def _is_it(self, node: str, event: str) -> bool:
        return event == self._name and self._node in ("", node)


def _shown(evidence: Evidence) -> str:
    return ", ".join(dict.fromkeys(f"{node}.{emission.event}" for node, emission in evidence.events())) or "nothing"


def _request(words: Words) -> Check:
    if not words.take("of"):
        raise Problem(REQUEST)
    node = words.word("the name of a node")
    negated = words.take("not")
    if not words.take("contains"):
        raise Problem(REQUEST)
    wanted = words.texts()

    def fault(evidence: Evidence) -> str:
        asked = [text for asker, text in evidence.asked if asker == node]
        if not asked:
            return f"{node} asked no model"
        # What is new in a request stands at its end.
        seen = f"{node} asked, at the end, {'; '.join([cut_start(text) for text in asked])}"
        return unless(_any_in(wanted, asked) != negated, seen)

    return Check(fault=fault, names=(("node", (node,)),))


def _condition(words: Words) -> Check:
    name = words.word("the name of a condition")
    if words.take("held"):
        wanted = True
    elif words.take("did", "not", "hold"):
        wanted = False
    else:
        raise Problem("it is condition NAME held, or condition NAME did not hold")

    def fault(evidence: Evidence) -> str:
        values = [record.condition[name] for record in evidence.records if name in record.condition]
        shown = ", ".join(["held" if value else "did not hold" for value in values]) or "was not asked"
        return unless(bool(values) and any(values) == wanted, f"{name} {shown}")

    return Check(fault=fault, names=(("condition", (name,)),))


_TRACE: Final[Mapping[str, Callable[[Words], Check]]] = {
    "path": _path,
    "status": _status,
    "frames": _frames,
    "node": _node,
    "tool": _tool,
    "event": _event,
    "condition": _condition,
    "request": _request,
    "requests": lambda words: count(words, lambda evidence: evidence.requests, what="the number of model requests"),
}
