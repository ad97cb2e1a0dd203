"""Frames that were deleted, inserted, renamed, moved or repeated in real recordings: each is named, and nothing else."""

from __future__ import annotations

import copy
import json
import lzma
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import pytest

from documents import patched, plain, write
from frameengine.codec import written
from frameengine.diff.compare import compare
from frameengine.diff.result import Change, Spot, TraceDiff
from frameengine.importers.openai import import_messages, read_conversations
from frameengine.trace.reader import read_header

pytestmark = pytest.mark.data
Told: TypeAlias = tuple[str, Spot | None, Spot | None]
EDITS = ("deleted", "inserted", "renamed", "moved", "repeated")
CASES = 1_000
QUICK = 30


@pytest.fixture(scope="module")
def recordings(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], Path]:
    """Return the 100 conversations of tau-bench as traces, by task and trial."""
    folder = tmp_path_factory.mktemp("tau-bench")
    data = lzma.decompress((data_dir / "tau-bench" / "gpt-4o-airline.jsonl.xz").read_bytes())
    found = {}
    for line, conversation in zip(data.splitlines(), read_conversations(data), strict=True):
        about = json.loads(line)
        path = folder / f"{about['task_id']}-{about['trial']}.trace.jsonl"
        import_messages(conversation, path)
        found[about["task_id"], about["trial"]] = path
    assert len(found) == 100
    return found


class Edited:
    """A document whose frames are edited one by one, far enough from each other that each edit can be told alone."""

    def __init__(self, whole: dict[str, Any], chance: Random) -> None:
        self.whole = copy.deepcopy(whole)
        self._chance = chance
        self._frames: list[tuple[int, list[Any]]] = [
            (number, [(frame, index, "") for index, frame in enumerate(message["frames"], start=1)])
            for number, message in enumerate(self.whole["messages"], start=1)
        ]
        known = Counter(written(frame) for message in whole["messages"] for frame in message["frames"])
        self._unique = {form for form, count in known.items() if count == 1}

    def edit(self, kind: str) -> bool:
        """Make one edit where it can be told apart from others; return whether there was such a place."""
        places = [(frames, at) for _, frames in self._frames for at in range(len(frames)) if self._is_free(frames, at)]
        self._chance.shuffle(places)
        return any(getattr(self, f"_{kind}")(frames, at) for frames, at in places)

    def _is_free(self, frames: list[Any], at: int) -> bool:
        near = frames[max(at - 1, 0) : at + 2]
        return all(mark == "" for _, _, mark in near) and written(frames[at][0]) in self._unique

    def _deleted(self, frames: list[Any], at: int) -> bool:
        frame, index, _ = frames[at]
        frames[at] = (None, index, "removed")
        return frame is not None

    def _inserted(self, frames: list[Any], at: int) -> bool:
        new = copy.deepcopy(frames[at][0])
        new[0]["input"]["inserted"] = self._chance.random()
        frames.insert(at, (new, 0, "added"))
        return True

    def _renamed(self, frames: list[Any], at: int) -> bool:
        frame, index, _ = frames[at]
        frame[0]["node"] += "_renamed"
        frames[at] = (frame, index, "renamed")
        return True

    def _moved(self, frames: list[Any], at: int) -> bool:
        # Over two others at least: of two that change places nobody can say which one moved.
        targets = [to for to in range(len(frames)) if abs(to - at) > 2 and self._is_free(frames, to)]
        if not targets:
            return False
        to = self._chance.choice(targets)
        frame, index, _ = frames[at]
        frames[at] = (None, index, "gone")
        frames.insert(to + (to > at), (frame, index, "moved"))
        return True

    def _repeated(self, frames: list[Any], at: int) -> bool:
        # Not beside itself: of two that are equal and side by side nobody can say which one is new.
        targets = [place for place in range(len(frames) + 1) if not at - 1 <= place <= at + 1]
        to = self._chance.choice(targets) if targets else at
        if not targets or any(mark for _, _, mark in frames[max(to - 1, 0) : to + 1]):
            return False
        # No other edit of this one: repeated and then deleted, it was moved.
        self._unique.discard(written(frames[at][0]))
        frames.insert(to, (copy.deepcopy(frames[at][0]), 0, "repeated"))
        return True

    def done(self) -> tuple[dict[str, Any], Counter[Told]]:
        """Return the document, and what must be told."""
        told: Counter[Told] = Counter()
        for (number, frames), message in zip(self._frames, self.whole["messages"], strict=True):
            message["frames"] = [frame for frame, _, _ in frames if frame is not None]
            place = 0
            for frame, index, mark in frames:
                place += frame is not None
                if mark in ("", "gone"):
                    continue
                node = "" if frame is None else frame[0]["node"]
                old = node.removesuffix("_renamed")
                here = Spot(input=number, frame=index, node=old) if index else None
                there = Spot(input=number, frame=place, node=node)
                told[mark, here, None if mark == "removed" else there] += 1
        return self.whole, told


def nodes_of(whole: dict[str, Any], told: Counter[Told]) -> Counter[Told]:
    """Return what must be told with the names of removed nodes, which stand in the document from before."""
    named: Counter[Told] = Counter()
    for (kind, here, there), count in told.items():
        where = here
        if kind == "removed" and here is not None:
            record = whole["messages"][here.input - 1]["frames"][here.frame - 1][0]
            where = Spot(input=here.input, frame=here.frame, node=record["node"])
        named[kind, where, there] += count
    return named


def structure(found: TraceDiff) -> Counter[Told]:
    """Return what was told of frames."""
    return Counter((change.kind, change.left, change.right) for change in found.changes if change.spot.frame)


def figures(found: TraceDiff) -> Iterator[Change]:
    """Return what was told of figures."""
    return (change for change in found.changes if not change.spot.frame)


def check_cases(recordings: dict[tuple[int, int], Path], folder: Path, seeds: range) -> int:
    """Edit 1 to 3 frames for each seed and compare; return how many edits were told."""
    paths = list(recordings.values())
    target = folder / "edited.trace.jsonl"
    edits = 0
    for seed in seeds:
        chance = Random(seed)
        path = paths[seed % len(paths)]
        whole = plain(path)
        editing = Edited(whole, chance)
        edits += sum(editing.edit(chance.choice(EDITS)) for _ in range(chance.randint(1, 3)))
        after, told = editing.done()
        write(target, read_header(path), after)
        found = compare(path, target)
        assert structure(found) == nodes_of(whole, told), seed
        assert not any(change.fields for change in found.changes if change.spot.frame), seed
        for change in figures(found):
            assert change.follows, seed
            assert {field.pointer for field in change.fields} <= {"/figures/total_frames", "/figures/frames", "/figures/calls"}
        mirror = compare(target, path)
        assert mirror.mirrored().changes == found.changes, seed
        assert patched(whole, found.patch) == plain(target), seed
    return edits


def test_each_edit_of_a_frame_is_named_and_no_other(recordings: dict[tuple[int, int], Path], tmp_path: Path) -> None:
    """Of recordings with one to three frames edited, the edits are told as what they are, and at their places."""
    assert check_cases(recordings, tmp_path, range(QUICK)) > QUICK


@pytest.mark.nightly
def test_a_thousand_edits_of_frames_are_named(recordings: dict[tuple[int, int], Path], tmp_path: Path) -> None:
    """The same for a thousand cases."""
    assert check_cases(recordings, tmp_path, range(CASES)) > CASES


def trials(recordings: dict[tuple[int, int], Path]) -> list[tuple[Path, Path]]:
    """Return the pairs of trials of one task."""
    pairs = [(one, other) for one, other in combinations(sorted(recordings), 2) if one[0] == other[0]]
    assert len(pairs) == 150
    return [(recordings[one], recordings[other]) for one, other in pairs]


def check_pairs(pairs: list[tuple[Path, Path]]) -> None:
    """Compare pairs from both sides: complete, mirrored, and never the same."""
    for left, right in pairs:
        found, mirror = compare(left, right), compare(right, left)
        assert found.verdict == mirror.verdict == "differs"
        assert found.first is not None
        assert not found.first.follows
        assert mirror.mirrored().changes == found.changes
        assert mirror.mirrored().messages == found.messages
        assert mirror.cause == found.cause
        one, other = plain(left), plain(right)
        assert patched(one, found.patch) == other
        assert patched(other, mirror.patch) == one


def test_trials_of_one_task_differ_completely_told(recordings: dict[tuple[int, int], Path]) -> None:
    """A share of the pairs of trials: what is told makes one trial out of the other, in both directions."""
    check_pairs(trials(recordings)[::25])


@pytest.mark.nightly
def test_all_trials_of_one_task_differ_completely_told(recordings: dict[tuple[int, int], Path]) -> None:
    """All 150 pairs."""
    check_pairs(trials(recordings))
