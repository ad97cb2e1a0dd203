"""What an act led to, and a check that looks at it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from attrs import frozen

from frameengine.codec import dumps
from frameengine.graph.model import Graph
from frameengine.jsonvalue import FrozenMap
from frameengine.records import Emission, FrameRecord, FrameTrace
from frameengine.suites.words import Problem, Words

SHOWN_CHARS: Final = 160
"""Characters of a value that a fault repeats."""
EVENTS: Final = frozenset(
    (
        "audit context controls control_refused decided done error interpreted machine_refused machine_transition model_failed "
        "parse_failed perceived planned process_done process_start reading_refused reflex_path returned routed started "
        "state_refused stopped streaming text thinking tick tool_cached tool_call tool_refused tool_result updated watched"
    ).split()
)
"""Events that the shipped nodes show. One of another name can only be missed where the same suite sees it elsewhere."""
COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
"""What each comparison compares by."""


@frozen(kw_only=True)
class ToolUse:
    """A tool that was called, or that shaped the surface."""

    name: str
    """Its name."""
    arguments: str
    """What it was called with, as JSON."""
    gave: str = ""
    """What came back: its result, or its error; empty for a tool that shapes the surface."""


@frozen(kw_only=True)
class Evidence:
    """What the last act of a step led to."""

    response: str
    """The answer's text; empty where there is none."""
    controls: tuple[FrozenMap, ...]
    """What the surface shows now, whatever step it came from."""
    state: FrozenMap
    """The state of the run now."""
    records: tuple[FrameRecord, ...]
    """The records of the act's message, epilogue included."""
    trace: FrameTrace
    """Its figures."""
    tools: tuple[ToolUse, ...]
    """The tools, in the order in which they answered."""
    asked: tuple[tuple[str, str], ...] = ()
    """Node and text of each model request."""

    @property
    def main(self) -> tuple[FrameRecord, ...]:
        """The records of the main phase."""
        return tuple([record for record in self.records if record.phase == "main"])

    @property
    def requests(self) -> int:
        """Number of model calls of the main phase."""
        return sum(call.kind == "model" for record in self.main for call in record.calls)

    def events(self) -> Iterator[tuple[str, Emission]]:
        """Yield node and emission of everything that was shown, in order."""
        for record in self.records:
            for emission in record.emissions:
                yield record.node, emission


Fault = Callable[[Evidence], str]
"""Says what it saw instead; empty where the expectation holds."""


@frozen(kw_only=True)
class Check:
    """One expectation."""

    fault: Fault
    """Looks at the evidence."""
    names: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Kind (node, tool, path, condition) and name of each thing of a graph that it speaks of, alternatives together."""
    sees: tuple[str, ...] = ()
    """Events that it wants to see."""
    misses: str = ""
    """The event that it wants not to see."""
    status: bool = False
    """Whether it is about how the message ended, so that a failed one is no surprise."""

    def strange(self, graph: Graph) -> str:
        """Return what makes the check meaningless on *graph*, or nothing: what a graph does not have cannot be missed.

        Of alternatives one must be there: a suite for several graphs names the paths of each.
        """
        known: dict[str, tuple[str, ...]] = {
            "node": tuple([node.name for node in graph.nodes]),
            "tool": tuple(dict.fromkeys(tool for node in graph.nodes for tool in _tools(node.config))),
            "path": (*[label.label for label in graph.paths], "custom", "clear", "given", "switch", "ignored"),
            "condition": tuple(graph.conditions),
        }
        for kind, names in self.names:
            if not any(name in known[kind] for name in names):
                return f"{graph.name} has no {kind} {' or '.join(names)}; it has {', '.join(known[kind]) or 'none'}"
        return ""


def contains(words: Words, seen: Callable[[Evidence], str], *, what: str, negated: bool = False) -> Check:
    """Return the check that a text holds, or does not hold, one of the quoted texts; upper and lower case count as one."""
    wanted = words.texts()

    def fault(evidence: Evidence) -> str:
        text = seen(evidence)
        found = [item for item in wanted if item.casefold() in text.casefold()]
        if negated:
            # What is empty lacks everything, and says nothing.
            return f"{what} contains {listed(found)}: {cut(text)}" if found else unless(bool(text), f"{what} is empty")
        return "" if found else f"{what} is {cut(text)}"

    return Check(fault=fault)


def count(words: Words, seen: Callable[[Evidence], int], *, what: str) -> Check:
    """Return the check of a number. One that always holds, or never, is refused."""
    comparison = words.comparison()
    wanted = words.number("a number")
    if not any(COMPARE[comparison](number, wanted) for number in range(wanted + 2)):
        raise Problem(f"{comparison} {wanted} can never hold")
    if all(COMPARE[comparison](number, wanted) for number in range(wanted + 2)):
        raise Problem(f"{comparison} {wanted} always holds: it could not fail")
    return Check(fault=lambda evidence: unless(COMPARE[comparison](seen(evidence), wanted), f"{what} is {seen(evidence)}"))


def unless(holds: bool, fault: str) -> str:
    """Return *fault* where something does not hold."""
    return "" if holds else fault


def cut(text: str) -> str:
    """Return a text in quotes, cut where it is long."""
    shown = text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}… ({len(text):,} characters)"
    return f'"{shown}"'


def cut_start(text: str) -> str:
    """Return the end of a text in quotes, with what is not shown of it."""
    shown = text if len(text) <= SHOWN_CHARS else f"… ({len(text):,} characters) {text[-SHOWN_CHARS:]}"
    return f'"{shown}"'


def listed(items: Iterable[str]) -> str:
    """Return texts in quotes, one after another."""
    return ", ".join([cut(item) for item in items]) or "none"


def as_json(value: Any) -> str:
    """Return a value as JSON."""
    return dumps(value).decode()


def _tools(config: FrozenMap) -> Iterator[str]:
    for tool in config.get("tools", ()):
        yield str(tool["name"]) if isinstance(tool, FrozenMap) else str(tool)
