"""The markdown of suites: what is read, what is written back, and every problem with its line."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameengine.errors import UsageError
from frameengine.inputs import Action, Clear, UserMessage
from frameengine.jsonvalue import freeze
from frameengine.suites.actions import Act, pressed, read_act
from frameengine.suites.evidence import COMPARE, Check
from frameengine.suites.format import Suite, load, read, text

HEAD = "# Title\n\n## Steps\n\n### 1. one\n\n- send: hi\n"
GOOD = HEAD + '- expect_response: contains "a"\n'


def suite(source: str) -> Suite:
    """Read a suite."""
    return read(source, Path("x.md"))


def problems(source: str) -> dict[int, str]:
    """Return what is wrong with a suite, by line."""
    with pytest.raises(UsageError) as caught:
        suite(source)
    return {problem["line"]: problem["problem"] for problem in caught.value.fields["problems"]}


WORDS = st.from_regex(r"[A-Za-z0-9äß\"\\|`*]{1,8}( [A-Za-z0-9äß\"\\|`*]{1,8}){0,3}", fullmatch=True)
QUOTED = WORDS.map(lambda value: json.dumps(value, ensure_ascii=False))
LINES = st.one_of(
    WORDS.map(lambda value: f"- send: {value}"),
    QUOTED.map(lambda value: f"- action: {value}"),
    st.sampled_from(["- clear:\n- send: hi", "- wait: 10m", "- dashboard: as shown", '- dashboard: [{"type": "button"}]']),
    QUOTED.map(lambda value: f"- expect_response: contains {value} or {value}"),
    QUOTED.map(lambda value: f"- expect_actions: any action contains {value}"),
    st.integers(1, 99).map(lambda value: f"- expect_trace: frames {value}"),
    QUOTED.map(lambda value: f"- expect_state: memory.topic == {value}"),
)


@given(
    WORDS,
    st.text(alphabet="abc .\n", max_size=30),
    st.lists(st.tuples(WORDS, st.lists(LINES, min_size=1, max_size=4)), min_size=1, max_size=4),
)
def test_a_suite_that_is_written_back_reads_as_the_same(title: str, prose: str, steps: list[tuple[str, list[str]]]) -> None:
    """Reading what `text` wrote gives an equal suite, whatever stands in it."""
    lines = [f"# {title}", prose, "## Setup", "- graph: a, b", "- user: eva", "## Steps"]
    for number, (name, directives) in enumerate(steps, start=1):
        lines += [f"### {number}. {name}", "- send: hi", *directives, '- expect_trace: path "a"']
    first = suite("\n\n".join(lines))
    again = suite(text(first))
    assert again == first
    assert text(again) == text(first)
    assert suite(text(first).replace("\n", "\r\n")) == first


def test_what_a_suite_needs_stands_in_its_setup(tmp_path: Path) -> None:
    """Graphs come as a comma list, databases as names with files seen from the suite's folder."""
    path = tmp_path / "s.md"
    setup = "## Setup\n- graph: v3-framed, v4-eras\n- database: billing = ../b.sqlite\n- user: eva\n- replies: v4-eras = 4.toml\n"
    setup += "- replies: r.toml\n\n## Steps"
    path.write_text(GOOD.replace("## Steps", setup), encoding="utf-8")
    found = load(path)
    assert found.needs("graph") == ("v3-framed", "v4-eras")
    assert found.databases == {"billing": tmp_path / "../b.sqlite"}
    assert (found.replies("v3-framed"), found.replies("v4-eras")) == (tmp_path / "r.toml", tmp_path / "4.toml")
    assert suite(GOOD).replies("v3-framed") is None
    assert suite(GOOD.replace("## Steps", "## Setup\n- user: Roth, Eva\n\n## Steps")).needs("user") == ("Roth, Eva",)
    assert (found.title, found.checks, [step.name for step in found.steps]) == ("Title", 1, ["one"])


@pytest.mark.parametrize(
    ("source", "line", "said"),
    [
        ("", 1, "there is no title"),
        ("# Title\n", 2, "the suite has no steps"),
        (HEAD, 8, "could not fail"),
        (GOOD + '- expect_reponse: contains "a"\n', 9, "expect_response"),
        (GOOD + '- expect_response: contains ""\n', 9, "it could not fail"),
        (GOOD + '- expect_response: contains "a" or " "\n', 9, "it could not fail"),
        (GOOD + "- expect_response: contains\n", 9, "a text in double quotes is missing"),
        (GOOD + '- expect_response: contains "a" and "b"\n', 9, "is too much"),
        (GOOD + "- expect_response: length >= 0\n", 9, "always holds"),
        (GOOD + "- expect_response: length < 0\n", 9, "never hold"),
        (GOOD + "- expect_actions: length >= 0\n", 9, "always holds"),
        (GOOD + "- expect_actions: length > -1\n", 9, "a whole number"),
        (GOOD + '- expect_actions: any action contains ""\n', 9, "it could not fail"),
        (GOOD + "- expect_actions: has knobs\n", 9, "no kind of control"),
        (GOOD + '- expect_state: memory.topic contains ""\n', 9, "it could not fail"),
        (GOOD + "- expect_state: memory.topic\n", 9, "a comparison"),
        (GOOD + "- expect_state: memory.topic == nonsense\n", 9, "not JSON"),
        (GOOD + "- expect_state: memory.topic > 1a\n", 9, "not JSON"),
        (GOOD + '- expect_state: memory.topic > "a"\n', 9, "compares numbers"),
        (GOOD + "- expect_trace: something\n", 9, "it begins with path"),
        (GOOD + "- expect_trace: node input ran 0 times\n", 9, "written with not"),
        (GOOD + "- expect_trace: tool x called 2\n", 9, "missing its word"),
        (GOOD + "- expect_trace: tool x\n", 9, "it is tool NAME called"),
        (GOOD + "- expect_trace: tool x gave 24\n", 9, "a text in double quotes is missing"),
        (GOOD + "- expect_trace: event x\n", 9, "it is event NAME seen"),
        (GOOD + "- expect_trace: event x seen before\n", 9, "the name of an event is missing"),
        (GOOD + '- expect_trace: request of x says "a"\n', 9, "it is request of NODE"),
        (GOOD + '- expect_trace: request of x contains ""\n', 9, "it could not fail"),
        (GOOD + "- expect_trace: condition x\n", 9, "it is condition NAME held"),
        (GOOD + "- expect_trace: node input\n", 9, "it is node NAME ran"),
        (GOOD + "- expect_trace: requests >= 0\n", 9, "always holds"),
        (GOOD + '- expect_trace: status "fine"\n', 9, "is no status"),
        (GOOD + '- expect_trace: status "done" or "failed" or "cancelled"\n', 9, "would pass like one that does not"),
        (GOOD + '- expect_trace: status "failed" or "done"\n', 9, "would pass like one that does not"),
        (GOOD + "- expect_response: length >= 999999999\n- wait: x\n", 10, "it is a time"),
        (GOOD + "- expect_state: history not length == 0\n", 9, "it is not contains"),
        (GOOD + "- clear:\n- expect_trace: event controls not seen\n", 10, "looks at a clear"),
        (GOOD + "- clear:\n### 2. two\n- expect_trace: tool query_db not called\n", 11, "looks at a clear"),
        (GOOD + '- send: a\u2028- expect_response: contains "b"\n', 9, "a line break that is none here"),
        (GOOD + '- send: a\r- expect_response: contains "b"\n', 9, "a line break that is none here"),
        (GOOD.replace("## Steps", "- graph: v3\n\n## Steps"), 3, "graph stands before ## Setup and ## Steps"),
        (GOOD.replace("## Steps", '- expect_response: contains "x"\n\n## Steps'), 3, "nobody would carry it out"),
        (GOOD.replace("## Steps", "  * Expect_respnse : x\n\n## Steps"), 3, "nobody would carry it out"),
        (GOOD.replace("## Steps", "1. send: x\n\n## Steps"), 3, "nobody would carry it out"),
        (GOOD + "- send:\n", 9, "nothing to say"),
        (GOOD + "- send: ACTION: a | data: {\n", 9, "send: not JSON"),
        (GOOD + "- action:\n", 9, "names no button"),
        (GOOD + "- wait: soon\n", 9, "it is a time"),
        (GOOD + "- wait: 0s\n", 9, "it is a time"),
        (GOOD + "- dashboard: {}\n", 9, "a JSON list"),
        (GOOD + "- clear: all\n", 9, "nothing follows"),
        (GOOD + "text\n", 9, "neither a heading nor a dash line"),
        (GOOD + "- no colon\n", 9, "no directive"),
        (GOOD + "### 3. two\n- send: x\n", 9, "is step 3, and 2 comes next"),
        (GOOD + "### 2. two\n", 9, "nothing happens"),
        (GOOD + "#### deeper\n", 9, "no heading of a suite"),
        (GOOD + "# Again\n", 9, "second title"),
        (GOOD.replace("- send: hi\n", ""), 7, "before anything was done"),
        (GOOD.replace("## Steps", "## Setup\n- colour: red\n\n## Steps"), 4, "colour is unknown"),
        (GOOD.replace("## Steps", "## Setup\n- graph:\n\n## Steps"), 4, "needs a value"),
        (GOOD.replace("## Steps", "## Setup\n- database: x\n\n## Steps"), 4, "NAME = FILE"),
        (GOOD.replace("## Steps", "## Setup\n- replies: v3 =\n\n## Steps"), 4, "needs a value"),
        (GOOD.replace("## Steps", "## Setup\n- replies: a.toml\n- replies: b.toml\n\n## Steps"), 5, "stands there already"),
        (GOOD.replace("## Steps", "## Setup\n- user: a\n- user: b\n\n## Steps"), 5, "stands there already"),
        (GOOD.replace("## Steps", "## Setup\n- graph: a, , b\n\n## Steps"), 4, "needs a value"),
        (GOOD.replace("## Steps", "## Setup\n- graph: a, b, a\n\n## Steps"), 4, "a stands there already"),
        (GOOD.replace("## Steps", "## Setup\n- replies: v3 = a.toml, v3 = b.toml\n\n## Steps"), 4, "v3 stands there already"),
        (GOOD.replace("## Steps", "## Setup\n- replies: v3 = a.toml\n- replies: v3 = b.toml\n\n## Steps"), 5, "v3 stands there"),
        (GOOD.replace("## Steps", "## Setup\n- replies: a.toml, b.toml\n\n## Steps"), 4, "replies stands there already"),
        (GOOD.replace("## Steps", "## Setup\n- database: x = a, x = b\n\n## Steps"), 4, "x stands there already"),
        (GOOD.replace("## Steps", "## Setup\n- graph: v3\n- replies: v4 = a\n\n## Steps"), 5, "v4 is no graph of this suite"),
        ("text\n" + GOOD, 1, "stands before the title"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(source: str, line: int, said: str) -> None:
    """An empty suite, an unknown directive, an assertion that could not fail, and every other slip: an error at its line."""
    assert said in problems(source)[line]


def test_prose_may_have_lists_and_colons() -> None:
    """What a suite says about itself is prose, unless a line of it looks like one to be carried out."""
    prose = "It shows:\n\n- how greetings go;\n- note: nobody is called\n1. first\nhttp://example.org"
    assert suite(GOOD.replace("## Steps", f"{prose}\n\n## Steps")).prose == prose


@pytest.mark.parametrize("comparison", ["length >= 99999999", "length <= 999999999", "length == 999999999"])
def test_a_large_number_is_read_like_a_small_one(comparison: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a comparison of numbers can fail is seen from a handful of them."""
    asked: list[int] = []

    def watched(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
        def holds(one: Any, other: Any) -> bool:
            asked.append(one)
            return compare(one, other)

        return holds

    monkeypatch.setattr("frameengine.suites.evidence.COMPARE", {name: watched(compare) for name, compare in COMPARE.items()})
    assert suite(GOOD + f"- expect_response: {comparison}\n").checks == 2
    assert 0 < len(asked) <= 4


def test_all_problems_are_found_at_once() -> None:
    """Three slips in one file are three lines of one error."""
    assert list(problems(GOOD + '- nonsense: 1\n- expect_response: contains ""\n- wait: x\n')) == [9, 10, 11]


def test_c75_an_action_may_be_written_as_text_in_a_suite() -> None:
    """C75: a suite may say ACTION: name, and that is a click; a broken one is a problem (W57)."""
    assert read_act("send", "ACTION: inc") == Act(Action(name="inc"))
    assert read_act("send", 'ACTION: "a|b" | data: {"x": 1}') == Act(Action(name="a|b", data={"x": 1}))
    assert isinstance(read_act("send", 'ACTION: a | data: {"x"'), str)
    assert read_act("send", "an ACTION: inc") == Act(UserMessage.of("an ACTION: inc"))
    assert read_act("clear", "") == Act(Clear())


BUTTONS = freeze(
    [
        {"type": "button", "label": "Show more", "action": "more"},
        {"type": "table", "label": "Show"},
        {"type": "button", "label": "Show all bills", "action": "all_bills", "payload": {"year": 2023}},
        {"type": "button", "label": "Stop", "action": "stop"},
    ]
)


@pytest.mark.parametrize(
    ("patterns", "name"),
    [
        (("more",), "more"),
        (("SHOW MORE",), "more"),
        (("bills",), "all_bills"),
        (("Shw more",), "more"),
        (("missing", "stop"), "stop"),
        (("show",), "more"),
        (("quite another",), None),
    ],
)
def test_a_click_names_its_button_as_a_person_would(patterns: tuple[str, ...], name: str | None) -> None:
    """C123: by its action, its label in any case, a part, or a slip of the pen; the first pattern that fits wins."""
    found = pressed(patterns, BUTTONS)
    assert (None if found is None else found.name) == name


def test_a_click_carries_what_its_button_carries() -> None:
    """The payload of the button is the data of the click."""
    found = pressed(("all_bills",), BUTTONS)
    assert found == Action(name="all_bills", data={"year": 2023})


@given(st.text(alphabet='#- .abc:\n"{}[]0123456789expect_traconsq', max_size=200))
def test_any_text_is_a_suite_or_a_list_of_problems(source: str) -> None:
    """Reading never fails in another way than with problems and their lines."""
    try:
        checks = suite("# T\n" + source).checks
    except UsageError as error:
        checks = len(error.fields["problems"])
    assert checks > 0


@pytest.mark.nightly
def test_reading_takes_linear_time() -> None:
    """Twice the lines take at most 2.6 times as long, collections of garbage left out: those are none of the reader's."""

    def took(lines: int) -> float:
        source = GOOD + '- expect_response: contains "a" or "b"\n' * lines
        best = 9.0
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                start = process_time()
                suite(source)
                best = min(best, process_time() - start)
        finally:
            gc.enable()
        return best

    assert took(8_000) <= 2.6 * took(4_000) + 0.01


def test_a_suite_that_is_no_text_says_so(tmp_path: Path) -> None:
    """A file that is missing, or not UTF-8, is an error with its path."""
    path = tmp_path / "s.md"
    path.write_bytes(b"# \xff")
    for file in (path, tmp_path / "none.md"):
        with pytest.raises(UsageError, match=file.name):
            load(file)


def test_expectations_know_what_they_are() -> None:
    """Each expectation of a step is a check, each other line is not."""
    kinds = [isinstance(item, Check) for _, item in suite(GOOD).steps[0].todo]
    assert kinds == [False, True]
