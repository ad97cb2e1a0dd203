"""Put a chat answer together: out of the chunks of a stream, or out of one body."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from frameengine.effects import ModelReply, text_of
from frameengine.errors import LimitError
from frameengine.jsonvalue import EMPTY, FrozenMap, Json, freeze, frozen_map
from frameengine.limits import TOOL_CALLS_PER_REPLY_MAX, check
from frameengine.performers.model_http.fault import Fault, Kind

PAID = frozenset({"cost", "cost_details", "is_byok"})
"""Members of a usage that say what was paid; they go to the outcome's meta."""
_WHOLE = frozenset({"id", "type", "role", "index"})
"""Members that endpoints repeat whole in every chunk."""


class Assembly:
    """One answer, as far as it has come."""

    def __init__(self, asked: str = "", now: Callable[[], int] = lambda: 0) -> None:
        """*asked* is the model that was asked; *now* says how many milliseconds ago that was."""
        self._asked = asked
        self._now = now
        self._content: list[Any] | None = None
        self._calls: list[dict[str, Any]] = []
        self._others: dict[str, Any] = {}
        self._as_it_came: FrozenMap | None = None
        self._finish: list[str] = []
        self._usage: FrozenMap = EMPTY
        self._chosen = False
        self._model = ""
        self._text_chunks: list[tuple[int, int]] = []
        self._tool_chunks: list[tuple[int, int, int]] = []
        self._warnings: dict[str, None] = {}

    @property
    def begun(self) -> bool:
        """Whether any piece of the answer has come, reasoning included."""
        return bool(self._text_chunks or self._calls or any(value for name, value in self._others.items() if name != "role"))

    @property
    def finished(self) -> bool:
        """Whether the endpoint has said why the answer ends."""
        return bool(self._finish)

    def warn(self, what: str) -> None:
        """Take note of an oddity that does no harm."""
        self._warnings[what] = None

    def take(self, payload: Json) -> str:
        """Take one chunk of a stream; return the text that is new. Raises `Fault`."""
        choice = self._choice(payload, "bad_chunk")
        if choice is None:
            return ""
        delta = choice.get("delta")
        text = self._delta(delta) if isinstance(delta, FrozenMap) else ""
        self._finish_with(choice)
        return text

    def whole(self, payload: Json) -> str:
        """Take a body that holds the whole answer; return its text. Raises `Fault`."""
        choice = self._choice(payload, "bad_response")
        message = choice.get("message") if choice is not None else None
        if choice is None or not isinstance(message, FrozenMap):
            raise Fault("bad_response", "the answer has no choice with a message")
        text = self._delta(message)
        self._as_it_came = message
        self._finish_with(choice)
        self._finish = self._finish or ["unknown"]
        return text

    def reply(self) -> ModelReply:
        """Return the answer, whose end must have come. Raises `Fault`."""
        if not self._chosen:
            raise Fault("bad_response", "the answer has no choices")
        finish = next((reason for reason in self._finish if reason != "stop"), "stop")
        if finish == "error":
            raise Fault("provider_error", "the endpoint broke the answer off with an error", **self.partial())
        if len(set(self._finish)) > 1:
            self.warn(f"two finish reasons: {' and '.join(dict.fromkeys(self._finish))}")
        if finish == "tool_calls" and not self._calls:
            self.warn("the finish reason is tool_calls, and there are none")
        if self._model and self._asked and not _alike(self._asked, self._model):
            self.warn(f"asked for {self._asked}, answered by {self._model}")
        return ModelReply(message=self._message(), finish_reason=finish, usage=self._counted(), model=self._model)

    def partial(self) -> dict[str, Any]:
        """Return what a failure keeps of the answer: text that must not pass for one, and how many tool calls had begun."""
        return {"text": text_of(frozen_map({"content": self._said()})) or None, "tool_calls": len(self._calls) or None}

    def meta(self) -> dict[str, Any]:
        """Return what may differ between two equal runs: sizes and times of the pieces, what was paid, oddities."""
        chunks = {name: value for name, value in (("text", self._text_chunks), ("tools", self._tool_chunks)) if value}
        paid = {name: value for name, value in self._usage.items() if name in PAID and value is not None}
        warnings = {"warnings": tuple(self._warnings)} if self._warnings else {}
        return {**paid, **({"chunks": chunks} if chunks else {}), **warnings}

    def _choice(self, payload: Json, kind: Kind) -> FrozenMap | None:
        if not isinstance(payload, FrozenMap):
            raise Fault(kind, "what the endpoint sent is no JSON object", **self.partial())
        raise_error(payload, self.partial)
        model, usage, choices = payload.get("model"), payload.get("usage"), _objects(payload.get("choices"))
        if isinstance(model, str) and model:
            self._model = model
        if isinstance(usage, FrozenMap) and usage:
            self._usage = usage
        first = next((choice for choice in choices if not choice.get("index")), None)
        if len(choices) > (first is not None):
            self.warn("there are several choices; the first was taken")
        if first is not None:
            self._chosen = True
            raise_error(first, self.partial)
        return first

    def _finish_with(self, choice: FrozenMap) -> None:
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self._finish.append(reason)

    def _delta(self, delta: FrozenMap) -> str:
        now = self._now()
        for call in _objects(delta.get("tool_calls")):
            self._tool_chunks.append((now, self._place(call), _size(call)))
        _merge(self._others, {name: value for name, value in delta.items() if name not in ("tool_calls", "content")})
        content = delta.get("content")
        if content is None:
            return ""
        if not isinstance(content, str | tuple):
            raise Fault("bad_chunk", "the content of an answer is neither text nor parts", **self.partial())
        self._content = self._content or []
        self._content += [content] if isinstance(content, str) else content
        text = text_of(frozen_map({"content": content}))
        if text:
            self._text_chunks.append((now, len(text)))
        return text

    def _place(self, delta: FrozenMap) -> int:
        """Add a piece of a tool call where it belongs, and return its place.

        By its index; an endpoint that sends none sends whole calls, or goes on with the last.
        """
        calls, index, name = self._calls, delta.get("index"), delta.get("id")
        if not isinstance(index, int):
            goes_on = calls and (not name or name == calls[-1].get("id"))
            index = calls[-1]["index"] if goes_on else max((call["index"] for call in calls), default=-1) + 1
        place = next((number for number, call in enumerate(calls) if call["index"] == index), len(calls))
        if place == len(calls):
            if index != place:
                self.warn(f"tool call {place} has the index {index}")
            calls.append({"index": index})
            try:
                check("tool calls of one reply", TOOL_CALLS_PER_REPLY_MAX, len(calls))
            except LimitError as error:
                raise Fault("too_large", error.message, **self.partial()) from None
        _merge(calls[place], {name: value for name, value in delta.items() if name != "index"})
        return place

    def _said(self) -> Json:
        """Return the content: a text; parts where the endpoint sent any; None where it sent nothing."""
        pieces = self._content
        if pieces is None or all(isinstance(piece, str) for piece in pieces):
            return None if pieces is None else "".join(pieces)
        parts: list[Any] = []
        for piece in pieces:
            if isinstance(piece, str) and parts and isinstance(parts[-1], dict) and set(parts[-1]) == {"type", "text"}:
                parts[-1] = {"type": "text", "text": parts[-1]["text"] + piece}
            else:
                parts.append({"type": "text", "text": piece} if isinstance(piece, str) else piece)
        return freeze([part for part in parts if part != {"type": "text", "text": ""}])

    def _message(self) -> FrozenMap:
        if self._as_it_came is not None:
            return self._as_it_came
        calls = [{name: value for name, value in call.items() if name != "index"} for call in self._calls]
        called = {"tool_calls": calls} if calls else {}
        message: FrozenMap = freeze({"role": "assistant", "content": self._said(), **self._others, **called})
        return message

    def _counted(self) -> FrozenMap:
        """Return the token counts as they came, without what was paid; none of them where one cannot be."""
        counts = {name: value for name, value in self._usage.items() if name not in PAID}
        odd = [f"{name} {value}" for name, value in counts.items() if name.endswith("_tokens") and not _counts(value)]
        if odd or not counts:
            self.warn(f"token counts that cannot be: {', '.join(odd)}" if odd else "no token counts")
            return EMPTY
        usage: FrozenMap = freeze(counts)
        return usage


def raise_error(payload: FrozenMap, partial: Callable[[], Mapping[str, Any]] = dict) -> None:
    """Raise the `Fault` for an error that an endpoint tells of inside JSON; do nothing where it tells of none."""
    error = payload.get("error")
    if not error and payload.get("object") == "error":
        error = payload
    if not error:
        return
    told = error if isinstance(error, FrozenMap) else {"message": error}
    code = told.get("code") or told.get("type")
    message = told.get("message") or "an error without a message"
    raise Fault(
        "provider_error",
        f"the endpoint reports an error: {message if isinstance(message, str) else 'in a form of its own'}",
        code=code if isinstance(code, str | int) else None,
        **partial(),
    )


def _merge(into: dict[str, Any], delta: Mapping[str, Any]) -> None:
    """Add a delta to what has come: texts grow, objects are merged, of lists the items of one index, the rest is replaced."""
    for name, value in delta.items():
        have = into.get(name)
        if value is None or have is None:
            into[name] = have if value is None else value
        elif isinstance(have, str) and isinstance(value, str) and name not in _WHOLE:
            # A name does not grow by itself again: endpoints that repeat it send it whole.
            into[name] = have if name == "name" and have == value else have + value
        elif isinstance(have, dict) and isinstance(value, FrozenMap):
            into[name] = merged = dict(have)
            _merge(merged, value)
        elif isinstance(have, tuple | list) and isinstance(value, tuple):
            into[name] = _merge_items(list(have), value)
        else:
            into[name] = value


def _merge_items(have: list[Any], more: Iterable[Any]) -> list[Any]:
    places = {item["index"]: place for place, item in enumerate(have) if isinstance(item, dict) and "index" in item}
    for item in more:
        place = places.get(item["index"]) if isinstance(item, FrozenMap) and "index" in item else None
        if place is None:
            have.append(item)
        else:
            have[place] = merged = dict(have[place])
            _merge(merged, item)
    return have


def _objects(value: Json) -> list[FrozenMap]:
    return [item for item in value if isinstance(item, FrozenMap)] if isinstance(value, tuple) else []


def _size(call: FrozenMap) -> int:
    function = call.get("function")
    arguments = function.get("arguments") if isinstance(function, FrozenMap) else None
    return len(arguments) if isinstance(arguments, str) else 0


def _counts(value: Json) -> bool:
    return value is None or (type(value) is int and value >= 0)


def _alike(asked: str, answered: str) -> bool:
    """Return whether two names may mean one model: endpoints add a date, or leave the vendor out."""
    one, other = (name.lower().rpartition("/")[2].partition(":")[0] for name in (asked, answered))
    return one.startswith(other) or other.startswith(one)
