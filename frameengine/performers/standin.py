"""A stand-in for a model: rules instead of a language model, so that the cog graphs can be tried where no model is.

It reads what a role is asked, as the role's prompt marks it, and replies in the form that the role expects. It knows a few wishes
by their words and says so of all others. What it tells of the data it has read from what the tools gave; it makes up nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from frameengine import foreign
from frameengine.codec import dumps
from frameengine.effects import Call, ModelCall, ModelReply, text_of
from frameengine.errors import FrameEngineError
from frameengine.jsonvalue import EMPTY, FrozenMap, Json, freeze
from frameengine.performers.wishes import NAME, Wish, wish_of
from frameengine.tools.table import NOTE

FACTS: Final = 5
"""Rows that are told where no table is shown."""
_FAILED: Final = ("Error:", "Refused:")
_TAKEN: Final = "done"
"""What a thinker tells of a tool that shapes the surface."""

Messages: TypeAlias = Sequence[FrozenMap]


class StandIn:
    """A model for `performers.live.Live` that replies by rules. It keeps nothing: equal requests get equal replies."""

    def __call__(self, call: Call) -> ModelReply:
        """Reply as the role of the node that asks; nodes of other graphs get a sentence that says who replies."""
        effect = call.effect
        if not isinstance(effect, ModelCall):
            raise TypeError(f"a {effect.kind} call is none for a model")
        role = _ROLES.get(call.key.node.partition("_")[0], _plain)
        reply = role(effect.messages, bool(effect.tools))
        if not isinstance(reply, str) and "tool_calls" in reply:
            return ModelReply(message=reply, finish_reason="tool_calls", model=NAME)
        text = reply if isinstance(reply, str) else dumps(reply).decode()
        return ModelReply(message=freeze({"role": "assistant", "content": text}), model=NAME)


def _input(messages: Messages, _: bool) -> Json:
    wish = wish_of(text_of(messages[-1]))
    complexity = "trivial" if wish.intent == "social" else "simple"
    return {"intent": wish.intent, "topic": wish.topic, "complexity": complexity, "context": "Sorted by its words."}


def _director(messages: Messages, _: bool) -> Json:
    task = _marked(messages, "task")
    if not task:
        return {"line": "The user tries a scripted stand-in; no model is asked."}
    return _plan(wish_of(_member(task, "source_text")))


def _plan(wish: Wish) -> Json:
    return {"goal": wish.topic, "tool_sequence": wish.steps, "present_as": wish.present_as, "response_hint": wish.say}


def _pa(messages: Messages, _: bool) -> Json:
    said = _member(_marked(messages, "task"), "source_text")
    wish = wish_of(said)
    if not wish.steps:
        return {"expert": "none", "response_hint": wish.say, "language": "en"}
    return {"expert": "eras", "job": said, "thinking_message": wish.meanwhile, "language": "en"}


def _expert(messages: Messages, _: bool) -> Json:
    job, results = _marked(messages, "job"), _marked(messages, "results")
    wish = wish_of(job)
    if not results:
        return _plan(wish)
    return _told(_result(results), wish)[0]


def _thinker(messages: Messages, may_use_tools: bool) -> Json:
    wish = wish_of(_marked(messages, "message"))
    given = [text_of(message) for message in messages if message.get("role") == "tool"]
    if given:
        output = next((text for text in given if text != _TAKEN), "")
        sentence, rows = _told(output, wish)
        more = [f"and {len(rows) - FACTS} more"] if len(rows) > FACTS else []
        return "\n- ".join([sentence, *rows[:FACTS], *more])
    if not (wish.steps and may_use_tools):
        return wish.say
    calls = [
        {"id": str(number), "type": "function", "function": {"name": step["tool"], "arguments": dumps(step["args"]).decode()}}
        for number, step in enumerate(wish.steps, start=1)
    ]
    return freeze({"role": "assistant", "content": None, "tool_calls": calls})


def _interpreter(messages: Messages, _: bool) -> Json:
    sentence, rows = _told(_result(_marked(messages, "tool_output")), wish_of(_marked(messages, "question")))
    count = len(rows) or int(sentence.startswith("The database holds"))
    confidence = "low" if sentence.startswith(_FAILED) else "high"
    return {"summary": sentence, "row_count": count, "confidence": confidence}


def _output(messages: Messages, _: bool) -> Json:
    findings = _marked(messages[-1:], "findings")
    said = [line for line in findings.split("\n") if not line.startswith("(confidence:")]
    return "\n".join(said) if findings else wish_of(text_of(messages[-1])).say


def _memorizer(messages: Messages, _: bool) -> Json:
    said = [text_of(message) for message in messages[:-1] if message.get("role") == "user"]
    topic = wish_of(said[-1]).topic if said else ""
    return {"topic": topic, "facts": []} if topic else {"facts": []}


def _plain(_messages: Messages, _: bool) -> Json:
    return f"I am a {NAME}: no model is asked, and I have rules for the cog graphs only (frameengine graph list)."


_ROLES: Final[Mapping[str, Callable[[Messages, bool], Any]]] = {
    "input": _input,
    "director": _director,
    "pa": _pa,
    "expert": _expert,
    "thinker": _thinker,
    "interpreter": _interpreter,
    "output": _output,
    "memorizer": _memorizer,
}
"""First word of a node's name -> what it is answered with."""


def _told(output: str, wish: Wish) -> tuple[str, list[str]]:
    """Return in words what a query gave, and its rows where there are several cells; an error as it is, for nothing the wish."""
    if output.startswith(_FAILED):
        return output, []
    lines = [line.split("\t") for line in output.split("\n") if line and not line.startswith(NOTE)]
    if not lines:
        return wish.say, []
    header, *rows = lines
    if not rows:
        return "Nothing was found.", []
    if len(rows) == len(header) == 1:
        return f"The database holds {rows[0][0]} {header[0]}.", []
    return wish.say, [", ".join(row) for row in rows if len(row) == len(header)]


def _result(sections: str) -> str:
    """Return what the one query of a plan gave; empty where none ran."""
    return sections.partition("\n")[2] if sections.startswith("[1] ") else ""


def _marked(messages: Messages, tag: str) -> str:
    """Return what stands between the tags *tag* in the last message that has them; empty where none has."""
    for message in reversed(messages):
        found = re.search(rf"<{tag}>\n(.*)\n</{tag}>", text_of(message), re.DOTALL)
        if found is not None and message.get("role") == "user":
            return str(found[1])
    return ""


def _member(document: str, name: str) -> str:
    """Return a text of a JSON object; empty where there is none."""
    try:
        value = foreign.parse(document)
    except FrameEngineError:
        return ""
    members = value if isinstance(value, FrozenMap) else EMPTY
    return str(members.get(name, ""))
