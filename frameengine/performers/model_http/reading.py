"""Read one HTTP response to a chat request: its status, its headers, and its body as it comes. No socket anywhere.

An answer in a stream is complete when a finish reason and the end mark were both seen; one in a body, when the body is whole.
Everything else is a `Fault`, never an answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

from frameengine import foreign
from frameengine.effects import ModelReply, Outcome
from frameengine.errors import FrameEngineError, LimitError
from frameengine.jsonvalue import FrozenMap, Json, freeze
from frameengine.limits import MODEL_BODY_BYTES_MAX, MODEL_ERROR_BYTES_MAX, check
from frameengine.performers.model_http.chat import Assembly, raise_error
from frameengine.performers.model_http.fault import Fault, Kind, Phase, retry_after
from frameengine.performers.model_http.sse import BOM, Event, Parser

END_MARK = "[DONE]"
SHOWN_MAX = 300
"""Characters of a foreign text that a message repeats."""
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
"""How a stream of events begins, and no JSON does."""
_START_MAX = 1024
"""Bytes after which a body that has not begun to be a stream of events is none."""
_ERROR = re.compile(r'\{\s*"error"\s*:')


class Reading:
    """One response as far as it has come."""

    def __init__(
        self, status: int, headers: Mapping[str, str], *, asked: str = "", clock: Callable[[], int] = lambda: 0, wall: int = 0
    ) -> None:
        """*headers* have names in lower case; *asked* is the model, *clock* the milliseconds since, *wall* the time in µs."""
        self.status = status
        self.headers = headers
        self.answer = Assembly(asked, clock)
        self.done = False
        """Whether the end mark was seen: what comes behind it is no part of the answer."""
        self.streamed: bool | None = None
        """Whether the body is a stream of events; None until that is known."""
        if status >= 300:
            self.streamed = False
        self._called_stream = "event-stream" in headers.get("content-type", "")
        self._wall = wall
        self._size = 0
        self._body: list[bytes] = []
        self._events = Parser()

    def feed(self, data: bytes) -> Iterator[str]:
        """Take a piece of the body; yield the pieces of text in it. Raises `Fault`."""
        self._size += len(data)
        if self.status >= 300:
            self._body.append(data)
            # The beginning says what is wrong; nobody waits for the rest.
            self.done = self._size > MODEL_ERROR_BYTES_MAX
            return
        try:
            check("the body of a model's answer, in bytes,", MODEL_BODY_BYTES_MAX, self._size)
            if not self.streamed:
                self._body.append(data)
                data = self._begun_stream()
            for event in self._events.feed(data):
                text = self._take(event)
                if text:
                    yield text
        except LimitError as error:
            raise self._fault("too_large", error.message) from None
        except Fault as fault:
            fault.facts.setdefault("status", self.status)
            raise

    @property
    def phase(self) -> Phase:
        """What is being waited for."""
        if not (self.streamed or (self.streamed is None and self._called_stream)):
            return "body"
        return "stream" if self.answer.begun else "first_token"

    def _begun_stream(self) -> bytes:
        """Return what has come of a body that is a stream, once that is known; nothing of any other.

        Its beginning decides: some endpoints call a stream by another content type, and errors in JSON a stream.
        """
        if self.streamed is None:
            body = b"".join(self._body)
            start = body.removeprefix(BOM).lstrip()
            undecided = BOM.startswith(body) or any(start != field and field.startswith(start) for field in _FIELDS)
            if not undecided or len(body) > _START_MAX:
                self.streamed = start.startswith(_FIELDS) or (self._called_stream and not start.startswith((b"{", b"[")))
                if self.streamed:
                    self._body.clear()
                    return body
        return b""

    def end(self) -> ModelReply:
        """Return the answer, when no more of the body comes. Raises `Fault`."""
        if self.status >= 300:
            raise self._refused()
        try:
            if self.streamed:
                self._check_end()
            else:
                self._whole()
            return self.answer.reply()
        except Fault as fault:
            fault.facts.setdefault("status", self.status)
            raise

    def cut(self, message: str) -> Fault:
        """Return the fault of a body that broke off: what has come is kept, and said to be no answer."""
        if self.status >= 300:
            return self._refused()
        if not self.streamed and self._body:
            try:
                self._whole()
            except Fault:
                pass
            else:
                return self._fault("bad_response", "the answer is whole, and its length is not what the headers say")
        return self._fault("truncated", message)

    def _fault(self, kind: Kind, message: str) -> Fault:
        return Fault(kind, message, status=self.status, **self.answer.partial())

    def _take(self, event: Event) -> str:
        if self.done:
            self.answer.warn("data behind the end mark")
            return ""
        if event.data.strip() == END_MARK:
            self.done = True
            return ""
        if not event.data.strip() and event.type == "message":
            # Some endpoints keep a connection alive by it.
            return ""
        try:
            payload = foreign.parse(event.data)
        except FrameEngineError as error:
            self._raise_glued(event.data)
            if event.type == "error":
                raise self._reported(event.data) from None
            raise self._fault("bad_chunk", f"a chunk of the stream cannot be read: {error.message}") from None
        if event.type == "error":
            if isinstance(payload, FrozenMap):
                raise_error(payload, self.answer.partial)
            raise self._reported(event.data)
        return self.answer.take(payload)

    def _reported(self, data: str) -> Fault:
        return self._fault("provider_error", f"the endpoint reports an error: {_short(data)}")

    def _raise_glued(self, data: str) -> None:
        """Raise for an error that was sent in the middle of an event which never ended."""
        for found in _ERROR.finditer(data):
            try:
                payload = foreign.parse(data[found.start() :])
            except FrameEngineError:
                continue
            raise_error(payload, self.answer.partial)

    def _check_end(self) -> None:
        if self._events.replaced:
            self.answer.warn("bytes that are no UTF-8 were replaced")
        if not self._size:
            raise self._fault("bad_response", "the answer is empty")
        if self.done and not self.answer.finished and not self.answer.begun:
            self.answer.reply()
        if not (self.done and self.answer.finished):
            missing = "finish reason" if self.done else "end mark"
            raise self._fault("truncated", f"the stream ended without its {missing}")

    def _whole(self) -> None:
        body = b"".join(self._body).removeprefix(BOM)
        if not body.strip():
            raise self._fault("bad_response", "the answer is empty")
        text = body.decode(errors="replace")
        if "\ufffd" in text and text.encode() != body:
            self.answer.warn("bytes that are no UTF-8 were replaced")
        try:
            payload = foreign.parse(text)
        except FrameEngineError as error:
            if "content-length" not in self.headers and _unfinished(text):
                raise self._fault("truncated", "the answer ends in its middle") from None
            told = self.headers.get("content-type") or "without a content type"
            raise self._fault("bad_response", f"the answer ({_short(told)}) cannot be read: {error.message}") from None
        self.answer.whole(payload)

    def _refused(self) -> Fault:
        """Return the fault of a status that is none of success, with what the endpoint said of it."""
        body = b"".join(self._body)[:MODEL_ERROR_BYTES_MAX].decode(errors="replace")
        wait = retry_after(self.headers, self._wall)
        facts: dict[str, Any] = {"status": self.status, "retry_after": wait, "body": body or None}
        if self.status < 400:
            where = _short(self.headers.get("location", "nowhere"))
            return Fault("bad_response", f"the endpoint redirects to {where}: keys are not sent there", **facts)
        try:
            payload: Json = foreign.parse(body)
            raise_error(payload if isinstance(payload, FrozenMap) else freeze({"error": body}))
            said, code = body, None
        except Fault as told:
            said, code = told.message.removeprefix("the endpoint reports an error: "), told.facts.get("code")
        except FrameEngineError:
            said, code = body, None
        phrase = next((f" {known.phrase}" for known in HTTPStatus if known == self.status), "")
        kind: Kind = "rate_limited" if self.status == HTTPStatus.TOO_MANY_REQUESTS else "provider_error"
        said = f": {_short(said)}" if said.strip() else ""
        # The code that decides about another try is that of HTTP; the endpoint's own is a name.
        return Fault(
            kind, f"the endpoint answered {self.status}{phrase}{said}", code=code if isinstance(code, str) else None, **facts
        )


def read(status: int, headers: Mapping[str, str], pieces: Iterable[bytes], *, asked: str = "") -> Outcome:
    """Return what a recorded response comes to, as the transport reads it; *pieces* are its body, cut anywhere.

    Its headers may be those of the wire although the body is decoded. Times are 0.
    """
    reading = Reading(status, {name.lower(): value for name, value in headers.items()}, asked=asked)
    try:
        for piece in pieces:
            for _ in reading.feed(piece):
                pass
        return Outcome(value=reading.end(), meta=freeze(reading.answer.meta()))
    except Fault as fault:
        return Outcome(status="error", error=fault.failure(), meta=freeze(reading.answer.meta()))


def _unfinished(text: str) -> bool:
    """Return whether JSON ends too soon, rather than being wrong somewhere."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return bool(text.strip()) and (error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"))
    except (ValueError, RecursionError):
        pass
    return False


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_MAX else f"{line[:SHOWN_MAX]}…"
