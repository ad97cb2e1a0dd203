"""One frame whole: what each node was given, asked for, got, showed, changed and returned. Nothing is cut."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from frameengine.effects import ModelReply, ToolReply
from frameengine.jsonvalue import FrozenMap, Json
from frameengine.trace.messages import Made, Message, Step
from frameengine_cli import phrases
from frameengine_cli.look import BAD, DIFFERS, GOOD, MODEL, QUIET, SHOWN, STRONG, TOOL, Look, block, pairs, words
from frameengine_cli.screens.chat import chat
from frameengine_cli.screens.timeline import record_lines


def frame(message: Message, step: Step, look: Look) -> RenderableType:
    """Return everything of one frame."""
    title = f"message {message.number}, frame {step.number}"
    facts = " · ".join([part for part in (step.phase, phrases.duration(phrases.milliseconds(step.meta))) if part])
    parts: list[RenderableType] = [look.heading(title, facts)]
    parts += [words((f"input {entered.number}: ", QUIET), (phrases.input_line(entered), "")) for entered in step.late]
    for record in step.records:
        parts.append(look.panel(_record(record, step), f"node {record['node']}", _node_facts(record)))
    return Group(*parts)


def _node_facts(record: FrozenMap) -> str:
    route = record.get("route", ())
    return "→ " + ", ".join([str(name) for name in route]) if route else "ends here"


def _record(record: FrozenMap, step: Step) -> RenderableType:
    parts: list[RenderableType] = [_section("input", value(record["input"]))]
    parts += [_call(call, _recorded(record, call)) for call in step.calls_of(str(record["node"]))]
    if record.get("emissions"):
        parts.append(_section("emissions", Group(*[_emission(name, data) for name, data in record["emissions"]])))
    if record.get("changes"):
        parts.append(_section("changes", Group(*[change(made) for made in record["changes"]])))
    if record.get("condition"):
        lines = [
            words((f"{name}  ", ""), ("✓ holds" if holds else "✗ does not hold", QUIET))
            for name, holds in record["condition"].items()
        ]
        parts.append(_section("conditions", Group(*lines)))
    if record.get("error") is not None:
        parts.append(_section("error", block(phrases.pretty(record["error"]), BAD), _raised(record, step), style=BAD))
    elif record.get("open"):
        parts.append(_section("stopped", record_lines(record)[-1], style=BAD))
    else:
        output = record.get("output")
        parts.append(_section("output", words(("nothing", QUIET)) if output is None else value(output)))
    return Group(*parts)


def _raised(record: FrozenMap, step: Step) -> str:
    """Return where in its own code a node raised, as a note of the frame's line says; empty where it says nothing."""
    raised = step.meta.get("raised")
    where = raised.get(str(record["node"])) if isinstance(raised, FrozenMap) else None
    return f"raised at {where}" if isinstance(where, str) else ""


def _section(name: str, body: RenderableType, facts: str = "", *, style: str = GOOD) -> RenderableType:
    return Group(words((name, f"{STRONG} {style}"), ("  ", ""), (facts, QUIET)), Padding(body, (0, 0, 0, 2)))


def value(held: Json) -> RenderableType:
    """Return a message: its members by name, long texts as they read."""
    if not isinstance(held, dict):
        return block(phrases.pretty(held))
    rows: list[tuple[str, RenderableType]] = []
    for name, item in held.items():
        rows.append((words((str(name), "")).plain, block(item if isinstance(item, str) else phrases.pretty(item))))
    return pairs(rows)


def _recorded(record: FrozenMap, call: Made) -> tuple[str, str]:
    """Return the digests of request and outcome that the frame's record holds."""
    for listed in record.get("calls", ()):
        if listed[0] == call.key.call:
            return str(listed[4]), str(listed[5])
    return "", ""


def call(made: Made, digests: tuple[str, str] = ("", "")) -> RenderableType:
    """Return one effect whole: its request, the newest parts marked, and its outcome."""
    return _call(made, digests)


def _call(call: Made, digests: tuple[str, str]) -> RenderableType:
    sign = MODEL if call.effect == "model" else TOOL
    facts = [phrases.tokens(phrases.usage(call.outcome)), phrases.took(call.outcome)]
    facts += [f"{name} {digest[:12]}" for name, digest in zip(("request", "outcome"), digests, strict=True) if digest]
    title = f"{sign} {call.key.node}[{call.key.call}]: {call.effect} {phrases.called(call)}"
    return _section(title, Group(request(call), reply(call)), " · ".join([fact for fact in facts if fact]))


def request(call: Made) -> RenderableType:
    """Return what an effect asks, whole."""
    return Group(*_model_request(call)) if call.effect == "model" else value(call.request.get("arguments"))


def _model_request(call: Made) -> list[RenderableType]:
    request = call.request
    listed = request.get("messages", ())
    parts: list[RenderableType] = []
    if call.before is not None:
        parts.append(words((f"= {call.shared} of {len(listed)} messages as in {call.before}, + new", QUIET)))
    for index, message in enumerate(listed):
        same = call.before is not None and index < call.shared
        parts.append(chat(message, "=" if same else "+" if call.before is not None else " ", QUIET if same else ""))
    tools = [str((tool.get("function") or tool).get("name", "?")) for tool in request.get("tools", ())]
    if tools:
        parts.append(words((f"  {phrases.count(len(tools), 'tool')}: ", QUIET), (", ".join(tools), QUIET)))
    if request.get("params"):
        parts.append(words(("  params: ", QUIET), (phrases.value(request["params"]), QUIET)))
    return parts


def reply(call: Made) -> RenderableType:
    """Return what came back for an effect, whole."""
    outcome = call.outcome
    held: Any = outcome.value
    if isinstance(held, ModelReply):
        reason = "" if held.finish_reason == "unknown" else f" ({held.finish_reason})"
        return Group(words(("⇒ ", GOOD), (f"reply{reason}", STRONG)), chat(held.message))
    if isinstance(held, ToolReply):
        content = held.message if held.message is not None else held.content
        body = block(content) if isinstance(content, str) else block(phrases.pretty(content))
        return Group(words(("⇒ ", GOOD), ("result", STRONG)), Padding(body, (0, 0, 0, 4)))
    return words((f"⇒ {DIFFERS} {outcome.status}: ", BAD), (phrases.answered(outcome), BAD))


def _emission(name: str, data: FrozenMap) -> RenderableType:
    if name == "text":
        return Group(
            words((f"{SHOWN} text", STRONG), (f" ({data.get('stream', '')})", QUIET)),
            Padding(block(str(data.get("text", ""))), (0, 0, 0, 2)),
        )
    return Group(words((f"{SHOWN} {name}", STRONG)), Padding(block(phrases.pretty(data)), (0, 0, 0, 2)))


def change(made: FrozenMap) -> RenderableType:
    """Return a change of the state, whole."""
    keep = f" (keeps the newest {made['keep']})" if made.get("keep") else ""
    line = words((f"{made['op']} ", GOOD), (str(made["at"]), STRONG), (keep, QUIET))
    if made["op"] == "delete":
        return line
    held = made.get("value")
    if isinstance(held, FrozenMap) and isinstance(held.get("role"), str):
        return Group(line, Padding(chat(held), (0, 0, 0, 0)))
    return Group(line, Padding(block(held if isinstance(held, str) else phrases.pretty(held)), (0, 0, 0, 2)))


def nothing_there(message: Message) -> Text:
    """Return the note for a message without frames."""
    return words((f"message {message.number} has no frames: no node ran", QUIET))
