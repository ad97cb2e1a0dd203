"""Checks of what ran: path, frames, nodes, tools, events, conditions, requests (C123)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from frameengine.suites.evidence import Check, Evidence, as_json, count, listed, unless
from frameengine.suites.words import Problem, Words


def trace_check(words: Words) -> Check:
    """Return what an ``expect_trace`` expects. Raises `Problem`."""
    for name, make in _TRACE.items():
        if words.take(name):
            return make(words)
    if words.take("no", "model", "request"):
        return Check(fault=lambda evidence: unless(evidence.requests == 0, f"{evidence.requests} model requests were made"))
    raise Problem(f"it begins with {', '.join(_TRACE)} or no model request")


def _path(words: Words) -> Check:
    wanted = words.texts()
    fault = lambda evidence: unless(evidence.trace.path in wanted, f"the path is {evidence.trace.path}")  # noqa: E731
    return Check(fault=fault, names=tuple([("path", name) for name in wanted]))


def _status(words: Words) -> Check:
    wanted = words.texts()
    for status in wanted:
        if status not in ("done", "failed", "cancelled"):
            raise Problem(f"{status} is no status; there is done, failed, cancelled")
    return Check(fault=lambda evidence: unless(evidence.trace.status in wanted, _ended(evidence)), status=True)


def _ended(evidence: Evidence) -> str:
    errors = [f"{record.node}: {record.error.get('message', '')}" for record in evidence.records if record.error is not None]
    return f"the message ended as {evidence.trace.status}{': ' if errors else ''}{'; '.join(errors)}"


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
        times = words.number("how many times") if words.peek() else -1
        if times >= 0 and not words.take("times"):
            raise Problem("it is node NAME ran, node NAME ran N times, or node NAME did not run")
    else:
        raise Problem("it is node NAME ran, node NAME ran N times, or node NAME did not run")

    def fault(evidence: Evidence) -> str:
        ran = sum(record.node == node for record in evidence.records)
        return unless(ran > 0 if times < 0 else ran == times, f"{node} ran {ran} times")

    return Check(fault=fault, names=(("node", node),))


def _tool(words: Words) -> Check:
    tool = words.word("the name of a tool")
    negated = words.take("not", "called")
    if not negated and not words.take("called"):
        raise Problem('it is tool NAME called, tool NAME called with "…", or tool NAME not called')
    wanted = words.texts() if not negated and words.take("with") else ()

    def fault(evidence: Evidence) -> str:
        calls = [arguments for name, arguments in evidence.tools if name == tool]
        if negated:
            return unless(not calls, f"{tool} was called with {listed(calls)}")
        if not calls:
            return f"the tools that were called are {', '.join([name for name, _ in evidence.tools]) or 'none'}"
        found = not wanted or any(item.casefold() in arguments.casefold() for item in wanted for arguments in calls)
        return unless(found, f"{tool} was called with {listed(calls)}")

    return Check(fault=fault, names=(("tool", tool),))


def _event(words: Words) -> Check:
    event = words.word("the name of an event")
    negated = words.take("not", "seen")
    if not negated and not words.take("seen"):
        raise Problem('it is event NAME seen, event NAME seen with "…", or event NAME not seen')
    wanted = words.texts() if not negated and words.take("with") else ()

    def fault(evidence: Evidence) -> str:
        seen = [as_json(emission.data) for _, emission in evidence.events() if emission.event == event]
        if negated:
            return unless(not seen, f"{event} was seen with {listed(seen)}")
        if not seen:
            names = dict.fromkeys(f"{node}.{emission.event}" for node, emission in evidence.events())
            return f"what was seen is {', '.join(names) or 'nothing'}"
        found = not wanted or any(item.casefold() in data.casefold() for item in wanted for data in seen)
        return unless(found, f"{event} was seen with {listed(seen)}")

    return Check(fault=fault)


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
        return unless(wanted in values, f"{name} {shown}")

    return Check(fault=fault, names=(("condition", name),))


_TRACE: Final[Mapping[str, Callable[[Words], Check]]] = {
    "path": _path,
    "status": _status,
    "frames": _frames,
    "node": _node,
    "tool": _tool,
    "event": _event,
    "condition": _condition,
    "requests": lambda words: count(words, lambda evidence: evidence.requests, what="the number of model requests"),
}
