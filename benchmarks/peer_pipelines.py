"""The five-node pipeline in Burr and in LangGraph: the same calls of a scripted model, the same window of messages in the state.

Each runs with its own defaults and keeps what it keeps: the state after every step, but no requests. They differ in what a power
cut costs: Burr leaves syncing to the system, LangGraph's database syncs each checkpoint, so its figure is largely the disk's.
A peer that did less than is said here would look fast, so what was asked and written is checked after the clock has stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, TypedDict

from benchmarks.measure import timed
from benchmarks.pipeline import CALLING, MESSAGE_CHARS, NODES, SYSTEM, padded
from frameengine.jsonvalue import thaw
from frameengine.state import HISTORY_KEEP

WARM_UP = HISTORY_KEEP // 2
"""Messages until the window is full: each leaves a question and an answer."""
BURR_MESSAGES = 200
LANGGRAPH_MESSAGES = 40
"""Messages that are timed in one round: enough for a quarter of a second, few enough for a slow disk."""
LEAVES = {"input": "command", "director": "plan", "thinker": "thought", "interpreter": "result", "output": "answer"}
"""What each step leaves in the state."""
SPEAKING = ("input", "output")
"""The steps that add to the history as well."""

Message = dict[str, Any]
Step = Callable[[Mapping[str, Any]], dict[str, Any]]


class Script:
    """The five steps, from a state to what they leave in it, and a model that answers at once, each answer new."""

    def __init__(self) -> None:
        self.calls = 0
        """How often the model was asked."""
        self.given = 0
        """Messages in the last request."""
        self._system = {node: thaw(SYSTEM[node]) for node in CALLING}

    def step(self, node: str) -> Step:
        """Return one step."""
        step: Step = getattr(self, f"_{node}")
        return step

    def _reply(self, node: str, state: Mapping[str, Any], *more: Message) -> str:
        request = [self._system[node], *state["history"], *more]
        self.calls += 1
        self.given = len(request)
        return padded(f"answer {self.calls}")

    def _input(self, state: Mapping[str, Any]) -> dict[str, Any]:
        said = {"role": "user", "content": state["text"]}
        topic = self._reply("input", state, said)[:20]
        return {"command": {"topic": topic, "source_text": state["text"]}, "history": [said]}

    def _director(self, state: Mapping[str, Any]) -> dict[str, Any]:
        return {"plan": {"goal": self._reply("director", state), "steps": ["look", "tell"]}}

    def _thinker(self, state: Mapping[str, Any]) -> dict[str, Any]:
        return {"thought": {"response": state["plan"]["goal"]}}

    def _interpreter(self, state: Mapping[str, Any]) -> dict[str, Any]:
        return {"result": {"summary": self._reply("interpreter", state)}}

    def _output(self, state: Mapping[str, Any]) -> dict[str, Any]:
        reply = self._reply("output", state)
        return {"answer": reply, "history": [{"role": "assistant", "content": reply}]}


def kept(history: list[Message], new: list[Message]) -> list[Message]:
    """Return the window after *new* messages."""
    return [*history, *new][-HISTORY_KEEP:]


def burr(folder: Path) -> float:
    """Return Burr's seconds a message; its tracker writes two lines a step, the second with the state."""
    from burr.core import ApplicationBuilder
    from burr.tracking import LocalTrackingClient

    script = Script()
    builder: Any = ApplicationBuilder
    with TemporaryDirectory(dir=folder) as inner:
        application = (
            builder()
            .with_actions(**_actions(script))
            .with_transitions(*zip(NODES, (*NODES[1:], NODES[0]), strict=True))
            .with_state(history=[], **dict.fromkeys(LEAVES.values()))
            .with_entrypoint(NODES[0])
            .with_identifiers(app_id="app")
            .with_tracker(LocalTrackingClient(project="bench", storage_dir=inner))
            .build()
        )
        seconds = _seconds_a_message(lambda text: application.run(halt_after=[NODES[-1]], inputs={"text": text}), BURR_MESSAGES)
        lines = Path(inner, "bench", "app", LocalTrackingClient.LOG_FILENAME).read_bytes().splitlines()
        assert len(lines) == 2 * len(NODES) * (WARM_UP + BURR_MESSAGES)
        _check(script, BURR_MESSAGES, json.loads(lines[-1])["state"]["history"])
    return seconds


def _actions(script: Script) -> dict[str, Any]:
    from burr.core import State, action

    def changed(step: Step, state: State[Any], **inputs: str) -> State[Any]:
        updates = step({**state.get_all(), **inputs})
        if "history" in updates:
            updates["history"] = kept(state["history"], updates["history"])
        return state.update(**updates)

    def made(node: str) -> Any:
        step = script.step(node)
        reads = ["history", *LEAVES.values()]
        writes = [LEAVES[node], *(["history"] if node in SPEAKING else [])]

        @action(reads=reads, writes=writes)
        def run(state: State[Any]) -> State[Any]:
            return changed(step, state)

        @action(reads=reads, writes=writes)
        def enter(state: State[Any], text: str) -> State[Any]:
            return changed(step, state, text=text)

        return enter if node == NODES[0] else run

    return {node: made(node) for node in NODES}


class Channels(TypedDict, total=False):
    """LangGraph's state."""

    text: str
    """The message that came in."""
    history: Annotated[list[Message], kept]
    """The window."""
    command: dict[str, Any]
    """What the input step leaves; the others likewise."""
    plan: dict[str, Any]
    thought: dict[str, Any]
    result: dict[str, Any]
    answer: str


def langgraph(folder: Path) -> float:
    """Return LangGraph's seconds a message; its saver commits a checkpoint a step."""
    from langgraph.checkpoint.sqlite import SqliteSaver
    from langgraph.graph import END, START, StateGraph

    script = Script()
    builder: Any = StateGraph(Channels)
    for node in NODES:
        builder.add_node(node, script.step(node))
    for one, other in zip((START, *NODES), (*NODES, END), strict=True):
        builder.add_edge(one, other)
    config: Any = {"configurable": {"thread_id": "app"}}
    with TemporaryDirectory(dir=folder) as inner, SqliteSaver.from_conn_string(str(Path(inner, "app.sqlite"))) as saver:
        graph = builder.compile(checkpointer=saver)
        seconds = _seconds_a_message(lambda text: graph.invoke({"text": text}, config), LANGGRAPH_MESSAGES)
        (checkpoints,) = saver.conn.execute("select count(*) from checkpoints").fetchone()
        assert checkpoints >= len(NODES) * (WARM_UP + LANGGRAPH_MESSAGES)
        _check(script, LANGGRAPH_MESSAGES, graph.get_state(config).values["history"])
    return seconds


def _seconds_a_message(send: Callable[[str], object], messages: int) -> float:
    for number in range(WARM_UP):
        send(padded(f"warm up {number}"))

    def work() -> None:
        for number in range(messages):
            send(padded(f"question {number}"))

    return timed(work) / messages


def _check(script: Script, messages: int, history: list[Message]) -> None:
    """Refuse a figure where the model was asked less than ours is, or less was kept."""
    assert script.calls == len(CALLING) * (WARM_UP + messages)
    assert script.given == 1 + HISTORY_KEEP
    assert [len(message["content"]) for message in history] == [MESSAGE_CHARS] * HISTORY_KEEP
