"""Name what makes an agent irreproducible, from the text of its files alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from attrs import frozen

from frameengine.engine.guard_static import scan
from frameengine.engine.guard_tables import CHANCE, CLOCK, KEY, MODEL, NUMBER, SORTED, ZONE
from frameengine.errors import UsageError
from frameengine.inprocess.controls import DATES, FUNCTIONS
from frameengine.inprocess.own import is_own
from frameengine.plaintext import visible_line

_CONTROLLED = {f"{owner}.{name}": kind for kind, owner, names in FUNCTIONS for name in names.split()} | {
    f"datetime.{owner.__name__}.{name}": "clock" for owner, name in (*DATES, (datetime, "today"))
}
"""Qualified name -> the control that records it."""
_ADVICE = {
    CLOCK: 'time.time, with control=("clock",)',
    ZONE: "a time zone that is named",
    CHANCE: 'random.random, with control=("random",)',
    NUMBER: 'uuid.uuid4, with control=("uuid",)',
    SORTED: SORTED,
    KEY: KEY,
    MODEL: "an httpx or httpx2 client, or the proxy: frameengine record -- python …",
}
"""What a node would use instead, and what an agent of any kind can do. What is not here is no business of a recording."""
_ADVICE_FOR = {
    "random.Random": "random.Random(seed)",
    "random.SystemRandom": 'secrets, with control=("random",)',
    "secrets.SystemRandom": 'secrets, with control=("random",)',
    "random.seed": "",
    "random.getstate": "",
    "random.setstate": "",
    "time.sleep": "",
    "id": KEY,
}
"""What another answer holds for than its kind's; an empty one for what makes nothing irreproducible."""
_HELD_CLIENTS = ("httpx.", "httpx2.")
_PROCESSES = ("subprocess.", "multiprocessing.", "os.system", "os.popen", "os.spawn", "os.exec")


@frozen(kw_only=True)
class Finding:
    """One place that may run differently each time."""

    file: str
    """Path of the file."""
    line: int
    """Line, from 1."""
    what: str
    """Qualified name, or a few words (``iteration over a set``)."""
    instead: str
    """What to do about it."""


def irreproducible(path: Path | str) -> list[Finding]:
    """Return what makes an agent irreproducible, by file and line.

    *path* is a file, with the modules beside it and of its package that it imports, or a folder, but for packages that are
    installed in it. Raises `UsageError` where there is nothing to read or it is not Python.
    """
    start = Path(path)
    files = [file for file in sorted(start.rglob("*.py")) if is_own(str(file))] if start.is_dir() else [start]
    if not files:
        raise UsageError(f"{visible_line(str(start))} holds no Python of its own", hint="name the agent's file, or its folder")
    texts: dict[Path, tuple[str, ast.Module]] = {}
    for file in files:
        _read(file, (file.parent, _home(file)), texts)
    return [found for file in sorted(texts) for found in _findings(file, *texts[file])]


def _home(file: Path) -> Path:
    """Return the folder that holds the package of a file, by which its other modules are imported."""
    return next(folder for folder in file.absolute().parents if not (folder / "__init__.py").is_file())


def _read(file: Path, roots: tuple[Path, ...], texts: dict[Path, tuple[str, ast.Module]]) -> None:
    """Read a file and the modules that it imports: those of its package, and those beside it."""
    if file in texts:
        return
    try:
        text = file.read_bytes().decode()
        tree = ast.parse(text, str(file))
    except (OSError, UnicodeDecodeError, SyntaxError, ValueError) as error:
        raise UsageError(f"{visible_line(str(file))} cannot be read: {error}", hint="name a file of Python") from None
    texts[file] = text, tree
    for level, name in _imported(tree):
        names = name.split(".")
        for root in roots if not level else file.absolute().parents[level - 1 : level]:
            # The packages around a module are run too.
            for end in range(1, len(names) + 1):
                module = root.joinpath(*names[:end])
                for found in (module.with_suffix(".py"), module / "__init__.py"):
                    if found.is_file():
                        _read(_shown(found), roots, texts)


def _shown(file: Path) -> Path:
    """Return a path from the current folder, where it is below that."""
    here = Path.cwd()
    return file.relative_to(here) if file.is_relative_to(here) else file


def _imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield what may be modules that are imported: from how many folders up, 0 for none, and the name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            inside = f"{node.module}." if node.module else ""
            yield from ((node.level, f"{inside}{alias.name}") for alias in node.names)


def _findings(file: Path, text: str, tree: ast.Module) -> Iterator[Finding]:
    kept = _kept(tree)
    for item in scan(text, str(file)):
        instead = _ADVICE_FOR.get(item.name, _instead(item.name, item.instead))
        if item.name in _CONTROLLED and (item.line, item.name.rpartition(".")[2]) in kept:
            instead = f"a function of your own that calls it (lambda), with {instead}"
        if instead:
            yield Finding(file=str(file), line=item.line, what=item.name, instead=instead)


def _kept(tree: ast.Module) -> set[tuple[int, str]]:
    """Return lines and names of what an import keeps without calling it, where no control gets at it: in a class, a default."""
    # A name at the top of a module is within reach.
    named = [node.value for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]
    kept = set()
    left: list[ast.AST] = [tree]
    while left:
        node = left.pop()
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                left += [node.args, *getattr(node, "decorator_list", ())]
            case ast.Call(func=ast.Attribute(value=called) | called):
                left += [*([called] if isinstance(called, ast.Call) else []), *node.args, *node.keywords]
            case ast.Attribute(attr=name) | ast.Name(id=name):
                if node not in named:
                    kept.add((node.lineno, name))
            case _:
                left += ast.iter_child_nodes(node)
    return kept


def _instead(name: str, for_a_node: str) -> str:
    if name in _CONTROLLED:
        return f'control=("{_CONTROLLED[name]}",)'
    if name.startswith(_HELD_CLIENTS):
        return ""
    if name.startswith(_PROCESSES):
        return "the proxy where the child calls a model: frameengine record -- python …"
    return _ADVICE.get(for_a_node, "")
