"""The transport: what is sent, how an answer is put together, what is kept of it, and that no key gets out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from attrs import asdict, evolve
from hypothesis import given
from hypothesis import strategies as st

from frameengine.effects import Call, EffectFailure, EffectKey, ModelCall, ModelReply, Outcome, ToolCall
from frameengine.errors import UsageError
from frameengine.jsonvalue import freeze
from frameengine.performers.model_http import KINDS, Endpoint, HttpModel, Retry, Timeouts, read
from frameengine.performers.model_http.fault import Fault, retry_after
from model_scripts import DONE, Head, Script, Send, answer, chunk, completion, error, event, sse, stream, tool_call, usage_of
from model_server import ModelServer

KEY = "sk-planted-0123456789"
KEYS = EffectKey(1, 1, "model", 0)
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
SSE = {"content-type": "text/event-stream"}


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    """Serve for all tests; each sets its own script."""
    with ModelServer() as started:
        yield started


def call(**more: Any) -> Call:
    """Return a model call."""
    return Call.of(KEYS, ModelCall(model="m", messages=[{"role": "user", "content": "hello"}], **more))


def asked(server: ModelServer, endpoint: Endpoint, script: Script, effect: Call | None = None) -> Outcome:
    """Return what comes of one call that is not tried again."""
    server.enqueue(script)
    server.requests.clear()
    return HttpModel(evolve(endpoint, retry=Retry(attempts=1)))(effect or call())


def reply(outcome: Outcome) -> ModelReply:
    """Return the reply of an outcome that has one."""
    assert isinstance(outcome.value, ModelReply), outcome.error
    return outcome.value


def failure(outcome: Outcome) -> EffectFailure:
    """Return the failure of an outcome that has one."""
    assert outcome.error is not None, outcome
    return outcome.error


def joined(*deltas: Any, **choice: Any) -> Outcome:
    """Read a stream of these deltas."""
    chunks = [chunk(delta) for delta in deltas]
    return read(
        200, SSE, [*map(event, chunks), event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", **choice}]}), DONE]
    )


# ---------------------------------------------------------------------- what is sent


def test_a_request_has_what_the_call_and_the_endpoint_say(server: ModelServer) -> None:
    """Model, messages, tools and parameters are sent; those of the call come first, and the stream is asked for its usage."""
    endpoint = Endpoint(
        base_url=server.url,
        key=KEY,
        headers={"HTTP-Referer": "https://example.org", "X-Title": "try"},
        params={"top_p": 1, "seed": 3},
    )
    asked(server, endpoint, stream("hi"), call(tools=TOOLS, params={"seed": 7, "stream": False}))
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.json() == {
        "model": "m",
        "messages": [{"role": "user", "content": "hello"}],
        "tools": TOOLS,
        "top_p": 1,
        "seed": 7,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    sent = {name: request.header(name) for name in ("authorization", "http-referer", "x-title", "connection", "accept-encoding")}
    assert sent == {
        "authorization": f"Bearer {KEY}",
        "http-referer": "https://example.org",
        "x-title": "try",
        "connection": "close",
        "accept-encoding": "identity",
    }


def test_an_endpoint_may_be_asked_plainly(server: ModelServer) -> None:
    """Without a stream nothing of streams is sent; without a key no header for one; the endpoint's model replaces the graph's."""
    asked(server, Endpoint(base_url=server.url, stream=False, model="other"), completion("hi"))
    (request,) = server.requests
    assert request.json() == {"model": "other", "messages": [{"role": "user", "content": "hello"}], "stream": False}
    assert request.header("authorization") == ""
    asked(server, Endpoint(base_url=server.url, stream_usage=False), stream("hi"))
    assert "stream_options" not in server.requests[0].json()


def test_a_query_in_the_base_url_is_kept(server: ModelServer) -> None:
    """Azure wants its version in the query, and its key in a header of its own."""
    endpoint = Endpoint(base_url=f"{server.url}/deployments/d/?api-version=1", headers={"api-key": KEY})
    asked(server, endpoint, stream("hi"))
    assert server.requests[0].path == "/v1/deployments/d/chat/completions?api-version=1"
    assert server.requests[0].header("api-key") == KEY


def test_a_tool_call_is_none_for_a_model() -> None:
    """A call of the wrong kind is refused before anything is sent."""
    with pytest.raises(UsageError, match="none for a model"):
        HttpModel(Endpoint(base_url="http://127.0.0.1:1/v1"))(Call.of(KEYS, ToolCall("look")))


@pytest.mark.parametrize(
    "url", ["", "host/v1", "ftp://host/v1", "http://", "https://me:secret-word@host/v1", "http://h/v1#x", "http:// h"]
)
def test_a_base_url_that_is_none_is_refused(url: str) -> None:
    """The error names the host, says the form, and repeats no password."""
    with pytest.raises(UsageError, match="the base URL") as refused:
        Endpoint(base_url=url)
    assert "https://host/v1" in refused.value.hint
    assert "secret-word" not in str(refused.value)


@pytest.mark.parametrize("key", [f"{KEY}\n", f"“{KEY}”", f"{KEY} ", "\x00" + KEY])
def test_a_key_that_cannot_be_sent_is_refused(key: str) -> None:
    """A key with a line end or a quote around it is refused at once, unseen."""
    for options in ({"key": key}, {"headers": {"x-key": key}}):
        with pytest.raises(UsageError, match="cannot be sent") as refused:
            Endpoint(base_url="https://host/v1", **options)
        assert KEY not in f"{refused.value} {refused.value.hint} {refused.value.fields}"


# ---------------------------------------------------------------------- what gets out


def test_a_key_gets_nowhere(server: ModelServer) -> None:
    """Neither a repr, an answer's headers, an error's body nor a broken stream carries the key or a header's value on."""
    other = "planted-header-value"
    endpoint = Endpoint(base_url=server.url, key=KEY, headers={"api-key": other, "cookie": other})
    assert KEY not in repr(endpoint)
    assert other not in repr(endpoint)
    told = f"{KEY} and Bearer {KEY} and {other}"
    echoes = [("set-cookie", KEY), ("x-request-id", KEY), ("authorization", KEY)]
    scripts: list[Script] = [
        error(401, told, echoes),
        answer(f"<html>{told}", headers=[("content-type", f"text/{KEY}")]),
        answer("", 302, [("location", f"http://elsewhere/?{KEY}")]),
        sse(event({"error": told})),
        sse(event(chunk({"content": "x"})), f"data: {told}\n\n".encode()),
        [Head(headers=(("content-length", f"{KEY}"),)), Send(b"x")],
    ]
    for script in scripts:
        outcome = asked(server, endpoint, script)
        shown = f"{outcome.wire()} {dict(outcome.meta)}"
        assert outcome.status == "error"
        assert KEY not in shown
        assert other not in shown
        assert failure(outcome).type in ("model.provider_error", "model.bad_response", "model.bad_chunk")


def test_of_the_headers_of_an_answer_a_few_are_kept(server: ModelServer) -> None:
    """Request ids and rate limits stand in the meta; cookies and whatever else comes do not."""
    headers = [
        ("x-request-id", "r1"),
        ("x-ratelimit-remaining-requests", "9"),
        ("set-cookie", "a=b"),
        ("x-other", "c"),
        ("openai-version", "v" * 999),
    ]
    outcome = asked(server, Endpoint(base_url=server.url, stream=False), completion("hi", headers=headers))
    kept = outcome.meta["headers"]
    assert dict(kept) == {
        "content-type": "application/json",
        "x-request-id": "r1",
        "x-ratelimit-remaining-requests": "9",
        "openai-version": "v" * 200,
    }


def test_a_redirect_is_not_followed(server: ModelServer) -> None:
    """The place that an endpoint sends a call on to never hears of it, so no key goes there (F77)."""
    with ModelServer() as elsewhere:
        script = answer("", 307, [("location", f"{elsewhere.url}/chat/completions")])
        outcome = asked(server, Endpoint(base_url=server.url, key=KEY), script)
        assert elsewhere.connections == 0
    assert "keys are not sent there" in failure(outcome).message
    assert failure(outcome).fields["status"] == 307


# ---------------------------------------------------------------------- what is kept


def test_pieces_are_kept_by_time_and_size(server: ModelServer) -> None:
    """Of each piece of text and of tool arguments the meta has when it came, in milliseconds, and its code points."""
    calls = [tool_call("look", "{}"), tool_call("look", '{"at": "ä"}', id="c2")]
    outcome = asked(server, Endpoint(base_url=server.url), stream("zwölf Boxkämpfer", tool_calls=calls, gap=0.02))
    chunks = outcome.meta["chunks"]
    assert [size for _, size in chunks["text"]] == [5, 11]
    assert [(index, size) for _, index, size in chunks["tools"]] == [(0, 1), (0, 1), (1, 5), (1, 6)]
    times = [entry[0] for entry in (*chunks["text"], *chunks["tools"])]
    assert times == sorted(times)
    assert times[-1] - times[0] >= 80
    assert outcome.meta["ms"] >= times[-1]
    whole = asked(server, Endpoint(base_url=server.url, stream=False), completion("zwölf", tool_calls=calls))
    assert [size for _, size in whole.meta["chunks"]["text"]] == [5]


def test_what_was_paid_stands_in_the_meta(server: ModelServer) -> None:
    """Token counts are a part of the reply, as they came; the cost is not, since it may differ between equal runs."""
    usage = usage_of(
        cost=0.0012, cost_details={"upstream_inference_cost": None}, is_byok=False, prompt_tokens_details={"cached_tokens": 1}
    )
    comment = b": OPENROUTER PROCESSING\n\n"
    script = sse(comment, event(chunk({"content": "hi"})), comment, event(chunk({}, finish="stop", usage=usage)), DONE)
    outcome = asked(server, Endpoint(base_url=server.url), script)
    assert dict(reply(outcome).usage) == usage_of(prompt_tokens_details={"cached_tokens": 1})
    assert outcome.meta["cost"] == 0.0012
    assert outcome.digest == evolve(outcome, meta=freeze({})).digest


# ---------------------------------------------------------------------- how deltas are joined


def test_members_of_deltas_are_joined() -> None:
    """Texts grow, what endpoints repeat whole does not, and lists of objects are joined by index."""
    outcome = joined(
        {"role": "assistant", "content": None, "reasoning": "Let", "refusal": None},
        {"role": "assistant", "reasoning": " me", "reasoning_details": [{"index": 0, "type": "reasoning.text", "text": "Let"}]},
        {"content": "Hi", "reasoning_details": [{"index": 0, "type": "reasoning.text", "text": " me"}], "refusal": None},
        {"content": "!", "annotations": [{"type": "url"}]},
        {"annotations": [{"type": "file"}]},
    )
    assert reply(outcome).message == {
        "role": "assistant",
        "content": "Hi!",
        "reasoning": "Let me",
        "refusal": None,
        "reasoning_details": ({"index": 0, "type": "reasoning.text", "text": "Let me"},),
        "annotations": ({"type": "url"}, {"type": "file"}),
    }


def test_a_function_call_of_old_is_joined() -> None:
    """The member that came before tool calls is kept as it is."""
    outcome = joined(
        {"function_call": {"name": "look", "arguments": ""}},
        {"function_call": {"arguments": "{}"}},
        finish_reason="function_call",
    )
    assert reply(outcome).message["function_call"] == {"name": "look", "arguments": "{}"}
    assert reply(outcome).finish_reason == "function_call"


def test_content_in_parts_is_joined() -> None:
    """Some endpoints send parts instead of text, or both; the reply's text is that of the text parts."""
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    outcome = joined(
        {"content": ""},
        {"content": [thought]},
        {"content": "Hel"},
        {"content": "lo"},
        {"content": [{"type": "text", "text": "!"}]},
    )
    assert reply(outcome).message["content"] == (
        freeze(thought),
        {"type": "text", "text": "Hello"},
        {"type": "text", "text": "!"},
    )
    assert reply(outcome).text == "Hello!"
    assert failure(joined({"content": 5})).type == "model.bad_chunk"


def piece(arguments: str | None = None, *, name: str = "", **more: Any) -> dict[str, Any]:
    """Return a piece of a tool call with what is given of it."""
    return {**more, "function": {**({"name": name} if name else {}), "arguments": arguments}}


CALLS = [
    ("as OpenAI does", [piece("", name="f", index=0, id="a"), piece("{}", index=0)], ["f {}"]),
    ("name and id repeated", [piece("{", name="f", index=0, id="a"), piece("}", name="f", index=0, id="a")], ["f {}"]),
    ("name in pieces", [piece(name="fo", index=0, id="a"), piece("{}", name="o", index=0)], ["foo {}"]),
    (
        "two at once",
        [piece("{", name="g", index=1, id="b"), piece("{}", name="f", index=0, id="a"), piece("}", index=1)],
        ["g {}", "f {}"],
    ),
    ("no index, whole calls", [piece("{}", name="f", id="a"), piece("{}", name="g", id="b")], ["f {}", "g {}"]),
    ("no index, in pieces", [piece("{", name="f", id="a"), piece("}")], ["f {}"]),
    ("index null", [piece("{", name="f", index=None, id="a"), piece("}", index=None, id="a")], ["f {}"]),
    ("arguments null", [piece(None, name="f", index=0, id="a"), piece("{}", index=0)], ["f {}"]),
]


@pytest.mark.parametrize(("pieces", "expected"), [row[1:] for row in CALLS], ids=[row[0].replace(" ", "-") for row in CALLS])
def test_pieces_of_tool_calls_find_each_other(pieces: list[Any], expected: list[str]) -> None:
    """However an endpoint names the pieces of its calls, each call has its name and its arguments once."""
    outcome = joined(*({"tool_calls": [piece]} for piece in pieces))
    together = joined({"tool_calls": pieces})
    for one in (outcome, together):
        assert [f"{made['function']['name']} {made['function']['arguments']}" for made in reply(one).tool_calls] == expected
        assert all(set(made) <= {"id", "type", "function"} for made in reply(one).tool_calls)


def test_of_several_choices_the_first_is_taken() -> None:
    """Choices beside the first do not mix with it, and are told of."""
    chunks = [{"choices": [{"index": index, "delta": {"content": text}, "finish_reason": end}]} for index, text, end in
              [(0, "a", None), (1, "x", None), (1, "y", "length"), (0, "b", "stop")]]  # fmt: skip
    outcome = read(200, SSE, [*map(event, chunks), DONE])
    assert (reply(outcome).text, reply(outcome).finish_reason) == ("ab", "stop")
    assert "several choices" in outcome.meta["warnings"][0]


def test_a_body_is_kept_as_it_came() -> None:
    """The message of a whole answer is not put together anew; a finish reason that is not told is unknown, never stop."""
    message = {"content": "a", "role": "assistant", "tool_calls": [], "x": {"y": [1]}}
    outcome = read(200, {}, [json.dumps({"choices": [{"message": message}]}).encode()])
    assert json.loads(json.dumps(reply(outcome).message)) == message
    assert reply(outcome).finish_reason == "unknown"


def test_a_stream_need_not_say_that_it_is_one() -> None:
    """Events under another content type, or under none, are read as a stream; no JSON begins like one."""
    body = event(chunk({"content": "a"}, finish="stop")) + DONE
    for headers in ({}, {"content-type": "application/json"}, {"content-type": "text/plain"}):
        for start in (b"", b"\xef\xbb\xbf", b": hi\n\n"):
            stream = start + body
            assert reply(read(200, headers, [stream])).text == "a"
            assert reply(read(200, headers, [stream[place : place + 1] for place in range(len(stream))])).text == "a"


@given(
    st.lists(st.sampled_from(["a", "ä", "€", "😀", " ", "\n", '"', "\\", "\u2028", "[DONE]", "data: "]), max_size=12),
    st.randoms(use_true_random=False),
)
def test_any_text_survives_any_cut(words: list[str], chance: Any) -> None:
    """A reply's text is that of its deltas, whatever they hold and wherever the bytes are cut."""
    data = b"".join(event(chunk({"content": word})) for word in words) + event(chunk({}, finish="stop")) + DONE
    cuts = sorted(chance.randrange(len(data)) for _ in range(5))
    outcome = read(200, SSE, [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)])
    assert reply(outcome).text == "".join(words)


# ---------------------------------------------------------------------- retries


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": " 0.25 "}, 0.25),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 90.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:01 GMT"}, 0.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e3"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "9" * 400}, None),
    ],
)
def test_a_wait_is_read(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds and dates are understood at ten seconds past the beginning of 1970; nonsense is none."""
    assert retry_after(headers, 10_000_000) == seconds


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_wait_is_negative_or_endless(seconds: str, millis: str) -> None:
    """Whatever an endpoint writes there is a number of seconds or nothing."""
    wait = retry_after({"retry-after": seconds, "retry-after-ms": millis}, 0)
    assert wait is None or 0 <= wait < float("inf")


def test_waits_grow_and_stay_within_bounds() -> None:
    """Each wait is between a half and the whole of its step, steps double up to the bound, and tries end."""
    rules = Retry(attempts=8, wait=1, wait_max=10)
    waits = [rules.pause(Fault("timeout", "no"), KEYS, attempt) for attempt in range(1, 9)]
    assert waits[-1] is None
    for wait, step in zip(waits, (1, 2, 4, 8, 10, 10, 10), strict=False):
        assert wait is not None
        assert step / 2 <= wait <= step


def test_calls_side_by_side_get_their_own_answers(server: ModelServer) -> None:
    """One model serves several threads: each of 48 calls gets the answer to its own question."""
    server.respond = lambda request: stream(request.json()["messages"][0]["content"], gap=0.001)
    model = HttpModel(Endpoint(base_url=server.url))

    def ask(number: int) -> str:
        asks = ModelCall(model="m", messages=[{"role": "user", "content": f"number {number}"}])
        return reply(model(Call.of(KEYS._replace(input=number), asks))).text

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(48))) == [f"number {number}" for number in range(48)]
    assert server.idle()


def test_the_page_lists_every_failure_and_limit() -> None:
    """docs/live.md has a row for each kind of failure and each time limit, with its usual value."""
    page = (Path(__file__).parents[2] / "docs" / "live.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \|", page, re.MULTILINE)
    names = [name for name, _ in rows]
    assert [name for name in names if name in KINDS] == list(KINDS)
    usual = {name: f"{value:g} s" for name, value in asdict(Timeouts()).items()}
    assert {name: text for name, text in rows if name in usual} == usual
