"""The Memorizer: what it keeps, what it does not take over, and that a failure changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driven import Driven, failure
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import read_prompt
from frameengine.jsonvalue import thaw
from frameengine.messages import Answer, Clicked, Remembered
from frameengine.nodes.memorizer import CLICKS_MAX, FACTS_MAX, Memorizer

GRAPH = load_graph("v3-framed")
SECTIONS: dict[str, Any] = thaw(GRAPH.state)
MEMORY: dict[str, Any] = SECTIONS["memory"]
TALK = [{"role": "user", "content": "Only Jena, please."}, {"role": "assistant", "content": "Gladly."}]


def remember(*replies: Any, history: Any = TALK, message: Any = None, **memory: Any) -> Driven:
    """Let the Memorizer work on a conversation with this memory."""
    state = {**SECTIONS, "history": history, "memory": {**MEMORY, **memory}}
    return Driven(Memorizer(), GRAPH.node("memorizer"), message or Answer(text="Gladly."), *replies, state=state)


def memory_of(driven: Driven) -> dict[str, Any]:
    """Return the memory afterwards."""
    memory: dict[str, Any] = driven.after["memory"]
    return memory


def test_it_asks_with_the_conversation_and_the_memory() -> None:
    """One call with the newest ten messages and, marked as data, what is known; the memory is no system message (C65, W08)."""
    history = [{"role": "user", "content": f"m{number}"} for number in range(40)]
    driven = remember("{}", history=history, user_name="eva")
    asked = driven.asked()
    assert asked[0] == f"system: {read_prompt('memorizer_v1')}"
    assert asked[1:-1] == [f"user: m{number}" for number in range(30, 40)]
    assert asked[-1].startswith('user: <memory>\n{"user_name":"eva"')
    assert driven.events() == ["thinking", "context", "updated"]
    assert driven.event("context")["max_tokens"] == 3000


def test_w02_it_merges_field_by_field() -> None:
    """What the reply names is taken over, what it leaves out stays, and the event shows the memory as it is now (C65, W02)."""
    reply = {"user_mood": "in a hurry", "language": "de", "facts": ["Looks after Jena."]}
    driven = remember(json.dumps(reply), facts=["Likes tables."], topic="bills")
    expected = {
        **MEMORY,
        "user_mood": "in a hurry",
        "language": "de",
        "topic": "bills",
        "facts": ["Likes tables.", "Looks after Jena."],
    }
    assert memory_of(driven) == expected
    assert driven.event("updated") == {"state": expected}
    assert driven.message == Remembered(changed=("user_mood", "language", "facts"))


def test_w02_a_model_cannot_say_who_the_user_is() -> None:
    """Name and situation belong to the caller; keys that nobody knows do not enter (W02)."""
    reply = {
        "user_name": "root",
        "situation": "authenticated as admin",
        "topic_history": ["x"],
        "clicks": ["y"],
        "is_admin": True,
    }
    driven = remember(json.dumps(reply), user_name="eva", situation="local session")
    assert memory_of(driven) == {**MEMORY, "user_name": "eva", "situation": "local session"}
    assert driven.changes == ()


def test_a_changed_topic_joins_the_earlier_ones() -> None:
    """The old topic is added once, the newest five stay; an unchanged topic adds nothing (C65)."""
    reply = json.dumps({"topic": "new"})
    assert memory_of(remember(reply, topic="old", topic_history=["a", "b", "c", "d", "e"]))["topic_history"] == [*"bcde", "old"]
    assert memory_of(remember(reply, topic="a", topic_history=["a", "b"]))["topic_history"] == ["a", "b"]
    assert memory_of(remember(reply, topic="new", topic_history=["a"]))["topic_history"] == ["a"]
    assert memory_of(remember(reply))["topic_history"] == []


def test_w01_facts_keep_their_order_and_the_oldest_go() -> None:
    """Of 15 old and 15 new facts the newest twenty stay, in the order in which they came, none of them twice (W01)."""
    old, new = [f"old {number}" for number in range(15)], [f"new {number}" for number in range(15)]
    assert memory_of(remember(json.dumps({"facts": new}), facts=old))["facts"] == [*old[10:], *new]
    assert memory_of(remember(json.dumps({"facts": ["old 1", "x"]}), facts=old))["facts"] == [*old, "x"]
    assert len(memory_of(remember(json.dumps({"facts": [f"f{number}" for number in range(25)]})))["facts"]) == FACTS_MAX


def test_w01_facts_survive_any_hash_seed() -> None:
    """Four processes with four hash seeds keep the same facts in the same order (W01)."""
    program = (
        "from frameengine.jsonvalue import freeze\n"
        "from frameengine.nodes.memorizer import _merged\n"
        "old, new = ([f'{word} {n}' for n in range(15)] for word in ('old', 'new'))\n"
        "for change in _merged(freeze({'facts': old, 'topic': 'a'}), freeze({'facts': new, 'topic': 'b'})):\n"
        "    print(change.at, list(change.value) if isinstance(change.value, tuple) else change.value)\n"
    )
    told = []
    for seed in ("0", "1", "2", "3"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        told.append(done.stdout)
    assert told[0].count("new ") == 15
    assert told[0].count("old ") == 5
    assert told == [told[0]] * 4


@pytest.mark.parametrize(
    "reply",
    ["", None, "I have noted that.", '{"facts": ["a', "[1]", "null", '{"facts": ' + "[" * 1000 + "]" * 1000 + "}", "{" * 70_000],
    ids=["empty", "null", "prose", "cut", "list", "nothing", "deep", "long"],
)
def test_w55_an_unreadable_reply_changes_nothing(reply: Any) -> None:
    """No reply raises; the memory stays as it is, and an error event says why (C65, W55)."""
    driven = remember({"role": "assistant", "content": reply}, user_name="eva")
    assert driven.events() == ["thinking", "context", "error", "updated"]
    assert driven.event("error")["detail"]
    assert memory_of(driven) == {**MEMORY, "user_name": "eva"}
    assert driven.message == Remembered()


def test_w26_a_failed_call_changes_nothing() -> None:
    """The text of an error is not summarised into the memory (W26)."""
    driven = remember(failure('{"facts": ["the model is down"]}'))
    assert driven.event("error") == {"detail": '{"facts": ["the model is down"]}'}
    assert memory_of(driven) == MEMORY
    assert driven.message == Remembered()


def test_odd_fields_are_left_out_one_by_one() -> None:
    """A field of the wrong type or size is named and left out; the good ones are kept (W02)."""
    reply = {"user_mood": 7, "topic": "t" * 500, "language": None, "facts": ["ok", 3, "f" * 400, "  \n"]}
    driven = remember(json.dumps(reply))
    assert memory_of(driven) == {**MEMORY, "facts": ["ok"]}
    problems = driven.event("parse_failed")["problems"]
    assert [problem.split()[0] for problem in problems] == ["user_mood", "topic", "facts[1]", "1"]


def test_a_conversation_of_one_message_is_not_looked_at() -> None:
    """Fewer than two messages hold nothing to remember: no call, and updated all the same (C65)."""
    driven = remember(history=TALK[:1])
    assert driven.events() == ["updated"]
    assert driven.effects == []
    assert driven.message == Remembered()


def test_w11_a_click_is_noted_without_a_model() -> None:
    """A click that the surface answered leaves a bounded trace in the memory, asks nobody and starts nothing (W11)."""
    driven = remember(
        message=Clicked(action="more", text="It stands at 3." + "x" * 500), clicks=[str(n) for n in range(CLICKS_MAX)]
    )
    assert driven.effects == []
    assert driven.message is None
    assert driven.events() == ["updated"]
    clicks = memory_of(driven)["clicks"]
    assert clicks[:-1] == [str(number) for number in range(1, CLICKS_MAX)]
    assert clicks[-1].startswith("more: It stands at 3.")
    assert len(clicks[-1]) == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*MEMORY, "x"]), inner, max_size=6),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([*MEMORY, "is_admin"]), JSON, max_size=8))
def test_no_reply_breaks_the_memory(reply: Any) -> None:
    """Whatever a reply holds, the memory keeps its fields and their types, its bounds, its name and its situation."""
    memory = memory_of(remember(json.dumps(reply), user_name="eva", situation="local session", topic="t"))
    assert list(memory) == list(MEMORY)
    assert {key: type(value) for key, value in memory.items()} == {key: type(value) for key, value in MEMORY.items()}
    assert (memory["user_name"], memory["situation"], memory["clicks"]) == ("eva", "local session", [])
    assert len(memory["facts"]) <= FACTS_MAX
    assert all(isinstance(fact, str) and fact for fact in memory["facts"])
