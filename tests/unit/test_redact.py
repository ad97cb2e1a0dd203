"""Redaction: no secret reaches nodes, records or the file, and none is missing where it is needed."""

from __future__ import annotations

import html
import json
import lzma
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameengine.effects import Answer, Call, EffectKey, ModelReply, Outcome, ToolCall, ToolReply
from frameengine.engine.driver import Run, virtual_at
from frameengine.engine.message import Engine
from frameengine.engine.stops import Ask
from frameengine.errors import UsageError
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import bind
from frameengine.inputs import Action, UserMessage, Webhook
from frameengine.jsonvalue import freeze
from frameengine.replay.replayer import Replayer
from frameengine.trace.header import header
from frameengine.trace.redact import Redactor
from frameengine.trace.spellings import unescaped
from frameengine.trace.writer import TraceWriter

SECRETS = (
    "sk-proj-" + "Ab1" * 12,
    "ghp_" + "x9Y" * 12,
    "AKIA" + "ABCD1234EFGH5678",
    "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl",
    "hf_" + "q" * 34,
)


class Answering:
    """A model and a tool that remember what they were asked and answer with secrets of their own."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer with a tool call first, then with the tool's secret."""
        answers = []
        for call in ask.new:
            self.seen.append(repr(call.effect))
            if call.effect.kind == "tool":
                value: ModelReply | ToolReply = ToolReply(content=f"the token is {SECRETS[1]}.")
            elif call.key.frame == 1:
                function = {"name": "look", "arguments": f'{{"key":"{SECRETS[0]}"}}'}
                value = ModelReply(
                    message=freeze({"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": function}]})
                )
            else:
                value = ModelReply(message=freeze({"role": "assistant", "content": f"done with {SECRETS[0]} and {SECRETS[1]}"}))
            answers.append(Answer(call.key, Outcome(value=value, at=virtual_at(call.key))))
        return answers


def record(path: Path, text: str, secrets: tuple[str, ...] = ()) -> Answering:
    """Record one message with redaction on."""
    bound = bind(load_graph("tool-loop"))
    performer = Answering()
    with TraceWriter(path, header(bound)) as writer:
        Run(Engine(bound), performer, writer, redactor=Redactor(secrets)).send(UserMessage.of(text))
        writer.seal()
    return performer


def test_no_secret_is_written(tmp_path: Path) -> None:
    """Secrets of the user, of the model's arguments and of a tool's result stand nowhere in the file (N16)."""
    path = tmp_path / "run.trace.jsonl"
    record(path, f"use {SECRETS[0]} please")
    written = path.read_text()
    for secret in SECRETS[:2]:
        assert secret not in written
    assert "[secret:1" in written


def test_performer_sees_the_real_text(tmp_path: Path) -> None:
    """Models and tools behind the boundary get the secrets that the user wrote."""
    performer = record(tmp_path / "run.trace.jsonl", f"use {SECRETS[0]} please")
    assert SECRETS[0] in performer.seen[0]
    assert SECRETS[0] in performer.seen[1]
    assert SECRETS[1] in performer.seen[2]


def test_redacted_run_replays(tmp_path: Path) -> None:
    """A recording made with secrets replays the same without them."""
    path = tmp_path / "run.trace.jsonl"
    record(path, f"use {SECRETS[0]} please")
    assert Replayer(path).run().verdict == "same"


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("cut", [1, 5, 9, 20])
def test_cut_inside_a_secret_leaks_nothing(secret: str, cut: int) -> None:
    """A text cut at any place inside a secret holds the same cut of the placeholder, of equal length."""
    redacted = Redactor().enter(UserMessage.of(f"before {secret} after"))
    assert isinstance(redacted, UserMessage)
    assert len(redacted.text) == len(f"before {secret} after")
    assert secret[4:12] not in redacted.text[: 7 + cut]


def test_equal_secrets_share_a_placeholder() -> None:
    """The same secret gets the same placeholder wherever it stands, another one another."""
    redactor = Redactor()
    first = redactor.enter(UserMessage.of(f"{SECRETS[0]} {SECRETS[1]}"))
    second = redactor.enter(UserMessage.of(SECRETS[1]))
    assert isinstance(first, UserMessage)
    assert isinstance(second, UserMessage)
    assert first.text.split()[1] == second.text
    assert first.text.split()[0] != second.text
    assert redactor.count == 2


def test_numbers_do_not_depend_on_arrival() -> None:
    """Two parallel outcomes with one secret are numbered by their keys, in whichever order they arrive."""
    keys = [EffectKey(1, 1, "a", 0), EffectKey(1, 1, "a", 1)]

    def redacted(order: list[EffectKey]) -> dict[EffectKey, str]:
        redactor = Redactor()
        texts = {}
        for key in order:
            outcome = redactor.outcome(key, Outcome(value=ToolReply(content=f"{key.call} {SECRETS[0]}")))
            assert isinstance(outcome.value, ToolReply)
            texts[key] = outcome.value.content
        redactor.settle()
        later = redactor.enter(UserMessage.of(SECRETS[0]))
        assert isinstance(later, UserMessage)
        texts[EffectKey(2, 0, "", 0)] = later.text
        return texts

    assert redacted(keys) == redacted(keys[::-1])


def test_given_secrets_are_found_anywhere() -> None:
    """A secret that the caller names is replaced though no rule knows its form; one too short is refused."""
    redacted = Redactor(["correct horse battery"]).enter(UserMessage.of("say correct horse battery, twice"))
    assert isinstance(redacted, UserMessage)
    assert "horse" not in redacted.text
    with pytest.raises(UsageError, match="shorter"):
        Redactor(["short"])


def test_members_named_like_secrets_are_replaced_whole() -> None:
    """The value of a member called password or authorization is replaced whatever it looks like."""
    outcome = Redactor().outcome(
        EffectKey(1, 1, "a", 0), Outcome(value=ToolReply(content={"Password": "plain words here", "user": "plain words here"}))
    )
    assert isinstance(outcome.value, ToolReply)
    assert outcome.value.content["Password"] != "plain words here"
    assert outcome.value.content["user"] == "plain words here"


KEY = EffectKey(1, 1, "tools", 0)
GIVEN = 'pa"ss/wörd-12345'


def test_every_field_is_cleaned() -> None:
    """Names, ids, keys and figures are texts from outside as well: a given secret stays in none of them."""
    redactor, secret = Redactor([GIVEN]), GIVEN
    reply = ModelReply(message=freeze({"role": "assistant"}), usage={secret: 1}, finish_reason=secret, model=secret)
    bodies = (
        UserMessage(message=freeze({"role": "user", secret: 1}), user_id=secret, session_id=secret, channel=secret),
        Action(name=secret, data=freeze({secret: secret})),
        Webhook(source=secret, payload=secret),
    )
    assert "wörd" not in repr([redactor.enter(body) for body in bodies])
    assert "wörd" not in repr(redactor.outcome(KEY, Outcome(value=reply)).value)


@pytest.mark.parametrize("ascii_only", [True, False])
def test_secrets_with_escapes_come_back_as_they_fit(ascii_only: bool) -> None:
    """In JSON inside a text a secret is found with its escapes; a tool that is given the parsed value gets it without."""
    redactor = Redactor([GIVEN])
    arguments = json.dumps({"x": GIVEN, "password": 'correct "horse" battery'}, ensure_ascii=ascii_only)
    cleaned = redactor.outcome(KEY, Outcome(value=ToolReply(content=arguments))).value
    assert isinstance(cleaned, ToolReply)
    assert len(cleaned.content) == len(arguments)
    assert "12345" not in cleaned.content
    assert "horse" not in cleaned.content
    left = redactor.leave(
        Call.of(KEY, ToolCall("t", freeze({"whole": cleaned.content, "parts": json.loads(cleaned.content)})))
    ).effect
    assert isinstance(left, ToolCall)
    assert left.arguments["whole"] == arguments
    assert left.arguments["parts"] == json.loads(arguments)


def test_overlapping_secrets_leave_no_rest() -> None:
    """Where one secret begins within another, both go."""
    redacted = Redactor(["AAAABBBBCCCC", "BBBBCCCCDDDD"]).enter(UserMessage.of("x AAAABBBBCCCCDDDD y"))
    assert isinstance(redacted, UserMessage)
    assert "DDDD" not in redacted.text
    assert len(redacted.text) == 20


def test_short_secrets_come_back() -> None:
    """A secret that has just room for a placeholder is put back where a tool needs it."""
    redactor = Redactor()
    cleaned = redactor.outcome(KEY, Outcome(value=ToolReply(content={"password": "hunter2hunter"}))).value
    assert isinstance(cleaned, ToolReply)
    assert cleaned.content["password"] != "hunter2hunter"
    left = redactor.leave(Call.of(KEY, ToolCall("t", cleaned.content))).effect
    assert isinstance(left, ToolCall)
    assert left.arguments["password"] == "hunter2hunter"


PEM = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIEowIBAAKCAQEAxyz0123456789\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    "content",
    [
        PEM,
        json.dumps({"pem": PEM}),
        {"token": "MIIEow-0123456789"},
        {"client_secret": "MIIEow-0123456789"},
        {"cookie": ["sid=MIIEow-0123456789"]},
        '{"a": 1, "cookie" : ["x", "sid=MIIEow-0123456789"]}',
        "sk-" + "a" * 300 + "MIIEow",
    ],
)
def test_forms_of_secrets(content: Any) -> None:
    """Keys with headers or escapes, more names of members, lists below them, and keys without end are found."""
    cleaned = Redactor().outcome(KEY, Outcome(value=ToolReply(content=content))).value
    assert "MIIEow" not in repr(cleaned)


KNOWN = "Kq7Xw9canary&Kd93<hfPl2"


@pytest.mark.parametrize(
    "written",
    [
        "".join([f"\\u{ord(letter):04x}" for letter in KNOWN]),
        KNOWN.replace("7", "\\u0037").replace("X", "\\\\u0058"),
        html.escape(KNOWN),
        "".join([f"&#{ord(letter)};" for letter in KNOWN]),
        KNOWN.encode("utf-16-le").decode("latin-1"),
        KNOWN.encode("utf-16-be").decode("latin-1"),
        KNOWN.lower(),
        KNOWN.upper(),
        KNOWN[::-1],
    ],
)
def test_a_known_secret_is_found_in_other_spellings(written: str) -> None:
    """Escapes of JSON and HTML, UTF-16, another case and backwards: replaced at equal length, and nothing beside it."""
    clean = Redactor([KNOWN]).text(f"it is {written}\u00e9 &amp; so on \\u0041")
    assert len(clean) == len(f"it is {written}\u00e9 &amp; so on \\u0041")
    assert clean.strip("\0").startswith("it is ")
    assert clean.endswith("\u00e9 &amp; so on \\u0041")
    assert written.strip("\0")[4:-4] not in clean


@pytest.mark.parametrize("written", ["wJalr\\/K7MDENG\\/bPxR", "wJalr\\\\/K7MDENG\\\\/bPxR", "wJalr\\u002fK7MDENG\\/bPxR"])
def test_a_stroke_may_have_an_escape(written: str) -> None:
    """JSON allows an escape before a stroke, and some write it: a key with strokes is found with it, in JSON in a text too."""
    text = f'{{"seen":"{written}","path":"a\\/b"}}'
    clean = Redactor(["wJalr/K7MDENG/bPxR"]).text(text)
    assert re.fullmatch(r'\{"seen":"\[s[^"]*\]","path":"a\\/b"\}', clean)
    assert len(clean) == len(text)


@given(
    st.lists(
        st.sampled_from(["\\u0041", "\\\\u007a", "\\/", "/", "&amp;", "&#39;", "é", "x", "\\", "&", ";", "\\u00"]), max_size=20
    )
)
def test_places_without_escapes_lead_back_to_the_text(parts: list[str]) -> None:
    """Each letter of the short text comes from where its place says, an escape being one letter."""
    text = "".join(parts)
    found = unescaped(text)
    if found is None:
        assert not re.search(r"\\u00[2-7][0-9a-f]|\\/|&amp;|&#39;", text)
        return
    short, place = found
    assert (place(0), place(len(short))) == (0, len(text))
    for at, letter in enumerate(short):
        piece = text[place(at) : place(at + 1)]
        assert piece == letter or (len(piece) > 1 and unescaped(piece) is not None and unescaped(piece)[0] == letter)  # type: ignore[index]


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
@pytest.mark.parametrize(
    "shape", ['{"a": 1, "password" : %s}', '{"client_secret":["x", %s], "b": 2}', '[{"x": {"session": %s}}]']
)
def test_members_of_json_in_json_are_found(depth: int, shape: str) -> None:
    """However deep a text of JSON stands in another, its password goes, and what is left is the same JSON with a placeholder."""
    secret = "Zq7Xw9Kd93hfPl2-Ab"
    text = shape % json.dumps(secret)
    for _ in range(depth):
        text = json.dumps({"arguments": text})
    clean = Redactor().text(text)
    assert secret not in clean
    assert len(clean) == len(text)
    value: Any = clean
    for _ in range(depth):
        value = json.loads(value)["arguments"]
    assert re.fullmatch(re.escape(shape).replace("%s", r'"\[s[^"]*\]"'), value)


@given(st.dictionaries(st.sampled_from(["password", "secret", "name", "token"]), st.text(min_size=12, max_size=30), max_size=4))
def test_texts_and_values_are_cleaned_alike(members: dict[str, str]) -> None:
    """A text of JSON loses the same values as the JSON itself does."""
    whole, text = Redactor().value(freeze(members)), Redactor().text(json.dumps(members))
    assert isinstance(whole, dict)
    changed = {name for name, value in members.items() if whole[name] != value}
    assert {name for name, value in json.loads(text).items() if value != members[name]} == changed


@pytest.mark.data
@pytest.mark.parametrize("folder", ["http-openai-chat", "http-other-protocols"])
def test_real_answers_stay_as_they_are(folder: str, data_dir: Path) -> None:
    """Signatures in base64, log probabilities and ids of real exchanges are no keys: not a letter of a body is replaced."""
    signed = 0
    with lzma.open(data_dir / folder / "exchanges.jsonl.xz", "rt", encoding="utf-8") as lines:
        for line in lines:
            exchange = json.loads(line)
            for part in ("request", "response"):
                body = exchange[part].get("body")
                text = body if isinstance(body, str) else json.dumps(body)
                assert Redactor().text(text) == text
                signed += text.count('ignature"')
    assert signed
