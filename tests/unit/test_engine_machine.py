"""Any sequence of what a caller can do leaves a trace that folds to the engine's state and replays."""

from __future__ import annotations

from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from frameengine.effects import Answer
from frameengine.engine.driver import Run
from frameengine.engine.message import Engine
from frameengine.engine.stops import Ask
from frameengine.graph.loader import parse_graph
from frameengine.inputs import Action, Body, Cancel, Clear, Given, Tick, UserMessage
from frameengine.records import Frame, FrameTrace
from frameengine.state import Change, RunState
from frameengine.trace.header import header
from frameengine.trace.verify import verify
from frameengine.trace.writer import TraceWriter
from toy import Kept, Shuffled, broken, programmed, random_graph, replay


class Director(Shuffled):
    """Answers in an order that the machine chose, and brings along what the machine wants to come in."""

    def __init__(self) -> None:
        super().__init__(Random(0))
        self.coming: list[Body] = []
        self.unlucky = 0
        self.made: Run

    def perform(self, ask: Ask) -> list[Answer]:
        """Bring at most one input, then answer; now and then nothing, as a performer that was woken does."""
        if self.coming:
            self.made.inbox.put(self.coming.pop(0))
            if self.chance.random() < 0.5:
                return []
        answers = super().perform(ask)
        if self.unlucky and answers:
            self.unlucky -= 1
            answers[0] = Answer(answers[0].key, broken(ask.outstanding[answers[0].key]))
        return answers


class Both:
    """Records to a file and keeps in memory."""

    def __init__(self, writer: TraceWriter) -> None:
        self.writer = writer
        self.kept = Kept()

    def __getattr__(self, name: str) -> Any:
        def both(*values: Any) -> None:
            getattr(self.writer, name)(*values)
            getattr(self.kept, name)(*values)

        return both


class Conversation(RuleBasedStateMachine):
    """A run of a random graph, driven by rules."""

    @initialize(graph=st.integers(0, 2**32))
    def begin(self, graph: int) -> None:
        """Make a run."""
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name) / "t.trace.jsonl"
        self.graph = parse_graph(random_graph(Random(graph)), "machine")
        made = programmed(self.graph)
        self.recorder = Both(TraceWriter(self.path, header(made, seed=graph)))
        self.director = Director()
        self.run = self.director.made = Run(Engine(made, seed=graph), self.director, self.recorder)
        self.folded = RunState(self.graph.state)
        self.seen = 0

    def send(self, body: Body) -> FrameTrace:
        """Send an input and check its figures against what was recorded of it."""
        frames = len(self.recorder.kept.frames)
        trace = self.run.send(body)
        new = self.recorder.kept.frames[frames:]
        assert (trace.frames, [frame.frame for frame in new]) == (len(new), list(range(1, len(new) + 1)))
        assert trace.calls == sum(len(record.calls) for frame in new for record in frame.records)
        assert trace.total_frames == max([frame.frame for frame in new if frame.phase == "main"], default=0)
        failed = any(record.error is not None for frame in new for record in frame.records)
        assert trace.status == "cancelled" or (trace.status == "failed") == failed
        return trace

    @rule(
        text=st.text(st.characters(exclude_categories=["Cs"]), max_size=50), order=st.integers(0, 999), unlucky=st.integers(0, 2)
    )
    def say(self, text: str, order: int, unlucky: int) -> None:
        """Say something; answers come in some order, some of them failures."""
        self.director.chance, self.director.unlucky = Random(order), unlucky
        assert self.send(UserMessage.of(text)).status in ("done", "failed", "cancelled")

    @rule(ticks=st.integers(1, 3), order=st.integers(0, 999))
    def say_while_ticks_come(self, ticks: int, order: int) -> None:
        """Say something while ticks come in."""
        self.director.coming += [Tick(readings={"n": n}) for n in range(ticks)]
        self.say("tick", order, 0)

    @rule(after=st.integers(0, 4), order=st.integers(0, 999))
    def cancel(self, after: int, order: int) -> None:
        """Say something and cancel it after a while."""
        self.director.coming += [*[Tick(readings={"n": n}) for n in range(after)], Cancel()]
        self.say("never mind", order, 0)
        self.director.coming.clear()

    @rule()
    def click(self) -> None:
        """Click a button."""
        self.send(Action(name="click"))

    @rule(content=st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
    def give(self, content: str) -> None:
        """Put a message into the history."""
        before = self.run.engine.state.sections["history"]
        assert self.send(Given(messages=({"role": "system", "content": content},))).frames == 0
        assert self.run.engine.state.sections["history"][:-1] == before
        self.folded = self.run.engine.state

    @rule()
    def clear(self) -> None:
        """Start over."""
        self.send(Clear())
        self.folded = RunState(self.graph.state)
        assert self.run.engine.state == self.folded

    @invariant()
    def the_record_folds_to_the_state(self) -> None:
        """The state is what the recorded changes of frames without error make of it, and nothing else."""
        if not hasattr(self, "recorder"):
            return
        for line in self.recorder.kept.lines[self.seen :]:
            if isinstance(line, Frame):
                self.folded = self.folded.apply([change for record in line.records for change in record.changes])
        self.seen = len(self.recorder.kept.lines)
        assert self.folded.digest == self.run.engine.state.digest

    @invariant()
    def inputs_are_numbered_without_gaps(self) -> None:
        """Every input has the next number, late ones included."""
        if hasattr(self, "recorder"):
            numbers = [entered.number for entered in self.recorder.kept.inputs]
            assert numbers == list(range(1, len(numbers) + 1))

    def teardown(self) -> None:
        """Seal the trace, prove it, and replay it."""
        if not hasattr(self, "recorder"):
            return
        self.recorder.writer.seal()
        calls = sum(len(record.calls) for frame in self.recorder.kept.frames for record in frame.records)
        if calls:
            receipt = verify(self.path)
            assert (receipt.counts.calls, receipt.counts.frames) == (calls, len(self.recorder.kept.frames))
            output = self.path.with_suffix(".replayed")
            result = replay(self.path, programmed(self.graph), output=output)
            assert (result.verdict, result.counts) == ("same", receipt.counts)
            assert verify(output).canonical == receipt.canonical
        self.folder.cleanup()


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=30, stateful_step_count=15)


def test_a_change_beside_the_record_is_noticed() -> None:
    """A state that differs from the fold of the record stops the machine: it can fail."""
    machine = Conversation()
    machine.begin(5)
    machine.say("hi", 0, 0)
    machine.the_record_folds_to_the_state()
    machine.run.engine.state = machine.run.engine.state.apply([Change.set("/planted", 1)])
    with pytest.raises(AssertionError):
        machine.the_record_folds_to_the_state()
    machine.recorder.writer.close()
    machine.folder.cleanup()
