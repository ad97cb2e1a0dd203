"""Edits of one field, anywhere in a trace: told by exactly that pointer, and the same from both sides."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from attrs import frozen

from documents import edited, patched, plain, write
from frameengine.codec import written
from frameengine.diff.compare import compare
from frameengine.diff.result import Spot
from frameengine.jsonvalue import MISSING, Json, pointer_step, thaw
from frameengine.trace.reader import read_header
from frameengine.trace.verify import verify
from rebuild import rebuild
from sample_traces import record as record_sample
from toy import random_run

RECORDS = ("input", "output", "emissions", "changes", "condition", "error", "calls")
CASES = 1_000
QUICK = 30


@frozen(kw_only=True)
class Place:
    """A place of a document that may be edited freely."""

    spot: Spot
    """Of the record that it stands in."""
    pointer: str
    """Pointer within the record."""
    parent: Any
    """The object or list that it is a part of."""
    step: Any
    """Its name or index there."""


def places(whole: dict[str, Any]) -> Iterator[Place]:
    """Yield every place that can be edited so that the trace remains one."""
    number = 0
    for message in whole["messages"]:
        number += 1
        here = number
        yield from below(message["input"]["data"], Spot(input=here, frame=0), "/input/data", shallow=True)
        for frame, items in enumerate(message["frames"], start=1):
            for item in items:
                if "entered" in item:
                    number += 1
                    continue
                spot = Spot(input=here, frame=frame, node=item["node"])
                for name in RECORDS:
                    if name == "calls":
                        for index, call in enumerate(item.get("calls", ())):
                            yield from calls(call, spot, f"/calls/{index}")
                    elif name in item:
                        yield from below(item[name], spot, f"/{name}", shallow=name in ("emissions", "changes", "error"))


def calls(call: dict[str, Any], spot: Spot, pointer: str) -> Iterator[Place]:
    """Yield the places of a call."""
    request, value = call["request"], call["outcome"].get("value", {})
    for name in ("messages", "params", "arguments"):
        if name in request:
            yield from below(request[name], spot, f"{pointer}/request/{name}", shallow=name == "messages")
    for name in ("message", "usage", "content"):
        if isinstance(value.get(name), dict | list):
            yield from below(value[name], spot, f"{pointer}/outcome/value/{name}")


def below(value: Any, spot: Spot, pointer: str, *, shallow: bool = False) -> Iterator[Place]:
    """Yield all places in a value; with *shallow* not its own members, whose form is the format's."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in members:
        place = f"{pointer}/{pointer_step(str(step))}"
        if not shallow:
            yield Place(spot=spot, pointer=place, parent=value, step=step)
        deep = shallow and isinstance(value, list) and pointer.startswith(("/emissions", "/changes"))
        yield from below(item, spot, place, shallow=deep)


def spoil(place: Place, chance: Random) -> tuple[str, Json, Json] | None:
    """Edit a document at a place; return the pointer that must be told with both values, None where there is no telling."""
    parent, step = place.parent, place.step
    old = copy.deepcopy(parent[step])
    kind = chance.choice(["replace", "delete", "insert"])
    base = place.pointer.rpartition("/")[0]
    if kind == "replace" and not isinstance(old, dict | list):
        new = chance.choice([f"edited {chance.random()}", chance.randint(10**6, 10**9), chance.random(), None, True])
        if written(new) == written(old):
            return None
        parent[step] = new
        return place.pointer, old, new
    if isinstance(parent, list):
        if kind == "insert":
            parent.insert(step, {"inserted": chance.random()})
            return place.pointer, MISSING, parent[step]
        if old in (parent[step - 1 : step] + parent[step + 1 : step + 2]):
            # Of two that are equal, nobody can say which one went.
            return None
        del parent[step]
        return place.pointer, old, MISSING
    if kind == "insert":
        members = [*parent.items()]
        members.insert(chance.randint(0, len(members)), ("in/serted~", chance.random()))
        parent.clear()
        parent.update(members)
        return f"{base}/in~1serted~0", MISSING, parent["in/serted~"]
    del parent[step]
    return place.pointer, old, MISSING


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return traces of random runs, with branches, epilogues, late inputs, cancels and failures, and a conversation."""
    folder = tmp_path_factory.mktemp("bases")
    paths = [folder / f"{seed}.trace.jsonl" for seed in range(12)]
    for seed, path in enumerate(paths):
        random_run(path, seed, most=4)
    return [*paths, record_sample(folder / "talk.trace.jsonl")]


def check_edits(bases: list[Path], folder: Path, seeds: range) -> int:
    """Edit one field for each seed, and compare from both sides; return how many were edited."""
    documents = [plain(path) for path in bases]
    target = folder / "edited.trace.jsonl"
    done = 0
    for seed in seeds:
        chance = Random(seed)
        index = chance.randrange(len(bases))
        whole = copy.deepcopy(documents[index])
        place = chance.choice(list(places(whole)))
        expected = spoil(place, chance)
        if expected is None:
            continue
        try:
            write(target, read_header(bases[index]), whole)
        except (KeyError, TypeError, AttributeError):
            # The edit took away what makes it a message.
            continue
        if plain(target) != whole:
            # What is empty now is not written.
            continue
        found = compare(bases[index], target)
        told = [(change.left, change.right, change.kind, field) for change in found.changes for field in change.fields]
        assert len(found.changes) == len(told) == 1, (seed, place.pointer, found.changes)
        left, right, kind, field = told[0]
        assert (left, right, kind) == (place.spot, place.spot, "changed"), seed
        values = tuple(side if side is MISSING else thaw(side) for side in (field.left, field.right))
        assert (field.pointer, *values) == expected, seed
        mirror = compare(target, bases[index])
        assert mirror.mirrored().changes == found.changes, seed
        assert patched(documents[index], found.patch) == whole, seed
        assert patched(whole, mirror.patch) == documents[index], seed
        done += 1
    return done


def test_an_edit_of_one_field_is_told_by_its_pointer(bases: list[Path], tmp_path: Path) -> None:
    """D11: a scalar, member or item changed, taken out or put in is told alone, at its place, and mirrored on the other side."""
    assert check_edits(bases, tmp_path, range(QUICK)) > QUICK * 0.8


@pytest.mark.nightly
def test_a_thousand_edits_of_one_field_are_told_by_their_pointers(bases: list[Path], tmp_path: Path) -> None:
    """D11: the same a thousand times."""
    assert check_edits(bases, tmp_path, range(QUICK, QUICK + CASES + CASES // 3)) >= CASES


def test_a_trace_does_not_differ_from_itself(bases: list[Path], tmp_path: Path) -> None:
    """D11: a trace is the same as its copy with everything in place, and as one written again from its document."""
    target = tmp_path / "again.trace.jsonl"
    for path in bases[5:]:
        documents = plain(path)
        for made in (lambda path=path: rebuild(path, target), lambda path=path: edited(path, target, lambda _: None)):
            made()
            found = compare(path, target)
            assert (found.verdict, found.changes, found.patch, found.unmatched) == ("same", (), (), ())
            assert plain(target) == documents
        assert verify(target).counts == verify(path).counts
        assert compare(path, path).verdict == "same"
