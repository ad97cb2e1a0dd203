"""Name what a node must not touch, and find it in a module's source before the module runs.

The table serves all levels of `frameengine.engine.guard`. The scan follows imports and aliases, not values: it reports what is
sure from the text (`import time as t; t.time()`). Annotations and the second argument of ``isinstance`` are not looked at: naming
a type touches nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import lru_cache
from types import MappingProxyType
from typing import TypeAlias

from attrs import frozen

from frameengine.engine.guard_tables import KEY, PURE, SORTED, TABLE, WORLD, ZONE

_ROWS = [(f"{o}.{name}".strip("."), way) for way, owners, names in TABLE for o in owners.split(" ") for name in names.split()]
INSTEAD = MappingProxyType(dict(reversed(_ROWS)))
"""Qualified name -> what to use instead; an earlier row of the table wins."""
OWNERS = frozenset(".".join(name.split(".")[:end]) for name in INSTEAD for end in range(1, name.count(".") + 1))
"""Modules and classes with refused members, and the packages that they are in."""
PURE_FROM = MappingProxyType(
    {"time.gmtime": 1, "time.asctime": 1, "time.strftime": 2, "random.Random": 1, "datetime.datetime.fromtimestamp": 2}
)
"""Functions of their arguments alone once they get this many (the last one not None)."""
_PURE_ENDINGS = ("Error", "Exception", "Expired", "Warning", "error", "timeout")
_LISTINGS = frozenset("os.listdir os.scandir glob.glob glob.iglob pathlib.Path.iterdir pathlib.Path.glob".split())
_ORDERLESS = frozenset("sorted set frozenset len any all min max".split())
_PASSES_ON = frozenset("list tuple map filter iter".split())
_KEEPS_ORDER = frozenset(
    "list tuple map filter iter enumerate zip str repr format sum functools.reduce collections.deque dict.fromkeys".split()
)
_KEEPS_ORDER_METHODS = frozenset("join extend fromkeys writelines format".split())
_SET_METHODS = frozenset("union difference intersection symmetric_difference copy".split())
_SET_TYPES = frozenset("set frozenset Set FrozenSet AbstractSet MutableSet".split())
_SET_OPERATORS = (ast.BitOr, ast.BitAnd, ast.Sub, ast.BitXor)
IDENTITY_METHODS = frozenset(["__hash__", "__deepcopy__"])
"""Methods in which ``hash`` and ``id`` are at home: their values stay inside a dict, which keeps the order of insertion."""
_SET = "<set>"
_ALIAS_DEPTH = 8

Binding: TypeAlias = "str | ast.expr | None"
"""What a name stands for in a scope: a qualified name, the expression assigned to it, or something unknown."""
_Chain: TypeAlias = "tuple[_Scope, ...]"
_Functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@frozen(kw_only=True)
class Finding:
    """Say what a module touches, and where."""

    name: str
    """Qualified name, or a few words (``iteration over a set``)."""
    instead: str
    """What to use instead."""
    file: str
    """File name, as it was given to `scan`."""
    line: int
    """Line, from 1."""


@lru_cache(maxsize=4096)
def instead_of(name: str) -> str | None:
    """Return what to use instead of a qualified name, None when it may be used."""
    owner, _, member = name.rpartition(".")
    pure = name in PURE or member.isupper() or member[:1] == "_" or member.endswith(_PURE_ENDINGS)
    return INSTEAD.get(name) or (None if pure else INSTEAD.get(owner + ".*"))


@lru_cache(maxsize=1024)
def scan(module_source: str, filename: str, line: int = 0) -> tuple[Finding, ...]:
    """Return what a module touches, in order of lines. Raises SyntaxError as the compiler does.

    *line*, if given, is in the class that matters: what it cannot reach by name is left out, so that tests may stand beside it.
    Remembered for each text, because every run of a process watches the same few modules.
    """
    tree = ast.parse(module_source, filename)
    scanner = _Scan(filename)
    scanner.inside(tree, tree.body, tree.body)
    parts = _reachable(tree, line)
    found = [item for item in scanner.findings.values() if any(item.line in part for part in parts)]
    return tuple(sorted(found, key=lambda item: (item.line, item.name)))


def _lines(part: ast.stmt) -> range:
    return range(part.lineno, (part.end_lineno or part.lineno) + 1)


def _reachable(tree: ast.Module, line: int) -> list[range]:
    """Return the lines of the class around a line, and of all that it reaches by name in its module and the functions around."""
    around = [node for node in ast.walk(tree) if isinstance(node, (ast.ClassDef, *_Functions[:2])) and line in _lines(node)]
    classes = [node for node in around if isinstance(node, ast.ClassDef)]
    if not classes:
        return [_lines(part) for part in tree.body]
    defined: dict[str, list[ast.stmt]] = {}
    for part in (*tree.body, *(part for node in around if not isinstance(node, ast.ClassDef) for part in node.body)):
        for name in _scope(part, [part]).names:
            defined.setdefault(name, []).append(part)
    reached: list[ast.stmt] = [classes[0]]
    for part in reached:  # grows while it is read
        names = [node.id for node in ast.walk(part) if isinstance(node, ast.Name)]
        reached.extend(item for name in names for item in defined.pop(name, ()))
    return [_lines(part) for part in reached]


@frozen
class _Scope:
    node: ast.AST
    names: dict[str, list[Binding]]


def _own_nodes(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield the nodes of one scope, without those of scopes inside it."""
    stack = list(body)
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, (*_Functions, ast.ClassDef)) and not hasattr(node, "generators"):
            stack.extend(ast.iter_child_nodes(node))


def _set_annotation(node: ast.expr | None) -> bool:
    kind = node.value if isinstance(node, ast.Subscript) else node
    return getattr(kind, "id", getattr(kind, "attr", "")) in _SET_TYPES


def _scope(owner: ast.AST, body: Iterable[ast.AST]) -> _Scope:
    """Collect what each name of a scope is bound to."""
    scope = _Scope(owner, {})
    outside: list[str] = []
    taken: dict[tuple[int, int], bool] = {}  # places of targets that were bound together with their value

    def bind(name: str | None, value: Binding = None) -> None:
        scope.names.setdefault(name or "_", []).append(value)

    for node in _own_nodes(body):
        match node:
            case ast.Import(names=aliases):
                for alias in aliases:
                    name = alias.name if alias.asname else alias.name.partition(".")[0]
                    bind(alias.asname or name, name)
            case ast.ImportFrom(module=module, names=aliases, level=level):
                for alias in aliases:
                    bind(alias.asname or alias.name, None if level else f"{module}.{alias.name}")
            case (
                ast.Assign(targets=[ast.Name(id=name) as target], value=value)
                | ast.NamedExpr(target=ast.Name(id=name) as target, value=value)
            ):
                taken[target.lineno, target.col_offset] = True
                bind(name, value)
            case ast.AnnAssign(target=ast.Name() as target) | ast.AugAssign(target=ast.Name() as target):
                taken[target.lineno, target.col_offset] = True
                if isinstance(node, ast.AnnAssign):
                    bind(target.id, _SET if _set_annotation(node.annotation) else node.value)
            case ast.Name(id=name, ctx=ast.Store()) if (node.lineno, node.col_offset) not in taken:
                bind(name)
            case ast.arg(arg=name, annotation=annotation):
                bind(name, _SET if _set_annotation(annotation) else None)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                bind(name)
            case ast.ExceptHandler(name=name) | ast.MatchAs(name=name) | ast.MatchStar(name=name) | ast.MatchMapping(rest=name):
                bind(name)
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                outside.extend(names)
    for name in outside:
        scope.names.pop(name, None)
    return scope


class _Scan:
    """Walk one module; `findings` are kept once for each name and line."""

    def __init__(self, filename: str) -> None:
        self.filename = filename
        self.findings: dict[tuple[int, str], Finding] = {}
        self.chain: _Chain = ()

    def found(self, node: ast.expr | ast.stmt, name: str, instead: str) -> None:
        self.findings.setdefault((node.lineno, name), Finding(name=name, instead=instead, file=self.filename, line=node.lineno))

    def bindings(self, name: str, chain: _Chain) -> tuple[list[Binding], _Chain] | None:
        """Look a name up from the inside out; a class body is seen by itself only. None: it is a builtin."""
        for depth in range(len(chain), 0, -1):
            scope = chain[depth - 1]
            hidden = isinstance(scope.node, ast.ClassDef) and depth < len(chain)
            if name in scope.names and not hidden:
                return scope.names[name], chain[:depth]
        return None

    def resolve(self, node: ast.AST, chain: _Chain | None = None, depth: int = 0) -> str | None:
        """Return the qualified name that an expression stands for, if the text says so."""
        chain = self.chain if chain is None else chain
        if depth > _ALIAS_DEPTH:
            return None
        match node:
            case ast.Name(id=name):
                found = self.bindings(name, chain)
                if found is None:
                    return name
                bindings, where = found
                sure = next((binding for binding in bindings if isinstance(binding, str)), None)
                alone = bindings[0] if len(bindings) == 1 else None
                return sure or (self.resolve(alone, where, depth + 1) if isinstance(alone, ast.expr) else None)
            case (
                ast.Attribute(value=value, attr=attr)
                | ast.Call(func=ast.Name(id="getattr"), args=[value, ast.Constant(value=str(attr)), *_])
            ):
                base = self.resolve(value, chain, depth + 1)
                return f"{base}.{attr}" if base else None
            case ast.Call(func=origin) | ast.BinOp(left=origin, op=ast.Div()):
                made_by = self.resolve(origin, chain, depth + 1)
                if made_by in ("__import__", "importlib.import_module"):
                    return next(
                        (str(item.value) for item in getattr(node, "args", ())[:1] if isinstance(item, ast.Constant)), None
                    )
                return made_by if made_by == "pathlib.Path" else None
        return None

    def is_set(self, node: ast.AST, chain: _Chain | None = None, depth: int = 0) -> bool:
        """Tell whether an expression is a set for sure."""
        chain = self.chain if chain is None else chain
        if depth > _ALIAS_DEPTH:
            return False
        match node:
            case ast.Set() | ast.SetComp():
                return True
            case ast.Call(func=ast.Attribute(value=value, attr=attr)) if attr in _SET_METHODS:
                return self.is_set(value, chain, depth + 1)
            case ast.Call(func=func):
                return self.resolve(func, chain) in ("set", "frozenset")
            case ast.BinOp(left=ast.Call(func=ast.Attribute(attr="keys" | "items")), op=op) if isinstance(op, _SET_OPERATORS):
                return True
            case ast.BinOp(left=one, right=two) | ast.IfExp(body=one, orelse=two):
                fits = isinstance(node, ast.IfExp) or isinstance(node.op, _SET_OPERATORS)
                return fits and any(self.is_set(side, chain, depth + 1) for side in (one, two))
            case ast.Name(id=name):
                items, where = self.bindings(name, chain) or ([None], ())
                some = [item for item in items if not (isinstance(item, ast.Constant) and item.value is None)]
                return bool(some) and all(
                    item == _SET or (isinstance(item, ast.expr) and self.is_set(item, where, depth + 1)) for item in some
                )
            case ast.Attribute(value=ast.Name(id=owner), attr=attr):
                for scope in reversed(chain):
                    if isinstance(scope.node, ast.ClassDef) and owner in ("self", "cls", scope.node.name):
                        return self.is_set_in_class(scope, attr, chain, depth + 1)
        return False

    def is_set_in_class(self, scope: _Scope, attr: str, chain: _Chain, depth: int) -> bool:
        """Tell whether a name that a class's body binds is a set there."""
        items = [item for item in scope.names.get(attr, ()) if not (isinstance(item, ast.Constant) and item.value is None)]
        return bool(items) and all(
            item == _SET or (isinstance(item, ast.expr) and self.is_set(item, chain, depth)) for item in items
        )

    def inside(self, owner: ast.AST, names: Iterable[ast.AST], body: Iterable[ast.AST]) -> None:
        self.chain = (*self.chain, _scope(owner, names))
        for node in body:
            self.visit(node)
        self.chain = self.chain[:-1]

    def visit(self, node: ast.AST, orderless: bool = False) -> None:
        """Look at one node. *orderless*: whoever takes its value does not see its order."""
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                for outer in (*getattr(node, "decorator_list", ()), *node.args.defaults, *filter(None, node.args.kw_defaults)):
                    self.visit(outer)
                body = [node.body] if isinstance(node, ast.Lambda) else node.body
                self.inside(node, [*ast.iter_child_nodes(node.args), *body], body)
            case ast.ClassDef():
                for outer in (*node.decorator_list, *node.bases, *node.keywords):
                    self.visit(outer)
                self.inside(node, node.body, node.body)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                self.comprehension(node, orderless or isinstance(node, ast.SetComp))
            case ast.Call():
                self.call(node, orderless)
            case ast.Name(ctx=ast.Load()) | ast.Attribute(ctx=ast.Load()):
                self.reference(node, orderless)
            case (
                ast.For(iter=items)
                | ast.AsyncFor(iter=items)
                | ast.YieldFrom(value=items)
                | ast.Starred(value=items, ctx=ast.Load())
                | ast.Assign(targets=[ast.Tuple() | ast.List()], value=items)
                | ast.FormattedValue(value=items)
            ):
                self.order(items)
                self.children(node)
            case ast.BinOp(op=ast.Mod(), right=right):
                for value in right.elts if isinstance(right, ast.Tuple) else (right,):
                    self.order(value)
                self.children(node)
            case ast.AnnAssign(value=value):
                self.visit(value or ast.Pass())
            case ast.Set(elts=elements):
                for element in elements:
                    self.visit(element.value if isinstance(element, ast.Starred) else element)
            case _:
                self.children(node)

    def children(self, node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            self.visit(child)

    def order(self, items: ast.expr) -> None:
        if self.is_set(items):
            self.found(items, "iteration over a set", SORTED)

    def comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp, orderless: bool) -> None:
        for generator in () if orderless else node.generators:
            self.order(generator.iter)
        self.visit(node.generators[0].iter, orderless)
        results = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        rest = [part for each in node.generators for part in (each.iter, *each.ifs)][1:]
        self.inside(node, [generator.target for generator in node.generators], [*rest, *results])

    def reference(self, node: ast.Name | ast.Attribute, orderless: bool) -> None:
        name = self.resolve(node)
        instead = instead_of(name) if name else None
        if name and instead:
            functions = [scope.node.name for scope in self.chain if isinstance(scope.node, _Functions[:2])]
            at_home = name in ("id", "hash") and functions[-1:] and functions[-1] in IDENTITY_METHODS
            if not at_home and name not in PURE_FROM and not (orderless and name in _LISTINGS):
                self.found(node, name, instead)
        elif isinstance(node, ast.Attribute):
            self.visit(node.value)

    def call(self, node: ast.Call, orderless: bool) -> None:
        name = self.resolve(node.func) or ""
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        arguments: list[ast.expr] = [*node.args, *(keyword.value for keyword in node.keywords)]
        if name in PURE_FROM and not _enough(node, PURE_FROM[name]):
            self.found(node, name, INSTEAD[name])
        elif method in ("iterdir", "rglob") and not instead_of(name) and not orderless:
            self.found(node, f"pathlib.Path.{method}", WORLD)
        elif method == "astimezone" and not arguments:
            self.found(node, "datetime.datetime.astimezone", ZONE)
        elif name in ("weakref.ref", "weakref.proxy") and len(arguments) > 1:
            self.found(node, f"{name} with a callback", KEY)
        elif method == "pop" and not arguments and isinstance(node.func, ast.Attribute) and self.is_set(node.func.value):
            self.found(node, "set.pop", SORTED)
        by_key = any(keyword.arg == "key" for keyword in node.keywords)
        keeps = name in _KEEPS_ORDER or method in _KEEPS_ORDER_METHODS or name.startswith("itertools.")
        if (keeps or (by_key and name in _ORDERLESS)) and not (orderless and name in _PASSES_ON):
            for argument in arguments:
                self.order(argument)
        if name == "getattr" and (whole := self.resolve(node)) and (instead := instead_of(whole)):
            self.found(node, whole, instead)
        self.visit(node.func, orderless)
        for argument in arguments[:1] if name in ("isinstance", "issubclass") else arguments:
            self.visit(argument, (name in _ORDERLESS and not by_key) or (orderless and name in _PASSES_ON))


def _enough(node: ast.Call, count: int) -> bool:
    spread = any(isinstance(argument, ast.Starred) for argument in node.args) or any(item.arg is None for item in node.keywords)
    values = [*node.args, *(keyword.value for keyword in node.keywords)]
    return spread or (len(values) >= count and getattr(values[count - 1], "value", values) is not None)
