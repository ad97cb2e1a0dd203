"""``frameengine chat``: piped, for programs, and at a real terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from importlib.util import module_from_spec, spec_from_file_location
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from cli_runs import Done, Frameengine
from frameengine.errors import StorageError, TraceIncomplete
from frameengine.hud.log import read as read_log
from frameengine.inputs import SwitchGraph
from frameengine.performers.live import Live
from frameengine.trace.messages import messages
from frameengine.trace.reader import TraceReader, read_header
from frameengine.trace.verify import verify
from frameengine_cli.chatting.flow import MARGIN, Flow
from frameengine_cli.chatting.reading import PROMPT
from frameengine_cli.chatting.session import Session
from terminal import Terminal

ROOT = Path(__file__).parents[2]
GRAPHS = ("v1-current", "v2-director-drives", "v3-framed", "v4-eras")
PATHS = {
    "v1-current": ["thinker"] * 6 + ["action"] * 2,
    "v2-director-drives": ["reflex", *["director+interpreter"] * 2, *["director"] * 3, *["action"] * 2],
    "v3-framed": ["reflex", *["director+interpreter"] * 2, *["director"] * 3, *["action"] * 2],
    "v4-eras": ["reflex", *["pa+expert+interpreter"] * 2, *["pa+expert"] * 2, "pa", *["action"] * 2],
}
"""Graph -> the ways of the eight inputs of `TOUR`."""
TOUR = (
    "Hello!",
    "How many customers are there?",
    "List the buildings",
    "Give me a counter",
    "Walk me through a meter reading",
    "What is the meaning of life?",
    "/click found",
    "/click 2",
)
SLEEPS = """
[model]
output = ["Fine."]
[[model.input]]
intent = "request"
[[model.input]]
intent = "social"
[[model.thinker]]
content = "```python\\nimport time\\ntime.sleep(600)\\n```"
[[model.thinker]]
content = "It is fine."
"""
SHAKY = '''"""A node that breaks off."""
from frameengine.node import NodeResult


class Shaky:
    """Says something, and fails at every message but the second."""

    async def run(self, message, ctx):
        """Say it."""
        ctx.say("Half an answer, and then")
        if ctx.input != 2:
            raise ValueError("no more")
        return NodeResult()
'''
SHAKY_GRAPH = """
name = "shaky"
version = 1
description = "Breaks off."
[entry]
UserMessage = "shaky"
[[nodes]]
name = "shaky"
implementation = "shaky_chat:Shaky"
[state]
history = []
"""


@pytest.fixture(scope="module")
def billing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the example database."""
    path = tmp_path_factory.mktemp("billing") / "billing.sqlite"
    spec = spec_from_file_location("billing", ROOT / "fixtures" / "billing.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    module.build(path)
    return path


Talk = Callable[..., Done]


@pytest.fixture
def talk(frameengine: Frameengine) -> Talk:
    """Return a function that holds a conversation through pipes: its lines, then options."""

    def hold(*lines: str, options: tuple[str | Path, ...] = ()) -> Done:
        return frameengine("chat", "-o", "chat.trace.jsonl", *options, stdin="".join([f"{line}\n" for line in lines]).encode())

    return hold


def told(done: Done, kind: str) -> list[Any]:
    """Return the documents of one kind that a conversation for programs wrote."""
    return [document for line in done.out.splitlines() if (document := json.loads(line)).get("kind") == kind]


def inputs(path: Path) -> list[Any]:
    """Return the inputs of a trace."""
    with TraceReader(path) as reader:
        return [message.input.body for message in messages(reader)]


# ---------------------------------------------------------------------- the stand-in


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_newcomer_can_try_each_graph(talk: Talk, frameengine: Frameengine, billing: Path, graph: str) -> None:
    """Greetings, counts, lists, a counter and a machine work without a model, from real data, and what is recorded replays."""
    done = talk(*TOUR, options=("--graph", graph, "--database", f"billing={billing}", "--json"))
    assert done.code == 0
    turns = told(done, "message")
    assert [turn["path"] for turn in turns] == PATHS[graph]
    with closing(sqlite3.connect(billing)) as connection:
        (customers,) = connection.execute("SELECT COUNT(*) FROM customers").fetchone()
        (street,) = connection.execute("SELECT street FROM buildings WHERE id = 1").fetchone()
    hello, count, listed, counter, walk, unknown, moved, more = turns
    assert "no model is asked" in hello["response"]
    assert count["response"] == f"The database holds {customers} customers."
    assert street in json.dumps([listed["response"], listed["controls"]], ensure_ascii=False)
    assert [control["label"] for control in counter["controls"] if control["type"] == "button"] == ["+1", "-1"]
    assert walk["controls"][0]["machine_id"] == "reading"
    assert "How many customers are there?" in unknown["response"]
    assert (moved["response"], more["response"]) == ("reading → read", "count = 1")
    assert [turn["problems"] for turn in turns] == [[]] * 8
    assert frameengine("replay", "chat.trace.jsonl").code == 0


def test_it_says_that_no_model_is_asked(talk: Talk) -> None:
    """The first screen, the last line, every reply in the trace and its header say that a stand-in answers."""
    done = talk("Hello!")
    assert "answers  scripted stand-in: no model is asked" in done.out
    assert "scripted stand-in: no model is asked" in done.err
    assert read_header(Path("chat.trace.jsonl"))["provenance"]["model"] == "scripted stand-in"
    with TraceReader(Path("chat.trace.jsonl")) as reader:
        (message,) = messages(reader)
    assert {getattr(call.outcome.value, "model", "") for call in message.calls} == {"scripted stand-in"}


def test_without_a_database_the_answer_says_how_to_get_one(talk: Talk) -> None:
    """A question for data without a database is answered with the way to one, and is no failure of the conversation."""
    done = talk("How many customers are there?", options=("--json",))
    assert "python fixtures/billing.py" in told(done, "message")[0]["response"]
    assert done.code == 0


def test_a_database_that_is_not_there_is_refused_at_once(talk: Talk) -> None:
    """A file that does not exist ends the command before anything is recorded, and the hint builds it."""
    done = talk("hi", options=("--database", "billing=none.sqlite"))
    assert (done.code, Path("chat.trace.jsonl").exists()) == (2, False)
    assert "python fixtures/billing.py none.sqlite" in done.err


# ---------------------------------------------------------------------- what is shown, and when


def test_thinking_messages_and_tools_come_before_the_answer(talk: Talk, billing: Path) -> None:
    """The user reads what the assistant says meanwhile, then each tool, then the answer, then the figures (C92)."""
    done = talk("How many customers are there?", options=("--database", f"billing={billing}"))
    wanted = ["… Counting", "◆ query_db  DESCRIBE", "◆ query_db  SELECT COUNT", "The database holds", "✓ done  pa+expert"]
    places = [done.out.index(text) for text in wanted]
    assert places == sorted(places)


def test_controls_come_after_the_last_piece_of_text(talk: Talk) -> None:
    """In every message the controls come behind all texts, as they belong to the whole answer (C48)."""
    done = talk("Give me a counter", "/click 1", "Walk me through a meter reading", "/click 1", options=("--json",))
    kinds = [json.loads(line) for line in done.out.splitlines()]
    ends = [0, *[place for place, document in enumerate(kinds) if document.get("kind") == "message"]]
    for start, end in pairwise(ends):
        part = kinds[start:end]
        texts = [place for place, document in enumerate(part) if document.get("kind") == "text"]
        controls = [place for place, document in enumerate(part) if document.get("event") == "controls"]
        assert max(texts) < min(controls)


def test_ready_text_comes_in_pieces(talk: Talk) -> None:
    """What the surface says to a click comes in pieces of at most 12 characters, which together are the answer (C78)."""
    done = talk("Walk me through a meter reading", "/click 1", options=("--json",))
    pieces = [document["text"] for document in told(done, "text") if document["input"] == 2]
    assert len(pieces) > 1
    assert all(len(piece) <= 12 for piece in pieces)
    assert "".join(pieces) == told(done, "message")[1]["response"] == "reading → read"


def test_a_machine_shows_its_state_and_the_buttons_of_that_state(talk: Talk) -> None:
    """A click moves the machine on the screen: its state, its text and its button are others."""
    done = talk("Walk me through a meter reading", "/click 1")
    first, second = done.out.split("> /click 1")
    assert "reading (find · 3 states)" in first
    assert "[1] I have found it" in first
    assert "reading (read · 3 states)" in second
    assert "[1] I have read it" in second


def test_a_table_that_was_there_takes_one_line(talk: Talk, billing: Path) -> None:
    """A table is shown once; when something beside it changes it is named, and /screen shows it again."""
    done = talk("List the buildings", "Walk me through a meter reading", "/screen", options=("--database", f"billing={billing}"))
    listed, walk, screen = re.split(r"^> ", done.out, flags=re.MULTILINE)[1:]
    assert ("Ahornweg" in listed, "Ahornweg" in walk, "Ahornweg" in screen) == (True, False, True)
    assert "table of 10 rows as before" in walk


def test_text_of_a_frame_that_failed_is_withdrawn(
    talk: Talk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frameengine: Frameengine
) -> None:
    """What a node said before it failed is taken back, on screens and for programs; the conversation goes on, the code is 1."""
    (tmp_path / "shaky_chat.py").write_text(SHAKY, encoding="utf-8")
    (tmp_path / "shaky.toml").write_text(SHAKY_GRAPH, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    done = talk("one", "two", options=("--graph", "shaky.toml"))
    one, two = done.out.split("> two")
    assert "Half an answer, and then\n  ✗ withdrawn: what shaky said above does not hold" in one
    assert "✗ shaky failed: no more" in one
    assert "Half an answer" in two
    assert "withdrawn" not in two
    assert done.code == 1
    again = talk("one", "two", options=("--graph", "shaky.toml", "--json", "--force"))
    assert [(gone["input"], gone["ok"]) for gone in told(again, "withdrawn")] == [(1, False)]
    assert [turn["ok"] for turn in told(again, "message")] == [False, True]
    assert (again.code, told(again, "closed")[0]["ok"]) == (1, False)


def test_words_of_models_cannot_take_the_screen_over(talk: Talk, tmp_path: Path) -> None:
    """Escapes in an answer, a label and a thinking message are shown as numbers."""
    routing = {"expert": "eras", "job": "x", "thinking_message": "a\x1b[2Jb"}
    button = {"tool": "emit_actions", "args": {"actions": [{"label": "c\x1b[31md\u202e", "action": "go"}]}}
    replies: dict[str, list[Any]] = {
        "input": [{"intent": "request"}],
        "pa": [routing],
        "expert_eras": [{"tool_sequence": [button]}, "ok"],
        "output": ["e\x1b]0;title\x07f"],
        "memorizer": ["{}"],
    }
    lines = [
        f"{node} = {json.dumps([r if isinstance(r, str) else json.dumps(r) for r in said])}" for node, said in replies.items()
    ]
    (tmp_path / "hostile.toml").write_text("\n".join(["[model]", *lines]), encoding="utf-8")
    done = talk("hi", "/screen", "/state /history", options=("--replies", "hostile.toml"))
    assert "a\\x1b[2Jb" in done.out
    assert "c\\x1b[31md\\u202e" in done.out
    assert "e\\x1b]0;title\\x07f" in done.out
    assert not {"\x1b", "\x07", "\u202e"} & set(done.out)


# ---------------------------------------------------------------------- commands


def test_every_event_is_appended_to_a_log(talk: Talk, tmp_path: Path) -> None:
    """C54: with --feed each event stands in the log with time and session, and a second conversation goes on in it."""
    log = tmp_path / "hud.jsonl"
    assert talk("Hello!", options=("--feed", log)).code == 0
    once = read_log(log, 1_000).lines
    assert {"thinking", "perceived", "done", "frame_trace"} <= {line["event"] for line in once}
    assert {line["session"] for line in once} == {"chat"}
    assert talk("Hello!", options=("--feed", log, "--force")).code == 0
    both = read_log(log, 1_000).lines
    assert (len(both), both[: len(once)]) == (2 * len(once), once)
    assert [line["ts"] for line in both] == sorted(line["ts"] for line in both)


def test_frames_shows_the_timeline_of_a_message(talk: Talk) -> None:
    """/frames shows the last message as `show` does, /frames N any other; a number that is none is refused."""
    done = talk("Hello!", "Give me a counter", "/frames", "/frames 1", "/frames 9")
    last, first, none = re.split(r"^> /frames.*$", done.out, flags=re.MULTILINE)[1:]
    assert "message 2 (path pa+expert" in last
    assert "● expert_eras → output, ui" in last
    assert "message 1 (path reflex" in first
    assert not none.strip()
    assert "no message 9 was sent" in done.err
    assert done.code == 1


def test_state_shows_what_stands_at_a_pointer(talk: Talk) -> None:
    """/state shows the sections, /state POINTER what stands there, and a pointer to nothing is refused with what there is."""
    done = talk("Give me a counter", "/click 1", "/state", "/state /ui/state/count", "/state /nowhere", options=("--json",))
    whole, count = told(done, "state")
    assert {"history", "memory", "ui", "sensor"} <= set(whole["value"])
    assert count["value"] == 1
    assert json.loads(done.out.splitlines()[-2])["error"]["hint"].startswith("its sections are /history")


def test_a_click_on_nothing_is_refused_and_sends_nothing(talk: Talk) -> None:
    """A number beyond the buttons, a label that none has, and no label at all leave the run as it is."""
    done = talk("Give me a counter", "/click 3", "/click nothing like it", "/click", "/click 0", "/click ٣")
    assert len(inputs(Path("chat.trace.jsonl"))) == 1
    assert "there is no button 3: the screen has 2 buttons" in done.err
    assert done.err.count("error: ") == 5


def test_an_unknown_graph_leaves_everything_as_it_is(talk: Talk) -> None:
    """Where a graph cannot be had the conversation goes on, with its graph, its history and its screen (W61)."""
    done = talk("Give me a counter", "/graph nope", "/graph none.toml", "/click 1", options=("--json",))
    assert [turn["path"] for turn in told(done, "message")] == ["pa+expert", "action"]
    assert len(told(done, "message")[1]["controls"]) == 3
    assert [type(body).__name__ for body in inputs(Path("chat.trace.jsonl"))] == ["UserMessage", "Action"]


def test_going_on_with_another_graph_says_what_is_lost(talk: Talk, frameengine: Frameengine) -> None:
    """A switch tells which graph runs now and what of the conversation is left behind, and replays (W61)."""
    done = talk("Walk me through a meter reading", "/graph v3-framed", "/graph", "hi", options=("--json",))
    (switched,) = told(done, "switched")
    assert switched["graph"] == "v3-framed"
    assert "v4-eras and its 2 messages, 1 machine and memory are left behind" in switched["text"]
    assert told(done, "graphs")[0]["active"] == "v3-framed"
    first, switch, last = told(done, "message")
    assert (first["path"], switch["controls"], last["path"]) == ("pa+expert", [], "reflex")
    names = [event["graph"] for event in told(done, "hud") if event["event"] == "frame_trace"]
    assert names[0::2] == ["v4-eras", "v3-framed"]
    body = inputs(Path("chat.trace.jsonl"))[1]
    assert isinstance(body, SwitchGraph)
    assert body.fingerprint["graph"]
    assert frameengine("replay", "chat.trace.jsonl").code == 0


def test_clear_forgets_the_conversation_and_says_so(talk: Talk) -> None:
    """/clear takes history, memory and screen back to the beginning and tells what was forgotten."""
    done = talk("Give me a counter", "/clear", "/state /history", options=("--json",))
    assert "2 messages" in told(done, "cleared")[0]["text"]
    assert told(done, "state")[0]["value"] == []
    assert told(done, "message")[1]["controls"] == []


def test_save_writes_a_sealed_trace_and_the_conversation_goes_on(talk: Talk, frameengine: Frameengine) -> None:
    """What /save wrote holds all up to then, is sealed and replays; the conversation's own trace holds the rest as well."""
    done = talk("Hello!", "/save half.trace.jsonl", "Give me a counter", "/save half.trace.jsonl", "/save")
    half, whole, other = (Path(name) for name in ("half.trace.jsonl", "chat.trace.jsonl", "chat-2.trace.jsonl"))
    assert [len(inputs(path)) for path in (half, whole, other)] == [1, 2, 2]
    assert verify(other).canonical == verify(whole).canonical
    assert [frameengine("replay", path).code for path in (half, whole, other)] == [0, 0, 0]
    assert "half.trace.jsonl exists" in done.err


def test_a_tick_and_a_dashboard_are_inputs(talk: Talk) -> None:
    """/tick tells the clock in the user's zone; /dashboard reports the screen, and another one raises the flag."""
    done = talk("Give me a counter", "/dashboard", "/dashboard []", "/tick", "/dashboard nonsense")
    right, wrong, tick, refused = re.split(r"^> /(?:dashboard|tick).*$", done.out, flags=re.MULTILINE)[1:]
    assert "nothing new" in right
    assert "⇢ workspace mismatch  the screen is empty, and should show 3 controls" in wrong
    assert "⇢ tick  tick: 1" in tick
    assert not refused.strip()
    ticked = inputs(Path("chat.trace.jsonl"))[3]
    assert set(ticked.readings) == {"offset_minutes", "zone"}


def test_events_are_shown_where_they_are_asked_for(talk: Talk) -> None:
    """/hud shows every event as it comes, and again hides them."""
    done = talk("Hello!", "/hud", "Hello!", "/hud", "Hello!")
    silent, loud, again = re.split(r"^> Hello!$", done.out, flags=re.MULTILINE)[1:]
    assert ["runtime.reflex_path" in part for part in (silent, loud, again)] == [False, True, False]


def test_a_line_that_begins_with_a_space_is_said(talk: Talk) -> None:
    """An unknown command is refused with the way to say such a line, and that way works."""
    done = talk("/etc/passwd", " /etc/passwd")
    assert "put a space before it" in done.err
    assert [body.text for body in inputs(Path("chat.trace.jsonl"))] == ["/etc/passwd"]


def test_bytes_that_are_no_text_are_said_as_numbers(frameengine: Frameengine) -> None:
    """A line of another encoding neither ends the conversation nor is changed without a trace."""
    done = frameengine("chat", "-o", "chat.trace.jsonl", stdin=b"caf\xe9 \xed\xa0\x80\n")
    assert done.code == 0
    assert [body.text for body in inputs(Path("chat.trace.jsonl"))] == ["caf\\xe9 \\xed\\xa0\\x80"]


# ---------------------------------------------------------------------- the trace


def test_where_nothing_was_said_no_trace_is_kept(talk: Talk) -> None:
    """Commands alone, also such as are recorded, leave no file, and that is told."""
    done = talk("/help", "/state", "/clear", "/graph v3-framed", "/save", "/quit")
    assert not Path("chat.trace.jsonl").exists()
    assert "nothing was said, so no trace is kept" in done.err


def test_without_a_name_the_trace_goes_into_the_folder_of_traces(frameengine: Frameengine) -> None:
    """A free name is taken there, and told."""
    for name in ("traces/chat-v4-eras.trace.jsonl", "traces/chat-v4-eras-2.trace.jsonl"):
        done = frameengine("chat", stdin=b"Hello!\n/quit\nnot read\n")
        assert f"recorded {name}" in done.err
        assert f"records  {name}" in done.out
        assert len(inputs(Path(name))) == 1


def test_replies_that_run_out_fail_the_message_and_not_the_conversation(talk: Talk, tmp_path: Path) -> None:
    """Written replies are used in order; where there is none the message says so, the next is taken, and the code is 1."""
    (tmp_path / "two.toml").write_text(
        '[model]\noutput = ["One."]\nmemorizer = ["{}", "{}"]\n'
        + '[[model.input]]\nintent = "social"\ncomplexity = "trivial"\n' * 2,
        encoding="utf-8",
    )
    done = talk("a", "b", options=("--replies", "two.toml", "--json"))
    one, two = told(done, "message")
    assert (one["response"], one["ok"]) == ("One.", True)
    assert (two["status"], two["ok"]) == ("failed", False)
    assert "the script has 1 answers for node 'output'" in two["problems"][0]
    assert (done.code, told(done, "closed")[0]["replies_left"]) == (1, 1)


def test_a_model_call_that_fails_is_no_success_where_a_default_helps(talk: Talk, tmp_path: Path) -> None:
    """A message that ends well with the default of a reply that never came is told as bad, with the reason."""
    (tmp_path / "few.toml").write_text('[model]\noutput = ["So be it."]\n', encoding="utf-8")
    done = talk("a", options=("--replies", "few.toml", "--json"))
    (turn,) = told(done, "message")
    assert (turn["status"], turn["ok"], done.code) == ("done", False, 1)
    assert any(problem.startswith("input model failed: ") for problem in turn["problems"])


def test_scripted_tools_are_refused_with_a_way_out(talk: Talk, tmp_path: Path) -> None:
    """The tools of a chat are live; a file that scripts them is not half used."""
    (tmp_path / "tools.toml").write_text("[tools.scripted]\nthinker = [1]\n", encoding="utf-8")
    done = talk("a", options=("--replies", "tools.toml"))
    assert done.code == 2
    assert "frameengine run" in done.err


def test_programs_that_are_not_shut_in_are_stamped(talk: Talk) -> None:
    """--unsafe-local stands in the header; without it the header says how programs were shut in, or that none is run."""
    talk("Hello!", options=("--graph", "v1-current", "--unsafe-local"))
    assert read_header(Path("chat.trace.jsonl"))["provenance"]["python_tool"] == "unsafe-local"
    talk("Hello!", options=("--graph", "v1-current", "--force"))
    assert read_header(Path("chat.trace.jsonl"))["provenance"]["python_tool"] != "unsafe-local"


@pytest.fixture
def environment() -> Mapping[str, str]:
    """Return the environment of a conversation in a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FRAMEENGINE_", "PYTHON", "NO_COLOR"))}
    return {**kept, "TERM": "xterm", "PYTHONDONTWRITEBYTECODE": "1", "INPUTRC": os.devnull}


@pytest.fixture
def at_terminal(tmp_path: Path, environment: Mapping[str, str]) -> Iterator[Callable[..., Terminal]]:
    """Return a function that starts a conversation behind a pseudo-terminal."""
    started: list[Terminal] = []

    def start(*options: str, **more: Any) -> Terminal:
        command = [sys.executable, "-m", "frameengine_cli", "chat", "-o", "chat.trace.jsonl", *options]
        started.append(Terminal(command, tmp_path, {**environment, **more.pop("env", {})}, **more))
        return started[-1]

    yield start
    for terminal in started:
        terminal.__exit__(None, None, None)


def test_a_reader_that_goes_away_takes_nothing_along(tmp_path: Path, environment: Mapping[str, str]) -> None:
    """Where nobody reads stdout any more the command ends quietly, and what was said is sealed."""
    command = [sys.executable, "-m", "frameengine_cli", "chat", "-o", "chat.trace.jsonl", "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, env=dict(environment), stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"Hello!\n")
        process.stdin.flush()
        while b'"kind":"message"' not in process.stdout.readline():
            pass
        process.stdout.close()
        process.stdin.write(b"Hello!\n" * 3)
        process.stdin.close()
        assert process.wait(120) == 141
    assert verify(tmp_path / "chat.trace.jsonl").counts.inputs >= 2


# ---------------------------------------------------------------------- at a terminal


def test_a_conversation_at_a_terminal(at_terminal: Callable[..., Terminal], billing: Path, tmp_path: Path) -> None:
    """Prompt, answer, table, a button by its number, a timeline and the end: all of it fits the screen's width."""
    terminal = at_terminal("--database", f"billing={billing}")
    terminal.expect("scripted stand-in: no model is asked")
    terminal.expect(PROMPT)
    for line, wanted in (
        ("How many customers are there?", "The database holds 24 customers."),
        ("List the buildings", "Ahornweg"),
        ("Walk me through a meter reading", "╭─ reading "),
        ("/click 1", "reading → read"),
        ("/frames", "● ui"),
    ):
        terminal.type(f"{line}\n")
        terminal.expect(wanted)
        terminal.expect(PROMPT)
    terminal.type("/quit\n")
    terminal.expect("recorded chat.trace.jsonl")
    assert terminal.wait() == 0
    screen = terminal.text.split("\r")[-1] if "\r" in terminal.text else terminal.text
    drawn = [line for line in screen.split("\n") if not line.startswith(("recorded", "replay it"))]
    assert max(map(len, drawn)) <= 80
    assert len(inputs(tmp_path / "chat.trace.jsonl")) == 4


def test_tab_completes_commands_graphs_and_pointers(at_terminal: Callable[..., Terminal]) -> None:
    """What can be typed is completed: a command, a graph's name, a place in the state."""
    terminal = at_terminal()
    terminal.expect(PROMPT)
    terminal.type("/gr\tv2\t\n")
    terminal.expect("now on v2-director-drives")
    terminal.expect(PROMPT)
    terminal.type("/sta\t/memory/lang\t\n")
    terminal.expect('"en"')
    terminal.expect(PROMPT)
    terminal.type("\x04")
    terminal.expect("no trace is kept")
    assert terminal.wait() == 0


def test_ctrl_c_cancels_the_message_under_way_and_the_conversation_goes_on(
    at_terminal: Callable[..., Terminal], tmp_path: Path, frameengine: Frameengine
) -> None:
    """The program that a message waits for is ended, the Cancel is recorded, the next message is answered, the trace replays."""
    (tmp_path / "sleeps.toml").write_text(SLEEPS, encoding="utf-8")
    terminal = at_terminal("--graph", "v1-current", "--replies", "sleeps.toml", "--unsafe-local")
    terminal.expect(PROMPT)
    terminal.type("Sleep\n")
    terminal.expect("time.sleep(600)")
    terminal.type("\x03")
    terminal.expect("… cancelled")
    terminal.expect(PROMPT)
    terminal.type("And now?\n")
    terminal.expect("Fine.")
    terminal.expect(PROMPT)
    # The line editor shows its prompt a moment before it listens for keys.
    time.sleep(0.3)
    terminal.type("\x03")
    terminal.expect("once more")
    time.sleep(0.3)
    terminal.type("\x03")
    assert terminal.wait() == 130
    with TraceReader(tmp_path / "chat.trace.jsonl") as reader:
        first, second = messages(reader)
    assert (first.status, second.status) == ("cancelled", "done")
    assert frameengine("replay", "chat.trace.jsonl").code == 0


@pytest.mark.parametrize(("presses", "code"), [(1, 0), (2, 130), (3, 130)])
def test_a_second_ctrl_c_leaves_and_seals(talk: Talk, monkeypatch: pytest.MonkeyPatch, presses: int, code: int) -> None:
    """One press during a message cancels no later one; two leave, and so do three; what was said is sealed in any case."""
    usual = Session.send

    def send(self: Session, body: Any) -> None:
        usual(self, body)
        if self.writer.inputs == 1:
            for _ in range(presses):
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Session, "send", send)
    done = talk("Hello!", "Give me a counter")
    assert done.code == code
    assert verify(Path("chat.trace.jsonl")).counts.inputs == (2 if presses == 1 else 1)


def test_what_ends_the_run_inside_a_message_keeps_the_file(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the run itself fails, the file stays without a seal, and the hint says how to keep its good part."""

    def perform(*_: Any) -> Any:
        raise StorageError("the disk is gone", hint="buy one")

    monkeypatch.setattr(Live, "perform", perform)
    done = talk("Hello!", "Hello!")
    assert done.code == 1
    assert "buy one; chat.trace.jsonl is kept without a seal: frameengine repair chat.trace.jsonl" in done.err
    with pytest.raises(TraceIncomplete):
        verify(Path("chat.trace.jsonl"))


# ---------------------------------------------------------------------- wrapping


@given(st.lists(st.text("ab \n\té漢", max_size=9), max_size=12), st.integers(14, 40))
def test_text_in_pieces_is_wrapped_at_words(pieces: list[str], width: int) -> None:
    """However a text is cut into pieces its words come out whole and in order, and no line is too long that could be shorter."""
    written: list[str] = []
    flow = Flow(written.append, width)
    for piece in pieces:
        flow.feed(piece)
    flow.end()
    shown = "".join(written)
    assert shown.split() == "".join(pieces).split()
    for line in shown.split("\n"):
        assert cell_len(line) < width or len(line.split()) == 1


def test_text_is_written_before_it_is_whole() -> None:
    """A word is on the screen as soon as it is known to have ended: nothing waits for the end of the text."""
    written: list[str] = []
    flow = Flow(written.append, 40)
    flow.feed("One two")
    assert "".join(written) == f"{MARGIN}One"
