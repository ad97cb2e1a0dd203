"""The debugger's screen: panels over one place of a run. Keys say commands of the line mode; this shows what came of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from rich.console import RenderableType
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.timer import Timer
from textual.widgets import Static
from textual.worker import WorkerFailed

from frameengine.errors import FrameEngineError
from frameengine.graph.model import Graph
from frameengine.inputs import SwitchGraph
from frameengine_cli import phrases
from frameengine_cli.debugging.commands import completions
from frameengine_cli.debugging.session import Answer, Session
from frameengine_cli.failures import defect
from frameengine_cli.look import BAD, DIFFERS, GOOD, OPEN, QUIET, SAME, STRONG, Look, words
from frameengine_cli.tui import frame, lists, told, tree
from frameengine_cli.tui.bars import Bar, CommandLine, Keys, Typing
from frameengine_cli.tui.graph import graph_of, graph_rows
from frameengine_cli.tui.pressed import Pressed
from frameengine_cli.tui.rows import Row, lines
from frameengine_cli.tui.rowview import Maker, RowView
from frameengine_cli.tui.scene import Scene
from frameengine_cli.tui.scrubber import Scrubber
from frameengine_cli.tui.stops import Stops, stop_rows
from frameengine_cli.tui.style import BARE, DARK, SHEET, THEMES
from frameengine_cli.tui.working import Act, Opening, Working

COLUMNS_MIN, LINES_MIN = 60, 18
WIDE, WIDER, TALL = 110, 160, 34
"""Columns from which the lists are wider, and from which state and graph stand beside the frame; lines from which the frame
stands over what it left behind."""
BUSY_SECONDS: Final = 0.25
"""A command that takes longer is named while it is under way."""
TABS: Final = ("frame", "calls", "state", "graph", "stops")
SLOTS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "compact": {"main": TABS},
    "tall": {"main": ("frame", "calls"), "lower": ("state", "graph", "stops")},
    "wider": {"main": ("frame",), "lower": ("calls",), "upper-right": ("state",), "lower-right": ("graph", "stops")},
}
"""Layout to its panels with tabs, and the tabs of each."""


class Debug(Pressed):
    """The screen."""

    TITLE = "frameengine debug"
    CSS = SHEET
    ENABLE_COMMAND_PALETTE = False
    ALLOW_SELECT = False

    def __init__(self, opening: Opening, *, theme: str = DARK) -> None:
        super().__init__()
        for each in THEMES:
            self.register_theme(each)
        self.theme = BARE if self.no_color else theme
        self.working = Working(opening, self)
        self.failure: FrameEngineError | None = None
        """Why the trace could not be opened, or not be read to its end."""
        self.arrangement = "compact"
        """The layout."""
        self.tabs: dict[str, str] = {}
        """Panel to the tab that it shows."""
        self._texts: dict[int, str] = {}
        self._graph: tuple[SwitchGraph | None, Graph | None] | None = None
        self._stops = Stops(points=(), shown=(), edits=())
        self._busy: Timer | None = None

    # ------------------------------------------------------------------ what is there

    def compose(self) -> ComposeResult:
        """Put the panels in their places."""
        with Vertical(id="work"):
            yield Bar(id="head")
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
            with Horizontal(id="typed"):
                yield Static(":", id="prompt", markup=False)
                yield CommandLine(self._completions, id="command")
            yield Keys(id="keys")
            yield Typing(id="typing")
        yield Static(id="small", markup=False)

    def on_mount(self) -> None:
        """Begin to open the trace."""
        self.query_one("#head", Bar).say(self._file, ("opening", QUIET))
        self.query_one("#frames").focus()
        self.run_worker(self.working.run(), exit_on_error=True)

    def on_resize(self, event: events.Resize) -> None:
        """Choose the layout for another size."""
        width, height = event.size
        screen = self.screen_stack[0]
        screen.set_class(width < COLUMNS_MIN or height < LINES_MIN, "small")
        said = f"{width}x{height} is too small for the debugger.\nIt needs {COLUMNS_MIN}x{LINES_MIN}.\n\nq leaves"
        screen.query_one("#small", Static).update(said)
        self.arrangement = "compact" if height < TALL else "wider" if width >= WIDER else "tall"
        screen.set_class(width >= WIDE, "wide")
        for name in SLOTS:
            screen.set_class(name == self.arrangement, name)
        self.panels()

    def _handle_exception(self, error: Exception) -> None:
        """Leave because of a defect; it is told where errors are, without a traceback full of values."""
        cause = error.error if isinstance(error, WorkerFailed) else error
        self.failure = cause if isinstance(cause, FrameEngineError) else defect(cause)
        self.failure.__cause__ = cause
        super()._handle_exception(error)

    def put_away(self) -> None:
        """End what is under way, and leave the terminal as it was: it is closed, or somebody says that it is."""
        self.working.abandon()
        if self._driver is not None:
            self._driver.stop_application_mode()
            self._driver.close()

    def _print_error_renderables(self) -> None:
        self._exit_renderables.clear()

    # ------------------------------------------------------------------ what came of the work

    def opened(self) -> None:
        """Show the start of the run."""
        self.show(moved=True)

    def read_on(self) -> None:
        """Show how much is read; at the end, all of it."""
        session, total = self.opened_session, self.working.opening.total
        timeline = session.timeline
        self.status(*told.read_so_far(timeline, total))
        self.query_one(Scrubber).open(timeline, None if timeline.loaded else total)
        if timeline.loaded:
            self.show(moved=False)
            return
        self._messages(session)
        self._head(session)
        if not session.place.message:
            self.panels(only="frame")

    def answered(self, line: str, answer: Answer) -> None:
        """Show what a line gave."""
        self._idle()
        if answer.leave:
            self.leave(0)
            return
        if self.working.waiting and answer.stop is not None:
            # A key is held down: what the last of its lines comes to is shown.
            return
        if answer.stop is not None:
            names = {point.number: point.text for point in self.opened_session.debugger.breakpoints.all()}
            facts = "n N go on · esc ends" if "found" in answer.data else line
            self.status(*told.ended(answer, names), facts=words((facts, QUIET)))
            self.close_answer()
            if answer.screen is not None and self.opened_session.live is not None:
                held = answer.screen(Look(boxes=False))
                self._answer("held", lambda _folds, width: [Row(text=text) for text in lines(held, width)])
        elif answer.screen is not None:
            self._say_or_open(line, answer.screen(Look(boxes=False)))
        else:
            self.status((f"{SAME} {line}", QUIET))
        self.show(moved=answer.stop is not None)
        if "found" in answer.data:
            self.action_tab("frame")
            self.query_one("#main", RowView).seek(answer.data["found"]["part"], self.opened_session.found)
        if line == "fork" and self.opened_session.forked is not None and not self.opened_session.edits:
            self.say("compare")

    def refused(self, line: str, error: FrameEngineError) -> None:
        """Show why a line was not done."""
        self._idle()
        self._fault(line, error)
        self.show(moved=False)

    def _fault(self, line: str, error: FrameEngineError) -> None:
        """Say what went wrong and how to go on: in the line above the keys, and where that is too short in a panel."""
        hint = f"  try: {error.hint}" if error.hint else ""
        self.status((f"{DIFFERS} {error.message}", f"{STRONG} {BAD}"), (hint, QUIET))
        if len(error.message) + len(hint) > self.size.width - 4:
            said = words((error.message, BAD), (hint, QUIET))
            self._answer(line, lambda _folds, width: [Row(text=text) for text in lines(said, width)])

    def marked(self) -> None:
        """Show where breakpoints hold."""
        self.query_one(Scrubber).mark([position for marks in self.working.marks.values() for position in marks.positions])
        self._frames()
        self.panels(only="stops")

    def failed(self, error: FrameEngineError) -> None:
        """Leave, for the reason to be told where errors are."""
        self.failure = error
        self.leave(error.exit_code)

    def say(self, line: str, act: Act | None = None) -> None:
        """Do what a line of the line mode says, or *act*; name it while it takes longer."""
        if self.working.session is not None:
            self.working.say(line, act)
            self._busy = self._busy or self.set_timer(BUSY_SECONDS, self._name_busy)

    def _name_busy(self) -> None:
        if self.working.line:
            self.status((f"{OPEN} {self.working.line}", STRONG), ("  esc stops it", QUIET))
        elif self.working.waiting:
            # What is looked for beside it ends first.
            self._busy = self.set_timer(BUSY_SECONDS, self._name_busy)

    def _idle(self) -> None:
        if self._busy is not None:
            self._busy.stop()
            self._busy = None

    # ------------------------------------------------------------------ what is shown

    def show(self, *, moved: bool) -> None:
        """Show the place that the session is at."""
        session = self.opened_session
        timeline = session.timeline
        known = None if self.scene is None else self.scene.stretch
        self.asked_to_leave = False
        self._head(session)
        try:
            self.scene = Scene.of(timeline, session.place, known)
            switched = timeline.switched(session.place)
            if self._graph is None or self._graph[0] != switched:
                self._graph = switched, graph_of(timeline.header, switched, trust=session.trust)
            self._stops = Stops.of(session)
        except FrameEngineError as error:
            # Somebody wrote over the file: what was read of it stays in sight.
            self._fault("show", error)
            return
        scrubber = self.query_one(Scrubber)
        if moved:
            scrubber.open(timeline, None if timeline.loaded else self.working.opening.total)
        scrubber.show(timeline.index(session.place))
        self._messages(session)
        self._frames()
        self.panels(top=moved)
        self.working.want_marks()

    def _head(self, session: Session) -> None:
        parts, facts = told.run_of(session)
        self.query_one("#head", Bar).say(self._file, *parts, facts=facts)

    @property
    def _file(self) -> tuple[str, str]:
        return f" {self.working.opening.name.rpartition('/')[2]}  ", STRONG

    def _messages(self, session: Session) -> None:
        number, timeline = session.place.message, session.timeline
        view = self.query_one("#messages", RowView)
        view.show(lambda _folds, width: lists.MessageRows(timeline, number, width, self._texts, lambda: self.working.beside))
        view.entitle("messages", f"{len(timeline.messages):,}")
        view.prepare()

    def _frames(self) -> None:
        scene, session = self.scene, self.working.session
        if scene is None or session is None:
            return
        marks = {session.timeline.place(each) for marks in self.working.marks.values() for each in marks.positions}
        view = self.query_one("#frames", RowView)
        view.show(lambda _folds, _width: lists.frame_rows(scene, marks))
        view.entitle(*lists.title(scene.row))

    def panels(self, *, top: bool = False, only: str = "") -> None:
        """Fill the panels with tabs that this layout has; of them those that show *only* one tab, where it is named."""
        for name, tabs in SLOTS[self.arrangement].items():
            tab = self.tabs.get(name, tabs[0])
            tab = self.tabs[name] = tab if tab in tabs else tabs[0]
            if self.scene is not None and only in ("", tab):
                view = self.query_one(f"#{name}", RowView)
                view.marked = self.opened_session.found if self.searching else ""
                view.show(self._maker(tab, self.scene), top=top, follow=tab == "graph")
                view.entitle_tabs([(TABS.index(each) + 1, each) for each in tabs], tab, self._facts(tab, self.scene))

    def action_tab(self, name: str) -> None:
        """Show a tab in the panel that has it, and give it the keys."""
        for panel, tabs in SLOTS[self.arrangement].items():
            if name in tabs and self.scene is not None:
                self.tabs[panel] = name
                self.panels(top=True, only=name)
                self.query_one(f"#{panel}").focus()

    def _facts(self, tab: str, scene: Scene) -> str:
        """Return what stands in the lower border of a tab."""
        if tab != "state":
            return str(scene.place) if tab == "frame" else ""
        count = tree.changed(scene)
        return f"Δ {phrases.count(count, 'section')}" if count else "unchanged"

    def _maker(self, tab: str, scene: Scene) -> Maker:
        """Return what makes the rows of a tab."""
        stops = self._stops
        if tab == "stops":
            marks = self.working.marks
            return lambda folds, width: stop_rows(stops, scene.state, marks, folds, width)
        if tab == "state":
            watched = [point.text for point, _ in stops.points]
            return lambda folds, width: tree.state_rows(scene, folds, width, watched)
        if tab == "graph":
            graph = None if self._graph is None else self._graph[1]
            return lambda folds, width: graph_rows(graph, scene, folds, width)
        if scene.entered is None:
            session = self.opened_session
            return lambda _folds, width: frame.start_rows(session.timeline, str(session.source.name), width)
        make = frame.frame_rows if tab == "frame" else frame.call_rows
        return lambda folds, width: make(scene, folds, width)

    def _say_or_open(self, line: str, screen: RenderableType) -> None:
        """Show an answer: in the line above the keys where it fits there, else in a panel of its own."""
        drawn = lines(screen, self.size.width - 6)
        if len(drawn) > 1:
            self.status((f": {line}", QUIET))
            self._answer(line, lambda _folds, width: [told.leading(text) for text in lines(screen, width)])
            return
        self.close_answer()
        self.status((f"{SAME} ", GOOD), (drawn[0].plain if drawn else line, ""), facts=words((line, QUIET)))

    def _answer(self, title: str, make: Maker) -> None:
        view = self.query_one("#answer", RowView)
        view.add_class("open")
        view.show(make, top=True)
        view.entitle(title, "esc closes")
        most = self.size.height * 3 // 4 if title.startswith("compare") else self.size.height // 2
        view.styles.height = min(len(view.rows) + 2, most)
        if len(view.rows) + 2 > most or any(row.place is not None for row in view.rows):
            view.focus()

    def _completions(self, line: str) -> Iterator[str]:
        # What follows may be names out of the state: not while something reads there.
        return iter(()) if self.working.session is None or self.working.beside else completions(self.working.session, line)
