"""Find places where the order of a set would reach a result.

Only what a reader of one module can tell: literals, ``set()`` and ``frozenset()``, their unions and differences, differences of
dictionary views, and names and fields that are annotated as sets or assigned from one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

ORDERLESS = frozenset({"sorted", "set", "frozenset", "any", "all", "len", "min", "max"})
"""Functions whose result does not depend on the order of their argument."""
ORDERED = frozenset({"list", "tuple", "enumerate", "iter", "map", "filter", "zip", "sum", "reduce", "sorted", "min", "max"})
"""Functions whose result does, the last three if they are given a key (see `orderless`)."""
ORDERED_METHODS = frozenset({"join", "extend", "fromkeys"})
SET_METHODS = frozenset({"union", "intersection", "difference", "symmetric_difference"})
SET_TYPES = frozenset({"set", "frozenset", "Set", "AbstractSet", "MutableSet"})
ALGEBRA = (ast.BitOr, ast.BitAnd, ast.BitXor, ast.Sub)

Parents = Mapping[ast.AST, ast.AST]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def orderless(node: ast.expr, parents: Parents) -> bool:
    """Whether the order of what *node* yields is lost, or made, before anything can see it."""
    parent = parents[node]
    if isinstance(parent, ast.comprehension):
        whole = parents[parent]
        return isinstance(whole, ast.SetComp) or (
            isinstance(whole, (ast.GeneratorExp, ast.ListComp)) and parent is whole.generators[0] and orderless(whole, parents)
        )
    if not isinstance(parent, ast.Call) or not isinstance(parent.func, ast.Name) or parent.func.id not in ORDERLESS:
        return False
    # With a key, equal members come out in the order in which they went in.
    return node in parent.args and not (parent.func.id in {"sorted", "min", "max"} and _has_key(parent))


def _has_key(call: ast.Call) -> bool:
    return any(keyword.arg == "key" for keyword in call.keywords)


def set_iterations(tree: ast.Module) -> list[ast.expr]:
    """Return the expressions that are sets and whose order is looked at."""
    parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    fields = frozenset(
        node.target.id
        for scope in ast.walk(tree)
        if isinstance(scope, ast.ClassDef)
        for node in scope.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and _is_set_type(node.annotation)
    )
    found: list[ast.expr] = []
    for scope in ast.walk(tree):
        if isinstance(scope, (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef)):
            names = _set_names(scope, fields)
            found += [node for node in _looked_at(_own(scope)) if _is_set(node, names, fields) and not orderless(node, parents)]
    return found


def _own(scope: ast.Module | Function) -> list[ast.AST]:
    """Return the nodes of *scope* that do not belong to a function inside it."""
    own: list[ast.AST] = []
    waiting: list[ast.AST] = list(scope.body)
    while waiting:
        node = waiting.pop()
        own.append(node)
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            waiting.extend(ast.iter_child_nodes(node))
    return own


def _set_names(scope: ast.Module | Function, fields: frozenset[str]) -> frozenset[str]:
    """Return the names in *scope* that are sets wherever they are assigned."""
    names: set[str] = set()
    others: set[str] = set()
    if not isinstance(scope, ast.Module):
        arguments = scope.args
        for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
            if argument.annotation is not None and _is_set_type(argument.annotation):
                names.add(argument.arg)
    # In the order of the source, so that a name which is made from another is known after it.
    for node in sorted(_own(scope), key=lambda node: (getattr(node, "lineno", 0), getattr(node, "col_offset", 0))):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            (names if _is_set_type(node.annotation) else others).add(node.target.id)
        elif isinstance(node, ast.Assign):
            kind = names if _is_set(node.value, frozenset(names), fields) else others
            kind.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return frozenset(names - others)


def _is_set_type(annotation: ast.expr) -> bool:
    text = ast.unparse(annotation).strip("'\"")
    return text.split("[")[0].split(".")[-1] in SET_TYPES


def _is_set(node: ast.expr, names: frozenset[str], fields: frozenset[str]) -> bool:
    if isinstance(node, (ast.Set, ast.SetComp)):
        return True
    if isinstance(node, ast.Name):
        return node.id in names
    if isinstance(node, ast.Attribute):
        return node.attr in fields
    if isinstance(node, ast.IfExp):
        return _is_set(node.body, names, fields) or _is_set(node.orelse, names, fields)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ALGEBRA):
        return any(_is_set(side, names, fields) or _is_view(side) for side in (node.left, node.right))
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute):
            return node.func.attr in SET_METHODS and _is_set(node.func.value, names, fields)
        return isinstance(node.func, ast.Name) and node.func.id in {"set", "frozenset"}
    return False


def _is_view(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"keys", "items"}


def _looked_at(nodes: list[ast.AST]) -> Iterator[ast.expr]:
    """Yield the expressions whose order matters where they stand."""
    for node in nodes:
        if isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)):
            yield node.iter
        elif isinstance(node, (ast.Starred, ast.YieldFrom)):
            yield node.value
        elif isinstance(node, ast.Call):
            if (isinstance(node.func, ast.Name) and node.func.id in ORDERED) or (
                isinstance(node.func, ast.Attribute) and node.func.attr in ORDERED_METHODS
            ):
                yield from node.args
            elif isinstance(node.func, ast.Attribute) and node.func.attr == "pop" and not node.args:
                yield node.func.value
