"""Safe expressions: one evaluator for edge conditions, breakpoints, watchpoints and assertions.

``analysis.intent == "social" and analysis.complexity == "trivial"`` is a subset of Python that reads JSON and can do nothing
else: names, members and items of the values it is given, literals, comparisons, ``and or not``, ``+ - *`` on numbers,
``len(x)`` and ``lower(x)``. Nothing is looked up with ``getattr``, nothing loops, numbers stay within 64 bits and strings are
never joined, so the cost of an evaluation is known when the expression is compiled: it takes at most one step for each part.

A member is a key: ``a.b`` reads ``a["b"]``. Lists and tuples are the same thing, truth and equality are Python's (``True == 1``).
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, Final, TypeAlias

from attrs import field, frozen

from frameengine import limits
from frameengine.errors import ExpressionError, ValueRefused
from frameengine.jsonvalue import EMPTY, FrozenMap, Json, freeze

ALLOWED: Final = (
    'allowed are names, a.b, a["b"], a[0], literals, lists of literals, == != < <= > >= in, is None, '
    "and or not, + - * on numbers, len(x) and lower(x)"
)
"""What an expression may be made of, for people."""

Evaluator: TypeAlias = Callable[[Mapping[str, Json]], Json]
Operation: TypeAlias = Callable[[Any, Any], Any]


class ExpressionMissing(ExpressionError):
    """An expression read a name, member or item that is not there; ``fields['name']`` is what it looked for."""

    code = "expression.missing"


@frozen
class Expression:
    """An expression that passed every check and can be evaluated any number of times."""

    text: str
    """As it was written."""
    names: tuple[str, ...] = field(kw_only=True)
    """Free names in order of first use, those of inlined definitions included."""
    definitions: FrozenMap = field(kw_only=True, hash=False, repr=False)
    """The definitions that were inlined: name -> text."""
    _run: Evaluator = field(kw_only=True, eq=False, repr=False, alias="run")

    def evaluate(self, names: Mapping[str, Json]) -> Json:
        """Return the value for *names*, which hold frozen JSON.

        Raises `ExpressionMissing` where something is not there and `ExpressionError` where an operation does not suit its values.
        """
        return self._run(names)

    def __reduce__(self) -> tuple[Any, ...]:
        return (compile_expression, (self.text, self.definitions))


def compile_expression(text: str, definitions: Mapping[str, str] = EMPTY) -> Expression:
    """Check *text* and compile it; a name that stands in *definitions* is replaced by that expression.

    Raises `ExpressionError` with the column for whatever is outside the subset, and `LimitError` for a text longer than
    `limits.EXPRESSION_CHARS_MAX` or, definitions included, more than `limits.EXPRESSION_STEPS_MAX` steps.
    """
    scope = _Scope(definitions)
    part = _Part(text, scope, 0)
    used = freeze({name: definitions[name] for name in scope.parts})
    return Expression(text, names=tuple(part.names), definitions=used, run=part.run)


@frozen
class _Place:
    """Where in which text something stands."""

    text: str
    column: int

    def error(self, what: str, hint: str) -> ExpressionError:
        """Return the error that says *what* is wrong here."""
        message = f"{what}, at column {self.column} of {self.text!r}"
        return ExpressionError(message, hint=hint, text=self.text, column=self.column)

    def missing(self, what: str, name: str | int, known: Mapping[str, Json] = EMPTY) -> ExpressionMissing:
        """Return the error for *name*, which is not there; *known*: what is."""
        message = f"{what} {name!r}, at column {self.column} of {self.text!r}"
        hint = f"there are {', '.join(list(known)[:12])}" if known else "check the spelling, or test 'name' in mapping first"
        return ExpressionMissing(message, hint=hint, text=self.text, column=self.column, name=name)


class _Scope:
    """The definitions of one compilation: each is compiled once, however often it is used."""

    def __init__(self, definitions: Mapping[str, str]) -> None:
        self.definitions = definitions
        self.parts: dict[str, _Part] = {}
        self.open: list[str] = []

    def defined(self, name: str, depth: int) -> _Part:
        """Return the definition called *name*, which must not be one that is being compiled."""
        known = self.parts.get(name)
        if known is None:
            self.open.append(name)
            known = _Part(self.definitions[name], self, depth)
            self.open.pop()
            self.parts[name] = known
        return known


class _Part:
    """One text, compiled into nested closures, that stands *depth* levels deep in the expression."""

    def __init__(self, text: str, scope: _Scope, depth: int) -> None:
        limits.check("length of an expression", limits.EXPRESSION_CHARS_MAX, len(text), "name parts of it under [conditions]")
        self.text = text
        self.margin = len(text) - len(text.lstrip(" \t"))
        self.scope = scope
        self.names: dict[str, None] = {}
        self.steps = 0
        self.deepest = depth
        self.run = self.build(_parse(text, self.margin), depth)
        self.levels = self.deepest - depth

    def build(self, node: ast.expr, depth: int) -> Evaluator:
        """Compile one part that stands *depth* levels deep."""
        self.count(1)
        self.reach(node, depth)
        build = _BUILDERS.get(type(node))
        if build is None:
            raise self.refused(node, f"{_WORDS.get(type(node), type(node).__name__)} is not allowed")
        return build(self, node, depth + 1)

    def count(self, steps: int) -> None:
        """Add to the steps of an evaluation, whose number is bounded before anything runs."""
        self.steps += steps
        limits.check("steps of an expression", limits.EXPRESSION_STEPS_MAX, self.steps, "use fewer nested conditions")

    def reach(self, node: ast.expr, depth: int) -> None:
        """Refuse a part that stands too deep: evaluation must not depend on how much stack the caller left."""
        self.deepest = max(self.deepest, depth)
        if depth > limits.DEPTH_MAX:
            raise self.refused(node, f"nested deeper than {limits.DEPTH_MAX}")

    def public(self, node: ast.expr, name: str) -> str:
        """Return *name* unless it starts with an underscore."""
        if name.startswith("_"):
            raise self.refused(node, f"the name {name!r} starts with an underscore")
        return name

    def place(self, node: ast.expr) -> _Place:
        """Return where *node* begins, in code points of the whole text, from 1."""
        lines = _lines(self.text[self.margin :])
        inside = lines[node.lineno - 1].encode()[: node.col_offset].decode()
        return _Place(self.text, self.margin + sum(map(len, lines[: node.lineno - 1])) + len(inside) + 1)

    def refused(self, node: ast.expr, what: str) -> ExpressionError:
        """Return the error for a part that is outside the subset."""
        return self.place(node).error(what, ALLOWED)


def _parse(text: str, margin: int) -> ast.expr:
    try:
        return ast.parse(text[margin:], "<expression>", mode="eval").body
    except SyntaxError as error:
        before = margin + sum(map(len, _lines(text[margin:])[: (error.lineno or 1) - 1]))
        # The parser says 0 where it reached the end and wanted more.
        column = min(before + error.offset, len(text) + 1) if error.offset else len(text) + 1
        raise _Place(text, max(column, 1)).error(error.msg, ALLOWED) from None
    except (RecursionError, MemoryError):
        raise _Place(text, 1).error(f"nested deeper than {limits.DEPTH_MAX}", "split it, or name parts of it") from None
    except ValueError as error:
        raise _Place(text, 1).error(str(error), "remove the characters that Python source cannot hold") from None


def _lines(text: str) -> list[str]:
    return re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$", text)


def _name(part: _Part, node: ast.Name, depth: int) -> Evaluator:
    place, name, scope = part.place(node), part.public(node, node.id), part.scope
    if name in scope.open:
        circle = " -> ".join([*scope.open[scope.open.index(name) :], name])
        raise place.error(f"{name!r} stands for itself ({circle})", "break the circle")
    if name in scope.definitions:
        inner = scope.defined(name, depth)
        part.count(inner.steps)
        part.reach(node, depth + inner.levels)
        part.names.update(inner.names)
        return inner.run
    part.names[name] = None

    def run(names: Mapping[str, Json]) -> Json:
        try:
            return names[name]
        except KeyError:
            raise place.missing("there is no", name) from None

    return run


def _member(part: _Part, node: ast.Attribute, depth: int) -> Evaluator:
    place, key = part.place(node), part.public(node, node.attr)
    value = part.build(node.value, depth)
    return lambda names: _read(value(names), key, place)


def _item(part: _Part, node: ast.Subscript, depth: int) -> Evaluator:
    if isinstance(node.slice, ast.Slice | ast.Tuple):
        raise part.refused(node, "a slice is not allowed")
    place = part.place(node)
    value, index = part.build(node.value, depth), part.build(node.slice, depth)
    return lambda names: _read(value(names), index(names), place)


def _read(owner: Json, step: Json, place: _Place) -> Json:
    if isinstance(owner, _MAPPING) if isinstance(step, str) else type(step) is int and isinstance(owner, _SEQUENCE):
        try:
            return owner[step]
        except LookupError:
            raise place.missing("there is no member", step, owner if isinstance(step, str) else EMPTY) from None
    if owner is None and isinstance(step, str | int):
        raise place.missing("null has no member", step)
    what = f"{_kind(owner)} has no member {step!r}" if isinstance(step, str | int) else f"{_kind(step)} names no member"
    raise place.error(what, "mappings have members with names, lists have items with numbers")


def _constant(part: _Part, node: ast.expr, depth: int) -> Evaluator:
    value = _literal(part, node, depth)
    return lambda _names: value


def _literal(part: _Part, node: ast.expr, depth: int) -> Json:
    if isinstance(node, ast.List | ast.Tuple):
        part.count(len(node.elts))
        part.reach(node, depth)
        return tuple([_literal(part, item, depth + 1) for item in node.elts])
    value: Any = node
    if isinstance(node, ast.Constant):
        value = node.value
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        value = -node.operand.value if isinstance(node.operand.value, int | float) else node
    if value is node:
        raise part.refused(node, "a list may hold literals only")
    try:
        return freeze(value)
    except ValueRefused as error:
        raise part.refused(node, error.message) from None


def _logic(part: _Part, node: ast.BoolOp, depth: int) -> Evaluator:
    *firsts, last = [part.build(value, depth) for value in node.values]
    stop_at = isinstance(node.op, ast.Or)

    def run(names: Mapping[str, Json]) -> Json:
        for operand in firsts:
            value = operand(names)
            if (not value) is not stop_at:
                return value
        return last(names)

    return run


def _unary(part: _Part, node: ast.UnaryOp, depth: int) -> Evaluator:
    if isinstance(node.op, ast.Not):
        value = part.build(node.operand, depth)
        return lambda names: not value(names)
    if isinstance(node.op, ast.Invert):
        raise part.refused(node, "the operator ~ is not allowed")
    sign = -1 if isinstance(node.op, ast.USub) else 1
    return _calculation(part, node, operator.mul, (part.build(node.operand, depth), lambda _names: sign))


def _arithmetic(part: _Part, node: ast.BinOp, depth: int) -> Evaluator:
    operation = _ARITHMETIC.get(type(node.op))
    if operation is None:
        raise part.refused(node, f"the operator {type(node.op).__name__} is not allowed")
    return _calculation(part, node, operation, (part.build(node.left, depth), part.build(node.right, depth)))


def _calculation(part: _Part, node: ast.expr, operation: Operation, operands: tuple[Evaluator, Evaluator]) -> Evaluator:
    place = part.place(node)
    left, right = operands

    def run(names: Mapping[str, Json]) -> Json:
        a, b = left(names), right(names)
        if not (isinstance(a, int | float) and isinstance(b, int | float)):
            raise place.error(f"{_kind(a)} and {_kind(b)} cannot be calculated with", "+ - * take numbers")
        value = operation(a, b)
        if not (isfinite(value) if isinstance(value, float) else limits.INTEGER_MIN <= value <= limits.INTEGER_MAX):
            raise place.error("the result is beyond 64 bits", "compare the numbers without calculating")
        return value

    return run


def _compare(part: _Part, node: ast.Compare, depth: int) -> Evaluator:
    first = part.build(node.left, depth)
    links: list[tuple[Operation, Evaluator, _Place]] = []
    for sign, comparator in zip(node.ops, node.comparators, strict=True):
        if isinstance(sign, ast.Is | ast.IsNot) and not (isinstance(comparator, ast.Constant) and comparator.value is None):
            raise part.refused(comparator, "is and is not compare with None only")
        links.append((_COMPARISONS[type(sign)], part.build(comparator, depth), part.place(comparator)))
    operation, second, place = links[0]
    if len(links) == 1:
        return lambda names: _holds(operation, first(names), second(names), place)

    def run(names: Mapping[str, Json]) -> Json:
        left = first(names)
        for operation, operand, place in links:
            right = operand(names)
            if not _holds(operation, left, right, place):
                return False
            left = right
        return True

    return run


def _holds(operation: Operation, left: Json, right: Json, place: _Place) -> bool:
    if type(left) is list or type(right) is list:
        left, right = _tuples(left), _tuples(right)
    try:
        return bool(operation(left, right))
    except TypeError:
        what = f"{_kind(left)} cannot be compared with {_kind(right)} in this way"
        raise place.error(what, "compare values of one type, or test with is None first") from None


def _tuples(value: Json) -> Json:
    return tuple([_tuples(item) for item in value]) if isinstance(value, list | tuple) else value


def _call(part: _Part, node: ast.Call, depth: int) -> Evaluator:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name not in _FUNCTIONS or node.keywords or len(node.args) != 1:
        raise part.refused(node, "only len(x) and lower(x) can be called")
    place, (function, takes) = part.place(node), _FUNCTIONS[name]
    value = part.build(node.args[0], depth)

    def run(names: Mapping[str, Json]) -> Json:
        argument = value(names)
        if not isinstance(argument, takes):
            raise place.error(f"{name} cannot take {_kind(argument)}", "len takes text, lists and mappings")
        return function(argument)

    return run


def _kind(value: Json) -> str:
    if value is None:
        return "null"
    for kinds, word in ((bool, "a boolean"), (int | float, "a number"), (str, "text"), (Mapping, "a mapping")):
        if isinstance(value, kinds):
            return word
    return "a list"


_MAPPING: Final = (dict, Mapping)
"""`dict` first: a frozen mapping is one, and the abstract class is slow to ask."""
_SEQUENCE: Final = (tuple, str, list)
_FUNCTIONS: Final[Mapping[str, tuple[Callable[[Any], Json], tuple[type, ...]]]] = {
    "len": (len, (*_SEQUENCE, *_MAPPING)),
    "lower": (str.lower, (str,)),
}
_ARITHMETIC: Final[Mapping[Any, Operation]] = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}
_COMPARISONS: Final[Mapping[type[ast.cmpop], Operation]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda item, owner: item in owner,
    ast.NotIn: lambda item, owner: item not in owner,
}
_BUILDERS: Final[Mapping[type[ast.expr], Callable[[_Part, Any, int], Evaluator]]] = {
    ast.Name: _name,
    ast.Attribute: _member,
    ast.Subscript: _item,
    **dict.fromkeys((ast.Constant, ast.List, ast.Tuple), _constant),
    ast.BoolOp: _logic,
    ast.UnaryOp: _unary,
    ast.BinOp: _arithmetic,
    ast.Compare: _compare,
    ast.Call: _call,
}
_WORDS: Final[Mapping[type[ast.expr], str]] = {
    ast.IfExp: "if … else",
    ast.JoinedStr: "an f-string",
    ast.NamedExpr: "an assignment",
    **dict.fromkeys((ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp), "a comprehension"),
}
