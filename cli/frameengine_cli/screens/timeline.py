"""One message as a timeline of frames: the screen for a bug report."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from frameengine.inputs import Given, Input, UserMessage
from frameengine.jsonvalue import FrozenMap
from frameengine.node import ANSWER
from frameengine.trace.messages import UNDER_WAY, Made, Message, Step
from frameengine_cli import phrases
from frameengine_cli.look import (
    BAD,
    DELTA,
    DIFFERS,
    ENTERS,
    GOOD,
    MODEL,
    NODE,
    OPEN,
    QUIET,
    SAME,
    SHOWN,
    STRONG,
    TOOL,
    Look,
    block,
    words,
)
from frameengine_cli.screens.chat import chat
from frameengine_cli.screens.chat import parts as chat_parts

TEXT_LINES = 12
"""Lines of a question or an answer, unless all is asked for."""


def timeline(message: Message, look: Look, *, full: bool = False) -> RenderableType:
    """Return a message: what the user said, what happened frame by frame, and the answer."""
    lines = 0 if full else TEXT_LINES
    body = message.input.body
    title = f"message {message.number}" if isinstance(body, UserMessage) else f"input {message.number} · {message.input.type}"
    parts: list[RenderableType] = [look.panel(_came_in(message, lines), title, _facts(message), style=GOOD)]
    if message.steps or message.loose:
        parts.append(_frames(message, look))
    text = answer(message)
    if text:
        parts.append(look.panel(block(text, lines=lines), "answer", style=GOOD))
    parts.append(totals(message))
    return Group(*parts)


def _came_in(message: Message, lines: int) -> RenderableType:
    body = message.input.body
    if isinstance(body, Given):
        return Group(*[chat(given, lines=lines) for given in body.messages])
    others = chat_parts(body.message) if isinstance(body, UserMessage) else []
    asked = body.text if isinstance(body, UserMessage) and (body.text or others) else phrases.input_line(message.input)
    return Group(*([block(asked, lines=lines)] if asked else []), *[words((part, QUIET)) for part in others])


def _facts(message: Message) -> str:
    facts = [f"path {message.path}"] if message.path else []
    return " · ".join([*facts, message.status])


def status_style(status: str) -> str:
    """Return the colour of a message's status."""
    return GOOD if status in ("done", UNDER_WAY) else BAD


def status_sign(status: str) -> str:
    """Return the sign that stands beside a status."""
    return {"done": SAME, "failed": DIFFERS}.get(status, OPEN)


def answer(message: Message) -> str:
    """Return the text that the user was shown in the end; empty where there was none."""
    shown: list[tuple[str, str]] = []
    for step in message.steps:
        for record in step.records if step.phase == "main" else ():
            texts = [data for name, data in record.get("emissions", ()) if name == "text"]
            shown += [(str(data.get("stream", "")), str(data.get("text", ""))) for data in texts]
    answers = [text for stream, text in shown if stream == ANSWER]
    return "\n".join(answers) if answers else shown[-1][1] if shown else ""


def totals(message: Message) -> Text:
    """Return the figures of a message on one line."""
    calls = message.calls
    models = len([call for call in calls if call.effect == "model"])
    facts = [phrases.frames(message.main_frames, len(message.steps)), phrases.count(len(calls), "call")]
    if calls:
        facts[-1] += f" ({models} model, {len(calls) - models} tool)"
    figures = token_sum(message)
    if figures is not None:
        facts.append(phrases.tokens(figures))
    took = [found for call in calls if (found := phrases.milliseconds(call.outcome.meta)) is not None]
    if took:
        facts.append(f"{phrases.duration(sum(took))} in calls")
    status = message.status
    return words((f"{status_sign(status)} {status}", f"{STRONG} {status_style(status)}"), ("  ", ""), (" · ".join(facts), QUIET))


def token_sum(message: Message) -> tuple[int, int] | None:
    """Return the tokens of all model calls; None where no reply reports them."""
    figures = [found for call in message.calls if (found := phrases.usage(call.outcome)) is not None]
    return (sum(read for read, _ in figures), sum(wrote for _, wrote in figures)) if figures else None


def frame_lines(step: Step, look: Look) -> Table:
    """Return one frame in short: its nodes, their calls, what they showed and changed."""
    grid = _grid()
    _frame(grid, step, look.gutter)
    return grid


def _grid() -> Table:
    grid = Table.grid(padding=(0, 1, 0, 0), expand=True)
    grid.add_column(justify="right", no_wrap=True, style=f"{STRONG} {GOOD}", min_width=3)
    grid.add_column(no_wrap=True, style=QUIET, width=1)
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    grid.add_column(justify="right", no_wrap=True, style=QUIET)
    grid.add_column(justify="right", no_wrap=True, style=QUIET)
    return grid


def _frames(message: Message, look: Look) -> Table:
    grid = _grid()
    last = len(message.steps) - 1
    for index, step in enumerate(message.steps):
        gutter = look.gutter if index < last or message.loose else ""
        _frame(grid, step, gutter)
    for call in message.loose:
        grid.add_row("", words((DIFFERS, BAD)), _call(call), *_call_facts(call))
    _late(grid, message.late)
    return grid


def _frame(grid: Table, step: Step, gutter: str) -> None:
    _late(grid, step.late)
    number = str(step.number)
    phase = "" if step.phase == "main" else step.phase
    took = phrases.duration(phrases.milliseconds(step.meta))
    for record in step.records:
        sign = words((NODE, BAD if record.get("error") is not None or record.get("open") else GOOD))
        grid.add_row(number, sign, _headline(record), words((phase, "")), took)
        number = phase = took = ""
        for call in step.calls_of(str(record["node"])):
            grid.add_row("", gutter, _call(call), *_call_facts(call))
        for line in record_lines(record):
            grid.add_row("", gutter, line, "")


def _late(grid: Table, inputs: Sequence[Input]) -> None:
    for entered in inputs:
        grid.add_row("", ENTERS, words((f"input {entered.number} ", QUIET), (phrases.input_line(entered), "")), "")


def _headline(record: FrozenMap) -> Text:
    """Return the node, where its output went and why."""
    route = record.get("route", ())
    parts = [(str(record["node"]), STRONG)]
    if route:
        parts += [(" → ", QUIET), (", ".join([str(name) for name in route]), "")]
    for condition, holds in record.get("condition", {}).items():
        sign, style = (SAME, GOOD) if holds else (DIFFERS, QUIET)
        parts += [("  if ", QUIET), (str(condition), QUIET), (f" {sign}", style)]
    return words(*parts)


def record_lines(record: FrozenMap) -> list[Text]:
    """Return what a node showed, changed and failed with, one line each."""
    lines = [
        words((f" {SHOWN} ", GOOD), (f"{_channel(emission)} ", QUIET), (_shown(emission), ""))
        for emission in record.get("emissions", ())
    ]
    lines += [words((f" {DELTA} ", QUIET), (line, QUIET)) for line in phrases.changes_line(record.get("changes", ()))]
    error = record.get("error")
    if error is not None:
        lines.append(words((f" {DIFFERS} ", BAD), (f"{error.get('type', 'error')}: {error.get('message', '')}", BAD)))
    if record.get("open"):
        lines.append(words((f" {OPEN} ", BAD), ("stopped: the outcome was not recorded", BAD)))
    return lines


def _channel(emission: tuple[str, FrozenMap]) -> str:
    """Return what an emission is: the stream of a text, or the event's name."""
    name, data = emission
    return str(data.get("stream", name)) if name == "text" else name


def _shown(emission: tuple[str, FrozenMap]) -> str:
    name, data = emission
    return f'"{phrases.cut(str(data.get("text", "")))}"' if name == "text" else phrases.value(data)


def _call(call: Made) -> Text:
    good = call.outcome.status == "ok"
    sign = MODEL if call.effect == "model" else TOOL
    result = (phrases.answered(call.outcome), "" if good else BAD)
    mark = "" if good else f"{DIFFERS} " if call.outcome.status == "error" else f"{OPEN} "
    return words((f" {sign} ", GOOD if good else BAD), (phrases.asked(call), ""), ("  ⇒ ", QUIET), (mark, BAD), result)


def _call_facts(call: Made) -> tuple[str, str]:
    return phrases.tokens(phrases.usage(call.outcome)), phrases.took(call.outcome)
