"""The pytest plugin: each golden trace is a test, each index of goldens another; fixtures for runs with scripted models.

A folder with a ``goldens.sha256`` holds goldens (`frameengine.golden`). Nothing of the engine is imported before it is needed,
because the plugin is loaded in every session of whoever has this package installed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

if TYPE_CHECKING:
    from frameengine.performers.scripted import Scripted
    from frameengine.testing.goldens import Graphs
    from frameengine.testing.runs import RecordedRun
    from frameengine.testing.snapshots import FramesSnapshot

_SUFFIXES = (".trace.jsonl", ".trace.jsonl.zst")
_INDEX = "goldens.sha256"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("frames", "golden traces (frameengine)")
    group.addoption(
        "--frames-goldens",
        action="append",
        default=[],
        metavar="DIR",
        help="Replay the goldens of this folder, whatever else is named (repeatable).",
    )
    group.addoption(
        "--frames-update",
        action="store_true",
        help="Where a golden or a snapshot differs, write a pending one beside it for 'frameengine snapshot review'. Not in CI.",
    )
    parser.addini("frames_goldens", type="linelist", default=[], help="Folders of goldens: each must be there, with an index.")
    parser.addini(
        "frames_graphs",
        type="linelist",
        default=[],
        help="Graph files, or folders of them, that goldens are replayed with; 'recorded' for the definition in each trace.",
    )


def _refuse_in_ci() -> None:
    from frameengine.errors import UsageError
    from frameengine.golden import check_no_ci

    try:
        check_no_ci(os.environ, "--frames-update")
    except UsageError as error:
        raise pytest.UsageError(error.message) from None


def pytest_configure(config: pytest.Config) -> None:
    """Refuse what cannot be meant, and see to it that the named folders are collected."""
    if config.getoption("frames_update"):
        _refuse_in_ci()
    asked = [config.invocation_params.dir / name for name in config.getoption("frames_goldens")]
    named = [_home(config) / name for name in config.getini("frames_goldens")]
    for folder in (*asked, *named):
        if not folder.is_dir():
            raise pytest.UsageError(f"{folder} is to hold goldens, and there is no such folder: zero traces collected")
        if not (folder / _INDEX).is_file():
            raise pytest.UsageError(
                f"{folder} is to hold goldens, and has no {_INDEX}: a golden that is lost would not be missed\n"
                f"  try: frameengine snapshot index {folder}"
            )
    # Paths in addopts are nobody's choice of the moment, so they leave no golden out.
    typed = config._parser.parse_known_args(config.invocation_params.args).file_or_dir  # noqa: SLF001 - no other way
    wanted = [*asked, *[folder for folder in named if not typed or _covered(config, folder, typed)]]
    config.args += [str(folder) for folder in wanted if not _covered(config, folder, config.args)]
    config.stash[_GOLDENS] = _Goldens(config, wanted)


def _home(config: pytest.Config) -> Path:
    """Return the folder that names in the configuration start from."""
    return config.rootpath if config.inipath is None else config.inipath.parent


def _covered(config: pytest.Config, folder: Path, arguments: Iterable[str]) -> bool:
    """Return whether all of *folder* is among what *arguments* name."""
    whole = folder.resolve()
    given = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in arguments]
    return any(path == whole or path in whole.parents for path in given)


class _Goldens:
    """What the tests of one session share."""

    def __init__(self, config: pytest.Config, wanted: Sequence[Path]) -> None:
        self.wanted = tuple(wanted)
        self.update = bool(config.getoption("frames_update"))
        self._collected: set[Path] = set()
        self._config = config
        self._graphs: Graphs | None = None
        self._marked: dict[Path, bool] = {}

    @property
    def graphs(self) -> Graphs:
        """The graphs to replay with, loaded when the first golden needs them."""
        if self._graphs is None:
            from frameengine.testing.goldens import RECORDED, Graphs

            names = self._config.getini("frames_graphs")
            files = [_home(self._config) / name for name in names if name != RECORDED]
            self._graphs = Graphs(files, recorded=RECORDED in names)
        return self._graphs

    def take(self, path: Path) -> None:
        """Note that *path* has its tests."""
        self._collected.add(path.resolve())

    def left(self, folder: Path) -> list[Path]:
        """Return the goldens of *folder*, and its index, that have no tests yet. Raises `StorageError`."""
        from frameengine.golden import goldens

        return [path for path in (folder / _INDEX, *goldens(folder).values()) if path.resolve() not in self._collected]

    def marked(self, folder: Path) -> bool:
        """Whether *folder*, or one above it, has an index."""
        if folder not in self._marked:
            above = folder.parent
            self._marked[folder] = (folder / _INDEX).is_file() or (above != folder and self.marked(above))
        return self._marked[folder]


_GOLDENS = pytest.StashKey[_Goldens]()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Take goldens below an index, and traces that are named themselves."""
    goldens = parent.config.stash[_GOLDENS]
    is_trace = file_path.name.endswith(_SUFFIXES)
    if not is_trace and file_path.name != _INDEX:
        return None
    if is_trace and not (goldens.marked(file_path.parent) or parent.session.isinitpath(file_path)):
        return None
    return _collector(file_path, parent)


def _collector(path: Path, parent: pytest.Collector) -> pytest.File:
    parent.config.stash[_GOLDENS].take(path)
    kind = _IndexFile if path.name == _INDEX else _TraceFile
    return kind.from_parent(parent, path=path)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the goldens of the named folders that something kept pytest out of: norecursedirs, --ignore, a conftest."""
    from frameengine.errors import FrameEngineError

    goldens = config.stash[_GOLDENS]
    try:
        left = [path for folder in goldens.wanted for path in goldens.left(folder)]
    except FrameEngineError as error:
        raise pytest.UsageError(error.message) from None
    for path in dict.fromkeys(left):
        items += session.genitems(_collector(path, session))


class _Failure(Exception):
    """A golden is not as it must be; the lines are for people."""

    def __init__(self, lines: Iterable[str]) -> None:
        super().__init__("\n".join(lines))


def _short(text: str, config: pytest.Config) -> str:
    """Return a report with paths as they are typed where pytest was started, and so with commands that can be typed there."""
    return text.replace(f"{config.invocation_params.dir}{os.sep}", "")


class _Item(pytest.Item):
    """A test without a function."""

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return what to tell people: no traceback for what is wrong with a golden."""
        from frameengine.errors import FrameEngineError
        from frameengine.plaintext import visible

        error = excinfo.value
        if isinstance(error, FrameEngineError):
            text = visible(f"{error.message}\n  try: {error.hint}" if error.hint else error.message)
        elif isinstance(error, _Failure):
            text = str(error)
        else:
            return super().repr_failure(excinfo, style)
        return _short(text, self.config)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Return where the test stands and what it is called."""
        return self.path, None, self.name


class _TraceFile(pytest.File):
    """A golden."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield its one test."""
        yield _TraceItem.from_parent(self, name="replay")


class _TraceItem(_Item):
    """The replay of a golden."""

    def runtest(self) -> None:
        """Replay it, and compare everything."""
        from frameengine.golden import must_diverge
        from frameengine.testing.goldens import problem, replay_golden

        goldens = self.config.stash[_GOLDENS]
        result = replay_golden(self.path, goldens.graphs)
        lines = problem(result)
        if not lines:
            return
        if must_diverge(self.path):
            raise _Failure(lines)
        way_out = f"frameengine rerun --update {self.path}{goldens.graphs.option(result)}"
        if result.divergence is not None and goldens.update:
            from frameengine.testing.update import renewed

            lines += renewed(self.path, goldens.graphs, way_out)
        elif result.divergence is not None:
            lines.append(f"  try: {way_out}, if the change is meant")
        raise _Failure(lines)


class _IndexFile(pytest.File):
    """The index of a folder of goldens."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield its one test."""
        yield _IndexItem.from_parent(self, name="approved")


class _IndexItem(_Item):
    """The comparison of a folder with its index: none missing, none unused, none changed or reordered, none pending."""

    def runtest(self) -> None:
        """Compare the folder with its index."""
        from frameengine.golden import unsettled
        from frameengine.testing.goldens import visible_line_of

        folder = self.path.parent
        found = [(one.what, one.hint) for one in unsettled(folder)]
        if _covered(self.config, folder, self.config.args):
            left = self.config.stash[_GOLDENS].left(folder)
            hint = "see norecursedirs, --ignore and collect_ignore"
            found += [(f"golden {path} is there, and was not collected", hint) for path in left]
        if found:
            raise _Failure([visible_line_of(line) for what, hint in found for line in (what, f"  try: {hint}")])


ScriptedModel: TypeAlias = "Callable[..., Scripted]"
FramesRun: TypeAlias = "Callable[..., RecordedRun]"


@pytest.fixture
def scripted_model() -> Iterator[ScriptedModel]:
    """Return a function that makes a performer of written replies, by node: ``scripted_model(output=["hi"])``.

    Names that are none in Python stand in a mapping, results of tools under *tools*. A reply that is left over fails the test.
    """
    from frameengine.performers.scripted import Scripted

    made: list[Scripted] = []

    def make(
        model: Mapping[str, Sequence[Any]] | None = None,
        /,
        *,
        tools: Mapping[str, Sequence[Any]] | None = None,
        **replies: Sequence[Any],
    ) -> Scripted:
        made.append(Scripted({**(model or {}), **replies}, tools))
        return made[-1]

    yield make
    for performer in made:
        for script in performer.scripts.values():
            script.check_used()


@pytest.fixture
def frames_run(tmp_path: Path) -> FramesRun:
    """Return a function that records a run: ``frames_run("tool-loop", ["hello"], scripted_model(model=["hi"]))``.

    It takes what `frameengine.testing.runs.record` takes after the path, and gives the sealed trace.
    """
    from frameengine.testing.runs import record

    count = 0

    def run(*arguments: Any, **options: Any) -> RecordedRun:
        nonlocal count
        count += 1
        return record(tmp_path / f"run-{count}.trace.jsonl", *arguments, **options)

    return run


@pytest.fixture
def frames_snapshot(request: pytest.FixtureRequest) -> FramesSnapshot:
    """Return what a trace or a JSON value of the run under test must equal: ``assert trace == frames_snapshot``."""
    try:
        from frameengine.testing.snapshots import FramesSnapshot
    except ImportError as error:
        pytest.fail(f"frames_snapshot needs syrupy ({error}): pip install 'frameengine[test]'", pytrace=False)
    if not request.config.pluginmanager.hasplugin("syrupy"):
        pytest.fail("frames_snapshot needs the plugin of syrupy: leave out -p no:syrupy", pytrace=False)
    return FramesSnapshot(request.node, update=request.config.stash[_GOLDENS].update)


def pytest_assertrepr_compare(config: pytest.Config, left: object, right: object) -> list[str] | None:
    """Tell in words how a run differs from its snapshot."""
    for side in (right, left):
        # No import: whoever compares with a snapshot has it imported already, and any object may answer to any name.
        if (type(side).__module__, type(side).__name__) == ("frameengine.testing.snapshots", "FramesSnapshot"):
            snapshot: Any = side
            return [_short(line, config) for line in snapshot.report()]
    return None
