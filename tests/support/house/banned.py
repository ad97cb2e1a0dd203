"""Calls that would make a run depend on something that is not recorded, each with what to use instead."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import field, frozen

from house.sets import orderless, set_iterations
from house.source import Module, modules, within

CLOCK = "ask ctx.now() in a node; elsewhere take the time as an argument, or let a performer stamp it"
CHANCE = "use ctx.random in a node, or a random.Random with a seed from the run"
IDENTITY = "use ctx.next_id() in a node, or count"
ENVIRONMENT = "take the value as an argument; the command line reads the environment"
ORDER = "wrap it in sorted(): the file system has no order"
COMPLETION = "go through the results in call order; who finished first is chance"

BANNED: Mapping[str, str] = {
    **dict.fromkeys(["time." + name for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time")], CLOCK),
    **dict.fromkeys(["time." + name for name in ("time_ns", "monotonic_ns", "perf_counter_ns", "process_time_ns")], CLOCK),
    **dict.fromkeys(["time." + name for name in ("localtime", "gmtime", "ctime", "asctime", "strftime")], CLOCK),
    **dict.fromkeys(["datetime.datetime." + name for name in ("now", "utcnow", "today")], CLOCK),
    "datetime.date.today": CLOCK,
    "random": CHANCE,
    "secrets": CHANCE,
    "os.urandom": CHANCE,
    "os.getrandom": CHANCE,
    **dict.fromkeys(["uuid." + name for name in ("uuid1", "uuid4", "uuid6", "uuid7")], IDENTITY),
    **dict.fromkeys(["os." + name for name in ("environ", "environb", "getenv", "getenvb", "putenv")], ENVIRONMENT),
    "asyncio.wait": COMPLETION,
    "asyncio.as_completed": COMPLETION,
    "concurrent.futures.wait": COMPLETION,
    "concurrent.futures.as_completed": COMPLETION,
    "print": "return the text; the command line prints it",
    "id": "use a key, or a number that you count: addresses differ from run to run",
}
"""Dotted name, a module standing for all it holds, to what to use instead."""

SEEDED = "random.Random"
"""The one name in `random` that may be used, if it is given a seed."""

LISTINGS = frozenset({"os.listdir", "os.scandir", "os.walk", "glob.glob", "glob.iglob"})
LISTING_METHODS = frozenset({"iterdir", "glob", "rglob"})


@frozen(kw_only=True)
class Finding:
    """One banned use."""

    line: int
    """Where."""
    name: str
    """What, as an exemption names it."""
    instead: str
    """What to use."""


def check_banned(root: Path, exempt: Mapping[tuple[str, str], str], *, outside: tuple[str, ...]) -> list[str]:
    """Report banned uses in the installed packages, but for the modules in *outside*, where the world is allowed in.

    *exempt* maps (module, name) to the reason why it may stand there. An exemption that exempts nothing is a problem too.
    """
    problems = []
    used = set()
    for module in modules(root):
        if any(within(module.name, prefix) for prefix in outside):
            continue
        for finding in findings(module):
            if (module.name, finding.name) in exempt:
                used.add((module.name, finding.name))
            else:
                problems.append(module.problem(finding.line, f"{finding.name} is banned; {finding.instead}"))
    stale = [f"the exemption of {name} in {module} exempts nothing; remove it" for module, name in sorted(exempt.keys() - used)]
    return problems + stale


def findings(module: Module) -> list[Finding]:
    """Return the banned uses in *module*, in order."""
    reader = _Reader()
    reader.visit(module.tree)
    found = [*reader.found, *_listings(module, reader), *_line_splits(module)]
    found += [
        Finding(line=node.lineno, name="set iteration", instead="wrap it in sorted(): a set has no order")
        for node in set_iterations(module.tree)
    ]
    return sorted(found, key=lambda finding: (finding.line, finding.name))


def _line_splits(module: Module) -> Iterator[Finding]:
    if within(module.name, "frameengine.trace"):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and node.attr == "splitlines":
                instead = r'split on b"\n": str.splitlines() also cuts at characters that JSON strings may hold'
                yield Finding(line=node.lineno, name="splitlines", instead=instead)


def _listings(module: Module, reader: _Reader) -> Iterator[Finding]:
    parents = {child: parent for parent in ast.walk(module.tree) for child in ast.iter_child_nodes(parent)}
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call) or orderless(node, parents):
            continue
        dotted = reader.dotted(node.func)
        if dotted in LISTINGS:
            yield Finding(line=node.lineno, name=dotted, instead=ORDER)
        elif dotted is None and isinstance(node.func, ast.Attribute) and node.func.attr in LISTING_METHODS:
            yield Finding(line=node.lineno, name=node.func.attr, instead=ORDER)


@frozen(slots=False)
class _Reader(ast.NodeVisitor):
    """Follow names back to the modules they come from, and note those that are banned.

    A reference counts like a call: a clock that is passed on is a clock that is read.
    """

    found: list[Finding] = field(factory=list)
    origins: dict[str, str] = field(factory=dict)
    """Name in this module to the dotted name of what it stands for, wherever in the module it was imported."""
    bound: list[frozenset[str]] = field(factory=list)
    """Names that each scope around this place binds itself, and which therefore are no builtins."""

    def visit_Module(self, node: ast.Module) -> None:
        """Learn all imports first: a function may use what stands below it."""
        for child in ast.walk(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    top = alias.name.split(".")[0]
                    self.origins[alias.asname or top] = alias.name if alias.asname else top
            elif isinstance(child, ast.ImportFrom) and child.module and not child.level:
                for alias in child.names:
                    self.origins[alias.asname or alias.name] = f"{child.module}.{alias.name}"
                    self._note(f"{child.module}.{alias.name}", child)
        self._scope(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Enter a function."""
        self._scope(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        """Enter a coroutine."""
        self._scope(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Enter a lambda."""
        self._scope(node)

    def visit_Name(self, node: ast.Name) -> None:
        """Look at a bare name."""
        if isinstance(node.ctx, ast.Load):
            self._note(self.dotted(node), node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Look at a dotted name as a whole, or at what stands before the dot."""
        dotted = self.dotted(node)
        if dotted is None:
            self.generic_visit(node)
        else:
            self._note(dotted, node)

    def visit_Call(self, node: ast.Call) -> None:
        """Look for generators that are given no seed."""
        if self.dotted(node.func) == SEEDED and not node.args and not node.keywords:
            self.found.append(Finding(line=node.lineno, name=f"{SEEDED}()", instead=CHANCE))
        self.generic_visit(node)

    def dotted(self, node: ast.expr) -> str | None:
        """Return the dotted name that an expression stands for, or None where it is no imported or built-in name."""
        if isinstance(node, ast.Attribute):
            before = self.dotted(node.value)
            return None if before is None else f"{before}.{node.attr}"
        if not isinstance(node, ast.Name):
            return None
        if any(node.id in names for names in self.bound):
            return None
        return self.origins.get(node.id, node.id if node.id in BANNED and node.id not in _MODULES else None)

    def _note(self, dotted: str | None, node: ast.stmt | ast.expr) -> None:
        if dotted is None or within(dotted, SEEDED) or dotted in _MODULES:
            return
        for banned, instead in BANNED.items():
            if within(dotted, banned):
                self.found.append(Finding(line=node.lineno, name=banned if banned not in _MODULES else dotted, instead=instead))

    def _scope(self, node: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        self.bound.append(frozenset(_binds(node)))
        self.generic_visit(node)
        self.bound.pop()


_MODULES = frozenset({"random", "secrets"})
"""Banned as a whole; to import them is no use yet."""


def _binds(scope: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Iterator[str]:
    """Yield the names that *scope* binds by assignment or as arguments; not by import, and not what inner scopes bind."""
    if not isinstance(scope, ast.Module):
        arguments = scope.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        yield from [argument.arg for argument in every if argument is not None]
    waiting: list[ast.AST] = [scope.body] if isinstance(scope, ast.Lambda) else list(scope.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        if not isinstance(node, ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))
