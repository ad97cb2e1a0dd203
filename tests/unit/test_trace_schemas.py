"""The committed schemas say what a writer writes: every line fits, and no line that was tampered with does."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameengine.codec import dumps, loads
from frameengine.effects import Call, EffectKey, Outcome, ToolCall
from frameengine.errors import UsageError
from frameengine.importers.openai import import_messages
from frameengine.importers.openai_read import read_conversations
from frameengine.inputs import Input, Webhook
from frameengine.jsonvalue import EMPTY, freeze, thaw
from frameengine.limits import TEXT_CHUNK
from frameengine.records import Frame, FrameRecord, FrameTrace
from frameengine.trace.repair import repair
from frameengine.trace.schemas import KINDS, schema_of
from frameengine.trace.writer import TraceWriter
from sample_traces import DIGEST, LONG, lines_of, members, record, write_every_shape


@cache
def validator(kind: str) -> jsonschema.Draft202012Validator:
    """Return the validator of the lines of one kind."""
    return jsonschema.Draft202012Validator(thaw(schema_of(kind)))


def faults(line: dict[str, Any]) -> list[str]:
    """Return what the schema finds wrong in a line."""
    return [error.message for error in validator(line["kind"]).iter_errors(line)]


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return the lines of a real conversation, of a trace of every shape, and of a repaired one."""
    folder = tmp_path_factory.mktemp("schemas")
    record(folder / "real")
    with TraceWriter(folder / "shapes", members(), durability="durable") as writer:
        write_every_shape(writer)
        writer.input(Input(number=11, body=Webhook(source="s", payload="x" * (TEXT_CHUNK + 1))))
        writer.trace(FrameTrace(input=11, path="", total_frames=0, frames=0, calls=0, status="open", state=DIGEST), EMPTY)
        writer.seal()
    (folder / "torn").write_bytes((folder / "real").read_bytes()[:-200])
    repair(folder / "torn", folder / "repaired")
    return [line for name in ("real", "shapes", "repaired") for line in lines_of(folder / name)]


@pytest.mark.parametrize("kind", KINDS)
def test_each_schema_is_one(kind: str) -> None:
    """Each kind has a schema that is valid itself, stands alone, and describes closed objects at the top."""
    schema = schema_of(kind)
    jsonschema.Draft202012Validator.check_schema(thaw(schema))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False
    assert schema["properties"]["kind"]["const"] == kind
    references = set(strings_under(thaw(schema), "$ref"))
    assert {reference.removeprefix("#/$defs/") for reference in references} == set(schema.get("$defs", {}))


def strings_under(value: Any, name: str) -> Iterator[str]:
    """Yield the strings that stand under members of one name."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, dict) and isinstance(value.get(name), str):
        yield value[name]
    for item in items:
        yield from strings_under(item, name)


def test_an_unknown_kind_is_refused() -> None:
    """There is no schema for a kind that the format has not; the hint names those it has."""
    with pytest.raises(UsageError) as caught:
        schema_of("../header")
    assert "seal" in caught.value.hint


def test_every_line_fits_its_schema(lines: list[dict[str, Any]]) -> None:
    """Every line that a writer or a repair writes is valid, and every kind occurs."""
    assert {line["kind"] for line in lines} == set(KINDS)
    for line in lines:
        assert faults(line) == [], line


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_member_is_refused(lines: list[dict[str, Any]], kind: str) -> None:
    """Without any one of the members that it must have, a line of any kind is invalid."""
    required = set(schema_of(kind)["required"])
    assert {"kind", "chain"} <= required
    for line in [line for line in lines if line["kind"] == kind]:
        for name in required:
            assert not validator(kind).is_valid({key: item for key, item in line.items() if key != name}), name


@pytest.mark.parametrize("kind", KINDS)
def test_an_extra_member_is_refused(lines: list[dict[str, Any]], kind: str) -> None:
    """With a member that the format does not know, a line of any kind is invalid."""
    for line in [line for line in lines if line["kind"] == kind]:
        assert faults({**line, "extra": 1})
        assert faults({**line, "$c": 1})


ODD: tuple[Any, ...] = (None, True, 1.5, [], "?", {"?": 1})
"""One value of each type."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_member_of_another_type_is_refused(lines: list[dict[str, Any]], kind: str) -> None:
    """With any member turned into a value of another type, a line of any kind is invalid."""
    for line in [line for line in lines if line["kind"] == kind]:
        for name in line:
            for odd in ODD:
                if type(odd) is not type(line[name]):
                    assert not validator(kind).is_valid({**line, name: odd}), (name, odd)


def last(kind: str, lines: list[dict[str, Any]], found: Callable[[dict[str, Any]], bool] = bool) -> dict[str, Any]:
    """Return a copy of a line of one kind for which *found* holds."""
    return deepcopy([line for line in lines if line["kind"] == kind and found(line)][-1])


def test_members_further_in_are_closed_too(lines: list[dict[str, Any]]) -> None:
    """Requests, outcomes, records, calls, changes and data are refused where they hold what the format does not know."""
    planted: list[tuple[str, Callable[[dict[str, Any]], bool], Callable[[dict[str, Any]], None]]] = [
        ("outcome", lambda line: line["effect"] == "model", lambda line: line["request"].update(extra=1)),
        ("outcome", lambda line: line["effect"] == "model", lambda line: line["request"].update(messages=[])),
        ("outcome", lambda line: line["effect"] == "tool", lambda line: line["request"].update(model="m")),
        ("outcome", lambda line: line["outcome"]["status"] == "ok", lambda line: line["outcome"].update(error={})),
        ("outcome", lambda line: line["outcome"]["status"] == "ok", lambda line: line["outcome"].update(status="error")),
        ("outcome", lambda line: line["outcome"]["status"] == "cancelled", lambda line: line["outcome"].update(status="ok")),
        ("outcome", lambda line: line["effect"] == "tool", lambda line: line.update(effect="model")),
        ("outcome", bool, lambda line: line["key"].append("main")),
        ("outcome", bool, lambda line: line["key"].pop()),
        ("frame", bool, lambda line: line["records"][0].update(extra=1)),
        ("frame", bool, lambda line: line["records"][0].pop("input")),
        ("frame", lambda line: "calls" in line["records"][0], lambda line: line["records"][0]["calls"][0].pop()),
        ("frame", lambda line: "calls" in line["records"][0], lambda line: line["records"][0].update(calls=[])),
        ("frame", lambda line: "changes" in line["records"][0], lambda line: line["records"][0]["changes"][0].pop("value", None)),
        ("frame", lambda line: "changes" in line["records"][0], lambda line: line["records"][0]["changes"][0].update(op="move")),
        ("frame", lambda line: "emissions" in line["records"][0], lambda line: line["records"][0]["emissions"][0].append(1)),
        ("frame", bool, lambda line: line.update(phase="main")),
        ("input", lambda line: line["type"] == "Given", lambda line: line["data"].update(messages=[{"role": "user"}])),
        ("input", lambda line: line["type"] == "StateEdit", lambda line: line["data"]["changes"][0].update(op="move")),
        ("input", lambda line: line["type"] == "StateEdit", lambda line: line["data"].update(more=1)),
        ("input", lambda line: line["type"] == "Action", lambda line: line["data"]["data"].update({"$c": 1, "x": 2})),
        ("input", lambda line: line["type"] == "Action", lambda line: line["data"]["data"].update({"$x": 1})),
        ("input", lambda line: line["type"] == "Cancel", lambda line: line["data"].update(why="x")),
        ("input", bool, lambda line: line.update(type="Sigh")),
        ("content", bool, lambda line: line.update(values=[])),
        ("content", bool, lambda line: line["values"].append(5)),
        ("content", bool, lambda line: line["values"].append({"$join": [1]})),
        ("content", bool, lambda line: line["values"].append({"$list": [[1, 2]]})),
        ("content", bool, lambda line: line["values"].append({"$c": [1, 2]})),
        ("header", lambda line: "repaired" in line, lambda line: line["repaired"][0].pop("code")),
        ("header", bool, lambda line: line["fingerprint"].update(graph="x")),
        ("header", bool, lambda line: line.update(format=2)),
        ("trace", bool, lambda line: line.update(status="fine")),
        ("seal", bool, lambda line: line.update(head="x")),
        ("seal", bool, lambda line: line.update(inputs=-1)),
    ]
    for kind, found, plant in planted:
        line = last(kind, lines, found)
        assert faults(line) == []
        plant(line)
        assert faults(line), line


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "x", LONG]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "", "$", "$c", "$$join", "ü", LONG]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=40)
@given(value=VALUES)
def test_any_value_of_a_user_fits(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    """Whatever JSON stands in inputs, requests, replies and records, with dollars in its keys or not, the lines are valid."""
    path = tmp_path_factory.mktemp("value") / "a"
    with TraceWriter(path, members()) as writer:
        writer.input(Input(number=1, body=Webhook(source="s", payload=value)))
        call = Call.of(EffectKey(1, 1, "n", 0), ToolCall("f", value))
        writer.outcome(call, Outcome(status="not_recorded", meta=freeze({"value": value})))
        found = FrameRecord(frame=1, node="n", phase="main", input=freeze({"value": value}), error=freeze({"value": value}))
        writer.frame(Frame(input=1, frame=1, phase="main", records=(found,)), EMPTY)
    for line in lines_of(path):
        assert faults(line) == [], line


def test_the_schemas_are_written_in_one_way() -> None:
    """The committed files are plain JSON in two-space form, so that a change shows as what it is."""
    for kind in KINDS:
        text = files("frameengine.trace").joinpath("schema", f"{kind}.schema.json").read_text(encoding="utf-8")
        assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"
        assert loads(dumps(schema_of(kind))) == json.loads(text)
    assert len(sorted(Path(str(files("frameengine.trace").joinpath("schema"))).iterdir())) == len(KINDS)


COMMITTED = sorted((Path(__file__).parents[2] / "traces").rglob("*.trace.jsonl"))


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_committed_traces_fit(path: Path) -> None:
    """Every line of every trace that is kept in the project is valid."""
    for line in lines_of(path):
        assert faults(line) == []


def test_there_are_committed_traces() -> None:
    """The test above has something to look at."""
    assert len(COMMITTED) >= 2


@pytest.mark.data
def test_imported_real_conversations_fit(data_dir: Path, tmp_path: Path) -> None:
    """Every line of imported recordings of a real agent is valid."""
    with lzma.open(data_dir / "tau-bench" / "gpt-4o-airline.jsonl.xz") as file:
        documents = [next(file) for _ in range(10)]
    kinds = set()
    for number, document in enumerate(documents):
        for conversation in read_conversations(document):
            import_messages(conversation, tmp_path / f"{number}")
        for line in lines_of(tmp_path / f"{number}"):
            kinds.add(line["kind"])
            assert faults(line) == []
    assert kinds == set(KINDS)
