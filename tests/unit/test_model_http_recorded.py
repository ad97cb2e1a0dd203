"""Every recorded chat exchange, read as the transport reads it: equal whatever the cut, and no error passes for an answer."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from frameengine.effects import Call, ModelCall, ModelReply, Outcome
from frameengine.performers.model_http import Endpoint, HttpModel, Retry, read
from model_scripts import Head, Send
from model_server import ModelServer
from toy import key

CUTS = (0, 1, 7, 60)
"""Random places at which each body is cut, in turn."""
BYTEWISE_MAX = 4_000
"""Bytes of a body up to which it is also fed byte by byte."""
UNFINISHED = 3
"""Streams in which an endpoint reports an error under status 200."""
EMPTY_BODIES = 2
"""Answers of status 200 whose body is empty."""


@cache
def exchanges(folder: Path) -> Sequence[Mapping[str, Any]]:
    """Return all recorded exchanges."""
    with lzma.open(folder / "http-openai-chat" / "exchanges.jsonl.xz") as lines:
        return [json.loads(line) for line in lines]


def headers(exchange: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers of the response, the first value of each."""
    return {name.lower(): values[0] for name, values in exchange["response"]["headers"].items() if values}


def cut(data: bytes, chance: Random, count: int) -> Iterator[bytes]:
    """Yield *data* in pieces, cut at random places."""
    for start, end in pairwise([0, *sorted(chance.randrange(len(data) + 1) for _ in range(count)), len(data)]):
        yield data[start:end]


def expected_text(body: str) -> str:
    """Return the text of a recorded stream by the simplest reading that works for whole ones."""
    text = ""
    for line in body.replace("\r\n", "\n").split("\n"):
        if line.startswith("data:") and line.removeprefix("data:").strip() != "[DONE]":
            for choice in json.loads(line.removeprefix("data:")).get("choices") or ():
                content = (choice.get("delta") or {}).get("content")
                if choice.get("index") == 0:
                    text += content if isinstance(content, str) else _parts(content)
    return text


def _parts(content: Any) -> str:
    return "".join(part.get("text", "") for part in content or () if isinstance(part.get("text"), str))


@pytest.mark.data
def test_every_exchange_reads_the_same_however_it_is_cut(data_dir: Path) -> None:
    """All 1,142 bodies, cut anywhere, come to one outcome each: the message as it came, the text of the stream, or a failure."""
    kinds: dict[str, int] = {}
    for exchange in exchanges(data_dir):
        response, data = exchange["response"], exchange["response"]["body"].encode()
        chance = Random(exchange["id"])
        outcomes = [read(response["status"], headers(exchange), cut(data, chance, count)) for count in CUTS]
        if len(data) <= BYTEWISE_MAX:
            outcomes.append(read(response["status"], headers(exchange), [data[at : at + 1] for at in range(len(data))]))
        assert len({outcome.digest for outcome in outcomes}) == 1, exchange["id"]
        kind = _check(exchange, outcomes[0])
        kinds[kind] = kinds.get(kind, 0) + 1
    failed = {kind: count for kind, count in kinds.items() if kind.startswith("model.")}
    assert sum(kinds.values()) == 1142
    assert failed == {"model.provider_error": 22 + UNFINISHED, "model.rate_limited": 3, "model.bad_response": EMPTY_BODIES}


def _check(exchange: Mapping[str, Any], outcome: Outcome) -> str:
    """Compare one outcome with the recording; return its kind."""
    response, body = exchange["response"], exchange["response"]["body"]
    if outcome.error is not None:
        assert outcome.status == "error"
        assert response["status"] >= 400 or not body or '"error":' in body, exchange["id"]
        return str(outcome.error.type)
    assert response["status"] == 200
    assert isinstance(outcome.value, ModelReply)
    assert "\ufffd" in body or "replaced" not in str(outcome.meta.get("warnings"))
    calls = outcome.value.tool_calls
    if exchange["meta"]["sse"]:
        assert outcome.value.text == expected_text(body), exchange["id"]
        for call in calls:
            assert f'"{call["function"]["name"]}"' in body
            assert json.loads(call["function"]["arguments"] or "{}") is not None
    else:
        first = json.loads(body)["choices"][0]
        assert json.loads(json.dumps(outcome.value.message)) == first["message"], exchange["id"]
        assert outcome.value.finish_reason == (first.get("finish_reason") or "unknown")
    assert bool(calls) == bool(exchange["meta"]["response_tool_calls"]), exchange["id"]
    return "stream" if exchange["meta"]["sse"] else "body"


@pytest.mark.data
def test_exchanges_over_a_socket_come_to_the_same(data_dir: Path) -> None:
    """Recorded answers that a server plays, cut at random, are those that come of their bytes; nothing is left open."""
    chance = Random(1)
    chosen = [exchange for exchange in exchanges(data_dir) if exchange["meta"]["sse"]] + chance.sample(exchanges(data_dir), 60)
    with ModelServer() as server:
        model = HttpModel(Endpoint(base_url=server.url, retry=Retry(attempts=1)))
        call = Call.of(key("model"), ModelCall(model="", messages=[{"role": "user", "content": "hello"}]))
        for exchange in chosen:
            response, data = exchange["response"], exchange["response"]["body"].encode()
            kept = tuple((name, value) for name, value in headers(exchange).items() if name in ("content-type", "retry-after"))
            cuts = tuple(chance.randrange(len(data) + 1) for _ in range(9))
            server.enqueue([Head(response["status"], kept, "chunked"), Send(data, at=cuts)])
            mine, read_back = model(call), read(response["status"], headers(exchange), [data])
            if read_back.error is None:
                assert mine.digest == read_back.digest, exchange["id"]
            else:
                assert mine.error is not None
                assert mine.error.type == read_back.error.type
        assert server.idle()


@pytest.mark.data
@pytest.mark.nightly
def test_every_stream_cut_in_two_comes_to_the_same(data_dir: Path) -> None:
    """Each recorded stream, cut in two at 200 places all over it, comes to the outcome of the whole."""
    for exchange in exchanges(data_dir):
        if exchange["meta"]["sse"]:
            status, data = exchange["response"]["status"], exchange["response"]["body"].encode()
            whole = read(status, headers(exchange), [data]).digest
            for place in range(0, len(data), max(1, len(data) // 200)):
                assert read(status, headers(exchange), [data[:place], data[place:]]).digest == whole, (exchange["id"], place)


@pytest.mark.data
def test_a_stream_that_is_cut_short_is_never_an_answer(data_dir: Path) -> None:
    """A recorded stream that ends before its end mark is a failure, wherever it ends."""
    chance = Random(2)
    for exchange in exchanges(data_dir):
        if exchange["meta"]["sse_done"]:
            data = exchange["response"]["body"].encode()
            for _ in range(4):
                outcome = read(200, headers(exchange), [data[: chance.randrange(data.rindex(b"[DONE]"))]])
                assert outcome.status == "error", exchange["id"]
