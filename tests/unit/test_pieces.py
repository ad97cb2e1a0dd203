"""Pieces of a reply on their way to a screen: shown as they come, and never a piece of a secret."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameengine.effects import Answer, Call, EffectKey, ModelCall, ModelReply, Outcome
from frameengine.engine.driver import Run
from frameengine.engine.message import Engine
from frameengine.engine.stops import Ask
from frameengine.inputs import UserMessage
from frameengine.jsonvalue import freeze
from frameengine.node import NodeContext, NodeResult
from frameengine.records import Emission
from frameengine.trace.pieces import HELD_MAX, Told
from frameengine.trace.redact import Redactor
from toy import bound

KEY = EffectKey(1, 1, "n", 0)
GIVEN = 'Kq7"body?>/+~Zx93Wb'
SPACED = "correct horse battery"
SHAPED = "sk-proj-Abcdefghijklmnop0123456789"
BLOCK = f"-----BEGIN RSA PRIVATE KEY-----\n{'MIIEowIBAAKCAQEA' * 3}\n-----END RSA PRIVATE KEY-----"
SECRETS = (GIVEN, SPACED, SHAPED, BLOCK, GIVEN.encode().hex(), GIVEN.swapcase(), f'{{"password": "{SPACED} it is"}}')
WORDS = ("hello", "sk-", "Bearer ", "correct ", "horse", "-----BEGIN ", '{"password": ', "\n", "天気です", "Kq7", " ", "a" * 30)


def told(pieces: list[str | None], key: EffectKey = KEY) -> str:
    """Return what is shown of a reply that comes in *pieces*."""
    shown: list[str | None] = []
    tell = Redactor([GIVEN, SPACED]).deltas(lambda _, piece: shown.append(piece))
    for piece in pieces:
        tell(Call.of(key, ModelCall(model="m", messages=())), piece)
    after = shown[len(shown) - shown[::-1].index(None) :] if None in shown else shown
    return "".join([piece for piece in after if piece is not None])


def cut(text: str, size: int) -> list[str | None]:
    """Return a text in pieces of a size."""
    return [text[start : start + size] for start in range(0, len(text), size)]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("size", [1, 2, 5, 200])
def test_not_even_the_beginning_of_a_secret_is_shown(secret: str, size: int) -> None:
    """However a reply is cut, it is shown up to its first secret, and not a letter further."""
    quoted = secret.index(SPACED) if secret.startswith("{") else 0
    for before in ("it is ", "天気です", 'he said\n"Bearer" '):
        assert told(cut(f"{before}{secret} and more words", size)) == before + secret[:quoted]


@given(parts=st.lists(st.sampled_from([*WORDS, *SECRETS]), max_size=8), size=st.integers(1, 40))
def test_what_is_shown_is_the_beginning_of_what_the_record_has(parts: list[str], size: int) -> None:
    """Of any reply in any pieces, what is shown is where the redacted reply begins: nothing has to be taken back."""
    text = "".join(parts)
    message = Redactor([GIVEN, SPACED]).value(freeze({"content": text}))
    shown = told(cut(text, size))
    assert isinstance(message, dict)
    assert message["content"].startswith(shown)
    assert text.startswith(shown)


@given(st.lists(st.sampled_from(["a ", "word ", "天気", "sentence.\n", "x = 1; ", "naïve "]), max_size=20), st.integers(1, 9))
def test_ordinary_text_waits_for_the_end_of_a_word_at_most(parts: list[str], size: int) -> None:
    """Of text without anything like a key nothing is held but the word that is coming."""
    text = "".join(parts)
    shown = told(cut(text, size))
    assert text.startswith(shown)
    assert all("!" <= letter <= "~" for letter in text[len(shown) :])


def test_a_reply_without_an_end_of_a_word_is_shown_when_it_is_whole() -> None:
    """What is held back is bounded: of a reply that is one endless word nothing is shown on the way, and none of it piles up."""
    assert told(cut("a" * (HELD_MAX + 200) + " b c d ", 64)) == ""


@pytest.mark.parametrize(("text", "shown"), [("one two", "one two"), (f"it is {SHAPED}", "it is "), ("one sk-two", "one sk-two")])
def test_the_last_word_comes_with_the_end_of_the_reply(text: str, shown: str) -> None:
    """When the reply is whole, what was held of it is shown, unless it is a secret: then its node says a placeholder."""
    heard: list[str | None] = []
    redactor = Redactor()
    tell = redactor.deltas(lambda _, piece: heard.append(piece))
    tell(Call.of(KEY, ModelCall(model="m", messages=())), text)
    redactor.outcome(KEY, Outcome(value=ModelReply(message=freeze({"content": text}))))
    assert "".join([piece for piece in heard if piece]) == shown


def test_pieces_that_are_taken_back_begin_anew() -> None:
    """After a failed try the next one is shown from its beginning."""
    assert told(["one two ", SHAPED, " x ", None, "three four "]) == "three four "


def test_two_replies_do_not_mix() -> None:
    """Of two replies side by side each is held back by itself."""
    shown: dict[str, str] = {"a": "", "b": ""}
    redactor = Redactor([GIVEN])

    def take(call: Call, piece: str | None) -> None:
        shown[call.key.node] += piece or ""

    tell = redactor.deltas(take)
    calls = {name: Call.of(EffectKey(1, 1, name, 0), ModelCall(model="m", messages=())) for name in "ab"}
    for name, piece in (("a", "it is Kq7"), ("b", "hello you "), ("a", GIVEN[3:] + " see "), ("b", "all ")):
        tell(calls[name], piece)
    assert shown == {"a": "it is ", "b": "hello you all "}


class Reader:
    """What a reader has seen, and how often something was taken back."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.taken = 0

    def on_preview(self, _: EffectKey, __: int, emission: Emission) -> None:
        """Read on."""
        self.read.append(emission.data["text"])

    def on_retract(self, _: EffectKey) -> None:
        """Count."""
        self.taken += 1


class Streams:
    """A performer that tells of a reply in pieces before it answers with it."""

    on_delta: Told | None = None

    def __init__(self, text: str) -> None:
        self._text = text

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer all new effects."""
        for call in ask.new:
            for piece in cut(self._text, 3):
                assert self.on_delta is not None
                self.on_delta(call, piece)
        reply = ModelReply(message=freeze({"role": "assistant", "content": self._text}))
        return [Answer(call.key, Outcome(value=reply)) for call in ask.new]


async def says(_: Any, ctx: NodeContext) -> NodeResult:
    """Ask, and say what came."""
    ctx.say((await ctx.perform(ModelCall(model="m", messages=(), show=True))).text)
    return NodeResult()


def test_a_run_shows_placeholders_and_takes_nothing_back() -> None:
    """With a redactor a reader has seen the committed text in the end, its secret replaced, and nothing was withdrawn."""
    reader, text = Reader(), f"the key is {SHAPED}, keep it"
    Run(Engine(bound({"a": says}), instruments=[reader]), Streams(text), redactor=Redactor()).send(UserMessage.of("hi"))
    seen = "".join(reader.read)
    assert SHAPED not in seen
    assert (seen[:11], seen[-9:], len(seen), reader.taken) == (text[:11], text[-9:], len(text), 0)
    assert seen[11:].startswith("[secret:")
    assert len(reader.read) > 2
