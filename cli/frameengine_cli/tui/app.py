"""The debugger's screen: panels over one place of a run. Every key says a command of the line mode; this shows what came of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Final

from attrs import frozen
from textual import events, work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from frameengine.debug.place import Place, parse_place
from frameengine.debug.points import Point
from frameengine.errors import FrameEngineError
from frameengine.plaintext import visible_line
from frameengine_cli import phrases
from frameengine_cli.debugging.commands import completions, dispatch
from frameengine_cli.debugging.session import Answer, Session
from frameengine_cli.failures import defect
from frameengine_cli.look import BAD, DIFFERS, GOOD, OPEN, QUIET, SAME, STRONG, Look, words
from frameengine_cli.screens.run import counted, graph_name
from frameengine_cli.tui import frame, keys, lists, stops, tree
from frameengine_cli.tui.bars import Bar, CommandLine, Keys
from frameengine_cli.tui.editor import Editor, held
from frameengine_cli.tui.graph import graph_of, graph_rows
from frameengine_cli.tui.help import Help
from frameengine_cli.tui.rows import Folds, Row, lines
from frameengine_cli.tui.rowview import Maker, RowView
from frameengine_cli.tui.scene import Scene
from frameengine_cli.tui.scrubber import Scrubber
from frameengine_cli.tui.style import BARE, DARK, LIGHT, SHEET, THEMES

COLUMNS_MIN, LINES_MIN = 60, 18
WIDE, WIDER = 110, 160
"""Columns from which the lists are wider, and from which state and graph stand beside the frame."""
BUSY_SECONDS: Final = 0.25
"""A command that takes longer is named while it is under way."""
MARKS_MAX: Final = 5_000
"""Places of one breakpoint that are marked."""
TALL: Final = 34
"""Lines from which the frame stands over what it left behind."""
TABS: Final = ("frame", "calls", "state", "graph", "stops")
SLOTS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "compact": {"main": TABS},
    "tall": {"main": ("frame", "calls"), "lower": ("state", "graph", "stops")},
    "wider": {"main": ("frame",), "lower": ("calls",), "upper-right": ("state",), "lower-right": ("graph", "stops")},
}
"""Layout to its panels with tabs, and the tabs of each."""
_PLACED = re.compile(r"\W*((?:\d+\.\d+(?::\d+)?)|@\d+)\b")


@frozen(kw_only=True)
class Opening:
    """How the screen gets its session: after it has come up, with a bar while it takes."""

    name: str
    """The file, for people."""
    open: Callable[[Callable[[int], None]], Session]
    """Open it, telling how many bytes are read. Raises `FrameEngineError`."""
    total: int | None = None
    """Bytes that there are to read; None where that is not known."""


class Debug(App[int]):
    """The screen."""

    CSS = SHEET
    TITLE = "frameengine debug"
    ENABLE_COMMAND_PALETTE = False
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        *[Binding(key.keys, key.action, show=False) for key in keys.ALL if key.keys],
        Binding("ctrl+c", "interrupt", show=False, priority=True),
        Binding("ctrl+q", "leave", show=False, priority=True),
    ]

    def __init__(self, opening: Opening, *, theme: str = DARK) -> None:
        super().__init__()
        for each in THEMES:
            self.register_theme(each)
        self.theme = BARE if self.no_color else theme
        self.opening = opening
        self.failure: FrameEngineError | None = None
        """Why the trace could not be opened."""
        self._session: Session | None = None
        self._scene: Scene | None = None
        self._lines: asyncio.Queue[str] = asyncio.Queue()
        self._busy = ""
        self._searching = False
        self._layout = "compact"
        self._tabs: dict[str, str] = {}
        """Panel to the tab that it shows."""
        self._marks: dict[int, tuple[Point, list[int]]] = {}
        self._leaving = False
        self._asked_to_leave = False

    @property
    def session(self) -> Session:
        """The session, once it is open."""
        assert self._session is not None
        return self._session

    # ------------------------------------------------------------------ what is there

    def compose(self) -> ComposeResult:
        """Put the panels in their places."""
        with Vertical(id="work"):
            yield Bar(id="head")
            yield Static(id="loading", markup=False)
            with Horizontal(id="panels"):
                with Vertical(id="left"):
                    yield RowView(id="messages", follow=True)
                    yield RowView(id="frames", follow=True)
                with Vertical(id="middle"):
                    yield RowView(id="main")
                    yield RowView(id="lower")
                with Vertical(id="right"):
                    yield RowView(id="upper-right")
                    yield RowView(id="lower-right")
            yield RowView(id="answer")
            yield Scrubber(id="scrubber")
            yield Bar(id="status")
            yield CommandLine(self._completions, id="command")
            yield Keys(id="keys")
        yield Static(id="small", markup=False)

    def on_mount(self) -> None:
        """Begin to open the trace."""
        self.screen.add_class("loading")
        self.query_one("#head", Bar).say((" frameengine debug  ", QUIET), (self.opening.name, STRONG))
        self._progress(0)
        self._work()

    def on_resize(self, event: events.Resize) -> None:
        """Choose the layout for another size."""
        width, height = event.size
        screen = self.screen_stack[0]
        small = width < COLUMNS_MIN or height < LINES_MIN
        screen.set_class(small, "small")
        screen.set_class(width >= WIDE, "wide")
        said = f"{width}x{height} is too small for the debugger.\nIt needs {COLUMNS_MIN}x{LINES_MIN}.\n\nq leaves"
        screen.query_one("#small", Static).update(said)
        self._layout = "wider" if width >= WIDER and height >= TALL else "tall" if height >= TALL else "compact"
        for name in SLOTS:
            screen.set_class(name == self._layout, name)
        if self._scene is not None:
            self._panels()

    # ------------------------------------------------------------------ opening, and doing what lines say

    @work(exit_on_error=True)
    async def _work(self) -> None:
        """Open the trace, then do what lines say, one after another, beside the screen."""
        loop = asyncio.get_running_loop()

        def progress(done: int) -> None:
            if self._leaving:
                raise _Left
            loop.call_soon_threadsafe(self._progress, done)

        try:
            self._session = await asyncio.to_thread(self.opening.open, progress)
        except _Left:
            return
        except FrameEngineError as error:
            self.failure = error
            self.exit(error.exit_code, return_code=error.exit_code)
            return
        self._opened()
        while True:
            line = await self._lines.get()
            await self._do(line)

    def _progress(self, done: int) -> None:
        total = self.opening.total
        width = 40
        filled = round(width * min(done / total, 1)) if total else 0
        bar = "━" * filled + "─" * (width - filled) if total else ""
        figures = phrases.size(done) + (f" of {phrases.size(total)}" if total else "")
        self.query_one("#loading", Static).update(f"reading {visible_line(self.opening.name)}\n\n{bar}\n{figures}")

    def _opened(self) -> None:
        self.screen_stack[0].remove_class("loading")
        self.query_one(Scrubber).open(self.session.timeline)
        self.refresh_all(moved=True)
        self.call_after_refresh(self.query_one("#frames").focus)

    async def _do(self, line: str) -> None:
        self._busy = line
        self._asked_to_leave = False
        timer = self.set_timer(BUSY_SECONDS, self._say_busy)
        before = self.session.place
        try:
            answer = await asyncio.to_thread(dispatch, self.session, line)
        except FrameEngineError as error:
            self._fault(error)
        except Exception as error:  # noqa: BLE001 - a defect in one command does not take the session, and its edits, with it
            self._fault(defect(error))
        else:
            self._answered(line, answer)
        finally:
            timer.stop()
            self._busy = ""
        if self._leaving:
            return
        self.refresh_all(moved=self.session.place != before)

    def _say_busy(self) -> None:
        self.query_one("#status", Bar).say((f"{OPEN} {self._busy}", STRONG), ("  esc stops it", QUIET))

    def _fault(self, error: FrameEngineError) -> None:
        hint = f"  try: {error.hint}" if error.hint else ""
        self.query_one("#status", Bar).say((f"{DIFFERS} {error.message}", f"{STRONG} {BAD}"), (hint, QUIET))
        if len(error.message) + len(hint) > self.size.width - 4:
            said = words((error.message, BAD))
            self._show_answer("refused", lambda _folds, width: [Row(text=text) for text in lines(said, width)])

    def _answered(self, line: str, answer: Answer) -> None:
        if answer.leave:
            self.leave(0)
            return
        status = self.query_one("#status", Bar)
        if answer.stop is not None:
            status.say(*_stopped(answer), facts=words((line, QUIET)))
            self._close_answer()
        elif answer.screen is not None:
            screen, look = answer.screen, Look(boxes=False)
            status.say((f": {line}", QUIET))
            self._show_answer(line, lambda _folds, width: [_answer_row(text) for text in lines(screen(look), width)])
        else:
            status.say((f"{SAME} {line}", QUIET))
        if line == "fork" and "fork" in answer.data and self.session.forked is not None:
            self._lines.put_nowait("compare")

    # ------------------------------------------------------------------ what is shown

    def refresh_all(self, *, moved: bool) -> None:
        """Show the place that the session is at."""
        session = self.session
        scene = self._scene = Scene.of(session.timeline, session.place)
        self._head()
        self.query_one(Scrubber).show(session.timeline.index(session.place))
        number = session.place.message
        listed = self.query_one("#messages", RowView)
        listed.show(lambda _folds, width: lists.MessageRows(session.timeline, number, width))
        listed.entitle("messages", f"{len(session.timeline.messages):,}")
        self._frames()
        self._panels(top=moved)
        self._mark_points()

    def _head(self) -> None:
        session = self.session
        timeline = session.timeline
        if timeline.problem is None:
            whole = (f"{SAME} sealed", GOOD)
        else:
            whole = (f"{DIFFERS} DAMAGED: the good part only", f"{STRONG} {BAD}")
        waiting = phrases.count(len(session.edits), "edit") + " unforked  " if session.edits else ""
        about = "" if timeline.problem is not None else f"  {graph_name(timeline.header)} · {counted(timeline.counts)}"
        facts = words((waiting, f"{STRONG} {BAD}"), (str(session.place), f"{STRONG} {GOOD}"), (f" of {timeline.last} ", QUIET))
        self.query_one("#head", Bar).say((f" {self.opening.name}  ", STRONG), whole, (about, QUIET), facts=facts)

    def _frames(self) -> None:
        session, scene = self.session, self._scene
        if scene is None:
            return
        marks = {session.timeline.place(each) for _, found in self._marks.values() for each in found}
        view = self.query_one("#frames", RowView)
        view.show(lambda _folds, _width: lists.frame_rows(scene, session.timeline, marks))
        view.entitle(*lists.title(scene.message))

    def _panels(self, *, top: bool = False) -> None:
        """Fill the panels with tabs that this layout has."""
        for name, tabs in SLOTS[self._layout].items():
            self._fill(name, tabs, top=top)

    def _fill(self, name: str, tabs: tuple[str, ...], *, top: bool) -> None:
        view = self.query_one(f"#{name}", RowView)
        tab = self._tabs.get(name, tabs[0])
        tab = self._tabs[name] = tab if tab in tabs else tabs[0]
        view.marked = self.session.found if self._searching else ""
        view.show(self._maker(tab), top=top)
        view.entitle_tabs([(TABS.index(each) + 1, each) for each in tabs], tab, self._facts(tab))

    def _facts(self, tab: str) -> str:
        """Return what stands in the lower border of a tab."""
        scene = self._scene
        if tab != "state" or scene is None:
            return str(self.session.place) if tab == "frame" else ""
        count = tree.changed(scene)
        return f"Δ {phrases.count(count, 'section')}" if count else "unchanged"

    def _maker(self, tab: str) -> Maker:
        """Return what makes the rows of a tab at this place."""
        session, scene = self.session, self._scene
        assert scene is not None
        timeline = session.timeline
        if tab == "stops":
            everywhere = {number: len(found) for number, (_, found) in self._marks.items()}
            return lambda folds, width: stops.stop_rows(session, everywhere, folds, width)
        if tab == "state":
            watched = [point.text for point in session.debugger.breakpoints.all() if hasattr(point, "pointer")]
            return lambda folds, width: tree.state_rows(scene, folds, width, watched)
        if tab == "graph":
            graph = graph_of(timeline.header)
            return lambda folds, width: graph_rows(graph, scene, folds, width)
        if scene.message is None:
            problem = "" if timeline.problem is None else timeline.problem.message
            return lambda _folds, _width: frame.start_rows(timeline.header, timeline.counts, problem)
        make = frame.frame_rows if tab == "frame" else frame.call_rows
        return lambda folds, width: make(scene, folds, width)

    def _show_answer(self, title: str, make: Callable[[Folds, int], list[Row]]) -> None:
        view = self.query_one("#answer", RowView)
        view.add_class("open")
        view.set_class(title.startswith(("compare", "help")), "tall")
        view.show(make, top=True)
        view.entitle(title, "esc closes")
        view.styles.height = min(len(view.rows) + 2, max(self.size.height // 2, 6))

    def _close_answer(self) -> bool:
        view = self.query_one("#answer", RowView)
        was_open = view.has_class("open")
        if was_open:
            if view.has_focus:
                self.query_one("#frames").focus()
            view.remove_class("open")
        return was_open

    # ------------------------------------------------------------------ breakpoints over the whole run

    def _mark_points(self) -> None:
        """Look for the places where new points hold, beside the screen; forget those of points that are gone."""
        points = {point.number: point for point in self.session.debugger.breakpoints.all() if point.enabled}
        known = {number: (point, found) for number, (point, found) in self._marks.items() if points.get(number) == point}
        if known.keys() != self._marks.keys():
            self._marks = known
            self._marked()
        missing = [point for number, point in points.items() if number not in known]
        if missing:
            self._find_places(missing)

    @work(exclusive=True, group="marks")
    async def _find_places(self, points: list[Point]) -> None:
        for point in points:
            try:
                found = await asyncio.to_thread(self._places_of, point)
            except FrameEngineError:
                found = []
            self._marks[point.number] = point, found
            self._marked()

    def _places_of(self, point: Point) -> list[int]:
        found: list[int] = []
        for hit in self.session.debugger.hits(point):
            position = self.session.timeline.index(hit.place.whole)
            if not found or found[-1] != position:
                found.append(position)
            if self._leaving or len(found) >= MARKS_MAX:
                break
        return found

    def _marked(self) -> None:
        self.query_one(Scrubber).mark([position for _, found in self._marks.values() for position in found])
        self._frames()
        self._panels()

    # ------------------------------------------------------------------ mouse, rows, typed lines

    def on_row_view_chosen(self, event: RowView.Chosen) -> None:
        """Go where the chosen row leads."""
        if event.row.place is not None and event.row.place != self.session.place:
            self.action_say(f"goto {event.row.place}")

    def on_row_view_titled(self, event: RowView.Titled) -> None:
        """Show the tab whose name was clicked."""
        self.action_tab(event.name)

    def on_scrubber_sought(self, event: Scrubber.Sought) -> None:
        """Go to the place that was clicked."""
        self.action_say(f"goto {event.place}")

    def on_input_submitted(self, event: CommandLine.Submitted) -> None:
        """Do what was typed."""
        line, field = event.value.strip(), self.query_one(CommandLine)
        field.keep(line)
        field.shut()
        if line:
            self._searching = line.startswith("/") or line.split()[0] == "search"
            self.action_say(line)

    def on_command_line_closed(self) -> None:
        """Give the keys back to a panel."""
        self.query_one("#frames").focus()

    def _completions(self, line: str) -> Iterator[str]:
        return iter(()) if self._session is None else completions(self._session, line)

    def _row(self) -> Row | None:
        """Return the row under the cursor of the panel that has the keys."""
        return self.focused.row if isinstance(self.focused, RowView) else None

    # ------------------------------------------------------------------ keys

    def action_say(self, line: str) -> None:
        """Do what a line of the line mode says, after those that were said before."""
        if self._session is not None:
            self._lines.put_nowait(line)

    def action_next(self, back: bool) -> None:
        """Go to the next message; in a search to the next find."""
        if self._searching:
            self.action_say("search ?" if back else "search")
        else:
            self.action_say("reverse-next" if back else "next")

    def action_until(self) -> None:
        """Go to the row under the cursor, unless something stops on the way."""
        row = self._row()
        if row is not None and row.place is not None:
            self.action_say(f"until {row.place}")

    def action_tab(self, name: str) -> None:
        """Show another tab of the main panel; where it stands beside it already, give it the keys."""
        if self._session is None:
            return
        for panel, tabs in SLOTS[self._layout].items():
            if name in tabs:
                self._tabs[panel] = name
                self._fill(panel, tabs, top=True)
                self.query_one(f"#{panel}").focus()

    def action_panel(self, by: int) -> None:
        """Give the keys to the next panel that can be seen."""
        panels = [view for view in self.query(RowView) if view.display and view.region.area and view.screen is self.screen]
        if panels:
            at = panels.index(self.focused) if self.focused in panels else -by
            panels[(at + by) % len(panels)].focus()

    def action_zoom(self) -> None:
        """Show the panel that has the keys alone, or all again."""
        if self._unzoom():
            return
        column = next((each.id for each in self.focused.ancestors if each.id in ("left", "middle", "right")), None) if self.focused else None
        if column:
            self.screen.add_class("zoomed", f"zoom-{column}")

    def _unzoom(self) -> bool:
        zoomed = self.screen.has_class("zoomed")
        self.screen.remove_class("zoomed", "zoom-left", "zoom-middle", "zoom-right")
        return zoomed

    def action_escape(self) -> None:
        """Stop what is under way; else close what is open."""
        if self._stop_busy() or self._close_answer() or self._unzoom():
            return
        if self._searching:
            self._searching = False
            self._panels()
            self.query_one("#status", Bar).say(("the search is over", QUIET))

    def _stop_busy(self) -> bool:
        if not self._busy:
            return False
        while not self._lines.empty():
            self._lines.get_nowait()
        self.session.debugger.stop()
        return True

    def action_interrupt(self) -> None:
        """Stop what is under way. Where nothing is, say how to leave: a key too many must not lose edits."""
        if self._session is None:
            self.leave(130)
        elif not self._stop_busy():
            self.query_one("#status", Bar).say(("nothing is under way", QUIET), ("  q leaves", QUIET))

    def action_break(self) -> None:
        """Begin a line with the breakpoint that suits the row."""
        row = self._row()
        suits = row.stop if row is not None else ""
        if not suits and self._scene is not None and self._scene.step is not None:
            suits = f"node {self._scene.step.records[0]['node']}"
        self.action_type(f"break {visible_line(suits)}")

    def action_watch(self) -> None:
        """Begin a line that watches the value under the cursor."""
        self.action_type(f"watch {self._pointer() or '/'}")

    def action_who(self) -> None:
        """Say who changed the value under the cursor last."""
        pointer = self._pointer()
        self.action_say(f"who {pointer}") if pointer else self.action_type("who /")

    def _pointer(self) -> str:
        row = self._row()
        subject = row.subject if row is not None else ""
        return visible_line(subject) if subject.startswith("/") else ""

    def action_delete(self) -> None:
        """Delete the breakpoint under the cursor."""
        row = self._row()
        if row is not None and row.number:
            self.action_say(f"delete {row.number}")

    def action_turn(self) -> None:
        """Switch the breakpoint under the cursor off, or on again."""
        row = self._row()
        if row is None or not row.number:
            return
        point = next(each for each in self.session.debugger.breakpoints.all() if each.number == row.number)
        self.action_say(f"{'disable' if point.enabled else 'enable'} {row.number}")

    def action_type(self, text: str) -> None:
        """Open the line that takes commands."""
        if self._session is not None:
            self.query_one(CommandLine).open(text)

    @work
    async def action_edit(self) -> None:
        """Edit what is under the cursor."""
        row, scene = self._row(), self._scene
        subject = row.subject if row is not None else ""
        if not subject or scene is None:
            self.query_one("#status", Bar).say(("nothing that can be edited is under the cursor", BAD), ("  effects, inputs and values of the state can", QUIET))
            return
        text = await self.push_screen_wait(Editor(subject, held(subject, scene)))
        if text is not None:
            self.action_say(f"edit {subject} {text}")

    def action_fork(self) -> None:
        """Make a new run with the edits, and compare."""
        self.action_say("fork")

    def action_theme(self) -> None:
        """Change between light and dark."""
        if not self.no_color:
            self.theme = LIGHT if self.theme == DARK else DARK
            self.refresh(layout=True)

    def action_help(self) -> None:
        """Show what the keys do."""
        self.push_screen(Help())

    def action_leave(self) -> None:
        """Leave; where edits wait for a fork, only when asked twice."""
        if self._session is not None and self._session.edits and not self._asked_to_leave:
            self._asked_to_leave = True
            waiting = phrases.count(len(self._session.edits), "edit")
            self.query_one("#status", Bar).say((f"{waiting} would be lost: f forks, q once more leaves", f"{STRONG} {BAD}"))
            return
        self.leave(0)

    def leave(self, code: int) -> None:
        """End, with an exit code."""
        self._leaving = True
        self._stop_busy()
        self.exit(code, return_code=code)


class _Left(Exception):
    """The person left while the trace was being read."""


def _stopped(answer: Answer) -> list[tuple[str, str]]:
    """Return in a line why a move ended where it did."""
    stop: Any = answer.stop
    said = {"start": "the start of the run", "end": "the end of the run", "interrupted": "stopped on the way"}.get(stop.reason, "")
    parts: list[tuple[str, str]] = [(f"{stop.where}  ", f"{STRONG} {GOOD}"), (said, BAD if stop.reason == "interrupted" else QUIET)]
    for hit in stop.hits:
        parts += [("■ ", BAD), (f"{hit.number} ", QUIET), (f"{hit.what}  ", STRONG)]
        if hit.before is not None or hit.after is not None:
            parts += [(phrases.value(hit.before, 40), QUIET), (" → ", BAD), (f"{phrases.value(hit.after, 40)}  ", STRONG)]
    found = answer.data.get("found")
    if found:
        parts += [(f"{found['what']}  ", STRONG), (found["around"], ""), ("  n next, N before, esc ends", QUIET)]
    return parts


def _answer_row(text: Any) -> Row:
    """Return a line of an answer; one that begins with a place leads there."""
    found = _PLACED.match(text.plain)
    place: Place | None = parse_place(found[1]) if found else None
    return Row(text=text, place=place)
