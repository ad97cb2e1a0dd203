"""Moves in any order stop where a slow model of counting says: ignored, once, switched off and on, forwards and backwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from attrs import define, evolve

from brute import POINTERS, POINTS, Spot, changed, spots
from frameengine.debug.breakpoints import Breakpoints
from frameengine.debug.debugger import Debugger
from frameengine.debug.place import START
from frameengine.debug.points import Point
from frameengine.debug.stop import Hit, Stop
from frameengine.debug.timeline import Timeline
from toy import random_run

MOVES = 120
SEEDS = 100
QUICK = 6


@define
class Counted:
    """What is known of a breakpoint or watchpoint in the model."""

    places: frozenset[str]
    """Where it holds, found the slow way."""
    ignore: int
    once: bool
    on: bool = True
    count: int = 0


class Model:
    """A list of places and some counters: what the moves of a debugger come to, without a debugger."""

    def __init__(self, found: list[Spot]) -> None:
        self.places = ["start", *[str(spot.place) for spot in found]]
        self.messages = [0, *[spot.place.message for spot in found]]
        self.at = 0
        self.points: dict[int, Counted] = {}

    def move(self, done: Callable[[int], bool], *, back: bool) -> tuple[str, str, list[int]]:
        """Go on until something stops, *done* says so, or there is no more; return reason, place, and numbers of what stopped."""
        while 0 <= self.at + (way := -1 if back else 1) < len(self.places):
            self.at += way
            met = self.met(self.places[self.at])
            if met:
                return "hit", self.places[self.at], met
            if done(self.at):
                return "place", self.places[self.at], []
        return "start" if back else "end", self.places[self.at], []

    def met(self, place: str) -> list[int]:
        """Count what holds at a place; return what of it stops."""
        stopping = []
        for number, point in list(self.points.items()):
            if not point.on or place not in point.places:
                continue
            point.count += 1
            if point.ignore:
                point.ignore -= 1
                continue
            if point.once:
                del self.points[number]
            stopping.append(number)
        return stopping

    def ends(self, back: bool) -> Callable[[int], bool]:
        """Return what says that a message has ended; backwards, that another one has."""
        if back:
            message = self.messages[self.at]
            return lambda at: self.messages[at] != message
        return lambda at: at + 1 == len(self.places) or self.messages[at + 1] != self.messages[at]


def told(stop: Stop) -> tuple[str, str, list[int]]:
    """Return a stop as the model tells it."""
    reason = "hit" if stop.hits else stop.reason
    return reason, str(stop.where), sorted({hit.number for hit in stop.hits})


def add(chance: Random, debugger: Debugger, model: Model, held: dict[str, frozenset[str]]) -> None:
    """Add a breakpoint or watchpoint to both."""
    text = chance.choice(sorted(held))
    ignore, once = chance.choice([0, 0, 1, 2, 5]), chance.random() < 0.3
    point = debugger.breakpoints.add(text, once=once, ignore=ignore)
    model.points[point.number] = Counted(held[text], ignore, once)


def change(chance: Random, debugger: Debugger, model: Model) -> None:
    """Delete a point, switch it, or let it be passed over, in both."""
    number, points = chance.choice(sorted(model.points)), debugger.breakpoints
    kind = chance.choice(["delete", "switch", "switch", "ignore"])
    if kind == "delete":
        points.delete(number)
        del model.points[number]
    elif kind == "switch":
        model.points[number].on = not model.points[number].on
        points.enable(number, model.points[number].on)
    else:
        model.points[number].ignore = chance.randint(0, 4)
        points.ignore(number, model.points[number].ignore)


def moved(chance: Random, debugger: Debugger, model: Model) -> None:
    """Make the same random move in both, and compare where it ends."""
    kind, back = chance.choice(["step", "next", "continue", "continue", "until", "goto"]), chance.random() < 0.5
    if kind == "goto":
        model.at = chance.randrange(len(model.places))
        assert str(debugger.go(debugger.timeline.place(model.at)).where) == model.places[model.at]
        return
    if kind == "until":
        target = chance.randrange(len(model.places))
        back = target < model.at
        stop = debugger.run_to(debugger.timeline.place(target))
        expected = ("place", model.places[target], []) if target == model.at else model.move(lambda at: at == target, back=back)
    elif kind == "step":
        stop, expected = debugger.step(back=back), model.move(lambda _: True, back=back)
    elif kind == "next":
        stop, expected = debugger.next(back=back), model.move(model.ends(back), back=back)
    else:
        stop, expected = debugger.resume(back=back), model.move(lambda _: False, back=back)
    assert told(stop) == expected, (kind, back)


def check_moves(path: Path, seed: int) -> None:
    """Walk about in a run at random, with points that come and go, in the debugger and in the model."""
    chance, found = Random(seed), spots(path)
    held = {text: frozenset([place for place, _, _ in expected(found)]) for text, expected in POINTS.items()}
    held |= {pointer: frozenset([place for place, _, _ in changed(found, pointer)]) for pointer in POINTERS}
    held = {text: places for text, places in held.items() if places}
    debugger, model = Debugger(Timeline(path)), Model(found)
    for _ in range(MOVES):
        if len(model.points) < 2 or (len(model.points) < 6 and chance.random() < 0.1):
            add(chance, debugger, model, held)
        if chance.random() < 0.15:
            change(chance, debugger, model)
        moved(chance, debugger, model)
        points = debugger.breakpoints
        state = {point.number: (point.ignore, point.once, point.enabled, points.count(point.number)) for point in points.all()}
        assert state == {number: (each.ignore, each.once, each.on, each.count) for number, each in model.points.items()}


@pytest.mark.parametrize("seed", [pytest.param(n, marks=[] if n < QUICK else [pytest.mark.nightly]) for n in range(SEEDS)])
def test_random_moves_stop_where_counting_by_hand_says(seed: int, tmp_path: Path) -> None:
    """Whatever is ignored, meant once, switched or deleted, in both directions, each move ends as the slow model says (C175)."""
    random_run(tmp_path / "t", seed)
    check_moves(tmp_path / "t", seed)


def planted(monkeypatch: pytest.MonkeyPatch, defect: str) -> None:
    """Put a defect into the counting."""
    met, move = Breakpoints.met, Debugger._move

    def forgetful(points: Breakpoints, position: int) -> list[tuple[Point, list[Hit]]]:
        before = dict(points._points)
        stopping = met(points, position)
        once = defect == "once is for ever"
        points._points = {**before, **points._points} if once else {number: before[number] for number in points._points}
        return stopping

    def too_far(debugger: Debugger, done: Callable[[int], bool], *, back: bool) -> Stop:
        stop = move(debugger, done, back=back)
        before = debugger.timeline.index(stop.where) - 1
        return evolve(stop, where=debugger.timeline.place(before)) if back and stop.where != START else stop

    def switched(points: Breakpoints, number: int, on: bool) -> None:
        points._points[number] = evolve(points._points[number], enabled=on or not points._points[number].ignore)

    if defect == "back goes too far":
        monkeypatch.setattr(Debugger, "_move", too_far)
    elif defect == "off is on":
        monkeypatch.setattr(Breakpoints, "enable", switched)
    elif defect == "only the first of several":
        monkeypatch.setattr(Breakpoints, "met", lambda points, position: met(points, position)[:1])
    else:
        monkeypatch.setattr(Breakpoints, "met", forgetful)


@pytest.mark.parametrize(
    "defect", ["ignored for ever", "once is for ever", "off is on", "only the first of several", "back goes too far"]
)
def test_a_defect_in_the_counting_is_noticed(defect: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Random moves end in other ways than the model says where the counting has a defect."""
    random_run(tmp_path / "t", 3)
    check_moves(tmp_path / "t", 3)
    planted(monkeypatch, defect)
    with pytest.raises(AssertionError):
        check_moves(tmp_path / "t", 3)


def test_points_are_values(tmp_path: Path) -> None:
    """A point that was given out does not change when it is counted, switched or passed over."""
    random_run(tmp_path / "t", 3)
    points = Breakpoints(Timeline(tmp_path / "t"))
    given: Point = points.add("node root", ignore=1)
    points.enable(1, on=False)
    points.ignore(1, 3)
    assert (given.ignore, given.enabled) == (1, True)
    assert [(point.ignore, point.enabled) for point in points.all()] == [(3, False)]
