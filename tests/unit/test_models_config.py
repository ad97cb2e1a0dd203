"""Which model answers which node: files and variables, every problem at once, and no key in anything that is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from frameengine.codec import dumps
from frameengine.effects import Call, EffectKey, ModelCall, Outcome
from frameengine.errors import UsageError
from frameengine.performers.live import Live
from frameengine.performers.model_http.config import load_models, usual_models
from frameengine.performers.model_http.models import Models, NodeModels
from http_proxies import certified
from model_scripts import Hang, stream
from model_server import ModelServer

KEY = "sk-planted-0123456789abcdef"
GOOD = """
[endpoints.near]
base_url = "{url}"
params = {{ temperature = 0, top_p = 1 }}
timeouts = {{ connect = 2, total = 30.5 }}
retry = {{ attempts = 1, after_text = true }}

[endpoints.far]
base_url = "https://far.example/v1?api-version=3&code=zyxwvut987"
key_env = "FAR_KEY"
headers = {{ X-Title = "mine" }}
headers_env = {{ X-Org = "FAR_ORG" }}
stream = false

[models.default]
endpoint = "near"
model = "small"

[models.output]
endpoint = "far"
model = "large"
params = {{ temperature = 1 }}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    """Serve for all tests."""
    with ModelServer() as started:
        yield started


def load(tmp_path: Path, text: str, **environment: str) -> Models:
    """Return what a file says."""
    path = tmp_path / "models.toml"
    path.write_text(text, encoding="utf-8")
    return load_models(path, environment)


def problems(tmp_path: Path, text: str, **environment: str) -> list[tuple[str, int | None, str]]:
    """Return what is wrong with a file: place, line and problem."""
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text, **environment)
    return [(one["place"], one["line"], one["problem"]) for one in caught.value.fields["problems"]]


def call(node: str = "output", model: str = "graph", **more: Any) -> Call:
    """Return a model call of a node."""
    return Call.of(EffectKey(1, 1, node, 0), ModelCall(model=model, messages=[{"role": "user", "content": "hello"}], **more))


# ---------------------------------------------------------------------- a file


def test_each_node_gets_its_endpoint_model_and_parameters(tmp_path: Path) -> None:
    """A node that is named has its own endpoint; every other one the default; its parameters go before the endpoint's."""
    models = load(tmp_path, GOOD.format(url="http://near.example/v1"), FAR_KEY=KEY, FAR_ORG="org-abcdefgh")
    near, far = models.endpoint("input"), models.endpoint("output")
    assert (near.base_url, near.model, near.key) == ("http://near.example/v1", "small", "")
    assert (near.params, near.timeouts.connect, near.timeouts.total) == ({"temperature": 0, "top_p": 1}, 2.0, 30.5)
    assert (near.timeouts.idle, near.retry.attempts, near.retry.after_text, near.stream) == (60.0, 1, True, True)
    assert (far.model, far.key, far.params, far.stream) == ("large", KEY, {"temperature": 1}, False)
    assert far.headers == {"X-Title": "mine", "X-Org": "org-abcdefgh"}


def test_what_is_told_holds_no_key(tmp_path: Path) -> None:
    """JSON and repr of the configuration have names of variables and headers, and no key, value of a header or of a query."""
    models = load(tmp_path, GOOD.format(url="http://near.example/v1"), FAR_KEY=KEY, FAR_ORG="org-abcdefgh")
    told = dumps(models.to_json()).decode()
    assert '"key_env":"FAR_KEY"' in told
    assert "api-version=…&code=…" in told
    for secret in (KEY, "org-abcdefgh", "zyxwvut987"):
        assert secret in models.secrets()
        assert secret not in told
    assert KEY not in repr(models)
    assert "org-abcdefgh" not in repr(models)


def test_every_problem_is_told_with_its_line(tmp_path: Path) -> None:
    """One run of the command names all that is wrong: unknown members, types, addresses, endpoints that are not there."""
    text = (
        "colour = 1\n"
        "[endpoints.a]\n"
        'base_url = "ftp://user:hunter2hunter2@a.example"\n'
        "stream = 1\n"
        "timeouts = { idle = -1, idel = 2 }\n"
        "[endpoints.b]\n"
        'base_url = "https://b.example/v1"\n'
        'headers_env = { X-Org = "NOT_THERE" }\n'
        "retry = { attempts = 1.5 }\n"
        "params = { since = 2020-01-01 }\n"
        "[models.output]\n"
        'endpoint = "c"\n'
        "model = 7\n"
    )
    found = problems(tmp_path, text)
    assert {(place, line) for place, line, _ in found} == {
        ("colour", 1),
        ("endpoints.a.base_url", 3),
        ("endpoints.a.stream", 4),
        ("endpoints.a.timeouts.idle", 5),
        ("endpoints.a.timeouts.idel", 5),
        ("endpoints.b.headers_env.X-Org", 8),
        ("endpoints.b.retry.attempts", 9),
        ("endpoints.b.params", 10),
        ("models.output.endpoint", 12),
        ("models.output.model", 13),
    }
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    ("line", "place"),
    [
        (f'key_env = "{KEY}"', "endpoints.a.key_env"),
        ('key_env = "0123456789abcdef0123456789abcdef"', "endpoints.a.key_env"),
        ('key_env = "a1b2c3d4e5f60718293a4b5c6d7e8f90"', "endpoints.a.key_env"),
        (f'key = "{KEY}"', "endpoints.a.key"),
        (f'params = {{ user = "{KEY}" }}', "endpoints.a.params.user"),
        ('headers = { Authorization = "Bearer abcdefghijkl" }', "endpoints.a.headers.Authorization"),
        ('headers = { api-key = "a1b2c3d4e5f60718" }', "endpoints.a.headers.api-key"),
        ('params = { api_key = "a1b2c3d4e5f60718" }', "endpoints.a.params.api_key"),
        ('headers_env = { X-Org = "a1b2c3d4e5f60718293a4b5c6d7e8f90" }', "endpoints.a.headers_env.X-Org"),
    ],
)
def test_a_key_in_the_file_is_refused_and_not_repeated(tmp_path: Path, line: str, place: str) -> None:
    """A value that looks like a key, or stands where one belongs, is refused, and the error does not have it."""
    text = f'[endpoints.a]\nbase_url = "https://a.example/v1"\n{line}\n'
    found = problems(tmp_path, text)
    assert place in [name for name, _, _ in found]
    assert {at for _, at, _ in found} == {3}
    value = line.split('"')[1]
    assert value not in str(found)
    assert value.removeprefix("Bearer ") not in str(found)


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ('params = { api_key = "a1b2c3d4e5f60718" }', "models.output.params.api_key"),
        ("params = { stream = false }", "models.output.params.stream"),
        ('params = { model = "other" }', "models.output.params.model"),
    ],
)
def test_parameters_of_a_node_are_looked_at_as_those_of_an_endpoint(tmp_path: Path, line: str, place: str) -> None:
    """A key among them is refused, and so is what a request has from elsewhere, and what would change nothing in silence."""
    for owner, named in (("models.output", place), ("endpoints.a", place.replace("models.output", "endpoints.a"))):
        ends = f"{line}\n" if owner == "endpoints.a" else f"[models.output]\n{line}\n"
        found = problems(tmp_path, f'[endpoints.a]\nbase_url = "https://a.example/v1"\n{ends}')
        assert [at for at, _, _ in found] == [named]
        assert "a1b2" not in str(found)


@pytest.mark.parametrize("figure", ["inf", "nan", "1e12", "0", "-1"])
def test_a_time_limit_that_no_socket_takes_is_refused(tmp_path: Path, figure: str) -> None:
    """An endless limit would end each call as it begins."""
    text = f'[endpoints.a]\nbase_url = "https://a.example/v1"\ntimeouts = {{ total = {figure} }}\n'
    assert [(place, line) for place, line, _ in problems(tmp_path, text)] == [("endpoints.a.timeouts.total", 3)]


@pytest.mark.parametrize("text", ["", "[models.default]\n", '[endpoints]\n[models.default]\nendpoint = "a"\n', "endpoints = 1\n"])
def test_a_file_without_an_endpoint_is_refused(tmp_path: Path, text: str) -> None:
    """A file that says no endpoint configures nothing, and must not pass for one that does."""
    assert any(place.startswith("endpoints") for place, _, _ in problems(tmp_path, text))


@pytest.mark.parametrize("data", [b"[endpoints", b"a = '\xff'", b"x = " + b"[" * 5000])
def test_what_is_no_toml_is_refused(tmp_path: Path, data: bytes) -> None:
    """Broken TOML, bytes that are no text and endless nesting are the user's mistake, with the file's name."""
    path = tmp_path / "models.toml"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"models\.toml"):
        load_models(path, {})
    with pytest.raises(UsageError, match="cannot be read"):
        load_models(tmp_path, {})


def test_one_endpoint_needs_no_models(tmp_path: Path) -> None:
    """With one endpoint and nothing else, every node is answered by it, with the graph's model."""
    models = load(tmp_path, '[endpoints.a]\nbase_url = "https://a.example/v1"\n')
    assert models.endpoint("anything").base_url == "https://a.example/v1"
    several = "".join([f'[endpoints.{name}]\nbase_url = "https://{name}.example/v1"\n' for name in "ab"])
    assert [place for place, _, _ in problems(tmp_path, several)] == ["models"]


@pytest.mark.parametrize("environment", [{}, {"FAR_KEY": ""}])
def test_a_missing_key_names_variable_and_file(tmp_path: Path, environment: dict[str, str]) -> None:
    """A key that is not set, or empty, matters only to whoever asks that endpoint, and the error says where it belongs."""
    models = load(tmp_path, GOOD.format(url="http://near.example/v1"), FAR_ORG="org-abcdefgh", **environment)
    assert not models.endpoints["far"].key_set
    NodeModels(models, ["input"])
    with pytest.raises(UsageError, match=r"FAR_KEY is not set.*models\.toml"):
        NodeModels(models, ["input", "output"])


def test_a_key_that_cannot_be_sent_is_told_without_it(tmp_path: Path) -> None:
    """A line end that was copied along with a key is named at the variable, and the key is not shown."""
    text = '[endpoints.a]\nbase_url = "https://a.example/v1"\nkey_env = "A_KEY"\n'
    (problem,) = problems(tmp_path, text, A_KEY=KEY + "\n")
    assert problem[:2] == ("endpoints.a.key_env", 3)
    assert KEY not in problem[2]


# ---------------------------------------------------------------------- the way there

PROXY = "http://proxy.example:3128"
SECURE = '[endpoints.a]\nbase_url = "https://a.example/v1"\n'


def test_the_file_says_the_way_or_else_the_environment(tmp_path: Path) -> None:
    """Proxy and certificates of the file go before those of the environment; an empty one is none, as for this machine."""
    _, certificate = certified(tmp_path)
    environment = {"HTTPS_PROXY": PROXY, "SSL_CERT_FILE": str(certificate)}
    usual = load(tmp_path, SECURE, **environment).endpoint("any")
    assert (usual.proxy, usual.ca_file) == (PROXY, str(certificate))
    own = load(tmp_path, f'{SECURE}proxy = "http://own.example"\nca_file = "ca.pem"\n', **environment).endpoint("any")
    assert (own.proxy, own.ca_file) == ("http://own.example", str(certificate))
    none = load(tmp_path, f'{SECURE}proxy = ""\nca_file = ""\n', **environment).endpoint("any")
    assert (none.proxy, none.ca_file) == ("", "")
    here = load(tmp_path, '[endpoints.a]\nbase_url = "http://localhost:1/v1"\n', HTTP_PROXY=PROXY, ALL_PROXY=PROXY)
    assert here.endpoint("any").proxy == ""
    variables = usual_models({"OPENAI_API_KEY": KEY, **environment})
    assert variables is not None
    assert (variables.endpoint("any").proxy, variables.endpoint("any").ca_file) == (PROXY, str(certificate))


@pytest.mark.parametrize(
    ("lines", "environment", "place", "told"),
    [
        ('proxy = "socks5://h"', {}, "endpoints.a.proxy", "none for HTTP"),
        ('proxy = "http://me:hunter2hunter2@h"', {}, "endpoints.a.proxy", "HTTPS_PROXY"),
        ("proxy = 3", {}, "endpoints.a.proxy", "must be a text"),
        ('ca_file = "not-there.pem"', {}, "endpoints.a.ca_file", "No such file"),
        ('ca_file = "models.toml"', {}, "endpoints.a.ca_file", "no certificates"),
        ("", {"HTTPS_PROXY": "socks5://me:hunter2hunter2@h"}, "endpoints.a", "HTTPS_PROXY is no proxy"),
        ("", {"SSL_CERT_FILE": "/not/there.pem"}, "endpoints.a", "SSL_CERT_FILE"),
    ],
)
def test_a_way_that_cannot_be_gone_is_told_at_once(
    tmp_path: Path, lines: str, environment: dict[str, str], place: str, told: str
) -> None:
    """A proxy or certificates that cannot be used are a problem of the file, or name their variable; no password is shown."""
    found = problems(tmp_path, f"{SECURE}{lines}\n", **environment)
    assert place in [at for at, _, _ in found]
    assert told in str(found)
    assert "hunter2" not in str(found)
    if environment:
        with pytest.raises(UsageError, match=next(iter(environment))):
            usual_models({"OPENAI_API_KEY": KEY, **environment})


def test_what_is_told_of_a_proxy_holds_no_password(tmp_path: Path) -> None:
    """JSON and repr have its address; user and password are among the secrets, as sent and as meant."""
    models = load(tmp_path, SECURE, HTTPS_PROXY="http://someone:hunter%2Fhunter@proxy.example:3128")
    told = dumps(models.to_json()).decode() + repr(models)
    assert '"proxy":"http://proxy.example:3128"' in told
    assert "hunter" not in told
    assert {"someone", "hunter/hunter", "hunter%2Fhunter"} <= set(models.secrets())


# ---------------------------------------------------------------------- without a file


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"OPENAI_API_KEY": KEY}, ("OPENAI_API_KEY", "https://api.openai.com/v1", KEY, "")),
        ({"OPENROUTER_API_KEY": KEY}, ("OPENROUTER_API_KEY", "https://openrouter.ai/api/v1", KEY, "")),
        ({"OPENAI_BASE_URL": "http://h/v1"}, ("OPENAI_BASE_URL", "http://h/v1", "", "")),
        (
            {"OPENAI_BASE_URL": "http://h/v1", "OPENAI_API_KEY": KEY, "OPENAI_MODEL": "m", "OPENROUTER_API_KEY": "other"},
            ("OPENAI_BASE_URL, OPENAI_API_KEY, OPENAI_MODEL", "http://h/v1", KEY, "m"),
        ),
    ],
)
def test_the_usual_variables_make_one_endpoint(environment: dict[str, str], told: tuple[str, ...]) -> None:
    """Without a file the variables that clients read say where every node's model is, and the source names those used."""
    models = usual_models(environment)
    assert models is not None
    endpoint = models.endpoint("any")
    assert (models.source, endpoint.base_url, endpoint.key, endpoint.model) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("localhost:99", "OPENAI_BASE_URL: the base URL begins with neither http:// nor https://"),
        (f"https://me:{KEY}@h.example/v1", "OPENAI_BASE_URL: the base URL of 'h.example' has a user name before the host"),
        ("http://h.example/v1#x", "OPENAI_BASE_URL: the base URL of 'h.example' is not of the form"),
    ],
)
def test_a_usual_variable_that_is_no_base_url_is_named(value: str, told: str) -> None:
    """The error names the variable and what is wrong with its value, and repeats no more of that than the host."""
    with pytest.raises(UsageError) as refused:
        usual_models({"OPENAI_BASE_URL": value})
    assert refused.value.message == told
    with pytest.raises(UsageError, match="OPENAI_API_KEY: the key cannot be sent"):
        usual_models({"OPENAI_API_KEY": "a b\n"})


def test_a_key_in_the_query_of_a_base_url_is_scrubbed_in_both_forms() -> None:
    """An endpoint may repeat it as it was sent, with escapes, or as it was meant."""
    models = usual_models({"OPENAI_BASE_URL": "https://gw/v1?api_key=SUPER%2Fsecret%2B1&api-version=2024-10-21"})
    assert models is not None
    said = models.endpoint("any").scrub("no: ?api_key=SUPER%2Fsecret%2B1&api-version=2024-10-21, that is SUPER/secret+1")
    assert said == "no: ?api_key=[key]&api-version=2024-10-21, that is [key]"


def test_without_any_variable_nothing_is_configured() -> None:
    """A model's name alone, or empty variables, configure nothing."""
    assert usual_models({}) is None
    assert usual_models({"OPENAI_API_KEY": "", "OPENAI_MODEL": "m"}) is None


# ---------------------------------------------------------------------- asked


def test_nodes_are_answered_by_their_models(tmp_path: Path, server: ModelServer) -> None:
    """Two nodes of one run ask two models, and what comes is told piece by piece, whichever of them it is from."""
    text = f'[endpoints.a]\nbase_url = "{server.url}"\n[models.default]\nmodel = "small"\n[models.output]\nmodel = "large"\n'
    model = NodeModels(load(tmp_path, text), ["input", "output"])
    pieces: list[tuple[str, str | None]] = []
    model.on_delta = lambda asked, piece: pieces.append((asked.key.node, piece))
    server.enqueue(stream("one two"), stream("three"))
    server.requests.clear()
    for node in ("input", "output"):
        outcome = model(call(node, show=True))
        assert isinstance(outcome, Outcome)
        assert outcome.status == "ok"
    assert [request.json()["model"] for request in server.requests] == ["small", "large"]
    assert pieces == [("input", "one"), ("input", " two"), ("output", "three")]


def test_a_node_without_a_model_or_a_name_for_one_fails_with_the_way_out(tmp_path: Path, server: ModelServer) -> None:
    """A call that cannot be made is a failed outcome that says what to add, and nothing is sent."""
    only = load(tmp_path, f'[endpoints.a]\nbase_url = "{server.url}"\n[models.output]\nmodel = "m"\n')
    unnamed = load(tmp_path, f'[endpoints.a]\nbase_url = "{server.url}"\n')
    server.requests.clear()
    for model, asked, wanted in (
        (NodeModels(only, ["input", "output"]), call("input"), "[models.input]"),
        (NodeModels(unnamed), call("output", model=""), "OPENAI_MODEL"),
    ):
        outcome = Live(model).answer(asked)
        assert outcome.error is not None
        assert wanted in outcome.error.message
    assert server.requests == []


def test_closing_ends_calls_that_are_under_way(tmp_path: Path, server: ModelServer) -> None:
    """A model that never answers is left when the run is over, and its connection is closed."""
    model = NodeModels(load(tmp_path, f'[endpoints.a]\nbase_url = "{server.url}"\n'))
    server.enqueue([Hang()])
    server.requests.clear()
    outcomes: list[Any] = []
    thread = threading.Thread(target=lambda: outcomes.append(model(call())))
    thread.start()
    for _ in range(1000):
        if server.requests:
            break
        thread.join(0.01)
    model.close()
    thread.join(10)
    assert [outcome.status for outcome in outcomes] == ["cancelled"]
    assert server.idle()
