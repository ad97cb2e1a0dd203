"""The way to an endpoint: by a proxy, with certificates of one's own, over several addresses; and which way it is."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from frameengine.effects import Call, EffectFailure, EffectKey, ModelCall, Outcome
from frameengine.errors import UsageError
from frameengine.performers.model_http import Endpoint, HttpModel, Timeouts
from frameengine.performers.model_http.wire import Watch
from frameengine.performers.ways import proxy_of
from http_proxies import HOST, HttpProxy, certified
from model_scripts import Hang, stream
from model_server import ModelServer

KEY = "sk-planted-0123456789"
PROXY = "http://proxy.example:3128"


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ModelServer, Path]]:
    """Serve over TLS, with a certificate that no system knows."""
    context, certificate = certified(tmp_path_factory.mktemp("tls"))
    with ModelServer(tls=context) as server:
        yield server, certificate


def call(text: str = "hello") -> Call:
    """Return a model call."""
    return Call.of(EffectKey(1, 1, "model", 0), ModelCall(model="m", messages=[{"role": "user", "content": text}], show=True))


def ask(endpoint: Endpoint, **more: Any) -> Outcome:
    """Return what comes of one call; nobody waits between two tries."""
    return HttpModel(endpoint, sleep=lambda _: None)(call(**more))


def failure(outcome: Outcome) -> EffectFailure:
    """Return the failure of an outcome that has one."""
    assert outcome.error is not None, outcome
    return outcome.error


# ---------------------------------------------------------------------- which way


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        ("https://a.example/v1", {}, ""),
        ("https://a.example/v1", {"HTTPS_PROXY": PROXY}, PROXY),
        ("https://a.example/v1", {"HTTPS_PROXY": "proxy.example:3128"}, PROXY),
        ("https://a.example/v1", {"HTTPS_PROXY": "http://me:pass@proxy.example"}, "http://me:pass@proxy.example"),
        ("https://a.example/v1", {"https_proxy": PROXY, "HTTPS_PROXY": "http://other.example"}, PROXY),
        ("https://a.example/v1", {"HTTP_PROXY": PROXY}, ""),
        ("http://a.example/v1", {"HTTP_PROXY": PROXY}, PROXY),
        ("http://a.example/v1", {"all_proxy": PROXY, "http_proxy": ""}, PROXY),
        ("https://a.example/v1", {"ALL_PROXY": PROXY, "NO_PROXY": "b.example, a.example"}, ""),
        ("https://x.a.example/v1", {"ALL_PROXY": PROXY, "NO_PROXY": "a.example"}, ""),
        ("https://xa.example/v1", {"ALL_PROXY": PROXY, "NO_PROXY": "a.example,.a.example,*.a.example"}, PROXY),
        ("https://a.example:8443/v1", {"ALL_PROXY": PROXY, "NO_PROXY": "a.example:443"}, PROXY),
        ("https://a.example/v1", {"ALL_PROXY": PROXY, "NO_PROXY": "A.Example:443"}, ""),
        ("http://10.1.2.3/v1", {"ALL_PROXY": PROXY, "NO_PROXY": "10.0.0.0/8"}, ""),
        ("http://11.1.2.3/v1", {"ALL_PROXY": PROXY, "NO_PROXY": "10.0.0.0/8,::1"}, PROXY),
        ("http://[fd00::1]/v1", {"ALL_PROXY": PROXY, "NO_PROXY": "[fd00::1]"}, ""),
        ("https://a.example/v1", {"ALL_PROXY": PROXY, "NO_PROXY": "*"}, ""),
        ("https://a.example/v1", {"ALL_PROXY": PROXY, "NO_PROXY": ",*.,"}, PROXY),
        *[(f"http://{host}/v1", {"ALL_PROXY": PROXY}, "") for host in ("localhost:1", "x.localhost", "127.0.0.9:80", "[::1]")],
        ("http://localhost.example/v1", {"ALL_PROXY": PROXY}, PROXY),
    ],
)
def test_the_usual_variables_say_the_proxy(url: str, environment: Mapping[str, str], proxy: str) -> None:
    """The scheme chooses the variable, NO_PROXY lists hosts, domains and networks, and no proxy leads to this machine."""
    assert proxy_of(url, environment) == proxy


@pytest.mark.parametrize("value", ["socks5://me:hunter2hunter2@h:1", "http://", "http://h/path", "http://h:1?x", "a b"])
def test_a_variable_that_is_no_proxy_for_http_is_named(value: str) -> None:
    """The error names the variable and the way out, and repeats no password."""
    with pytest.raises(UsageError, match="HTTPS_PROXY is no proxy for HTTP") as refused:
        proxy_of("https://a.example/v1", {"HTTPS_PROXY": value})
    assert "NO_PROXY=a.example" in refused.value.hint
    assert "hunter2" not in f"{refused.value} {refused.value.hint} {refused.value.fields}"


def test_an_endpoint_refuses_a_way_that_there_is_not() -> None:
    """A proxy that is none, and one to this machine itself, are refused where they are said, unseen."""
    for url, proxy in (("https://a.example/v1", "socks5://x:hunter2hunter2@h"), ("http://127.0.0.1:1/v1", PROXY)):
        with pytest.raises(UsageError) as refused:
            Endpoint(base_url=url, proxy=proxy)
        assert refused.value.fields["member"] == ["proxy"]
        assert "hunter2" not in f"{refused.value} {refused.value.hint}"


# ---------------------------------------------------------------------- by a proxy


def test_a_plain_endpoint_is_asked_by_the_proxy() -> None:
    """The proxy is told the whole URL, hands the request on, and the answer comes piece by piece."""
    told: list[str | None] = []
    with ModelServer() as server, HttpProxy({HOST: server.port}) as proxy:
        endpoint = Endpoint(base_url=f"http://{HOST}/v1", key=KEY, proxy=proxy.url)
        outcome = HttpModel(endpoint, on_delta=lambda _, text: told.append(text))(call("two words"))
        assert outcome.status == "ok", outcome
        assert server.requests[0].header("authorization") == f"Bearer {KEY}"
        assert server.requests[0].header("host") == HOST
        assert server.idle()
    assert proxy.asked == [f"POST http://{HOST}/v1/chat/completions HTTP/1.1"]
    assert "".join(map(str, told)) == "You said: two words"


def test_a_secure_endpoint_is_asked_through_a_tunnel(secure: tuple[ModelServer, Path]) -> None:
    """The proxy sees the host and nothing else: neither key nor text passes it unencrypted."""
    server, certificate = secure
    with HttpProxy({HOST: server.port}) as proxy:
        endpoint = Endpoint(base_url=f"https://{HOST}/v1", key=KEY, proxy=proxy.url, ca_file=str(certificate))
        server.requests.clear()
        outcome = ask(endpoint)
        assert outcome.status == "ok", outcome
        assert server.requests[0].header("authorization") == f"Bearer {KEY}"
        assert server.idle()
    assert proxy.asked == [f"CONNECT {HOST}:443 HTTP/1.1"]
    assert KEY.encode() not in proxy.heads


def test_a_certificate_that_nobody_vouches_for_ends_the_call(secure: tuple[ModelServer, Path]) -> None:
    """Without the file that vouches for it the server hears of no request, and the failure says why."""
    server, _ = secure
    with HttpProxy({HOST: server.port}) as proxy:
        server.requests.clear()
        failed = failure(ask(Endpoint(base_url=f"https://{HOST}/v1", key=KEY, proxy=proxy.url)))
        assert (failed.type, failed.fields["phase"], server.requests) == ("model.connect_error", "connect", [])
        assert "certificate verify failed" in failed.message
        assert server.idle()


def test_a_password_of_the_proxy_is_sent_to_it_alone(secure: tuple[ModelServer, Path]) -> None:
    """With it the call goes through; a wrong one is refused once, not tried again, and stands in no failure."""
    server, certificate = secure
    with HttpProxy({HOST: server.port}, user="me:right/word") as proxy:
        server.requests.clear()

        def by(user: str) -> Outcome:
            way = proxy.url.replace("://", f"://{user}@")
            return ask(Endpoint(base_url=f"https://{HOST}/v1", proxy=way, ca_file=str(certificate)))

        assert by("me:right%2Fword").status == "ok"
        assert server.requests[0].header("proxy-authorization") == ""
        refused = by("me:wrong-word")
        assert failure(refused).message == "the proxy refuses: 407 Proxy Authentication Required"
        assert (failure(refused).type, failure(refused).fields["status"]) == ("model.connect_error", 407)
        assert refused.meta["attempts"] == 1
        assert "wrong-word" not in f"{refused.wire()} {dict(refused.meta)}"
        assert (len(proxy.asked), len(server.requests)) == (2, 1)
        assert server.idle()


def test_a_proxy_that_never_answers_is_under_the_connect_limit() -> None:
    """Until the tunnel stands, the time is that for connecting, whatever the limits behind it."""
    with HttpProxy({}, silent=True) as proxy:
        endpoint = Endpoint(base_url=f"https://{HOST}/v1", proxy=proxy.url, timeouts=Timeouts(connect=0.2))
        failed = failure(ask(endpoint))
    assert (failed.type, failed.fields["limit"], failed.fields["phase"]) == ("model.timeout", "connect", "connect")


def test_a_cancel_ends_a_call_in_a_tunnel(secure: tuple[ModelServer, Path]) -> None:
    """A call that waits behind a proxy and TLS is ended as any other, and its connection with it."""
    server, certificate = secure
    with HttpProxy({HOST: server.port}) as proxy:
        server.requests.clear()
        server.enqueue([Hang()])
        model = HttpModel(Endpoint(base_url=f"https://{HOST}/v1", proxy=proxy.url, ca_file=str(certificate)))
        outcomes: list[Outcome] = []
        thread = threading.Thread(target=lambda: outcomes.append(model(call())))
        thread.start()
        while not server.requests:
            thread.join(0.01)
        model.close()
        thread.join(10)
        assert [outcome.status for outcome in outcomes] == ["cancelled"]
        assert server.idle()


# ---------------------------------------------------------------------- limits on the way


def test_addresses_of_a_host_share_the_connect_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that never answers uses up its share of the time, and the next one is tried within the same limit."""
    with ModelServer() as server, socket.create_server(("127.0.0.2", server.port), backlog=0) as full:
        held = [socket.socket() for _ in range(3)]
        for one in held:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        listed = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, server.port)) for host in ("127.0.0.2", "127.0.0.1")]
        found = socket.getaddrinfo
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda host, *more, **named: listed if host == HOST else found(host, *more, **named)
        )
        endpoint = Endpoint(base_url=f"http://{HOST}:{server.port}/v1", timeouts=Timeouts(connect=0.4))
        outcome = ask(endpoint)
        assert (outcome.status, outcome.meta["attempts"]) == ("ok", 1), outcome
        listed.reverse()
        listed[0] = listed[1]
        failed = failure(ask(endpoint))
        for one in held:
            one.close()
    assert (failed.type, failed.fields["limit"]) == ("model.timeout", "connect")


def test_a_request_that_is_taken_in_slowly_keeps_to_the_total() -> None:
    """A server that reads a little now and then does not hold a call beyond its limits."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = threading.Event()

        def drip() -> None:
            taken, _ = listener.accept()
            with taken:
                while not ended.wait(0.02):
                    if not taken.recv(1 << 14):
                        break

        thread = threading.Thread(target=drip)
        thread.start()
        endpoint = Endpoint(
            base_url=f"http://127.0.0.1:{listener.getsockname()[1]}/v1", timeouts=Timeouts(first_token=30, total=0.6)
        )
        failed: list[EffectFailure] = []
        asked = threading.Thread(target=lambda: failed.append(failure(ask(endpoint, text="x" * (32 << 20)))))
        asked.start()
        asked.join(10)
        ended.set()
        asked.join()
        thread.join()
    assert [(one.type, one.fields.get("limit")) for one in failed] == [("model.timeout", "total")]


def test_a_call_that_ends_before_tls_leaves_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancel between connecting and TLS closes what is open, and does not leave that to whoever collects garbage."""
    held: list[socket.socket] = []
    hold = Watch.hold

    def cancelling(self: Watch, connection: socket.socket) -> None:
        hold(self, connection)
        held.append(connection)
        self.cancel()

    monkeypatch.setattr(Watch, "hold", cancelling)
    with ModelServer() as server:
        assert ask(Endpoint(base_url=server.url.replace("http", "https"))).status == "cancelled"
        assert [connection.fileno() for connection in held] == [-1]
        while not server.connections:
            time.sleep(0.005)
        assert server.idle()


@pytest.mark.parametrize("url", ["http://h.example:99999/v1", "http://h.example:0/v1", "http://[::1/v1", "http://h:x/v1"])
def test_a_port_or_host_that_there_is_not_is_refused(url: str) -> None:
    """An address that no call can go to is told when it is said, not when it is asked."""
    with pytest.raises(UsageError, match="the base URL of"):
        Endpoint(base_url=url)


def test_a_host_that_cannot_be_looked_up_is_a_failure_of_the_connection() -> None:
    """A name with an empty part is no crash: the call fails as one that reached nobody."""
    assert failure(ask(Endpoint(base_url="http://a..b/v1"))).type == "model.connect_error"


def test_the_server_of_the_tests_repeats_over_tls(secure: tuple[ModelServer, Path]) -> None:
    """Whole and cut answers reach a client over TLS as they are."""
    server, certificate = secure
    server.enqueue(stream("over TLS", framing="close"))
    with HttpProxy({HOST: server.port}) as proxy:
        endpoint = Endpoint(base_url=f"https://{HOST}/v1", proxy=proxy.url, ca_file=str(certificate))
        assert ask(endpoint).status == "ok"
        assert server.idle()
