"""Observers of a run. They are told what happens and can change nothing: one that raises is dropped, and named.

An instrument is any object with some of these methods::

    on_input(input)                  an input was taken
    on_preview(key, index, emission) a node shows something; not yet committed
    on_delta(key)                    the preview before came from a model, while the nodes wait
    on_retract(key)                  forget the previews of this node: it failed, was cancelled, or says something else
    on_ask(call)                     an effect was asked for
    on_outcome(call, outcome)        its outcome arrived
    on_frame(frame)                  a frame was committed
    on_trace(trace)                  an input is done with

``key`` is an `EffectKey` whose ``call`` is 0: input, frame and node of the emission.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from frameengine.effects import Call, EffectKey
from frameengine.jsonvalue import freeze
from frameengine.node import ANSWER, TEXT_EVENT
from frameengine.records import Emission

HOOKS = ("on_input", "on_preview", "on_delta", "on_retract", "on_ask", "on_outcome", "on_frame", "on_trace")


class Instrument(Protocol):
    """Any object with some of the hooks above. Structural: there is nothing to inherit."""


class Instruments:
    """Calls the hooks that are there, and drops an instrument whose hook raises."""

    def __init__(self, instruments: Iterable[Any] = ()) -> None:
        self._hooks: dict[str, list[tuple[Any, Callable[..., None]]]] = {hook: [] for hook in HOOKS}
        self.dropped: list[tuple[Any, Exception]] = []
        """Instruments that raised, with what they raised."""
        for instrument in instruments:
            self.add(instrument)

    def add(self, instrument: Any) -> None:
        """Let *instrument* observe from now on."""
        for hook in HOOKS:
            method = getattr(instrument, hook, None)
            if method is not None:
                self._hooks[hook].append((instrument, method))

    def watching(self, hook: str) -> bool:
        """Whether anybody listens to *hook*."""
        return bool(self._hooks[hook])

    def call(self, hook: str, *args: Any) -> None:
        """Tell everybody who listens to *hook*."""
        listeners = self._hooks[hook]
        if not listeners:
            return
        for instrument, method in tuple(listeners):
            try:
                method(*args)
            except Exception as error:  # noqa: BLE001 - an observer cannot break the run; it is dropped and named
                self.dropped.append((instrument, error))
                for others in self._hooks.values():
                    others[:] = [pair for pair in others if pair[0] is not instrument]


class Previews:
    """Shows what is not yet committed: what nodes show, and pieces of a model's reply while its node waits for it.

    When a node then says that text, this one or one that comes after it, only what is new of it is shown; when it says another,
    or nobody says it, the pieces are retracted. So the previews that hold are together what the frames commit. White space
    around a reply waits until a word follows it, since most nodes cut it off.
    """

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._own: dict[EffectKey, list[Emission]] = {}
        self._count: dict[EffectKey, int] = {}
        self._call: EffectKey | None = None
        self._ahead = ""
        self._held = ""

    def show(self, key: EffectKey, emission: Emission) -> None:
        """Show what a node shows, without what has been read already."""
        self._own.setdefault(key, []).append(emission)
        if self._call is not None and emission.event == TEXT_EVENT and emission.data["stream"] == ANSWER:
            text, ahead = emission.data["text"], self._ahead
            if not (text.startswith(ahead) or ahead.startswith(text)):
                if self._withdraw() == key:
                    return
            else:
                # A node may say it in pieces, too.
                self._ahead = ahead[len(text) :]
                self._call = self._call if self._ahead else None
                if len(text) <= len(ahead):
                    return
                emission = _text(text[len(ahead) :])
        self._preview(key, emission)

    def delta(self, call: Call, text: str | None) -> None:
        """Show a piece of the reply to *call* as it comes; None when the pieces so far do not hold.

        Of calls that come side by side the first one is shown.
        """
        if text is None:
            if self._call == call.key:
                self._withdraw()
            return
        if self._call is not None and self._call != call.key:
            if self._call[:2] == call.key[:2]:
                return
            self._withdraw()
        if self._call is None:
            self._call, self._ahead, self._held = call.key, "", ""
        grown = self._held + text if self._ahead else text.lstrip()
        piece = grown.rstrip()
        self._held = grown[len(piece) :]
        if piece:
            self._ahead += piece
            key = call.key._replace(call=0)
            self._preview(key, _text(piece))
            self._instruments.call("on_delta", key)

    def retract(self, key: EffectKey) -> None:
        """Take back all that a node has shown: it failed or was cancelled."""
        if self._call is not None and self._call._replace(call=0) == key:
            self._call = None
        self._own.pop(key, None)
        self._count.pop(key, None)
        self._instruments.call("on_retract", key)

    def settle(self) -> None:
        """Take back what nobody has said, when the input is done with."""
        self._withdraw()
        self._own.clear()
        self._count.clear()

    def _withdraw(self) -> EffectKey | None:
        """Take back the pieces of a reply, and show once more what else its node has shown; return the node's key."""
        if self._call is None:
            return None
        key = self._call._replace(call=0)
        own = self._own.get(key, [])
        self.retract(key)
        for emission in own:
            self._preview(key, emission)
        self._own[key] = own
        return key

    def _preview(self, key: EffectKey, emission: Emission) -> None:
        count = self._count.get(key, 0)
        self._count[key] = count + 1
        self._instruments.call("on_preview", key, count, emission)


def _text(text: str) -> Emission:
    return Emission(event=TEXT_EVENT, data=freeze({"stream": ANSWER, "text": text}))
