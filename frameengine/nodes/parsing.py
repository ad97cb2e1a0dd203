"""Model replies as typed values. A reply is untrusted: whatever it holds, reading it ends, in linear time, with a value.

What cannot be used is replaced by the default of its field, and every such place is named in `Parsed.problems`, so that a
default is never mistaken for something the model said.
"""

from __future__ import annotations

from typing import Any, Final

from frameengine.jsonvalue import EMPTY, FrozenMap, Json
from frameengine.messages import Command, DirectorPlan, InputAnalysis, InterpretedResult, PlannedTool
from frameengine.nodes.reply import TEXT_CHARS_MAX, Fields, Parsed

INTENTS: Final = ("question", "request", "social", "action", "feedback")
TONES: Final = ("casual", "frustrated", "playful", "urgent")
COMPLEXITIES: Final = ("trivial", "simple", "complex")
PRESENTATIONS: Final = ("table", "summary", "machine")
CONFIDENCES: Final = ("high", "medium", "low")

NO_PLAN: Final = "Say that no plan could be made for this request, that nothing was looked up, and ask to put it differently."
"""What the answer says where the plan cannot be read: the truth, not an answer from memory."""
NO_SUMMARY: Final = "The tools ran, and what they gave could not be summarised."
"""What the answer says where the interpretation cannot be read."""


def parse_analysis(text: str) -> Parsed[InputAnalysis]:
    """Return what an Input model said about a message (C03)."""
    fields = Fields.of(text)
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
    fields = Fields.of(text)
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
    fields = Fields.of(text)
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


def _step(item: Json) -> PlannedTool:
    """Return a step of a plan; one without a tool, which nothing runs, where the item is none."""
    if isinstance(item, FrozenMap):
        tool, args = item.get("tool"), item.get("args")
        if isinstance(tool, str) and tool and (args is None or isinstance(args, FrozenMap)):
            return PlannedTool(tool=tool[:TEXT_CHARS_MAX], args=args or EMPTY)
    return PlannedTool(tool="", args={"step": item})
