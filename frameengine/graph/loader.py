"""Graphs by name or by file.

A name is that of a graph shipped with the package or of a ``<name>.toml`` in a folder that the caller names. Shipped ones go
first, so that a name means the same graph everywhere. To use a changed copy of a shipped graph, rename it or give its path.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from frameengine.errors import GraphValidation, UnknownGraph
from frameengine.graph.document import read_document
from frameengine.graph.lines import line_numbers, line_of
from frameengine.graph.model import Graph
from frameengine.graph.validate import NAME, Place, Problem, place_name, validate

_SUFFIX: Final = ".toml"
_TOML_LINE: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


class _File(Protocol):
    """What a file on disk and a file inside a package have in common."""

    def is_file(self) -> bool: ...
    def read_bytes(self) -> bytes: ...


Finder: TypeAlias = Callable[[Graph], Iterable[Problem]]
"""Finds more problems of a graph, which need not hold together otherwise."""


def load_graph(name_or_path: str | Path, *, search: Sequence[Path] = (), more: Finder = lambda _graph: ()) -> Graph:
    """Return a graph by its name or by the path of its ``.toml`` file.

    What ends in ``.toml``, has a path separator or is a `Path` is a path. Raises `UnknownGraph`, and `GraphValidation` with all
    problems: what *more* finds is told together with them.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or text.endswith(_SUFFIX) or "/" in text or "\\" in text:
        path = Path(name_or_path)
        if not path.is_file():
            raise UnknownGraph(f"there is no graph file {text}", hint="check the path", name=text, known=_known(search))
        return _read(path, text, None, more)
    files = _files(text, search) if NAME.fullmatch(text) else iter(())
    for source, file in files:
        if file.is_file():
            return _read(file, source, text, more)
    known = _known(search)
    near = get_close_matches(text, known, 3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}; or give the path of a {_SUFFIX} file"
    raise UnknownGraph(f"there is no graph {text!r}", hint=hint, name=text, known=known, nearest=near)


def list_graphs() -> tuple[tuple[str, str], ...]:
    """Return name and description of every shipped graph, by name."""
    return tuple([(name, load_graph(name).description) for name in _known(())])


def parse_graph(text: str, source: str) -> Graph:
    """Return the graph written in *text*; *source* names it in errors. Raises `GraphValidation` with all problems."""
    return _parse(text, source, None, lambda _graph: ())


def _parse(text: str, source: str, name: str | None, more: Finder) -> Graph:
    text = text.replace("\r\n", "\n")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax(str(error), text, source) from None
    except RecursionError:
        raise _invalid(source, [("line 1", "nested too deep")]) from None
    except ValueError as error:  # an integer with more digits than are converted
        raise _invalid(source, [("file", str(error))]) from None
    graph, written = read_document(document)
    problems = [*written, *validate(graph)]
    if name is not None and graph.name not in ("", name):
        problems.append(Problem(("name",), f"the file is called {name}{_SUFFIX}, so the name must be {name!r}"))
    problems.extend(more(graph))
    if problems:
        numbers = line_numbers(text)
        raise _invalid(source, [(_where(problem.place, numbers), problem.text) for problem in problems])
    return graph


def _read(file: _File, source: str, name: str | None, more: Finder) -> Graph:
    try:
        text = file.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise _invalid(source, [(f"byte {error.start}", "the file is not UTF-8")]) from None
    except OSError as error:
        hint = "check the permissions of the file"
        raise UnknownGraph(f"the graph {source} cannot be read: {error.strerror}", hint=hint, name=source, known=[]) from error
    return _parse(text, source, name, more)


def _where(place: Place, numbers: Mapping[Place, int]) -> str:
    line = line_of(place, numbers)
    return place_name(place) if line is None else f"{place_name(place)} (line {line})"


def _syntax(message: str, text: str, source: str) -> GraphValidation:
    match = _TOML_LINE.search(message)
    line = int(match[1]) if match and match[1] else text.count("\n") + 1
    return _invalid(source, [(f"line {line}", message)])


def _invalid(source: str, problems: Sequence[tuple[str, str]]) -> GraphValidation:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    lines = [f"{source}: {count}", *[f"  {place}: {problem}" for place, problem in problems]]
    listed = [{"place": place, "problem": problem} for place, problem in problems]
    return GraphValidation("\n".join(lines), hint="correct the file; all its problems are listed", source=source, problems=listed)


def _known(search: Sequence[Path]) -> list[str]:
    from importlib.resources import files

    shipped = sorted(file.name for file in files("frameengine.graph").joinpath("definitions").iterdir())
    found = [path.name for folder in search for path in sorted(folder.glob(f"*{_SUFFIX}"))]
    return sorted({name.removesuffix(_SUFFIX) for name in [*shipped, *found] if name.endswith(_SUFFIX)})


def _files(name: str, search: Sequence[Path]) -> Iterator[tuple[str, _File]]:
    from importlib.resources import files

    yield name, files("frameengine.graph").joinpath("definitions", name + _SUFFIX)
    for folder in search:
        yield str(folder / (name + _SUFFIX)), folder / (name + _SUFFIX)
