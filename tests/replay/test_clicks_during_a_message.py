"""A click while a message is under way, at every frame of it, on all four graphs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from frameengine.engine.driver import Run
from frameengine.engine.message import Engine
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import bind
from frameengine.inputs import Action, UserMessage
from frameengine.jsonvalue import freeze
from frameengine.performers.scripted import Scripted
from frameengine.replay.replayer import Replayer
from frameengine.state import RunState
from frameengine.trace.header import header
from frameengine.trace.writer import TraceWriter

ANALYSIS = '{"intent": "request", "complexity": "simple"}'
PLAN = '{"tool_sequence": [], "response_hint": "Say so."}'
REPLIES: dict[str, str] = {
    "input": ANALYSIS,
    "director": PLAN,
    "pa": '{"expert": "eras", "job": "Say so.", "language": "en"}',
    "expert_eras": PLAN,
    "thinker": "So it is.",
    "output": "So it is.",
    "memorizer": '{"topic": "so"}',
}
UI = {
    "thinker_controls": [{"type": "button", "label": "More", "action": "inc"}],
    "state": {"n": 0},
    "bindings": {"inc": {"op": "inc", "var": "n", "step": 1}},
    "machines": {},
}


class Clicking(Scripted):
    """Answers, and clicks when the model has been asked so many times."""

    def __init__(self, at: int, names: Sequence[str]) -> None:
        super().__init__({name: [reply] * 20 for name, reply in REPLIES.items()})
        self.run: Any = None
        self._left = at
        self._names = names

    def perform(self, ask: Any) -> Any:
        """Answer, and click."""
        self._left -= 1
        if self._left == 0:
            for name in self._names:
                self.run.inbox.put(Action(name=name))
        return super().perform(ask)


@pytest.mark.parametrize("names", [("inc",), ("inc", "inc"), ("other",), ("inc", "other")], ids="+".join)
@pytest.mark.parametrize("graph", ["v1-current", "v2-director-drives", "v3-framed", "v4-eras"])
def test_neither_the_click_nor_the_answer_is_lost(graph: str, names: Sequence[str], tmp_path: Path) -> None:
    """Whenever the click comes, the message is done, answer and clicks stand in the history, and the trace replays."""
    bound = bind(load_graph(graph))
    state = RunState(freeze({**bound.graph.state, "ui": UI}))
    for at in range(1, 8):
        performer = Clicking(at, names)
        path = tmp_path / f"{at}.trace.jsonl"
        with TraceWriter(path, header(bound, state=state)) as writer:
            run = performer.run = Run(Engine(bound, state=state), performer, writer)
            trace = run.send(UserMessage.of("is it so?"))
            writer.seal()
        sections = run.engine.state.sections
        said = [message["content"] for message in sections["history"]]
        clicked = run.inputs - 1
        assert trace.status == "done"
        assert "So it is." in said
        assert sum(text.startswith("[clicked") for text in said) == clicked
        assert sections["ui"]["state"]["n"] == (names.count("inc") if clicked else 0)
        assert Replayer(path).run().verdict == "same"
