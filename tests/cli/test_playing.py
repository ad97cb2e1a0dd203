"""``frameengine replay --speed``: a conversation at the pace at which it came."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli_runs import Frameengine, record_run
from frameengine.effects import Call, EffectFailure, EffectKey, ModelCall, ModelReply, Outcome, ToolCall, ToolReply
from frameengine.engine.instruments import Instruments, Previews
from frameengine.inputs import Input, UserMessage
from frameengine.jsonvalue import freeze
from frameengine.records import Emission
from frameengine_cli.chatting.people import People
from frameengine_cli.playing import SAID, Player, pieces

CHUNKS = {"text": [[100, 3], [400, 4]], "tools": [[500, 0, 4], [600, 0, 6]]}
CALLED = {"function": {"name": "look", "arguments": '{"at": 12}'}}


def replied(text: str, meta: Any, **message: Any) -> Outcome:
    """Return the outcome of a model call."""
    said = freeze({"role": "assistant", "content": text, **message})
    return Outcome(value=ModelReply(message=said), meta=freeze(meta))


def model_call(node: str = "model", *, show: bool = True) -> Call:
    """Return a model call."""
    return Call.of(EffectKey(1, 1, node, 0), ModelCall(model="m", messages=(), show=show))


class Stage:
    """A clock that goes only where somebody waits, and what was shown when."""

    def __init__(self, speed: float) -> None:
        self.time = 0.0
        self.shown: list[tuple[float, str]] = []
        self.player = Player(speed, Previews(Instruments([self])), People(), now=lambda: self.time, wait=self._wait)

    def _wait(self, seconds: float) -> None:
        assert seconds > 0
        self.time += seconds

    def on_preview(self, _: EffectKey, __: int, emission: Emission) -> None:
        """Keep a piece with its time."""
        self.shown.append((round(self.time, 3), emission.data["text"]))

    def on_retract(self, _: EffectKey) -> None:
        """Keep that pieces were taken back."""
        self.shown.append((round(self.time, 3), "✗"))


@pytest.mark.parametrize("speed", [1.0, 4.0, 0.5])
def test_pieces_come_when_they_came(speed: float, capsys: pytest.CaptureFixture[str]) -> None:
    """Each piece is shown at its recorded time divided by the speed, and the call takes its whole time."""
    stage = Stage(speed)
    stage.player.on_ask(model_call())
    stage.player.on_outcome(model_call(), replied("one two", {"chunks": CHUNKS, "ms": 1000}, tool_calls=[CALLED]))
    assert stage.shown == [(round(0.1 / speed, 3), "one"), (round(0.4 / speed, 3), " two")]
    assert stage.time == pytest.approx(1 / speed)
    stage.player.on_input(Input(number=2, body=UserMessage.of("next"), at=0))
    assert capsys.readouterr().out.split("\n")[:3] == ["  ◆ look", '  {"at": 12}', f"{SAID}next"]


def test_calls_side_by_side_are_waited_for_side_by_side() -> None:
    """Two calls that were asked together take as long as the longer one; one that comes after them takes its own time."""
    stage = Stage(1)
    first, second, third = model_call("a"), model_call("b"), Call.of(EffectKey(1, 1, "b", 1), ToolCall("look", {}))
    for call in (first, second):
        stage.player.on_ask(call)
    stage.player.on_outcome(first, replied("x", {"ms": 300}))
    stage.player.on_outcome(second, replied("x", {"ms": 500}))
    assert stage.time == pytest.approx(0.5)
    stage.player.on_ask(third)
    stage.player.on_outcome(third, Outcome(value=ToolReply(content=1), meta=freeze({"ms": 200})))
    assert stage.time == pytest.approx(0.7)


def test_what_has_no_times_comes_at_once_and_what_is_not_shown_is_not() -> None:
    """Without times nothing is waited for; a reply that was not shown takes its time in silence."""
    stage = Stage(1)
    stage.player.on_ask(model_call())
    stage.player.on_outcome(model_call(), replied("one two", {}))
    assert stage.time == 0
    stage.player.on_ask(model_call(show=False))
    stage.player.on_outcome(model_call(show=False), replied("one two", {"chunks": CHUNKS, "ms": 900}))
    assert stage.time == pytest.approx(0.9)
    assert not stage.shown


def test_a_failed_reply_is_shown_as_far_as_it_came_and_taken_back() -> None:
    """What had come of a reply that broke off is shown when it came, and withdrawn when it failed."""
    stage = Stage(1)
    error = EffectFailure(type="model.truncated", message="cut", fields=freeze({"text": "one t"}))
    outcome = Outcome(status="error", error=error, meta=freeze({"chunks": {"text": [[100, 3], [400, 2]]}, "ms": 700}))
    stage.player.on_ask(model_call())
    stage.player.on_outcome(model_call(), outcome)
    assert stage.shown == [(0.1, "one"), (0.4, " t"), (0.7, "✗")]


def test_a_reply_that_was_asked_for_again_comes_after_the_tries_that_failed() -> None:
    """Pieces have their times since the last try: what went before goes by first, and the call takes as long as it took."""
    stage = Stage(2)
    retries = [{"type": "timeout", "ms": 400, "waited": 0.5}, {"type": "provider_error", "ms": 100, "waited": 1}, {"waited": "x"}]
    stage.player.on_ask(model_call())
    stage.player.on_outcome(model_call(), replied("one two", {"chunks": CHUNKS, "ms": 2500, "retries": retries}))
    assert stage.shown == [(1.05, "one"), (1.2, " two")]
    assert stage.time == pytest.approx(1.3)


@pytest.mark.parametrize(
    "chunks", [None, 7, [], {"text": 3}, {"text": [[1], [-1, 2], ["a", 3], [True, 2], 5]}, {"tools": [[1, 0]]}]
)
def test_times_that_cannot_be_are_passed_over(chunks: Any) -> None:
    """A meta of somebody else's making shows nothing on the way, and ends nothing."""
    assert list(pieces(replied("one", {"chunks": chunks}))) == []


def test_sizes_count_code_points_of_what_was_recorded() -> None:
    """Cuts fall between code points, also where two are drawn as one or a secret was replaced; beyond the text is nothing."""
    outcome = replied("天🙂e\u0301[secret:1**]!", {"chunks": {"text": [[1, 2], [2, 2], [3, 12], [4, 9], [5, 9]]}})
    assert [text for _, _, text in pieces(outcome)] == ["天🙂", "e\u0301", "[secret:1**]", "!"]
    beyond = replied("", {"chunks": {"tools": [[1, 3, 4]]}})
    assert list(pieces(beyond)) == [(1, 3, "")]


# ---------------------------------------------------------------------- the command


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the list of all waits, none of which is really waited."""
    kept: list[float] = []
    made: Callable[..., None] = Player.__init__

    def still(self: Player, *arguments: Any) -> None:
        time = [0.0]

        def wait(seconds: float) -> None:
            time[0] += seconds
            kept.append(seconds)

        made(self, *arguments, now=lambda: time[0], wait=wait)

    monkeypatch.setattr(Player, "__init__", still)
    return kept


def test_a_conversation_is_played_and_compared(frameengine: Frameengine, weather: Path, waits: list[float]) -> None:
    """The question, what was answered and the receipt of the comparison are shown; the waits are those of the record."""
    done = frameengine("replay", weather, "--speed", "1")
    assert done.code == 0
    places = [
        done.out.index(text) for text in (f"{SAID}What will", "Saturday stays sunny", f"{SAID}Do I need", "Yes, for", "✓ same")
    ]
    assert places == sorted(places)
    assert done.out.count("Saturday stays sunny") == 1
    # Three model calls of 1,234.5 ms, and a tool's 34 ms.
    assert sum(waits) == pytest.approx(3 * 1.2345 + 0.034)
    slow = sum(waits)
    waits.clear()
    frameengine("replay", weather, "--speed", "4")
    assert sum(waits) == pytest.approx(slow / 4)
    waits.clear()
    assert SAID not in frameengine("replay", weather).out
    assert waits == []


def test_a_divergence_is_found_while_it_is_played(frameengine: Frameengine, tmp_path: Path, waits: list[float]) -> None:
    """Playing compares as strictly as a replay at once does: exit 4 at the first difference."""
    path = record_run(tmp_path / "x.trace.jsonl", [("Hello?", ["Hi there."])])
    other = frameengine("replay", path, "--speed", "9", "--graph", "v3-framed")
    assert other.code == 4


@pytest.mark.parametrize("options", [("--speed", "0"), ("--speed", "-1"), ("--speed", "nan"), ("--speed", "1", "--json")])
def test_speeds_that_are_none_are_refused(frameengine: Frameengine, weather: Path, options: tuple[str, ...]) -> None:
    """A speed is a number above 0, for somebody who reads."""
    assert frameengine("replay", weather, *options).code == 2
    assert frameengine("replay", weather, weather, "--speed", "1").code == 2
