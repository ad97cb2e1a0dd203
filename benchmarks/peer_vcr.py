"""Answering calls from a cassette of vcrpy's, recorded from a server on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import TYPE_CHECKING

from benchmarks.measure import rounds, timed
from benchmarks.pipeline import padded

if TYPE_CHECKING:
    import httpx

INTERACTIONS = 100
ROUNDS = 3
MATCH_ON = ("method", "scheme", "host", "port", "path", "query", "body")
"""vcrpy's default, and the body: without it, any reply of the server would do for any question."""


def seconds_a_call(folder: Path) -> float:
    """Return the seconds a call takes, over all calls of the cassette in their order.

    Loading the cassette is not counted. The client's own work is, as vcrpy answers below it.
    """
    import httpx
    import vcr

    with TemporaryDirectory(dir=folder) as inner, httpx.Client(trust_env=False) as client:
        tape = vcr.VCR(match_on=MATCH_ON, cassette_library_dir=inner)
        with _server() as url, tape.use_cassette("calls.yaml", record_mode="once"):
            _ask(client, url)

        def replay() -> float:
            with tape.use_cassette("calls.yaml", record_mode="none") as cassette:
                seconds = timed(lambda: _ask(client, url))
                assert cassette.play_count == INTERACTIONS
            return seconds / INTERACTIONS

        return rounds({"vcrpy": replay}, ROUNDS).median("vcrpy")


def _ask(client: httpx.Client, url: str) -> None:
    for number in range(INTERACTIONS):
        body = {"model": "m", "messages": [{"role": "user", "content": padded(f"request {number}")}]}
        client.post(url, json=body).raise_for_status()


@contextmanager
def _server() -> Iterator[str]:
    """Serve on a free port of loopback for as long as the cassette is recorded; the replays have nobody to ask."""
    with HTTPServer(("127.0.0.1", 0), _Model) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1/chat/completions"
        finally:
            server.shutdown()
            thread.join()


class _Model(BaseHTTPRequestHandler):
    """Gives the same chat completion to all."""

    def do_POST(self) -> None:
        """Read the request and reply."""
        self.rfile.read(int(self.headers["Content-Length"]))
        message = {"role": "assistant", "content": padded("reply")}
        data = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
