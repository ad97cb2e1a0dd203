"""Name what makes an agent irreproducible, from the text of its files alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from frameengine.engine.guard_static import scan
from frameengine.engine.guard_tables import CHANCE, CLOCK, KEY, MODEL, NUMBER, SORTED, ZONE
from frameengine.errors import UsageError
from frameengine.plaintext import visible_line

_CONTROL = {
    CLOCK: 'control=("clock",)',
    ZONE: 'control=("clock",), or a time zone that is named',
    CHANCE: 'control=("random",)',
    NUMBER: 'control=("uuid",)',
    SORTED: SORTED,
    KEY: KEY,
    MODEL: "an httpx or httpx2 client, or the proxy: frameengine record -- python …",
}
"""What a node would use instead, and what an agent of any kind can do. What is not here is no business of a recording."""
_OUT_OF_REACH = {
    "random.Random": "random.Random(seed)",
    "random.SystemRandom": 'secrets, with control=("random",)',
    "random.seed": "",
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

    *path* is a file, with the modules beside it that it imports, or a folder. Raises `UsageError` where there is nothing to read
    or it is not Python.
    """
    start = Path(path)
    files = sorted(start.rglob("*.py")) if start.is_dir() else [start]
    if not files:
        raise UsageError(f"{visible_line(str(start))} holds no Python", hint="name the agent's file, or its folder")
    trees: dict[Path, str] = {}
    for file in files:
        _read(file, file.parent, trees)
    return [found for file in sorted(trees) for found in _findings(file, trees[file])]


def _read(file: Path, root: Path, texts: dict[Path, str]) -> None:
    """Read a file and the modules beside it that it imports."""
    if file in texts:
        return
    try:
        text = file.read_bytes().decode()
        tree = ast.parse(text, str(file))
    except (OSError, UnicodeDecodeError, SyntaxError, ValueError) as error:
        raise UsageError(f"{visible_line(str(file))} cannot be read: {error}", hint="name a file of Python") from None
    texts[file] = text
    for name in _imported(tree):
        beside = root.joinpath(*name.split("."))
        for found in (beside.with_suffix(".py"), beside / "__init__.py"):
            if found.is_file():
                _read(found, root, texts)


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if module:
                yield module
            yield from (f"{module}.{alias.name}".lstrip(".") for alias in node.names)


def _findings(file: Path, text: str) -> Iterator[Finding]:
    for item in scan(text, str(file)):
        instead = _OUT_OF_REACH.get(item.name, _instead(item.name, item.instead))
        if instead:
            yield Finding(file=str(file), line=item.line, what=item.name, instead=instead)


def _instead(name: str, for_a_node: str) -> str:
    if name.startswith(_HELD_CLIENTS):
        return ""
    if name.startswith(_PROCESSES):
        return "the proxy where the child calls a model: frameengine record -- python …"
    return _CONTROL.get(for_a_node, "")
