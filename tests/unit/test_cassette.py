"""Cassettes: every recorded reply is found the stated way, used once, and missed loudly."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameengine.cassette.cassette import Cassette, Recorded
from frameengine.cassette.match import Hit, Matcher
from frameengine.effects import Call, EffectKey, ModelCall, ModelReply, Outcome, ToolCall
from frameengine.engine.driver import Run
from frameengine.engine.message import Engine
from frameengine.errors import CassetteMiss, CassetteUnused, TraceIntegrity
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import bind
from frameengine.inputs import UserMessage
from frameengine.jsonvalue import freeze
from frameengine.performers.replaying import Replaying
from frameengine.performers.scripted import Scripted
from frameengine.trace.header import header
from frameengine.trace.verify import verify
from frameengine.trace.writer import TraceWriter
from rebuild import rebuild

NODES = {"a": ("a", "chat"), "b": ("b", "plan")}


def asked(node: str, text: str, *, input: int = 1, frame: int = 1, call: int = 0) -> Call:
    """Return a model call with one message."""
    return Call.of(EffectKey(input, frame, node, call), ModelCall(model="m", messages=[{"role": "user", "content": text}]))


def recorded(calls: list[Call], replies: list[str]) -> Cassette:
    """Return a cassette of these calls, each answered with its reply."""
    entries = []
    counts: dict[Any, int] = {}
    for number, (call, reply) in enumerate(zip(calls, replies, strict=True)):
        slot, contract = NODES[call.key.node]
        nth = counts[call.key.input, slot] = counts.get((call.key.input, slot), -1) + 1
        outcome = Outcome(value=ModelReply(message=freeze({"role": "assistant", "content": reply})))
        entries.append(
            Recorded(number=number, source=Path("x"), call=call, outcome=outcome, slot=slot, contract=contract, nth=nth)
        )
    return Cassette(tuple(entries))


def found(matcher: Matcher, call: Call) -> Hit:
    """Return the reply that is found. Raises `CassetteMiss`."""
    hit = matcher.look(call)
    if hit is None:
        raise matcher.miss(call)
    return hit


def text(matcher: Matcher, call: Call) -> str:
    """Return the text of the reply that is found."""
    value = found(matcher, call).recorded.outcome.value
    assert isinstance(value, ModelReply)
    return value.text


@given(st.integers(2, 50), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_equal_requests_answer_in_order(count: int, chance: Any) -> None:
    """Equal requests of one node get the recorded replies in recorded order, each once."""
    calls = [asked("a", "same", frame=number + 1) for number in range(count)]
    matcher = Matcher(recorded(calls, [f"reply {number}" for number in range(count)]), "exact", NODES)
    shifted = [asked("a", "same", frame=100 + number) for number in range(count)]
    assert [text(matcher, call) for call in shifted] == [f"reply {number}" for number in range(count)]
    assert not matcher.cassette.unused()


@given(st.permutations(list(range(12))))
def test_equal_requests_at_their_own_places(order: list[int]) -> None:
    """Equal requests asked at recorded places get the reply of that place, in whatever order they are asked."""
    calls = [asked("a", "same", call=number) for number in range(12)]
    matcher = Matcher(recorded(calls, [f"reply {number}" for number in range(12)]), "exact", NODES)
    hits = {number: found(matcher, calls[number]) for number in order}
    assert all(hit.recorded.key == calls[number].key and not hit.ambiguous for number, hit in hits.items())


@pytest.mark.parametrize("node", ["a", "b"])
def test_an_equal_request_in_another_place_is_ambiguous(node: str) -> None:
    """Whoever asks, where equal requests got different replies one of another place is ambiguous, the last one left as well."""
    matcher = Matcher(recorded([asked("a", "same"), asked("a", "same", input=2)], ["one", "two"]), "exact", NODES)
    assert [found(matcher, asked(node, "same", frame=7 + number)).ambiguous for number in (0, 1)] == [True, True]
    alike = Matcher(recorded([asked("a", "same"), asked("a", "same", input=2)], ["one", "one"]), "exact", NODES)
    assert not found(alike, asked(node, "same", frame=7)).ambiguous


def test_a_second_request_takes_the_reply_of_another_message_visibly() -> None:
    """A node that asks once more than it did gets the reply recorded for the next message, and that is no certain hit."""
    matcher = Matcher(recorded([asked("a", "same"), asked("a", "same", input=2)], ["one", "two"]), "exact", NODES)
    first, second = found(matcher, asked("a", "same")), found(matcher, asked("a", "same", call=1))
    assert (first.ambiguous, second.ambiguous, str(second.recorded.key)) == (False, True, "2.1 a[0]")


def test_of_equal_requests_that_of_the_same_message_is_taken() -> None:
    """In another frame of a message its own reply goes before that of an earlier message which nothing asks for now."""
    matcher = Matcher(recorded([asked("a", "same"), asked("a", "same", input=2)], ["one", "two"]), "exact", NODES)
    assert text(matcher, asked("a", "same", input=2, frame=3)) == "two"


def test_miss_names_the_nearest_and_why() -> None:
    """A request without a reply stops, naming the nearest recorded call and the place where it differs (N10)."""
    matcher = Matcher(recorded([asked("a", "how many customers are there"), asked("b", "zzz")], ["12", "no"]), "exact", NODES)
    with pytest.raises(CassetteMiss) as caught:
        found(matcher, asked("a", "how many customers were there"))
    nearest = caught.value.fields["nearest"][0]
    assert nearest["key"] == [1, 1, "a", 0]
    assert nearest["why"] == "it differs at /messages/0/content"
    assert caught.value.fields["used"] is False


def test_miss_tells_consumed_from_absent() -> None:
    """A request whose replies were all used says so."""
    matcher = Matcher(recorded([asked("a", "once")], ["1"]), "exact", NODES)
    found(matcher, asked("a", "once"))
    with pytest.raises(CassetteMiss, match="used already"):
        found(matcher, asked("a", "once", frame=2))


def test_slot_answers_a_changed_request() -> None:
    """By slot the nth call of a node's slot within an input is answered though its request changed, and the likeness is told."""
    matcher = Matcher(recorded([asked("a", "old prompt"), asked("a", "old prompt two", call=1)], ["1", "2"]), "slot", NODES)
    first = found(matcher, asked("a", "new prompt"))
    assert (first.how, first.recorded.nth) == ("slot", 0)
    assert 0 < first.similarity < 1
    assert text(matcher, asked("a", "newer", call=1)) == "2"


def test_contracts_never_mix() -> None:
    """A reply of another contract is no match by slot or nearest, however alike the request."""
    nodes = {"a": ("s", "plan"), "b": ("s", "chat")}
    matcher = Matcher(recorded([asked("a", "the very same words")], ["1"]), "nearest", {**nodes, "a": ("a", "plan")})
    with pytest.raises(CassetteMiss) as caught:
        found(matcher, asked("a", "the very same word"))
    assert "contract" in caught.value.fields["nearest"][0]["why"]


def test_nearest_reports_likeness() -> None:
    """The nearest request above the bound is answered with its likeness; an unlike one is a miss."""
    calls = [asked("a", "list all customers of the city of Bern", input=1), asked("a", "what is the weather like", input=2)]
    matcher = Matcher(recorded(calls, ["list", "weather"]), "nearest", NODES)
    hit = found(matcher, asked("a", "list all customers of the city of Basel", input=9))
    assert hit.how == "nearest"
    assert hit.similarity < 1
    with pytest.raises(CassetteMiss):
        found(matcher, Call.of(EffectKey(9, 1, "a", 1), ToolCall("query", {"q": "x"})))


def test_unused_replies_fail() -> None:
    """A reply that nothing asked for is named."""
    matcher = Matcher(recorded([asked("a", "one"), asked("a", "two")], ["1", "2"]), "exact", NODES)
    found(matcher, asked("a", "one"))
    with pytest.raises(CassetteUnused, match="1 of 2"):
        matcher.cassette.check_used()


def test_trace_as_cassette_gives_the_same_run(tmp_path: Path) -> None:
    """A run answered from a trace's own calls has that trace's canonical digest and an exact verdict."""
    bound = bind(load_graph("tool-loop"))
    scripted = Scripted({"model": ["one", "two", "three"]})
    paths = [tmp_path / "first.trace.jsonl", tmp_path / "second.trace.jsonl"]
    for path in paths:
        nodes = {spec.name: (spec.slot, "chat" if spec.name == "model" else "tool") for spec in bound.graph.nodes}
        performer: Any = scripted if path == paths[0] else Replaying(Matcher(Cassette.of(paths[0]), "exact", nodes))
        with TraceWriter(path, header(bound)) as writer:
            run = Run(Engine(bound), performer, writer)
            for said in ("hi", "hi", "ho"):
                run.send(UserMessage.of(said))
            writer.seal()
    assert verify(paths[0]).canonical == verify(paths[1]).canonical
    assert {hit.how for hit in performer.hits.values()} == {"exact"}


def test_a_trace_that_is_given_twice_answers_once(tmp_path: Path) -> None:
    """By its own name, by a link or as a copy, the same run puts its replies into a cassette once."""
    path, copy, link = tmp_path / "t.trace.jsonl", tmp_path / "copy.trace.jsonl", tmp_path / "link.trace.jsonl"
    bound = bind(load_graph("tool-loop"))
    with TraceWriter(path, header(bound)) as writer:
        Run(Engine(bound), Scripted({"model": ["one"]}), writer).send(UserMessage.of("hi"))
        writer.seal()
    copy.write_bytes(path.read_bytes())
    link.symlink_to(path)
    cassette = Cassette.of(path, path, copy, link)
    assert [(entry.number, entry.source) for entry in cassette.recorded] == [(0, path)]


def test_miss_can_be_answered_elsewhere() -> None:
    """With on_miss the run goes on, and the call is no hit."""
    from frameengine.engine.stops import Ask

    call = asked("a", "new")
    fallback = Outcome(value=ModelReply(message=freeze({"role": "assistant", "content": "scripted"})))
    performer = Replaying(Matcher(recorded([], []), "exact", NODES), on_miss=lambda _: fallback)
    assert performer.perform(Ask((call,), {call.key: call}))[0].outcome is fallback
    assert performer.hits == {}


def test_an_edited_trace_is_no_cassette(tmp_path: Path) -> None:
    """A reply, a request or a call that is not the one whose digest the frame recorded is refused, though the chain holds."""
    path, target = tmp_path / "t.trace.jsonl", tmp_path / "edited.trace.jsonl"
    bound = bind(load_graph("tool-loop"))
    with TraceWriter(path, header(bound)) as writer:
        Run(Engine(bound), Scripted({"model": ["one"]}), writer).send(UserMessage.of("hi"))
        writer.seal()

    def reply(line: dict[str, Any]) -> None:
        line["outcome"]["value"]["message"]["content"] = "two"

    def request(line: dict[str, Any]) -> None:
        line["request"]["messages"][-1]["content"] = "ho"

    def place(line: dict[str, Any]) -> None:
        line["key"][3] = 1

    def edited(change: Any, line: dict[str, Any]) -> dict[str, Any]:
        if line["kind"] == "outcome":
            change(line)
        return line

    rebuild(path, target)
    assert len(Cassette.of(target).recorded) == 1
    for change in (reply, request, place):
        rebuild(path, target, partial(edited, change))
        with pytest.raises(TraceIntegrity, match="not the one that the frame recorded"):
            Cassette.of(target)
    rebuild(path, target, lambda line: None if line["kind"] == "outcome" else line)
    with pytest.raises(TraceIntegrity, match="has no outcome"):
        Cassette.of(target)
    rebuild(path, target, lambda line: [line, line] if line["kind"] == "outcome" else line)
    with pytest.raises(TraceIntegrity, match="a second outcome"):
        Cassette.of(target)
