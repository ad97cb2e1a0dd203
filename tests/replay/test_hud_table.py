"""What each graph shows while it runs, by node, event and payload keys, is what a stored table says; no more, no less (C53).

A graph is run through a conversation in which all goes well, one in which models say what they should not, and many in
which one of them fails. The table stands beside this file; a change of it is a change of what others read.
"""

from __future__ import annotations

import ast
import json
import tomllib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from frameengine.effects import Answer, Call, EffectFailure, ModelCall, ModelReply, Outcome, ToolReply
from frameengine.engine.driver import Run, virtual_at
from frameengine.engine.message import Engine
from frameengine.engine.stops import Ask
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import bind
from frameengine.hud.feed import Feed
from frameengine.inputs import Action, Body, Dashboard, Tick, UserMessage
from frameengine.jsonvalue import FrozenMap, freeze
from frameengine.node import NodeContext, NodeResult
from frameengine.nodes.pa import PersonalAssistant
from frameengine.performers.scripted import Script
from frameengine.scenario import load_scenario

ROOT = Path(__file__).parents[2]
STORED = Path(__file__).with_name("hud_table.toml")
GRAPHS = ("v1-current", "v2-director-drives", "v3-framed", "v4-eras")
SENSED = (Tick(readings={"offset_minutes": 60}), Dashboard(controls=[]), Tick(readings={"stopped": True}))
NOT_SHOWN = {"returned": "no shipped graph lets a job go back to the assistant"}
"""Events of the code that no shipped graph shows, and why."""
REFUSALS = ("control_refused", "state_refused", "machine_refused")
"""Events whose names the surface puts together."""

Table = dict[str, dict[str, list[str]]]


def run(graph: str, answer: Callable[[Call], Outcome], inputs: Sequence[Body]) -> list[FrozenMap]:
    """Return the events of a run of *graph*."""
    told: list[FrozenMap] = []
    bound = bind(load_graph(graph))
    driver = Run(Engine(bound, instruments=[Feed(bound.graph, told.append)]), Performer(answer))
    for body in inputs:
        driver.send(body)
    return told


class Performer:
    """Answers each effect by a function."""

    def __init__(self, answer: Callable[[Call], Outcome]) -> None:
        self._answer = answer

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer all new effects."""
        return [Answer(call.key, self._answer(call)) for call in ask.new]


def conversation(graph: str) -> list[FrozenMap]:
    """Run the written conversation of a graph, its queries scripted, then what the sensor takes."""
    scenario = load_scenario(ROOT / "fixtures" / "scenarios" / f"conversation-{graph}.toml")
    scripted = Script(scenario.model)

    def answer(call: Call) -> Outcome:
        return scripted(call) if isinstance(call.effect, ModelCall) else tool(call, "customers\n24")

    return run(graph, answer, (*scenario.inputs, *SENSED))


def refused(graph: str) -> list[FrozenMap]:
    """Run a graph whose models ask for what is not done, and reply with what cannot be read."""
    inputs = [UserMessage.of(f"Show me all the customers in the database, please, number {number}") for number in range(6)]
    inputs += [UserMessage.of("Hello!")]
    return run(graph, odd, (*inputs, Action(name="unheard"), Tick(readings={"weather": "fine"})))


def spoiled(graph: str) -> list[FrozenMap]:
    """Run a graph again and again: each time the model of another node fails, talks nonsense, or is silent."""
    told = []
    for node in load_graph(graph).nodes:
        for bad in (failed, nonsense, silence):

            def answer(call: Call, node: str = node.name, bad: Callable[[Call], Outcome] = bad) -> Outcome:
                return bad(call) if call.key.node == node and isinstance(call.effect, ModelCall) else odd(call)

            told += run(graph, answer, [UserMessage.of("Show me the customers, please.")])
    return told


def failed(call: Call) -> Outcome:
    """Return the outcome of a model call that failed."""
    return Outcome(status="error", error=EffectFailure(type="effect.model", message="overloaded"), at=virtual_at(call.key))


def nonsense(call: Call) -> Outcome:
    """Return a reply that is no JSON."""
    return Outcome(value=ModelReply(message=freeze({"role": "assistant", "content": "nonsense"})), at=virtual_at(call.key))


def silence(call: Call) -> Outcome:
    """Return a reply without text."""
    return Outcome(value=ModelReply(message=freeze({"role": "assistant", "content": ""})), at=virtual_at(call.key))


def tool(call: Call, content: Any) -> Outcome:
    """Return a tool's result."""
    return Outcome(value=ToolReply(content=content), at=virtual_at(call.key))


def odd(call: Call) -> Outcome:
    """Answer with replies that are well formed and ask for too much; to the seventh input with none that can be read."""
    if not isinstance(call.effect, ModelCall):
        ragged = "a\tb\n1"
        done = {"status": "done", "exit_code": 0, "stdout": "2", "stderr": "", "pid": 1}
        return tool(call, done if call.effect.name == "python" else ragged)
    if call.key.input == 7:
        return nonsense(call)
    reply = _reply(call)
    text = reply if isinstance(reply, str) else json.dumps(reply)
    message = reply if isinstance(reply, dict) and "tool_calls" in reply else {"role": "assistant", "content": text}
    return Outcome(value=ModelReply(message=freeze(message)), at=virtual_at(call.key))


def _reply(call: Call) -> Any:
    first = call.key.input <= 2
    describe = {"tool": "query_db", "args": {"query": "DESCRIBE customers", "database": "billing"}}
    several = [
        describe,
        describe,
        step("rm"),
        step("destroy_machine", id="none"),
        step("query_db", query="SELECT 1", database="billing"),
    ]
    many = [step("set_state", key=f"{call.key.input}-{index}", value="x" * 4_000) for index in range(5)]
    plan = {"tool_sequence": several if first else many, "present_as": "table", "response_hint": "Look.", "line": "All asked."}
    match call.key.node:
        case "input":
            return {"intent": "request", "complexity": "complex", "topic": "customers"}
        case "director":
            return plan
        case "expert_eras":
            return plan
        case "pa":
            return {"expert": "eras", "job": "List them.", "thinking_message": "One moment."}
        case "thinker":
            return _thought(call, first=first)
        case "interpreter":
            return {"summary": "There are 24."}
        case "memorizer":
            return {"topic": "customers"}
    return "There you are."


def step(tool: str, **args: Any) -> dict[str, Any]:
    """Return a step of a plan."""
    return {"tool": tool, "args": args}


def _thought(call: Call, *, first: bool) -> Any:
    """Write code that nothing runs, then call tools, then answer with controls, one of them none."""
    if call.key.call == 0:
        return "```sh\nls\n```"
    if call.key.call == 1:
        wanted = [("python", {"code": "print(2)"}), ("query_db", {"query": "SELECT 1", "database": "billing"}), ("rm", {})]
        shaping = [("set_state", {"key": f"{call.key.input}-{index}", "value": "x" * 4_000}) for index in range(4)]
        calls = wanted if first else [*shaping, ("destroy_machine", {"id": "none"})]
        functions = [{"name": name, "arguments": json.dumps(args)} for name, args in calls]
        listed = [{"id": str(index), "type": "function", "function": item} for index, item in enumerate(functions)]
        return {"role": "assistant", "content": None, "tool_calls": listed}
    return 'Done.\n```controls\n[{"type": "button", "label": "Go", "action": "go"}, {"type": "button"}]\n```'


@cache
def shown(graph: str) -> dict[str, list[str]]:
    """Return what a graph shows: ``node.event`` -> each set of payload keys, sorted and joined."""
    found: dict[str, dict[str, None]] = {}
    for told in (*conversation(graph), *refused(graph), *spoiled(graph)):
        keys = " ".join(sorted(name for name in told if name not in ("type", "node", "event")))
        found.setdefault(f"{told['node']}.{told['event']}", {})[keys] = None
    return {name: sorted(found[name]) for name in sorted(found)}


def written(table: Table) -> str:
    """Return a table as it is stored."""
    lines = ["# node.event = payload keys. The test prints what is shown now where it fails; read a change before you keep it."]
    for graph, rows in table.items():
        lines += ["", f"[{graph}]", *[f'"{name}" = {json.dumps(keys)}' for name, keys in rows.items()]]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_graph_shows_what_the_table_says_and_nothing_else(graph: str) -> None:
    """Node, event and payload keys of everything that a graph shows are those of the stored table (C53)."""
    stored = tomllib.loads(STORED.read_text(encoding="utf-8"))
    assert shown(graph) == stored[graph], f"what it shows now:\n{written({graph: shown(graph)})}"


def test_the_runs_show_everything_that_the_nodes_can_show() -> None:
    """Each event that a node of the four graphs emits anywhere in its code is in the table, but for those that are explained."""
    events = {name.partition(".")[2] for graph in GRAPHS for name in shown(graph)}
    assert set(REFUSALS) < events
    code = set(emitted())
    assert code - events == set(NOT_SHOWN)
    assert events - code - set(REFUSALS) == {"frame_trace"}


def test_an_event_that_is_new_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that shows one event more than it did makes what its graph shows differ from the table in that event alone."""
    usual = PersonalAssistant.run

    async def run(self: PersonalAssistant, message: Any, ctx: NodeContext) -> NodeResult:
        ctx.emit("planted", hint="")
        return await usual(self, message, ctx)

    before = shown("v4-eras")
    monkeypatch.setattr(PersonalAssistant, "run", run)
    assert shown.__wrapped__("v4-eras") == {**before, "pa.planted": ["hint"]}


def emitted() -> Iterator[str]:
    """Yield the names of the events in the code of the nodes: texts, and names of texts in their modules."""
    for path in sorted((ROOT / "frameengine" / "nodes").glob("*.py")):
        module = import_module(f"frameengine.nodes.{path.stem}")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "emit"):
                continue
            event = call.args[0]
            if isinstance(event, ast.Constant):
                yield str(event.value)
            elif isinstance(event, ast.Name):
                yield getattr(module, event.id)
