"""Model replies as typed values. A reply is untrusted: whatever it holds, reading it ends, in linear time, with a value.

What cannot be used is replaced by the default of its field, and every such place is named in `Parsed.problems`, so that a
default is never mistaken for something the model said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, Generic, TypeVar

from attrs import frozen

from frameengine import foreign
from frameengine.errors import LimitError, ValueRefused
from frameengine.jsonvalue import EMPTY, FrozenMap, Json
from frameengine.messages import Command, DirectorPlan, InputAnalysis, InterpretedResult, PlannedTool

T = TypeVar("T")

REPLY_CHARS_MAX: Final = 64 << 10
"""Length of a reply that is read at all."""
TEXT_CHARS_MAX: Final = 4_000
"""Length of one text in a reply; what is longer is cut."""
ITEMS_MAX: Final = 100
"""Items of one list in a reply; what is beyond is left out."""
PROBLEMS_MAX: Final = 20
"""Problems that are named one by one."""

INTENTS: Final = ("question", "request", "social", "action", "feedback")
TONES: Final = ("casual", "frustrated", "playful", "urgent")
COMPLEXITIES: Final = ("trivial", "simple", "complex")
PRESENTATIONS: Final = ("table", "summary", "machine")
CONFIDENCES: Final = ("high", "medium", "low")

NO_PLAN: Final = "Say that no plan could be made for this request, that nothing was looked up, and ask to put it differently."
"""What the answer says where the plan cannot be read: the truth, not an answer from memory."""
NO_SUMMARY: Final = "The tools ran, and what they gave could not be summarised."
"""What the answer says where the interpretation cannot be read."""

_FENCE: Final = "```"
_MARKS: Final = re.compile(r'["\\{}]')


@frozen
class Parsed(Generic[T]):
    """A typed value and what was wrong with the text that it was read from."""

    value: T
    problems: tuple[str, ...] = ()
    """One phrase for each place where a default stands; empty where all was as it should be."""


def parse_analysis(text: str) -> Parsed[InputAnalysis]:
    """Return what an Input model said about a message (C03)."""
    fields = _Fields.of(text)
    if fields.absent:
        return Parsed(InputAnalysis(), fields.problems)
    fields.require("intent", "complexity")
    defaults = InputAnalysis()
    analysis = InputAnalysis(
        who=fields.text("who", defaults.who),
        language=fields.text("language", defaults.language),
        intent=fields.choice("intent", INTENTS, defaults.intent),
        topic=fields.text("topic"),
        tone=fields.choice("tone", TONES, defaults.tone),
        complexity=fields.choice("complexity", COMPLEXITIES, defaults.complexity),
        context=fields.text("context"),
    )
    return Parsed(analysis, fields.problems)


def parse_plan(text: str, command: Command) -> Parsed[DirectorPlan]:
    """Return the plan that a Director model made for *command* (C06). A step that is none stays as one without a tool."""
    fields = _Fields.of(text)
    if fields.absent:
        return Parsed(DirectorPlan(goal=command.source_text, response_hint=NO_PLAN, command=command), fields.problems)
    steps = tuple([_step(item) for item in fields.items("tool_sequence")])
    hint = fields.text("response_hint")
    if not steps and not hint:
        fields.note("there is neither tool_sequence nor response_hint")
    presentation: Any = fields.choice("present_as", PRESENTATIONS, "summary")
    plan = DirectorPlan(
        goal=fields.text("goal"),
        steps=fields.texts("steps"),
        present_as=presentation,
        tool_sequence=steps,
        reasoning=fields.text("reasoning"),
        response_hint=hint if steps or hint else NO_PLAN,
        command=command,
    )
    return Parsed(plan, fields.problems)


def parse_interpreted(text: str) -> Parsed[InterpretedResult]:
    """Return what an Interpreter model made of tool output (C07)."""
    fields = _Fields.of(text)
    if fields.absent:
        return Parsed(InterpretedResult(summary=NO_SUMMARY, confidence="low"), fields.problems)
    fields.require("summary")
    summary = fields.text("summary")
    result = InterpretedResult(
        summary=summary or NO_SUMMARY,
        row_count=fields.count("row_count"),
        key_facts=fields.texts("key_facts"),
        confidence=fields.choice("confidence", CONFIDENCES, "high") if summary else "low",
    )
    return Parsed(result, fields.problems)


def json_object(text: str) -> FrozenMap:
    """Return the JSON object in a reply: that of its first fenced block, or the first one at all. Raises `ValueRefused`.

    Prose around it is passed over. A fence is a line, and blocks are counted from the top, so that what stands between two
    blocks is never taken for one.
    """
    if len(text) > REPLY_CHARS_MAX:
        raise ValueRefused(f"the reply has {len(text):,} characters, the bound is {REPLY_CHARS_MAX:,}", hint="ask for less")
    block = next((block for block in _blocks(text) if block.lstrip().startswith("{")), text)
    try:
        value = foreign.parse(_balanced(block))
    except LimitError as error:
        raise ValueRefused(error.message, hint=error.hint) from None
    if not isinstance(value, FrozenMap):
        raise ValueRefused("the reply is no JSON object", hint="ask for one object")
    return value


def _blocks(text: str) -> Iterator[str]:
    """Yield what stands between fences that are untagged or tagged as JSON."""
    wanted: list[str] | None = None
    inside = False
    for line in text.split("\n"):
        stripped = line.strip()
        if inside and stripped == _FENCE:
            if wanted is not None:
                yield "\n".join(wanted)
            inside, wanted = False, None
        elif inside:
            if wanted is not None:
                wanted.append(line)
        elif stripped.startswith(_FENCE):
            inside = True
            wanted = [] if stripped[len(_FENCE) :].strip().lower() in ("", "json") else None


def _balanced(text: str) -> str:
    """Return *text* from its first brace to the one that closes it."""
    start = text.find("{")
    if start < 0:
        raise ValueRefused("the reply holds no JSON object", hint="ask for one object")
    depth = 0
    in_string = False
    skip = -1
    for mark in _MARKS.finditer(text, start):
        if mark.start() == skip:
            continue
        match mark.group():
            case "\\" if in_string:
                skip = mark.start() + 1
            case '"':
                in_string = not in_string
            case "{" if not in_string:
                depth += 1
            case "}" if not in_string:
                depth -= 1
                if depth == 0:
                    return text[start : mark.end()]
    raise ValueRefused("the reply ends inside its JSON object", hint="was it cut off?")


def _step(item: Json) -> PlannedTool:
    """Return a step of a plan; one without a tool, which nothing runs, where the item is none."""
    if isinstance(item, FrozenMap):
        tool, args = item.get("tool"), item.get("args")
        if isinstance(tool, str) and tool and (args is None or isinstance(args, FrozenMap)):
            return PlannedTool(tool=tool[:TEXT_CHARS_MAX], args=args or EMPTY)
    return PlannedTool(tool="", args={"step": item})


class _Fields:
    """The members of a reply, read one by one; what is null counts as not there."""

    def __init__(self, members: FrozenMap | None, problems: Sequence[str] = ()) -> None:
        self.absent = members is None
        self._members = EMPTY if members is None else members
        self._problems = list(problems)

    @classmethod
    def of(cls, text: str) -> _Fields:
        if not text.strip():
            return cls(None, ["the reply has no text"])
        try:
            return cls(json_object(text))
        except ValueRefused as error:
            return cls(None, [error.message])

    @property
    def problems(self) -> tuple[str, ...]:
        more = len(self._problems) - PROBLEMS_MAX
        return (*self._problems[:PROBLEMS_MAX], *([f"and {more} more"] if more > 0 else []))

    def note(self, problem: str) -> None:
        self._problems.append(problem)

    def require(self, *keys: str) -> None:
        for key in keys:
            if self._members.get(key) is None:
                self.note(f"{key} is missing")

    def text(self, key: str, default: str = "") -> str:
        value = self._members.get(key)
        return default if value is None else self._text(key, value, default)

    def _text(self, place: str, value: Json, default: str) -> str:
        if not isinstance(value, str):
            self.note(f"{place} is no text")
            return default
        if len(value) > TEXT_CHARS_MAX:
            self.note(f"{place} has {len(value):,} characters and was cut")
            return value[:TEXT_CHARS_MAX]
        return value

    def choice(self, key: str, options: Sequence[str], default: str) -> str:
        value = self._members.get(key)
        if value is None:
            return default
        if isinstance(value, str) and value.strip().lower() in options:
            return value.strip().lower()
        self.note(f"{key} is none of {', '.join(options)}")
        return default

    def count(self, key: str) -> int:
        value = self._members.get(key)
        if value is None:
            return 0
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        self.note(f"{key} is no count")
        return 0

    def items(self, key: str) -> tuple[Json, ...]:
        value = self._members.get(key)
        if value is None:
            return ()
        if not isinstance(value, tuple):
            self.note(f"{key} is no list")
            return ()
        if len(value) > ITEMS_MAX:
            self.note(f"{key} has {len(value):,} items, of which {ITEMS_MAX} are kept")
        return value[:ITEMS_MAX]

    def texts(self, key: str) -> tuple[str, ...]:
        texts = [self._text(f"{key}[{index}]", item, "") for index, item in enumerate(self.items(key))]
        return tuple([text for text in texts if text])
