"""The pytest plugin on goldens: each replays as a test of its own, and each way of losing one makes the session red."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from frameengine.golden import INDEX, digest_of, write_index

WAYS = [pytest.param((), id="one process"), pytest.param(("-n", "2"), id="two workers")]


def edit(project: pytest.Pytester, name: str, old: str, new: str) -> None:
    """Change a file of the project."""
    path = project.path / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def change(project: pytest.Pytester) -> None:
    """Change what the agent shows."""
    edit(project, "agent.py", "Answer:", "It said:")


def approve(project: pytest.Pytester, *names: str) -> None:
    """List these goldens as approved."""
    folder = project.path / "goldens"
    write_index(folder, {name: digest_of(folder / name) for name in names})


@pytest.mark.parametrize("way", WAYS)
def test_every_golden_and_the_index_are_a_test_each(project: pytest.Pytester, way: tuple[str, ...]) -> None:
    """A golden that replays passes, and so does an index that agrees; each is one case of the JUnit report."""
    result = project.runpytest_subprocess("--junitxml=report.xml", *way)
    result.assert_outcomes(passed=3)
    cases = [(case.get("classname"), case.get("name")) for case in ET.parse(project.path / "report.xml").iter("testcase")]
    assert sorted(cases, key=str) == [
        ("goldens.bye.trace.jsonl", "replay"),
        ("goldens.goldens.sha256", "approved"),
        ("goldens.hello.trace.jsonl", "replay"),
    ]


@pytest.mark.parametrize("way", WAYS)
def test_a_changed_frame_is_red(project: pytest.Pytester, way: tuple[str, ...]) -> None:
    """A change in what a node shows fails each golden that it reaches, with place, pointer, both values and cause."""
    change(project)
    result = project.runpytest_subprocess(*way)
    assert result.ret == 1
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(
        [
            "goldens/hello.trace.jsonl diverged at input 1, frame 1, node ask",
            "  differs   emission /emissions/0/1/text",
            "  recorded  Answer: reply to hello",
            "  replayed  It said: reply to hello",
            "  cause     node code: *",
            "  try: frameengine rerun --update goldens/hello.trace.jsonl --graph asking.toml, if the change is meant",
        ],
        consecutive=True,
    )
    result.stdout.no_fnmatch_line("*Traceback*")


def _empty(project: pytest.Pytester) -> None:
    for golden in (project.path / "goldens").glob("*.trace.jsonl"):
        golden.unlink()
    approve(project)


def _reorder(project: pytest.Pytester) -> None:
    one, other = (project.path / "goldens" / f"{name}.trace.jsonl" for name in ("hello", "bye"))
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)


def _move_out_of_sight(project: pytest.Pytester) -> None:
    edit(project, "pytest.ini", "frames_goldens = goldens\n", "")
    (project.path / "goldens" / "build").mkdir()
    (project.path / "goldens" / "bye.trace.jsonl").rename(project.path / "goldens" / "build" / "bye.trace.jsonl")
    approve(project, "hello.trace.jsonl", "build/bye.trace.jsonl")


RED: dict[str, tuple[Callable[[pytest.Pytester], object], str]] = {
    "missing": (
        lambda project: (project.path / "goldens" / "bye.trace.jsonl").unlink(),
        "golden goldens/bye.trace.jsonl is missing: it was approved, and is not there",
    ),
    "unused": (
        lambda project: approve(project, "hello.trace.jsonl"),
        "golden goldens/bye.trace.jsonl is unused: it is there, and nobody approved it",
    ),
    "reordered": (_reorder, "golden goldens/bye.trace.jsonl is reordered: it holds what was approved as hello.trace.jsonl"),
    "pending": (
        lambda project: (project.path / "goldens" / "bye.trace.pending.jsonl").write_text("x"),
        "goldens/bye.trace.pending.jsonl is pending: a new golden waits for review",
    ),
    "zero traces": (_empty, "there is no golden in goldens: nothing would be compared"),
    "an edited index": (
        lambda project: edit(project, f"goldens/{INDEX}", "  bye", "  ../bye"),
        f"goldens/{INDEX}: line 1 names a file outside of the folder",
    ),
    "out of sight": (_move_out_of_sight, "golden goldens/build/bye.trace.jsonl is there, and was not collected"),
}


@pytest.mark.parametrize("red", RED)
def test_a_folder_that_is_not_as_approved_is_red(project: pytest.Pytester, red: str) -> None:
    """Each way in which goldens get lost or come in unseen fails the test of the index, with a message of its own."""
    plant, message = RED[red]
    plant(project)
    result = project.runpytest()
    assert result.ret == 1
    result.stdout.fnmatch_lines([message, "  try: *"], consecutive=True)
    result.stdout.fnmatch_lines([f"FAILED goldens/{INDEX}::approved*"])


@pytest.mark.parametrize("way", WAYS)
def test_a_missing_golden_is_red_in_workers_too(project: pytest.Pytester, way: tuple[str, ...]) -> None:
    """Whoever runs the test of the index, a golden that is not there is missed."""
    (project.path / "goldens" / "bye.trace.jsonl").unlink()
    result = project.runpytest_subprocess(*way)
    result.assert_outcomes(passed=1, failed=1)
    assert result.ret == 1


@pytest.mark.parametrize("lost", ["the folder", "the index"])
@pytest.mark.parametrize("asked", ["by the configuration", "by the option"])
def test_zero_traces_where_some_were_asked_for_are_an_error(project: pytest.Pytester, lost: str, asked: str) -> None:
    """A folder of goldens that is not there, or has no index, stops the session before anything could look good."""
    folder = project.path / "goldens"
    folder.rename(project.path / "elsewhere") if lost == "the folder" else (folder / INDEX).unlink()
    if asked == "by the option":
        edit(project, "pytest.ini", "frames_goldens = goldens\n", "")
    project.makepyfile("def test_passes(): pass")
    result = project.runpytest(*(["--frames-goldens", "goldens"] if asked == "by the option" else []), "test_*.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    wanted = "there is no such folder: zero traces collected" if lost == "the folder" else f"has no {INDEX}"
    result.stderr.fnmatch_lines([f"*goldens is to hold goldens, and *{wanted}*"])


def test_named_folders_are_replayed_unless_other_tests_are_named(project: pytest.Pytester) -> None:
    """The configured folder is replayed along with everything; naming one test file runs that; the option adds the folder."""
    project.makepyfile("def test_passes(): pass")
    (project.path / "tests").mkdir()
    edit(project, "pytest.ini", "pythonpath = .\n", "pythonpath = .\ntestpaths = tests\n")
    project.runpytest("--rootdir=.").assert_outcomes(passed=3)
    project.runpytest(next(project.path.glob("test_*.py"))).assert_outcomes(passed=1)
    project.runpytest(next(project.path.glob("test_*.py")), "--frames-goldens", "goldens").assert_outcomes(passed=4)


LEFT_OUT: dict[str, tuple[str, ...]] = {
    "--ignore": ("--ignore=goldens",),
    "--ignore-glob": ("--ignore-glob=*goldens*",),
    "norecursedirs": ("-o", "norecursedirs=goldens"),
    "addopts": ("-o", "addopts=tests"),
    "a typed folder above": (".", "--ignore=goldens"),
    "workers": ("--ignore=goldens", "-n", "2"),
    "a golden": ("--ignore=goldens/bye.trace.jsonl",),
    "conftest": (),
}


@pytest.mark.parametrize("way", LEFT_OUT)
@pytest.mark.parametrize("lost", [True, False], ids=["one is lost", "all are there"])
def test_configured_goldens_are_run_whatever_is_left_out(project: pytest.Pytester, way: str, lost: bool) -> None:
    """Nothing but typed paths keeps pytest out of a configured folder: its goldens run, each once, and a lost one is missed."""
    (project.path / "tests").mkdir()
    (project.path / "tests" / "test_one.py").write_text("def test_passes(): pass", encoding="utf-8")
    if way == "conftest":
        (project.path / "conftest.py").write_text('collect_ignore = ["goldens"]\n', encoding="utf-8")
    if lost:
        (project.path / "goldens" / "bye.trace.jsonl").unlink()
    result = project.runpytest_subprocess(*LEFT_OUT[way])
    result.assert_outcomes(passed=2 if lost else 4, failed=1 if lost else 0)
    assert result.ret == int(lost)


@pytest.mark.parametrize("name", [".goldens", "build"])
def test_configured_goldens_may_stand_where_pytest_does_not_look(project: pytest.Pytester, name: str) -> None:
    """A hidden folder, or one that pytest passes over by its name, is run when it is configured, and named itself."""
    (project.path / "goldens").rename(project.path / name)
    edit(project, "pytest.ini", "frames_goldens = goldens", f"frames_goldens = {name}")
    project.runpytest().assert_outcomes(passed=3)
    project.runpytest(name).assert_outcomes(passed=3)
    assert project.runpytest("--collect-only", "-q").parseoutcomes()["tests"] == 3


def test_tests_beside_goldens_run_as_ever(project: pytest.Pytester) -> None:
    """A folder may hold goldens and Python tests; a pending golden is neither."""
    (project.path / "goldens" / "test_more.py").write_text("def test_passes(): pass", encoding="utf-8")
    (project.path / "goldens" / "hello.trace.pending.jsonl").write_text("x", encoding="utf-8")
    project.runpytest("goldens").assert_outcomes(passed=3, failed=1)


def test_a_trace_without_an_index_is_a_test_when_it_is_named(project: pytest.Pytester) -> None:
    """Outside of goldens a trace is left alone, and replayed when somebody names it."""
    (project.path / "mine").mkdir()
    (project.path / "goldens" / "hello.trace.jsonl").rename(project.path / "mine" / "hello.trace.jsonl")
    assert project.runpytest("mine").ret == pytest.ExitCode.NO_TESTS_COLLECTED
    project.runpytest("mine/hello.trace.jsonl").assert_outcomes(passed=1)


def test_a_golden_that_must_diverge_is_red_when_it_replays(project: pytest.Pytester) -> None:
    """In a folder called diverging a golden passes by diverging, and fails otherwise."""
    (project.path / "goldens" / "diverging").mkdir()
    (project.path / "goldens" / "bye.trace.jsonl").rename(project.path / "goldens" / "diverging" / "bye.trace.jsonl")
    approve(project, "hello.trace.jsonl", "diverging/bye.trace.jsonl")
    result = project.runpytest("goldens")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["goldens/diverging/bye.trace.jsonl must diverge, and replays the same"])


def test_a_golden_that_must_diverge_does_so_at_one_place(project: pytest.Pytester) -> None:
    """It passes where it diverges at the place that is written down, with that kind and pointer, and at no other."""
    golden = "goldens/diverging/bye.trace.jsonl"
    (project.path / "goldens" / "diverging").mkdir()
    (project.path / "goldens" / "bye.trace.jsonl").rename(project.path / golden)
    change(project)
    result = project.runpytest(golden, "--frames-update")
    result.assert_outcomes(failed=1)
    wanted = "input 1, frame 1, node ask: emission /emissions/0/1/text"
    written = "goldens/diverging/bye.divergence.txt"
    result.stdout.fnmatch_lines(
        [f"{golden} must diverge, and no bye.divergence.txt says where", f"  try: echo '{wanted}' > {written}, if it is meant to"]
    )
    result.stdout.no_fnmatch_line("*rerun --update*")
    assert not list((project.path / "goldens").rglob("*pending*"))
    (project.path / written).write_text(f"{wanted}\n", encoding="utf-8")
    project.runpytest(golden).assert_outcomes(passed=1)
    edit(project, "agent.py", "Please answer", "Do answer")
    result = project.runpytest(golden)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            f"{golden} diverges at another place than bye.divergence.txt says",
            f"  expected  {wanted}",
            "  diverged  input 1, frame 1, node ask, call 0: request /messages/0/content",
        ]
    )


def test_a_changed_graph_is_noticed(project: pytest.Pytester) -> None:
    """Goldens are replayed with the graph file that the configuration names, so an edit of it is red."""
    (project.path / "other.py").write_text((project.path / "agent.py").read_text().replace("Answer:", "Other:"), encoding="utf-8")
    edit(project, "asking.toml", "agent:Ask", "other:Ask")
    result = project.runpytest()
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["  replayed  Other: reply to bye"])


def test_a_graph_that_nobody_named_is_refused(project: pytest.Pytester) -> None:
    """Without its graph file a golden is red, as a change of it would go unseen; 'recorded' takes the definition in the trace."""
    edit(project, "pytest.ini", "frames_graphs = asking.toml\n", "")
    result = project.runpytest()
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        ["*with graph 'asking', which is neither shipped nor among frames_graphs", "  try: add its file*"]
    )
    project.runpytest("-o", "frames_graphs=recorded").assert_outcomes(passed=3)


def test_two_graphs_of_one_name_are_refused(project: pytest.Pytester) -> None:
    """Which of two graphs a golden is replayed with is nothing to be guessed."""
    (project.path / "graphs").mkdir()
    for name in ("one", "two"):
        (project.path / "graphs" / f"{name}.toml").write_bytes((project.path / "asking.toml").read_bytes())
    project.runpytest("-o", "frames_graphs=graphs").stdout.fnmatch_lines(["*are both graph 'asking'*"])


@pytest.mark.parametrize("damage", ["a changed byte", "no seal", "empty"])
def test_a_golden_edited_by_hand_is_red(project: pytest.Pytester, damage: str) -> None:
    """A golden whose bytes were touched fails as the file that it is, without a traceback, and the index says so too."""
    path = project.path / "goldens" / "hello.trace.jsonl"
    whole = path.read_bytes()
    lines = {
        "a changed byte": whole.replace(b"How are", b"How were", 1),
        "no seal": whole[: whole.rindex(b"\n", 0, -1) + 1],
        "empty": b"",
    }
    path.write_bytes(lines[damage])
    result = project.runpytest()
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["golden goldens/hello.trace.jsonl was changed without a review:*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_words_from_outside_do_nothing_to_the_terminal(project: pytest.Pytester) -> None:
    """What a user or a model said is shown with its control characters as numbers."""
    edit(project, "agent.py", '"Answer: ', '"\\x1b[2J\\u202eAnswer: ')
    result = project.runpytest()
    result.assert_outcomes(failed=2, passed=1)
    text = result.stdout.str()
    assert "\\x1b[2J\\u202eAnswer: reply to hello" in text
    assert "\x1b[2J" not in text


def test_an_update_writes_pending_goldens_only(project: pytest.Pytester) -> None:
    """With --frames-update a golden that diverges stays red and as it is; its pending one stands beside it and replays."""
    change(project)
    before = {path.name: path.read_bytes() for path in (project.path / "goldens").iterdir()}
    result = project.runpytest("--frames-update")
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(["  written: goldens/bye.trace.pending.jsonl", "  try: frameengine snapshot review goldens"])
    after = {path.name: path.read_bytes() for path in (project.path / "goldens").iterdir()}
    assert {name: after[name] for name in before} == before
    assert sorted(after.keys() - before.keys()) == ["bye.trace.pending.jsonl", "hello.trace.pending.jsonl"]
    for name in ("bye", "hello"):
        Path(project.path / "goldens" / f"{name}.trace.pending.jsonl").rename(project.path / "goldens" / f"{name}.trace.jsonl")
    approve(project, "bye.trace.jsonl", "hello.trace.jsonl")
    project.runpytest().assert_outcomes(passed=3)


def test_an_update_that_writes_nothing_names_the_pending_golden_of_before(project: pytest.Pytester) -> None:
    """One that is left from an earlier run is not taken for what the code gives now."""
    edit(project, "agent.py", "Please answer", "Do answer")
    (project.path / "goldens" / "bye.trace.pending.jsonl").write_text("x", encoding="utf-8")
    result = project.runpytest("goldens/bye.trace.jsonl", "--frames-update")
    result.stdout.fnmatch_lines(["  no pending golden: *; goldens/bye.trace.pending.jsonl is still there, of an earlier run"])


def test_an_update_that_needs_a_reply_says_so(project: pytest.Pytester) -> None:
    """Where the changed agent asks something new, no pending golden is written, and the command that takes replies is named."""
    edit(project, "agent.py", "Please answer", "Do answer")
    result = project.runpytest("--frames-update")
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(
        ["  no pending golden: *", "  try: frameengine rerun --update goldens/bye.trace.jsonl --graph asking.toml"]
    )
    assert not list((project.path / "goldens").glob("*pending*"))


@pytest.mark.parametrize("value", ["true", "1"])
def test_an_update_is_refused_in_ci(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """With CI set, --frames-update ends the session before anything is run or written."""
    change(project)
    monkeypatch.setenv("CI", value)
    result = project.runpytest("--frames-update")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--frames-update is refused where CI is set*"])
    assert not list((project.path / "goldens").glob("*pending*"))
