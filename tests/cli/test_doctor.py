"""``frameengine doctor``: what is there, what is configured, and what makes a program irreproducible."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from cli_runs import Frameengine
from model_scripts import error
from model_server import ModelServer

KEY = "sk-planted-0123456789abcdef"
TWO = """
[endpoints.near]
base_url = "{url}"
key_env = "NEAR_KEY"
[endpoints.far]
base_url = "https://far.example/v1?code=zyxwvut987"
key_env = "FAR_KEY"
[models.default]
endpoint = "near"
model = "small"
[models.output]
endpoint = "far"
"""
AGENT = '''"""An agent."""

import datetime
import uuid


def prompt() -> str:
    """Return a prompt."""
    return f"{datetime.datetime.now()} {uuid.uuid4()}"
'''


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection to another machine, or to this one."""

    def refuse(*_: object) -> None:
        raise AssertionError("doctor touches the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("quiet")
def test_it_says_what_is_there_without_touching_the_network(frameengine: Frameengine) -> None:
    """Versions, extras, sandbox and that no model is configured are told, exit 0, and nothing is sent."""
    told = frameengine("doctor", "--json")
    assert (told.code, told.json["ok"], told.json["models"], told.json["problems"]) == (0, True, None, [])
    assert set(told.json["versions"]) == {"frameengine", "python", "platform"}
    assert set(told.json["extras"]) >= {"sql", "mariadb", "serve", "test", "tui"}
    assert told.json["sandbox"]["by"]
    done = frameengine("doctor")
    assert (done.code, "none are configured" in done.out) == (0, True)


@pytest.mark.usefixtures("quiet")
def test_endpoints_and_models_are_shown_without_keys(frameengine: Frameengine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each endpoint says its variable and whether it is set; no key and no value of a query is shown; a missing key is exit 1."""
    Path("frameengine.toml").write_text(TWO.format(url="http://near.example/v1"), encoding="utf-8")
    monkeypatch.setenv("NEAR_KEY", KEY)
    for arguments in (("doctor",), ("doctor", "--json")):
        done = frameengine(*arguments)
        assert done.code == 1
        for text in ("NEAR_KEY", "FAR_KEY", "http://near.example/v1", "small", "code=…", "FAR_KEY is not set"):
            assert text in done.out
        for secret in (KEY, KEY[:6], "zyxwvut987"):
            assert secret not in done.out
        assert str(len(KEY)) not in done.out.partition("models")[2]
    monkeypatch.setenv("FAR_KEY", KEY)
    assert frameengine("doctor").code == 0
    monkeypatch.setenv("FAR_KEY", "")
    assert frameengine("doctor").code == 1


def test_what_a_configuration_is_called_cannot_move_the_cursor(frameengine: Frameengine) -> None:
    """A name from a file that was found in the folder is shown as text, in every place where it stands."""
    Path("frameengine.toml").write_text(
        '[endpoints."a\\u001b[2J\\u0007[bold]"]\nbase_url = "http://h/v1"\nkey_env = "UNSET_KEY"\n[models."n\\u001b[31m"]\n',
        encoding="utf-8",
    )
    shown = frameengine("doctor").out
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert shown.count(r"a\x1b[2J\x07[bold]") >= 2
    assert r"n\x1b[31m" in shown


def test_reach_asks_each_endpoint_for_its_models(frameengine: Frameengine, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --reach an endpoint that answers, one that refuses the key and one that is not there are told apart."""
    with ModelServer() as server:
        text = f'[endpoints.a]\nbase_url = "{server.url}"\nkey_env = "A_KEY"\n[models.default]\nmodel = "m"\n'
        Path("frameengine.toml").write_text(text, encoding="utf-8")
        monkeypatch.setenv("A_KEY", KEY)
        good = frameengine("doctor", "--reach", "--json")
        assert (good.code, good.json["reached"]) == (0, {"a": "answers (200)"})
        request = server.requests[0]
        assert (request.method, request.path, request.header("authorization")) == ("GET", "/v1/models", f"Bearer {KEY}")
        server.enqueue(error(401, f"bad {KEY}"))
        refused = frameengine("doctor", "--reach", "--json")
        assert (refused.code, refused.json["reached"]["a"]) == (1, "refuses the key (401)")
        assert server.idle()
    gone = frameengine("doctor", "--reach")
    assert (gone.code, "cannot be reached" in gone.out) == (1, True)
    assert KEY not in good.out + refused.out + gone.out


def test_a_configuration_that_cannot_be_used_is_told(frameengine: Frameengine) -> None:
    """A broken file is exit 2 with its problems and lines, as for a live run."""
    Path("frameengine.toml").write_text("[endpoints.a]\nbase_url = 3\ncolour = 1\n", encoding="utf-8")
    done = frameengine("doctor")
    assert (done.code, "line 2" in done.err, "line 3" in done.err) == (2, True, True)


def test_a_program_s_sources_of_chance_are_named(frameengine: Frameengine) -> None:
    """Clock and ids in a program are told with file and line, and what to do instead; exit 1. A program without any is exit 0."""
    Path("agent.py").write_text(AGENT, encoding="utf-8")
    told = frameengine("doctor", "agent.py", "--json")
    assert told.code == 1
    assert {(found["file"], found["line"]) for found in told.json["findings"]} == {("agent.py", 9)}
    assert len(told.json["findings"]) == 2
    assert all(found["instead"] for found in told.json["findings"])
    done = frameengine("doctor", "agent.py")
    assert (done.code, "agent.py:9" in done.out) == (1, True)
    Path("calm.py").write_text('"""Nothing."""\n\nX = 1\n', encoding="utf-8")
    assert frameengine("doctor", "calm.py").code == 0
    assert frameengine("doctor", "not-there.py").code == 2
