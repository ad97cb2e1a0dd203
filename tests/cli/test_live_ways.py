"""Live runs by a proxy and with certificates of one's own, where keys go, and what ``doctor --reach`` makes of an answer."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli_runs import Frameengine
from frameengine_cli.endpoints import onward
from http_proxies import HOST, HttpProxy, certified
from model_scripts import Script, answer, error
from model_server import ModelServer
from proxies import CHAT, Client, recording

KEY = "sk-planted-0123456789abcdef"
GONE = "http://127.0.0.1:9"
"""A proxy where nobody is."""
RUN = ("run", "--graph", "tool-loop", "-m", "hello", "--live", "--force", "-o", "x.trace.jsonl")


@pytest.fixture
def server(frameengine: Frameengine, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    """Serve for one test, which may stop it; the usual variables lead there."""
    with ModelServer() as started:
        monkeypatch.setenv("OPENAI_BASE_URL", started.url)
        monkeypatch.setenv("OPENAI_MODEL", "m")
        yield started


def write(text: str) -> None:
    """Write the file of this folder."""
    Path("frameengine.toml").write_text(text, encoding="utf-8")


def test_a_run_by_proxy_and_private_certificate_replays_offline(
    frameengine: Frameengine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """HTTPS_PROXY and SSL_CERT_FILE lead a live run to its endpoint; doctor shows both; the replay asks neither, nor a socket."""
    context, certificate = certified(tmp_path)
    write(f'[endpoints.a]\nbase_url = "https://{HOST}/v1"\nkey_env = "A_KEY"\n[models.default]\nmodel = "m"\n')
    monkeypatch.setenv("A_KEY", KEY)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with ModelServer(tls=context) as server, HttpProxy({HOST: server.port}, user="me:pass-word") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("://", "://me:pass-word@"))
        done = frameengine(*RUN)
        told = frameengine("doctor", "--reach")
        as_json = frameengine("doctor", "--json").json["models"]["endpoints"]["a"]
        assert (done.code, told.code) == (0, 0), done.err + told.out
        assert proxy.asked == [f"CONNECT {HOST}:443 HTTP/1.1"] * 2
        address = proxy.url
    assert (as_json["proxy"], as_json["ca_file"]) == (address, str(certificate))
    assert f"by {address}" in told.out
    assert "answers (200)" in " ".join(told.out.split())
    written = done.out + done.err + told.out + str(as_json) + Path("x.trace.jsonl").read_text(encoding="utf-8")
    assert "pass-word" not in written
    assert KEY not in written
    asked = len(proxy.asked)

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert frameengine("replay", "x.trace.jsonl").code == 0
    assert len(proxy.asked) == asked


def test_this_machine_is_reached_without_a_proxy(
    server: ModelServer, frameengine: Frameengine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the environment says, a server on this machine is asked directly, also by the recording proxy."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, GONE)
    assert frameengine(*RUN).code == 0
    with recording(server.url, Path("y.trace.jsonl")) as url:
        assert Client(url).ask("POST", CHAT, b'{"messages": [{"role": "user", "content": "hi"}]}')[0] == 200
    assert len(server.requests) == 2


def test_the_recording_proxy_goes_on_by_the_proxy(tmp_path: Path) -> None:
    """An upstream elsewhere is reached by the proxy that the environment names, and a password of it is known as a secret."""
    with ModelServer() as server, HttpProxy({HOST: server.port}, user="me:pass-word") as proxy:
        way = onward(f"http://{HOST}/v1", {"HTTP_PROXY": proxy.url.replace("://", "://me:pass-word@")})
        with recording(way, tmp_path / "x.trace.jsonl") as url:
            got = Client(url).ask("POST", CHAT, b'{"messages": [{"role": "user", "content": "hi"}]}')
        assert (got[0], b"You said: hi" in got[2]) == (200, True)
    assert proxy.asked == [f"POST http://{HOST}{CHAT} HTTP/1.1"]
    assert set(way.secrets) == {"me", "pass-word"}


# ---------------------------------------------------------------------- where keys go

SAID = "; --models frameengine.toml says that it is meant"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('base_url = "https://api.openai.com/v1"\nkey_env = "OPENAI_API_KEY"', ""),
        ('base_url = "https://eu.api.openai.com/v1"\nkey_env = "OPENAI_API_KEY"', ""),
        ('base_url = "https://mine.openai.azure.com/v1"\nheaders_env = { api-key = "AZURE_OPENAI_API_KEY" }', ""),
        ('base_url = "http://localhost:8080/v1"\nkey_env = "OPENAI_API_KEY"', ""),
        ('base_url = "https://gw.example/v1"', ""),
        ('base_url = "https://gw.example/v1"\nkey_env = "UNSET_KEY"', ""),
        ('base_url = "https://gw.example/v1"\nkey_env = "OPENAI_API_KEY"', "sends OPENAI_API_KEY to https://gw.example"),
        ('base_url = "https://notapi.openai.com.example/v1"\nkey_env = "OPENAI_API_KEY"', "to https://notapi.openai.com.example"),
        ('base_url = "http://api.openai.com/v1"\nkey_env = "OPENAI_API_KEY"', "sends OPENAI_API_KEY to http://api.openai.com"),
        ('base_url = "https://api.openai.com/v1"\nkey_env = "GITHUB_TOKEN"', "sends GITHUB_TOKEN to https://api.openai.com"),
        (
            'base_url = "https://gw.example/v1"\nkey_env = "OPENAI_API_KEY"\nheaders_env = { X-Two = "GITHUB_TOKEN" }',
            "sends OPENAI_API_KEY, GITHUB_TOKEN to https://gw.example",
        ),
        (
            'base_url = "https://api.openai.com/v1"\nkey_env = "OPENAI_API_KEY"\nproxy = "http://p.test:1"\nca_file = "ca.pem"',
            "sends OPENAI_API_KEY to https://api.openai.com by the proxy http://p.test:1, trusting ca.pem",
        ),
    ],
)
def test_where_a_file_that_was_found_sends_keys_is_said(
    frameengine: Frameengine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lines: str, told: str
) -> None:
    """A key that goes elsewhere than to its own endpoint is named with the place, once; a file that was named is meant."""
    certified(tmp_path)
    for name in ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "GITHUB_TOKEN"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setenv("NO_PROXY", "*")
    write(f"[endpoints.a]\n{lines}\n[models.default]\nmodel = 'm'\n")
    found = frameengine("doctor")
    assert (told in found.err, found.err.count(SAID)) == (True, int(bool(told))), found.err
    assert KEY not in found.out + found.err
    assert frameengine("doctor", "--models", "frameengine.toml").err == ""


def test_where_keys_go_is_said_before_the_first_call(
    frameengine: Frameengine, monkeypatch: pytest.MonkeyPatch, weather: Path
) -> None:
    """Runs and reruns say it on stderr, once each, and go on."""
    write(f'[endpoints.a]\nbase_url = "http://{HOST}/v1"\nkey_env = "OPENAI_API_KEY"\n[models.default]\nmodel = "m"\n')
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ModelServer() as server, HttpProxy({HOST: server.port}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        for command in (RUN, ("rerun", weather, "--graph", "tool-loop", "--on-miss", "live", "--allow-unused")):
            assert frameengine(*command).err.count(f"sends OPENAI_API_KEY to http://{HOST}{SAID}") == 1


# ---------------------------------------------------------------------- doctor --reach

PAGE = [("content-type", "text/html")]


@pytest.mark.parametrize(
    ("script", "code", "told"),
    [
        (answer('{"data": []}'), 0, "answers (200)"),
        (answer(" [1]"), 0, "answers (200)"),
        (answer("<html>Welcome</html>", headers=PAGE), 1, "with no list of models: check the base URL"),
        (answer(""), 1, "with no list of models"),
        (answer("", 302, [("location", "http://127.0.0.2:9/v1/models")]), 1, "sends on to another place (302)"),
        (error(404, "no"), 0, "answers (404): no list of models is there"),
        (error(400, "no"), 1, "answers with an error (400)"),
        (error(429, "no"), 1, "answers with an error (429)"),
        (error(403, "no"), 1, "refuses the key (403)"),
        (error(407, "no"), 1, "the proxy wants a password (407)"),
        (error(503, "no"), 1, "answers with an error (503)"),
    ],
)
def test_only_an_endpoint_that_may_answer_calls_is_well(
    server: ModelServer, frameengine: Frameengine, script: Script, code: int, told: str
) -> None:
    """A web page, a redirect, an error or a proxy's refusal is no endpoint, whatever its status; exit 1 then."""
    server.enqueue(script)
    done = frameengine("doctor", "--reach")
    assert (done.code, told in done.out) == (code, True), done.out
    assert ("all is well" in done.out) is (code == 0)
    assert server.idle()
