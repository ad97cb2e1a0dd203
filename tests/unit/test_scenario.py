"""Scenarios: a run written down beforehand."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from frameengine.effects import Call, EffectKey, ModelCall, ToolCall
from frameengine.engine.driver import virtual_at
from frameengine.engine.stops import Ask
from frameengine.errors import CassetteMiss, CassetteUnused, FrameEngineError, UsageError
from frameengine.graph.loader import load_graph
from frameengine.inputs import Action, Clear, UserMessage
from frameengine.scenario import Scenario, load_scenario

GOOD = """
graph = "v3-framed"
seed = 7

[provenance]
note = "by hand"

[[inputs]]
type = "UserMessage"
text = "hi"
user_id = "eva"

[[inputs]]
type = "Action"
name = "send"
data = { year = 2024 }

[[inputs]]
type = "Clear"

[model]
output = ["Hello!", { content = "again" }]

[[model.director]]
goal = "count"
[[model.director.tool_sequence]]
tool = "query_db"
"""


def write(folder: Path, text: str) -> Path:
    """Write a scenario."""
    path = folder / "it.toml"
    path.write_text(text, encoding="utf-8")
    return path


def ask(*effects: ModelCall | ToolCall, node: str = "output") -> Ask:
    """Return an Ask for these effects."""
    calls = tuple([Call.of(EffectKey(1, 2, node, index), effect) for index, effect in enumerate(effects)])
    return Ask(calls, {call.key: call for call in calls})


MODEL = ModelCall(model="m", messages=())


def test_a_scenario_is_read_whole(tmp_path: Path) -> None:
    """Graph, seed, provenance, inputs of all kinds and replies come out as the values that a run takes."""
    scenario = load_scenario(write(tmp_path, GOOD))
    assert (scenario.graph, scenario.seed, scenario.provenance) == ("v3-framed", 7, {"note": "by hand"})
    assert scenario.inputs == (UserMessage.of("hi", user_id="eva"), Action(name="send", data={"year": 2024}), Clear())
    assert scenario.model["output"] == ("Hello!", {"role": "assistant", "content": "again"})
    assert scenario.model["director"] == ('{"goal":"count","tool_sequence":[{"tool":"query_db"}]}',)
    assert (scenario.tools, dict(scenario.databases)) == (None, {})


def test_a_graph_file_is_found_beside_the_scenario(tmp_path: Path) -> None:
    """A graph that is a file is named relative to the scenario."""
    scenario = load_scenario(write(tmp_path, GOOD.replace('"v3-framed"', '"graphs/mine.toml"')))
    assert scenario.graph == tmp_path / "graphs" / "mine.toml"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('graph = "v3-framed"', "", "graph: must be the name"),
        ("seed = 7", 'seed = "x"', "seed (line 3): must be a whole number"),
        ("seed = 7", "sed = 7", "sed (line 3): is unknown; there is graph, seed"),
        ('type = "UserMessage"', 'type = "Mail"', "inputs[0].type (line 9): must be one of UserMessage"),
        ('text = "hi"', "text = 5", "inputs[0].text (line 10): must be a text"),
        ('text = "hi"', 'text = "hi"\nmood = "good"', "inputs[0] (line 8): is no UserMessage"),
        ('name = "send"', "", "inputs[1] (line 13): is no Action"),
        ("{ year = 2024 }", "{ on = 2024-12-31 }", "inputs[1] (line 13): datetime.date is not a JSON type at /data/on"),
        ('"Hello!",', "3,", "model.output[0] (line 22): must be a text or a table"),
        ('output = ["Hello!", { content = "again" }]', 'output = "Hello!"', "model.output (line 22): must be a list"),
        ("[provenance]", "[tools]\nlive = true\n[provenance]", "tools.live (line 6): is unknown; there is scripted, databases"),
        ("[provenance]", "[tools.scripted]\nn = 3\n[provenance]", "tools.scripted.n (line 6): must be a list"),
        ("[provenance]", "[tools.databases]\nb = 3\n[provenance]", "tools.databases.b (line 6): must be the path"),
        (
            "[provenance]",
            '[tools.databases]\nb = "mariadb://a:b@h/n"\n[provenance]',
            "tools.databases.b (line 6): a password does",
        ),
        (
            "[provenance]",
            '[tools.databases]\nb = "mariadb://h/n"\n[provenance]',
            "tools.databases.b (line 6): mariadb://h/n is no",
        ),
        ("[provenance]", '[tools]\nscripted = {}\ndatabases = { b = "x" }\n[provenance]', "tools (line 5): has both"),
        ("[model]", "[model]]", "not TOML"),
    ],
)
def test_a_problem_is_named_with_its_place(tmp_path: Path, old: str, new: str, problem: str) -> None:
    """Whatever is wrong is reported with key and line."""
    assert old in GOOD
    with pytest.raises(UsageError) as caught:
        load_scenario(write(tmp_path, GOOD.replace(old, new, 1)))
    assert problem in caught.value.message


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    """One look at the file shows everything that is wrong with it."""
    with pytest.raises(UsageError, match="3 problems") as caught:
        load_scenario(write(tmp_path, "seed = 1.5\n"))
    assert [problem["place"] for problem in caught.value.fields["problems"]] == ["graph", "seed", "inputs"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A path that leads nowhere is an error with the path."""
    with pytest.raises(UsageError, match=r"nothing\.toml cannot be read"):
        load_scenario(tmp_path / "nothing.toml")


def test_models_and_tools_are_scripted(tmp_path: Path) -> None:
    """Scripted replies come in order and in virtual time; one too many is a miss, one too few is reported."""
    scenario = load_scenario(write(tmp_path, GOOD + '[tools.scripted]\nthinker = ["n\\n5", { rows = 2 }]\n'))
    performer = scenario.performer()
    (first,) = performer.perform(ask(MODEL))
    assert first.outcome.value is not None
    assert first.outcome.wire()["value"]["message"].item["content"] == "Hello!"
    assert first.outcome.at == virtual_at(first.key)
    tools = performer.perform(ask(ToolCall("query_db"), ToolCall("query_db"), node="thinker"))
    assert [answer.outcome.wire()["value"]["content"] for answer in tools] == ["n\n5", {"rows": 2}]
    with pytest.raises(CassetteUnused, match="1 of 'output', 1 of 'director'"):
        performer.check_used()
    performer.perform(ask(MODEL))
    with pytest.raises(CassetteMiss):
        performer.perform(ask(MODEL))


@pytest.fixture
def live(tmp_path: Path) -> Scenario:
    """Return a scenario on a database that is not there yet."""
    return load_scenario(write(tmp_path, GOOD + '[tools.databases]\nbilling = "b.sqlite"\n'))


def test_a_missing_database_is_no_surprise_later(live: Scenario) -> None:
    """A run does not begin without its database, and the error says how to build it."""
    with pytest.raises(UsageError, match=r"tools\.databases\.billing: there is no file") as caught:
        live.performer()
    assert caught.value.hint.startswith("build it: python fixtures/billing.py")
    with pytest.raises(UsageError, match="uses no database 'shop'"):
        live.with_databases({"shop": Path("x")})


def test_tools_run_on_the_database(live: Scenario, tmp_path: Path) -> None:
    """A live tool gives what the database holds, and its errors become outcomes, in virtual time too (N13)."""
    other = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("CREATE TABLE t (n)")
    performer = live.with_databases({"billing": other}).performer()
    calls = [ToolCall("query_db", {"query": query, "database": "billing"}) for query in ("SHOW TABLES", "SELECT kwh FROM t")]
    good, bad = performer.perform(ask(*calls, node="thinker"))
    assert good.outcome.wire() == {"status": "ok", "value": {"content": "table\nt"}}
    assert bad.outcome.status == "error"
    assert bad.outcome.error is not None
    assert (bad.outcome.error.type, bad.outcome.error.message) == ("effect.tool", "no such column: kwh")
    assert [good.outcome.at, bad.outcome.at] == [virtual_at(good.key), virtual_at(bad.key)]
    (unknown,) = performer.perform(ask(ToolCall("drop_db"), node="thinker"))
    assert unknown.outcome.error is not None
    assert "known are query_db" in unknown.outcome.error.message


@pytest.mark.parametrize("text", ["x = " + "1" * 5000, "x = " + "[" * 3000 + "]" * 3000])
def test_toml_that_no_parser_takes_is_a_graph_error(tmp_path: Path, text: str) -> None:
    """A number of thousands of digits and nesting beyond all bounds are problems of the file, in scenarios and graphs alike."""
    path = tmp_path / "odd.toml"
    path.write_text(text)
    for load in (load_scenario, load_graph):
        with pytest.raises(FrameEngineError) as caught:
            load(path)
        assert caught.value.hint
