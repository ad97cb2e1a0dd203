"""The keys of the debugger's screen: one table for what they do, for the help, and for the docs."""

from __future__ import annotations

from typing import Final

from attrs import field, frozen


@frozen(kw_only=True)
class Key:
    """Something that a key does."""

    keys: str = ""
    """As the library names them, with commas between; empty where the panel has them."""
    label: str = field()
    """As people read them."""
    action: str = ""
    """What the screen is to do."""
    what: str
    """In a few words."""
    short: str = ""
    """In one word, for the line of keys at the bottom; empty where it has no place there."""

    @label.default
    def _named(self) -> str:
        return self.keys


GROUPS: Final = {
    "Move: with shift the other way": (
        Key(keys="s,right", label="s →", action="say('step')", what="to the end of the next frame", short="step"),
        Key(keys="S,left", label="S ←", action="say('reverse-step')", what="back by a frame"),
        Key(keys="i", action="say('into')", what="into the frame, effect by effect", short="into"),
        Key(keys="I", action="say('reverse-into')", what="back by an effect"),
        Key(keys="n", action="next(False)", what="to the next message; in a search to the next find", short="next"),
        Key(keys="N", action="next(True)", what="to the message before; in a search to the find before"),
        Key(keys="c", action="say('continue')", what="on until something stops it", short="continue"),
        Key(keys="C", action="say('reverse-continue')", what="back until something stops it"),
        Key(keys="u", action="until", what="on, or back, to the row under the cursor, unless something stops it"),
        Key(keys="home", action="say('start')", what="to the start of the run"),
        Key(keys="end", action="say('end')", what="to its end"),
    ),
    "Panels": (
        Key(keys="1", action="tab('frame')", what="the frame: input, effects, what it showed, changed and returned"),
        Key(keys="2", action="tab('calls')", what="its effects: what is new in each request, and each reply"),
        Key(keys="3", action="tab('state')", what="the state, with this frame's changes"),
        Key(keys="4", action="tab('graph')", what="the graph, with the way of the message"),
        Key(keys="5", action="tab('stops')", what="breakpoints, watchpoints, edits"),
        Key(keys="tab", action="panel(1)", what="to the next panel", short="panel"),
        Key(keys="shift+tab", action="panel(-1)", what="to the panel before"),
        Key(keys="plus", label="+", action="zoom", what="this panel alone, and back"),
        Key(keys="escape", label="esc", action="escape", what="close what is open; stop what is under way"),
    ),
    "In a panel": (
        Key(label="↑ ↓ k j", what="up and down"),
        Key(label="g G", what="to its first and last row"),
        Key(label="enter", what="go to the place of the row; open or close it"),
        Key(label="space", what="open or close the row"),
        Key(label="z", what="open or close all rows"),
    ),
    "Stop": (
        Key(keys="b", action="break", what="a breakpoint that suits the row; change it before Enter", short="break"),
        Key(keys="w", action="watch", what="watch the value under the cursor", short="watch"),
        Key(keys="W", action="who", what="who changed the value under the cursor last"),
        Key(keys="d", action="delete", what="delete the breakpoint under the cursor"),
        Key(keys="t", action="turn", what="switch it off, or on again"),
    ),
    "A run under way": (
        Key(keys="m", action="type('say ')", what="say something to it"),
        Key(keys="p", action="pause", what="hold it before every effect, behind every frame, at breakpoints only"),
        Key(keys="a", action="say('approve')", what="let the effect be done; begin the next frame"),
        Key(keys="E", action="send", what="edit the request, and send that"),
        Key(keys="A", action="answer", what="answer it by hand"),
        Key(keys="x", action="say('skip')", what="skip it: an empty text, or null"),
        Key(keys="X", action="type('fail ')", what="let it fail"),
    ),
    "Look and change": (
        Key(keys="slash", label="/", action="type('/')", what="search everything; then n and N", short="search"),
        Key(keys="colon", label=":", action="type('')", what="a command of the line mode", short="command"),
        Key(keys="e", action="edit", what="edit the reply, result, input or value under the cursor", short="edit"),
        Key(keys="f", action="fork", what="fork: a new run with the edits, and what differs", short="fork"),
        Key(keys="T", action="theme", what="light or dark"),
        Key(keys="question_mark,f1", label="?", action="help", what="this help", short="help"),
        Key(keys="q", action="leave", what="leave", short="quit"),
    ),
}  # fmt: skip
"""In the order of the help."""

ALL: Final = tuple(key for group in GROUPS.values() for key in group)
