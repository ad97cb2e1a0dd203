"""What an act led to, and a check that looks at it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from frameengine.codec import dumps
from frameengine.graph.model import CUSTOM_PATH, Graph
from frameengine.jsonvalue import FrozenMap
from frameengine.records import Emission, FrameRecord, FrameTrace
from frameengine.suites.words import Problem, Words

SHOWN_CHARS: Final = 160
"""Characters of a value that a fault repeats."""
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
    sees: tuple[tuple[str, str], ...] = ()
    """Events that it wants to see: the node, empty for any, and the name."""
    misses: tuple[str, str] | None = None
    """The event that it wants not to see, likewise."""
    status: bool = False
    """Whether it says how the message ended, so that a failed one is red by this check, or is what was expected."""

    def strange(self, graph: Graph) -> str:
        """Return what makes the check meaningless on *graph*, or nothing: what a graph does not have cannot be missed.

        Of alternatives one must be there: a suite for several graphs names the paths of each.
        """
        known: dict[str, tuple[str, ...]] = {
            "node": tuple([node.name for node in graph.nodes]),
            "tool": tuple(dict.fromkeys(tool for node in graph.nodes for tool in _tools(node.config))),
            "path": (*[label.label for label in graph.paths], CUSTOM_PATH),
            "condition": tuple(graph.conditions),
        }
        for kind, names in self.names:
            if not any(name in known[kind] for name in names):
                return f"{graph.name} has no {kind} {' or '.join(names)}; it has {', '.join(known[kind]) or 'none'}"
            if kind == "path" and all(path in names for path in known[kind]):
                return f"{graph.name} has no other paths, so it could not fail"
        return ""


def contains(words: Words, seen: Callable[[Evidence], Sequence[str]], *, what: str, negated: bool = False) -> Check:
    """Return the check that one of some texts holds, or none of them, a quoted text; upper and lower case count as one."""
    wanted = words.texts()

    def fault(evidence: Evidence) -> str:
        texts = seen(evidence)
        found = [item for item in wanted if any(item.casefold() in text.casefold() for text in texts)]
        shown = cut(", ".join(texts))
        if negated:
            # What is empty lacks everything, and says nothing.
            return f"{what} contains {listed(found)}: {shown}" if found else unless(any(texts), f"{what} is empty")
        return "" if found else f"{what} is {shown}"

    return Check(fault=fault)


def count(words: Words, seen: Callable[[Evidence], int | None], *, what: str) -> Check:
    """Return the check of a number, None where there is none to compare. One that always holds, or never, is refused."""
    comparison = words.comparison()
    wanted = words.number("a number")
    compare = COMPARE[comparison]
    # No comparison answers otherwise between these, or beyond them.
    answers = [compare(number, wanted) for number in (0, wanted - 1, wanted, wanted + 1) if number >= 0]
    if not any(answers):
        raise Problem(f"{comparison} {wanted} can never hold")
    if all(answers):
        raise Problem(f"{comparison} {wanted} always holds: it could not fail")

    def fault(evidence: Evidence) -> str:
        number = seen(evidence)
        return unless(number is not None and compare(number, wanted), f"{what} is {'none' if number is None else number}")

    return Check(fault=fault)


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


def parts(value: Any) -> Iterator[str]:
    """Yield the names, texts and figures in a value, in order; of nothing, none.

    Each as it is, not as JSON writes it: a text with a quote in it would not be found in that.
    """
    if isinstance(value, FrozenMap):
        for name, item in value.items():
            yield name
            yield from parts(item)
    elif isinstance(value, tuple):
        for item in value:
            yield from parts(item)
    elif value is not None:
        yield value if isinstance(value, str) else as_json(value)


def _tools(config: FrozenMap) -> Iterator[str]:
    for tool in config.get("tools", ()):
        yield str(tool["name"]) if isinstance(tool, FrozenMap) else str(tool)
