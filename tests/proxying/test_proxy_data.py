"""Real exchanges of many services through both proxies: the same bytes when recorded, and the same from the recording."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from frameengine.trace.verify import verify
from model_server import ModelServer
from proxies import Client, close_clients, exchanges, recording, replaying, request_of, script_of


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close what a test has opened."""
    yield
    close_clients()


def passed_and_answered_again(recorded: list[dict[str, Any]], path: Path) -> None:
    """Send recorded exchanges through a recording proxy and ask again of the recording, comparing every byte."""
    chance = random.Random(7)
    with ModelServer() as server:
        with recording(server.url, path) as url:
            client = Client(url)
            for exchange in recorded:
                body = exchange["response"]["body"].encode()
                cuts = tuple(chance.sample(range(len(body) + 1), min(len(body), chance.randrange(9))))
                server.enqueue(script_of(exchange, cuts))
                method, target, headers, sent = request_of(exchange)
                status, _, got = client.ask(method, target, sent, headers)
                assert (status, got) == (exchange["response"]["status"], body), exchange["id"]
                assert server.requests[-1].body == sent, exchange["id"]
                assert server.requests[-1].path == target
        assert len(server.requests) == len(recorded)
    assert verify(path).counts.calls == len(recorded)
    with replaying(path) as (url, book):
        client = Client(url)
        for exchange in recorded:
            method, target, headers, sent = request_of(exchange)
            status, got_headers, got = client.ask(method, target, sent, headers)
            assert (status, got) == (exchange["response"]["status"], exchange["response"]["body"].encode()), exchange["id"]
            kinds = [
                value
                for name, values in exchange["response"]["headers"].items()
                for value in values
                if name.lower() == "content-type"
            ]
            assert got_headers.get("content-type", "") == ", ".join(kinds), exchange["id"]
        assert (book.receipt().verdict, book.ambiguous) == ("same", 0)


@pytest.mark.data
def test_every_exchange_of_other_protocols_passes_unchanged_and_is_answered_again(data_dir: Path, tmp_path: Path) -> None:
    """Anthropic, responses and Gemini: the same bytes when recorded, and the same again."""
    recorded = exchanges(data_dir, "http-other-protocols")
    assert len(recorded) == 613
    passed_and_answered_again(recorded, tmp_path / "x.trace.jsonl")


@pytest.mark.data
def test_a_sample_of_chat_exchanges_passes_unchanged_and_is_answered_again(data_dir: Path, tmp_path: Path) -> None:
    """As for the other protocols, chat completions: every seventh, streams and errors among them."""
    passed_and_answered_again(exchanges(data_dir, "http-openai-chat")[::7], tmp_path / "x.trace.jsonl")


@pytest.mark.data
@pytest.mark.nightly
def test_every_chat_exchange_passes_unchanged_and_is_answered_again(data_dir: Path, tmp_path: Path) -> None:
    """All 1,142 of them."""
    recorded = exchanges(data_dir, "http-openai-chat")
    assert len(recorded) == 1_142
    passed_and_answered_again(recorded, tmp_path / "x.trace.jsonl")
