"""The review of pending goldens below its screens: candidates, decisions, and the one place where goldens are written."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import evolve

from cli_runs import JACKET, WEATHER, record_run
from frameengine import review
from frameengine.errors import StorageError, TraceError, TraceFormat, TraceIntegrity, TraceLocked, TraceNotFound, UsageError
from frameengine.golden import INDEX, digest_of, pending_path, read_index, unsettled, write_index
from frameengine.review import Decision, approve_all, candidate, commit, judged_path, pending_in, reviewing, unread

RAIN = (WEATHER[0], [*WEATHER[1][:-1], "Rain all day."])
BOOTS = (JACKET[0], ["No, but boots."])


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """Return an approved golden of two messages, with a pending one in which a reply of the first is another."""
    path = record_run(tmp_path / "goldens" / "weather.trace.jsonl", [WEATHER, JACKET])
    approve_all(path.parent)
    record_run(pending_path(path), [RAIN, JACKET])
    return path


def decide(golden: Path, verdict: review.Verdict, *places: str) -> None:
    """Decide about the pending golden as a reviewer does; *places* are the frames that are accepted of one that waits on."""
    with reviewing([pending_path(golden)]):
        one = candidate(pending_path(golden))
        seen = frozenset([part.digest for part in one.parts if part.place in places])
        commit([Decision(candidate=one, verdict=verdict, seen=one.seen | seen)])


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_candidate_has_a_part_for_each_frame_that_changed(golden: Path) -> None:
    """The frame with the other reply comes first, then all that follow from it; figures stand with the last frame of theirs."""
    parts = candidate(pending_path(golden)).parts
    assert [part.place for part in parts] == ["1.3", "1.4", "2.1"]
    assert not any(change.follows for change in parts[0].changes)
    assert all(change.follows for part in parts[1:] for change in part.changes)
    assert {change.spot.frame for change in parts[1].changes} == {4, 0}


def test_an_accepted_golden_is_in_place_and_listed(golden: Path) -> None:
    """The golden is the pending one, byte for byte, the index says so, and nothing else is left."""
    wanted = pending_path(golden).read_bytes()
    decide(golden, "accepted")
    assert golden.read_bytes() == wanted
    assert sorted(contents(golden.parent)) == [INDEX, golden.name]
    assert unsettled(golden.parent) == []


def test_a_rejected_one_is_gone_and_the_golden_as_it_was(golden: Path) -> None:
    """The pending one is removed, with what was judged of it; golden and index stay."""
    before = contents(golden.parent)
    decide(golden, "later", "1.3")
    decide(golden, "rejected")
    assert contents(golden.parent) == {name: data for name, data in before.items() if "pending" not in name}


def test_what_was_accepted_is_remembered(golden: Path) -> None:
    """A file of which some frames were accepted stays pending, and the next review asks for the others only."""
    before = contents(golden.parent)
    decide(golden, "later", "1.3")
    assert [part.place for part in candidate(pending_path(golden)).open] == ["1.4", "2.1"]
    decide(golden, "later", "1.4")
    one = candidate(pending_path(golden))
    assert ([part.place for part in one.open], len(one.parts)) == (["2.1"], 3)
    assert {name: data for name, data in contents(golden.parent).items() if "judged" not in name} == before


def test_frames_that_come_out_the_same_stay_accepted_when_a_golden_is_made_anew(golden: Path) -> None:
    """What was accepted holds for what was seen: a pending one made again asks for the frames that are other, and no more."""
    decide(golden, "later", "1.3", "1.4", "2.1")
    pending_path(golden).unlink()
    record_run(pending_path(golden), [RAIN, BOOTS])
    assert [part.place for part in candidate(pending_path(golden)).open] == ["2.1", "2.2"]


def test_a_new_golden_is_listed_with_the_others(golden: Path) -> None:
    """A pending one without a golden is new, has no parts to judge, and is listed when it is accepted."""
    new = golden.with_name("new.trace.jsonl")
    record_run(pending_path(new), [JACKET])
    one = candidate(pending_path(new))
    assert (one.new, one.parts) == (True, ())
    pending_path(golden).unlink()
    decide(new, "accepted")
    assert sorted(read_index(golden.parent) or {}) == [new.name, golden.name]
    assert unsettled(golden.parent) == []


def test_without_an_index_none_is_made(golden: Path) -> None:
    """Snapshots of tests have no index: accepting one puts it in place, and no more."""
    (golden.parent / INDEX).unlink()
    decide(golden, "accepted")
    assert list(contents(golden.parent)) == [golden.name]


def test_a_golden_that_differs_in_no_frame_has_no_parts(golden: Path) -> None:
    """A pending one with another header only is judged as a file."""
    pending_path(golden).write_bytes(golden.read_bytes())
    one = candidate(pending_path(golden))
    assert (one.before == one.digest, one.parts) == (True, ())
    decide(golden, "accepted")
    assert unsettled(golden.parent) == []


@pytest.mark.parametrize("which", ["golden", "pending"])
@pytest.mark.parametrize("damage", ["edited", "torn", "empty"])
def test_a_file_edited_by_hand_is_refused(golden: Path, which: str, damage: str) -> None:
    """Neither a golden nor a pending one is looked at when its bytes were touched; both stay as they are."""
    path = golden if which == "golden" else pending_path(golden)
    whole = path.read_bytes()
    path.write_bytes({"edited": whole.replace(b"Bern", b"Kiel", 1), "torn": whole[:-7], "empty": b""}[damage])
    before = contents(golden.parent)
    with pytest.raises(TraceError) as caught:
        decide(golden, "accepted")
    assert caught.value.hint
    assert contents(golden.parent) == before


def test_a_golden_that_is_not_the_approved_one_is_refused(golden: Path) -> None:
    """A golden that was recorded again behind the index is whole, and refused all the same."""
    golden.unlink()
    record_run(golden, [BOOTS])
    with pytest.raises(TraceIntegrity, match="changed without a review"):
        candidate(pending_path(golden))


def test_a_golden_that_nobody_approved_is_no_baseline(golden: Path) -> None:
    """A golden that an index does not have is refused, however little the pending one changes of it."""
    new = record_run(golden.with_name("new.trace.jsonl"), [WEATHER, JACKET])
    record_run(pending_path(new), [WEATHER, BOOTS])
    with pytest.raises(TraceIntegrity, match="was approved by nobody") as caught:
        candidate(pending_path(new))
    assert "remove it" in caught.value.hint


def test_a_pending_golden_put_in_place_by_hand_is_new(golden: Path) -> None:
    """Copied over the golden it is judged whole, as if there had been none, and is listed when it is accepted."""
    assert not candidate(pending_path(golden)).new
    golden.write_bytes(pending_path(golden).read_bytes())
    one = candidate(pending_path(golden))
    assert (one.new, one.unapproved, one.parts) == (True, True, ())
    decide(golden, "accepted")
    assert unsettled(golden.parent) == []


def nested(golden: Path) -> Path:
    """Make the folder above the golden one with an index as well, and return it."""
    above = golden.parent.parent
    write_index(above, {f"{golden.parent.name}/{golden.name}": digest_of(golden)})
    return above


def test_every_index_above_is_written(golden: Path) -> None:
    """Where folders with an index stand in each other, an accepted golden is listed in all of them."""
    above = nested(golden)
    decide(golden, "accepted")
    assert unsettled(golden.parent) == unsettled(above) == []


def test_every_index_above_is_asked(golden: Path) -> None:
    """A golden that the nearest index has, and one above it has otherwise, is refused."""
    above = nested(golden)
    write_index(above, {f"{golden.parent.name}/{golden.name}": "0" * 64})
    with pytest.raises(TraceIntegrity, match="changed without a review"):
        candidate(pending_path(golden))


def test_a_golden_that_is_a_link_is_refused(golden: Path) -> None:
    """A review never puts a file in the place of a link; what it leads to stays as it is."""
    real = golden.rename(golden.parent.parent / "real.trace.jsonl")
    golden.symlink_to(real)
    with pytest.raises(UsageError, match="is a link") as caught:
        decide(golden, "accepted")
    assert str(real) in caught.value.hint
    assert golden.is_symlink()


@pytest.mark.parametrize("verdict", ["accepted", "rejected"])
def test_a_pending_golden_that_comes_meanwhile_stays(
    golden: Path, verdict: review.Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One made anew after the last look at it, before it would have been removed, waits for the next review."""
    other = record_run(golden.parent.parent / "other.trace.jsonl", [BOOTS])
    wanted = other.read_bytes()
    real = review._list_accepted

    def listing(accepted: list[review.Candidate]) -> None:
        real(accepted)
        other.replace(pending_path(golden))

    monkeypatch.setattr(review, "_list_accepted", listing)
    decide(golden, verdict)
    assert pending_path(golden).read_bytes() == wanted


@pytest.mark.parametrize("way", ["by its folder", "by its name", "by its golden"])
def test_a_pending_golden_that_leads_nowhere_can_be_rejected(golden: Path, way: str) -> None:
    """A link to a file that is gone is found, refused as a candidate with that way out, and removed when it is rejected."""
    pending = pending_path(golden)
    pending.unlink()
    pending.symlink_to(golden.parent / "gone")
    (found,) = pending_in([{"by its folder": golden.parent, "by its name": pending, "by its golden": golden}[way]])
    with pytest.raises(TraceNotFound, match="leads nowhere") as caught:
        candidate(found)
    assert f"snapshot reject {pending}" in caught.value.hint
    with reviewing([found]):
        commit([Decision(candidate=unread(found), verdict="rejected")])
    assert not pending.is_symlink()


def test_a_compressed_golden_is_not_approved(golden: Path) -> None:
    """A golden that could never have a pending one comes into no index, and the way out is told."""
    golden.with_name("b.trace.jsonl.zst").write_bytes(b"x")
    before = (golden.parent / INDEX).read_bytes()
    with pytest.raises(UsageError, match="is compressed") as caught:
        approve_all(golden.parent)
    assert "unpack it" in caught.value.hint
    assert (golden.parent / INDEX).read_bytes() == before


@pytest.mark.parametrize("which", ["golden", "pending"])
def test_what_changed_while_it_was_judged_is_not_written(golden: Path, which: str) -> None:
    """A decision holds for the bytes that were looked at: otherwise nothing is written, of no file."""
    other = golden.with_name("other.trace.jsonl")
    record_run(pending_path(other), [JACKET])
    paths = [pending_path(other), pending_path(golden)]
    with reviewing(paths):
        decisions = [Decision(candidate=candidate(path), verdict="accepted") for path in paths]
        changed = golden if which == "golden" else pending_path(golden)
        changed.unlink()
        record_run(changed, [BOOTS])
        before = contents(golden.parent)
        with pytest.raises(UsageError, match="changed while it was reviewed"):
            commit(decisions)
    assert contents(golden.parent) == before


KILLED = """
import os, signal, sys
from pathlib import Path
from frameengine import review
from frameengine.review import Decision, candidate, commit, reviewing

step, path = int(sys.argv[1]), Path(sys.argv[2])
real, count = os.fsync, 0

def dying(descriptor):
    global count
    count += 1
    if count == step:
        os.kill(os.getpid(), signal.SIGKILL)
    real(descriptor)

os.fsync = dying
with reviewing([path]):
    commit([Decision(candidate=candidate(path), verdict="accepted")])
"""


@pytest.mark.parametrize("step", range(1, 6))
def test_killed_at_any_step_nothing_is_lost(golden: Path, step: int) -> None:
    """Whenever the process dies, the golden is the old or the new one, whole, and accepting again ends where it would have."""
    old, new = golden.read_bytes(), pending_path(golden).read_bytes()
    done = subprocess.run([sys.executable, "-c", KILLED, str(step), str(pending_path(golden))], check=False)
    assert done.returncode == (-signal.SIGKILL if step < 5 else 0)
    assert golden.read_bytes() in (old, new)
    if step < 5:
        assert pending_path(golden).read_bytes() == new
        decide(golden, "accepted")
    assert golden.read_bytes() == new
    assert unsettled(golden.parent) == []


def test_a_second_reviewer_is_refused(golden: Path) -> None:
    """While one review is under way another in the same folder, or below the same index, is told who is at it."""
    below = golden.parent / "sub" / "b.trace.pending.jsonl"
    below.parent.mkdir()
    with reviewing([pending_path(golden)]):
        for path in (pending_path(golden), below):
            with pytest.raises(TraceLocked, match=f"being reviewed by process {os.getpid()}") as caught, reviewing([path]):
                pass
            assert caught.value.hint
        with reviewing([golden.parent.parent / "elsewhere.trace.pending.jsonl"]):
            pass
    with reviewing([pending_path(golden)]):
        pass


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_folder_that_cannot_be_written_to_is_named(golden: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """A read-only folder is refused before anybody judges, or when it turns read-only meanwhile; nothing changes in it."""
    before = contents(golden.parent)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    if when == "before":
        monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    else:
        monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StorageError) as caught:
        decide(golden, "accepted")
    assert "can be written to" in caught.value.hint
    assert contents(golden.parent) == before


def test_a_damaged_pending_golden_can_be_rejected(golden: Path) -> None:
    """What cannot be read can be removed all the same."""
    pending_path(golden).write_bytes(b"torn")
    with reviewing([pending_path(golden)]):
        commit([Decision(candidate=unread(pending_path(golden)), verdict="rejected")])
    assert not pending_path(golden).exists()


def test_memory_that_says_nothing_is_refused(golden: Path) -> None:
    """A broken file of accepted frames is no acceptance."""
    for text in ("", "[]", '{"accepted":1}'):
        judged_path(pending_path(golden)).write_text(text)
        with pytest.raises(TraceFormat, match="does not say what was judged"):
            candidate(pending_path(golden))


def test_pending_goldens_are_found_by_folder_file_and_golden(golden: Path) -> None:
    """A folder gives all below it, a file itself, a golden its own; each once. What is not pending is refused."""
    pending = pending_path(golden)
    record_run(golden.parent / "sub" / "b.trace.pending.jsonl", [JACKET])
    assert pending_in([golden.parent, golden, pending]) == [golden.parent / "sub" / "b.trace.pending.jsonl", pending]
    with pytest.raises(UsageError, match="nothing is pending there"):
        pending_in([golden.with_name("gone.trace.jsonl")])
    with pytest.raises(UsageError, match="is no golden"):
        pending_in([golden.parent / INDEX])


def test_an_index_is_written_from_proven_goldens_only(golden: Path) -> None:
    """What comes to be listed, changes and is struck off is told; a damaged golden keeps the index as it was."""
    record_run(golden.with_name("b.trace.jsonl"), [JACKET])
    assert approve_all(golden.parent) == {"b.trace.jsonl": "added"}
    assert approve_all(golden.parent) == {}
    golden.unlink()
    record_run(golden, [BOOTS])
    golden.with_name("b.trace.jsonl").rename(golden.with_name("c.trace.jsonl"))
    told = approve_all(golden.parent)
    assert told == {"b.trace.jsonl": "removed", "c.trace.jsonl": "added", golden.name: "changed"}
    before = (golden.parent / INDEX).read_bytes()
    golden.write_bytes(golden.read_bytes()[:-3])
    with pytest.raises(TraceError):
        approve_all(golden.parent)
    assert (golden.parent / INDEX).read_bytes() == before


def test_a_broken_index_can_be_written_anew(golden: Path) -> None:
    """The way out of an index that somebody edited is the one that its error names."""
    (golden.parent / INDEX).write_text("nonsense\n")
    with pytest.raises(TraceFormat):
        unsettled(golden.parent)
    pending_path(golden).unlink()
    approve_all(golden.parent)
    assert unsettled(golden.parent) == []


def test_a_part_is_known_by_all_that_a_judge_sees(golden: Path) -> None:
    """Another value, place or kind of change is another part: no acceptance carries over to it."""
    one, two, *_ = candidate(pending_path(golden)).parts
    field = one.changes[0].fields[0]
    others = [
        evolve(one, frame=9),
        evolve(one, input=9),
        evolve(one, changes=two.changes),
        evolve(one, changes=(evolve(one.changes[0], fields=(evolve(field, right="else"),)), *one.changes[1:])),
        evolve(one, changes=(evolve(one.changes[0], kind="moved"), *one.changes[1:])),
    ]
    assert len({part.digest for part in (one, *others)}) == 6
    assert one.digest == evolve(one).digest
    assert digest_of(golden) != digest_of(pending_path(golden))
