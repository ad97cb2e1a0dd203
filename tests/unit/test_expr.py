"""Safe expressions: what they mean, what they refuse, and that they agree with Python."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameengine import limits
from frameengine.errors import ExpressionError, LimitError
from frameengine.expr import Expression, ExpressionMissing, compile_expression
from frameengine.jsonvalue import freeze

NAMES = freeze(
    {
        "analysis": {"intent": "social", "complexity": "trivial", "tools": [], "none": None},
        "words": ["a", "b", "c"],
        "count": 3,
        "text": "Straße",
        "nothing": None,
        "yes": True,
    }
)


def value(text: str, **more: Any) -> Any:
    """Evaluate *text* over the common names and *more*."""
    return compile_expression(text).evaluate({**NAMES, **more})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('analysis.intent == "social" and analysis.complexity == "trivial"', True),
        ('analysis["intent"] != "social"', False),
        ("words[0]", "a"),
        ("words[-1]", "c"),
        ("text[0]", "S"),
        ('"b" in words', True),
        ('"d" not in words', True),
        ('"raß" in text', True),
        ('"intent" in analysis', True),
        ("analysis.tools == []", True),
        ('words == ("a", "b", "c")', True),
        ('analysis.intent in ["social", "action"]', True),
        ("nothing is None", True),
        ("analysis.none is not None", False),
        ("1 < count <= 3 < 4", True),
        ("1 < count < 3 < missing", False),
        ("count * 2 - 1 + 0.5", 5.5),
        ("-count", -3),
        ("+count", 3),
        ("len(words) == 3 and len(analysis) == 4 and len(text) == 6", True),
        ("lower(text)", "straße"),
        ("yes == 1", True),
        ("nothing or count", 3),
        ("analysis.tools and missing", ()),
        ("yes or missing", True),
        ("not words", False),
        ("[1, [-2, None], 'x']", (1, (-2, None), "x")),
        ("  \tcount", 3),
        ("(count\n == 3)", True),
    ],
)
def test_means_what_python_means(text: str, expected: Any) -> None:
    """Each construct of the subset has the value that Python gives it, over members instead of attributes."""
    assert value(text) == expected


def test_plain_lists_equal_literals() -> None:
    """A list that was never frozen compares with a literal like a frozen one, deep inside too."""
    assert value("rows == [1, [2]]", rows=[1, [2]]) is True
    assert value("[2] in rows", rows=[1, [2]]) is True


def test_names_in_order_of_first_use() -> None:
    """The free names come once each, in the order in which they are first used."""
    assert compile_expression("b.a == c and b.x and len(a) > c").names == ("b", "c", "a")


@pytest.mark.parametrize(
    ("text", "column", "what"),
    [
        ("a.__class__", 1, "underscore"),
        ("_a", 1, "underscore"),
        ("a and b._c", 7, "underscore"),
        ("print(a)", 1, "only len"),
        ("len(a, b)", 1, "only len"),
        ("len(*a)", 5, "Starred"),
        ("len(a=b)", 1, "only len"),
        ("a.lower()", 1, "only len"),
        ("matches(a, b)", 1, "only len"),
        ("a and (lambda: 1)", 8, "Lambda"),
        ("[x for x in a]", 1, "comprehension"),
        ("(x for x in a)", 1, "comprehension"),
        ('f"{a}"', 1, "f-string"),
        ("(a := 1)", 2, "assignment"),
        ("a if b else c", 1, "if … else"),
        ("{1: 2}", 1, "Dict"),
        ("{1, 2}", 1, "Set"),
        ("9 ** 9 ** 9", 1, "Pow"),
        ("a / b", 1, "Div"),
        ("a % b", 1, "Mod"),
        ("~a", 1, "~"),
        ("a[1:2]", 1, "slice"),
        ("a[1, 2]", 1, "slice"),
        ("[a, 1]", 2, "literals only"),
        ("a is 1", 6, "None only"),
        ("None is a", 9, "None only"),
        ("1e999", 1, "JSON number"),
        ("99999999999999999999", 1, "64 bits"),
        ("1j", 1, "JSON type"),
        ("b'x'", 1, "JSON type"),
        ("...", 1, "JSON type"),
        (r"'\ud800'", 1, "surrogate"),
        ("a ==", 5, "invalid syntax"),
        ("", 1, "invalid syntax"),
        ("a; b", 2, "invalid syntax"),
        ("'ä' == ü ** 2", 8, "Pow"),
        ("(a ==\n  b ** 2)", 9, "Pow"),
        ("  a ** b", 3, "Pow"),
        ("await a", 1, "Await"),
    ],
)
def test_refuses_with_column(text: str, column: int, what: str) -> None:
    """Whatever is outside the subset is refused when it is compiled, with its column and what is allowed."""
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text)
    assert caught.value.fields["column"] == column
    assert caught.value.fields["text"] == text
    assert what in caught.value.message
    assert "len(x)" in caught.value.hint


@pytest.mark.parametrize("text", ["a\0b", "'\ud800'"])
def test_refuses_characters_no_source_holds(text: str) -> None:
    """NUL and lone surrogates are refused as an expression error, not as an error of the parser."""
    with pytest.raises(ExpressionError):
        compile_expression(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 150 + "a" + ")" * 150 + "**",
        "not " * 1000 + "a",
        "-" * 4000 + "a",
        "a" + ".a" * 2000,
        "a" + " + a" * 1000,
        "[" * 70 + "]" * 70,
        "-" * 65 + "a",
    ],
)
def test_refuses_deep_nesting(text: str) -> None:
    """An expression nested too deep is refused when it is compiled, however the parser fails on it."""
    with pytest.raises(ExpressionError):
        compile_expression(text)


def test_length_is_bounded() -> None:
    """The longest expression compiles, and one character more passes the bound."""
    assert compile_expression("a".ljust(limits.EXPRESSION_CHARS_MAX)).evaluate({"a": 1}) == 1
    with pytest.raises(LimitError) as caught:
        compile_expression("a" * (limits.EXPRESSION_CHARS_MAX + 1))
    assert caught.value.fields["bound"] == limits.EXPRESSION_CHARS_MAX


def test_steps_are_bounded_before_anything_runs() -> None:
    """Definitions that double each other are refused by the number of steps, without being written out."""
    definitions = {f"d{i}": f"d{i + 1} and d{i + 1}" for i in range(25)} | {"d25": "x"}
    with pytest.raises(LimitError) as caught:
        compile_expression("d0", definitions)
    assert caught.value.fields["bound"] == limits.EXPRESSION_STEPS_MAX


@pytest.mark.parametrize(
    ("text", "name"),
    [("gone", "gone"), ("analysis.gone == 1", "gone"), ("words[7]", 7), ('analysis["gone"]', "gone"), ("nothing.gone", "gone")],
)
def test_missing_is_told_apart(text: str, name: str | int) -> None:
    """A name, member or item that is not there, or is asked of null, raises the error that callers can decide on."""
    with pytest.raises(ExpressionMissing) as caught:
        value(text)
    assert caught.value.fields["name"] == name
    assert caught.value.fields["column"] == 1


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("yes and count < text", 17),
        ("1 in count", 6),
        ("text.upper", 1),
        ("words.append", 1),
        ('words["a"]', 1),
        ("analysis[0]", 1),
        ("words[yes]", 1),
        ("text + text", 1),
        ("2 * text", 1),
        ("nothing + 1", 1),
        ("-text", 1),
        ("len(count)", 1),
        ("lower(words)", 1),
        ("18446744073709551615 + 1", 1),
        ("1e308 * 10", 1),
        ("analysis in analysis", 13),
    ],
)
def test_operations_that_do_not_suit(text: str, column: int) -> None:
    """An operation on values it does not suit raises an expression error with its column, and not 'missing'."""
    with pytest.raises(ExpressionError) as caught:
        value(text)
    assert type(caught.value) is ExpressionError
    assert caught.value.fields["column"] == column


def test_members_are_keys_never_attributes() -> None:
    """A member called like a method of the mapping is the mapping's own entry, or missing."""
    assert value("m.items", m=freeze({"items": 1})) == 1
    with pytest.raises(ExpressionMissing):
        value("m.items", m=freeze({"keys": 1}))


def test_definitions_are_inlined() -> None:
    """A defined name stands for its expression, as one operand whatever operators surround it."""
    definitions = {"reflex": "small or social", "small": "size < 2"}
    expression = compile_expression("not reflex and size == 5", definitions)
    assert expression.names == ("size", "social")
    assert expression.definitions == definitions
    assert expression.evaluate({"size": 5, "social": False}) is True
    assert expression.evaluate({"size": 5, "social": True}) is False


def test_definition_in_a_circle() -> None:
    """A definition that leads back to itself is refused, and the circle is named."""
    with pytest.raises(ExpressionError, match="a -> b -> a"):
        compile_expression("x and a", {"a": "b", "b": "not a"})


def test_error_in_a_definition_names_its_text() -> None:
    """An error inside a definition points into the definition's text, when compiled and when evaluated."""
    with pytest.raises(ExpressionError) as compiled:
        compile_expression("x and d", {"d": "y ** 2"})
    assert compiled.value.fields["text"] == "y ** 2"
    with pytest.raises(ExpressionMissing) as evaluated:
        compile_expression("x and d", {"d": "1 == y.z"}).evaluate({"x": 1, "y": {}})
    assert (evaluated.value.fields["text"], evaluated.value.fields["column"]) == ("1 == y.z", 6)


def test_a_long_chain_of_definitions_counts_as_depth() -> None:
    """Definitions nested through each other pass the depth bound like brackets do."""
    definitions = {f"d{i}": f"not d{i + 1}" for i in range(100)} | {"d100": "x"}
    with pytest.raises(ExpressionError, match="nested deeper"):
        compile_expression("d0", definitions)
    with pytest.raises(ExpressionError, match="nested deeper"):
        compile_expression("d60 and " + "not " * 30 + "d60", definitions)


def test_value_semantics() -> None:
    """Expressions compare by text and definitions, can be keys, and survive pickling."""
    expression = compile_expression("d == 1", {"d": "x", "unused": "y"})
    assert expression == compile_expression("d == 1", {"d": "x"})
    assert expression != compile_expression("d == 1")
    again = pickle.loads(pickle.dumps(expression))
    assert again == expression
    assert hash(again) == hash(expression)
    assert isinstance(again, Expression)
    assert again.evaluate({"x": 1}) is True


small = st.integers(-9, 9)
number_atoms = st.one_of(small.map(str), st.sampled_from(["a", "b", "yes", "0.5", "m['k']", "len(s)", "len(t)", "len(m)"]))
other_atoms = st.sampled_from(["t", "n", "s", "m", "None", "'x'", "'xyz'", "()", "(1, 'x')", "m['x']", "s[0]", "s[-2]", "t[1]"])


def _calculate(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"),
        st.tuples(st.sampled_from("+-"), inner).map(lambda parts: f"({parts[0]} {parts[1]})"),
    )


numbers = st.recursive(number_atoms, _calculate, max_leaves=5)


def _combine(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    signs = st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "not in"])
    return st.one_of(
        st.tuples(inner, signs, inner).map(lambda parts: f"({' '.join(parts)})"),
        st.tuples(inner, signs, inner, signs, inner).map(lambda parts: f"({' '.join(parts)})"),
        st.lists(inner, min_size=2, max_size=4).map(lambda parts: f"({' and '.join(parts)})"),
        st.lists(inner, min_size=2, max_size=4).map(lambda parts: f"({' or '.join(parts)})"),
        inner.map(lambda text: f"(not {text})"),
        inner.map(lambda text: f"({text} is not None)"),
        inner.map(lambda text: f"len({text})"),
        inner.map(lambda text: f"lower({text})"),
    )


def _lower(argument: Any) -> str:
    return str.lower(argument)


RAISED = "raised"


def _ours(text: str, names: dict[str, Any]) -> Any:
    try:
        return compile_expression(text).evaluate(freeze(names))
    except ExpressionError:
        return RAISED


def _python(text: str, names: dict[str, Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # Python warns of `1 is None`
        try:
            return eval(text, {"lower": _lower}, dict(names))
        except (TypeError, LookupError):
            return RAISED


@given(
    st.recursive(numbers | other_atoms, _combine, max_leaves=8),
    st.fixed_dictionaries(
        {
            "a": small,
            "b": small | st.floats(-4, 4),
            "t": st.text("xyz", max_size=3),
            "n": st.none() | st.booleans(),
            "yes": st.just(True),
            "s": st.lists(small | st.text("xyz", max_size=1), max_size=3).map(tuple),
            "m": st.fixed_dictionaries({"k": small}, optional={"x": small}),
        }
    ),
)
def test_agrees_with_python(text: str, names: dict[str, Any]) -> None:
    """An expression has the value and the type that Python gives the same text, and raises exactly where Python does."""
    ours, theirs = _ours(text, names), _python(text, names)
    assert ours == theirs
    assert type(ours) is type(theirs) or isinstance(ours, dict)


@given(st.text(max_size=60) | st.text("ab.()[]'\" 1+-*/<>=!&|:,_\n\\lenotri", max_size=60))
def test_any_text_compiles_or_is_refused(text: str) -> None:
    """No text at all leads to another error than the two that are documented."""
    column = 1
    try:
        expression = compile_expression(text)
        expression.evaluate({"a": 1, "b": freeze({"a": [1, "x"]})})
    except ExpressionError as error:
        column = error.fields["column"]
    assert 1 <= column <= len(text) + 1
