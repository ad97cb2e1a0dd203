"""The current frame: what each node was given, asked for, got, showed, changed and returned, in parts that open."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve
from rich.console import Group
from rich.text import Text

from frameengine.debug.timeline import Timeline
from frameengine.jsonvalue import FrozenMap
from frameengine.trace.messages import Made
from frameengine_cli import phrases
from frameengine_cli.look import BAD, DELTA, DIFFERS, ENTERS, GOOD, MODEL, OPEN, QUIET, SHOWN, STRONG, TOOL, block, words
from frameengine_cli.screens import frame as whole
from frameengine_cli.screens.chat import chat
from frameengine_cli.screens.run import counted, graph_name, origin
from frameengine_cli.screens.timeline import answer, totals
from frameengine_cli.tui.lists import headline, stop_at, subject_of
from frameengine_cli.tui.rows import Folds, Outline, Row, fit
from frameengine_cli.tui.scene import Scene


def frame_rows(scene: Scene, folds: Folds, width: int) -> Sequence[Row]:
    """Return the frame in short: one row for each part, those open that there is room for."""
    nodes = [str(record["node"]) for record in scene.step.records] if scene.step is not None else []
    worth = [f"{node} {what}" for what in ("output", "change 0", "input", "change 1") for node in nodes]
    return fit(lambda: _frame_rows(scene, folds, width), folds, worth)


def _frame_rows(scene: Scene, folds: Folds, width: int) -> Sequence[Row]:
    outline = Outline(folds, width)
    if scene.step is None:
        _no_frame(outline, scene)
        return outline.rows
    for late in scene.step.late:
        name = f"input {late.number}"
        outline.line(words((f"{ENTERS} {name}: ", GOOD), (phrases.input_line(late), "")), subject=name, part=name)
    for record in scene.step.records:
        outline.gap()
        _record(outline, scene, record)
    if not scene.committed:
        left = len(scene.effects) - scene.arrived
        said = f"{phrases.count(left, 'outcome')} to come" if left else "all outcomes are here"
        outline.gap()
        outline.line(words((f"{OPEN} inside the frame: {said}, nothing is committed", QUIET)))
    return outline.rows


def call_rows(scene: Scene, folds: Folds, width: int) -> Sequence[Row]:
    """Return the frame's effects, each with what is new in its request, and its reply."""
    outline = Outline(folds, width)
    if not scene.effects:
        outline.line(words(("this frame asked for nothing" if scene.step else "no frame has begun: step", QUIET)))
    for index in range(len(scene.effects)):
        outline.gap()
        _effect(outline, scene, index, opened=True, depth=0)
    return outline.rows


def _no_frame(outline: Outline, scene: Scene) -> None:
    """Add what there is where no frame was committed."""
    if not scene.place.frame:
        _entered(outline, scene)
        return
    if scene.under_way:
        outline.line(words((f"{OPEN} this frame is under way: these effects have arrived so far", f"{STRONG} {GOOD}")))
    else:
        outline.line(words((f"{DIFFERS} this frame was never committed: the file ends inside it", f"{STRONG} {BAD}")))
    for index in range(len(scene.effects)):
        _effect(outline, scene, index, opened=False, depth=0)


def _entered(outline: Outline, scene: Scene) -> None:
    """Add what a message brought, and what became of it."""
    entered, message = scene.entered, scene.message
    if entered is None:
        return
    outline.line(words((f"{ENTERS} {entered.type}", f"{STRONG} {GOOD}"), (" has entered; no frame has begun", QUIET)))
    outline.gap()
    outline.body(block(phrases.input_line(entered)), 1, subject="input", part="input")
    if message is None:
        return
    text = answer(message)
    if text:
        outline.gap()
        if outline.part("answer", words(("its answer, in the end", QUIET)), usual=True):
            outline.body(block(text, QUIET), 1)
    outline.gap()
    outline.line(totals(message))


def _record(outline: Outline, scene: Scene, record: FrozenMap) -> None:
    node = str(record["node"])
    outline.line(headline(record), stop=f"node {node}")
    _value(outline, node, "input", record["input"])
    for index, call in enumerate(scene.effects):
        if call.key.node == node:
            _effect(outline, scene, index, opened=False, depth=1)
    if scene.committed:
        _left_behind(outline, record, node)


def _left_behind(outline: Outline, record: FrozenMap, node: str) -> None:
    """Add what a node returned, changed and showed, or how it failed."""
    error = record.get("error")
    if error is not None:
        line = words((f"{DIFFERS} ", BAD), (f"{error.get('type', 'error')}: {error.get('message', '')}", f"{STRONG} {BAD}"))
        if outline.part(f"{node} error", line, usual=True, depth=1, stop="error"):
            outline.body(block(phrases.pretty(error), BAD), 3)
    elif record.get("open"):
        outline.line(words((f"{OPEN} stopped: the outcome was not recorded", BAD)), 1)
    elif record.get("output") is None:
        outline.line(words(("  output ", GOOD), ("nothing", QUIET)), 1)
    else:
        _value(outline, node, "output", record["output"])
    for number, change in enumerate(record.get("changes", ())):
        line = words((f"{DELTA} ", f"{STRONG} {GOOD}"), ("".join(phrases.changes_line([change])), ""))
        if outline.part(f"{node} change {number}", line, depth=1, subject=str(change["at"])):
            outline.body(whole.change(change), 3)
    for number, (name, data) in enumerate(record.get("emissions", ())):
        channel = str(data.get("stream", name)) if name == "text" else str(name)
        said = f'"{phrases.cut(str(data.get("text", "")))}"' if name == "text" else phrases.value(data)
        line = words((f"{SHOWN} ", GOOD), (f"{channel} ", QUIET), (said, ""))
        if outline.part(f"{node} emission {number}", line, depth=1, stop=f"emission {name}"):
            outline.body(block(str(data.get("text", ""))) if name == "text" else block(phrases.pretty(data)), 3)


def _value(outline: Outline, node: str, name: str, value: FrozenMap) -> None:
    line = words((f"{name} ", f"{GOOD}"), (phrases.value(value), ""))
    if outline.part(f"{node} {name}", line, depth=1, stop=f"node {node}"):
        outline.body(whole.value(value), 3)


def _effect(outline: Outline, scene: Scene, index: int, *, opened: bool, depth: int) -> None:
    """Add an effect: what was asked, with its newest parts marked, and what came back."""
    call = scene.effects[index]
    fold = f"{'whole ' if opened else ''}{call.key.node} call {call.key.call}"
    sign, stop = MODEL if call.effect == "model" else TOOL, stop_at(call)
    if index >= scene.arrived:
        outline.line(words((f"  {OPEN} {sign} {phrases.asked(call)}  not yet answered", QUIET)), depth, stop=stop)
        return
    subject = subject_of(call, index + 1)
    good = call.outcome.status == "ok"
    head = words((f"{sign} ", GOOD if good else BAD), (phrases.asked(call), STRONG if opened else ""))
    if not opened:
        head.append_text(words(("  ⇒ ", QUIET), (phrases.answered(call.outcome), "" if good else BAD)))
    if not outline.part(fold, head, usual=opened, depth=depth, subject=subject, stop=stop, facts=_facts(call)):
        return
    first = len(outline.rows)
    if call.effect == "model":
        _request(outline, call, fold, depth + 1)
    else:
        outline.body(whole.value(call.request.get("arguments")), depth + 1)
    outline.body(whole.reply(call), depth + 1)
    # Wherever the cursor stands in it, the effect is what keys are about.
    outline.rows[first:] = [evolve(row, subject=subject, stop=stop) for row in outline.rows[first:]]


def _facts(call: Made) -> Text:
    parts = [phrases.tokens(phrases.usage(call.outcome)), _cost(call), phrases.took(call.outcome)]
    return words((" · ".join([part for part in parts if part]), QUIET))


def _cost(call: Made) -> str:
    cost = call.outcome.meta.get("cost")
    return f"{cost:.4f} $" if isinstance(cost, int | float) and not isinstance(cost, bool) else ""


def _request(outline: Outline, call: Made, fold: str, depth: int) -> None:
    """Add a model call's messages: those that an earlier call had too in a part that is closed."""
    listed = call.request.get("messages", ())
    shared = call.shared if call.before is not None else 0
    if shared:
        line = words((f"= {shared} of {len(listed)} messages as in {call.before}", QUIET))
        if outline.part(f"{fold} shared", line, depth=depth):
            outline.body(Group(*[chat(message, "=", QUIET) for message in listed[:shared]]), depth + 1)
    for number, message in enumerate(listed[shared:], shared):
        role, sign = str(message.get("role", "?")), "+ " if shared else ""
        said = words((sign, GOOD), (f"{role} ", STRONG), (phrases.cut(_said(message)), QUIET))
        if role != "system":
            outline.body(chat(message, "+" if shared else " "), depth)
        elif outline.part(f"{fold} message {number}", said, depth=depth):
            outline.body(chat(message, "+" if shared else " "), depth + 1)
    tools = [str((tool.get("function") or tool).get("name", "?")) for tool in call.request.get("tools", ())]
    if tools:
        outline.line(words((f"{phrases.count(len(tools), 'tool')}: {', '.join(tools)}", QUIET)), depth)
    if call.request.get("params"):
        outline.line(words((f"params: {phrases.value(call.request['params'])}", QUIET)), depth)


def _said(message: FrozenMap) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else phrases.value(content)


def start_rows(timeline: Timeline, name: str, width: int) -> Sequence[Row]:
    """Return what is to be said at the start of the run: where it comes from; *name*: what its file is called."""
    outline, header = Outline(Folds(), width), timeline.header
    problem = "" if timeline.problem is None else timeline.problem.message.replace(str(timeline.path), name)
    outline.line(words(("the start of the run", f"{STRONG} {GOOD}")))
    outline.gap()
    for what, said in (("graph", graph_name(header)), ("holds", counted(timeline.counts)), ("from", origin(header))):
        if said:
            outline.line(words((f"{what:6}", QUIET), (said, "")))
    outline.line(words((f"{'clock':6}", QUIET), (str(header.get("clock", "virtual")), "")))
    outline.gap()
    key, does = ("m", " says something to it") if timeline.growing else ("s", " steps into the first message")
    if timeline.growing:
        outline.line(words((f"{OPEN} it is being recorded", GOOD)))
        outline.gap()
    elif problem:
        outline.body(block(f"{DIFFERS} {problem}", BAD), 0)
        outline.gap()
    outline.line(words((key, STRONG), (f"{does}, ", QUIET), ("?", STRONG), (" shows all keys", QUIET)))
    return outline.rows
