"""Replies for the shipped graphs: each node gets the kind of reply that it asks for, with texts that are new in every message."""

from __future__ import annotations

import json
from collections.abc import Iterable

from benchmarks.pipeline import padded
from frameengine.effects import Answer, Call, ModelCall, ModelReply, Outcome, ToolReply, text_of
from frameengine.engine.driver import virtual_at
from frameengine.engine.stops import Ask
from frameengine.jsonvalue import FrozenMap, freeze

TABLE = "column\ttype\tnull\tkey\nid\tINTEGER\tyes\tprimary\ncity\tTEXT\tno\t"
ROWS = "city\tcustomers\n" + "\n".join([f"city {number}\t{number}" for number in range(30)])
STEP = {
    "tool": "query_db",
    "args": {"query": "SELECT city, COUNT(*) AS customers FROM customers GROUP BY city", "database": "billing"},
}


def _plan(number: int) -> str:
    plan = {"goal": f"count {number}", "tool_sequence": [STEP], "present_as": "table", "response_hint": f"give number {number}"}
    return json.dumps(plan)


class Cast:
    """A performer that answers every node of the graphs v3-framed, v4-eras and tool-loop at once."""

    def __init__(self) -> None:
        self.calls = 0

    def perform(self, ask: Ask) -> Iterable[Answer]:
        """Answer every new call."""
        answers = []
        for call in ask.new:
            self.calls += 1
            value = self._tool(call) if call.effect.kind == "tool" else ModelReply(message=self._message(call))
            answers.append(Answer(call.key, Outcome(value=value, at=virtual_at(call.key))))
        return answers

    def _tool(self, call: Call) -> ToolReply:
        arguments: FrozenMap = freeze(call.effect.wire())["arguments"]
        return ToolReply(content=TABLE if arguments["query"].startswith("DESCRIBE") else ROWS)

    def _message(self, call: Call) -> FrozenMap:
        message: FrozenMap = freeze({"role": "assistant", "content": self._text(call)})
        if call.key.node == "model" and call.key.frame == 1:
            function = {"name": "query_db", "arguments": json.dumps(STEP["args"])}
            asked = {"id": "c", "type": "function", "function": function}
            message = freeze({"role": "assistant", "content": None, "tool_calls": [asked]})
        return message

    def _text(self, call: Call) -> str:
        number = self.calls
        match call.key.node:
            case "input":
                return json.dumps(
                    {"intent": "question", "complexity": "simple", "language": "en", "context": f"question {number}"}
                )
            case "pa":
                return json.dumps(
                    {"expert": "eras", "job": f"job {number}", "thinking_message": f"looking {number}", "language": "en"}
                )
            case "director":
                return _plan(number)
            case "expert_eras" if isinstance(call.effect, ModelCall) and "<results>" not in text_of(call.effect.messages[-1]):
                return _plan(number)
            case "interpreter":
                return json.dumps({"summary": padded(f"summary {number}"), "row_count": 30, "key_facts": ["city 1: 1"]})
            case "memorizer":
                return json.dumps({"topic": f"topic {number % 7}", "facts": [f"fact {number}"]})
        return padded(f"answer {number}")
