"""A conversation on a screen: texts as they come, what is being done, and at the end of a message its controls and figures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from frameengine.effects import Call, EffectKey
from frameengine.inputs import Dashboard, Tick
from frameengine.jsonvalue import EMPTY, FrozenMap
from frameengine.node import ANSWER, TEXT_EVENT
from frameengine.records import Emission, Frame
from frameengine_cli import output, phrases
from frameengine_cli.chatting.flow import Flow
from frameengine_cli.chatting.session import Session, Turn, in_words
from frameengine_cli.chatting.surface import indented, one_line, surface
from frameengine_cli.look import BAD, DIFFERS, ENTERS, MODEL, OPEN, QUIET, STRONG, TOOL, words
from frameengine_cli.screens.timeline import status_sign, status_style

TOOL_CALL = "tool_call"
SENSED = (Tick, Dashboard)
"""Inputs without an answer, whose events are what there is to see."""
ERASE = "\r\x1b[K"


class People:
    """Shows a conversation to somebody who reads along.

    What a node shows comes while the guard watches the node, and a screen may have to touch files (a module that is imported when
    it is needed). So it is kept, and drawn as soon as the node waits for something or its frame is committed.
    """

    def __init__(self) -> None:
        self.session: Session | None = None
        """Whose controls are shown; set once it is there."""
        self.watching = False
        """Whether every event is shown."""
        self._kept: list[tuple[EffectKey, Emission]] = []
        self._texts: dict[EffectKey, None] = {}
        self._flow: tuple[Hashable, Flow] | None = None
        self._waiting = False
        self._hinted = False

    # ------------------------------------------------------------------ as an instrument

    def on_preview(self, key: EffectKey, _: int, emission: Emission) -> None:
        """Keep what a node shows."""
        self._kept.append((key, emission))

    def on_delta(self, _: EffectKey) -> None:
        """Draw a piece of a reply as it comes: the nodes wait, and no guard watches."""
        self._draw()

    def on_ask(self, call: Call) -> None:
        """Draw what is kept, then say whom everybody waits for."""
        self._draw()
        if call.effect.kind == "model" and self._flow is None and output.is_terminal():
            self._clear_wait()
            line = words((f"  {MODEL} {call.key.node} …", QUIET))
            line.truncate(output.width() - 1)
            output.console().print(line, end="")
            sys.stdout.flush()
            self._waiting = True

    def on_frame(self, _: Frame) -> None:
        """Draw what is kept."""
        self._draw()

    def on_retract(self, key: EffectKey) -> None:
        """Say that texts which can be read above do not hold."""
        self._draw()
        if key in self._texts:
            self._end_flow()
            self._show(_line((f"  {DIFFERS} withdrawn: ", BAD), (f"what {key.node} said above does not hold", BAD)))

    # ------------------------------------------------------------------ as a view

    def hud(self, event: FrozenMap) -> None:
        """Show an event where all are asked for."""
        if self.watching:
            held = {name: value for name, value in event.items() if name not in ("type", "node", "event")}
            self._draw()
            self._end_flow()
            self._show(_line((f"  {event['node']}.{event['event']}  ", QUIET), (phrases.value(held), QUIET)))

    def turn(self, turn: Turn) -> None:
        """Show controls where they have changed, what went wrong, and the figures."""
        self.rest(cancelled=turn.told.trace.status == "cancelled")
        if isinstance(turn.told.input.body, SENSED):
            self._show_sensed(turn)
        if turn.controls != turn.before:
            self._show_surface(turn)
        for problem in turn.problems:
            self._show(indented(words((f"{DIFFERS} ", BAD), (problem, BAD))))
        self._show(_figures(turn))
        self._show(Text())

    def arguments(self, key: EffectKey, place: int, tool: str, text: str) -> None:
        """Show a piece of what tool call number *place* of a reply is called with, as it comes."""
        if self._flow is None or self._flow[0] != (key, place):
            self._show(_line((f"  {TOOL} {tool}", QUIET)))
            self._flow = ((key, place), Flow(output.write, output.width()))
        self._flow[1].feed(text)
        sys.stdout.flush()

    def rest(self, *, cancelled: bool = False) -> None:
        """End the texts of a message that is done with."""
        self._draw()
        self._end_flow()
        # A terminal echoes the key that cancels where the cursor stands.
        self._waiting = self._waiting or (cancelled and output.is_terminal())
        self._clear_wait()
        self._texts.clear()

    def result(self, _: str, __: dict[str, Any], screen: Callable[[], Any]) -> None:
        """Show what a command gave."""
        self._show(screen())

    # ------------------------------------------------------------------ drawing

    def _draw(self) -> None:
        kept, self._kept = self._kept, []
        for key, emission in kept:
            self._shown(key, emission)

    def _shown(self, key: EffectKey, emission: Emission) -> None:
        data = emission.data
        if emission.event == TEXT_EVENT and data["stream"] == ANSWER:
            self._clear_wait()
            self._texts[key] = None
            if self._flow is None or self._flow[0] != key:
                self._end_flow()
                self._flow = (key, Flow(output.write, output.width()))
            self._flow[1].feed(data["text"])
            sys.stdout.flush()
        elif emission.event == TEXT_EVENT:
            self._texts[key] = None
            self._show(indented(words((f"{OPEN} ", QUIET), (data["text"], "italic"))))
        elif emission.event == TOOL_CALL:
            self._show(_line((f"  {TOOL} {data['tool']}  ", QUIET), (_arguments(data.get("args")), QUIET)))

    def _show(self, screen: Any) -> None:
        self._clear_wait()
        self._end_flow()
        output.show(screen)
        sys.stdout.flush()

    def _end_flow(self) -> None:
        if self._flow is not None:
            flow, self._flow = self._flow[1], None
            flow.end()

    def _clear_wait(self) -> None:
        if self._waiting:
            self._waiting = False
            output.write(ERASE)

    def _show_surface(self, turn: Turn) -> None:
        if not turn.controls:
            self._show(_line(("  the screen is empty now", QUIET)))
        elif self.session is not None:
            self._show(indented(surface(self.session.state.get("ui", EMPTY), output.look(), before=turn.before)))
            if self.session.buttons and not self._hinted:
                self._hinted = True
                self._show(_line(("  press a button: /click 1", QUIET)))

    def _show_sensed(self, turn: Turn) -> None:
        """Show what a tick or a report of the screen has brought up: the events, and the flags that the next message is told."""
        told = [(emission.event, emission.data) for frame in turn.told.frames for emission in _emissions(frame)]
        flags = {} if self.session is None else self.session.state.get("sensor", EMPTY).get("flags", EMPTY)
        for name, data in (*told, *flags.items()):
            self._show(indented(words((f"{ENTERS} {name.replace('_', ' ')}  ", QUIET), (in_words(data), ""))))
        if turn.told.trace.path == "ignored":
            self._show(_line((f"  {ENTERS} no node of this graph takes it", QUIET)))
        elif not told and not flags:
            self._show(_line((f"  {ENTERS} nothing new", QUIET)))


def _emissions(frame: Frame) -> Iterator[Emission]:
    for record in frame.records:
        yield from record.emissions


def _figures(turn: Turn) -> RenderableType:
    trace, ms = turn.told.trace, turn.told.ms
    sign = "failed" if turn.failed else trace.status
    facts = [trace.path, phrases.frames(trace.total_frames, trace.frames), phrases.count(trace.calls, "call")]
    if ms:
        facts.append(phrases.duration(sum(ms.values())))
    return _line((f"  {status_sign(sign)} {trace.status}  ", f"{STRONG} {status_style(sign)}"), (" · ".join(facts), QUIET))


def _arguments(args: Any) -> str:
    """Return what a tool is called with; a statement or a program as the text it is."""
    if isinstance(args, FrozenMap):
        text = args.get("query", args.get("code"))
        return phrases.cut(text) if isinstance(text, str) else phrases.value(args)
    return phrases.value(args)


def _line(*parts: tuple[str, str]) -> RenderableType:
    """Return one line that is cut where the screen ends."""
    # In a group of its own: a console that prints a text by itself makes a new one of it, which may be wrapped.
    return Group(one_line(words(*parts)))
