"""A trace with a hostile text in every field, and a terminal's view of what a program writes: its sequences, and its text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import evolve

from frameengine.effects import Call, EffectFailure, EffectKey, ModelCall, ModelReply, Outcome, ToolCall, ToolReply
from frameengine.engine.driver import virtual_at
from frameengine.inputs import Action, Body, Given, Input, UserMessage, Webhook
from frameengine.jsonvalue import EMPTY, FrozenMap, freeze
from frameengine.plaintext import is_visible
from frameengine.records import CallRecord, Emission, Frame, FrameRecord, FrameTrace
from frameengine.state import Change
from frameengine.trace.writer import TraceWriter
from sample_traces import DIGEST, members

ESC = "\x1b"
_CONTROLS: Final = (
    "2J H 1;1H 10A 3B 5C 5D K 1K J 31m 0m 7m 8m 38;5;1m 48;2;1;2;3m ?25l ?25h ?1049h ?1049l ?47h ?1000h ?1003l ?1006h ?2004h "
    "?2026h 6n c >c 5n 21t 14t 4h 20h 1;5r r s u !p 3g 10X 4P 2L 2M 2@ 5i"
)
_COMMANDS: Final = "0;title 2;title 52;c;aGk= 8;;http://evil.invalid 4;1;rgb:00/00/00 11;? 50;x"
_ESCAPES: Final = f"Pq#0{ESC}\\ P$qm{ESC}\\ _x{ESC}\\ ^x{ESC}\\ c 7 8 D M #8 (0 %G = >"
_TRICKS: Final = (
    "\x9b31m", "\x9d0;x\x9c", "\x90q\x9c", "\r\x1b[Kall is well", "\x08\x08\x08gone", "a\u202eb\u202c", "a\u2066b\u2069",
    "a\u200bb", "a\U000e0041b",
)  # fmt: skip
SEQUENCES: Final = (
    *[f"{ESC}[{each}" for each in _CONTROLS.split()],
    *[f"{ESC}]{each}{end}" for each in _COMMANDS.split() for end in ("\x07", f"{ESC}\\")],
    *[f"{ESC}{each}" for each in _ESCAPES.split()],
    *_TRICKS,
)
"""Each would do something to a terminal, or to what a person believes to read, were it written as it is."""
assert len(SEQUENCES) >= 60
POINTS: Final = tuple([chr(number) for number in range(0x300)])
PART: Final = 40
"""Code points of one text: no list cuts one that short."""


def texts() -> list[str]:
    """Return every code point below U+0300 and every sequence, in texts that are shown whole."""
    whole = ["".join(POINTS[start : start + PART]) for start in range(0, len(POINTS), PART)]
    for sequence in SEQUENCES:
        if whole and len(whole[-1]) + len(sequence) <= PART and whole[-1].startswith("|"):
            whole[-1] += f"|{sequence}"
        else:
            whole.append(f"|{sequence}")
    # A sequence of its own, so that a table of markup finds none either: these would be one for the library below.
    return [*whole, "[bold red]x[/]", "[@click=app.leave]x[/]", ":smile: [link=http://evil.invalid]x[/link]"]


def write(path: Path, held: Sequence[str]) -> Path:
    """Write a trace to *path*: a message for each text, which stands in every field of it."""
    head = _header(held[1] + held[-1])
    with TraceWriter(path, head) as writer:
        for number, text in enumerate(held, 1):
            _message(writer, number, text)
        writer.seal()
    return path


def _header(text: str) -> FrozenMap:
    """Return the members of a header whose graph, provenance and state hold *text*."""
    head = members()
    graph = dict(head["graph"])
    graph.update(name=text, description=text, state={text: text})
    graph["nodes"] = [{**graph["nodes"][0], "name": text, "role": text}, *graph["nodes"][1:]]
    graph["edges"] = [{**edge, "condition": text, "carries": text} for edge in graph["edges"]]
    whole: FrozenMap = freeze(
        {**head, "graph": graph, "provenance": {"model": text, text: text}, "state": {"section": {text: text}}}
    )
    return whole


def _body(number: int, text: str) -> Body:
    return (
        UserMessage.of(text),
        Action(name=text, data=freeze({text: text})),
        Webhook(source=text, payload=freeze({text: [text]})),
        Given(messages=freeze([{"role": text, "content": text}])),
    )[number % 4]


def _message(writer: TraceWriter, number: int, text: str) -> None:
    writer.input(Input(number=number, body=_body(number, text), at=number))
    node = text
    message = {"role": text, "content": text, "name": text}
    model = ModelCall(model=text, messages=[message, {"role": "user", "content": text}], params=freeze({text: text}))
    wants = {"role": "assistant", "content": text, "tool_calls": [{"id": text, "function": {"name": text, "arguments": text}}]}
    asked: list[tuple[Any, Outcome]] = [
        (model, Outcome(value=ModelReply(message=freeze(wants), finish_reason=text), meta=freeze({"ms": 2, "cost": 0.5}))),
        (ToolCall(text, freeze({text: text})), Outcome(value=ToolReply(content=text))),
        (
            ToolCall(text, text),
            Outcome(status="error", error=EffectFailure(type=text, message=text, fields=freeze({text: text}))),
        ),
    ]
    calls = []
    for index, (effect, given) in enumerate(asked):
        call = Call.of(EffectKey(number, 1, node, index), effect)
        outcome = evolve(given, at=virtual_at(call.key))
        writer.outcome(call, outcome)
        digests = {"request": call.digest, "outcome": outcome.digest}
        calls.append(CallRecord(call=index, kind=effect.kind, name=text, status=outcome.status, **digests))
    record = FrameRecord(
        frame=1,
        node=node,
        phase="main",
        input=freeze({"type": text, text: text}),
        output=freeze({"type": text, "text": text}),
        calls=tuple(calls),
        emissions=(
            Emission(event="text", data=freeze({"stream": text, "text": text})),
            Emission(event=text, data=freeze({text: text})),
        ),
        changes=(Change.set("/section", {text: text}), Change.append("/list", {"role": text, "content": text}, keep=9)),
        route=(text,),
        condition=freeze({text: number % 2 == 0}),
    )
    failed = FrameRecord(
        frame=2,
        node=node,
        phase="epilogue",
        input=freeze({"type": text}),
        error=freeze({"type": text, "message": text, "where": text}),
    )
    writer.frame(Frame(input=number, frame=1, phase="main", records=(record,)), freeze({"ms": 1.5}))
    writer.frame(Frame(input=number, frame=2, phase="epilogue", records=(failed,)), freeze({"raised": {node: text}}))
    figures = FrameTrace(input=number, path=text, status="failed", total_frames=1, frames=2, calls=3, state=DIGEST)
    writer.trace(figures, EMPTY)


OURS: Final = re.compile(
    r"\x1b\[[0-9;]*m"  # colours
    r"|\x1b\[[0-9]+;[0-9]+H"  # a place
    r"|\x1b\]22;[a-z-]+\x07"  # the shape of the mouse's pointer
    r"|\x1b\[\?(?:7|25|1000|1003|1004|1006|1015|1016|1049|2004|2026|2048)[hl]"  # modes that it sets, and sets back
    r"|\x1b\[\?(?:2026|2048)\$p"  # whether the terminal knows two of them
    r"|\x1b\[[<>=][0-9;]*u"  # keys told apart
    r"|\r\n"
)
"""What the screen's own library, the prompt and ourselves write to a terminal."""


def foreign(written: str) -> Iterator[str]:
    """Yield what was written to a terminal and is neither one of our sequences nor a character that may be seen."""
    at = 0
    while at < len(written):
        found = OURS.match(written, at)
        if found is not None:
            at = found.end()
            continue
        if not is_visible(written[at]):
            yield f"{written[at : at + 16]!r} behind {written[max(0, at - 40) : at]!r}"
        at += 1
