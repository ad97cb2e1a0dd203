"""Observers: told at once, able to change nothing, dropped by name when they raise."""

from __future__ import annotations

import time
from typing import Any

import pytest

from frameengine.effects import Call, EffectKey, Outcome, ToolCall
from frameengine.engine.guard import Guard
from frameengine.engine.instruments import HOOKS, Instruments
from frameengine.errors import StorageError
from frameengine.inputs import Cancel, UserMessage
from frameengine.node import NodeContext, NodeResult
from frameengine.records import Emission
from toy import Do, Echo, Kept, Note, bound, broken, edge, pass_on, run

HI = UserMessage.of("hi")


class Watch:
    """Notes every hook that is called, with its arguments."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        if name not in HOOKS:
            raise AttributeError(name)
        return lambda *args: self.heard.append((name, args))

    @property
    def names(self) -> list[str]:
        """The hooks in the order in which they were called."""
        return [name.removeprefix("on_") for name, _ in self.heard]

    def text(self, node: str) -> str:
        """Put the previews of a node together, as a terminal does; forget them where they are retracted."""
        shown = ""
        for name, args in self.heard:
            if name == "on_preview" and args[0].node == node and args[2].event == "text":
                shown += args[2].data["text"]
            if name == "on_retract" and args[0].node == node:
                shown = ""
        return shown


class Raises:
    """Raises in one hook."""

    def __init__(self, hook: str) -> None:
        self.calls = 0
        setattr(self, hook, self._raise)

    def _raise(self, *_: Any) -> None:
        self.calls += 1
        raise RuntimeError("an observer fell over")


class Streaming(Echo):
    """Tells of a piece of each reply before it answers."""

    on_delta: Any = None

    def perform(self, ask: Any) -> list[Any]:
        """Answer all new effects."""
        for call in ask.new:
            self.on_delta(call, "piece")
        return super().perform(ask)


async def talks(_: Any, ctx: NodeContext) -> NodeResult:
    """Say something in pieces, around a call."""
    ctx.say("one ")
    ctx.emit("thinking", about="it")
    await ctx.perform(ToolCall("t"))
    ctx.say("two ")
    ctx.say("aside", stream="notes")
    ctx.say("three")
    return NodeResult(Note())


def test_every_hook_is_called_where_it_belongs() -> None:
    """Input, previews, ask, outcome, frame and trace are told in the order in which they happen."""
    watch = Watch()
    made, _ = run(bound({"a": talks}), instruments=[watch])
    made.send(HI)
    expected = "input preview preview ask outcome preview preview preview frame trace"
    assert watch.names == expected.split()


def test_emissions_are_previewed_at_once() -> None:
    """An instrument has a piece of text before the node goes on, with node, frame and a running index."""
    seen: list[int] = []
    watch = Watch()

    async def checks(_: Any, ctx: NodeContext) -> None:
        for _ in range(3):
            ctx.say("x")
            seen.append(len(watch.heard))

    made, _ = run(bound({"a": checks}), instruments=[watch])
    made.send(HI)
    assert seen == [2, 3, 4]
    previews = [args for name, args in watch.heard if name == "on_preview"]
    assert [(key, index) for key, index, _ in previews] == [(EffectKey(1, 1, "a", 0), index) for index in range(3)]


def test_concatenated_previews_equal_the_committed_text() -> None:
    """The record joins the pieces of each stream where its first piece stood; events keep their places between (C80)."""
    watch = Watch()
    made, kept = run(bound({"a": talks}), instruments=[watch])
    made.send(HI)
    emissions = kept.records("a")[0].emissions
    assert [(each.event, dict(each.data)) for each in emissions] == [
        ("text", {"stream": "answer", "text": "one two three"}),
        ("thinking", {"about": "it"}),
        ("text", {"stream": "notes", "text": "aside"}),
    ]
    for stream in ("answer", "notes"):
        pieces = [args[2].data for name, args in watch.heard if name == "on_preview" and args[2].event == "text"]
        joined = "".join(piece["text"] for piece in pieces if piece["stream"] == stream)
        assert joined == next(each.data["text"] for each in emissions if each.data.get("stream") == stream)


async def talks_and_fails(_: Any, ctx: NodeContext) -> None:
    """Say something and fail."""
    ctx.say("never mind")
    await ctx.perform(ToolCall("t"))


def test_a_failed_node_retracts_its_previews() -> None:
    """The node that failed is retracted, by key; its sibling, which committed, is not."""
    watch = Watch()
    answer = Echo(lambda call: broken(call) if call.key.node == "bad" else Echo().answer(call))
    made, _ = run(
        bound({"root": pass_on, "bad": talks_and_fails, "good": talks}, [edge("root", "bad", "good")]),
        answer,
        instruments=[watch],
    )
    made.send(HI)
    assert [args[0] for name, args in watch.heard if name == "on_retract"] == [EffectKey(1, 2, "bad", 0)]
    assert (watch.text("bad"), watch.text("good")) == ("", "one two asidethree")


def test_a_cancelled_node_retracts_its_previews() -> None:
    """A node that a Cancel ended is retracted before the frame is told."""
    watch = Watch()

    class Cancels:
        def perform(self, ask: Any) -> list[Any]:
            made.inbox.put(Cancel())
            return []

    made, _ = run(bound({"a": talks}), Cancels(), instruments=[watch])
    assert made.send(HI).status == "cancelled"
    assert watch.names.index("retract") < watch.names.index("frame")
    assert watch.text("a") == ""


@pytest.mark.parametrize("how", ["performer", "refusal", "given up"])
def test_previews_of_a_frame_that_is_never_committed_are_retracted(how: str) -> None:
    """When the run fails or is given up in mid-frame, every node of the frame is retracted."""

    async def touches(_: Any, ctx: NodeContext) -> None:
        ctx.say("soon")
        if how == "refusal":
            open("somewhere")  # noqa: ASYNC230, PTH123, SIM115 - one call, which the audit hook sees
        await ctx.perform(ToolCall("t"))

    class Breaks:
        def perform(self, ask: Any) -> list[Any]:
            raise KeyboardInterrupt if how == "given up" else StorageError("no")

    watch = Watch()
    made, kept = run(
        bound({"root": pass_on, "a": touches, "b": touches}, [edge("root", "a", "b")]),
        Breaks(),
        instruments=[watch],
        guard=Guard("on", static=False),
    )
    with pytest.raises(BaseException):  # noqa: B017, PT011 - three different ones, which other tests look at
        made.send(HI)
    assert len(kept.frames) == 1
    assert (watch.text("a"), watch.text("b")) == ("", "")
    assert watch.names.count("retract") == 2


@pytest.mark.parametrize("hook", HOOKS)
def test_a_failing_instrument_is_dropped_and_named(hook: str) -> None:
    """One that raises, in whatever hook, is called no more and stands in `dropped`; others and the record notice nothing."""
    fragile, watch = Raises(hook), Watch()
    work = bound({"a": talks, "b": talks_and_fails, "c": talks})
    streaming = Streaming(lambda call: broken(call) if call.key.node == "b" else Echo().answer(call))
    made, kept = run(work, streaming, instruments=[fragile, watch])
    traces = [made.send(HI), made.send(HI)]
    bare, plain = run(work, Echo(lambda call: broken(call) if call.key.node == "b" else Echo().answer(call)))
    assert traces == [bare.send(HI), bare.send(HI)]
    assert kept.lines == plain.lines
    assert fragile.calls == 1
    assert [(instrument, str(error)) for instrument, error in made.engine.instruments.dropped] == [
        (fragile, "an observer fell over")
    ]
    assert watch.names.count("trace") == 2


def test_an_instrument_may_read_the_clock_while_a_node_runs() -> None:
    """What an observer does in a preview is not held against the node."""
    stamps: list[float] = []

    class Stamps:
        def on_preview(self, key: EffectKey, index: int, emission: Emission) -> None:
            stamps.append(time.monotonic())
            with open(__file__, "rb") as file:  # noqa: PTH123 - the plainest thing that the audit hook sees
                assert file.read(3) == b'"""'

    made, _ = run(bound({"a": Do(talks)}), instruments=[Stamps()], guard=Guard("full", static=False))
    assert made.send(HI).status == "done"
    assert made.engine.instruments.dropped == []
    assert len(stamps) == 5


def test_instruments_change_no_record() -> None:
    """A watched run and one that nobody watches are recorded alike (N07)."""
    watched, kept = run(bound({"a": talks, "b": talks}), instruments=[Watch()])
    plain, bare = run(bound({"a": talks, "b": talks}))
    watched.send(HI)
    plain.send(HI)
    assert kept.lines == bare.lines


def test_an_instrument_may_have_any_of_the_hooks() -> None:
    """Only hooks that are there are called; one may be added while a run goes on."""

    class OnlyFrames:
        def __init__(self) -> None:
            self.frames: list[int] = []

        def on_frame(self, frame: Any) -> None:
            self.frames.append(frame.input)

    one = OnlyFrames()
    made, _ = run(bound({"a": pass_on}), instruments=[one])
    assert made.engine.instruments.watching("on_frame")
    assert not made.engine.instruments.watching("on_preview")
    two = OnlyFrames()
    made.send(HI)
    made.engine.instruments.add(two)
    made.send(HI)
    assert (one.frames, two.frames) == ([1, 2], [2])


def test_an_instrument_that_drops_out_while_others_are_told() -> None:
    """Dropping one in the middle of a round leaves nobody out and calls nobody twice."""
    first, fragile, last = Watch(), Raises("on_trace"), Watch()
    instruments = Instruments([first, fragile, last])
    instruments.call("on_trace", 1)
    instruments.call("on_trace", 2)
    assert first.heard == last.heard == [("on_trace", (1,)), ("on_trace", (2,))]


def test_outcomes_are_told_with_their_calls() -> None:
    """on_outcome gets the call that was asked for, whatever the order of arrival."""
    heard: list[tuple[EffectKey, bool]] = []

    class Outcomes:
        def on_outcome(self, call: Call, outcome: Outcome) -> None:
            heard.append((call.key, outcome.value is not None))

    kept = Kept()
    made, kept = run(bound({"a": talks, "b": talks}), instruments=[Outcomes()])
    made.send(HI)
    assert heard == [(line[0], True) for line in kept.lines if isinstance(line, tuple)]
