"""``frameengine debug`` in line mode: moves, looks, breakpoints, edits and forks, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from cli_runs import JACKET, WEATHER, Done, Frameengine, Record
from frameengine.replay.replayer import Replayer
from frameengine.trace.messages import messages
from frameengine.trace.reader import TraceReader
from frameengine.trace.verify import verify
from frameengine_cli.debugging.commands import COMMANDS
from pseudo_terminal import HANG_SECONDS, Terminal

DEMO = Path(__file__).parents[2] / "traces" / "demo.trace.jsonl"
GOLDEN = Path(__file__).parents[2] / "traces" / "conversation-v4-eras.trace.jsonl"


@pytest.fixture
def debug(frameengine: Frameengine, weather: Path) -> Any:
    """Return a function that does commands in the weather run, and gives what became of it."""

    def run(*lines: str, trace: Path = weather, options: Sequence[str] = ()) -> Done:
        return frameengine("debug", trace, *options, *[word for line in lines for word in ("-c", line)])

    return run


def places(done: Done) -> list[str]:
    """Return the place after each command of a run with --json."""
    found = []
    for line in done.out.splitlines():
        place = json.loads(line)["place"]
        inside = "" if place["effects"] is None else f":{place['effects']}"
        found.append(f"{place['message']}.{place['frame']}{inside}")
    return found


def told(done: Done) -> list[Any]:
    """Return the documents of a run with --json."""
    return [json.loads(line) for line in done.out.splitlines()]


# ---------------------------------------------------------------------- moves


def test_every_move_has_its_reverse(debug: Any) -> None:
    """Steps, effects and messages are gone through forwards and back, and lead over the same places."""
    forward = places(debug(*["into"] * 14, options=["--json"]))
    assert forward[:7] == ["1.0", "1.1:0", "1.1:1", "1.1", "1.2:0", "1.2:1", "1.2:2"]
    back = places(debug(*["into"] * 14, *["reverse-into"] * 13, options=["--json"]))[14:]
    assert back == forward[:13][::-1]
    steps = places(debug("step 3", "reverse-step", "next", "next", "rn", "end", "start", options=["--json"]))
    assert steps == ["1.2", "1.1", "1.4", "2.2", "1.4", "2.2", "0.0"]


def test_a_place_can_be_named(debug: Any) -> None:
    """A place is typed as show has it, with a point alone in this message, a colon inside a frame, or behind the run's name."""
    assert places(debug("goto 1.2:1", "goto .3", "@2", "until 1.1", options=["--json"])) == ["1.2:1", "1.3", "2.0", "1.1"]
    done = debug("where", trace=Path(f"{GOLDEN}@2.3"), options=["--json"])
    assert told(done)[0]["where"] == {"message": 2, "frame": 3, "effects": None}


def test_an_end_says_so(debug: Any) -> None:
    """A move that comes to the end or the start of the run says it, and stays there."""
    done = debug("continue", "step", "reverse-continue")
    assert (done.code, done.err) == (0, "")
    assert done.out.count("the end of the run") == 2
    assert "the start of the run" in done.out


# ---------------------------------------------------------------------- looks


def test_a_stop_shows_the_frame_in_short(debug: Any) -> None:
    """The place, its path, and what the frame asked for, got, showed and changed stand on a few lines."""
    out = debug("goto 1.2").out
    assert out.startswith("(start) goto 1.2\n1.2  frame 2 of 4  tools\n")
    assert 'forecast(city: "Bern", days: 2)' in out
    assert "tool.timeout: no answer after 30 s" in out


def test_effects_inside_a_frame_are_those_that_have_arrived(debug: Any) -> None:
    """Inside a frame only the outcomes that have come are shown, and how many are outstanding."""
    first, second = told(debug("goto 1.2:1", "effects", options=["--json"]))
    assert first["where"]["effects"] == 1
    assert [len(second["effects"]), second["outstanding"]] == [1, 1]
    assert "1 effect outstanding" in debug("goto 1.2:1").out


def test_the_state_is_told_with_who_changed_it(debug: Any) -> None:
    """`state` shows a value at a place, `who` the change that made it so, `changes` all, `print` what an expression gives."""
    documents = told(
        debug("end", "state /history", "who /history", "changes /history", "print len(state.history)", options=["--json"])
    )
    assert len(documents[1]["value"]) == documents[4]["value"]
    assert documents[2]["changed"]["place"] == documents[3]["changes"][-1]["place"]
    assert documents[3]["changes"][0]["before"] == []


def test_an_expression_is_shown_at_every_stop(debug: Any) -> None:
    """`display` works an expression out at each place, and says where it cannot be."""
    out = debug("display len(state.history)", "display output.nothing", "step", "step", "undisplay", "step").out
    assert out.count("len(state.history) = ") == 2
    assert out.count("output.nothing = ") == 2


def test_a_text_is_searched_for_in_both_directions(debug: Any) -> None:
    """`search` goes to the next frame that holds a text, goes on without one, and back with a question mark."""
    assert places(debug("search FORECAST", "search", "search ? jacket", options=["--json"]))[0] == "1.1"
    back = debug("end", "search ? no answer after", options=["--json"])
    assert told(back)[1]["found"]["what"] == "model: model request"
    lost = debug("search zebra")
    assert (lost.code, "'zebra' stands nowhere after this place" in lost.err) == (2, True)


def test_every_command_has_help(debug: Any) -> None:
    """`help` lists every command, and tells each one's argument and short forms."""
    out = debug("help").out
    assert all(f"{name} " in out or f"{name}\n" in out for name in COMMANDS)
    done = debug(*[f"help {name}" for name in COMMANDS])
    assert (done.code, done.err) == (0, "")


def test_short_forms_belong_to_one_command() -> None:
    """No two commands share a short form, and none is another one's name."""
    names = [*COMMANDS, *[short for command in COMMANDS.values() for short in command.short]]
    assert len(names) == len(set(names))


# ---------------------------------------------------------------------- stops


def test_breakpoints_stop_in_both_directions(debug: Any) -> None:
    """A breakpoint stops a move forwards and backwards at the same place; ignored, disabled and deleted it does not."""
    documents = told(
        debug(
            "break tool forecast", "continue", "end", "rc", "disable 1", "start", "continue", "enable 1", "ignore 1 1",
            "start", "continue", "breakpoints", "delete 1", "breakpoints", options=["--json"],
        )
    )  # fmt: skip
    stops = [(document["reason"], document["where"]["message"]) for document in documents if "reason" in document]
    assert stops == [("breakpoint", 1), ("place", 2), ("breakpoint", 1), ("place", 0), ("end", 2), ("place", 0), ("end", 2)]
    assert documents[-3]["points"][0]["hits"] == 3
    assert documents[-1]["points"] == []


def test_hits_are_listed_without_moving(debug: Any) -> None:
    """`hits` names every place where something holds; the session stays where it is."""
    documents = told(debug("hits error", "hits if frame == 1", "watch /history", "hits 1", options=["--json"]))
    assert [document["place"]["message"] for document in documents] == [0, 0, 0, 0]
    assert [document["count"] for document in documents if "count" in document] == [1, 2, documents[3]["count"]]
    assert documents[3]["count"] >= 2


def test_a_breakpoint_that_cannot_hit_is_refused_at_once(debug: Any) -> None:
    """Unknown tools, pointers and names are told when they are typed, with what there is."""
    for line, said in (
        ("break tool forecats", "forecast"),
        ("watch /histroy", "/history"),
        ("break if stat.history == 1", "state"),
        ("break tool forecast if (", "column"),
        ("break zone 3", "node"),
    ):
        done = debug(line)
        assert (done.code, said in done.err) == (2, True), (line, done.err)


# ---------------------------------------------------------------------- the past


def test_the_past_is_changed_in_a_fork(debug: Any, weather: Path, tmp_path: Path) -> None:
    """An edit waits, a fork makes a sealed run that replays, compare begins at the edit, and the parent is as it was."""
    before = weather.read_bytes()
    target = tmp_path / "fork.trace.jsonl"
    done = debug(
        "goto 1.2",
        'edit result #1 {"sky": "snow"}',
        "edits",
        f"fork --policy slot {target}",
        "compare",
        f"testcase {tmp_path / 'kept'}",
    )
    assert (done.code, done.err) == (1, "")
    assert "forked at 1.2" in done.out
    assert "✗ differs at 1.2" in done.out
    assert "✓ test made" in done.out
    assert Replayer(target).run().verdict == "same"
    assert weather.read_bytes() == before


def test_what_is_to_be_known_of_a_fork_is_told(debug: Any, tmp_path: Path) -> None:
    """Replies for other requests, and edits that the fork never comes to, are told, and it is not green: exit 1."""
    done = debug("goto 1.2", "edit result #1 5", f"fork --policy slot {tmp_path / 'a.trace.jsonl'}")
    assert (done.code, "… forked at 1.2" in done.out, "approximate" in done.out) == (1, True, True)
    target = tmp_path / "b.trace.jsonl"
    lines = ["goto 4.2", 'edit reply {"goal":"x","steps":[]}', "goto 4.3", 'edit result {"rows":[[1]]}']
    demo = debug(*lines, f"fork --policy nearest {target}", trace=DEMO)
    assert demo.code == 1
    assert "not made" in demo.out
    assert "the fork never asks for it" in " ".join(demo.out.split())


def test_a_test_is_made_of_the_frame_that_is_shown(debug: Any, tmp_path: Path) -> None:
    """Behind an edit of the state the messages of the fork have other numbers; the test is of the message that is shown."""
    fork = f"fork {tmp_path / 'fork.trace.jsonl'}"
    made = debug("goto 2", "edit put /note elsewhere", fork, "goto 2.1", f"testcase {tmp_path / 'kept'}", options=["--json"])
    testcase = told(made)[-1]["testcase"]
    assert testcase["place"] == [3, 1]
    assert "jacket" in Path(testcase["fixture"]).read_text(encoding="utf-8")


def test_a_number_of_an_effect_is_told_from_a_text(debug: Any) -> None:
    """``#1`` means the first effect; a text that begins with a number is a text; a pointer with spaces stands in quotes."""
    edits = told(
        debug(
            "goto 1.1", "edit reply 1 apple a day", "edit reply #1 an apple", "edit put '/a b' 1", "edit input #1 2 apples",
            options=["--json"],
        )
    )[1:]  # fmt: skip
    contents = [edit["edit"]["outcome"]["value"]["message"]["content"] for edit in edits[:2]]
    assert contents == ["1 apple a day", "an apple"]
    assert edits[2]["edit"]["changes"][0]["at"] == "/a b"
    assert edits[3]["edit"]["data"]["message"]["content"] == "2 apples"


def test_an_effect_has_one_number_and_one_name(debug: Any) -> None:
    """`effects` shows both, `effect` takes both and shows the name; what there is not is refused with all that there are."""
    listed = debug("goto 1.2", "effects").out
    assert "1 ◆ tools[0]" in listed
    assert "2 ◆ tools[1]" in listed
    shown = [debug("goto 1.2", f"effect {typed}").out.partition(f"(1.2) effect {typed}")[2] for typed in ("2", "#2", "tools[1]")]
    assert shown[0] == shown[1] == shown[2]
    assert "◆ tools[1]: tool alerts" in shown[0]
    for wrong in ("effect 0", "effect #3", "effect model[0]"):
        refused = debug("goto 1.2", wrong)
        assert (refused.code, "it has #1 tools[0], #2 tools[1]" in refused.err) == (2, True), refused.err


def test_a_second_edit_of_the_same_thing_takes_the_place_of_the_first(debug: Any, tmp_path: Path) -> None:
    """Of one call, one input, one value there is one edit, the newest, and it is said which one went; others wait on."""
    target = tmp_path / "fork.trace.jsonl"
    done = debug(
        "goto 1.2", "edit result #1 5", "edit result #2 6", "edit result #1 7", "edit put /note 1", "edit put /note 2", "edits",
        f"fork --policy slot {target}",
    )  # fmt: skip
    assert done.out.count("in the place of: ") == 2
    assert "in the place of: result of 1.2 tools[0] forecast: 5" in done.out
    assert "edits" in done.out
    assert done.err == ""
    with TraceReader(target) as reader:
        message = next(iter(messages(reader)))
    replies = {str(call.key): call.outcome.value for step in message.steps for call in step.calls}
    assert "7" in str(replies["1.2 tools[0]"])
    assert "6" in str(replies["1.2 tools[1]"])


def test_what_is_refused_names_commands_that_this_run_takes(debug: Any, weather: Path) -> None:
    """A hint can be typed as it stands: what it names is there, and it is whole."""
    for line, hint in (
        ("who", "who /history"),
        ("watch", "watch /history"),
        ("tbreak", "tbreak tool forecast"),
        ("hits", "hits tool forecast"),
    ):
        refused = debug(line)
        assert (refused.code, f"try: {hint}\n" in refused.err) == (2, True), refused.err
        assert debug(hint).code == 0, hint
    for line, hint in (("drop", "edit result #2 VALUE"), ("fork", "edit result #2 VALUE")):
        assert f"try: {hint}\n" in debug("goto 1.2", line).err
        assert debug("goto 1.2", hint).code == 0
    assert "goto 1.2, then print calls[0].request.argument.city" in debug("break tool forecast if call.request.argument.city").err
    printed = debug("goto 1.2", "print calls[0].request.argument.city")
    assert "there are name, arguments" in printed.err
    assert "did you mean call.request.arguments.city?" in debug("break tool forecast if city == 'Bern'").err
    assert "here it is calls[0]" in debug("goto 1.2", "print call.name").err


def test_a_frame_without_calls_is_said_to_have_none(debug: Any) -> None:
    """An expression that takes a call where the node asked for nothing says so, and not that something is misspelled."""
    refused = debug("goto 1.4", "print calls[0].reply")
    assert "output has no calls at 1.4" in refused.err
    assert "spelling" not in refused.err


def test_to_go_on_several_times_passes_as_many_hits(debug: Any) -> None:
    """`continue 2` goes to the second hit, `reverse-continue 2` back over two."""
    assert places(debug("break if frame == 1", "continue 2", "end", "rc 2", options=["--json"])) == ["0.0", "2.1", "2.2", "1.1"]


def test_a_search_begins_where_the_session_stands(debug: Any) -> None:
    """From inside a frame the frame itself is looked at too."""
    assert places(debug("goto 1.2:0", "search sunny", options=["--json"]))[-1] == "1.2"


def test_an_edit_without_a_fork_changes_nothing(debug: Any, weather: Path) -> None:
    """Until a fork is made an edit only waits; one can be dropped, and a fork without any is refused with the way out."""
    head = verify(weather).head
    done = debug("goto 1.2", "edit result #1 5", "drop", "fork")
    assert (done.code, "no edit waits" in done.err) == (2, True)
    assert verify(weather).head == head


def test_a_fork_never_goes_onto_its_own_file(debug: Any, weather: Path) -> None:
    """A fork onto the run itself, or over any file, is refused."""
    before = weather.read_bytes()
    done = debug("goto 1.2", "edit result #1 5", f"fork --policy slot {weather}")
    assert (done.code, "is the trace that is forked" in done.err) == (2, True)
    assert weather.read_bytes() == before


def test_calls_that_nobody_answers_are_named(debug: Any, tmp_path: Path) -> None:
    """Where no recorded reply fits, the fork says which calls are needed, and writes nothing."""
    target = tmp_path / "fork.trace.jsonl"
    done = debug("goto 1.2", 'edit result #1 "snow"', f"fork {target}")
    assert (done.code, "✗ fork stops" in done.out) == (4, True)
    assert told(debug("goto 1.2", 'edit result #1 "snow"', f"fork {target}", options=["--json"]))[-1]["ok"] is False
    assert "1.3 model[0]: model gpt-test" in done.out
    assert not target.exists()


# ---------------------------------------------------------------------- lines, files, programs


def test_the_exit_code_is_that_of_the_last_command_that_failed(debug: Any) -> None:
    """What fails does not end the session, and what comes after it does not hide it."""
    done = debug("zork", "where")
    assert (done.code, "there is no command 'zork'" in done.err, "start" in done.out) == (2, True, True)
    assert "did you mean" in debug("contniue").err
    assert "may be" in debug("re").err


def test_lines_come_from_a_file_or_a_pipe(frameengine: Frameengine, weather: Path, tmp_path: Path) -> None:
    """-x takes the lines of a file, stdin those of a pipe; comments and empty lines are none."""
    script = tmp_path / "script.txt"
    script.write_text("# one step\nstep\n\nwhere\n\n", encoding="utf-8")
    by_file = frameengine("debug", weather, "-x", script)
    assert (by_file.code, by_file.err) == (0, "")
    by_pipe = frameengine("debug", weather, "--plain", stdin=b"step\n\nwhere\nquit\nstep\n")
    assert by_pipe.out == f"{by_file.out}(1.0) quit\n"
    assert by_file.out.count("has entered") == 2
    assert frameengine("debug", weather, "-x", tmp_path / "none.txt").code == 2


def test_programs_get_a_document_for_each_command(debug: Any) -> None:
    """With --json each command gives one document with the place it came to; one that fails says so."""
    documents = told(debug("step", "zork", options=["--json"]))
    assert [document["ok"] for document in documents] == [True, False]
    assert documents[0]["schema_version"] == 1
    assert documents[1]["error"]["code"] == "usage"


def test_a_damaged_trace_is_gone_about_in_as_far_as_it_is_good(frameengine: Frameengine, record: Record) -> None:
    """Without --damaged an unsealed trace is refused with exit 3 and the way out; with it the good part can be walked."""
    path = record("cut", WEATHER, JACKET, seal=False)
    refused = frameengine("debug", path, "-c", "end")
    assert (refused.code, "--damaged" in refused.err) == (3, True)
    done = frameengine("debug", path, "--damaged", "-c", "end")
    assert done.code == 0
    assert "no seal" in done.err
    forking = frameengine("debug", path, "--damaged", "-c", "goto 1.2", "-c", "edit result #1 5", "-c", "fork")
    assert (forking.code, "repair" in forking.err, "fork makes" in forking.out) == (3, True, False)
    assert "a fork needs a whole run: frameengine repair" in forking.out


def test_of_a_damaged_trace_nothing_is_said_about_the_rest(frameengine: Frameengine, record: Record) -> None:
    """What does not hit in the good part is not said to hit never, and each document for programs has what is wrong."""
    path = record("cut", WEATHER, seal=False)
    for line in ("hits text zork", "break tool zork"):
        done = frameengine("debug", path, "--damaged", "-c", line)
        assert (done.code, "never" in done.err) == (2, False), done.err
    documents = told(frameengine("debug", path, "--damaged", "--json", "-c", "end", "-c", "hits text zork"))
    assert [document["damaged"]["code"] for document in documents] == ["trace.incomplete"] * 2
    assert "in the good part this hits nowhere" in documents[1]["error"]["message"]


def test_a_file_that_cannot_be_written_is_no_defect(debug: Any, tmp_path: Path) -> None:
    """A test or a fork where no file can be made is exit 1 with what to look at, and the session goes on."""
    (tmp_path / "file").write_text("")
    done = debug("goto 1.1", f"testcase {tmp_path}/file", "where")
    assert (done.code, "defect" in done.err, "check the path" in done.err) == (1, False, True), done.err
    assert "(1.1) where" in done.out


@pytest.mark.parametrize("which", ["the run", "the fork"])
def test_no_test_is_made_of_a_file_that_took_the_place_of_another(weather: Path, tmp_path: Path, which: str) -> None:
    """testcase, and compare, read what has the name of a run or a fork: where that is another run by now they refuse."""
    trace, fork = tmp_path / "x.trace.jsonl", tmp_path / "fork.trace.jsonl"
    trace.write_bytes(weather.read_bytes())
    with Terminal("debug", trace.name, "--plain", cwd=tmp_path) as terminal:
        terminal.wait_for("(start) ")
        lines = ["goto 1.1", "edit reply Rain.", f"fork --policy nearest {fork.name}"] if which == "the fork" else ["goto 1.1"]
        for line in lines:
            terminal.press(f"{line}\r")
            terminal.wait_for("(1.1) ")
        (tmp_path / "other").write_bytes(GOLDEN.read_bytes())
        (tmp_path / "other").rename(fork if which == "the fork" else trace)
        terminal.press("testcase made\r")
        assert "is no longer the " in terminal.wait_for("(1.1) ")
        if which == "the fork":
            terminal.press("compare\r")
            assert "is no longer the fork that was made" in terminal.wait_for("(1.1) ")
        terminal.press("q\r")
        terminal.end()
    assert not (tmp_path / "made").exists()


def test_text_from_outside_is_neutral(frameengine: Frameengine, record: Record) -> None:
    """No control sequence of a message, reply or result gets through any command."""
    evil = "\x1b]52;c;aGk=\x07\x1b[2J\u202e\u009b31m"
    path = record("evil", (f"hello {evil}", [f"bye {evil}"]))
    looks = ["end", "frame", "list", "messages", "effects", "effect", "state", "state /history", "changes", "changes /history"]
    looks += [
        "who /history",
        "input",
        "output",
        "emissions",
        "print output",
        "search bye",
        "hits text bye",
        "display output",
        "rs",
    ]
    done = frameengine("debug", path, *[word for line in looks for word in ("-c", line)])
    assert "hello" in done.out
    assert not [sign for sign in done.out + done.err if (ord(sign) < 32 and sign != "\n") or sign in "\x7f\x9b\u202e"]


def test_a_person_has_a_prompt_with_the_place_and_ctrl_c_leaves_nothing_behind(weather: Path, tmp_path: Path) -> None:
    """In a terminal the prompt names the place, the tab completes, Ctrl-C at it does not leave, and quit does."""
    terminal = Terminal("debug", weather, "--plain", cwd=tmp_path, env={"XDG_STATE_HOME": str(tmp_path / "state")})
    terminal.wait_for("(start) ")
    terminal.press("ste\t\r")
    terminal.wait_for("(1.0) ")
    # The line editor shows its prompt a moment before it listens for keys.
    sleep(0.3)
    terminal.press("\x03")
    terminal.wait_for("quit leaves")
    terminal.wait_for("(1.0) ")
    terminal.press("q\r")
    assert terminal.end() == 0
    assert "step" in (tmp_path / "state" / "frameengine" / "debug_history").read_text(encoding="utf-8")


def test_the_second_ctrl_c_ends_the_command_and_keeps_the_session(weather: Path, tmp_path: Path) -> None:
    """A command that goes on after the first one is broken off by the second, and what was set up before waits as it did."""
    slow = (
        "import time; import frameengine_cli.debugging.changing as c; c.fork = lambda *_, **__: time.sleep(600); "
        "from frameengine_cli.app import main; main()"
    )
    with Terminal("debug", weather, "--plain", cwd=tmp_path, program=("-c", slow)) as terminal:
        terminal.wait_for("(start) ")
        terminal.press("goto 2.1\r")
        terminal.wait_for("(2.1) ")
        terminal.press("edit reply other\r")
        terminal.wait_for("(2.1) ")
        terminal.press("fork\r")
        terminal.wait_for("fork")
        for _ in range(2):
            sleep(0.3)
            terminal.press("\x03")
        terminal.wait_for("fork was broken off")
        terminal.wait_for("(2.1) ")
        terminal.press("edits\r")
        terminal.wait_for("reply of 2.1")
        terminal.press("q\r")
        terminal.end()


def test_a_pattern_that_takes_for_ever_does_not_hold_the_session(frameengine: Frameengine, record: Record) -> None:
    """It is given up after its time, and the place where it was counts as a hit that says so."""
    done = frameengine(
        "debug", record("slow", ("a" * 60 + "!", ["yes"])), "-c", "break regex (a+)+$", "-c", "continue", "-c", "where"
    )
    assert done.code == 0
    assert "the pattern takes too long" in done.out


def test_a_file_that_is_another_one_by_now_is_told_once(weather: Path, tmp_path: Path) -> None:
    """The next command says that the file is no longer the run that is open, a fork of it is refused, and the rest goes on."""
    trace = tmp_path / "x.trace.jsonl"
    trace.write_bytes(weather.read_bytes())
    with Terminal("debug", trace.name, "--plain", cwd=tmp_path) as terminal:
        terminal.wait_for("(start) ")
        terminal.press("goto 2.1\r")
        terminal.wait_for("(2.1) ")
        terminal.press("edit reply other\r")
        terminal.wait_for("(2.1) ")
        (tmp_path / "other").write_bytes(GOLDEN.read_bytes())
        (tmp_path / "other").rename(trace)
        terminal.press("fork --policy slot\r")
        shown = terminal.wait_for("(2.1) ")
        assert shown.count("is no longer the run that is open: another file stands in its place") == 2
        terminal.press("where\r")
        assert "no longer" not in terminal.wait_for("(2.1) ")
        terminal.press("q\r")
        terminal.end()
    assert list(tmp_path.glob("*.jsonl*")) == [trace]


def test_a_terminal_that_is_closed_during_a_fork_leaves_no_draft(weather: Path, tmp_path: Path) -> None:
    """What the fork has written so far is removed, and the command ends with the code of a hang-up."""
    slow = (
        "import time; import frameengine.debug.fork as f; f._prove = lambda *_: (print('proving', flush=True), "
        "[time.sleep(0.05) for _ in range(9999)]); from frameengine_cli.app import main; main()"
    )
    with Terminal("debug", f"{weather}@2.1", "--plain", cwd=tmp_path, program=("-c", slow)) as terminal:
        terminal.wait_for("(2.1) ")
        terminal.press("edit reply 1 other\r")
        terminal.wait_for("(2.1) ")
        terminal.press("fork\r")
        terminal.wait_for("proving")
        assert list(tmp_path.glob(".*.draft"))
        terminal.hang_up()
        assert terminal.process.wait(HANG_SECONDS) == 129
    assert not [path for path in tmp_path.iterdir() if path.is_file()]
