"""Fourteen places where a secret may come into a live run, in seven spellings each: none reaches a file, a screen or an error."""

from __future__ import annotations

import gzip
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from canaries import PLACES, SPELLINGS, canary, found, spelled
from cli_runs import Frameengine
from model_scripts import Request, Script, answer, completion, error, stream
from model_server import ModelServer

SENT = ("header", "query", "cookie", "userinfo")
"""Places of the configuration: what stands there is sent, or refused, and comes back in errors and replies."""
TYPED = ("body", "env", "webhook", "traceback", "stdout", "row")
"""Places whose secrets are in what the user says."""
CONFIGURATION = """
[endpoints.a]
base_url = "{url}?code={code}"
key_env = "CANARY_HEADER_KEY"
headers_env = {{ Cookie = "CANARY_COOKIE_KEY" }}
retry = {{ attempts = 1 }}
stream = {stream}
[models.default]
model = "m"
"""


def said(place: str, spelling: str) -> str:
    """Return what the user says to plant a secret, or to be answered with one."""
    text = f"see {spelled(place, spelling)} there" if place in TYPED else "what is it?"
    shapes = {
        "traceback": f'File "x.py", line 1\nValueError: {text}',
        "stdout": f"$ env\n{text}",
        "row": json.dumps([{"id": text}]),
    }
    return f"{place}/{spelling} {shapes.get(place, text)}"


def answered(request: Request) -> Script:
    """Answer with the secret that the last message names, in the way of its place."""
    if request.method == "GET":
        return answer(json.dumps({"data": [canary("response")]}))
    asked = request.json()
    place, spelling = asked["messages"][-1]["content"].split()[0].split("/")
    text = f"it is {spelled(place, spelling)} indeed"
    if place in ("header", "query", "error", "traceback"):
        return error(401, text)
    if place == "gzip":
        body = json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]})
        return answer(gzip.compress(body.encode()), headers=[("content-encoding", "gzip")])
    return stream(text) if asked["stream"] else completion(text)


@pytest.mark.parametrize("streamed", ["true", "false"])
def test_no_canary_reaches_anything_that_is_written(
    frameengine: Frameengine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streamed: str
) -> None:
    """98 secrets come in by configuration, user and model: trace, JSON, screens, errors, HTML and zst hold none."""
    for place in PLACES:
        monkeypatch.setenv(f"CANARY_{place.upper()}_KEY", canary(place))
    texts = [said(place, spelling) for place in PLACES for spelling in SPELLINGS]
    with ModelServer(answered) as server:
        text = CONFIGURATION.format(url=server.url, code=quote(canary("query"), safe=""), stream=streamed)
        Path("frameengine.toml").write_text(text, encoding="utf-8")
        spoken = [part for text in texts for part in ("-m", text)]
        ran = frameengine("run", "--graph", "tool-loop", *spoken, "--live", "-o", "x.trace.jsonl", "--json")
        shown = frameengine("run", "--graph", "tool-loop", *spoken[:40], "--live", "-o", "y.trace.jsonl")
        lines = "".join([" ".join(text.split()) + "\n" for text in texts]).encode()
        chatted = frameengine("chat", "--graph", "tool-loop", "--live", "--json", "-o", "z.trace.jsonl", stdin=lines)
        told = frameengine("doctor", "--reach", "--json")
        # What is sent is the real thing; only an escape is lost, where a text that is no JSON holds one.
        assert canary("header") in server.requests[0].header("authorization")
        assert server.requests[0].header("cookie") == canary("cookie")
        sent = json.dumps([request.json()["messages"][-1]["content"] for request in server.requests[: len(texts)]])
        lost = [text for text in texts if json.dumps(text)[1:-1] not in sent]
        assert {text.split()[0].split("/")[1] for text in lost} == {"json", "raw"}
    bad = f"http://user:{quote(canary('userinfo'), safe='')}@127.0.0.1:9/v1"
    Path("bad.toml").write_text(f'[endpoints.a]\nbase_url = "{bad}"\n', encoding="utf-8")
    refused = frameengine("run", "--graph", "tool-loop", "-m", "hi", "--live", "--models", "bad.toml")
    assert (ran.code, chatted.code, told.code, refused.code) == (1, 1, 0, 2)
    assert ran.json["counts"]["inputs"] == len(texts) == 98
    for place in PLACES:
        monkeypatch.delenv(f"CANARY_{place.upper()}_KEY")
    again = frameengine("replay", "x.trace.jsonl", "--json")
    assert (again.code, again.json["verdict"]) == (0, "same")
    frameengine("export", "zst", "x.trace.jsonl", "-o", "x.zst.trace.jsonl.zst")
    frameengine("diff", "x.trace.jsonl", "y.trace.jsonl", "--html", "diff.html")
    written = {path.name: path.read_bytes() for path in sorted(Path().iterdir()) if path.suffix not in (".toml", ".zst")}
    assert set(written) == {"x.trace.jsonl", "y.trace.jsonl", "z.trace.jsonl", "diff.html"}
    for name, done in (("run", ran), ("shown", shown), ("chat", chatted), ("doctor", told), ("refused", refused)):
        written[name] = (done.out + done.err).encode()
    for arguments in (
        ("show", "x.trace.jsonl@20"),
        ("show", "x.trace.jsonl", "--json"),
        ("show", "x.zst.trace.jsonl.zst@90.1", "--full"),
    ):
        done = frameengine(*arguments)
        assert done.code == 0
        written[" ".join(arguments)] = (done.out + done.err).encode()
    hits = {(name, place): found(data, place) for name, data in written.items() for place in PLACES}
    assert {where: spellings for where, spellings in hits.items() if spellings} == {}


def test_a_secret_in_a_row_of_a_live_database_is_replaced(
    frameengine: Frameengine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tool of a live run that returns a secret leaves none in the trace, and the next node still works with a placeholder."""
    monkeypatch.setenv("CANARY_ROW_KEY", canary("row"))
    with closing(sqlite3.connect("shop.sqlite")) as shop:
        shop.execute("CREATE TABLE notes (text TEXT)")
        shop.executemany("INSERT INTO notes VALUES (?)", [(f"see {spelled('row', spelling)} there",) for spelling in SPELLINGS])
        shop.commit()
    plan = {"tool_sequence": [{"tool": "query_db", "args": {"query": "SELECT text FROM notes", "database": "shop"}}]}
    plan["response_hint"] = "tell"  # type: ignore[assignment]

    def respond(request: Request) -> Script:
        asked = json.dumps(request.json()["messages"])
        return completion(json.dumps(plan) if "tool_sequence" in asked else "Fine.")

    with ModelServer(respond) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        done = frameengine(
            "run",
            "--graph",
            "v3-framed",
            "-m",
            "list the notes",
            "--live",
            "--database",
            "shop=shop.sqlite",
            "-o",
            "x.trace.jsonl",
        )
        real = json.dumps([request.json()["messages"] for request in server.requests])
    data = Path("x.trace.jsonl").read_bytes()
    assert b"SELECT text FROM notes" in data
    assert b"[secret:" in data
    assert found(data + (done.out + done.err).encode(), "row") == []
    assert json.dumps(canary("row"))[1:-1] in real or found(real.encode(), "row")
    assert frameengine("replay", "x.trace.jsonl").code == 0
