"""Ask an OpenAI-compatible endpoint over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import httpx2
from attrs import evolve

from frameengine import __version__
from frameengine.codec import written
from frameengine.effects import Call, EffectKey, ModelCall, Outcome
from frameengine.engine.driver import Clock
from frameengine.errors import UsageError
from frameengine.jsonvalue import FrozenMap, Json, freeze, frozen_map
from frameengine.performers.clock import system_clock
from frameengine.performers.model_http.endpoint import Endpoint
from frameengine.performers.model_http.fault import Fault
from frameengine.performers.model_http.reading import Reading
from frameengine.performers.model_http.wire import Watch, client

KEPT_HEADERS = frozenset(
    "content-type date retry-after retry-after-ms request-id x-request-id x-generation-id openai-model openai-processing-ms "
    "openai-version x-ratelimit-limit-requests x-ratelimit-limit-tokens x-ratelimit-remaining-requests "
    "x-ratelimit-remaining-tokens x-ratelimit-reset-requests x-ratelimit-reset-tokens".split()
)
"""Response headers that go to an outcome's meta; no other one does."""
HEADER_MAX = 200
"""Characters of one that are kept."""


class HttpModel:
    """A model behind an endpoint, for `performers.live.Live`. Safe to call from several threads.

    What goes wrong is an outcome with the status error: a failure of type ``model.…``, the facts, and the text as far as it came.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        on_delta: Callable[[Call, str | None], None] | None = None,
        clock: Clock | None = None,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        """*on_delta* is told of each piece of text of a shown call as it comes, and None when the pieces so far do not hold.

        *clock* is the machine's unless another is given; *sleep* waits between two tries, in seconds.
        """
        self.endpoint = endpoint
        self.on_delta = on_delta
        self._clock = clock or system_clock()
        self._sleep = sleep
        self._under_way: dict[EffectKey, Watch] = {}

    def __call__(self, call: Call) -> Outcome:
        """Ask once, and again by the rules of `Endpoint.retry`, until the answer is complete or has failed for good."""
        effect = call.effect
        if not isinstance(effect, ModelCall):
            raise UsageError(f"a {effect.kind} call is none for a model", hint="give tool calls to the registry of tools")
        watch = Watch(self.endpoint.timeouts, self._clock.monotonic)
        self._under_way[call.key] = watch
        try:
            return self._tried(call, effect, watch)
        finally:
            del self._under_way[call.key]

    def drop(self, keys: Iterable[EffectKey]) -> None:
        """End the calls of *keys* that are under way; they come back as cancelled."""
        for key in keys:
            watch = self._under_way.get(key)
            if watch is not None:
                watch.cancel()

    def close(self) -> None:
        """End every call that is under way."""
        self.drop(tuple(self._under_way))

    def _tried(self, call: Call, effect: ModelCall, watch: Watch) -> Outcome:
        failed: list[dict[str, Any]] = []
        while True:
            began = self._clock.monotonic()
            outcome, fault = self._try(call, effect, watch)
            meta = {**outcome.meta, "attempts": len(failed) + 1, **({"retries": failed} if failed else {})}
            outcome = evolve(outcome, meta=freeze(self._scrubbed(meta)))
            if fault is None:
                return outcome
            pause = None if watch.cancelled else self.endpoint.retry.pause(fault, call.key, len(failed) + 1)
            if pause is None or pause >= watch.left():
                return outcome
            facts = {name: value for name, value in fault.facts.items() if name in ("status", "phase")}
            took = round((self._clock.monotonic() - began) * 1000)
            failed.append({"type": fault.kind, **facts, "ms": took, "waited": round(pause, 3)})
            (self._sleep or watch.pause)(pause)
            if watch.cancelled:
                return Outcome(status="cancelled", meta=outcome.meta)

    def _try(self, call: Call, effect: ModelCall, watch: Watch) -> tuple[Outcome, Fault | None]:
        """Ask once; return what came of it and, where that is a failure, the fault."""
        reading: Reading | None = None
        told = False
        watch.begin(first_token=self.endpoint.stream)
        try:
            with (
                client(watch, self.endpoint) as http,
                http.stream("POST", self.endpoint.url, headers=self._headers(), content=self._body(effect)) as response,
            ):
                wall = self._clock.now()
                reading = Reading(
                    response.status_code, response.headers, asked=self.endpoint.model or effect.model, clock=watch.ms, wall=wall
                )
                watch.phase = reading.phase
                for piece in response.iter_bytes():
                    for text in reading.feed(piece):
                        if effect.show and self.on_delta is not None:
                            told = True
                            self.on_delta(call, text)
                    watch.phase = reading.phase
                    if reading.done:
                        break
            reply = reading.end()
        except (httpx2.HTTPError, httpx2.InvalidURL, Fault) as error:
            if told and self.on_delta is not None:
                self.on_delta(call, None)
            meta = _meta(reading, watch)
            if watch.cancelled:
                return Outcome(status="cancelled", meta=meta), None
            fault = error if isinstance(error, Fault) else _fault(error, watch, reading)
            fault.message = self.endpoint.scrub(fault.message)
            fault.facts = {"phase": watch.phase, **self._scrubbed(fault.facts)}
            return Outcome(status="error", error=fault.failure(), meta=meta), fault
        return Outcome(value=reply, meta=_meta(reading, watch)), None

    def _headers(self) -> dict[str, str]:
        endpoint = self.endpoint
        return {
            "accept": "text/event-stream" if endpoint.stream else "application/json",
            # A compressed stream comes in lumps, and the times of its pieces would be those of the compressor.
            "accept-encoding": "identity",
            "connection": "close",
            "content-type": "application/json",
            "user-agent": f"frameengine/{__version__}",
            **endpoint.own_headers,
        }

    def _body(self, effect: ModelCall) -> bytes:
        endpoint = self.endpoint
        body: dict[str, Any] = {**endpoint.params, **effect.params}
        body |= {"model": endpoint.model or effect.model, "messages": effect.messages, "stream": endpoint.stream}
        if effect.tools:
            body["tools"] = effect.tools
        if endpoint.stream and endpoint.stream_usage:
            body.setdefault("stream_options", {"include_usage": True})
        return written(body)

    def _scrubbed(self, value: Json) -> Any:
        if isinstance(value, str):
            return self.endpoint.scrub(value)
        if isinstance(value, dict):
            return {name: self._scrubbed(item) for name, item in value.items()}
        return [self._scrubbed(item) for item in value] if isinstance(value, list | tuple) else value


def _fault(error: Exception, watch: Watch, reading: Reading | None) -> Fault:
    """Say what a failure of the connection means at the point that the call had reached."""
    if reading is not None and reading.status >= 300:
        # The refusal is known; what breaks is the text that would have said why.
        return reading.cut("")
    partial = {} if reading is None else {"status": reading.status, **reading.answer.partial()}
    if isinstance(error, httpx2.TimeoutException):
        return Fault("timeout", f"no answer within the {watch.limit} limit", limit=watch.limit, **partial)
    if isinstance(error, httpx2.InvalidURL | httpx2.UnsupportedProtocol | httpx2.LocalProtocolError):
        return Fault("connect_error", f"the request cannot be sent: {error}")
    if isinstance(error, httpx2.ProxyError):
        said = str(error)
        return Fault("connect_error", f"the proxy refuses: {said}", status=int(said[:3]) if said[:3].isdecimal() else None)
    if isinstance(error, httpx2.DecodingError):
        return Fault("bad_response", f"the answer is compressed, and cannot be read: {error}", **partial)
    broke_off = watch.ended or isinstance(error, httpx2.NetworkError)
    if reading is not None and broke_off:
        return reading.cut(f"the connection broke off: {error}")
    if broke_off:
        return Fault("connect_error", str(error) or "the connection broke off before an answer came")
    return Fault("bad_response", f"the answer is not HTTP as it should be: {error}", **partial)


def _meta(reading: Reading | None, watch: Watch) -> FrozenMap:
    if reading is None:
        return frozen_map({"ms": watch.ms()})
    headers = {name: value[:HEADER_MAX] for name, value in reading.headers.items() if name.lower() in KEPT_HEADERS}
    meta: FrozenMap = freeze({**reading.answer.meta(), "headers": headers, "ms": watch.ms()})
    return meta
