"""Proxies for tests: a recording one before a model server, and one that answers from what was recorded."""

from __future__ import annotations

import json
import lzma
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from frameengine.exchanges.book import Book, Match
from frameengine.exchanges.recorder import ExchangeRecorder
from frameengine.performers.proxy_http import Upstream
from frameengine_cli.proxying.record import record_app
from frameengine_cli.proxying.replay import replay_app
from frameengine_cli.proxying.server import background, listen, url_of
from model_scripts import Head, Header, Script, Send

CHAT = "/v1/chat/completions"
TYPED = [("content-type", "application/json")]
CLIENTS: list[Client] = []
"""Those that a test has made; `close_clients` closes them."""
STALE = frozenset({"content-encoding", "content-length", "transfer-encoding", "connection", "keep-alive", "date"})
"""Headers of a recorded answer that do not hold for its body as it is kept in the data."""


@contextmanager
def recording(upstream: str | Upstream, path: Path, **more: Any) -> Iterator[str]:
    """Record what passes on the way to *upstream*; yield the proxy's address. The trace is sealed at the end."""
    with ExchangeRecorder(path, provenance={"recorded": "proxy"}, **more) as recorder, listen() as listener:
        with background(record_app(recorder, upstream), [listener]):
            yield url_of(listener)
        recorder.seal()


@contextmanager
def replaying(path: Path, *, match: Match = "exact", speed: float | None = None) -> Iterator[tuple[str, Book]]:
    """Answer from a recording; yield the proxy's address, and the book."""
    book = Book.read(path, match=match)
    with listen() as listener, background(replay_app(book, speed=speed), [listener]):
        yield url_of(listener), book


def exchanges(data_dir: Path, folder: str) -> list[dict[str, Any]]:
    """Return the exchanges of a folder of the data."""
    with lzma.open(data_dir / folder / "exchanges.jsonl.xz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def request_of(exchange: dict[str, Any]) -> tuple[str, str, list[Header], bytes]:
    """Return method, path with query, headers and body of an exchange of the data."""
    request = exchange["request"]
    parts = urlsplit(request["url"])
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    skip = {*STALE, "host", "accept-encoding"}
    headers = [(name, value) for name, values in request["headers"].items() for value in values if name.lower() not in skip]
    return request["method"], target, headers, (request["body"] or "").encode()


def script_of(exchange: dict[str, Any], cuts: tuple[int, ...]) -> Script:
    """Return the answer of an exchange of the data as a script, its body cut at *cuts*."""
    response = exchange["response"]
    headers = [(name, value) for name, values in response["headers"].items() for value in values if name.lower() not in STALE]
    framing: Any = "chunked" if exchange["meta"]["sse"] else "length"
    return [Head(response["status"], tuple(headers), framing), Send(response["body"].encode(), cuts)]


class Process:
    """A ``frameengine proxy`` command that runs."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        """Start it, and wait until it says where it listens."""
        command = [sys.executable, "-m", "frameengine_cli", "proxy", *arguments, "--json"]
        pipe = subprocess.PIPE
        self.child = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env={**os.environ, **environment})
        assert self.child.stdout is not None
        ready, _, _ = select.select([self.child.stdout], [], [], 60)
        line = self.child.stdout.readline() if ready else ""
        if not line:
            self.child.kill()
            raise AssertionError(f"the proxy does not start: {self.child.communicate()}")
        self.started = json.loads(line)
        self.url: str = self.started.get("url", "")

    def end(self, number: signal.Signals = signal.SIGINT) -> tuple[int, dict[str, Any], str]:
        """Send a signal; return exit code, receipt and stderr."""
        self.child.send_signal(number)
        out, error = self.child.communicate(timeout=60)
        return self.child.returncode, json.loads(out) if out else {}, error


def close_clients() -> None:
    """Close every connection that a test has opened."""
    while CLIENTS:
        CLIENTS.pop().close()


class Client:
    """One connection, and what comes over it as it is."""

    def __init__(self, url: str) -> None:
        self._connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
        CLIENTS.append(self)

    def ask(
        self, method: str, target: str, body: bytes = b"", headers: Sequence[Header] = ()
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request; return status, headers and body."""
        self._connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in headers:
            self._connection.putheader(name, value)
        if body or method == "POST":
            self._connection.putheader("content-length", str(len(body)))
        self._connection.endheaders(body)
        response = self._connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()

    def chat(self, content: Any, **more: Any) -> tuple[int, dict[str, str], bytes]:
        """Ask a model."""
        body = {"model": "m", "messages": [{"role": "user", "content": content}], **more}
        return self.ask("POST", CHAT, json.dumps(body).encode(), TYPED)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
