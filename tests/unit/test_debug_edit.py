"""Edits are parsed and checked where they are typed: what cannot be is refused at once, with the way out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameengine.debug.edit import EditInput, EditReply, EditState, parse_edit
from frameengine.debug.place import START, Place
from frameengine.debug.timeline import Timeline
from frameengine.effects import EffectKey, ModelCall, ModelReply, Outcome, ToolCall, ToolReply
from frameengine.errors import UnknownRef, UsageError
from frameengine.inputs import Action, Body, Clear, Dashboard, Given, Tick, UserMessage, Webhook
from frameengine.jsonvalue import freeze, thaw
from frameengine.node import NodeContext, NodeResult
from frameengine.plaintext import is_visible
from frameengine.state import Change
from toy import Echo, Meanwhile, bound, record, reply

RESULTS: dict[str, Any] = {"rows": {"rows": [[1, 2]]}, "text": "seven", "chat": None}
CHAT = freeze({"role": "tool", "tool_call_id": "t1", "content": "as it came"})


def answer(call: Any) -> Outcome:
    """Answer tools with results of each form, models as ever."""
    if not isinstance(call.effect, ToolCall):
        return reply(call)
    value = ToolReply(message=CHAT) if call.effect.name == "chat" else ToolReply(content=RESULTS[call.effect.name])
    return Outcome(value=value, at=5)


async def work(message: Any, ctx: NodeContext) -> NodeResult:
    """Ask a model, then three tools at once, and remember things."""
    said = await ctx.perform(ModelCall(model="m", messages=freeze([{"role": "user", "content": "hi"}])))
    await ctx.perform_all([ToolCall("rows", {}), ToolCall("text", {}), ToolCall("chat", {})])
    return NodeResult(
        None,
        [
            Change.set("/memory", {"n": 1, "topic": "orders", "list": [1, 2], "none": None}),
            Change.append("/history", said.message),
        ],
    )


async def ask(_: Any, ctx: NodeContext) -> NodeResult:
    """Ask a model."""
    await ctx.perform(ModelCall(model="m", messages=freeze([{"role": "user", "content": "hi"}])))
    return NodeResult()


async def note(_: Any, ctx: NodeContext) -> NodeResult:
    """Do nothing."""
    return NodeResult()


HELLO = UserMessage(message=freeze({"role": "user", "content": "hello", "name": "Ada"}), user_id="u1")
BODIES: list[Body] = [
    HELLO,
    Action(name="click", data=freeze({"x": 1})),
    Given(messages=[{"role": "system", "content": "brief"}]),
    Clear(),
    Dashboard(controls=[1]),
    Webhook(source="shop", payload=5),
]


@pytest.fixture(scope="module")
def timeline(tmp_path_factory: pytest.TempPathFactory) -> Timeline:
    """Return a run with an input of each kind; a Tick comes in during the first message."""
    path = tmp_path_factory.mktemp("edit") / "t.trace.jsonl"
    entry = dict.fromkeys(("Action", "Dashboard", "Webhook", "Tick"), "note")
    graph = bound(
        {"work": work, "note": note}, [], entry={"UserMessage": "work", **entry}, state={"history": [], "topics": ["a"]}
    )
    record(path, graph, BODIES, late=lambda made: Meanwhile(made, Tick(readings={"clock": 1}), answer=answer))
    return Timeline(path)


AT = Place(1, 1)


def outcome(timeline: Timeline, what: str, value: str, place: Place = AT) -> Outcome:
    """Return the outcome that an edit of a call gives."""
    edit = parse_edit(timeline, place, what, value)
    assert isinstance(edit, EditReply)
    return edit.outcome


# ---------------------------------------------------------------------- replies


def test_a_text_is_the_reply_of_a_model(timeline: Timeline) -> None:
    """A text takes the place of what the model said; JSON that is no chat message is a text as well; no tokens are made up."""
    typed = {'""': "", '"in \\"quotes\\" \\u200d"': 'in "quotes" \u200d'}
    for written in ("moin", '{"plan": ["a"]}', "42", '{"role": broken', *typed):
        value = outcome(timeline, "reply", written).value
        text = typed.get(written, written)
        assert isinstance(value, ModelReply)
        assert (thaw(value.message), value.finish_reason, value.usage) == ({"role": "assistant", "content": text}, "stop", {})
    edit = parse_edit(timeline, AT, "reply", "moin")
    assert isinstance(edit, EditReply)
    assert (edit.key, edit.effect, edit.name, edit.place) == (EffectKey(1, 1, "work", 0), "model", "m", AT)
    assert (edit.text, edit.told()) == ("reply of 1.1 work[0] m: moin", {"kind": "reply", "key": [1, 1, "work", 0]})
    assert edit.outcome.at == timeline.effects(AT)[0].outcome.at


def test_the_words_of_a_reply_that_was_cut_are_another_reply_when_they_are_whole(tmp_path: Path) -> None:
    """The same text is no edit, unless the recorded reply ended for another reason than one that somebody types."""
    for reason, same in (("stop", True), ("unknown", True), ("length", False)):
        value = ModelReply(message=freeze({"role": "assistant", "content": "so far"}), finish_reason=reason)
        path = tmp_path / reason
        record(path, bound({"w": ask}), performer=Echo(lambda _, value=value: Outcome(value=value)))  # type: ignore[misc]
        timeline = Timeline(path)
        if same:
            with pytest.raises(UsageError, match="nothing would change"):
                parse_edit(timeline, Place(1, 1), "reply", "so far")
        else:
            edit = parse_edit(timeline, Place(1, 1), "reply", "so far")
            assert isinstance(edit, EditReply)
            assert edit.outcome.value.finish_reason == "stop"  # type: ignore[union-attr]


def test_a_chat_message_may_call_tools(timeline: Timeline) -> None:
    """A chat message is taken as it is written; one that calls tools ends with them."""
    calls = '[{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]'
    for text in (f'{{"role": "assistant", "content": null, "tool_calls": {calls}}}', f'{{"tool_calls": {calls}}}'):
        value = outcome(timeline, "reply", text).value
        assert isinstance(value, ModelReply)
        assert (value.message["role"], value.finish_reason, len(value.tool_calls)) == ("assistant", "tool_calls", 1)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('{"role": "user", "content": "x"}', "the assistant's"),
        ('{"role": "assistant"}', "says nothing and calls nothing"),
        ('{"role": "assistant", "content": 5}', "says nothing"),
        ('{"tool_calls": {}}', "list of calls"),
        ('{"tool_calls": [{"name": "f"}]}', "list of calls"),
        ('{"tool_calls": [{"function": {"name": 5}}]}', "list of calls"),
        ('{"tool_calls": [{"function": {"name": "f", "arguments": 5}}]}', "list of calls"),
        ('{"role": "assistant", "content": "\\ud800"}', "not JSON"),
        ('{"role": "assistant", "content": "x", "content": "y"}', "not JSON"),
        ('{"tool_calls": [], "n": NaN}', "not JSON"),
    ],
)
def test_what_no_model_says_is_refused(timeline: Timeline, text: str, match: str) -> None:
    """A chat message that could not have come from a model is of the wrong type."""
    with pytest.raises(UsageError, match=match) as caught:
        parse_edit(timeline, AT, "reply", text)
    assert caught.value.hint


def test_a_result_keeps_the_form_of_the_recorded_one(timeline: Timeline) -> None:
    """JSON is JSON where there was JSON; a text stays a text; a recorded chat message carries the new text."""
    given_ = [
        ("result 2", '{"rows": []}', ToolReply(content={"rows": []})),
        ("result 2", "nothing found", ToolReply(content="nothing found")),
        ("result 2", "null", ToolReply(content=None)),
        ("result work[1]", '"NaN"', ToolReply(content="NaN")),
        ("result 3", "7", ToolReply(content="7")),
        ("result 3", '"eight"', ToolReply(content="eight")),
        ("result 4", "new", ToolReply(message=freeze({**CHAT, "content": "new"}))),
        ("result 4", '{"a": 1}', ToolReply(message=freeze({**CHAT, "content": '{"a": 1}'}))),
        ("result 4", '{"role": "tool", "content": "x"}', ToolReply(message=freeze({"role": "tool", "content": "x"}))),
    ]
    for what, text, expected in given_:
        assert outcome(timeline, what, text).value == expected, (what, text)
    for text in ('{"rows": [}', "NaN", " -Infinity", "1e400", "9" * 23, "True", "007"):
        with pytest.raises(UsageError, match="not JSON") as caught:
            parse_edit(timeline, AT, "result 2", text)
        assert "double quotes" in caught.value.hint


def test_any_call_may_fail(timeline: Timeline) -> None:
    """An error is written as its message, or with type and fields; anything else is no failure."""
    failed = outcome(timeline, "error 1", "no luck")
    assert (failed.status, failed.error and failed.error.wire()) == ("error", {"type": "edited", "message": "no luck"})
    failed = outcome(timeline, "error 2", '{"type": "timeout", "message": "late", "fields": {"after": 5}}')
    assert failed.error is not None
    assert failed.error.wire() == {"type": "timeout", "message": "late", "fields": {"after": 5}}
    for text in ('{"type": "x"}', '{"message": 5}', '{"message": "x", "code": 1}', '{"message": "x", "fields": 1}'):
        with pytest.raises(UsageError, match="no failure of an effect"):
            parse_edit(timeline, AT, "error 1", text)


def test_the_call_is_found_or_asked_for(timeline: Timeline) -> None:
    """Without a number the one that just arrived is meant, or the only one; a wrong one is refused with those there are."""
    inside = parse_edit(timeline, Place(1, 1, 2), "result", "1")
    assert isinstance(inside, EditReply)
    assert inside.key == timeline.effects(AT)[1].key
    keyed = parse_edit(timeline, AT, "result", "1", key=EffectKey(1, 1, "work", 3))
    assert isinstance(keyed, EditReply)
    assert keyed.key.call == 3
    cases: list[tuple[Place, str, str, str]] = [
        (AT, "result", "3 effects that could be meant", "1 work[0] model, 2 work[1] tool"),
        (AT, "result 9", "no such effect", "4 work[3] tool"),
        (AT, "result 0", "no such effect", ""),
        (AT, "result " + "9" * 30, "no such effect", ""),
        (AT, "result nobody[0]", "no such effect", ""),
        (AT, "reply 2", "is a tool call, which has no reply", "edit result #2"),
        (AT, "result 1", "is a model call, which has no result", "edit reply #1"),
        (Place(1, 0), "reply", "no effect was asked for", "step"),
        (Place(3, 1), "reply", "no effect was asked for", "step"),
        (START, "reply", "no effect was asked for", "step"),
        (AT, "answer", "cannot be changed", "edit reply"),
        (AT, "replyfoo", "cannot be changed", "edit reply"),
    ]
    for place, what, match, hint in cases:
        with pytest.raises(UsageError, match=match) as caught:
            parse_edit(timeline, place, what, "x")
        assert hint in caught.value.hint, what
    with pytest.raises(UnknownRef):
        parse_edit(timeline, Place(9, 9), "reply", "x")


# ---------------------------------------------------------------------- inputs


def body(timeline: Timeline, place: Place, value: str, what: str = "input") -> Any:
    """Return the body that an edit of an input gives."""
    edit = parse_edit(timeline, place, what, value)
    assert isinstance(edit, EditInput)
    return edit.body


def test_a_text_takes_the_place_of_what_a_user_said(timeline: Timeline) -> None:
    """A text changes the words alone; a chat message, or fields, change what they name."""
    new = body(timeline, Place(1, 0), "goodbye")
    assert (thaw(new.message), new.user_id) == ({"role": "user", "content": "goodbye", "name": "Ada"}, "u1")
    assert body(timeline, AT, '{"role": "user", "content": [{"type": "text", "text": "x"}]}').text == "x"
    assert body(timeline, AT, '{"user_id": "u2"}') == UserMessage(message=HELLO.message, user_id="u2")
    assert body(timeline, AT, '{"any": "JSON"}').text == '{"any": "JSON"}'


def test_other_inputs_are_written_as_their_fields(timeline: Timeline) -> None:
    """Fields that are left out stay; what has one field may be written by itself; a late input is named by its number."""
    assert body(timeline, Place(3), '{"data": {"x": 2}}') == Action(name="click", data=freeze({"x": 2}))
    assert body(timeline, Place(4), "[]") == Given(messages=())
    assert body(timeline, Place(6), "[1, 2]") == Dashboard(controls=(1, 2))
    assert body(timeline, Place(7), '{"payload": null}') == Webhook(source="shop", payload=None)
    assert body(timeline, AT, '{"readings": {"clock": 9}}', "input 2") == Tick(readings=freeze({"clock": 9}))
    late = parse_edit(timeline, AT, "input 2", '{"readings": {}}')
    assert (late.place, late.told()) == (Place(1, 1), {"kind": "input", "number": 2, "place": "1.1"})


@pytest.mark.parametrize(
    ("place", "what", "value", "match"),
    [
        (Place(3), "input", "click", "written as a JSON object"),
        (Place(3), "input", '{"colour": 1}', "has no 'colour'"),
        (Place(3), "input", '{"name": 5}', "no Action"),
        (Place(3), "input", '{"data": 5}', "no Action"),
        (Place(4), "input", '["x"]', "no Given"),
        (Place(5), "input", "{}", "holds nothing that could be changed"),
        (Place(6), "input", '{"controls": 5}', "no Dashboard"),
        (AT, "input", '{"user_id": 5}', "no UserMessage"),
        (AT, "input", '{"role": "system", "content": "x"}', "is of role 'user', not 'system'"),
        (AT, "input", '{"role": "user", "content": "\\ud800"}', "not JSON"),
        (AT, "input 3", "x", "has no input 3"),
        (START, "input", "x", "no input has come in"),
        (AT, "input", "hello", "nothing would change"),
        (Place(3), "input", '{"name": "click"}', "nothing would change"),
    ],
)
def test_an_input_of_the_wrong_type_is_refused(timeline: Timeline, place: Place, what: str, value: str, match: str) -> None:
    """What is no input of that kind, no input of that message, or no change, is refused with the way out."""
    with pytest.raises(UsageError, match=match) as caught:
        parse_edit(timeline, place, what, value)
    assert caught.value.hint


# ---------------------------------------------------------------------- state


@pytest.mark.parametrize(
    ("what", "value", "change"),
    [
        ("/memory/n", "2", Change.set("/memory/n", 2)),
        ("/memory/n", "2.5", Change.set("/memory/n", 2.5)),
        ("/memory/n", "null", Change.set("/memory/n", None)),
        ("/memory/none", "[1]", Change.set("/memory/none", (1,))),
        ("/memory/topic", "42", Change.set("/memory/topic", "42")),
        ("/memory/topic", '"a \\n b"', Change.set("/memory/topic", "a \n b")),
        ("/memory/list/0", "9", Change.set("/memory/list/0", 9)),
        ("put /memory/n", "text", Change.set("/memory/n", "text")),
        ("put /memory/new", '{"a": 1}', Change.set("/memory/new", {"a": 1})),
        ("put /section", "[]", Change.set("/section", ())),
        ("put /memory/list/-", "3", Change.append("/memory/list", 3)),
        ("delete /memory/topic", "", Change.delete("/memory/topic")),
        ("delete /memory/list/1", "", Change.delete("/memory/list/1")),
    ],
)
def test_a_value_of_the_state_is_set_put_or_deleted(timeline: Timeline, what: str, value: str, change: Change) -> None:
    """A pointer alone changes what is there, in its type; ``put`` takes any value, also where nothing is; ``delete`` removes."""
    edit = parse_edit(timeline, AT, what, value)
    assert edit == EditState(place=AT, changes=(change,))


@pytest.mark.parametrize(
    ("what", "value", "match", "hint"),
    [
        ("/memory/topik", "x", "nothing at '/memory/topik'", "put /memory/topik VALUE makes it"),
        ("/nowhere/at/all", "x", "nothing at", "its sections are history, topics, memory"),
        ("put /nowhere/at/all", "x", "nothing at", "its sections are"),
        ("/memory/list/7", "1", "nothing at", "2 items"),
        ("put /memory/list/7", "1", "nothing at", "2 items"),
        ("put /memory/topic/-", "1", "nothing at", "a text"),
        ("delete /memory/topik", "", "nothing at", "/memory holds n, topic"),
        ("/memory/n", "many", "holds a number, and what you write is a text", "put /memory/n"),
        ("/memory/n", "true", "what you write is true or false", "a number"),
        ("/memory", "[]", "holds an object, and what you write is a list", "an object"),
        ("/history", "{}", "holds a list", "a list"),
        ("/memory", "{broken", "not JSON", "double quotes"),
        ("/memory/n", "1", "nothing would change", "another value"),
        ("put /memory/list", "[1, 2]", "nothing would change", "another value"),
        ("/", "1", "no pointer", "its sections are"),
        ("put", "1", "no pointer", "its sections are"),
        ("delete memory", "", "no pointer", "its sections are"),
        ("put /~2x", "1", "a ~ stands before 0 or 1", "~0 for ~"),
        ("put /x~", "1", "a ~ stands before 0 or 1", "~0 for ~"),
        ("put /x", "NaN", "not JSON", "double quotes"),
        ("put /x", "99999999999999999999999", "not JSON", "double quotes"),
        ("delete /memory/topic", "x", "takes no value", "edit delete /memory/topic"),
    ],
)
def test_a_place_that_is_not_there_and_a_wrong_type_are_refused(
    timeline: Timeline, what: str, value: str, match: str, hint: str
) -> None:
    """An edit of the state is refused where it would do something else than was meant, and the hint says what may be written."""
    with pytest.raises(UsageError, match=match) as caught:
        parse_edit(timeline, AT, what, value)
    assert hint in caught.value.hint


def test_inside_a_frame_the_state_is_that_of_the_boundary_before(timeline: Timeline) -> None:
    """A node that has begun has seen its state: an edit inside a frame is one at the boundary before it."""
    assert parse_edit(timeline, Place(1, 1, 1), "/topics/0", "b").place == Place(1, 0)
    with pytest.raises(UsageError, match="nothing at"):
        parse_edit(timeline, Place(1, 1, 1), "/memory/n", "2")


@pytest.mark.parametrize("what", ["reply", "reply 1", "result 2", "error 1", "input", "/memory/topic", "put /memory/new"])
def test_a_value_that_is_missing_is_no_empty_text(timeline: Timeline, what: str) -> None:
    """Nothing, or white space alone, is refused; two double quotes are the empty text."""
    for value in ("", " ", "\n\t"):
        with pytest.raises(UsageError, match="what is it to be") as caught:
            parse_edit(timeline, AT, what, value)
        assert caught.value.hint == f'edit {what} VALUE; an empty text is ""'
    assert parse_edit(timeline, AT, what, '""')


@pytest.mark.parametrize(
    ("what", "value", "text"),
    [
        ("result 2", "42", "result of 1.1 work[1] rows: 42"),
        ("result 2", '"42"', "result of 1.1 work[1] rows: the text 42"),
        ("result 3", '{"a": 1}', 'result of 1.1 work[2] text: the text {"a": 1}'),
        ("result 3", "eight", "result of 1.1 work[2] text: eight"),
        ("reply", '{"plan": []}', 'reply of 1.1 work[0] m: {"plan": []}'),
        ("reply", '{"role": broken', 'reply of 1.1 work[0] m: the text {"role": broken'),
        ("error 1", "null", "error of 1.1 work[0] m: the text null"),
        ("input", "5", "input 1: the text 5"),
        ("/memory/topic", "true", "state at 1.1: /memory/topic: the text true"),
        ("put /memory/topic", "true", "state at 1.1: /memory/topic: true"),
    ],
)
def test_an_edit_says_where_it_took_a_text_for_json_or_not(timeline: Timeline, what: str, value: str, text: str) -> None:
    """What reads like JSON and became a text is called one; of a reply only where it is no JSON, since models reply in it."""
    assert parse_edit(timeline, AT, what, value).text == text


def test_the_way_out_of_a_wrong_kind_is_an_edit_that_can_be_typed(timeline: Timeline) -> None:
    """The hint names the effect by its number among those of the frame, and has a word where the value belongs."""
    calls = timeline.effects(AT)
    for number, kind, way in ((1, "result", "edit reply #1 TEXT"), (2, "reply", "edit result #2 JSON")):
        for what, key in ((f"{kind} {number}", None), (kind, calls[number - 1].key)):
            with pytest.raises(UsageError, match="which has no") as caught:
                parse_edit(timeline, AT, what, "{}", key=key)
            assert caught.value.hint == way


# ---------------------------------------------------------------------- whatever is typed

ANYTHING = st.text(max_size=40) | st.sampled_from(['{"role":"assistant","content":"x"}', "[1]", '"\\ud800"', "1e999", "{" * 200])
WHATS: list[Callable[[str], str]] = [lambda text: text] + [
    lambda text, kind=kind: f"{kind} {text}"  # type: ignore[misc]
    for kind in (
        "reply",
        "result",
        "error",
        "input",
        "put /",
        "delete /",
        "/memory/",
        "reply 1",
        "result 2",
        "error 3",
        "/memory/topic",
    )
]


@given(
    what=st.sampled_from(WHATS),
    more=ANYTHING,
    value=ANYTHING,
    place=st.sampled_from([START, Place(1), AT, Place(3), Place(1, 1, 1)]),
)
@settings(max_examples=300)
def test_whatever_is_typed_is_an_edit_or_refused(
    timeline: Timeline, what: Callable[[str], str], more: str, value: str, place: Place
) -> None:
    """No text leads to anything but an edit, whose one line is safe to show, or to a refusal that says what to do."""
    try:
        edit = parse_edit(timeline, place, what(more), value)
    except UsageError:
        return
    assert all(is_visible(char) for char in edit.text)
    assert "\n" not in edit.text
    assert edit.to_json()["kind"] == edit.told()["kind"]
