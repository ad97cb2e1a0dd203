"""Keep secrets out of a run: on the way in each is replaced by a placeholder of equal length, on the way out it is put back.

Nodes, records, digests and the file see placeholders only, in the recording and in the replay alike, so a node that cuts a text
in the middle of a secret cuts the placeholder in the middle, and budgets count the same. The performer behind sees the real
text, so the model is asked and the tool is run with what the user wrote. Replay needs no secret, since nothing of it was ever
written.

A placeholder carries a number: secrets are numbered by first occurrence in input and key order, whatever the order in which
outcomes arrive, because those of one frame are numbered by their own key until the frame is over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from attrs import evolve

from frameengine.effects import Call, EffectKey, ModelCall, ModelReply, Outcome, ToolCall, ToolReply
from frameengine.errors import UsageError
from frameengine.inputs import Action, Body, Dashboard, Given, Tick, UserMessage, Webhook
from frameengine.jsonvalue import FrozenMap, Json, freeze

SECRET_MIN = 12
"""Code points from which a text counts as a secret: shorter ones have no room for a placeholder."""

_RULES = (
    r"sk-(?:ant-|or-v1-|proj-|svcacct-)?[A-Za-z0-9_-]{16,256}",
    r"gh[pousr]_[A-Za-z0-9]{30,255}",
    r"github_pat_[A-Za-z0-9_]{40,255}",
    r"(?:AKIA|ASIA)[A-Z0-9]{16}",
    r"AIza[A-Za-z0-9_-]{35}",
    r"xox[abposr]-[A-Za-z0-9-]{10,255}",
    r"hf_[A-Za-z0-9]{30,255}",
    r"eyJ[A-Za-z0-9_-]{8,4096}\.eyJ[A-Za-z0-9_-]{8,4096}\.[A-Za-z0-9_-]{8,1024}",
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[A-Za-z0-9+/=\s]{16,8192}-----END [A-Z ]{0,40}PRIVATE KEY-----",
    r"(?<=[Bb]earer )[A-Za-z0-9._~+/-]{16,4096}={0,2}",
)
_PATTERN = re.compile("|".join(_RULES))
_HINTS = ("sk-", "gh", "AKIA", "ASIA", "AIza", "xox", "hf_", "eyJ", "PRIVATE KEY", "earer ")
"""One of these stands in every text that a rule matches: the cheap look before the thorough one."""
_PLACEHOLDER = re.compile(r"\[secret:(\d+(?:\.\d+)*)\*{0,8192}\]")
_MEMBERS = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "api_key",
        "api-key",
        "apikey",
        "x-api-key",
        "cookie",
        "set-cookie",
        "password",
        "secret",
        "access_token",
    }
)


class Redactor:
    """Replaces secrets of one run. *secrets* are texts known beforehand, such as keys from the environment."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._numbers: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._fresh: dict[str, list[str]] = {}
        self._count = 0
        known = sorted(dict.fromkeys(filter(None, secrets)), key=lambda secret: (-len(secret), secret))
        short = [secret for secret in known if len(secret) < SECRET_MIN]
        if short:
            raise UsageError(
                f"{len(short)} of the given secrets are shorter than {SECRET_MIN} characters",
                hint="a placeholder of equal length does not fit; use longer secrets, or leave them out",
            )
        self._given = re.compile("|".join([re.escape(secret) for secret in known])) if known else None

    @property
    def count(self) -> int:
        """How many different secrets were replaced so far."""
        return len(set(self._texts.values()))

    def enter(self, body: Body) -> Body:
        """Return an input without its secrets."""
        if isinstance(body, UserMessage):
            redacted: Body = evolve(body, message=self._clean(body.message, ""))
        elif isinstance(body, Given):
            redacted = evolve(body, messages=self._clean(body.messages, ""))
        elif isinstance(body, Action):
            redacted = evolve(body, data=self._clean(body.data, ""))
        elif isinstance(body, Tick):
            redacted = evolve(body, readings=self._clean(body.readings, ""))
        elif isinstance(body, Dashboard):
            redacted = evolve(body, controls=self._clean(body.controls, ""))
        elif isinstance(body, Webhook):
            redacted = evolve(body, payload=self._clean(body.payload, ""))
        else:
            return body
        self.settle()
        return redacted

    def outcome(self, key: EffectKey, outcome: Outcome) -> Outcome:
        """Return an outcome without its secrets."""
        place = f"{key.input}.{key.frame}.{key.call}"
        value, error = outcome.value, outcome.error
        if isinstance(value, ModelReply):
            value = evolve(value, message=self._clean(value.message, place))
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

    def settle(self) -> None:
        """Let secrets that are new in this frame keep the placeholder of their first place, in order."""
        for secret in self._fresh:
            self._numbers.setdefault(secret, min(self._fresh[secret]))
        self._fresh.clear()

    def _clean(self, value: Json, place: str) -> Json:
        if isinstance(value, str):
            return freeze(self._text(value, place))
        if isinstance(value, FrozenMap):
            return freeze({key: self._member(key, item, place) for key, item in value.items()})
        if isinstance(value, tuple):
            return tuple([self._clean(item, place) for item in value])
        return value

    def _member(self, key: str, value: Json, place: str) -> Json:
        if isinstance(value, str) and key.lower() in _MEMBERS and len(value) >= SECRET_MIN and not _PLACEHOLDER.fullmatch(value):
            return self._placeholder(value, place)
        return self._clean(value, place)

    def _text(self, text: str, place: str) -> str:
        if self._given is not None:
            text = self._given.sub(lambda match: self._placeholder(match.group(), place), text)
        if any(hint in text for hint in _HINTS):
            text = _PATTERN.sub(lambda match: self._placeholder(match.group(), place), text)
        return text

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
        text = head + "*" * (len(secret) - len(head) - 1) + "]" if len(head) < len(secret) else "*" * len(secret)
        self._texts[text] = secret
        return text

    def _restore(self, value: Json) -> Json:
        if isinstance(value, str):
            restored = (
                _PLACEHOLDER.sub(lambda match: self._texts.get(match.group(), match.group()), value)
                if "[secret:" in value
                else value
            )
            return freeze(restored)
        if isinstance(value, FrozenMap):
            return freeze({key: self._restore(item) for key, item in value.items()})
        if isinstance(value, tuple):
            return tuple([self._restore(item) for item in value])
        return value
