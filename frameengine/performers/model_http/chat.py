"""Put a chat answer together: out of the chunks of a stream, or out of one body."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from frameengine import foreign
from frameengine.effects import ModelReply, text_of
from frameengine.errors import LimitError, ValueRefused
from frameengine.jsonvalue import EMPTY, FrozenMap, Json, freeze
from frameengine.limits import TOOL_CALLS_PER_REPLY_MAX, check
from frameengine.performers.model_http.fault import Fault

COST = ("cost", "cost_details", "is_byok")
"""Members of a usage that say what was paid; they go to the outcome's meta."""
_ERROR = re.compile(r'\{\s*"error"\s*:')
_REPLACED = ("id", "type", "role", "index")
"""Members of a delta that endpoints repeat whole in every chunk."""


class Assembly:
    """One answer, as far as it has come."""

    def __init__(self, asked: str = "", now: Callable[[], int] = lambda: 0) -> None:
        """*asked* is the model that was asked; *now* says how many milliseconds ago that was."""
        self._asked = asked
        self._now = now
        self._message: dict[str, Any] = {}
        self._finish: list[str] = []
        self._usage: FrozenMap = EMPTY
        self._chosen = False
        self.model = ""
        """The model that answers, as it says."""
        self.cost: FrozenMap = EMPTY
        """What the answer cost, where the endpoint says so."""
        self.warnings: list[str] = []
        """What was odd about the answer and did no harm."""
        self.text_chunks: list[tuple[int, int]] = []
        """Of each piece of text: milliseconds since the request, and code points."""
        self.tool_chunks: list[tuple[int, int, int]] = []
        """Of each piece of a tool call: milliseconds, index of the call, and code points of its arguments."""

    @property
    def begun(self) -> bool:
        """Whether any piece of the answer has come, reasoning included."""
        return any(value for name, value in self._message.items() if name != "role")

    @property
    def text(self) -> str:
        """The text as far as it has come."""
        return text_of(freeze({"content": self._message.get("content")}))

    @property
    def calls(self) -> int:
        """How many tool calls have begun."""
        return len(self._message.get("tool_calls") or ())

    @property
    def finished(self) -> bool:
        """Whether the endpoint has said why the answer ends."""
        return bool(self._finish)

    def warn(self, what: str) -> None:
        """Take note of an oddity, once."""
        if what not in self.warnings:
            self.warnings.append(what)

    def take(self, payload: Json) -> str:
        """Take one chunk of a stream; return the text that is new. Raises `Fault`."""
        choice = self._choice(payload)
        if choice is None:
            return ""
        delta = choice.get("delta")
        text = self._delta(delta) if isinstance(delta, FrozenMap) else ""
        self._finish_with(choice)
        return text

    def whole(self, payload: Json) -> str:
        """Take a body that holds the whole answer; return its text. Raises `Fault`."""
        choice = self._choice(payload)
        message = choice.get("message") if choice is not None else None
        if choice is None or not isinstance(message, FrozenMap):
            raise Fault("bad_response", "the answer has no choice with a message", phase="body")
        self._message = dict(message)
        self._check_calls()
        self._finish_with(choice)
        self._finish = self._finish or ["unknown"]
        if self.text:
            self.text_chunks.append((self._now(), len(self.text)))
        for index, call in enumerate(self._message.get("tool_calls") or ()):
            self.tool_chunks.append((self._now(), index, _size(call)))
        return self.text

    def reply(self) -> ModelReply:
        """Return the answer; its finish reason must have come, or there have been no choice at all. Raises `Fault`."""
        if not self._chosen:
            raise Fault("bad_response", "the answer has no choices", phase="stream")
        finish = next((reason for reason in self._finish if reason != "stop"), "stop")
        if len(set(self._finish)) > 1:
            self.warn(f"two finish reasons: {' and '.join(dict.fromkeys(self._finish))}")
        if finish == "error":
            raise Fault("provider_error", "the endpoint broke the answer off with an error", **self.partial())
        message = {"role": "assistant", "content": None, **self._message}
        if finish == "tool_calls" and not message.get("tool_calls"):
            self.warn("the finish reason is tool_calls, and there are none")
        if self.model and self._asked and not _same_model(self._asked, self.model):
            self.warn(f"asked for {self._asked}, answered by {self.model}")
        return ModelReply(message=freeze(message), finish_reason=finish, usage=self._counted(), model=self.model)

    def partial(self) -> dict[str, Any]:
        """Return what a failure keeps of the answer: text that must not pass for one, and how many tool calls had begun."""
        return {"text": self.text or None, "tool_calls": self.calls or None}

    def meta(self) -> dict[str, Any]:
        """Return what may differ between two equal runs: sizes and times of the pieces, cost, warnings."""
        chunks = {name: value for name, value in (("text", self.text_chunks), ("tools", self.tool_chunks)) if value}
        found = {"chunks": chunks, "cost": self.cost.get("cost"), "usage": self.cost, "warnings": self.warnings}
        return {name: value for name, value in found.items() if value or value == 0}

    # ------------------------------------------------------------------ parts

    def _choice(self, payload: Json) -> FrozenMap | None:
        if not isinstance(payload, FrozenMap):
            raise Fault("bad_chunk", "a chunk is no JSON object", **self.partial())
        raise_error(payload, **self.partial())
        model, usage, choices = payload.get("model"), payload.get("usage"), payload.get("choices")
        if isinstance(model, str) and model:
            self.model = model
        if isinstance(usage, FrozenMap) and usage:
            self._usage = usage
        found = [choice for choice in choices if isinstance(choice, FrozenMap)] if isinstance(choices, tuple) else []
        first = next((choice for choice in found if choice.get("index", 0) in (0, None)), None)
        if len(found) > (first is not None):
            self.warn("there are several choices; the first was taken")
        if first is not None:
            self._chosen = True
            raise_error(first, **self.partial())
        return first

    def _finish_with(self, choice: FrozenMap) -> None:
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self._finish.append(reason)

    def _delta(self, delta: FrozenMap) -> str:
        now, before = self._now(), len(self.text)
        for call in _objects(delta.get("tool_calls")):
            size = _size(call)
            index = self._place(call)
            if size:
                self.tool_chunks.append((now, index, size))
        self._check_calls()
        content = delta.get("content")
        _merge(self._message, {name: value for name, value in delta.items() if name not in ("tool_calls", "content")})
        self._said(content)
        text = content if isinstance(content, str) else self.text[before:] if content else ""
        if text:
            self.text_chunks.append((now, len(text)))
        return text

    def _said(self, content: Json) -> None:
        """Add a piece of content: a text, or the parts that some endpoints send."""
        said = self._message.get("content")
        if isinstance(content, str):
            if isinstance(said, list):
                said.append({"type": "text", "text": content})
            elif content or said is None:
                self._message["content"] = _Pieces(said).plus(content)
        elif isinstance(content, tuple):
            parts = said if isinstance(said, list) else [{"type": "text", "text": str(said)}] if said else []
            self._message["content"] = [*parts, *content]
        elif content is not None:
            raise Fault("bad_chunk", "the content of a chunk is neither text nor parts", **self.partial())

    def _place(self, delta: FrozenMap) -> int:
        """Add a piece of a tool call where it belongs, and return its place.

        By its index; an endpoint that sends none sends whole calls, or goes on with the last.
        """
        calls: list[dict[str, Any]] = self._message.setdefault("tool_calls", [])
        index, id = delta.get("index"), delta.get("id")
        if not isinstance(index, int):
            index = calls[-1]["index"] if calls and (not id or id == calls[-1].get("id")) else len(calls)
        place = next((number for number, call in enumerate(calls) if call["index"] == index), None)
        if place is None:
            if index != len(calls):
                self.warn(f"tool call {len(calls)} has the index {index}")
            place = len(calls)
            calls.append({"index": index})
        _merge(calls[place], {name: value for name, value in delta.items() if name != "index"})
        return place

    def _check_calls(self) -> None:
        try:
            check("tool calls of one reply", TOOL_CALLS_PER_REPLY_MAX, self.calls)
        except LimitError as error:
            raise Fault("too_large", error.message, **self.partial()) from None

    def _counted(self) -> FrozenMap:
        """Return the token counts without what was paid; none of them where one cannot be."""
        self.cost = freeze({name: value for name, value in self._usage.items() if name in COST})
        counts = {name: value for name, value in self._usage.items() if name not in COST}
        odd = {
            name: value
            for name, value in counts.items()
            if name.endswith("tokens") and not (type(value) is int and value >= 0) and value is not None
        }
        if odd:
            self.warn(f"token counts that cannot be: {dict(odd)}")
            return EMPTY
        if not counts:
            self.warn("no token counts")
        usage: FrozenMap = freeze(counts)
        return usage
