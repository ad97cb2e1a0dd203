"""The fixtures of the plugin: scripted models, runs, and snapshots of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

TEST = """
def test_it(frames_run, scripted_model, frames_snapshot):
    run = frames_run("asking.toml", ["How are you?", "Good bye!"], scripted_model(ask=["fine", "bye"]))
    assert run == frames_snapshot
"""
GOLDEN = "__goldens__/test_snap/test_it.trace.jsonl"
PENDING = "__goldens__/test_snap/test_it.trace.pending.jsonl"
VALUE_TEST = """
def test_it(frames_snapshot):
    assert {"total": 3, "names": ["a", "b"]} == frames_snapshot
"""


@pytest.fixture
def snapped(project: pytest.Pytester) -> pytest.Pytester:
    """Return the project with one test of a snapshot, whose golden was accepted, and without other goldens."""
    (project.path / "pytest.ini").write_text("[pytest]\npythonpath = .\n", encoding="utf-8")
    project.makepyfile(test_snap=TEST)
    assert "snapshot unused" not in project.runpytest("test_snap.py", "--frames-update").stdout.str()
    (project.path / PENDING).rename(project.path / GOLDEN)
    return project


def edit(path: Path, old: str, new: str) -> None:
    """Change a file."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_run_is_recorded_and_sealed(project: pytest.Pytester) -> None:
    """A run with written replies gives a sealed trace with its figures, several of them one file each; it replays."""
    project.makepyfile(
        """
        from pathlib import Path
        from frameengine.replay.replayer import Replayer
        from frameengine.trace.verify import verify

        def test_it(frames_run, scripted_model):
            one = frames_run("asking.toml", ["How are you?"], scripted_model({"ask": ["fine"]}))
            other = frames_run("asking.toml", ["Good bye!"], scripted_model(ask=["bye"]))
            assert Path(one) != Path(other)
            assert [(trace.status, trace.frames, trace.calls) for trace in one.traces] == [("done", 1, 1)]
            assert verify(one.path).counts.inputs == 1
            assert Replayer(one.path, trust=True).run().verdict == "same"
        """
    )
    project.runpytest("-k", "test_it").assert_outcomes(passed=1, deselected=3)


def test_tools_answer_by_script_and_scenarios_bring_everything(project: pytest.Pytester) -> None:
    """Results of tools are written beside the replies; a scenario needs nothing besides."""
    (project.path / "scene.toml").write_text(
        'graph = "asking.toml"\n[[inputs]]\ntype = "UserMessage"\ntext = "Hello"\n[model]\nask = ["hi"]\n', encoding="utf-8"
    )
    project.makepyfile(
        """
        from frameengine.scenario import load_scenario

        CALL = {"role": "assistant", "content": None, "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "find", "arguments": "{}"}}]}

        def test_tools(frames_run, scripted_model):
            performer = scripted_model(model=[CALL, "found"], tools={"tools": [{"rows": 1}]})
            assert frames_run("tool-loop", ["Find it"], performer).traces[0].calls == 3

        def test_scenario(frames_run):
            assert frames_run(load_scenario("scene.toml")).traces[0].status == "done"
        """
    )
    project.runpytest("-k", "test_tools or test_scenario").assert_outcomes(passed=2, deselected=3)


@pytest.mark.parametrize(
    ("said", "replies", "message"),
    [
        ('["Hello"]', '["one", "two"]', "*scripted answers nobody asked for: 1 of 'ask'*"),
        ('["Hello", "Again"]', '["one"]', "*the script has 1 answers for node 'ask'*"),
        ("[]", "[]", "*a run needs inputs, and a performer that answers*"),
    ],
    ids=["left over", "missing", "nothing said"],
)
def test_replies_must_come_out_even(project: pytest.Pytester, said: str, replies: str, message: str) -> None:
    """A reply that nobody asked for, one that is missing, and a run of nothing fail the test."""
    project.makepyfile(
        f'def test_it(frames_run, scripted_model):\n    frames_run("asking.toml", {said}, scripted_model(ask={replies}))\n'
    )
    result = project.runpytest("-k", "test_it")
    assert result.ret == 1
    result.stdout.fnmatch_lines([message])


def test_a_reply_that_is_left_over_fails_even_without_a_run(project: pytest.Pytester) -> None:
    """A scripted model that nobody used is noticed when the test ends."""
    project.makepyfile("def test_it(scripted_model):\n    scripted_model(ask=['never asked'])\n")
    project.runpytest("-k", "test_it").assert_outcomes(passed=1, errors=1, deselected=3)


def test_a_snapshot_that_is_the_same_passes(snapped: pytest.Pytester) -> None:
    """A run that recorded the same passes, and leaves the golden as it is, byte for byte, whatever its header says."""
    before = (snapped.path / GOLDEN).read_bytes()
    snapped.runpytest("test_snap.py").assert_outcomes(passed=1)
    edit(snapped.path / "agent.py", "class Ask:", "UNUSED = 1\n\n\nclass Ask:")
    snapped.runpytest("test_snap.py", "--frames-update").assert_outcomes(passed=1)
    assert (snapped.path / GOLDEN).read_bytes() == before
    assert not (snapped.path / PENDING).exists()


def test_a_snapshot_that_differs_says_where(snapped: pytest.Pytester) -> None:
    """The assertion names frame, node, field and both values, and what to do; the golden stays as it is."""
    before = (snapped.path / GOLDEN).read_bytes()
    edit(snapped.path / "agent.py", "Answer:", "It said:")
    result = snapped.runpytest("test_snap.py")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            f"E*assert run == golden {GOLDEN}",
            "E*  1.1 ask changed: /emissions/0/1/text",
            "E*  golden Answer: fine",
            "E*  now    It said: fine",
            "E*  cause  node code*",
            "E*  try: the same with --frames-update, then frameengine snapshot review",
            "E*  2.1 ask changed: /emissions/0/1/text",
        ]
    )
    assert (snapped.path / GOLDEN).read_bytes() == before


def test_an_update_writes_a_pending_snapshot(snapped: pytest.Pytester) -> None:
    """With --frames-update the test stays red, and the new trace stands beside the golden; syrupy's own update writes nothing."""
    before = (snapped.path / GOLDEN).read_bytes()
    edit(snapped.path / "agent.py", "Answer:", "It said:")
    snapped.runpytest("test_snap.py", "--snapshot-update").assert_outcomes(failed=1)
    assert not (snapped.path / PENDING).exists()
    snapped.runpytest("test_snap.py", "--frames-update").assert_outcomes(failed=1)
    assert (snapped.path / GOLDEN).read_bytes() == before
    (snapped.path / PENDING).replace(snapped.path / GOLDEN)
    snapped.runpytest("test_snap.py").assert_outcomes(passed=1)


def test_a_missing_snapshot_is_red(snapped: pytest.Pytester) -> None:
    """A test without its golden fails and names it, and nothing is written."""
    (snapped.path / GOLDEN).unlink()
    result = snapped.runpytest("test_snap.py")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"E*assert run == golden {GOLDEN}", "E*there is no such golden"])
    assert not (snapped.path / PENDING).exists()


def test_an_unused_snapshot_is_red(snapped: pytest.Pytester) -> None:
    """A golden that no test compares with makes the session fail though every test passes."""
    (snapped.path / GOLDEN).with_name("test_gone.trace.jsonl").write_bytes((snapped.path / GOLDEN).read_bytes())
    result = snapped.runpytest("test_snap.py")
    assert result.ret == 1
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*1 snapshot unused*"])


@pytest.mark.parametrize("used", [True, False], ids=["used", "used no more"])
@pytest.mark.parametrize("way", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_an_update_of_other_snapshots_deletes_no_golden(snapped: pytest.Pytester, used: bool, way: tuple[str, ...]) -> None:
    """The own update of syrupy leaves goldens and pending ones alone, unused ones too, beside snapshots of its own."""
    folder = snapped.path / "__goldens__" / "test_snap"
    for name in ("test_gone.trace.jsonl", "test_it.trace.pending.jsonl", "test_gone.value.json"):
        (folder / name).write_text("x", encoding="utf-8")
    snapped.makepyfile(test_amber="def test_them(snapshot):\n    assert 1 == snapshot\n")
    if not used:
        snapped.makepyfile(test_snap="def test_it():\n    pass\n")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    result = snapped.runpytest_subprocess("test_snap.py", "test_amber.py", "--snapshot-update", *way)
    result.assert_outcomes(passed=2)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert (snapped.path / "__snapshots__" / "test_amber.ambr").exists()
    result.stdout.no_fnmatch_line("*deleted*")


def test_goldens_of_tests_that_are_left_out_are_not_unused(snapped: pytest.Pytester) -> None:
    """Tests that are not collected still own their goldens; tests that are gone do not."""
    snapped.makepyfile(test_more=VALUE_TEST.replace("test_it", "test_more"))
    shutil.rmtree(snapped.path / "goldens")
    snapped.runpytest("--frames-update")
    folder = snapped.path / "__goldens__" / "test_more"
    (folder / "test_more.value.pending.json").rename(folder / "test_more.value.json")
    assert snapped.runpytest().ret == 0
    assert snapped.runpytest("--ignore=test_more.py").ret == 0
    (snapped.path / "test_more.py").unlink()
    result = snapped.runpytest()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*1 snapshot unused*"])


def test_reordered_snapshots_are_red(project: pytest.Pytester) -> None:
    """Two assertions that change places no longer find what they were accepted for."""
    project.makepyfile(
        test_snap="def test_it(frames_snapshot):\n    assert 1 == frames_snapshot\n    assert 2 == frames_snapshot\n"
    )
    for name in ("test_it", "test_it.1"):
        project.runpytest("-k", "test_it", "--frames-update")
        folder = project.path / "__goldens__" / "test_snap"
        (folder / f"{name}.value.pending.json").rename(folder / f"{name}.value.json")
    project.runpytest("-k", "test_it").assert_outcomes(passed=1, deselected=3)
    edit(project.path / "test_snap.py", "assert 1", "assert 3")
    edit(project.path / "test_snap.py", "assert 2", "assert 1")
    edit(project.path / "test_snap.py", "assert 3", "assert 2")
    project.runpytest("-k", "test_it").assert_outcomes(failed=1, deselected=3)


@pytest.mark.parametrize("damage", ["edited", "torn"])
def test_a_snapshot_edited_by_hand_is_red(snapped: pytest.Pytester, damage: str) -> None:
    """A golden whose bytes were touched proves nothing, though what it says may be the same; no traceback of ours is shown."""
    path = snapped.path / GOLDEN
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"seed":0', b'"seed":1', 1) if damage == "edited" else whole[:-9])
    result = snapped.runpytest("test_snap.py")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*assert run == golden *", f"E*  {GOLDEN}: *", "E*  try: *"])
    result.stdout.no_fnmatch_line("*frameengine/trace/*")


def test_a_value_has_a_golden_of_its_own(project: pytest.Pytester) -> None:
    """A JSON value is kept as a file that people read, and the first place that differs is named."""
    project.makepyfile(test_value=VALUE_TEST)
    project.runpytest("-k", "test_it", "--frames-update").assert_outcomes(failed=1, deselected=3)
    folder = project.path / "__goldens__" / "test_value"
    assert json.loads((folder / "test_it.value.pending.json").read_text()) == {"total": 3, "names": ["a", "b"]}
    (folder / "test_it.value.pending.json").rename(folder / "test_it.value.json")
    project.runpytest("-k", "test_it").assert_outcomes(passed=1, deselected=3)
    edit(project.path / "test_value.py", '"b"', '"\\x1b[31mc"')
    result = project.runpytest("-k", "test_it")
    result.assert_outcomes(failed=1, deselected=3)
    result.stdout.fnmatch_lines(["E*/names/1", "E*golden b", "E*now    *x1b*31mc"])
    assert "\x1b[31mc" not in result.stdout.str()


def test_snapshots_work_in_two_workers(snapped: pytest.Pytester) -> None:
    """What holds in one process holds where the tests are distributed."""
    snapped.runpytest_subprocess("test_snap.py", "-n", "2").assert_outcomes(passed=1)
    edit(snapped.path / "agent.py", "Answer:", "It said:")
    snapped.runpytest_subprocess("test_snap.py", "-n", "2").assert_outcomes(failed=1)


def test_a_snapshot_says_how_to_get_what_it_needs(project: pytest.Pytester) -> None:
    """Without syrupy the fixture fails with the line that installs it."""
    project.makeconftest("import sys\nsys.modules['syrupy.assertion'] = None\n")
    project.makepyfile("def test_it(frames_snapshot):\n    pass\n")
    result = project.runpytest_subprocess("-k", "test_it", "-p", "no:syrupy")
    result.assert_outcomes(errors=1, deselected=3)
    result.stdout.fnmatch_lines(["*frames_snapshot needs syrupy*pip install 'frameengine?test?'"])
