"""Performers: live ones do it and turn failures into outcomes, faulty ones spoil by seed, scripted ones run out loudly."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from frameengine.effects import Answer, Call, EffectFailure, EffectKey, ModelCall, ModelReply, Outcome, ToolCall, ToolReply
from frameengine.engine.stops import Ask
from frameengine.errors import CassetteMiss, CassetteUnused, ModelCallFailed, UsageError
from frameengine.jsonvalue import freeze
from frameengine.performers.clock import system_clock
from frameengine.performers.faulty import FAULTS, Faulty
from frameengine.performers.live import Live
from frameengine.performers.scripted import Scripted
from frameengine.tools.registry import ToolRegistry


def ask(*effects: Any, node: str = "a") -> Ask:
    """Return an Ask for these effects of one node."""
    calls = tuple([Call.of(EffectKey(1, 1, node, index), effect) for index, effect in enumerate(effects)])
    return Ask(calls, {call.key: call for call in calls})


def registry(function: Any) -> ToolRegistry:
    """Return a registry with one tool that takes anything."""
    tools = ToolRegistry()
    tools.register(
        "tool", function, {"description": "a tool", "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}}}
    )
    return tools


def model_call() -> ModelCall:
    """Return a small model call."""
    return ModelCall(model="m", messages=[{"role": "user", "content": "hello"}])


def test_live_runs_tools_and_asks_the_model() -> None:
    """A live performer gives back what the tool returned and what the model replied."""
    reply = ModelReply(message=freeze({"role": "assistant", "content": "hi"}))
    live = Live(lambda _: reply, registry(lambda n: {"rows": n}))
    answers = list(live.perform(ask(model_call(), ToolCall("tool", {"n": 3}))))
    assert answers[0].outcome.value == reply
    value = answers[1].outcome.value
    assert isinstance(value, ToolReply)
    assert value.content == {"rows": 3}


def test_failures_become_outcomes() -> None:
    """Whatever a tool or model raises is the effect's outcome, with its type and its facts (C79, N12)."""

    def model(call: Call) -> ModelReply:
        raise ModelCallFailed("overloaded", status=529)

    def tool(n: int) -> int:
        raise ZeroDivisionError("by nothing")

    first, second = Live(model, registry(tool)).perform(ask(model_call(), ToolCall("tool", {"n": 1})))
    assert first.outcome.status == second.outcome.status == "error"
    assert first.outcome.error is not None
    assert first.outcome.error.type == "effect.model"
    assert first.outcome.error.fields["status"] == 529
    assert second.outcome.error is not None
    assert "by nothing" in second.outcome.error.message


def test_values_that_json_has_not_are_flagged() -> None:
    """A tool result with NaN is carried as flagged text instead of being lost or refused."""
    (answer,) = Live(None, registry(lambda n: {"x": float("nan") * n})).perform(ask(ToolCall("tool", {"n": 1})))
    value = answer.outcome.value
    assert isinstance(value, ToolReply)
    assert value.content["frameengine:encoded"] == "json"
    assert "NaN" in value.content["text"]


def test_threads_answer_as_they_finish() -> None:
    """With threads the quick tool answers while the slow one is still at work, and each result keeps its key (N19)."""
    gate = threading.Event()

    def tool(n: int) -> int:
        if n == 0:
            gate.wait(10)
        return n * 10

    live = Live(None, registry(tool), clock=system_clock(), threads=4)
    wanted = ask(*[ToolCall("tool", {"n": n}) for n in range(4)])
    results: dict[EffectKey, Any] = {}
    outstanding = dict(wanted.outstanding)
    stop = wanted
    while outstanding:
        for answer in live.perform(stop):
            assert isinstance(answer.outcome.value, ToolReply)
            results[answer.key] = answer.outcome.value.content
            del outstanding[answer.key]
        if len(outstanding) == 1:
            gate.set()
        stop = Ask((), outstanding)
    live.close()
    assert results == {key: key.call * 10 for key in wanted.outstanding}
    assert list(results)[-1].call == 0


class Held:
    """A model whose calls go on until they are ended."""

    def __init__(self) -> None:
        self.begun: list[EffectKey] = []
        self.asked, self.ended = threading.Semaphore(0), threading.Event()

    def __call__(self, call: Call) -> Outcome:
        """Wait for the end."""
        self.begun.append(call.key)
        self.asked.release()
        assert self.ended.wait(20)
        return Outcome(status="cancelled")

    def close(self) -> None:
        """End every call, and give the threads the time to begin the next."""
        self.ended.set()
        self.asked.acquire(timeout=0.3)


def test_closing_begins_no_call_that_waited_for_a_thread() -> None:
    """What stands behind the calls that are ended is never asked: nobody would hear the answer, and it would be paid for."""
    model = Held()
    live = Live(model, threads=2)
    live.wake()
    assert live.perform(ask(*[model_call() for _ in range(4)])) == []
    for _ in range(2):
        assert model.asked.acquire(timeout=20)
    live.close()
    assert len(model.begun) == 2


def test_scripts_run_out_loudly() -> None:
    """A node that asks beyond its script stops the run, and answers nobody asked for are named."""
    scripted = Scripted({"a": ["one"], "b": ["never"]})
    scripted.perform(ask(model_call()))
    with pytest.raises(CassetteMiss, match="number 2"):
        scripted.perform(ask(model_call()))
    with pytest.raises(CassetteUnused, match="'b'"):
        scripted.scripts["model"].check_used()


class Sound:
    """A performer that always answers well."""

    def perform(self, wanted: Ask) -> list[Answer]:
        """Answer every new call with forty characters."""
        return [
            Answer(call.key, Outcome(value=ModelReply(message=freeze({"role": "assistant", "content": "x" * 40}))))
            for call in wanted.new
        ]


def faulted(seed: int, count: int = 400) -> dict[EffectKey, str]:
    """Return the faults of many calls."""
    faulty = Faulty(Sound(), seed=seed, rates=dict.fromkeys(FAULTS, 0.1))
    for index in range(count):
        call = Call.of(EffectKey(index + 1, 1, "a", 0), model_call())
        (answer,) = faulty.perform(Ask((call,), {call.key: call}))
        fault = faulty.injected.get(call.key)
        value = answer.outcome.value
        if fault in ("empty", "truncated"):
            assert isinstance(value, ModelReply)
            assert len(value.text) == (0 if fault == "empty" else 20)
        else:
            assert (answer.outcome.status == "error") == (fault is not None)
    return dict(faulty.injected)


def test_faults_are_a_function_of_seed_and_place() -> None:
    """The same seed puts the same faults at the same effects, another seed others, and every kind occurs."""
    assert faulted(1) == faulted(1)
    assert faulted(1) != faulted(2)
    assert set(faulted(1).values()) == set(FAULTS)


def test_faults_do_not_depend_on_order() -> None:
    """Effects asked together in one Ask get the faults they get alone."""
    calls = tuple([Call.of(EffectKey(1, 1, "a", index), model_call()) for index in range(100)])
    faulty = Faulty(Sound(), seed=5, rates={"timeout": 0.3, "empty": 0.3})
    faulty.perform(Ask(calls[::-1], {call.key: call for call in calls}))
    alone = Faulty(Sound(), seed=5, rates={"timeout": 0.3, "empty": 0.3})
    for call in calls:
        alone.perform(Ask((call,), {call.key: call}))
    assert faulty.injected == alone.injected


@pytest.mark.parametrize("rates", [{"timeout": 1.5}, {"timeout": 0.6, "empty": 0.6}, {"nonsense": 0.1}])
def test_impossible_rates_are_refused(rates: Any) -> None:
    """Rates outside 0 to 1, above 1 together, or of unknown faults are a usage error."""
    with pytest.raises(UsageError, match="fault rates"):
        Faulty(Sound(), seed=1, rates=rates)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_tool_that_wants_to_leave_the_process_has_failed(threads: int) -> None:
    """SystemExit of a tool is the effect's outcome, and nobody waits for an answer that never comes."""

    def leaves(n: int) -> int:
        raise SystemExit(n)

    live = Live(tools=registry(leaves), threads=threads)
    (answer,) = live.perform(ask(ToolCall("tool", {"n": 0})))
    live.close()
    assert answer.outcome.error is not None
    assert (answer.outcome.status, answer.outcome.error.type) == ("error", "builtins.SystemExit")


@pytest.mark.parametrize("threads", [1, 2])
def test_an_interrupt_inside_a_tool_is_one(threads: int) -> None:
    """KeyboardInterrupt reaches who waits for the answer, from a thread too."""

    def interrupts(n: int) -> int:
        raise KeyboardInterrupt

    live = Live(tools=registry(interrupts), threads=threads)
    with pytest.raises(KeyboardInterrupt):
        live.perform(ask(ToolCall("tool", {"n": 0})))
    live.close()


def test_facts_of_a_failure_may_be_called_as_its_arguments_are() -> None:
    """A failure whose facts have names such as key, type or hint reaches the node as what it is, with its own key and type."""
    fields = freeze({"key": "x", "type": "y", "hint": "z", "message": "w", "self": "v", "status": 500})
    call = ask(model_call()).new[0]
    error = Outcome(status="error", error=EffectFailure(type="t", message="m", fields=fields)).exception(call)
    assert isinstance(error, ModelCallFailed)
    assert (error.message, error.hint) == ("m", "")
    assert error.fields == {**fields, "key": call.key.wire(), "type": "t"}
