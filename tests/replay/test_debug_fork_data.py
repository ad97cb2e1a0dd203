"""Real recordings of another system are forked: one tool result is another one, and what follows from it is named."""

from __future__ import annotations

import lzma
from collections import Counter
from pathlib import Path

import pytest

from frameengine.debug.edit import EditReply, parse_edit
from frameengine.debug.fork import compare, fork
from frameengine.debug.place import Place
from frameengine.debug.timeline import Timeline
from frameengine.importers.openai import Conversation, import_messages, read_conversations
from frameengine.replay.replayer import Replayer
from frameengine.trace.messages import Made
from frameengine.trace.verify import verify

pytestmark = pytest.mark.data


def tau_bench(folder: Path) -> list[Conversation]:
    """Return the 100 conversations."""
    data = lzma.decompress((folder / "tau-bench" / "gpt-4o-airline.jsonl.xz").read_bytes())
    return list(read_conversations(data, "tau-bench"))


def results(timeline: Timeline) -> list[tuple[Place, int]]:
    """Return place and position of every tool result, from 1 in its frame."""
    found = []
    for index in range(timeline.places):
        place = timeline.place(index)
        effects = timeline.effects(place) if place.frame else ()
        found += [(place, number) for number, made in enumerate(effects, 1) if made.effect == "tool"]
    return found


def edited(conversation: Conversation, number: int, folder: Path) -> Counter[str]:
    """Edit one result of a conversation, or one reply where it has none, fork by both policies, and check what came of it."""
    path = folder / f"{number}.trace.jsonl"
    import_messages(conversation, path)
    timeline = Timeline(path)
    there = results(timeline)
    place, position = there[number % len(there)] if there else (Place(2, 1), 1)
    edit = parse_edit(timeline, place, f"{'result' if there else 'reply'} {position}", '{"status": "lost in a fork"}')
    assert isinstance(edit, EditReply)

    exact = fork(timeline, [edit], path.with_name(f"{number}.exact"))
    later = [made.key for made in calls(timeline) if made.key > edit.key and made.effect == "model"]
    # The conversation stands in every later request, so each of them is another one, and nothing else is.
    assert [miss.call.key for miss in exact.needed] == later
    assert all("lost in a fork" in str(miss.call.effect) for miss in exact.needed)
    assert (exact.path, exact.rerun.head) == (None, None)

    forked = fork(timeline, [edit], path.with_name(f"{number}.slot"), policy="slot")
    assert forked.path is not None
    assert Replayer(forked.path).run().verdict == "same"
    assert verify(forked.path).counts == forked.counts == verify(path).counts
    found = compare(path, forked.path)
    assert found.first is not None
    spot = found.first.spot
    assert (found.cause, spot.input, spot.frame, spot.node) == ("edit", *edit.key[:3])
    assert [change for change in found.changes if not change.follows] == [found.first]
    asked = {(change.spot.input, change.spot.frame) for change in found.following if change.effect == "model"}
    assert asked == {(key.input, key.frame) for key in later}
    return Counter(conversations=1, results=bool(there), needed=len(exact.needed), following=len(found.following))


def calls(timeline: Timeline) -> list[Made]:
    """Return every call of a run, in order."""
    return [made for index in range(timeline.places) for made in timeline.effects(timeline.place(index))]


def test_five_real_recordings_are_forked(data_dir: Path, tmp_path: Path) -> None:
    """In five recordings one result is edited: the first difference is there, and every later question follows from it."""
    counts: Counter[str] = Counter()
    for number, conversation in enumerate(tau_bench(data_dir)[:100:20]):
        counts += edited(conversation, number, tmp_path)
    assert counts["conversations"] == 5
    assert counts["following"] > 0


@pytest.mark.nightly
def test_all_real_recordings_are_forked(data_dir: Path, tmp_path: Path) -> None:
    """The same in all 100 of them; nine have no result, and a reply is edited there."""
    counts: Counter[str] = Counter()
    for number, conversation in enumerate(tau_bench(data_dir)):
        counts += edited(conversation, number, tmp_path)
    assert (counts["conversations"], counts["results"]) == (100, 91)
