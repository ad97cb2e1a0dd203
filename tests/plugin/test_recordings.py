"""Real recordings as goldens: conversations of people with a model and its tools."""

from __future__ import annotations

import lzma
from itertools import islice
from pathlib import Path

import pytest

from frameengine.golden import pending_path, unsettled
from frameengine.importers.openai import import_messages, read_conversations
from frameengine.review import Decision, approve_all, candidate, commit, reviewing

pytestmark = pytest.mark.data
COUNT = 12


@pytest.fixture
def goldens(pytester: pytest.Pytester, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of approved goldens made of recorded conversations."""
    monkeypatch.delenv("CI", raising=False)
    folder = pytester.mkdir("goldens")
    data = lzma.decompress((data_dir / "tau-bench" / "gpt-4o-airline.jsonl.xz").read_bytes())
    for number, conversation in enumerate(islice(read_conversations(data, "tau-bench"), COUNT)):
        import_messages(conversation, folder / f"talk-{number}.trace.jsonl")
    approve_all(folder)
    return folder


def test_real_conversations_replay_as_tests(goldens: Path, pytester: pytest.Pytester) -> None:
    """Each recorded conversation is a test that passes; put in another's place it still replays, and the index says so."""
    pytester.runpytest("goldens").assert_outcomes(passed=COUNT + 1)
    (goldens / "talk-0.trace.jsonl").write_bytes((goldens / "talk-1.trace.jsonl").read_bytes())
    result = pytester.runpytest("goldens")
    result.assert_outcomes(passed=COUNT, failed=1)
    result.stdout.fnmatch_lines(["golden goldens/talk-0.trace.jsonl was changed without a review:*"])


def test_another_conversation_can_be_judged_frame_by_frame(goldens: Path, pytester: pytest.Pytester) -> None:
    """With another real conversation pending, each frame that differs is a part; accepted one by one, the last takes the file."""
    golden = goldens / "talk-0.trace.jsonl"
    pending = pending_path(golden)
    wanted = (goldens / "talk-1.trace.jsonl").read_bytes()
    pending.write_bytes(wanted)
    count = len(candidate(pending).parts)
    assert count > 3
    for left in range(count, 0, -1):
        with reviewing([pending]):
            one = candidate(pending)
            assert len(one.open) == left
            seen = one.seen | {one.open[0].digest}
            commit([Decision(candidate=one, verdict="accepted" if left == 1 else "later", seen=seen)])
    assert golden.read_bytes() == wanted
    assert unsettled(goldens) == []
    pytester.runpytest("goldens").assert_outcomes(passed=COUNT + 1)
