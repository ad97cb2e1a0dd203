"""Model replies as typed values. A reply is untrusted: whatever it holds, reading it ends, in linear time, with a value.

What cannot be used is replaced by the default of its field, and every such place is named in `Parsed.problems`, so that a
default is never mistaken for something the model said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import evolve

from frameengine.jsonvalue import EMPTY, FrozenMap, Json, freeze
from frameengine.messages import Command, DirectorPlan, InputAnalysis, InterpretedResult, PARouting, PlannedTool
from frameengine.nodes.reply import TEXT_CHARS_MAX, Fields, Parsed

INTENTS: Final = ("question", "request", "social", "action", "feedback")
TONES: Final = ("casual", "frustrated", "playful", "urgent")
COMPLEXITIES: Final = ("trivial", "simple", "complex")
PRESENTATIONS: Final = ("table", "summary", "machine")
CONFIDENCES: Final = ("high", "medium", "low")
LANGUAGES: Final = ("de", "en", "mixed")
NO_EXPERT: Final = "none"
"""Where a message goes that the personal assistant answers by itself."""
MEMORY_CHARS: Final[Mapping[str, int]] = {"user_mood": 60, "topic": 120, "language": 16, "style_hint": 120}
"""Field of the memory that a model may set -> how long it may be."""
FACT_CHARS: Final = 300
"""Length of one fact."""

NO_PLAN: Final = "Say that no plan could be made for this request, that nothing was looked up, and ask to put it differently."
"""What the answer says where the plan cannot be read: the truth, not an answer from memory."""
NO_ROUTING: Final = "Say that it is not clear what is wanted, that nothing was looked up, and ask to put it differently."
"""What the answer says where the routing cannot be read."""
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


def parse_routing(text: str, said: str, experts: Sequence[str]) -> Parsed[PARouting]:
    """Return where a PA model sends a message (C08), *said* being the user's words. An expert that is not there is none."""
    fields = Fields.of(text)
    if fields.absent:
        return Parsed(PARouting(response_hint=NO_ROUTING), fields.problems)
    fields.require("expert")
    expert = fields.choice("expert", (*experts, NO_EXPERT), NO_EXPERT)
    job, hint = fields.text("job").strip(), fields.text("response_hint").strip()
    if expert == NO_EXPERT and not hint:
        fields.note("there is neither an expert nor a response_hint")
        hint = NO_ROUTING
    if expert != NO_EXPERT and not job:
        fields.note("there is no job for the expert; the user's words stand in for it")
        job = said
    routing = PARouting(
        expert=expert,
        job=job,
        thinking_message=fields.text("thinking_message"),
        response_hint=hint,
        language=fields.choice("language", LANGUAGES, PARouting().language),
    )
    return Parsed(routing, fields.problems)


def parse_expert_plan(text: str, job: str) -> Parsed[DirectorPlan]:
    """Return the plan that an expert's model made for *job* (C89): a Director's, of which the tools and the hint are used."""
    parsed = parse_plan(text, Command(analysis=InputAnalysis(), source_text=job))
    return Parsed(evolve(parsed.value, goal=job, command=None), parsed.problems)


def parse_memory(text: str) -> Parsed[FrozenMap]:
    """Return the fields of the memory that a Memorizer model sees anew (C65); what it may not say is not read (W02).

    A field that is missing, odd or empty is left out: what is known already stays.
    """
    fields = Fields.of(text)
    known: dict[str, Json] = {}
    for key, most in MEMORY_CHARS.items():
        value = " ".join(fields.text(key).split())
        if len(value) > most:
            fields.note(f"{key} has more than {most} characters")
        elif value:
            known[key] = value
    facts = [" ".join(fact.split()) for fact in fields.texts("facts")]
    long = [fact for fact in facts if len(fact) > FACT_CHARS]
    if long:
        fields.note(f"{len(long)} facts have more than {FACT_CHARS} characters")
    known["facts"] = tuple([fact for fact in facts if fact and len(fact) <= FACT_CHARS])
    return Parsed(freeze(known) if not fields.absent else EMPTY, fields.problems)


def _step(item: Json) -> PlannedTool:
    """Return a step of a plan; one without a tool, which nothing runs, where the item is none."""
    if isinstance(item, FrozenMap):
        tool, args = item.get("tool"), item.get("args")
        if isinstance(tool, str) and tool and (args is None or isinstance(args, FrozenMap)):
            return PlannedTool(tool=tool[:TEXT_CHARS_MAX], args=args or EMPTY)
    return PlannedTool(tool="", args={"step": item})
