"""The state as a tree: what this frame changed is open and marked, with the old value beside the new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text

from frameengine.jsonvalue import MISSING, FrozenMap, Json, pointer_step
from frameengine_cli import phrases
from frameengine_cli.look import BAD, DELTA, DIFFERS, GOOD, QUIET, STRONG, block, words
from frameengine_cli.tui.rows import Folds, Outline, Row, fit
from frameengine_cli.tui.scene import Scene
from frameengine_cli.tui.stops import WATCHED

ITEMS_MAX = 200
"""Items of a list or members of a mapping that are shown: of a list the newest."""
LONG = 60
"""Code points of a text that has a part of its own."""


def state_rows(scene: Scene, folds: Folds, width: int, watched: Sequence[str] = ()) -> Sequence[Row]:
    """Return the state at a place, as much of it open as there is room for; pointers that are *watched* bear an eye."""
    sections = [f"/{pointer_step(name)}" for name in scene.state]
    return fit(lambda: _rows(scene, folds, width, watched), folds, sections)


def _rows(scene: Scene, folds: Folds, width: int, watched: Sequence[str]) -> Sequence[Row]:
    outline = Outline(folds, width)
    tree = _Tree(outline, frozenset(watched))
    if scene.doubt:
        outline.line(words((f"{DIFFERS} this may not be the run's state: {scene.doubt}", f"{STRONG} {BAD}")))
    names = [*scene.state, *[name for name in scene.before if name not in scene.state]]
    for name in names:
        tree.add(f"/{pointer_step(name)}", name, scene.state.get(name, MISSING), scene.before.get(name, MISSING), 0)
    if not names:
        outline.line(words(("the state is empty", QUIET)))
    return outline.rows


def changed(scene: Scene) -> int:
    """Return how many sections the frame changed."""
    names = {**scene.before, **scene.state}
    return sum(not _same(scene.state.get(name, MISSING), scene.before.get(name, MISSING)) for name in names)


def _same(one: Json, other: Json) -> bool:
    return one is other or one == other


class _Tree:
    def __init__(self, outline: Outline, watched: frozenset[str]) -> None:
        self._outline = outline
        self._watched = watched

    def add(self, at: str, name: str, value: Json, before: Json, depth: int) -> None:
        """Add a value and what it holds."""
        same = _same(value, before)
        items = _items(value)
        head = self._head(at, name, value, before, same=same)
        if items is None or value is MISSING:
            self._leaf(at, head, value, before, depth, same=same)
            return
        old = _items(before) or {}
        # What is gone stands below what is there.
        gone = {key: item for key, item in old.items() if key not in items}
        if not items and not gone:
            self._outline.line(Text("  ").append_text(head), depth, subject=at)
            return
        if not self._outline.part(at, head, usual=not same and before is not MISSING, depth=depth, subject=at):
            return
        shown = list(items.items())
        hidden = len(shown) - ITEMS_MAX
        if hidden > 0:
            shown = shown[hidden:] if isinstance(value, tuple) else shown[:ITEMS_MAX]
            self._outline.line(words((f"  … {hidden:,} {'earlier' if isinstance(value, tuple) else 'more'}", QUIET)), depth + 1)
        shift = _shift(value, before)
        for key, item in shown:
            self.add(f"{at}/{pointer_step(key)}", key, item, old.get(str(int(key) + shift) if shift else key, MISSING), depth + 1)
        for key, item in gone.items() if not shift else ():
            self.add(f"{at}/{pointer_step(key)}", key, MISSING, item, depth + 1)

    def _leaf(self, at: str, head: Text, value: Json, before: Json, depth: int, *, same: bool) -> None:
        text = value if isinstance(value, str) else ""
        if len(text) <= LONG and "\n" not in text:
            self._outline.line(Text("  ").append_text(head), depth, subject=at)
        elif self._outline.part(at, head, depth=depth, subject=at):
            self._outline.body(block(text), depth + 2, subject=at)
            if not same and isinstance(before, str) and before:
                self._outline.line(words(("was", BAD)), depth + 2)
                self._outline.body(block(before, QUIET), depth + 2)

    def _head(self, at: str, name: str, value: Json, before: Json, *, same: bool) -> Text:
        sign = ("", "") if same else (f"{DELTA} ", f"{STRONG} {BAD}")
        eye = (f"{WATCHED} ", f"{STRONG} {GOOD}") if at in self._watched else ("", "")
        name_style = STRONG if not same else GOOD if isinstance(value, Mapping | tuple) else QUIET
        if same:
            return words(eye, (f"{name}  ", name_style), (_short(value), ""))
        if before is MISSING:
            return words(eye, sign, (f"{name}  ", name_style), (_short(value), ""), ("  new", BAD))
        if value is MISSING:
            return words(eye, sign, (f"{name}  ", name_style), (_short(before), QUIET), ("  gone", BAD))
        if _items(value) is not None and _items(before) is not None:
            return words(eye, sign, (f"{name}  ", name_style), (_grown(value, before), ""))
        return words(eye, sign, (f"{name}  ", name_style), (_short(before, 40), QUIET), (" → ", BAD), (_short(value), STRONG))


def _items(value: Json) -> dict[str, Json] | None:
    if isinstance(value, FrozenMap):
        return dict(value)
    return {str(index): item for index, item in enumerate(value)} if isinstance(value, tuple) else None


def _shift(value: Json, before: Json) -> int:
    """Return by how many places a list moved on: a window that keeps the newest items drops as many at its start."""
    if not isinstance(value, tuple) or not isinstance(before, tuple) or not value or not before or value[0] == before[0]:
        return 0
    # The same object: what is merely equal may stand anywhere.
    return next((by for by in range(1, len(before)) if before[by] is value[0]), 0)


def _short(value: Json, width: int = 80) -> str:
    if isinstance(value, FrozenMap) and isinstance(value.get("role"), str) and isinstance(value.get("content"), str):
        return f'{value["role"]}: "{phrases.cut(value["content"], width)}"'
    if isinstance(value, FrozenMap):
        return f"{{{', '.join(value)}}}" if len(value) <= 4 else phrases.count(len(value), "member")
    if isinstance(value, tuple):
        return phrases.count(len(value), "item") if value else "[]"
    if isinstance(value, str):
        return f'"{phrases.cut(value, width)}"'
    return phrases.value(value, width)


def _grown(value: Json, before: Json) -> str:
    one, other = len(before), len(value)
    return _short(value) if one == other else f"{_short(value)} ({other - one:+})"
