"""Recorded HTTP calls as conversations: which calls belong together, and what becomes of each in a trace."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameengine.effects import ModelReply
from frameengine.exchanges.exchange import CLIENT_LEFT, Exchange, Request, Response
from frameengine.importers.exchanges import ExchangesReport, conversations, import_exchanges
from frameengine.jsonvalue import freeze, thaw
from frameengine.trace.reader import TraceReader
from imported_traces import proved, told

SYSTEM = {"role": "system", "content": "Be brief."}
BERN = {"role": "user", "content": "What is the weather in Bern?"}
THANKS = {"role": "user", "content": "Thank you!"}


def said(text: str, **more: Any) -> dict[str, Any]:
    """Return a reply as an endpoint sends it, with members that no client sends again."""
    return {"role": "assistant", "content": text, "refusal": None, "annotations": [], **more}


def asks(*ids: str) -> dict[str, Any]:
    """Return a reply that calls a tool for each of *ids*."""
    function = {"name": "weather", "arguments": '{"city": "Bern"}'}
    calls = [{"id": one, "type": "function", "function": function} for one in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def result(id: str, content: str = "sunny") -> dict[str, Any]:
    """Return a tool's message."""
    return {"role": "tool", "tool_call_id": id, "content": content}


def answered(messages: Sequence[dict[str, Any]], *replies: dict[str, Any], lane: str = "", **body: Any) -> Exchange:
    """Return an exchange: *messages* sent, one choice for each of *replies* received."""
    choices = [
        {"index": index, "message": reply, "finish_reason": "tool_calls" if reply.get("tool_calls") else "stop"}
        for index, reply in enumerate(replies)
    ]
    usage = {"prompt_tokens": len(messages), "completion_tokens": 1}
    answer = {"model": "m-1", "choices": choices, "usage": usage}
    return exchange(messages, Response(status=200, body=json.dumps(answer).encode(), ms=12.5), lane=lane, **body)


def exchange(messages: Sequence[dict[str, Any]], response: Response, *, lane: str = "", **body: Any) -> Exchange:
    """Return an exchange of a chat completion."""
    sent = json.dumps({"model": "m", "messages": messages, **body}).encode()
    return Exchange(request=Request.of("POST", "/v1/chat/completions", "", (), sent), response=response, lane=lane)


def refused(messages: Sequence[dict[str, Any]], status: int) -> Exchange:
    """Return an exchange that an endpoint answered with an error."""
    return exchange(messages, Response(status=status, body=b'{"error": {"message": "not now"}}'))


def streamed(messages: Sequence[dict[str, Any]], *texts: str, end: str = "data: [DONE]\n\n", complete: bool = True) -> Exchange:
    """Return an exchange whose answer came as a stream, a piece for each of *texts*."""
    deltas = [{"delta": {"content": text}} for text in texts]
    choices = [*deltas, *([{"delta": {}, "finish_reason": "stop"}] if end else [])]
    events = [f"data: {json.dumps({'choices': [choice]})}\n\n" for choice in choices]
    body = "".join(events) + end
    headers = freeze({"content-type": "text/event-stream"})
    chunks = [(10.0 * number, len(event)) for number, event in enumerate(events, start=1)]
    response = Response(status=200, headers=headers, body=body.encode(), complete=complete, chunks=tuple(chunks), ms=99.0)
    return exchange(messages, response, stream=True)


def imported(tmp_path: Path, *exchanges: Exchange) -> tuple[Path, ExchangesReport]:
    """Import exchanges; the trace must verify and, where it has a call, replay the same."""
    path = tmp_path / "imported.trace.jsonl"
    report = import_exchanges(exchanges, path, replace=True)
    if report.calls:
        proved(path, report)
    return path, report


def outcomes(path: Path) -> list[tuple[str, str, dict[str, Any]]]:
    """Return kind, status and meta of each outcome."""
    with TraceReader(path) as reader:
        return [
            (line.data["effect"], line.outcome().status, thaw(line.outcome().meta))
            for line in reader.lines()
            if line.kind == "outcome"
        ]


def statuses(path: Path) -> list[str]:
    """Return the status of each input."""
    with TraceReader(path) as reader:
        return [line.data["status"] for line in reader.lines() if line.kind == "trace"]


def shape(exchanges: Iterable[Exchange]) -> list[tuple[list[int], str, int | None]]:
    """Return the own calls of each conversation, how it comes of an earlier call, and of which."""
    return [
        ([step.call.number for step in course.steps[course.own :]], course.origin, course.of)
        for course in conversations(exchanges)
    ]


def test_a_conversation_with_tools_becomes_turns_of_a_tool_loop(tmp_path: Path) -> None:
    """Instructions are given, each user's message is a turn, and calls have the figures that the endpoint gave."""
    first, second = [SYSTEM, BERN], [SYSTEM, BERN, asks("1"), result("1")]
    third = [*second, {"role": "assistant", "content": "Sunny."}, THANKS]
    path, report = imported(
        tmp_path,
        answered(first, asks("1")),
        answered(second, said("Sunny.")),
        answered(third, said("You are welcome.")),
    )
    assert told(path) == [[*third, said("You are welcome.")]]
    assert statuses(path) == ["done"] * 3
    assert [(kind, meta.get("exchange"), meta.get("ms")) for kind, _, meta in outcomes(path)] == [
        ("model", 1, 12.5),
        ("tool", None, None),
        ("model", 2, 12.5),
        ("model", 3, 12.5),
    ]
    with TraceReader(path) as reader:
        replies = [line.outcome().value for line in reader.lines() if line.kind == "outcome"]
    finished = [
        (reply.finish_reason, reply.model, reply.usage["prompt_tokens"]) for reply in replies if isinstance(reply, ModelReply)
    ]
    assert finished == [("tool_calls", "m-1", 2), ("stop", "m-1", 4), ("stop", "m-1", 6)]
    assert report.seen_as == "3 exchanges seen as 1 conversation"


SENT_AGAIN: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (said("Hi"), {"role": "assistant", "content": "Hi"}),
    (said("Hi\n"), {"role": "assistant", "content": "Hi"}),
    (said("Hi"), {"role": "assistant", "content": [{"type": "text", "text": "Hi"}]}),
    (said("Hi", reasoning="well"), {"role": "assistant", "content": "Hi", "name": "bot"}),
    (asks("1"), {**asks("1"), "content": ""}),
    ({**asks("1"), "content": None}, {name: value for name, value in asks("1").items() if name != "content"}),
    (
        asks("1"),
        {
            "role": "assistant",
            "tool_calls": [{"type": "function", "id": "1", "function": {"arguments": '{"city":"Bern"}', "name": "weather"}}],
        },
    ),
    (said("Hi", tool_calls=[]), {"role": "assistant", "content": "Hi"}),
]


@pytest.mark.parametrize(("reply", "again"), SENT_AGAIN)
def test_a_reply_is_known_however_a_client_sends_it_again(reply: dict[str, Any], again: dict[str, Any]) -> None:
    """The second call goes on from the first although the client wrote the reply in another form."""
    after = [result("1")] if again.get("tool_calls") else [THANKS]
    assert shape([answered([BERN], reply), answered([BERN, again, *after], said("Bye"))]) == [([1, 2], "", None)]


OTHERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (said("Hi"), {"role": "assistant", "content": "Ho"}),
    (asks("1"), asks("2")),
    (asks("1"), asks("1", "2")),
    (said("Hi"), {"role": "user", "content": "Hi"}),
]


@pytest.mark.parametrize(("reply", "again"), OTHERS)
def test_another_reply_is_another_conversation(reply: dict[str, Any], again: dict[str, Any]) -> None:
    """A history with something else in the reply's place does not go on from the call."""
    found = shape([answered([BERN], reply), answered([BERN, again, THANKS], said("Bye"))])
    assert [calls for calls, _, _ in found] == [[1], [2]]


def test_concurrent_conversations_are_told_apart(tmp_path: Path) -> None:
    """Calls of two conversations that were under way together end up in one conversation each, with a Clear between."""
    ann, ben = ({"role": "system", "content": f"You are {name}."} for name in ("Ann", "Ben"))
    path, report = imported(
        tmp_path,
        answered([ann, BERN], said("Sun")),
        answered([ben, BERN], said("Rain")),
        answered([ben, BERN, said("Rain"), THANKS], said("Bye, says Ben")),
        answered([ann, BERN, said("Sun"), THANKS], said("Bye, says Ann")),
    )
    assert [one.exchanges for one in report.conversations] == [(1, 4), (2, 3)]
    assert [conversation[-1]["content"] for conversation in told(path)] == ["Bye, says Ann", "Bye, says Ben"]
    assert [one.inputs for one in report.conversations] == [(1, 3), (4, 7)]


def test_a_call_made_again_after_an_error_is_one_call_with_attempts(tmp_path: Path) -> None:
    """Errors before the same request succeeds are attempts of it, and the message is done."""
    path, report = imported(tmp_path, refused([BERN], 429), refused([BERN], 503), answered([BERN], said("Sun")))
    [(kind, status, meta)] = outcomes(path)
    assert (kind, status, meta["exchange"]) == ("model", "ok", 3)
    assert [(attempt["exchange"], attempt["status"]) for attempt in meta["attempts"]] == [(1, 429), (2, 503)]
    assert [one.exchanges for one in report.conversations] == [(1, 2, 3)]


def test_an_error_that_nothing_follows_fails_its_message(tmp_path: Path) -> None:
    """A conversation that ends in an error ends in a failed message, whose failure says what came."""
    path, _ = imported(
        tmp_path, answered([BERN], said("Sun")), refused([BERN, {"role": "assistant", "content": "Sun"}, THANKS], 401)
    )
    assert statuses(path) == ["done", "done", "failed"]
    with TraceReader(path) as reader:
        *_, last = [line.outcome() for line in reader.lines() if line.kind == "outcome"]
    assert last.error is not None
    assert (last.error.type, last.error.fields["status"]) == ("model.provider_error", 401)


@pytest.mark.parametrize(("error", "kind"), [("nobody listens", "model.connect_error"), (CLIENT_LEFT, "model.truncated")])
def test_no_answer_at_all_fails_its_message(error: str, kind: str, tmp_path: Path) -> None:
    """A request that got no answer is a failed call of the kind that says so; who left has not found that nobody is there."""
    path, _ = imported(tmp_path, exchange([BERN], Response(status=0, complete=False, error=error)))
    assert statuses(path) == ["done", "failed"]
    assert [status for _, status, _ in outcomes(path)] == ["error"]
    with TraceReader(path) as reader:
        (failed,) = [line.outcome().error for line in reader.lines() if line.kind == "outcome"]
    assert failed is not None
    assert (failed.type, failed.message) == (kind, error)


def test_a_stream_is_put_together_with_the_times_of_its_pieces(tmp_path: Path) -> None:
    """The reply of a stream is its joined text, and each piece has the time at which it came."""
    path, _ = imported(tmp_path, streamed([BERN], "Sun", "ny"))
    assert told(path) == [[BERN, {"role": "assistant", "content": "Sunny"}]]
    [(_, status, meta)] = outcomes(path)
    assert (status, meta["chunks"]["text"]) == ("ok", [[10, 3], [20, 2]])


def test_a_cut_stream_is_no_answer_unless_the_agent_took_it_for_one(tmp_path: Path) -> None:
    """A stream that broke off fails its message; if the history goes on with the piece that came, it is an incomplete reply."""
    cut = streamed([BERN], "Sun", end="", complete=False)
    path, _ = imported(tmp_path, cut)
    assert statuses(path) == ["done", "failed"]
    path, _ = imported(tmp_path, cut, answered([BERN, {"role": "assistant", "content": "Sun"}, THANKS], said("Bye")))
    with TraceReader(path) as reader:
        replies = [line.outcome().value for line in reader.lines() if line.kind == "outcome"]
    assert [reply.finish_reason for reply in replies if isinstance(reply, ModelReply)] == ["incomplete", "stop"]


def test_the_same_request_with_two_answers_is_a_branch() -> None:
    """Of two answers to one request the conversation has the one it went on with; the other is a branch of its own."""
    start = answered([BERN], said("Sun"))
    again = [BERN, {"role": "assistant", "content": "Sun"}, THANKS]
    onward = [*again, {"role": "assistant", "content": "B"}, BERN]
    found = shape([start, answered(again, said("A")), answered(again, said("B")), answered(onward, said("C"))])
    assert found == [([1, 3, 4], "", None), ([2], "branch", 1)]
    assert shape([answered([BERN], said("A")), answered([BERN], said("B"))]) == [([1], "", None), ([2], "again", 1)]


def test_a_branch_runs_its_own_turn_and_is_given_what_was_before(tmp_path: Path) -> None:
    """A branch is given the turns before it; calls of its turn that it shares are run again, and say so."""
    start = answered([BERN], said("Sun"))
    turn = [BERN, {"role": "assistant", "content": "Sun"}, THANKS]
    tools = [*turn, asks("1"), result("1")]
    path, report = imported(tmp_path, start, answered(turn, asks("1")), answered(tools, said("A")), answered(tools, said("B")))
    assert [(one.exchanges, one.calls, one.origin, one.of) for one in report.conversations] == [
        ((1, 2, 3), 3, "", None),
        ((4,), 1, "branch", 2),
    ]
    shared = [(meta["exchange"], meta.get("shared", False)) for kind, _, meta in outcomes(path) if kind == "model"]
    assert shared == [(1, False), (2, False), (3, False), (2, True), (4, False)]
    assert [conversation[-1]["content"] for conversation in told(path)] == ["A", "B"]


def test_several_choices_of_one_answer_are_all_known() -> None:
    """A conversation goes on from any of the choices of an answer."""
    both = answered([BERN], said("A"), said("B"), n=2)
    calls = [both] + [answered([BERN, {"role": "assistant", "content": text}, THANKS], said(text * 2)) for text in "AB"]
    assert shape(calls) == [([1, 2], "", None), ([3], "branch", 1)]


def test_a_rewritten_history_is_a_new_conversation_that_names_its_origin() -> None:
    """A history from which something was cut out goes on from nothing, and names the call whose reply it still holds."""
    long = [SYSTEM, BERN, {"role": "assistant", "content": "It is sunny in Bern."}, THANKS]
    cut = [SYSTEM, {"role": "user", "content": "(summary)"}, *long[2:]]
    found = shape([answered(long[:2], said("It is sunny in Bern.")), answered(cut, said("Bye"))])
    assert found == [([1], "", None), ([2], "rewritten", 1)]


def test_settings_that_change_between_turns_hold_from_there_on(tmp_path: Path) -> None:
    """A turn's requests have the model, tools and parameters they were sent with; what changes inside a turn is in the meta."""
    second = [BERN, {"role": "assistant", "content": "Sun"}, THANKS]
    path, _ = imported(
        tmp_path,
        answered([BERN], said("Sun"), temperature=0),
        answered(second, asks("1"), model="big", temperature=1, tool_choice="required"),
        answered([*second, asks("1"), result("1")], said("Bye"), model="big", temperature=1),
    )
    with TraceReader(path) as reader:
        requests = [line.data["request"] for line in reader.lines() if line.kind == "outcome"]
    sent = [(one["model"], thaw(one.get("params"))) for one in requests if "model" in one]
    required = {"temperature": 1, "tool_choice": "required"}
    assert sent == [("m", {"temperature": 0}), ("big", required), ("big", required)]
    assert outcomes(path)[-1][2]["sent"] == {"params": {"temperature": 1}}


def test_the_history_before_the_first_recorded_call_is_given(tmp_path: Path) -> None:
    """Examples and turns that the recording did not see are given; nothing is invented that nobody recorded."""
    examples = [SYSTEM, BERN, {"role": "assistant", "content": "Sun"}, THANKS]
    path, report = imported(tmp_path, answered(examples, said("Bye")))
    assert (report.inputs, report.calls) == (2, 1)
    assert told(path) == [[*examples, said("Bye")]]


def test_what_is_no_chat_completion_is_counted_and_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Other protocols are counted by method and path, and a chat completion without messages is named with the reason."""
    other = Exchange(request=Request.of("POST", "/v1/messages", "", (), b"{}"), response=Response(status=200, body=b"{}"))
    odd = exchange([], Response(status=200, body=b"{}"))
    _, report = imported(tmp_path, other, odd, answered([BERN], said("Sun")))
    assert thaw(report.others) == {"POST /v1/messages": 1}
    assert [(note.message, note.what) for note in report.refused] == [(2, "its request has no messages")]
    assert report.seen_as == "3 exchanges seen as 1 conversation; 1 of other protocols left out; 1 not readable"


def test_a_conversation_that_cannot_be_run_is_given_and_said_to_be(tmp_path: Path) -> None:
    """A call that no tool loop could have made stands in the trace as given, and the report says which exchange it was."""
    old = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    path, report = imported(tmp_path, answered([SYSTEM, BERN], old), answered([BERN], said("Sun")))
    assert [(one.given, one.calls) for one in report.conversations] == [((1,), 0), ((), 1)]
    assert any("1 exchange given, not run: 1" in note.what for note in report.conversations[0].notes)
    assert told(path)[0] == [SYSTEM, BERN, old]


def test_what_stands_before_a_recorded_reply_begins_its_turn(tmp_path: Path) -> None:
    """A call whose last message is no user's (instructions alone, a reply to go on with) is run with exactly what it was sent."""
    prefix = [SYSTEM, BERN, {"role": "assistant", "content": "It is"}]
    path, report = imported(tmp_path, answered([SYSTEM], said("Hello")), answered(prefix, said(" sunny")))
    assert [one.calls for one in report.conversations] == [1, 1]
    with TraceReader(path) as reader:
        sent = [thaw(line.data["request"]["messages"]) for line in reader.lines() if line.kind == "outcome"]
    assert sent == [[SYSTEM], prefix]


def test_a_turn_that_something_else_is_said_in_is_cancelled_there(tmp_path: Path) -> None:
    """Results that a user's message follows, and no reply, end their turn as cancelled; the next call is sent with all of it."""
    after = [BERN, asks("1"), result("1"), THANKS]
    path, report = imported(tmp_path, answered([BERN], asks("1")), answered(after, said("Bye")))
    assert statuses(path) == ["done", "cancelled", "done"]
    assert (report.conversations[0].calls, report.conversations[0].inputs) == (2, (1, 4))
    with TraceReader(path) as reader:
        *_, last = [line.data["request"] for line in reader.lines() if line.kind == "outcome"]
    assert thaw(last["messages"]) == after


WORDS = st.sampled_from(["a", "b", "c"])


@st.composite
def dialogues(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw a conversation out of few words, so that beginnings and ids are often the same."""
    messages = [SYSTEM] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        messages.append({"role": "user", "content": draw(WORDS)})
        for _ in range(draw(st.integers(0, 2))):
            ids = draw(st.lists(WORDS, min_size=1, max_size=2))
            messages += [asks(*ids), *[result(one, draw(WORDS)) for one in ids]]
        messages.append({"role": "assistant", "content": draw(WORDS)})
    return messages


def calls_of(dialogue: list[dict[str, Any]], lane: str = "") -> list[Exchange]:
    """Return the exchanges that make a conversation."""
    return [
        answered(dialogue[:index], message, lane=lane) for index, message in enumerate(dialogue) if message["role"] == "assistant"
    ]


@settings(max_examples=60)
@given(found=st.lists(dialogues(), min_size=1, max_size=5), seed=st.integers(0, 2**32), lanes=st.booleans())
def test_any_interleaving_comes_apart_again(found: list[list[dict[str, Any]]], seed: int, lanes: bool) -> None:
    """Conversations recorded in any interleaving, equal beginnings included, come apart into exactly the same conversations."""
    waiting = [calls_of(one, lane=str(number) if lanes else "") for number, one in enumerate(found)]
    chance, mixed = Random(seed), []
    while any(waiting):
        mixed.append(chance.choice([one for one in waiting if one]).pop(0))
    with TemporaryDirectory() as folder:
        path, report = imported(Path(folder), *mixed)
        assert sorted(map(json.dumps, told(path))) == sorted(map(json.dumps, found))
    owned = [number for one in report.conversations for number in one.exchanges]
    assert sorted(owned) == list(range(1, len(mixed) + 1))


NOISE = st.one_of(
    dialogues().map(lambda one: calls_of(one)[-1]),
    st.builds(refused, dialogues().map(lambda one: one[:-1]), st.sampled_from([400, 429, 500])),
    st.builds(lambda one: streamed(one[:-1], "x", end="", complete=False), dialogues()),
)


@settings(max_examples=40)
@given(exchanges=st.lists(NOISE, max_size=8))
def test_every_exchange_is_an_own_one_or_an_attempt_of_exactly_one_conversation(exchanges: list[Exchange]) -> None:
    """Whatever was recorded, nothing is lost, nothing stands in two conversations, and the trace replays."""
    with TemporaryDirectory() as folder:
        _, report = imported(Path(folder), *exchanges)
    owned = [number for one in report.conversations for number in one.exchanges]
    assert sorted(owned) == list(range(1, len(exchanges) + 1))
