"""Experts: what they plan, run, look up and answer, and what becomes of steps and replies that are none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from driven import Driven, failure
from frameengine.effects import ToolCall
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import BUILT_IN, read_prompt, resolve
from frameengine.jsonvalue import freeze
from frameengine.messages import ExpertFailed, PARouting
from frameengine.nodes.cut import cut_fairly
from frameengine.nodes.eras import ErasExpert
from frameengine.nodes.expert import NO_RESPONSE, Expert
from frameengine.nodes.expert_schema import PLANS_MAX
from frameengine.nodes.parsing import NO_PLAN
from frameengine.nodes.plankiste import PlankisteExpert
from frameengine.nodes.schemas import KNOWN_MAX, LOOK_CHARS_MAX, SHOWN_CHARS
from frameengine.nodes.sql_tables import QUERY_CHARS_MAX, tables_in

SPEC = load_graph("v4-eras").node("expert_eras")
JOB = PARouting(expert="eras", job="How many customers are there in Jena?", language="en")
COLUMNS = "column\ttype\nid\tINTEGER\ncity\tTEXT"
COUNT = "SELECT COUNT(*) AS n FROM customers"


def query(text: str, **more: str) -> dict[str, Any]:
    """Return a step that queries the database."""
    return {"tool": "query_db", "args": {"query": text, "database": "billing", **more}}


def plan(*steps: Any, hint: str = "say it", **more: Any) -> str:
    """Return a model's plan of these steps."""
    return json.dumps({"tool_sequence": list(steps), "response_hint": hint, **more})


def eras(*replies: Any, job: PARouting = JOB, config: Any = None, **known: str) -> Driven:
    """Run the billing expert; *known* are tables that were described before."""
    schema = {f"billing: DESCRIBE {table}": text for table, text in known.items()}
    spec = SPEC if config is None else evolve(SPEC, config=freeze({**SPEC.config, **config}))
    return Driven(ErasExpert(), spec, job, *replies, state={"caches": {"schema": schema}})


def base(*replies: Any, job: PARouting = JOB) -> Driven:
    """Run the expert that belongs to no domain."""
    return Driven(Expert(), SPEC, job, *replies)


def queries(run: Driven) -> list[str]:
    """Return the statements that went to the database."""
    return [effect.arguments["query"] for effect in run.effects if isinstance(effect, ToolCall)]


# ---------------------------------------------------------------------- one job


def test_a_job_takes_two_requests_and_nothing_of_the_conversation() -> None:
    """One call plans, one words the answer; the job is all that either knows of the conversation (C31, C89, C91)."""
    run = eras(plan(query(COUNT)), "n\n7", " Seven. ", customers=COLUMNS)
    prompt, domain, settings, asked = run.asked(0)
    assert prompt == f"system: {read_prompt('expert_base_v1')}"
    assert domain == f"system: {read_prompt('eras_v1')}"
    assert settings.startswith("system: Tools you may plan:\n- query_db(query, database): one read-only")
    assert "\n- create_machine(id, initial, states: " in settings
    assert settings.endswith("\nDefault database: billing")
    assert asked == f"user: <job>\n{JOB.job}\n</job>\n\n<schema>\nbilling: DESCRIBE customers\n{COLUMNS}\n</schema>"
    wording, domain, language, results = run.asked(1)
    assert wording == f"system: {read_prompt('expert_answer_v1')}"
    assert domain == f"system: {read_prompt('eras_v1')}"
    assert language == "system: Answer in English (en)."
    assert f"<results>\n[1] query_db: {COUNT}\nn\n7\n</results>\n\n<hint>\nsay it\n</hint>" in results
    assert len(run.calls()) == 2
    assert (run.message.response, run.message.question) == ("Seven.", JOB.job)
    assert run.message.tool_output == f"[1] query_db: {COUNT}\nn\n7"
    assert run.changes == ()


def test_every_tool_is_shown_as_it_runs() -> None:
    """The events name the job, the plan, each tool with its arguments and result, and the answer, cut (C53)."""
    long = PARouting(expert="eras", job="j" * 200)
    run = eras(plan(query(COUNT), hint="h" * 200), "r" * 300, "a" * 200, job=long, customers=COLUMNS)
    assert run.events() == ["thinking", "context", "planned", "tool_call", "tool_result", "context", "done"]
    assert run.event("thinking") == {"detail": "planning: " + "j" * 80}
    assert run.event("planned") == {"tools": 1, "hint": "h" * 80}
    assert run.event("tool_call") == {"tool": "query_db", "args": query(COUNT)["args"]}
    assert run.event("tool_result") == {"tool": "query_db", "output": "r" * 200}
    assert run.event("done") == {"response": "a" * 100}


@pytest.mark.parametrize(
    ("language", "told"),
    [
        ("de", "German (de)"),
        ("en", "English (en)"),
        ("mixed", "the language of the job (mixed)"),
        ("?", "the language of the job"),
    ],
)
def test_the_answer_is_wanted_in_the_language_of_the_routing(language: str, told: str) -> None:
    """The answer's request names the language (C91)."""
    run = base(plan(), "…", job=PARouting(job="x", language=language))
    assert f"system: Answer in {told}" in run.asked(1)[1]


def test_an_empty_answer_is_said_to_be_none() -> None:
    """A reply without text becomes a marker, and the record says so (C91, W55)."""
    for reply in ("", "  \n", {"role": "assistant", "content": None}):
        run = base(plan(), reply)
        assert run.message.response == NO_RESPONSE
        assert run.event("parse_failed") == {"problems": ["the reply has no text"]}


def test_all_results_reach_the_answer_and_a_cut_one_says_so() -> None:
    """Each query has its share: none is lost for another's length, and what is cut tells how much there was (W06)."""
    rows = "n\n" + "\n".join(map(str, range(5_000)))
    run = eras(plan(query(COUNT), query(COUNT), query(COUNT)), "n\n1", rows, "n\n3", "x", customers=COLUMNS)
    results = run.asked(1)[-1]
    assert f"[1] query_db: {COUNT}\nn\n1" in results
    assert f"[3] query_db: {COUNT}\nn\n3" in results
    assert "characters; the whole has 5,002 lines]" in results
    assert len(results) < 7_000
    assert run.message.tool_output.count(COUNT) == 3
    assert rows in run.message.tool_output


def test_a_tool_that_fails_is_reported_and_answered() -> None:
    """The error is output like any other: it is shown, it reaches the answer, and the steps after it run (C87)."""
    run = base(plan(query("SELECT 1"), query("SELECT 2")), failure("refused: only SELECT is allowed"), "2\n2", "That failed.")
    assert "\nError: refused: only SELECT is allowed" in run.asked(1)[-1]
    assert queries(run) == ["SELECT 1", "SELECT 2"]
    assert run.message.response == "That failed."
    assert run.message.tool_output.startswith("[1] query_db: SELECT 1\nError: refused")


def test_shaping_tools_fill_their_own_fields() -> None:
    """Buttons, displays, values and machines leave in the thought, and give no output for an interpreter to read (C05, C90)."""
    run = base(
        plan(
            {"tool": "emit_actions", "args": {"actions": [{"label": "Go", "action": "go"}]}},
            {"tool": "set_state", "args": {"key": "n", "value": 1}},
            {"tool": "emit_display", "args": {"items": [{"type": "label", "label": "n"}]}},
            {"tool": "create_machine", "args": {"id": "m", "initial": "a", "states": {"a": {}}, "op": "destroy"}},
        ),
        "Done.",
    )
    thought = run.message
    assert thought.actions == ({"label": "Go", "action": "go"},)
    assert thought.state_updates == {"n": 1}
    assert thought.display_items == ({"type": "label", "label": "n"},)
    assert [op["op"] for op in thought.machine_ops] == ["create"]
    assert (thought.tool_used, thought.tool_output) == ("create_machine", "")
    assert run.events().count("tool_call") == 4


def test_a_table_that_is_wanted_is_a_table() -> None:
    """Where the plan presents a table, the result of the query is an item to display."""
    run = eras(plan(query(COUNT), present_as="table"), "n\n7", "x", customers=COLUMNS)
    assert run.message.display_items == ({"type": "table", "text": "n\n7"},)


# ---------------------------------------------------------------------- steps that cannot run


def test_more_than_five_steps_are_refused() -> None:
    """The sixth step and all after it do not run, and everybody sees it (T9, W07)."""
    run = base(plan(*[query(f"SELECT {number}") for number in range(7)]), *["r"] * 5, "x")
    assert queries(run) == [f"SELECT {number}" for number in range(5)]
    reason = "a plan has at most 5 steps, and 2 more were planned"
    assert run.event("tool_refused") == {"step": 6, "tool": "", "reason": reason}
    assert reason in run.asked(1)[-1]


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ({"tool": "rm_rf", "args": {}}, "there is no tool 'rm_rf' here"),
        ({"tool": "python", "args": {"code": "1"}}, "there is no tool 'python' here"),
        ({"args": {"query": "SELECT 1"}}, "the step names no tool"),
        ({"tool": "query_db", "args": [1]}, "the step names no tool"),
        ({"tool": 5}, "the step names no tool"),
        ("SELECT 1", "the step names no tool"),
        (None, "the step names no tool"),
        ([[]], "the step names no tool"),
        ({"tool": "emit_actions", "args": {"actions": "go"}}, "it takes actions"),
        ({"tool": "set_state", "args": {"key": "", "value": 1}}, "it takes a key and a value"),
        ({"tool": "create_machine", "args": {"id": "m"}}, "it takes id and initial and states"),
    ],
)
def test_a_step_that_cannot_run_is_refused_where_everybody_sees_it(step: Any, reason: str) -> None:
    """An unknown tool, arguments that do not fit and a step that is none are refused, and the others run (T9, W07)."""
    run = base(plan(step, query("SELECT 1")), "1\n1", "x")
    assert reason in run.event("tool_refused")["reason"]
    assert reason in run.message.tool_output
    assert queries(run) == ["SELECT 1"]


@pytest.mark.parametrize(
    "reply",
    [
        "",
        {"role": "assistant", "content": None},
        "I would look.",
        plan(query(COUNT))[:30],
        "[]",
        "{}",
        '{"tool_sequence": 7}',
        "[" * 99,
    ],
)
def test_a_plan_that_is_none_runs_nothing_and_is_answered(reply: Any) -> None:
    """No tool runs, the record says so, and the answer is told the truth (C89, W25, W55)."""
    run = eras(reply, "I could not plan that.")
    assert queries(run) == []
    assert run.event("parse_failed")["problems"]
    assert run.event("planned") == {"tools": 0, "hint": NO_PLAN[:80]}
    assert f"<hint>\n{NO_PLAN}\n</hint>" in run.asked(1)[-1]
    assert "<results>\nNo tool ran.\n</results>" in run.asked(1)[-1]
    assert run.message.response == "I could not plan that."


def test_a_hundred_thousand_steps_are_no_plan() -> None:
    """A reply beyond all bounds is not read, and the job is answered."""
    run = eras(plan(*[query("SELECT 1")] * 100_000), "x")
    assert "the bound is" in run.event("parse_failed")["problems"][0]
    assert queries(run) == []


def test_a_failing_model_call_is_no_answer() -> None:
    """The text of a provider's error is an event; what is handed on is the marker (W26)."""
    run = base(failure("502"), failure("503"))
    assert run.message.response == NO_RESPONSE
    assert run.events().count("model_failed") == 2


# ---------------------------------------------------------------------- schemas


def test_an_unknown_table_is_described_before_it_is_queried_and_the_job_planned_anew() -> None:
    """The tables of the first plan are looked at, the second plan sees them, and only that one runs (C32, C88)."""
    better = "SELECT COUNT(*) AS n FROM customers WHERE city = 'Jena'"
    run = eras(plan(query("SELECT town FROM Customers")), COLUMNS, plan(query(better)), "n\n7", "Seven.")
    assert queries(run) == ["DESCRIBE Customers", better]
    assert "<schema>" not in run.asked(0)[-1]
    assert f"<schema>\nbilling: DESCRIBE customers\n{COLUMNS}\n</schema>" in run.asked(1)[-1]
    assert run.after == {"caches": {"schema": {"billing: DESCRIBE customers": COLUMNS}}}
    assert run.message.tool_output == f"[1] query_db: {better}\nn\n7"


def test_a_second_job_on_the_same_table_describes_nothing() -> None:
    """What one job looked up the next one knows (C32, C88)."""
    first = eras(plan(query(COUNT)), COLUMNS, plan(query(COUNT)), "n\n24", "x")
    second = Driven(ErasExpert(), SPEC, JOB, plan(query(COUNT)), "n\n24", "x", state=first.after)
    assert queries(first) == ["DESCRIBE customers", COUNT]
    assert queries(second) == [COUNT]
    assert len(second.calls()) == 2


def test_a_planned_look_is_taken_from_what_is_known() -> None:
    """A plan to describe a known table runs no tool, and its output is there; an unknown one is looked at once."""
    known = eras(plan(query("describe customers;")), "x", customers=COLUMNS)
    assert queries(known) == []
    assert known.events().count("tool_cached") == 1
    assert known.message.tool_output == f"[1] query_db: describe customers;\n{COLUMNS}"
    unknown = eras(plan(query("SHOW TABLES")), "table\nbills", plan(query("SHOW TABLES")), "x")
    assert queries(unknown) == ["SHOW TABLES"]
    assert unknown.message.tool_output.endswith("table\nbills")


def test_a_look_that_fails_is_told_and_not_remembered() -> None:
    """A table that is not there is an error in the next plan's request, once, and no later job believes it."""
    run = eras(plan(query("SELECT 1 FROM kunden")), failure("no such table: kunden"), plan(query(COUNT)), COLUMNS, plan(), "x")
    assert "<schema>\nbilling: DESCRIBE kunden\nError: no such table: kunden\n</schema>" in run.asked(1)[-1]
    assert list(run.after["caches"]["schema"]) == ["billing: DESCRIBE customers"]


def test_a_job_is_planned_three_times_at_most() -> None:
    """An expert that finds something new in every plan runs the third, its tables described all the same."""
    tables = ["SELECT 1 FROM a", "SELECT 1 FROM b", "SELECT 1 FROM c"]
    run = eras(plan(query(tables[0])), "A", plan(query(tables[1])), "B", plan(query(tables[2])), "C", "1\n1", "x")
    assert queries(run) == ["DESCRIBE a", "DESCRIBE b", "DESCRIBE c", tables[2]]
    assert len(run.calls()) == PLANS_MAX + 1


def test_an_unknown_column_is_corrected_once_from_a_fresh_look() -> None:
    """The tables of the failed query are looked at anew, the plan is made with the error, and what is remembered is new (C88)."""
    fixed = "SELECT city FROM customers"
    run = eras(
        plan(query("SELECT town FROM customers")),
        failure("no such column: town"),
        COLUMNS,
        plan(query(fixed)),
        "city\nJena",
        "Jena.",
        customers="column\ttype\ntown\tTEXT",
    )
    assert queries(run) == ["SELECT town FROM customers", "DESCRIBE customers", fixed]
    assert "<failed>\nSELECT town FROM customers\nError: no such column: town\n</failed>" in run.asked(1)[-1]
    assert COLUMNS in run.asked(1)[-1]
    assert run.after["caches"]["schema"] == {"billing: DESCRIBE customers": COLUMNS}
    assert run.message.tool_output == f"[1] query_db: {fixed}\ncity\nJena"


def test_nothing_is_looked_at_twice_for_one_job() -> None:
    """Where the table was described for this very job, a guessed column is planned anew without another look."""
    bad, fixed = plan(query("SELECT town FROM customers")), "SELECT city FROM customers"
    run = eras(bad, COLUMNS, bad, failure("no such column: town"), plan(query(fixed)), "city\nJena", "Jena.")
    assert queries(run) == ["DESCRIBE customers", "SELECT town FROM customers", fixed]
    assert len(run.changes) == 1


def test_a_column_that_stays_unknown_is_reported() -> None:
    """The second failure is the answer's to tell: there is no third try. MariaDB's words count as well."""
    bad = plan(query("SELECT town FROM customers"))
    wrong = failure("Unknown column 'town' in 'field list'")
    run = eras(bad, wrong, COLUMNS, bad, wrong, "No such column.", customers=COLUMNS)
    assert queries(run) == ["SELECT town FROM customers", "DESCRIBE customers", "SELECT town FROM customers"]
    assert "Error: Unknown column 'town'" in run.asked(2)[-1]
    assert run.message.response == "No such column."


def test_a_query_without_a_database_goes_to_the_default_one() -> None:
    """The graph names the default database; a plan that names another is taken at its word (C32)."""
    run = eras(plan({"tool": "query_db", "args": {"query": COUNT}}), "n\n7", "x", customers=COLUMNS)
    assert [effect.arguments["database"] for effect in run.effects if isinstance(effect, ToolCall)] == ["billing"]
    other = eras(plan(query("SELECT 1", database="other")), failure("there is no database 'other'"), "x")
    assert "there is no database 'other'" in other.message.tool_output


def test_what_is_remembered_is_bounded() -> None:
    """A long description is kept cut, a full memory keeps no more, and a request shows only so much of it."""
    run = eras(plan(query(COUNT)), "c" * 10_000, plan(), "x")
    (kept,) = run.after["caches"]["schema"].values()
    assert kept.startswith("c" * LOOK_CHARS_MAX + "\n[cut: 4,000 of 10,000")
    full: dict[str, Any] = {f"t{number}": "x" * 1_000 for number in range(KNOWN_MAX)}
    run = eras(plan(query(COUNT)), COLUMNS, plan(query(COUNT)), "n\n7", "x", **full)
    assert run.changes == ()
    assert len(run.asked(1)[-1]) < SHOWN_CHARS + 2_000
    assert f"<schema>\nbilling: DESCRIBE customers\n{COLUMNS}\n" in run.asked(1)[-1]


def test_a_known_table_that_was_not_shown_is_shown_before_the_plan_runs() -> None:
    """A plan on a table whose description had no room in the request is made again with it."""
    full: dict[str, Any] = {f"t{number}": "x" * 1_000 for number in range(10)}
    run = eras(plan(query("SELECT 1 FROM t9")), plan(query("SELECT 1 FROM t9")), "1\n1", "x", **full)
    assert "t9" not in run.asked(0)[-1]
    assert "<schema>\nbilling: DESCRIBE t9\n" in run.asked(1)[-1]
    assert queries(run) == ["SELECT 1 FROM t9"]


# ---------------------------------------------------------------------- retry and domains


def test_a_job_whose_tools_all_failed_goes_back_where_the_graph_says_so() -> None:
    """With retry on, the first attempt returns its problem instead of an answer; the second one answers (C93)."""
    bad = plan(query("SELECT 1"))
    run = eras(bad, failure("boom"), config={"retry": True})
    assert run.message == ExpertFailed(job=JOB.job, problem="[1] query_db: SELECT 1\nError: boom")
    assert run.event("returned")["problem"].endswith("boom")
    assert len(run.calls()) == 1
    assert eras(bad, failure("boom"), "x", config={"retry": True}, job=evolve(JOB, attempt=2)).message.response == "x"
    assert eras(bad, failure("boom"), "x").message.response == "x"
    half = plan(query("SELECT 1"), query("SELECT 2"))
    assert eras(half, failure("boom"), "2\n2", "x", config={"retry": True}).message.response == "x"


def test_the_kindergarten_expert_is_registered_and_in_no_graph() -> None:
    """It can be named in a graph and knows its own field; the shipped graph does without it (C33)."""
    assert resolve("plankiste_expert") is PlankisteExpert
    assert "plankiste_expert" in BUILT_IN
    assert all(node.implementation != "plankiste_expert" for node in load_graph("v4-eras").nodes)
    run = Driven(PlankisteExpert(), SPEC, PARouting(job="x"), plan(), "y", state={})
    assert run.asked(0)[1] == f"system: {read_prompt('plankiste_v1')}"


# ---------------------------------------------------------------------- tables of a query, and cutting


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("SELECT * FROM a", ["a"]),
        ("select 1 from a, b c, d as e join f on x(a, b) = 1, g where h in (select 1 from i)", ["a", "b", "d", "f", "g", "i"]),
        ("SELECT * FROM A NATURAL LEFT OUTER JOIN b USING (x, y), c", ["A", "b", "c"]),
        ("SELECT * FROM A JOIN a ON 1", ["A"]),
        ("WITH a(x, y) AS (SELECT 1 FROM q), b AS NOT MATERIALIZED (SELECT 2) SELECT * FROM a, b, r", ["q", "r"]),
        ("SELECT * FROM (SELECT 1 FROM x) y, z", ["x", "z"]),
        ("SELECT * FROM (a JOIN b), c", ["a", "b", "c"]),
        ("SELECT (SELECT COUNT(*) FROM a) AS a, (SELECT COUNT(*) FROM b) AS b", ["a", "b"]),
        ("SELECT extract(year FROM d) FROM t WHERE a IS NOT DISTINCT FROM b", ["t"]),
        ("SELECT * FROM main.k WHERE n = 'from zz' -- from p\n", ["k"]),
        ('SELECT 1 FROM json_each(x) UNION SELECT 2 FROM "A b", `l`, [m] ORDER BY n, o', ["l", "m"]),
        ("SELECT /* from u */ 1 FROM t /* from v", ["t"]),
        ("SELECT 'it''s from a' FROM b LIMIT 1, 2", ["b"]),
        ("SHOW TABLES", []),
        ("SELECT FROM FROM", []),
        (")))(((", []),
        ("SELECT 1 FROM t" + " " * QUERY_CHARS_MAX, []),
    ],
)
def test_the_tables_of_a_query(text: str, tables: list[str]) -> None:
    """Tables of FROM lists and joins are found, at any depth; what the query defines, quotes or comments is none."""
    assert list(tables_in(text)) == tables


PIECES = st.sampled_from(
    ["select ", "from ", "join ", "with ", "as ", "(", ")", ",", "'", '"', "`", "[", "/*", "*/", "--", "\n", ".", "t ", "é"]
)


@given(st.lists(PIECES | st.text(max_size=3), max_size=60).map("".join))
def test_any_text_has_tables_that_can_be_described(text: str) -> None:
    """Whatever stands in for a query: names of tables come out of it, each once, and nothing is raised."""
    found = tables_in(text)
    assert len({name.lower() for name in found}) == len(found)
    assert all(name.isidentifier() or name.replace("_", "").isalnum() for name in found)


@given(st.lists(st.integers(0, 300).map(lambda size: "é\n-"[size % 3] * size), max_size=6), st.integers(0, 500))
def test_texts_are_cut_to_what_there_is_room_for(texts: list[str], chars: int) -> None:
    """Each text stays whole or says that it is cut; together they keep to the room, and none is cut while room is left."""
    kept = cut_fairly(texts, chars)
    bodies = [text.split("\n[cut: ")[0] if text != whole else text for text, whole in zip(kept, texts, strict=True)]
    room = sum(map(len, bodies))
    assert room <= chars
    assert room == chars or kept == tuple(texts)
    for whole, text, body in zip(texts, kept, bodies, strict=True):
        assert text == whole or (whole.startswith(body) and f" of {len(whole):,} characters" in text)
        assert len(body) >= min(len(whole), chars // len(texts))
