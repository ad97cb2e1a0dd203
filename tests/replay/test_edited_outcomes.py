"""Outcomes that were changed after the recording: named by their key, with what follows from them."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from frameengine.effects import EffectKey
from frameengine.errors import TraceIntegrity
from frameengine.importers.openai import Conversation, import_messages, read_conversations
from frameengine.replay.divergence import Divergence
from frameengine.replay.replayer import Replayer
from frameengine.trace.reader import TraceReader
from frameengine.trace.verify import verify
from rebuild import rebuild, rechain

pytestmark = pytest.mark.data


def tool_result(outcome: dict[str, Any]) -> str | None:
    """Change a tool's result; return the text that stood there, or None where there is nothing to change."""
    content: str = outcome["message"]["content"]
    outcome["message"]["content"] = content + " (edited)"
    return content


def function(outcome: dict[str, Any]) -> dict[str, Any] | None:
    """Return the function of a reply's first tool call."""
    calls = outcome["message"].get("tool_calls")
    found: dict[str, Any] | None = calls[0]["function"] if calls else None
    return found


def tool_name(outcome: dict[str, Any]) -> str | None:
    """Change the name of the tool that a reply calls."""
    called = function(outcome)
    if called is None:
        return None
    name: str = called["name"]
    called["name"] = name + "_edited"
    return name


def argument(outcome: dict[str, Any]) -> str | None:
    """Change the arguments that a reply calls a tool with."""
    called = function(outcome)
    if called is None:
        return None
    arguments: str = called["arguments"]
    called["arguments"] = json.dumps({**json.loads(arguments), "edited": True})
    return arguments


def reply(outcome: dict[str, Any]) -> str | None:
    """Change the text of a reply that calls no tool."""
    if function(outcome) is not None:
        return None
    content: str = outcome["message"]["content"]
    outcome["message"]["content"] = content + " (edited)"
    return content


@frozen(kw_only=True)
class Case:
    """One kind of edit."""

    change: Callable[[dict[str, Any]], str | None]
    """Changes an outcome's value in place."""
    effect: str
    """Kind of effect whose outcomes it applies to."""
    consequence: str
    """What differs first after it."""
    conversations: int
    """How many conversations have such an outcome."""


CASES = {
    "tool result": Case(change=tool_result, effect="tool", consequence="state", conversations=91),
    "tool name": Case(change=tool_name, effect="model", consequence="output", conversations=91),
    "argument": Case(change=argument, effect="model", consequence="output", conversations=91),
    "model reply": Case(change=reply, effect="model", consequence="output", conversations=100),
}


@pytest.fixture(scope="module")
def conversations(data_dir: Path) -> list[Conversation]:
    """Return the conversations of tau-bench."""
    data = lzma.decompress((data_dir / "tau-bench" / "gpt-4o-airline.jsonl.xz").read_bytes())
    return list(read_conversations(data))


@pytest.fixture(scope="module")
def traces(conversations: list[Conversation], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return a trace of each conversation."""
    folder = tmp_path_factory.mktemp("traces")
    paths = []
    for number, conversation in enumerate(conversations):
        paths.append(folder / f"{number}.trace.jsonl")
        import_messages(conversation, paths[-1])
    return paths


def candidates(path: Path, case: Case) -> Iterator[EffectKey]:
    """Yield the keys of the outcomes that a case can change."""
    with TraceReader(path) as reader:
        for line in reader.lines():
            if line.kind == "outcome" and line.value["effect"] == case.effect:
                value = line.data["outcome"].get("value")
                if value is not None and case.change(json.loads(json.dumps(value))) is not None:
                    yield line.key()


def edited(path: Path, target: Path, key: EffectKey, case: Case) -> None:
    """Write a trace with one outcome line changed, and chain and seal made to hold."""

    def edit(line: dict[str, Any]) -> dict[str, Any]:
        if line["kind"] == "outcome" and EffectKey(*line["key"]) == key:
            assert case.change(line["outcome"]["value"]) is not None
        return line

    rebuild(path, target, edit)
    with pytest.raises(TraceIntegrity, match="tells of another"):
        verify(target)


def divergence_of(path: Path) -> Divergence:
    """Replay a trace that must diverge."""
    found = Replayer(path).run().divergence
    assert found is not None
    return found


def test_a_rebuilt_trace_without_an_edit_is_the_same(traces: list[Path], tmp_path: Path) -> None:
    """A trace whose contents all stand in place replays the same: what the edits below find is the edit."""
    target = tmp_path / "rebuilt.trace.jsonl"
    for path in traces[:20]:
        rebuild(path, target)
        assert Replayer(target).run().divergence is None
        assert verify(target).counts == verify(path).counts


@pytest.mark.parametrize("name", CASES)
def test_an_edited_outcome_is_named(name: str, traces: list[Path], tmp_path: Path) -> None:
    """One outcome line changed in a file whose chain and seal hold: its key is named, and the first thing that follows."""
    case = CASES[name]
    target = tmp_path / "edited.trace.jsonl"
    tried = 0
    for number, path in enumerate(traces):
        keys = list(candidates(path, case))
        if not keys:
            continue
        tried += 1
        # Another place in each conversation: first, last and in between.
        key = keys[number % len(keys)]
        edited(path, target, key, case)
        found = divergence_of(target)
        assert (found.kind, found.key, found.cause) == ("outcome", key, case.effect)
        after = found.consequence
        assert after is not None
        assert (after.kind, after.input, after.frame, after.node) == (case.consequence, key.input, key.frame, key.node)
        assert str(key) in after.because
    assert tried == case.conversations


@pytest.mark.parametrize("name", CASES)
def test_an_edit_in_place_with_a_new_chain_is_named(name: str, traces: list[Path], tmp_path: Path) -> None:
    """Changed where it is stored, so that every request and record shows the edit as well, an outcome is still named."""
    case = CASES[name]
    target = tmp_path / "edited.trace.jsonl"
    tried = 0
    for path in traces:
        key, text, number = stored(path, case)
        if not number:
            continue
        tried += 1
        rechain(path, target, number, lambda body, text=text: body.replace(quoted(text), quoted(changed(text)), 1))  # type: ignore[misc]
        with pytest.raises(TraceIntegrity, match="tells of another"):
            verify(target)
        found = divergence_of(target)
        assert (found.kind, found.key) == ("outcome", key)
        assert found.consequence is not None
    assert tried == case.conversations


@pytest.mark.parametrize("name", CASES)
def test_an_edit_without_a_new_chain_is_found_in_its_line(name: str, traces: list[Path], tmp_path: Path) -> None:
    """The same bytes changed, and nothing else: the line is named, by replay and by verify."""
    case = CASES[name]
    target = tmp_path / "edited.trace.jsonl"
    tried = 0
    for path in traces:
        _, text, number = stored(path, case)
        if not number:
            continue
        tried += 1
        lines = path.read_bytes().split(b"\n")
        lines[number - 1] = lines[number - 1].replace(quoted(text), quoted(changed(text)), 1)
        target.write_bytes(b"\n".join(lines))
        for check in (verify, lambda damaged: Replayer(damaged).run()):
            with pytest.raises(TraceIntegrity) as caught:
                check(target)
            assert caught.value.fields["line"] == number
    assert tried == case.conversations


def stored(path: Path, case: Case) -> tuple[EffectKey | None, str, int]:
    """Return the first outcome that a case can change, its text, and the line that holds this text; 0 where there is none."""
    with TraceReader(path) as reader:
        for line in reader.lines():
            if line.kind != "outcome" or line.value["effect"] != case.effect or "value" not in line.data["outcome"]:
                continue
            text = case.change(json.loads(json.dumps(line.data["outcome"]["value"])))
            if text:
                break
        else:
            return None, "", 0
        key = line.key()
    lines = path.read_bytes().split(b"\n")
    holding = [number for number, raw in enumerate(lines, start=1) if quoted(text) in raw and b'"kind":"content"' in raw]
    return key, text, holding[0] if holding else 0


def quoted(text: str) -> bytes:
    """Return a text as it stands in a line."""
    return json.dumps(text, ensure_ascii=False).encode()


def changed(text: str) -> str:
    """Return another text, which is a JSON object where *text* is one."""
    return text.replace("{", '{"edited":true,', 1) if text.startswith('{"') else f"{text} (edited)"


def test_a_recording_may_not_go_on_where_it_stopped(traces: list[Path], tmp_path: Path) -> None:
    """An outcome put where none was recorded is named: replay must stop at the same call."""
    target = tmp_path / "longer.trace.jsonl"

    def go_on(line: dict[str, Any]) -> dict[str, Any]:
        if line["kind"] == "outcome" and line["outcome"]["status"] == "not_recorded":
            keys.append(EffectKey(*line["key"]))
            value = {"message": {"role": "assistant", "content": "Anything else?"}, "finish_reason": "unknown"}
            line["outcome"] = {"status": "ok", "value": value}
        return line

    for path in traces[:10]:
        keys: list[EffectKey] = []
        rebuild(path, target, go_on)
        found = divergence_of(target)
        assert [found.key] == keys
        assert found.kind == "outcome"
        assert found.consequence is not None


def test_a_call_that_was_cut_out_is_named(traces: list[Path], tmp_path: Path) -> None:
    """A missing outcome line is a call that the record does not have, never a replay that matches less."""
    target = tmp_path / "shorter.trace.jsonl"
    for path in traces[:10]:
        keys = list(candidates(path, CASES["model reply"]))

        def cut(line: dict[str, Any], key: EffectKey = keys[-1]) -> dict[str, Any] | None:
            return None if line["kind"] == "outcome" and EffectKey(*line["key"]) == key else line

        rebuild(path, target, cut)
        found = divergence_of(target)
        assert (found.kind, found.key) == ("extra", keys[-1])
