"""``frameengine debug`` without a trace: a run that is held, talked to and decided on, and its record."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from time import sleep
from typing import Any

import pytest
from attrs import evolve

from billing_database import build_billing
from cli_runs import Done, Frameengine
from frameengine.debug import patterns
from frameengine.effects import ToolCall
from frameengine.errors import UsageError
from frameengine.inputs import UserMessage
from frameengine.node import NodeContext, NodeResult
from frameengine.replay.replayer import Replayer
from frameengine.trace.messages import Message, messages
from frameengine.trace.reader import TraceReader
from frameengine_cli.commands.options import live_models
from frameengine_cli.debugging.live import Answering, LiveRun
from frameengine_cli.debugging.starting import Begin, closed
from model_scripts import Hang, Request, Script, error, stream
from model_server import ModelServer
from pseudo_terminal import HANG_SECONDS, Terminal
from toy import Echo, bound

KEY = "sk-planted-0123456789abcdef"
TRACE = "live.trace.jsonl"
ASK = "say How many customers do we have?"
LOOP = ("--graph", "tool-loop", "--reply", "one", "--reply", "two")
CHAT = ("--graph", "v3-framed")
SCENARIOS = Path(__file__).parents[2] / "fixtures" / "scenarios"


@pytest.fixture
def live(frameengine: Frameengine) -> Any:
    """Return a function that begins a run and does commands in it."""

    def run(*lines: str, options: tuple[str, ...] = LOOP, as_json: bool = False) -> Done:
        typed = [word for line in lines for word in ("-c", line)]
        return frameengine("debug", *options, "-o", TRACE, *(["--json"] if as_json else []), *typed)

    return run


@pytest.fixture(scope="module")
def billing(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the option that names the billing database."""
    return f"billing={build_billing(tmp_path_factory.mktemp('data'))}"


def test_a_run_that_was_left_while_held_replays_and_says_that_it_is_open(live: Any, frameengine: Frameengine) -> None:
    """Who quits in front of a call leaves the message open: exit 1 then, and its replay is same only as far as it goes."""
    assert live("pause effects", "say hello", "quit").code == 1
    done = frameengine("replay", TRACE)
    assert (done.code, "same as far as it was recorded" in done.out) == (0, True)


def recorded(path: Path) -> list[Message]:
    """Return the messages of a trace that replays."""
    assert Replayer(path).run().verdict == "same"
    with TraceReader(path) as reader:
        return list(messages(reader))


def outcomes(path: Path) -> list[tuple[str, str, str]]:
    """Return node, status and what a person did of each call."""
    steps = [step for message in recorded(path) for step in message.steps]
    return [(call.key.node, call.outcome.status, str(call.outcome.meta.get("did", ""))) for step in steps for call in step.calls]


def told(done: Done) -> list[Any]:
    """Return the documents of a run with --json."""
    return [json.loads(line) for line in done.out.splitlines()]


# ---------------------------------------------------------------------- talk, hold, decide


def test_a_run_is_talked_to_and_sealed(live: Any, tmp_path: Path) -> None:
    """What is said runs to its end, is shown, and stands in a sealed trace that replays."""
    done = live("say hello", "where", "say more")
    assert done.code == 0
    assert "one" in done.out
    assert "1.2  frame 2 of 2" in done.out
    assert f"recorded {TRACE}" in done.err
    assert [message.status for message in recorded(tmp_path / TRACE)] == ["done", "done"]


def test_each_decision_is_recorded_and_the_trace_replays(live: Any, billing: str, tmp_path: Path) -> None:
    """Approved, sent, answered, skipped and failed: the trace says of each outcome what a person did."""
    options = (*CHAT, "--database", billing, "--pause", "effects")
    done = live(
        ASK, "approve", "a", 'send {"query": "SELECT 7 AS n", "database": "billing"}', "skip", "answer There are 7.",
        "fail enough for today", options=options,
    )  # fmt: skip
    found = outcomes(tmp_path / TRACE)
    assert [what for _, _, what in found] == ["", "", "sent", "skipped", "answered", "failed"]
    assert (found[5][1], done.code) == ("error", 0)
    [message] = recorded(tmp_path / TRACE)
    [query] = [call for step in message.steps for call in step.calls if call.effect == "tool"]
    assert "COUNT" in query.request["arguments"]["query"]
    assert query.outcome.meta["sent"]["arguments"]["query"] == "SELECT 7 AS n"
    assert "There are 7." in done.out


def test_what_is_answered_by_hand_is_said_to_be(live: Any) -> None:
    """The list of effects names no model that did not answer, and says who did; a single message hides none before it."""
    done = live("pause effects", "say hello", "answer Hi there.", "goto 1.1", "effects", "effect")
    assert "by hand" in done.out
    assert "model not recorded" not in done.out
    assert "before this one" not in done.out


def test_time_in_which_a_run_is_held_is_no_time_of_its_frames(tmp_path: Path) -> None:
    """However long somebody thinks in front of an effect, the frame and the message take what the work took."""
    seconds = [0.0]
    begin = Begin(graph="v3-framed", databases={}, folder=tmp_path, output=tmp_path / TRACE, pauses="effects")
    session = begin.session()
    run = session.live
    assert run is not None
    assert run.who.clock is not None
    run.who = evolve(run.who, clock=evolve(run.who.clock, monotonic=lambda: seconds[0]))
    run.begin(UserMessage.of("hello"))
    while run.under_way:
        run.until_held()
        if run.under_way:
            seconds[0] += 1_000
            run.go_on()
    closed(run)
    [message] = recorded(tmp_path / TRACE)
    assert max(float(str(step.meta["ms"])) for step in message.steps) < 1_000_000
    assert float(str(message.meta["ms"])) < 1_000_000


def test_what_waits_is_shown_in_short_and_whole(live: Any) -> None:
    """Where it is held the last message and the ways on stand; asks shows all messages; looks work meanwhile."""
    done = live("pause effects", "say hello", "asks", "state", "messages", "approve", options=CHAT)
    assert "‖ 1.1 input[0] asks" in done.out
    assert "2 messages before this one" in done.out
    assert "approve · send JSON · answer TEXT · skip · fail TEXT · cancel" in done.out
    assert "You read the messages of a conversation" in done.out
    assert "/history" in done.out


def test_frames_can_be_waited_behind(live: Any) -> None:
    """Pause frames holds the run behind each frame, where the record has it already."""
    documents = told(live("pause frames", "say hello", "frame", "approve", "approve", as_json=True))
    places = [(document["place"]["message"], document["place"]["frame"]) for document in documents]
    assert places == [(0, 0), (1, 1), (1, 1), (1, 2), (1, 2)]
    assert [document["under_way"] for document in documents if "under_way" in document] == [True, True, False]


@pytest.mark.parametrize(
    ("stop", "first"),
    [
        ("tool query_db", "thinker"),
        ("node director", "director"),
        ("model anthropic/claude-haiku-4.5", "director"),
        ("if call.kind == 'tool' and 'COUNT' in call.request.arguments.query", "thinker"),
        ("regex ^SELECT COUNT", "thinker"),
        ("tool query_db if state.memory.language == 'en' and text == 'How many customers do we have?'", "thinker"),
    ],
)
def test_a_breakpoint_holds_the_run_before_the_effect(live: Any, billing: str, stop: str, first: str) -> None:
    """Nodes, tools, models, texts and conditions stop before what they are about is done, once in its frame."""
    options = (*CHAT, "--database", billing, "-b", stop)
    documents = told(live(ASK, "approve", "breakpoints", as_json=True, options=options))
    assert documents[0]["reason"] == "breakpoint"
    assert (documents[0]["asks"]["key"][2], documents[0]["hits"][0]["number"]) == (first, 1)
    assert documents[2]["points"][0]["hits"] >= 1
    assert documents[1]["asks"] is None or documents[1]["asks"]["key"][:2] != documents[0]["asks"]["key"][:2]


def test_a_run_under_way_says_how_it_can_be_forked(live: Any) -> None:
    """An edit of it waits for a sealed run, and a fork is refused with what to type."""
    done = live("pause effects", ASK, "approve", "edit reply other", "fork x.trace.jsonl", options=CHAT)
    assert done.out.count(way := f"quit, then frameengine debug {TRACE}") == 1, done.out
    assert ("a run under way is not forked" in done.err, way in done.err) == (True, True)


def test_what_is_passed_over_before_an_effect_does_not_stop_behind_it(live: Any) -> None:
    """An ignored stop is passed over for good: the next one is that of the next effect, and each counts once."""
    documents = told(live("ignore 1 1", ASK, "breakpoints", as_json=True, options=(*CHAT, "-b", "effect model")))
    assert documents[1]["asks"]["key"][:3] == [1, 2, "director"]
    assert documents[2]["points"][0]["hits"] == 2


def test_other_breakpoints_hold_behind_the_frame(live: Any) -> None:
    """A watchpoint holds where the value has changed, a path stops where the message ends."""
    documents = told(live("watch /history", "break status done", "say hello", "approve", "breakpoints", as_json=True))
    stops = [(document["reason"], document["place"]["frame"], document["under_way"]) for document in documents[2:4]]
    assert stops == [("watchpoint", 1, True), ("breakpoint", 2, False)]
    assert [point["hits"] for point in documents[4]["points"]] == [1, 1]


@pytest.mark.parametrize("point", ["regex ^(a+)+b$", "whatever holds behind the frame"])
def test_a_breakpoint_that_cannot_be_looked_for_holds_the_run(
    point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where looking fails, before an effect or behind a frame, the run is held there, and goes on once it is told to."""
    monkeypatch.setattr(patterns, "SECONDS", 0.05)
    monkeypatch.setattr(patterns, "ALL_SECONDS", 0.05)
    graph = bound({"a": _asking})
    run = LiveRun(graph, Answering(performer=Echo(), told="", provenance={}), tmp_path / TRACE)
    if point.startswith("regex"):
        run.breakpoints.add(point)
    else:
        monkeypatch.setattr(run.breakpoints, "met", _no_answer)
    run.begin(UserMessage.of("a" * 60 + "!"))
    with pytest.raises(UsageError, match="takes too long"):
        run.until_held()
    assert run.held
    assert (run.asking is not None) == point.startswith("regex")
    monkeypatch.undo()
    for added in run.breakpoints.all():
        run.breakpoints.delete(added.number)
    run.go_on()
    assert run.until_held().reason == "place"
    assert not run.under_way
    assert run.leave()
    assert Replayer(tmp_path / TRACE, bound=graph).run().verdict == "same"


async def _asking(message: Any, ctx: NodeContext) -> NodeResult:
    await ctx.perform(ToolCall("look", {"for": message.text}))
    return NodeResult()


def _no_answer(*_: Any) -> Any:
    raise UsageError("it takes too long", hint="delete it")


def test_a_cancel_is_recorded(live: Any, tmp_path: Path) -> None:
    """Cancel ends a message that is held; the next can be said, and all of it replays."""
    done = live("pause effects", "say hello", "cancel", "pause off", "say more")
    assert done.code == 0
    assert [message.status for message in recorded(tmp_path / TRACE)] == ["cancelled", "done"]


def test_a_scenario_is_gone_through_by_hand(live: Any, tmp_path: Path) -> None:
    """Say without a text lets the next input of the scenario in; then there is none left."""
    done = live("say", "say", options=("--scenario", str(SCENARIOS / "reflex.toml")))
    assert (done.code, [(each.status, each.path) for each in recorded(tmp_path / TRACE)]) == (0, [("done", "reflex")] * 2)
    (tmp_path / TRACE).unlink()
    none = live("say", "say", "say", options=("--scenario", str(SCENARIOS / "reflex.toml")))
    assert (none.code, "say what?" in none.err, len(recorded(tmp_path / TRACE))) == (2, True, 2)


# ---------------------------------------------------------------------- leaving


def test_who_leaves_inside_a_message_leaves_it_open(live: Any, tmp_path: Path) -> None:
    """The trace is sealed, its last message open, and a replay stops at the same call; the exit code tells."""
    done = live("say hello", "pause effects", "say more", "quit")
    assert (done.code, "message 2 was left where it was: it is open" in done.err) == (1, True)
    assert [message.status for message in recorded(tmp_path / TRACE)] == ["done", "open"]


def test_where_nothing_is_said_no_trace_is_kept(live: Any, tmp_path: Path) -> None:
    """A run without a message leaves no file."""
    done = live("where")
    assert (done.code, "nothing was said" in done.err, (tmp_path / TRACE).exists()) == (0, True, False)


def test_a_trace_that_is_replaced_is_never_read(live: Any, tmp_path: Path, frameengine: Frameengine) -> None:
    """Without --force a file stays as it is; with it the session sees the new run from its first line on."""
    live("say hello", "say more")
    assert (live("say hello").code, len(recorded(tmp_path / TRACE))) == (2, 2)
    done = frameengine(
        "debug", *LOOP, "-o", TRACE, "--force", "-b", "if frame == 2", "-c", "messages", "-c", "say anew", "-c", "a"
    )
    assert done.code == 0
    assert "hello" not in done.out
    assert [message.status for message in recorded(tmp_path / TRACE)] == ["done"]


def test_a_run_that_breaks_off_says_how_to_go_on(live: Any, tmp_path: Path, frameengine: Frameengine) -> None:
    """Where replies are used up the run ends: looks still work, nothing more can be said, and repair keeps the good part."""
    done = live("say one", "say two", "say three", "where", "say four")
    assert done.code != 0
    assert "frameengine repair" in done.err
    assert "the run has ended" in done.err
    repaired = frameengine("repair", TRACE, "-o", "good.trace.jsonl")
    assert repaired.code == 0
    assert len(recorded(tmp_path / "good.trace.jsonl")) >= 2


# ---------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("approve", "no effect waits"),
        ("skip", "no effect waits"),
        ("answer hello", "no effect waits"),
        ("cancel", "no message is under way"),
        ("pause everything", "effects, frames, off"),
        ("say", "say what?"),
    ],
)
def test_a_command_that_does_not_suit_is_refused(live: Any, line: str, said: str) -> None:
    """It says what is missing, and the way out."""
    done = live(line)
    assert (done.code, said in done.err, "try:" in done.err) == (2, True, True)


def test_a_decision_of_the_wrong_form_leaves_the_call_waiting(live: Any, tmp_path: Path) -> None:
    """A request that is none is refused; the same call can then be approved."""
    done = live("pause effects", "say hello", 'send {"zork": 1}', 'send {"messages":', "approve", "say more", "approve")
    assert done.code == 2
    assert outcomes(tmp_path / TRACE)[0][1:] == ("ok", "")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "a graph or a scenario"),
        (("--graph", "tool-loop", "--scenario", "x.toml"), "a graph or a scenario"),
        (("--graph", "tool-loop", "--reply", "x", "--replies", "y.toml"), "leave out one of them"),
        (("--graph", "tool-loop", "--reply", "x", "--live"), "leave out one of them"),
        (("--graph", "tool-loop", "--pause", "always"), "there is no such pause"),
        (("--graph", "zork"), "zork"),
        (("--graph", "tool-loop", "-b", "zork 1"), "zork"),
    ],
)
def test_options_that_do_not_go_together_are_refused(live: Any, tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    """Before anything is run or written."""
    done = live("say hello", options=options)
    assert (done.code, said in done.err, (tmp_path / TRACE).exists()) == (2, True, False)


def test_a_recorded_run_cannot_be_talked_to(frameengine: Frameengine, weather: Path) -> None:
    """Neither with options nor with commands."""
    assert "a recorded run asks nobody" in frameengine("debug", weather, "--reply", "x", "-c", "where").err
    done = frameengine("debug", weather, "-c", "say hello")
    assert (done.code, "recorded one" in done.err) == (2, True)


def test_breakpoints_of_the_command_line_hold_in_a_recorded_run(frameengine: Frameengine, weather: Path) -> None:
    """-b sets one before the first command."""
    done = frameengine("debug", weather, "-b", "tool forecast", "-c", "continue")
    assert (done.code, "1.2  frame 2 of 4" in done.out) == (0, True)


# ---------------------------------------------------------------------- pipes and terminals


def test_lines_come_through_a_pipe(frameengine: Frameengine, tmp_path: Path) -> None:
    """A pipe that ends inside a message leaves it open; an empty line does nothing again that decides."""
    lines = b"say hello\n\npause effects\nsay more\n\n\n"
    done = frameengine("debug", *LOOP, "-o", TRACE, "--plain", stdin=lines)
    assert done.code == 1
    assert [message.status for message in recorded(tmp_path / TRACE)] == ["done", "open"]


def test_ctrl_c_cancels_and_a_closed_terminal_loses_nothing(tmp_path: Path, frameengine: Frameengine) -> None:
    """In a terminal Ctrl-C at the prompt says how to leave; when the terminal goes, all that was done is in the file."""
    options = ("debug", *LOOP, "-o", TRACE, "--plain", "--pause", "effects")
    with Terminal(*options, cwd=tmp_path, env={"XDG_STATE_HOME": str(tmp_path / "state")}) as terminal:
        terminal.wait_for("(start) ")
        terminal.press("say hello\r")
        terminal.wait_for("asks")
        terminal.wait_for("(1.0) ")
        # The line editor shows its prompt a moment before it listens for keys.
        sleep(0.3)
        terminal.press("\x03")
        terminal.wait_for("cancel ends the message under way, quit leaves")
        terminal.press("a\r")
        terminal.wait_for("✓ done")
        terminal.press("say more\r")
        terminal.wait_for("(2.0) ")
        terminal.hang_up()
        assert terminal.process.wait(HANG_SECONDS) in (0, 1, 129, -signal.SIGHUP)
    frameengine("repair", TRACE, "-o", "good.trace.jsonl")
    kept = tmp_path / ("good.trace.jsonl" if (tmp_path / "good.trace.jsonl").exists() else TRACE)
    assert recorded(kept)[0].status == "done"


def test_text_from_outside_is_neutral_where_a_run_is_held(live: Any) -> None:
    """No control sequence of a message or a reply gets through what is shown of a call that waits."""
    evil = "\x1b]52;c;aGk=\x07\x1b[2J\u202e\u009b31m"
    done = live("pause effects", f"say hello {evil}", "asks", f"answer bye {evil}")
    assert "hello" in done.out
    assert not [sign for sign in done.out + done.err if (ord(sign) < 32 and sign != "\n") or sign in "\x7f\x9b\u202e"]


# ---------------------------------------------------------------------- live models


@pytest.fixture
def server(frameengine: Frameengine, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    """Serve, and let the usual variables lead there."""
    with ModelServer() as started:
        for name, value in (("BASE_URL", started.url), ("API_KEY", KEY), ("MODEL", "m")):
            monkeypatch.setenv(f"OPENAI_{name}", value)
        yield started


def test_live_models_are_asked_what_is_approved(live: Any, server: ModelServer, tmp_path: Path) -> None:
    """An approved call goes over HTTP, an edited one as it was edited, one answered by hand not at all; no key is recorded."""
    server.enqueue(stream("from the model"), stream("from the model, too"))
    live(
        "say hello", "approve", "say more", "send what else?", "say enough", f"answer my key is {KEY}",
        options=("--graph", "tool-loop", "--live", "--pause", "effects"),
    )  # fmt: skip
    asked = [request.json()["messages"][-1]["content"] for request in server.requests]
    assert asked == ["hello", "what else?"]
    assert [what for _, _, what in outcomes(tmp_path / TRACE)] == ["", "sent", "answered"]
    assert KEY not in (tmp_path / TRACE).read_text(encoding="utf-8")


@pytest.mark.parametrize(("decision", "code"), [("approve", 1), ("send what else?", 1), ("fail no luck", 0)])
def test_a_live_call_that_failed_counts_where_its_message_is_done(
    live: Any, server: ModelServer, frameengine: Frameengine, decision: str, code: int
) -> None:
    """A model that failed makes exit 1 with what to do, also where a node made something of it; a failure by hand does not."""
    server.respond = lambda _: error(400, "no luck") if len(server.requests) == 2 else stream('{"intent": "question"}')
    decisions = ["approve", decision, "pause off", "approve"]
    if decision.startswith("fail"):
        server.respond = lambda _: stream('{"intent": "question"}')
    done = live("pause effects", "say hello", *decisions, options=("--graph", "v3-framed", "--live"))
    assert "✓ done" in done.out
    assert done.code == code, done.out + done.err
    assert ("director[0]: the endpoint answered 400" in done.err) == (code == 1)
    assert ("try: frameengine doctor" in done.err) == (code == 1)
    assert frameengine("replay", TRACE).code == 0


@pytest.fixture
def hanging(server: ModelServer) -> Event:
    """Let the server never answer its first request; return what is set when that has come."""
    asked = Event()

    def respond(_: Request) -> Script:
        first = not asked.is_set()
        asked.set()
        return [Hang()] if first else stream("here I am")

    server.respond = respond
    return asked


def test_ctrl_c_cancels_a_call_that_hangs(hanging: Event, tmp_path: Path) -> None:
    """While a model does not answer, Ctrl-C ends the call and the message, and the next one can be said."""
    options = ("debug", "--graph", "tool-loop", "--live", "-o", TRACE, "--plain")
    with Terminal(*options, cwd=tmp_path, env={"XDG_STATE_HOME": str(tmp_path / "state")}) as terminal:
        terminal.wait_for("(start) ")
        terminal.press("say hello\r")
        assert hanging.wait(HANG_SECONDS)
        terminal.press("\x03")
        terminal.wait_for("cancelled")
        terminal.press("say again\r")
        terminal.wait_for("here I am")
        terminal.press("quit\r")
        assert terminal.end() == 0
    assert [message.status for message in recorded(tmp_path / TRACE)] == ["cancelled", "done"]


def test_who_leaves_while_a_call_hangs_does_not_wait_for_it(hanging: Event, tmp_path: Path) -> None:
    """The call is ended and not recorded, the message is open, and the trace is sealed and replays."""
    path = tmp_path / TRACE
    models = live_models(live=True, models=None, scripted="")
    run = Begin(graph="tool-loop", databases={}, models=models, folder=tmp_path, output=path).session().live
    assert run is not None
    run.begin(UserMessage.of("hello"))
    while not hanging.is_set():
        run.look(0.05)
    assert closed(run)[1] == 1
    assert [message.status for message in recorded(path)] == ["open"]
