"""Pieces of a model's reply reach instruments as they come, and what holds of them in the end is what the frames commit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameengine.effects import Answer, Call, EffectFailure, EffectKey, ModelCall, ModelReply, Outcome
from frameengine.engine.stops import Ask
from frameengine.inputs import UserMessage
from frameengine.jsonvalue import freeze
from frameengine.node import NodeContext, NodeResult
from frameengine.performers.live import Live
from frameengine.records import Emission
from toy import Note, bound, edge, run

HI = UserMessage.of("hi")
FAILED = Outcome(status="error", error=EffectFailure(type="model.truncated", message="cut"))


class Screen:
    """Keeps what a reader sees in the end, and how often something was taken back."""

    def __init__(self) -> None:
        self.shown: dict[EffectKey, list[Emission]] = {}
        self.taken: list[EffectKey] = []
        self.drawn = 0

    def on_preview(self, key: EffectKey, index: int, emission: Emission) -> None:
        """Show a preview; each node's are numbered from 0 without a gap."""
        assert index == len(self.shown.setdefault(key, []))
        self.shown[key].append(emission)

    def on_delta(self, key: EffectKey) -> None:
        """Draw."""
        assert self.shown[key]
        self.drawn += 1

    def on_retract(self, key: EffectKey) -> None:
        """Forget a node's previews."""
        self.shown.pop(key, None)
        self.taken.append(key)

    @property
    def text(self) -> str:
        """All of the answer that can be read."""
        pieces = [each.data for emissions in self.shown.values() for each in emissions if each.event == "text"]
        return "".join(piece["text"] for piece in pieces if piece["stream"] == "answer")


class Streams:
    """A performer that tells of the pieces of each reply before it answers; a piece that is None takes them back."""

    on_delta: Callable[[Call, str | None], None] | None = None

    def __init__(self, *replies: tuple[Sequence[str | None], str | Outcome]) -> None:
        self.replies = list(replies)

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer each call with the next reply."""
        answers = []
        for call in ask.new:
            pieces, reply = self.replies.pop(0)
            for piece in pieces:
                assert self.on_delta is not None
                self.on_delta(call, piece)
            outcome = reply if isinstance(reply, Outcome) else Outcome(value=ModelReply(message=freeze({"content": reply})))
            answers.append(Answer(call.key, outcome))
        return answers


def ask_for(text: str) -> ModelCall:
    """Return a call whose reply is shown as it comes."""
    return ModelCall(model="m", messages=[{"role": "user", "content": text}], show=True)


def says(change: Callable[[str], Sequence[str]]) -> Any:
    """Return a node that asks once and says what *change* makes of the reply."""

    async def node(_: Any, ctx: NodeContext) -> NodeResult:
        ctx.emit("streaming")
        reply = await ctx.perform(ask_for("hello"))
        for piece in change(reply.text):
            ctx.say(piece)
        return NodeResult(Note())

    return node


def seen(performer: Any, *nodes: Any) -> tuple[Screen, Any]:
    """Send one message through *nodes*, one after another; return the screen and what was kept."""
    screen = Screen()
    names = [chr(ord("a") + place) for place in range(len(nodes))]
    edges = [edge(one, other) for one, other in pairwise(names)]
    made, kept = run(bound(dict(zip(names, nodes, strict=True)), edges), performer, instruments=[screen])
    made.send(HI)
    return screen, kept


def test_a_reply_is_read_once() -> None:
    """What came piece by piece is not shown again when the node says it, and nothing is taken back (C80)."""
    screen, kept = seen(Streams((["Hel", "lo ", "you"], "Hello you")), says(lambda text: [text]))
    assert screen.text == "Hello you"
    assert screen.drawn == 3
    assert screen.taken == []
    assert kept.records("a")[0].emissions[1].data["text"] == "Hello you"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda text: [text[:3], text[3:]], "Hello you"),
        (lambda text: [text + "!"], "Hello you!"),
        (lambda text: [text[:5], " all"], "Hello all"),
        (lambda text: [text.upper()], "HELLO YOU"),
        (lambda _: [], ""),
        (lambda text: [text, text], "Hello youHello you"),
    ],
)
def test_what_can_be_read_in_the_end_is_what_the_node_said(change: Callable[[str], Sequence[str]], text: str) -> None:
    """A node may say the reply in pieces, more than it, something else, or nothing: the screen ends with its words."""
    screen, _ = seen(Streams((["Hello", " you"], "Hello you")), says(change))
    assert screen.text == text


def test_white_space_around_a_reply_is_not_shown_before_it_counts() -> None:
    """A reply with blank lines around it is read once by nodes that cut them off, without anything taken back."""
    screen, _ = seen(Streams((["\n ", " Hi\n", "there", "\n", " \n"], "\n  Hi\nthere\n \n")), says(lambda text: [text.strip()]))
    assert (screen.text, screen.taken) == ("Hi\nthere", [])


async def asks(_: Any, ctx: NodeContext) -> NodeResult:
    """Ask, and hand the reply on unsaid."""
    reply = await ctx.perform(ask_for("hello"))
    return NodeResult(Note(text=reply.text))


async def tells(message: Note, ctx: NodeContext) -> NodeResult:
    """Say what one was handed."""
    ctx.say(message.text)
    return NodeResult()


def test_a_node_that_comes_later_may_say_it() -> None:
    """A reply that the next node says has been read already; nothing is shown twice or taken back."""
    screen, _ = seen(Streams((["Hel", "lo"], "Hello")), asks, tells)
    assert (screen.text, screen.taken) == ("Hello", [])


def test_a_failed_call_is_taken_back() -> None:
    """Pieces of a reply that did not come to its end are retracted, though the node goes on."""

    async def goes_on(_: Any, ctx: NodeContext) -> NodeResult:
        ctx.say("Well. ")
        (failure,) = await ctx.perform_all([ask_for("hello")], keep_failures=True)
        ctx.say(failure.message)
        return NodeResult()

    screen, _ = seen(Streams((["Half an", None], FAILED)), goes_on)
    assert screen.text == "Well. cut"
    assert len(screen.taken) == 1


def test_a_failed_frame_is_taken_back_once() -> None:
    """When the node ends by the failure of its call, it is retracted whole."""
    screen, _ = seen(Streams((["Half an"], FAILED)), says(lambda text: [text]))
    assert (screen.text, len(screen.taken)) == ("", 1)


def test_of_calls_side_by_side_the_first_is_shown() -> None:
    """Two shown replies at once do not run into each other."""

    async def both(_: Any, ctx: NodeContext) -> NodeResult:
        one, other = await ctx.perform_all([ask_for("one"), ask_for("other")])
        ctx.say(one.text)
        ctx.say(other.text)
        return NodeResult()

    screen, _ = seen(Streams((["Hel", "lo"], "Hello"), (["By", "e"], "Bye")), both)
    assert (screen.text, screen.drawn, screen.taken) == ("HelloBye", 2, [])


def test_previews_change_no_record() -> None:
    """A run whose replies came in pieces leaves the bytes of one whose replies came whole."""
    _, pieces = seen(Streams((["Hel", None, "Hello"], "Hello")), says(lambda text: [text]))
    _, whole = seen(Streams(([], "Hello")), says(lambda text: [text]))
    assert pieces.lines == whole.lines


words = st.lists(st.text("a b\n", max_size=4), max_size=4)


@given(words, words)
def test_whatever_comes_and_whatever_is_said(come: list[str], said: list[str]) -> None:
    """For any pieces of a reply and any words of the node, the screen ends with the words of the node."""
    screen, _ = seen(Streams((come, "".join(come))), says(lambda _: said))
    assert screen.text == "".join(said)


@pytest.mark.parametrize("threads", [1, 4])
def test_live_hands_on_what_a_model_tells(threads: int) -> None:
    """Pieces of replies come through a live performer in order and on the thread of the run; those nobody awaits are dropped."""

    class Model:
        on_delta: Callable[[Call, str | None], None] | None = None

        def __call__(self, call: Call) -> ModelReply:
            assert self.on_delta is not None
            for piece in ("Hel", "lo"):
                self.on_delta(call, piece)
            self.on_delta(Call.of(call.key._replace(call=9), call.effect), "nobody asked")
            return ModelReply(message=freeze({"role": "assistant", "content": "Hello"}))

    heard: list[tuple[int, int, str | None]] = []
    live = Live(Model(), threads=threads)
    live.on_delta = lambda call, text: heard.append((threading.get_ident(), call.key.call, text))
    call = Call.of(EffectKey(1, 1, "a", 0), ask_for("hello"))
    answers: list[Answer] = []
    while not answers:
        answers += live.perform(Ask(() if heard else (call,), {call.key: call}))
    live.close()
    mine = threading.get_ident()
    assert [entry for entry in heard if entry[1] == 0] == [(mine, 0, "Hel"), (mine, 0, "lo")]
    assert threads == 1 or len(heard) == 2


def test_live_tells_a_model_what_nobody_awaits() -> None:
    """A model that can end a call is told of dropped ones, and of the end."""
    told: list[Any] = []

    class Model:
        def __call__(self, call: Call) -> ModelReply:
            raise NotImplementedError

        def drop(self, keys: Any) -> None:
            told.append(list(keys))

        def close(self) -> None:
            told.append("closed")

    live = Live(Model())
    live.drop([EffectKey(1, 1, "a", 0)])
    live.close()
    assert told == [[EffectKey(1, 1, "a", 0)], "closed"]
