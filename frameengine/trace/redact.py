"""Keep secrets out of a run: on the way in each is replaced by a placeholder of equal length, on the way out it is put back.

Nodes, records, digests and the file see placeholders only, in the recording and in the replay alike, so a node that cuts a text
in the middle of a secret cuts the placeholder in the middle, and budgets count the same. The performer behind sees the real
text, so the model is asked and the tool is run with what the user wrote. Replay needs no secret, since nothing of it was ever
written.

A placeholder carries a number: secrets are numbered by first occurrence in input and key order, whatever the order in which
outcomes arrive, because those of one frame are numbered by their own key until the frame is over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import islice
from operator import is_
from typing import Any

from attrs import evolve

from frameengine.codec import Undecodable, dumps, loads
from frameengine.effects import Call, EffectKey, ModelCall, ModelReply, Outcome, ToolCall, ToolReply
from frameengine.errors import UsageError
from frameengine.inputs import Action, Body, Dashboard, Given, StateEdit, Tick, UserMessage, Webhook
from frameengine.jsonvalue import FrozenMap, Json, freeze
from frameengine.trace.holders import member_holds
from frameengine.trace.members import values
from frameengine.trace.pieces import Pieces, Told
from frameengine.trace.sought import SHORTEST, Sought
from frameengine.trace.spellings import spellings, unescaped
from frameengine.trace.streams import streamed

SECRET_MIN = SHORTEST
"""Code points from which a text counts as a secret: shorter ones have no room for a placeholder."""
PASSING_MAX = 256
"""Secrets that came in passing and are looked for still, the newest: a signature or a nonce is new in each request."""

_KEYS = (
    r"sk-(?:ant-|or-v1-|proj-|svcacct-)?[A-Za-z0-9_-]{16,}",
    r"gh[pousr]_[A-Za-z0-9]{30,}",
    r"github_pat_[A-Za-z0-9_]{40,}",
    r"(?:AKIA|ASIA)[A-Z0-9]{16}",
    r"AIza[A-Za-z0-9_-]{35}",
    r"xox[abposr]-[A-Za-z0-9-]{10,}",
    r"hf_[A-Za-z0-9]{30,}",
    r"(?:gsk_|xai-|pplx-|nvapi-|glpat-)[A-Za-z0-9_-]{20,}",
    r"eyJ[A-Za-z0-9_-]{8,4096}\.eyJ[A-Za-z0-9_-]{8,4096}\.[A-Za-z0-9_-]{8,1024}",
)
_START = r"(?:(?<![A-Za-z0-9_-])|(?<=\\[bfnrt])|(?<=\\u[0-9A-Fa-f]{4})|(?<=%[0-9A-Fa-f]{2}))"
"""Where a key may begin: not inside of a word, which data in base64 is one of; but behind an escape of JSON or of a URL."""
_RULES = (
    f"{_START}(?:{'|'.join(_KEYS)})",
    # No five dashes within: so many beginnings without an end take no longer than one.
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?:[^-]|-(?!----)){16,8192}+-----END [A-Z ]{0,40}PRIVATE KEY-----",
    r"(?<=[Bb]earer )[A-Za-z0-9._~+/-]{16,4096}={0,2}",
)
_PATTERN = re.compile("|".join(_RULES))
_HINTS = (
    "sk-",
    *("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    "AKIA",
    "ASIA",
    "AIza",
    "xox",
    "hf_",
    "gsk_",
    "xai-",
    "pplx-",
    "nvapi-",
    "glpat-",
    "eyJ",
    "PRIVATE KEY",
    "earer ",
)
"""One of these stands in every text that a rule matches: the cheap look before the thorough one."""
_PLACEHOLDER = re.compile(r"\[(?:secret:|s:)[0-9a-f.]++\**+\]")
_CODE_DIGITS = 8
_RUN_END = re.compile(r"[^!-~]")
"""Ends a run of the characters that keys and their spellings are made of."""


class Redactor:
    """Replaces secrets of one run. *secrets* are texts known beforehand, such as keys from the environment."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._numbers: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._fresh: dict[str, list[str]] = {}
        self._count = 0
        self._plain: dict[str, str] = {}
        self._given: dict[str, str] = {}
        self._sought = Sought()
        self._passing: dict[str, tuple[str, ...]] = {}
        self._broken: dict[str, None] = {}
        self.forgotten: dict[str, None] = {}
        """Secrets that came in passing and were not looked for any more, for a time at least."""
        self._pieces: Pieces | None = None
        known = list(dict.fromkeys(filter(None, secrets)))
        short = [secret for secret in known if len(secret) < SECRET_MIN]
        if short:
            raise UsageError(
                f"{len(short)} of the given secrets are shorter than {SECRET_MIN} characters",
                hint="a placeholder of equal length does not fit; use longer secrets, or leave them out",
            )
        self.know(known)

    def know(self, secrets: Iterable[str], *, passing: bool = False) -> None:
        """Replace these from now on as well; those too short for a placeholder are left alone.

        Of secrets that came in *passing*, the newest `PASSING_MAX` are replaced, and all those of this call.
        """
        listed = dict.fromkeys([secret for secret in secrets if len(secret) >= SECRET_MIN])
        for secret in listed:
            owner = self._given.get(secret)
            if owner is None or (owner in self._passing and not passing):
                self._learn(secret, passing=passing)
            elif owner in self._passing:
                self._passing[owner] = self._passing.pop(owner)
        over = len(self._passing) - max(PASSING_MAX, len(listed))
        for secret in list(islice(self._passing, max(0, over))):
            self._forget(secret)

    def _learn(self, secret: str, *, passing: bool) -> None:
        # A secret inside JSON inside a text, such as a tool call's arguments, is written with escapes.
        escaped = [dumps(secret).decode()[1:-1], json.dumps(secret)[1:-1]]
        self._plain.update({form: secret for form in escaped if form != secret})
        # And JSON in a text in JSON, as an answer holds it, escapes the escapes.
        deeper = [dumps(form).decode()[1:-1] for form in escaped]
        deeper += [dumps(form).decode()[1:-1] for form in deeper]
        forms = tuple(dict.fromkeys([secret, *escaped, *deeper, *spellings(secret, SECRET_MIN)]))
        for form in forms:
            owner = self._given.get(form)
            # What two secrets are written like belongs to the one that stays.
            if not passing or owner is None or owner in self._passing:
                self._given[form] = secret
                self._sought.add(form)
        self._broken.update(dict.fromkeys([form for form in forms if _RUN_END.search(form)]))
        self._passing.pop(secret, None)
        if passing:
            self._passing[secret] = forms

    def _forget(self, secret: str) -> None:
        for form in self._passing.pop(secret):
            if self._given.get(form) == secret:
                del self._given[form]
                self._sought.remove(form)
                self._broken.pop(form, None)
                self._plain.pop(form, None)
        self.forgotten[secret] = None

    def given(self, secret: str) -> bool:
        """Return whether *secret* is replaced already, in this spelling."""
        return secret in self._given

    def value(self, value: Json) -> Json:
        """Return frozen JSON without its secrets."""
        return self._clean(value, "")

    def text(self, text: str) -> str:
        """Return a text without its secrets, those included that a stream of JSON brings in pieces."""
        return streamed(self._text(text, ""), lambda joined: _merged(sorted(self._spans(joined))), self._placeholder_of)

    def _placeholder_of(self, secret: str) -> str:
        return self._placeholder(secret, "")

    def known(self, placeholder: str) -> bool:
        """Return whether a placeholder of this run stands for a secret that was known beforehand, such as a key."""
        return self._texts.get(placeholder) in self._given

    @property
    def count(self) -> int:
        """How many different secrets were replaced so far."""
        return len(set(self._texts.values()))

    def enter(self, body: Body) -> Body:
        """Return an input without its secrets."""
        if isinstance(body, UserMessage):
            redacted: Body = evolve(
                body,
                message=self._clean(body.message, ""),
                user_id=self._text(body.user_id, ""),
                session_id=self._text(body.session_id, ""),
                channel=self._text(body.channel, ""),
            )
        elif isinstance(body, Given):
            redacted = evolve(body, messages=self._clean(body.messages, ""), state=self._clean(body.state, ""))
        elif isinstance(body, StateEdit):
            redacted = StateEdit([evolve(change, value=self._clean(change.value, "")) for change in body.changes()])
        elif isinstance(body, Action):
            redacted = evolve(body, name=self._text(body.name, ""), data=self._clean(body.data, ""))
        elif isinstance(body, Tick):
            redacted = evolve(body, readings=self._clean(body.readings, ""))
        elif isinstance(body, Dashboard):
            redacted = evolve(body, controls=self._clean(body.controls, ""))
        elif isinstance(body, Webhook):
            redacted = evolve(body, source=self._text(body.source, ""), payload=self._clean(body.payload, ""))
        else:
            return body
        self.settle()
        return redacted

    def outcome(self, key: EffectKey, outcome: Outcome) -> Outcome:
        """Return an outcome without its secrets."""
        if self._pieces is not None:
            self._pieces.finish(key)
        place = f"{key.input}.{key.frame}.{key.call}"
        value, error = outcome.value, outcome.error
        if isinstance(value, ModelReply):
            value = evolve(
                value,
                message=self._clean(value.message, place),
                finish_reason=self._text(value.finish_reason, place),
                usage=self._clean(value.usage, place),
                model=self._text(value.model, place),
            )
        elif isinstance(value, ToolReply):
            message = value.message if value.message is None else self._clean(value.message, place)
            value = evolve(value, content=self._clean(value.content, place), message=message)
        if error is not None:
            error = evolve(error, message=str(self._clean(error.message, place)), fields=self._clean(error.fields, place))
        return evolve(outcome, value=value, error=error, meta=self._clean(outcome.meta, place))

    def leave(self, call: Call) -> Call:
        """Return a call with its secrets put back, for the performer alone."""
        effect = call.effect
        if isinstance(effect, ModelCall):
            restored: Any = evolve(effect, messages=self._restore(effect.messages), params=self._restore(effect.params))
        else:
            restored = ToolCall(effect.name, self._restore(effect.arguments))
        return evolve(call, effect=restored)

    def deltas(self, told: Told) -> Told:
        """Return *told* for pieces of replies as they come: it hears of none from the first secret of its reply on."""
        self._pieces = Pieces(told, self._spans, self._opening)
        return self._pieces

    def _opening(self, text: str) -> int:
        """Return from where on the end of *text* may be the beginning of a secret."""
        at = next((place for place in range(len(text), 0, -1) if _RUN_END.match(text, place - 1)), 0)
        for form in self._broken:
            sizes = range(min(len(form) - 1, len(text)), 0, -1)
            at = min(at, len(text) - next((size for size in sizes if text.endswith(form[:size])), 0))
        block = text.rfind("-----BEGIN ")
        named = [value.start for value in values(text) if value.listed or value.end < 0]
        return min([at, *named, *([block] if block >= 0 else [])])

    def settle(self) -> None:
        """Let secrets that are new in this frame keep the placeholder of their first place, in order."""
        for secret in self._fresh:
            self._numbers.setdefault(secret, min(self._fresh[secret]))
        self._fresh.clear()

    def _clean(self, value: Json, place: str) -> Json:
        if isinstance(value, str):
            return freeze(self._text(value, place))
        if isinstance(value, FrozenMap):
            members = {self._text(key, place): self._member(key, item, place) for key, item in value.items()}
            # What is clean stays as it is: it is frozen, and may remember its digest.
            return (
                value if all(map(is_, value.values(), members.values())) and members.keys() == value.keys() else freeze(members)
            )
        if isinstance(value, tuple):
            return _unchanged(value, tuple([self._clean(item, place) for item in value]))
        return value

    def _member(self, key: str, value: Json, place: str) -> Json:
        if isinstance(value, tuple):
            return _unchanged(value, tuple([self._member(key, item, place) for item in value]))
        return self._placeholder(value, place) if isinstance(value, str) and _whole(key, value) else self._clean(value, place)

    def _text(self, text: str, place: str) -> str:
        spans = sorted(self._spans(text)) if len(text) >= SECRET_MIN else ()
        if not spans:
            return text
        parts, end = [], 0
        for start, stop in _merged(spans):
            parts += [text[end:start], self._placeholder(text[start:stop], place)]
            end = stop
        return "".join([*parts, text[end:]])

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where secrets stand in a text, written out or with escapes; they may overlap."""
        yield from self._written(text)
        shorter = unescaped(text)
        if shorter is not None:
            plain, place = shorter
            yield from [(place(start), place(stop)) for start, stop in self._written(plain)]

    def _written(self, text: str) -> Iterator[tuple[int, int]]:
        for form in self._sought.within(text):
            # Looked for at every place, since one secret may begin within another.
            start = text.find(form)
            while start >= 0:
                yield start, start + len(form)
                start = text.find(form, start + 1)
        if any(map(text.__contains__, _HINTS)):
            yield from [match.span() for match in _PATTERN.finditer(text)]
        for value in values(text) if '":' in text or '" ' in text else ():
            said = text[value.start : value.end]
            if value.end >= 0 and _whole(value.name, said):
                if "\\" in said:
                    self._plain.setdefault(said, _unescaped(said))
                yield value.start, value.end

    def _placeholder(self, secret: str, place: str) -> str:
        number = self._numbers.get(secret)
        if number is None:
            if place:
                taken = self._fresh.setdefault(secret, [])
                number = next((one for one in taken if one.rsplit(".", 1)[0] == place), None)
                if number is None:
                    rank = sum(1 for others in self._fresh.values() for one in others if one.rsplit(".", 1)[0] == place)
                    number = f"{place}.{rank}"
                    taken.append(number)
            else:
                self._count += 1
                number = self._numbers[secret] = str(self._count)
        head = f"[secret:{number}"
        if len(head) >= len(secret):
            head = f"[s:{sha256(number.encode()).hexdigest()[:_CODE_DIGITS]}"
        text = head + "*" * (len(secret) - len(head) - 1) + "]"
        self._texts[text] = secret
        return text

    def _restore(self, value: Json) -> Json:
        if isinstance(value, str):
            restored = _PLACEHOLDER.sub(lambda match: self._real(match.group(), value), value) if "[s" in value else value
            return freeze(restored)
        if isinstance(value, FrozenMap):
            return freeze({self._restore(key): self._restore(item) for key, item in value.items()})
        if isinstance(value, tuple):
            return tuple([self._restore(item) for item in value])
        return value

    def _real(self, placeholder: str, around: str) -> str:
        """Return what a placeholder stands for: with its escapes only where the text around it is JSON still."""
        secret = self._texts.get(placeholder, placeholder)
        plain = self._plain.get(secret)
        return secret if plain is None or _is_json(around) else plain


def _unchanged(before: tuple[Json, ...], after: tuple[Json, ...]) -> tuple[Json, ...]:
    return before if all(map(is_, before, after)) else after


def neutral(text: str) -> str:
    """Return *text*, written JSON, with each placeholder as a character that it cannot hold, whichever secret it stands for."""
    return _PLACEHOLDER.sub("\0", text) if "[s" in text else text


def placeholders(text: str) -> tuple[str, ...]:
    """Return what looks like a placeholder in *text*, in order; a text that somebody wrote may look like one too."""
    return tuple(_PLACEHOLDER.findall(text)) if "[s" in text else ()


def _whole(name: str, value: str) -> bool:
    """Return whether a member's value is to be replaced whole."""
    return len(value) >= SECRET_MIN and not _PLACEHOLDER.fullmatch(value) and member_holds(name, value)


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, stop in spans:
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


def _unescaped(raw: str) -> str:
    try:
        return str(loads(f'"{raw}"'.encode()))
    except (Undecodable, UnicodeEncodeError):
        return raw


def _is_json(text: str) -> bool:
    try:
        return isinstance(loads(text.encode()), dict | list)
    except Undecodable:
        return False
