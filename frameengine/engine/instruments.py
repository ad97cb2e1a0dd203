"""Observers of a run. They are told what happens and can change nothing: one that raises is dropped, and named.

An instrument is any object with some of these methods::

    on_input(input)                  an input was taken
    on_preview(key, index, emission) a node shows something; not yet committed
    on_retract(key)                  the node failed or was cancelled: forget its previews
    on_ask(call)                     an effect was asked for
    on_outcome(call, outcome)        its outcome arrived
    on_frame(frame)                  a frame was committed
    on_trace(trace)                  an input is done with

``key`` is an `EffectKey` whose ``call`` is 0: input, frame and node of the emission.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

HOOKS = ("on_input", "on_preview", "on_retract", "on_ask", "on_outcome", "on_frame", "on_trace")


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
