"""Faults of a model at each role of the cog graphs, and random ones over several messages.

Whatever a node makes of a failure: it is in the trace, replays to the same without a socket, and no text that broke off passes
for an answer.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from frameengine.codec import dumps
from frameengine.effects import Call, EffectKey, ModelCall, ModelReply, Outcome
from frameengine.engine.driver import Run
from frameengine.engine.message import Engine
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import bind
from frameengine.inputs import UserMessage
from frameengine.jsonvalue import FrozenMap, freeze
from frameengine.performers.live import Live
from frameengine.performers.model_http import Endpoint, HttpModel, Retry, Timeouts
from frameengine.performers.model_http.models import Models, Named, NodeModels
from frameengine.performers.standin import StandIn
from frameengine.replay.replayer import Replayer
from frameengine.tools.registry import ToolRegistry
from frameengine.tools.sql import SCHEMA
from frameengine.trace.header import header
from frameengine.trace.verify import verify
from frameengine.trace.writer import TraceWriter
from model_faults import EVENTS, JSON
from model_scripts import (
    DONE,
    Cut,
    Hang,
    Head,
    Request,
    Reset,
    Script,
    Send,
    answer,
    completion,
    deltas,
    error,
    event,
    stream,
    tool_call,
)
from model_server import ModelServer

PLACES = {
    "v1-current": ("input", "thinker", "thinker", "output", "memorizer", "director"),
    "v2-director-drives": ("input", "director", "interpreter", "output", "memorizer"),
    "v3-framed": ("input", "director", "interpreter", "output", "memorizer"),
    "v4-eras": ("input", "pa", "expert_eras", "expert_eras", "expert_eras", "interpreter", "output", "memorizer"),
}
"""Graph -> the nodes that ask a model about one message, in their order."""
WISH = "How many customers are there?"
HALF = "The answer that broke off"
"""What had come of an answer when it failed."""
FULL = b"".join(map(event, deltas(f"{HALF} is 41.")))
WHOLE = b"".join(step.data for step in completion(f"{HALF} is 41.") if isinstance(step, Send))
HEADS = {True: Head(headers=EVENTS, framing="chunked"), False: Head(headers=JSON, framing="chunked")}
COME = {True: FULL[: FULL.index(b'" is"')], False: WHOLE[:-20]}
"""How far an answer comes, streamed or not."""
TOLD = {"error": {"message": "overloaded", "code": "busy"}}

FAULTS: dict[str, tuple[str, Callable[[bool], Script]]] = {
    "refused": ("model.provider_error", lambda _: error(401, "no")),
    "broken": ("model.provider_error", lambda _: error(500, "no")),
    "reset at once": ("model.connect_error", lambda _: [Reset()]),
    "cut": ("model.truncated", lambda streamed: [HEADS[streamed], Send(COME[streamed]), Cut()]),
    "reset": ("model.truncated", lambda streamed: [HEADS[streamed], Send(COME[streamed]), Reset()]),
    "ends too soon": ("model.truncated", lambda streamed: [HEADS[streamed], Send(FULL if streamed else COME[False])]),
    "stalls": ("model.timeout", lambda streamed: [HEADS[streamed], Send(COME[streamed]), Hang()]),
    "error inside": (
        "model.provider_error",
        lambda streamed: [HEADS[True], Send(FULL + event(TOLD) + DONE)] if streamed else answer(json.dumps(TOLD)),
    ),
    "no JSON": (
        "model.bad_",
        lambda streamed: [HEADS[streamed], Send(FULL + b"data: {oops}\n\n" + DONE if streamed else WHOLE + b"}")],
    ),
    "a page": ("model.bad_response", lambda _: answer("<html>busy</html>", headers=[("content-type", "text/html")])),
    "nothing": ("model.bad_response", lambda streamed: [HEADS[streamed], Send(DONE if streamed else b"{}")]),
    "too long": ("length", lambda streamed: (stream if streamed else completion)(f"{HALF} is", finish="length")),
}
"""Name -> what comes of it, and how a server does it, streamed or not."""
BEGUN = ("cut", "reset", "ends too soon", "stalls", "error inside", "no JSON")
"""Faults of a stream that has begun."""


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    """Serve for all tests; each says what is answered."""
    with ModelServer() as started:
        yield started


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function from which on nobody can open a socket."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a socket was opened")

    def close() -> None:
        for name in ("socket", "create_connection", "getaddrinfo"):
            monkeypatch.setattr(socket, name, refuse)

    return close


class Seen:
    """Keeps what came of calls, what was committed, and what a reader has before his eyes."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[Call, Outcome]] = []
        self.records: list[Any] = []
        self.shown: dict[EffectKey, str] = {}

    def on_outcome(self, call: Call, outcome: Outcome) -> None:
        """Keep an outcome of a model."""
        if call.effect.kind == "model":
            self.outcomes.append((call, outcome))

    def on_frame(self, frame: Any) -> None:
        """Keep what a frame commits."""
        self.records += frame.records

    def on_preview(self, key: EffectKey, _: int, emission: Any) -> None:
        """Show a preview."""
        self.shown[key] = self.shown.get(key, "") + str(emission.data.get("text", ""))

    def on_retract(self, key: EffectKey) -> None:
        """Take it back."""
        self.shown.pop(key, None)


def by_rules(request: Request) -> Script:
    """Answer as the stand-in does; the model that is asked is called as the node."""
    asked = request.json()
    effect = ModelCall(model="m", messages=asked["messages"], tools=asked.get("tools", ()))
    message: Any = StandIn()(Call.of(EffectKey(1, 1, asked["model"], 0), effect)).message
    build = stream if asked["stream"] else completion
    return build(message.get("content"), tool_calls=json.loads(dumps(message.get("tool_calls", ()))))


def models(graph: str, url: str, *, streamed: bool) -> NodeModels:
    """Return models that are called as the nodes that ask them, and are asked once."""
    endpoint = Endpoint(base_url=url, stream=streamed, timeouts=Timeouts(first_token=2, idle=0.1), retry=Retry(attempts=1))
    nodes = {node: ("a", freeze({"model": node})) for node in PLACES[graph]}
    return NodeModels(Models(source="", endpoints={"a": Named(endpoint=endpoint)}, nodes=nodes))


def run(graph: str, model: Any, path: Path, *said: str) -> tuple[list[str], Seen, FrozenMap]:
    """Record a run; return how its messages ended, what was seen, and the state that it leaves."""
    registry = ToolRegistry()
    registry.register("query_db", lambda **_: "customers\n42\n", SCHEMA)
    parameters = {"type": "object", "properties": {"at": {"type": "integer"}}}
    registry.register("look", lambda at: f"at {at}", {"description": "Look.", "parameters": parameters})
    bound, seen, live = bind(load_graph(graph)), Seen(), Live(model, registry)
    engine = Engine(bound, instruments=[seen])
    with TraceWriter(path, header(bound)) as writer:
        driver = Run(engine, live, writer)
        ended: list[str] = [driver.send(UserMessage.of(text)).status for text in said]
        writer.seal()
    live.close()
    assert not engine.instruments.dropped
    return ended, seen, engine.state.sections


def test_every_role_is_asked(server: ModelServer, tmp_path: Path) -> None:
    """The table of places is that of a run without a fault, and names each node of the graphs that has a model."""
    server.respond = by_rules
    for graph, nodes in PLACES.items():
        ended, seen, _ = run(graph, models(graph, server.url, streamed=True), tmp_path / f"{graph}.trace.jsonl", WISH)
        assert (ended, tuple(call.key.node for call, _ in seen.outcomes)) == (["done"], nodes)
        assert {outcome.status for _, outcome in seen.outcomes} == {"ok"}
        with_model = {node.name for node in load_graph(graph).nodes if node.config.get("model")}
        assert with_model <= set(nodes)


@frozen(kw_only=True)
class Case:
    """A fault at a place."""

    graph: str
    at: int
    """Place of the call among those of the message."""
    fault: str
    streamed: bool

    @property
    def node(self) -> str:
        """Who asks there."""
        return PLACES[self.graph][self.at]

    @property
    def before(self) -> int:
        """How often it has asked before."""
        return PLACES[self.graph][: self.at].count(self.node)


def matrix() -> list[Any]:
    """Return each place with each fault, streamed and not: all of it at night, by day each place once and each fault in both."""
    places = [(graph, at) for graph, nodes in PLACES.items() for at in range(len(nodes))]
    rows = []
    for (row, (graph, at)), streamed, (column, fault) in product(enumerate(places), (True, False), enumerate(FAULTS)):
        case = Case(graph=graph, at=at, fault=fault, streamed=streamed)
        by_day = column == row % len(FAULTS) and streamed is (row < len(FAULTS))
        name = f"{graph} {case.node} {case.before + 1} {fault} {'stream' if streamed else 'whole'}".replace(" ", "-")
        rows.append(pytest.param(case, id=name, marks=[] if by_day else [pytest.mark.nightly]))
    return rows


@pytest.mark.parametrize("case", matrix())
def test_a_fault_at_a_role(server: ModelServer, tmp_path: Path, no_sockets: Callable[[], None], case: Case) -> None:
    """The call at that place fails as the table says; nothing that came of it is an answer, and the trace replays (C79)."""
    comes, script = FAULTS[case.fault]
    asked: list[str] = []

    def respond(request: Request) -> Script:
        asked.append(request.json()["model"])
        here = asked[-1] == case.node and asked.count(case.node) == case.before + 1
        return script(case.streamed) if here else by_rules(request)

    server.respond = respond
    path = tmp_path / "x.trace.jsonl"
    _, seen, state = run(case.graph, models(case.graph, server.url, streamed=case.streamed), path, WISH)
    assert server.idle()
    outcome = [outcome for call, outcome in seen.outcomes if call.key.node == case.node][case.before]
    if comes == "length":
        assert isinstance(outcome.value, ModelReply)
        assert outcome.value.finish_reason == "length"
    else:
        assert outcome.error is not None
        assert outcome.error.type.startswith(comes), outcome
        assert (HALF in outcome.error.fields.get("text", "")) is (case.streamed and case.fault in BEGUN)
        kept = [emission.wire() for record in seen.records for emission in record.emissions]
        assert HALF not in dumps(freeze([kept, state, list(seen.shown.values())])).decode()
    no_sockets()
    assert verify(path).counts.calls >= len(seen.outcomes)
    result = Replayer(path).run()
    assert (result.verdict, result.counts.inputs) == ("same", 1), result


# ---------------------------------------------------------------------- at random

GARBAGE = (b"data: {oops}\n\n", b"data: \xff\n\n", b"event: error\ndata: no\n\n", b'data: {"error": "no"}\n\n', b"data: [1]\n\n")


@st.composite
def scripted(draw: st.DrawFn) -> tuple[str, bool, Script]:
    """Draw an answer and what becomes of it; return its text, whether it may pass for one, and the script."""
    text = f"answer {draw(st.integers(0, 10**9))} ends"
    calls = [tool_call("look", {"at": 1})] if draw(st.booleans()) else []
    data = b"".join(map(event, deltas(text, tool_calls=calls))) + DONE
    ends = [end + 2 for end in range(len(data)) if data.startswith(b"\n\n", end)]
    place = draw(st.one_of(st.integers(0, len(data)), st.integers(len(data) - 20, len(data))))
    fault = draw(st.sampled_from(["none", "none", "cut", "reset", "stall", "end", "status", "garbage", "twice"]))
    cuts = tuple(draw(st.lists(st.integers(0, len(data)), max_size=4)))
    if fault == "status":
        return text, False, [Head(draw(st.sampled_from([204, 302, 400, 429, 503])), EVENTS, "chunked"), Send(data)]
    if fault == "garbage":
        end = draw(st.sampled_from([0, *ends[:-1]]))
        data, place = data[:end] + draw(st.sampled_from(GARBAGE)) + data[end:], len(data) + 99
    elif fault == "twice":
        end = draw(st.integers(0, len(data) - 1))
        return text, False, [HEADS[True], Send(data[:end], at=cuts), Head(), Send(data)]
    elif fault == "none":
        place = len(data)
    elif fault == "stall":
        # Behind the first word, where the limit is a short one.
        place = max(place, data.index(b"\n\n", data.index(b"answer")) + 2)
    last: dict[str, list[Any]] = {"cut": [Cut()], "reset": [Reset()], "stall": [Hang()]}
    whole = place >= len(data) and fault != "garbage"
    return text, whole, [HEADS[True], Send(data[:place], at=cuts), *last.get(fault, [])]


@settings(max_examples=40)
@given(st.lists(scripted(), min_size=1, max_size=6))
def test_random_faults_leave_no_answer_that_was_not_whole(server: ModelServer, drawn: list[tuple[str, bool, Script]]) -> None:
    """Over several messages an answer is recorded only where all of it came; the trace verifies and replays exactly."""
    played: list[tuple[str, bool]] = []
    server.requests.clear()

    def respond(_: Request) -> Script:
        text, whole, script = drawn[len(played)] if len(played) < len(drawn) else ("Fine.", True, stream("Fine."))
        played.append((text, whole))
        return script

    server.respond = respond
    endpoint = Endpoint(base_url=server.url, model="m", timeouts=Timeouts(idle=0.1), retry=Retry(attempts=1))
    with TemporaryDirectory() as folder:
        path = Path(folder, "x.trace.jsonl")
        _, seen, state = run("tool-loop", HttpModel(endpoint), path, "one", "two", "three")
        assert server.idle()
        assert len(seen.outcomes) == len(played)
        for (text, whole), (_, outcome) in zip(played, seen.outcomes, strict=True):
            if outcome.status == "ok":
                assert isinstance(outcome.value, ModelReply)
                assert (whole, outcome.value.text) == (True, text)
            else:
                assert outcome.error is not None
                assert outcome.error.type.startswith("model.")
        answers = [message["content"] for message in state["history"] if message["role"] == "assistant"]
        good = [text for (text, _), (_, outcome) in zip(played, seen.outcomes, strict=True) if outcome.status == "ok"]
        assert answers == good
        assert verify(path).counts.inputs == 3
        again = Path(folder, "y.trace.jsonl")
        assert Replayer(path, output=again).run().verdict == "same"
        assert verify(again).canonical == verify(path).canonical
