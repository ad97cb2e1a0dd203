"""The modules of a tree, parsed, and the imports they make."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

ROOTS = (Path("frameengine"), Path("cli/frameengine_cli"))
"""The packages that are installed, relative to the root of the tree."""


@frozen(kw_only=True)
class Module:
    """One parsed source file."""

    name: str
    """Dotted name, as it is imported."""
    path: str
    """Path from the root of the tree, with forward slashes."""
    package: bool
    """Whether it is an ``__init__.py``."""
    text: str
    """Its source."""
    tree: ast.Module
    """Its syntax tree."""

    def problem(self, line: int, text: str) -> str:
        """Return *text* with the place in front, as an editor can follow it."""
        return f"{self.path}:{line}: {text}"


@frozen(kw_only=True)
class Import:
    """One imported module."""

    target: str
    """Dotted name of the module that is imported, as far as it can be told from the tree."""
    names: tuple[str, ...]
    """What is taken from it; empty for a plain ``import``."""
    line: int
    """Where."""
    lazy: bool
    """Whether it happens inside a function, or for type checkers only."""


def python_files(root: Path, folder: Path) -> list[Path]:
    """Return the source files below *folder*, in order, without what tools leave behind."""
    return [path for path in sorted((root / folder).rglob("*.py")) if "__pycache__" not in path.parts]


def parse(root: Path, path: Path, base: Path) -> Module:
    """Read the file *path*, whose dotted name begins below *base*."""
    text = path.read_text(encoding="utf-8")
    parts = path.relative_to(base).with_suffix("").parts
    package = parts[-1] == "__init__"
    return Module(
        name=".".join(parts[:-1] if package else parts),
        path=path.relative_to(root).as_posix(),
        package=package,
        text=text,
        tree=ast.parse(text),
    )


def modules(root: Path) -> list[Module]:
    """Return every module of the installed packages."""
    return [parse(root, path, root / folder.parent) for folder in ROOTS for path in python_files(root, folder)]


def within(name: str, prefix: str) -> bool:
    """Whether the dotted *name* is *prefix* or below it."""
    return name == prefix or name.startswith(prefix + ".")


def imports(module: Module, known: frozenset[str] = frozenset()) -> Iterator[Import]:
    """Yield what *module* imports; ``from a import b`` imports ``a.b`` where that is one of the *known* modules."""
    yield from _imports(module, module.tree.body, known, lazy=False)


def _imports(module: Module, nodes: list[ast.stmt], known: frozenset[str], *, lazy: bool) -> Iterator[Import]:
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(target=alias.name, names=(), line=node.lineno, lazy=lazy)
        elif isinstance(node, ast.ImportFrom):
            yield from _imports_from(module, node, known, lazy=lazy)
        else:
            inside = lazy or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            # The else branch of a typing-only block does run.
            typing_only = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
            for field, value in ast.iter_fields(node):
                if isinstance(value, list):
                    yield from _imports(module, _statements(value), known, lazy=inside or (typing_only and field == "body"))


def _statements(values: list[ast.AST]) -> list[ast.stmt]:
    found: list[ast.stmt] = []
    for value in values:
        if isinstance(value, ast.stmt):
            found.append(value)
        elif isinstance(value, (ast.ExceptHandler, ast.match_case)):
            found.extend(value.body)
    return found


def _imports_from(module: Module, node: ast.ImportFrom, known: frozenset[str], *, lazy: bool) -> Iterator[Import]:
    source = node.module or ""
    if node.level:
        parts = module.name.split(".")
        parts = parts[: len(parts) - node.level + module.package]
        source = ".".join([*parts, source] if source else parts)
    rest = []
    for alias in node.names:
        if f"{source}.{alias.name}" in known:
            yield Import(target=f"{source}.{alias.name}", names=(), line=node.lineno, lazy=lazy)
        else:
            rest.append(alias.name)
    if rest:
        yield Import(target=source, names=tuple(rest), line=node.lineno, lazy=lazy)
