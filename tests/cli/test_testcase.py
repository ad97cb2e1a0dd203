"""``frameengine testcase``: a test that passes now, and is red when what it is about changes."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from cli_runs import JACKET, WEATHER, Frameengine, Record
from frameengine.cutting import cut, only
from frameengine.engine.driver import Run
from frameengine.engine.message import Engine
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import BoundGraph, bind
from frameengine.importers.openai import import_messages, read_conversations
from frameengine.inputs import Clear, Given, SwitchGraph, UserMessage
from frameengine.jsonvalue import freeze, thaw
from frameengine.performers.scripted import Scripted
from frameengine.testcase import FrameCase, check_frame, differences, lines, with_messages
from frameengine.trace.header import header
from frameengine.trace.reader import TraceReader
from frameengine.trace.redact import Redactor
from frameengine.trace.writer import TraceWriter
from toy import random_run

TRACES = sorted((Path(__file__).parents[2] / "traces").glob("*.trace.jsonl"))
CODE = """
from __future__ import annotations

from attrs import frozen

from frameengine.effects import ModelCall, ToolCall
from frameengine.graph.registry import read_prompt
from frameengine.node import NodeResult
from frameengine.state import Change


@frozen
class Word:
    text: str


@frozen(kw_only=True)
class Ticket:
    topic: str
    words: tuple[Word, ...]
    about: Word | None = None
    tags: list[str]


class Sort:
    def __init__(self):
        self.prompt = read_prompt("topic", __name__)

    async def run(self, message, ctx):
        asked = [{"role": "system", "content": self.prompt}, *ctx.state["history"], {"role": "user", "content": message.text}]
        reply = await ctx.perform(ModelCall(model=ctx.config.model, messages=asked))
        words = tuple([Word(word) for word in message.text.split()])
        ticket = Ticket(topic=reply.text, words=words, about=words[-1], tags=["new"])
        return NodeResult(ticket, [Change.append("/history", asked[-1])])


class Orders:
    async def run(self, message, ctx):
        message.tags.append("seen")
        found = await ctx.perform(ToolCall("find", {"number": message.about.text}))
        ctx.say(f"Order {message.words[-1].text} is {found.content} ({', '.join(message.tags)}).")
        return NodeResult()


class Note:
    async def run(self, message, ctx):
        return NodeResult({"type": "Memo", "text": f"{len(message.words)} words"})


class Keep:
    async def run(self, message, ctx):
        return NodeResult(None, [Change.set("/memo", message["text"])])
"""
GRAPH = """
name = "desk"
version = 1

[entry]
UserMessage = "sort"

[[nodes]]
name = "sort"
implementation = "desk:Sort"
model = "m-1"
prompts = ["topic"]

[[nodes]]
name = "orders"
implementation = "desk:Orders"

[[nodes]]
name = "note"
implementation = "desk:Note"

[[nodes]]
name = "keep"
implementation = "desk:Keep"

[[edges]]
from = "sort"
to = ["orders", "note"]
carries = "Ticket"
condition = 'topic == "order"'

[[edges]]
from = "note"
to = "keep"
carries = "Memo"

[state]
history = []
memo = ""
"""
SCENARIO = """
graph = "desk.toml"
[[inputs]]
type = "UserMessage"
text = "Hello"
[[inputs]]
type = "UserMessage"
text = "Where is order 17"
[model]
sort = ["other", "order"]
[tools.scripted]
orders = ["on its way"]
"""


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function that forgets the desk's code, so that it is read from its file again."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return lambda: monkeypatch.delitem(sys.modules, "desk", raising=False)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the agent once: its code, its graph, and a recorded run."""
    folder = tmp_path_factory.mktemp("template")
    (folder / "prompts").mkdir()
    (folder / "prompts" / "topic.md").write_text("Say in one word what this is about.\n", encoding="utf-8")
    for name, text in (("desk.py", CODE), ("desk.toml", GRAPH), ("orders.toml", SCENARIO)):
        (folder / name).write_text(text, encoding="utf-8")
    command = [sys.executable, "-B", "-m", "frameengine_cli", "run", "orders.toml", "-o", "desk.trace.jsonl", "-q"]
    subprocess.run(command, cwd=folder, env={"PYTHONPATH": ".", "PATH": "/usr/bin:/bin"}, check=True, capture_output=True)
    return folder


@pytest.fixture
def desk(
    tmp_path: Path, template: Path, frameengine: Frameengine, fresh: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Return a folder with an agent of its own code and a recorded run of it; commands are typed there."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    fresh()


def red(test: Path) -> str:
    """Run a written test and return what it says; empty where it passes."""
    name = test.stem
    try:
        runpy.run_path(str(test))[name]()
    except AssertionError as error:
        return str(error)
    return ""


def edit(path: Path, old: str, new: str) -> None:
    """Change the one place of a file that holds *old*."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{path.name}: {old}"
    path.write_text(text.replace(old, new), encoding="utf-8")


PLANTED: dict[str, tuple[str, str, str, str, tuple[str, ...]]] = {
    "prompt": ("2.1", "prompts/topic.md", "one word", "two words", ("request /messages/0/content", "cause     prompt")),
    "code": ("2.2", "desk.py", "Order {", "Parcel {", ("emission /emissions/0/1/text", "cause     node code", "Parcel 17")),
    "request": ("2.2", "desk.py", '"number": m', '"id": m', ("call 0", "request /arguments/number", "cause     node code")),
    "tool": ("2.2", "desk.py", 'ToolCall("find"', 'ToolCall("look"', ("effect name /name", "recorded  find", "now       look")),
    "call less": ("2.2", "desk.py", "await ctx.perform(ToolCall", "Word(ToolCall", ("missing", "recorded  tool call find")),
    "call more": (
        "2.3",
        "desk.py",
        "        return NodeResult(None,",
        '        await ctx.perform(ToolCall("x", {}))\n        return NodeResult(None,',
        ("extra", "now       tool call x"),
    ),
    "error": ("2.3", "desk.py", 'message["text"]', 'message["texts"]', ("error /error", "KeyError", "raised at desk.py:")),
    "change": ("2.3", "desk.py", '"/memo"', '"/note"', ("state /changes/0/at", "recorded  /memo", "now       /note")),
    "model": ("2.1", "desk.toml", '"m-1"', '"m-2"', ("effect name /model", "recorded  m-1", "now       m-2", "cause     graph")),
    "condition": ("2.1", "desk.toml", '== "order"', '!= "order"', ("condition /condition", "route /route")),
    "graph that does not hold": ("2.1", "desk.toml", '["orders", "note"]', '["orders"]', ("no data edge leads", "to 'note'")),
    "route": ("2.2", "desk.toml", 'carries = "Memo"', 'carries = "Memo"\ncondition = \'text != "4 words"\'', ("route /route",)),
    "node gone": ("2.3", "desk.toml", 'name = "keep"', 'name = "kept"', ("there is no node 'keep'",)),
    "class gone": ("2.2", "desk.py", "class Ticket:", "class Card:", ("there is no desk:Ticket",)),
    "new field": (
        "2.2",
        "desk.py",
        "    tags: list[str]",
        '    tags: list[str]\n    mood: str = "calm"',
        ("input /input/mood", "now       calm"),
    ),
    "field gone": ("2.2", "desk.py", "    about: Word | None = None\n", "", ("input /input/about",)),
    "clock": ("2.3", "desk.py", '"text"])', 'str(__import__("time").time())])', ("time.time", "try: use ctx.now()")),
    "outcome": (
        "2.2",
        "tests/test_desk_2_2.json",
        '"content": "on its way"',
        '"content": "lost"',
        ("call 0", "outcome", "emission /emissions/0/1/text", "Order 17 is lost", "cause     tool"),
    ),
    "record": ("2.2", "tests/test_desk_2_2.json", "Order 17 is on", "Order 17 was on", ("emission /emissions/0/1/text",)),
    "state": (
        "2.1",
        "tests/test_desk_2_1.json",
        '"content": "Hello"\n   }\n  ]',
        '"content": "Hi"\n   }\n  ]',
        ("request /messages/1/content",),
    ),
    "no nodes": ("2.3", "tests/test_desk_2_3.json", '"nodes": [', '"nodes": [], "other": [', ("nothing to compare",)),
    "no file": ("2.3", "tests/test_desk_2_3.json", '"format": 1', '"format": 2', ("has format 2", "--force")),
    "no frame": ("2.3", "tests/test_desk_2_3.json", '"frame": 3', '"frame": "3"', ("is no frame of a test",)),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_change_turns_the_test_red(frameengine: Frameengine, desk: Path, fresh: Callable[[], None], name: str) -> None:
    """Prompt, code, graph, message class or fixture: each change is told with its field, and undone it is green again."""
    frame, file, old, new, told = PLANTED[name]
    done = frameengine("testcase", f"desk.trace.jsonl@{frame}", "-o", "tests", "--graph", "desk.toml")
    assert (done.code, "✓ test made" in done.out) == (0, True), done.err
    test = desk / "tests" / f"test_desk_{frame.replace('.', '_')}.py"
    fresh()
    assert red(test) == ""
    before = (desk / file).read_text(encoding="utf-8")
    edit(desk / file, old, new)
    fresh()
    said = red(test)
    assert [part for part in told if part not in said] == [], said
    (desk / file).write_text(before, encoding="utf-8")
    fresh()
    assert red(test) == ""


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("desk.py", "class Note:", "# What it is for.\nclass Note:"),
        ("desk.py", 'f"{len(message.words)} words"', '"some words"'),
        ("prompts/topic.md", "one word", "two words"),
        ("desk.toml", "version = 1", "version = 2"),
    ],
)
def test_what_another_frame_does_is_not_its_business(  # noqa: PLR0917 - fixtures and a row of the table
    frameengine: Frameengine, desk: Path, fresh: Callable[[], None], file: str, old: str, new: str
) -> None:
    """A comment, another node's code, another node's prompt and the graph's version leave the test of a frame green."""
    assert frameengine("testcase", "desk.trace.jsonl@2.2", "--node", "orders", "--graph", "desk.toml").code == 0
    edit(desk / file, old, new)
    fresh()
    assert red(desk / "test_desk_2_2_orders.py") == ""


def test_the_test_runs_under_plain_pytest(
    desk: Path, fresh: Callable[[], None], frameengine: Frameengine, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is collected, and names no place of this machine; red, it shows the field and not the inside of what compares."""
    monkeypatch.chdir(desk)
    assert frameengine("testcase", "desk.trace.jsonl@2.2", "-o", "tests/frames", "--graph", "desk.toml").code == 0
    monkeypatch.chdir(pytester.path)
    test = desk / "tests" / "frames" / "test_desk_2_2.py"
    written = test.read_text(encoding="utf-8")
    assert str(desk) not in written + test.with_suffix(".json").read_text(encoding="utf-8")
    assert 'graph=here.parent / "../../desk.toml"' in written
    assert len(written.splitlines()) < 20
    fresh()
    pytester.runpytest(test, "-p", "no:cacheprovider").assert_outcomes(passed=1)
    edit(desk / "desk.py", "Order {", "Parcel {")
    fresh()
    result = pytester.runpytest(test, "-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["E*frame 2.2 is not as it was recorded (test_desk_2_2.json)", "E*differs*emission /emissions/0/1/text"]
    )
    assert "def differences" not in result.stdout.str()


def test_one_node_of_several(frameengine: Frameengine, desk: Path, fresh: Callable[[], None]) -> None:
    """Without --node all nodes of the frame are compared, with it one; a node that did not run there is refused."""
    whole = frameengine("testcase", "desk.trace.jsonl@2.2", "--graph", "desk.toml", "--json").json
    one = frameengine("testcase", "desk.trace.jsonl@2.2", "--node", "note", "--graph", "desk.toml", "--json").json
    assert (whole["nodes"], whole["calls"], one["nodes"], one["calls"]) == (["orders", "note"], 1, ["note"], 0)
    assert (whole["ok"], whole["schema_version"], whole["place"], whole["embedded"]) == (True, 1, [2, 2], False)
    refused = frameengine("testcase", "desk.trace.jsonl@2.2", "--node", "sort", "--graph", "desk.toml")
    assert (refused.code, "name one that did: orders, note" in refused.err) == (2, True)
    edit(desk / "desk.py", "} words", "} Words")
    fresh()
    assert ("node note" in red(desk / whole["test"]), "output /output/text" in red(desk / one["test"])) == (True, True)


def test_the_definition_in_the_trace_goes_into_the_fixture(
    frameengine: Frameengine, desk: Path, fresh: Callable[[], None]
) -> None:
    """Without --graph its code is imported with --trust only, the screen says what goes unseen, and the test needs no file."""
    refused = frameengine("testcase", "desk.trace.jsonl@2.1")
    assert (refused.code, "--trust" in refused.err, list(desk.glob("test_*"))) == (2, True, [])
    done = frameengine("testcase", "desk.trace.jsonl@2.1", "--trust")
    assert (done.code, "its file is not looked at (--graph FILE)" in done.out) == (0, True)
    (desk / "desk.toml").unlink()
    fresh()
    assert red(desk / "test_desk_2_1.py") == ""
    with pytest.raises(AssertionError, match="graph tool-loop has no node 'sort'"):
        check_frame(desk / "test_desk_2_1.json", graph="tool-loop")
    edit(desk / "desk.py", '"/history"', '"/memory"')
    fresh()
    assert "state /changes/0/at" in red(desk / "test_desk_2_1.py")


def test_a_frame_that_does_not_come_out_now_gives_no_test(
    frameengine: Frameengine, desk: Path, fresh: Callable[[], None]
) -> None:
    """Changed code is exit 4 with the field, and no file is written: no test is red from its first day on."""
    edit(desk / "desk.py", "Order {", "Parcel {")
    fresh()
    done = frameengine("testcase", "desk.trace.jsonl@2.2", "--graph", "desk.toml")
    assert (done.code, "emission /emissions/0/1/text" in done.err, list(desk.glob("test_*"))) == (4, True, [])
    edit(desk / "desk.py", "Parcel {", "Order {")
    edit(desk / "desk.py", "class Ticket:", "class Hidden:")
    edit(desk / "desk.py", "ticket = Ticket(", 'ticket = type("Ticket", (Hidden,), {})(')
    fresh()
    done = frameengine("testcase", "desk.trace.jsonl@2.2", "--graph", "desk.toml")
    assert (done.code, "import Ticket, Ticket, an attrs class, at the top of a module" in done.err) == (4, True)


def test_what_is_refused(frameengine: Frameengine, weather: Path, record: Record, tmp_path: Path) -> None:
    """A whole run, a frame that is not there and an option that is none are exit 2; a test that exists stays, but for --force."""
    for ref, part in (
        ("weather", "weather@1.1"),
        ("weather@2", "weather@2.1"),
        ("weather@2.9", "its frames are 1 to 2"),
        ("weather@9.1", "its inputs are 1 to 2"),
        ("nothing@1.1", "no run 'nothing'"),
        ("--nonsense@1.1", "no such option"),
    ):
        done = frameengine("testcase", ref)
        assert (done.code, part in done.err) == (2, True), done.err
    assert list(tmp_path.glob("test_*")) == []
    assert frameengine("testcase", "weather@1.1").code == 0
    before = (tmp_path / "test_weather_1_1.py").read_bytes()
    again = frameengine("testcase", "weather@1.1")
    assert (again.code, "say --force" in again.err) == (2, True)
    assert frameengine("testcase", "weather@1.1", "--force").code == 0
    assert (tmp_path / "test_weather_1_1.py").read_bytes() == before
    away = frameengine("testcase", "weather@2.1", "-o", "/nowhere-of-ours", "--graph", str(tmp_path / "no.toml"))
    assert (away.code, "no graph file" in away.err) == (2, True)


def test_a_trace_on_stdin(frameengine: Frameengine, weather: Path, tmp_path: Path) -> None:
    """A frame of a trace on stdin makes a test as well."""
    done = frameengine("testcase", "-@1.2", stdin=weather.read_bytes())
    assert (done.code, red(tmp_path / "test_run_1_2.py")) == (0, "")


def test_a_damaged_trace_gives_the_frames_before_the_damage(frameengine: Frameengine, record: Record, tmp_path: Path) -> None:
    """Torn, unsealed or changed: exit 3; with --damaged the test is made and the damage told; a frame behind it stays lost."""
    whole = record("whole", WEATHER, JACKET).read_bytes()
    torn, changed = tmp_path / "torn.trace.jsonl", tmp_path / "changed.trace.jsonl"
    torn.write_bytes(whole[: whole.rindex(b'{"kind":"frame"') + 40])
    changed.write_bytes(whole.replace(b"jacket", b"racket", 1))
    for path in (torn, changed, record("unsealed", WEATHER, JACKET, seal=False)):
        refused = frameengine("testcase", f"{path}@1.3")
        assert (refused.code, "--damaged takes a frame from the good part" in refused.err) == (3, True), refused.err
        done = frameengine("testcase", f"{path}@1.3", "--damaged")
        assert (done.code, "damaged behind this frame" in done.err) == (0, True), done.err
        assert red(next(tmp_path.glob(f"test_{path.stem.split('.')[0]}_1_3.py"))) == ""
    for path in (torn, changed):
        lost = frameengine("testcase", f"{path}@2.2", "--damaged")
        assert (lost.code, list(tmp_path.glob("test_*_2_2.py"))) == (3, []), lost.err


def test_forged_changes_are_no_state(frameengine: Frameengine, weather: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trace whose figures tell of another state than its records make gives no test."""
    from frameengine.state import RunState

    monkeypatch.setattr(RunState, "digest", property(lambda _: "0" * 64))
    done = frameengine("testcase", "weather@2.1")
    assert (done.code, "do not make the state" in done.err) == (3, True)


def test_a_redacted_trace(frameengine: Frameengine, tmp_path: Path) -> None:
    """The placeholder stands in the fixture and the secret does not; the node gets what it got."""
    secret = "sk-ant-0123456789abcdefghij"
    bound = bind(load_graph("tool-loop"))
    path = tmp_path / "kept.trace.jsonl"
    with TraceWriter(path, header(bound)) as writer:
        performer = Scripted({"model": [f"your key is {secret}", "yes"]})
        run = Run(Engine(bound), performer, writer, redactor=Redactor([secret]))
        for text in (f"my key is {secret}", "is it mine?"):
            run.send(UserMessage.of(text))
        writer.seal()
    for frame in ("1.1", "1.2", "2.1"):
        assert frameengine("testcase", f"{path}@{frame}").code == 0
        test = tmp_path / f"test_kept_{frame.replace('.', '_')}.py"
        fixture = test.with_suffix(".json").read_text(encoding="utf-8")
        assert (secret in fixture, "[secret:1" in fixture, red(test)) == (False, True, "")


def test_the_state_is_folded_over_everything_that_changes_it(tmp_path: Path, frameengine: Frameengine) -> None:
    """Given messages, a Clear and a switch of the graph before the frame are in its state, without any of it being run."""
    bound = bind(load_graph("tool-loop"))
    path = tmp_path / "turns.trace.jsonl"
    with TraceWriter(path, header(bound)) as writer:
        engine = Engine(bound, switch=lambda name: bind(load_graph(name)))
        run = Run(engine, Scripted({"model": ["one", "two", "three"]}), writer)
        given = Given(messages=(freeze({"role": "system", "content": "Be brief."}),))
        for body in (
            given,
            UserMessage.of("1"),
            Clear(),
            UserMessage.of("2"),
            SwitchGraph(graph="tool-loop"),
            given,
            UserMessage.of("3"),
        ):
            run.send(body)
        writer.seal()
    histories = {number: _history(path, number) for number in (2, 4, 7)}
    assert histories == {2: ["Be brief."], 4: [], 7: ["Be brief."]}
    for number in histories:
        assert frameengine("testcase", f"{path}@{number}.1").code == 0
        assert red(tmp_path / f"test_turns_{number}_1.py") == ""
    recorded = frameengine("testcase", f"{path}@7.1", "--graph", "recorded", "--force")
    assert (recorded.code, "stands nowhere in it" in recorded.err) == (2, True)


def _history(path: Path, number: int) -> list[str]:
    found = cut(path, number, 1, switch=load_graph)
    return [message["content"] for message in found.case.state["history"]]


# ---------------------------------------------------------------------- every frame there is


def cases(path: Path, bound: BoundGraph, most: int) -> Iterator[FrameCase]:
    """Yield frames of a trace, at most *most* of them, and the nodes of each by themselves, as a test reads them."""
    with TraceReader(path) as reader:
        places = [(line.data["input"], line.data["frame"]) for line in reader.lines() if line.kind == "frame"]
    for message, frame in places[:: max(1, -(-len(places) // most))]:
        found = cut(path, message, frame, switch=load_graph).case
        alone = [only(found, node.node) for node in found.nodes] if len(found.nodes) > 1 else []
        for case in (found, *alone):
            named, left = with_messages(case, bound)
            assert left == (), f"{path.name} {case.place}\n" + "\n".join(lines(left))
            yield FrameCase.parse(named.text(), path.name)


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.name)
def test_every_kind_of_frame_makes_a_test_that_can_fail(path: Path) -> None:
    """Frames of all graphs come out as recorded; each outcome, each member of a record and each call that is changed is found."""
    with TraceReader(path) as reader:
        bound = bind(load_graph(str(reader.header["graph"]["name"])))
    found = list(cases(path, bound, 3))
    assert found
    for case in found:
        assert differences(case, bound) == ()
        for number, node in enumerate(case.nodes):
            for changed in _damaged(thaw(node.record), thaw(node.calls)):
                nodes = list(case.nodes)
                nodes[number] = evolve(node, record=freeze(changed[0]), calls=freeze(changed[1]))
                assert differences(evolve(case, nodes=tuple(nodes)), bound), changed


def _damaged(record: dict[str, Any], calls: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Yield a record and its calls with one thing changed."""
    for name in record:
        if name not in ("node", "input"):
            yield {key: value for key, value in record.items() if key != name}, calls
    yield {**record, "now": -1}, calls
    for number, call in enumerate(calls):
        yield record, calls[:number] + calls[number + 1 :]
        failed = {"status": "error", "error": {"type": "x", "message": "y"}}
        yield record, [*calls[:number], {**call, "outcome": failed}, *calls[number + 1 :]]
        yield record, [*calls[:number], {**call, "request": {**call["request"], "odd": 1}}, *calls[number + 1 :]]


@pytest.mark.parametrize("seed", range(4))
def test_random_runs(seed: int, tmp_path: Path) -> None:
    """Chance, time, loops, failures, cancels, late inputs and epilogues: each frame by itself does what it did in its run."""
    path = tmp_path / "random.trace.jsonl"
    bound = random_run(path, seed, most=3)
    assert [differences(case, bound) for case in cases(path, bound, 12)]


@pytest.mark.data
def test_recorded_conversations(data_dir: Path, tmp_path: Path) -> None:
    """Frames of real conversations with tools come out as recorded."""
    import lzma

    bound = bind(load_graph("tool-loop"))
    data = lzma.decompress((data_dir / "tau-bench" / "gpt-4o-airline.jsonl.xz").read_bytes())
    count = 0
    for number, conversation in enumerate(read_conversations(data, "tau-bench")):
        if number % 50 == 0:
            path = tmp_path / f"{number}.trace.jsonl"
            import_messages(conversation, path)
            count += len(list(cases(path, bound, 8)))
    assert count >= 8


def test_the_fixture_shows_no_tricks(frameengine: Frameengine, record: Record, tmp_path: Path) -> None:
    """What hides or reorders text stands in the fixture as its number, and comes back as what it was."""
    trick = "pay \u202etnuoma\u202c \x1b[31m10"
    record("trick", (trick, ["fine"]))
    assert frameengine("testcase", "trick@1.1").code == 0
    text = (tmp_path / "test_trick_1_1.json").read_text(encoding="utf-8")
    assert ("\u202e" in text, "\x1b" in text, "\\u202e" in text) == (False, False, True)
    assert json.loads(text)["input"]["data"]["message"]["content"] == trick
    assert red(tmp_path / "test_trick_1_1.py") == ""


def test_a_frame_that_has_changed_since_names_what_did(frameengine: Frameengine, desk: Path, fresh: Callable[[], None]) -> None:
    """Where no test can be made because the frame no longer comes out as recorded, the trace's own digests tell the cause."""
    edit(desk / "prompts/topic.md", "one word", "two words")
    fresh()
    refused = frameengine("testcase", "desk.trace.jsonl@2.1", "-o", "tests", "--graph", "desk.toml")
    assert (refused.code, "cause     prompt: changed: prompt topic" in refused.err) == (4, True), refused.err
    assert not (desk / "tests").exists()
