"""Import of OpenAI messages: what is run, what is given, what is reported, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameengine.effects import ToolReply
from frameengine.errors import FrameEngineError, LimitError, NothingCompared, TraceFormat, TraceNotFound, UsageError
from frameengine.exporters.openai import export_messages
from frameengine.importers import openai_read
from frameengine.importers.openai import (
    ABOUT_BYTES_MAX,
    Conversation,
    ImportReport,
    Plan,
    import_messages,
    plan,
    read_conversations,
)
from frameengine.importers.openai_plan import ROUNDS_MAX
from frameengine.inputs import Given, UserMessage
from frameengine.jsonvalue import freeze, thaw
from frameengine.replay.replayer import Replayer
from frameengine.trace.reader import TraceReader, read_header
from frameengine.trace.verify import verify

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "What is the weather in Bern?"}
ANSWER = {"role": "assistant", "content": "Sunny."}
PARTS = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]


def call(number: str, city: str = "Bern", name: str = "weather") -> dict[str, Any]:
    """Return a tool call."""
    return {"id": number, "type": "function", "function": {"name": name, "arguments": json.dumps({"city": city})}}


def asks(*calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return an assistant's message with tool calls."""
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **more}


def result(number: str | None, content: str = "sunny", **more: Any) -> dict[str, Any]:
    """Return a tool's message."""
    given_id = {} if number is None else {"tool_call_id": number}
    return {"role": "tool", **given_id, "content": content, **more}


def shape(planned: Plan) -> list[str]:
    """Return a plan in words: the number of messages given, or the outcomes of a turn, missing ones as '?'."""
    turns = []
    for turn in planned.turns:
        if isinstance(turn.body, Given):
            turns.append(f"given {len(turn.body.messages)}")
        else:
            turns.append(" ".join(["user", *[f"{one.kind}?" if one.value is None else one.kind for one in turn.outcomes]]))
    return turns


def planned(*messages: dict[str, Any]) -> Plan:
    """Return the plan of plain messages."""
    return plan(freeze(list(messages)))


def imported(tmp_path: Path, messages: list[dict[str, Any]], **more: Any) -> tuple[Path, ImportReport]:
    """Import plain messages, and return the trace and the report."""
    path = tmp_path / "imported.trace.jsonl"
    return path, import_messages(Conversation(messages=freeze(messages)), path, replace=True, **more)


TURNS: list[tuple[list[dict[str, Any]], list[str]]] = [
    ([SYSTEM, USER, ANSWER], ["given 1", "user model"]),
    ([SYSTEM, {"role": "developer", "content": "x"}, USER, ANSWER], ["given 2", "user model"]),
    ([USER], ["user model?"]),
    ([USER, asks(call("1"))], ["user model tool?"]),
    ([USER, asks(call("1")), result("1")], ["user model tool model?"]),
    ([USER, asks(call("1")), result("1"), ANSWER, USER, ANSWER], ["user model tool model", "user model"]),
    ([USER, asks(call("1"), call("2")), result("1"), result("2"), ANSWER], ["user model tool tool model"]),
    ([USER, asks(call("1"), call("2")), result("1")], ["user model tool tool?"]),
    ([USER, asks(call("1"), call("2")), result("2")], ["user model tool? tool"]),
    ([USER, asks(call("7"), call("7")), result("7"), result("7"), ANSWER], ["user model tool tool model"]),
    ([USER, asks(call("1")), result(None), ANSWER], ["user model tool model"]),
    ([USER, {**ANSWER, "tool_calls": []}], ["user model"]),
    ([USER, {**ANSWER, "tool_calls": None, "function_call": None}], ["user model"]),
    ([USER, {**ANSWER, "tool_calls": "none"}, USER], ["user model", "user model?"]),
    ([{**USER, "tool_calls": None, "name": "Ann"}, ANSWER], ["user model"]),
    ([{"role": "user", "content": PARTS}, {"role": "assistant", "content": PARTS}], ["user model"]),
]


@pytest.mark.parametrize(("messages", "turns"), TURNS)
def test_what_a_tool_loop_could_have_said_is_run(messages: list[dict[str, Any]], turns: list[str]) -> None:
    """Turns are cut where the user speaks, and what the recording no longer has is planned as missing."""
    assert shape(planned(*messages)) == turns


GIVEN: list[tuple[list[dict[str, Any]], list[str], int, str]] = [
    ([USER, USER, ANSWER], ["given 1", "user model"], 0, "message 1 (user) stands where the model's reply is expected"),
    ([USER, asks(call("1")), result("1"), USER], ["given 3", "user model?"], 0, "messages 0 to 2 are given"),
    ([USER, ANSWER, ANSWER], ["user model", "given 1"], 2, "no user's message asked for"),
    ([ANSWER, USER], ["given 1", "user model?"], 0, "no user's message asked for"),
    ([USER, ANSWER, SYSTEM], ["user model", "given 1"], 2, "a late system message"),
    ([USER, {"role": "developer", "content": "x"}, ANSWER], ["given 3"], 0, "message 1 (developer)"),
    ([result("1"), USER, ANSWER], ["given 1", "user model"], 0, "no tool call asked for"),
    (
        [USER, {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}],
        ["given 2"],
        0,
        "function_call",
    ),
    ([USER, ANSWER, {"role": "function", "name": "f", "content": "1"}], ["user model", "given 1"], 2, "role 'function'"),
    ([USER, asks(call("1"), call("2")), result("2"), result("1"), ANSWER], ["given 5"], 0, "in message 2 answers another call"),
    ([USER, asks(call("1")), result("9")], ["given 3"], 0, "in message 2 answers another call"),
    ([USER, asks(call("1"), call("2")), result("9")], ["given 3"], 0, "in message 2 answers none of the calls"),
    ([USER, asks(call("1"), call("2")), result("1"), ANSWER], ["given 4"], 0, "2 tool calls have 1 results before message 3"),
    ([USER, asks(call("1")), result("1"), result("2")], ["given 4"], 0, "2 tool results follow 1 tool calls"),
    ([USER, {**ANSWER, "tool_calls": ["x"]}], ["given 2"], 0, "message 1 has a tool call that is no object"),
]


@pytest.mark.parametrize(("messages", "turns", "index", "what"), GIVEN)
def test_what_it_could_not_have_said_is_given_and_reported(
    messages: list[dict[str, Any]], turns: list[str], index: int, what: str
) -> None:
    """A message that no tool loop could have asked for is given, with its index and the reason."""
    made = planned(*messages)
    assert shape(made) == turns
    assert [what in note.what for note in made.notes if note.message == index] == [True]
    assert made.given == sum(int(turn.split()[1]) for turn in turns if turn.startswith("given"))


def test_opening_instructions_are_nothing_to_report() -> None:
    """System and developer messages before the first turn are where they belong."""
    assert planned(SYSTEM, {"role": "developer", "content": "x"}, USER, ANSWER).notes == ()


ODD: list[tuple[list[dict[str, Any]], int, str]] = [
    ([USER, asks(call("1")), result(None), ANSWER], 2, "no id"),
    ([USER, asks(call("1")), result("1", name="other"), ANSWER], 2, "named 'other', its call 'weather'"),
    ([USER, {**ANSWER, "tool_calls": {}}], 1, "tool_calls is no list"),
    ([USER, asks({"id": "1", "type": "custom", "name": "shell"}), result("1")], 1, "without a function"),
]


@pytest.mark.parametrize(("messages", "index", "what"), ODD)
def test_odd_messages_are_run_and_reported(messages: list[dict[str, Any]], index: int, what: str, tmp_path: Path) -> None:
    """A message that is odd in form but fits its place is run, and its oddity is named with its index."""
    path, report = imported(tmp_path, messages)
    assert [(note.message, what in note.what) for note in report.notes] == [(index, True)]
    assert report.given == 0
    assert Replayer(path).run().verdict == "same"


def test_a_turn_longer_than_a_message_may_be_is_given(tmp_path: Path) -> None:
    """As many rounds as fit into the frames of one message are run; one more, and the turn is given."""
    rounds = [asks(call("1")), result("1")]
    path, report = imported(tmp_path, [USER, *rounds * ROUNDS_MAX, ANSWER])
    assert (report.given, report.calls) == (0, 2 * ROUNDS_MAX + 1)
    assert verify(path).counts.frames == 2 * ROUNDS_MAX + 2
    path, report = imported(tmp_path, [USER, *rounds * (ROUNDS_MAX + 1), ANSWER])
    assert (report.given, report.calls) == (2 * ROUNDS_MAX + 4, 0)


def test_a_recording_that_stops_ends_open(tmp_path: Path) -> None:
    """A conversation that stops in mid-message ends with a not_recorded outcome and the status open, in a sealed file."""
    path, report = imported(tmp_path, [SYSTEM, USER, asks(call("1")), result("1")])
    assert report.open
    assert verify(path).open
    with TraceReader(path) as reader:
        lines = [(line.kind, line.data, line.outcome() if line.kind == "outcome" else None) for line in reader.lines()]
    outcomes = [outcome.status for _, _, outcome in lines if outcome is not None]
    assert outcomes == ["ok", "ok", "not_recorded"]
    assert lines[-1][1]["status"] == "open"
    assert Replayer(path).run().verdict == "same"


def test_missing_tool_results_end_open_too(tmp_path: Path) -> None:
    """The results that a stopped recording does have are kept, and come back in their places."""
    messages = [USER, asks(call("1"), call("2", "Rome"), call("3", "Oslo")), result("2", "rain")]
    path, report = imported(tmp_path, messages)
    assert (report.open, report.calls) == (True, 4)
    with TraceReader(path) as reader:
        values = [line.outcome().value for line in reader.lines() if line.kind == "outcome" and line.value["effect"] == "tool"]
    assert values == [None, ToolReply(message=freeze(result("2", "rain"))), None]
    assert thaw(export_messages(path).messages) == messages
    assert Replayer(path).run().verdict == "same"


def test_the_request_holds_model_tools_and_params(tmp_path: Path) -> None:
    """What the document says of model, tools and parameters is what every model call asks with, unless it is overruled."""
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
    body = {"model": "small", "temperature": 0, "messages": [USER, ANSWER], "tools": tools}
    [conversation] = read_conversations(json.dumps(body).encode())
    path = tmp_path / "run.trace.jsonl"
    report = import_messages(conversation, path, source="a test")
    assert [note.what for note in report.notes] == ["kept as parameters of every model call: temperature"]
    assert request_of(path) == {"model": "small", "messages": [USER], "tools": tools, "params": {"temperature": 0}, "show": True}
    assert read_header(path)["provenance"] == {"inputs": "imported", "model": "imported", "tools": "imported", "source": "a test"}
    import_messages(conversation, path, model="large", tools=(), params={"top_p": 1}, replace=True)
    assert request_of(path) == {"model": "large", "messages": [USER], "tools": tools, "params": {"top_p": 1}, "show": True}


def request_of(path: Path) -> Any:
    """Return the request of the first outcome of a trace."""
    with TraceReader(path) as reader:
        return next(thaw(line.data["request"]) for line in reader.lines() if line.kind == "outcome")


def test_an_import_is_a_function_of_the_conversation(tmp_path: Path) -> None:
    """The same conversation imported twice gives the same bytes."""
    messages = [SYSTEM, USER, asks(call("1")), result("1"), ANSWER]
    first = imported(tmp_path, messages)[0].read_bytes()
    assert imported(tmp_path, messages)[0].read_bytes() == first


def test_nothing_to_run_is_reported_and_proves_nothing(tmp_path: Path) -> None:
    """A conversation without a turn is carried whole, reported, and refuses to count as a replay that succeeded."""
    path, report = imported(tmp_path, [SYSTEM, ANSWER])
    assert report.calls == 0
    assert "nothing in this conversation can be run" in report.notes[-1].what
    assert thaw(export_messages(path).messages) == [SYSTEM, ANSWER]
    with pytest.raises(NothingCompared):
        Replayer(path).run()


def test_an_existing_file_is_left_alone(tmp_path: Path) -> None:
    """An import does not write over a file unless told to."""
    path, _ = imported(tmp_path, [USER, ANSWER])
    before = path.read_bytes()
    with pytest.raises(UsageError, match="exists"):
        import_messages(Conversation(messages=freeze([USER])), path)
    assert path.read_bytes() == before


def test_the_report_is_json(tmp_path: Path) -> None:
    """A report can be written as JSON with every note in it."""
    path, report = imported(tmp_path, [USER, USER], source="here")
    assert json.loads(json.dumps(report.to_json())) == {
        "path": str(path),
        "source": "here",
        "messages": 2,
        "inputs": 2,
        "calls": 1,
        "given": 1,
        "open": True,
        "notes": [
            {
                "message": 0,
                "what": "this message is given, not run: message 1 (user) stands where the model's reply is expected",
            }
        ],
    }


def read(document: Any, shape: Any = "auto") -> list[Conversation]:
    """Read a JSON document."""
    return list(read_conversations(json.dumps(document).encode(), shape))


LIST = [USER, ANSWER]


@pytest.mark.parametrize(
    ("data", "sources"),
    [
        (json.dumps(LIST), ["-"]),
        (json.dumps(LIST, indent=1), ["-"]),
        (json.dumps({"messages": LIST}), ["-"]),
        (json.dumps({"traj": LIST, "trial": 1}, indent=1), ["-"]),
        (json.dumps([LIST, {"messages": LIST}]), ["-[0]", "-[1]"]),
        (f"\n{json.dumps(LIST)}\r\n\n{json.dumps({'traj': LIST})}", ["-:2", "-:4"]),
        (f"{json.dumps([LIST, LIST])}\n{json.dumps(LIST)}\n", ["-:1[0]", "-:1[1]", "-:2"]),
    ],
)
def test_every_shape_is_read(data: str, sources: list[str]) -> None:
    """Lists, request bodies and tau-bench results are read from JSON and JSON Lines, each with its place."""
    found = list(read_conversations(data.encode()))
    assert [conversation.source for conversation in found] == sources
    assert all(thaw(conversation.messages) == LIST for conversation in found)


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    """A conversation from a file names the file and the line."""
    path = tmp_path / "talk.jsonl"
    path.write_bytes(b"\n".join([json.dumps(LIST).encode()] * 2))
    assert [conversation.source for conversation in read_conversations(path)] == [f"{path}:1", f"{path}:2"]
    with pytest.raises(TraceNotFound):
        list(read_conversations(tmp_path / "absent.jsonl"))


def test_what_a_result_says_besides_is_kept(tmp_path: Path) -> None:
    """Task, trial and reward of a tau-bench result stand in the header, and the report says so."""
    [conversation] = read({"task_id": 3, "traj": LIST, "reward": 1.0, "model": "gpt-4o"})
    path = tmp_path / "run.trace.jsonl"
    report = import_messages(conversation, path)
    assert read_header(path)["provenance"]["about"] == {"task_id": 3, "reward": 1.0}
    assert conversation.model == "gpt-4o"
    assert [note.what for note in report.notes] == ["kept in the header's provenance: task_id, reward"]


def test_what_is_too_large_for_the_header_is_reported(tmp_path: Path) -> None:
    """A member that the header cannot take is named as left out, and the others are kept."""
    [conversation] = read({"traj": LIST, "info": "x" * ABOUT_BYTES_MAX, "trial": 2})
    path = tmp_path / "run.trace.jsonl"
    report = import_messages(conversation, path)
    assert read_header(path)["provenance"]["about"] == {"trial": 2}
    assert "left out: 'info' of 262,146 bytes is more than a header takes" in [note.what for note in report.notes]


def test_odd_request_members_are_kept_as_parameters() -> None:
    """A model or tools of another type than OpenAI's are kept as they are, among the parameters."""
    [conversation] = read({"messages": LIST, "model": None, "tools": "all"})
    assert (conversation.model, conversation.tools) == ("", ())
    assert conversation.params == {"model": None, "tools": "all"}


REFUSED: list[tuple[bytes, type[FrameEngineError], str, int | None]] = [
    (b"", TraceFormat, "is empty", 1),
    (b" \n\n", TraceFormat, "is empty", 1),
    (b"[]", UsageError, "without a message", None),
    (b'{"messages": []}', UsageError, "without a message", None),
    (b'[{"messages": [{"role": "user", "content": "x"}]}, []]', UsageError, r"-\[1\]: a conversation without", None),
    (b"{}", UsageError, "no 'messages' or 'traj'", None),
    (b'"text"', UsageError, "a str is no conversation", None),
    (b'{"role": "user", "content": "x"}', UsageError, "a message by itself", None),
    (b'{"messages": [], "traj": []}', UsageError, "both 'messages' and 'traj'", None),
    (b'{"messages": {}}', UsageError, "the messages are no list", None),
    (b'[{"role": "user"}, 7]', UsageError, "message 1 is no object", None),
    (b'[{"role": "user"}, {"content": "x"}]', UsageError, "message 1 has no role", None),
    (b'[{"role": "user"}, {"role": 1}]', UsageError, "message 1 has no role", None),
    (b'[{"role": "user",\n "content": }]', TraceFormat, "line 2, column 13", 2),
    (b'[{"role": "user"}]\n[{"role": "user"}\n', TraceFormat, "line 2: not JSON", 2),
    (b'[{"role": "user"}\n[{"role": "user"}]\n', TraceFormat, "line 2, column 1", 2),
    (b'[{"role": "user"}]\n\n[{"role": "user", "role": "user"}]', TraceFormat, "line 3: the key 'role' stands twice", 3),
    (b'[{"role": "user", "content": NaN}]', TraceFormat, "NaN is not JSON", 1),
    (b'\xef\xbb\xbf[{"role": "user"}]', TraceFormat, "byte order mark", 1),
    (b'[{"role": "user", "content": "\\ud800"}]', TraceFormat, "lone surrogate at 0 at /0/content", 1),
]


@pytest.mark.parametrize(("data", "kind", "what", "line"), REFUSED)
def test_what_is_no_conversation_is_refused(data: bytes, kind: type[FrameEngineError], what: str, line: int | None) -> None:
    """Broken files and wrong shapes are refused with the line or the index of the message, and a way out."""
    with pytest.raises(kind, match=what) as caught:
        list(read_conversations(data))
    assert caught.value.fields.get("line") == line
    assert caught.value.hint


@pytest.mark.parametrize(
    ("document", "asked"), [(LIST, "tau-bench"), ({"messages": LIST}, "tau-bench"), ({"traj": LIST}, "messages")]
)
def test_a_shape_that_was_asked_for_is_insisted_on(document: Any, asked: str) -> None:
    """A document of another shape than the one that was asked for is refused."""
    with pytest.raises(UsageError):
        read(document, asked)
    assert len(read(document)) == 1


def test_a_document_of_both_shapes_is_read_as_the_one_that_is_asked_for() -> None:
    """Saying which shape is meant settles a document that has both members; the other one is kept."""
    both = {"messages": [USER], "traj": LIST}
    assert [thaw(conversation.messages) for conversation in read(both, "tau-bench")] == [LIST]
    assert read(both, "messages")[0].params == {"traj": tuple(freeze(LIST))}


def test_a_line_beyond_the_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is larger than a foreign document may be is refused before it is read whole."""
    monkeypatch.setattr(openai_read, "FOREIGN_BYTES_MAX", 10)
    with pytest.raises(LimitError, match="line 1, in bytes"):
        list(read_conversations(json.dumps(LIST).encode()))


TEXTS = st.text(max_size=3) | st.text("abc ", min_size=39, max_size=42)
CONTENTS = st.none() | TEXTS | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS}), max_size=2)
IDS = st.sampled_from(["a", "b", ""])
ARGUMENTS = st.sampled_from(["", "{}", '{"q": 1}', '{"q": 1, "q": 2}', "[1]", "{"]) | st.just({"q": [1.5, None]})
CALLS = st.fixed_dictionaries(
    {"id": IDS}, optional={"function": st.fixed_dictionaries({"name": st.sampled_from(["f", "g"]), "arguments": ARGUMENTS})}
)
ODDITIES = {"name": TEXTS, "$c": st.integers(0, 3), "refusal": st.none()}
MESSAGES = st.one_of(
    st.fixed_dictionaries({"role": st.just("user"), "content": CONTENTS}, optional=ODDITIES),
    st.fixed_dictionaries(
        {"role": st.just("assistant"), "content": CONTENTS},
        optional={**ODDITIES, "tool_calls": st.none() | st.lists(CALLS, max_size=3), "function_call": st.none()},
    ),
    st.fixed_dictionaries({"role": st.just("assistant"), "content": CONTENTS}),
    st.fixed_dictionaries({"tool_call_id": IDS, "role": st.just("tool"), "content": CONTENTS}, optional=ODDITIES),
    st.fixed_dictionaries({"role": st.sampled_from(["system", "developer", "function", ""]), "content": CONTENTS}),
)


@given(st.lists(MESSAGES, min_size=1, max_size=12))
def test_every_conversation_comes_back_exactly(messages: list[dict[str, Any]]) -> None:
    """Whatever the messages are: they are imported, replay the same, and come back as they were, key order included."""
    with TemporaryDirectory() as folder:
        path, report = imported(Path(folder), messages)
        exported = export_messages(path)
        assert json.dumps(thaw(exported.messages)) == json.dumps(messages)
        assert exported.notes == ()
        assert exported.open == report.open
        if report.calls:
            replayed = Replayer(path).run()
            assert replayed.verdict == "same"
            assert replayed.counts.calls == report.calls
        run = sum(isinstance(turn.body, UserMessage) for turn in plan(freeze(messages)).turns)
        assert (report.calls > 0) == (run > 0)
