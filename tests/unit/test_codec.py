"""Bytes and digests: one encoding, digests of new parts only, and no two values with one canonical form."""

from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameengine.codec import REFERENCE, Shared, SharedOne, Undecodable, canonical, digest, dumps, escaped, loads, tagged
from frameengine.jsonvalue import freeze

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(["$c", "$$c", "$join", "#" + "0" * 64])
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=20
)


@given(values)
def test_encoding_is_compact_json_in_the_order_written(value: Any) -> None:
    """What is encoded is JSON without spaces, in the order of the members, and decodes to the value."""
    data = dumps(freeze(value))
    assert json.loads(data) == value
    assert list(json.loads(data)) == list(value) if isinstance(value, dict) else True
    assert loads(data) == value
    assert dumps(loads(data)) == data


@pytest.mark.parametrize(
    "data", [b"", b"{", b"{'a':1}", b'{"a":1}{', b"NaN", b"[Infinity]", b'"\xff"', b'"\\ud800"', b"\xef\xbb\xbf{}"]
)
def test_what_is_not_json_is_undecodable(data: bytes) -> None:
    """Torn, foreign and ill-encoded bytes raise the project's own error."""
    with pytest.raises(Undecodable):
        loads(data)


def test_odd_types_are_refused() -> None:
    """Nothing is encoded by its repr."""
    for odd in ({1, 2}, object(), b"x"):
        with pytest.raises(TypeError):
            dumps(odd)
        with pytest.raises(TypeError):
            canonical(odd)


def test_shared_parts_stand_in_the_canonical_form_by_digest() -> None:
    """Long texts and shared mappings are replaced by # and their digest, which no JSON can look like."""
    long, item = freeze("x" * 40), freeze({"role": "user"})
    assert canonical({"t": long}) == b'{"t":#' + digest(long).encode() + b"}"
    assert canonical({"m": Shared((item, item))}) == b'{"m":[#%b,#%b]}' % (digest(item).encode(), digest(item).encode())
    assert canonical({"m": SharedOne(item)}) == b'{"m":#' + digest(item).encode() + b"}"
    assert canonical({"m": Shared(())}) == b'{"m":[]}'


def test_a_digest_is_sha256_of_the_canonical_form() -> None:
    """And it is remembered by what it is of."""
    item = freeze({"a": 1})
    assert digest(item) == sha256(b'{"a":1}').hexdigest() == item.digest
    text = freeze("y" * 40)
    assert digest(text) == sha256(b'"' + b"y" * 40 + b'"').hexdigest() == text.digest
    assert tagged(digest(item)) == f"sha256:{item.digest}"


@given(values, values)
def test_no_two_values_share_a_canonical_form(one: Any, other: Any) -> None:
    """Different values, however much they look like references or digests, have different digests; equal ones have one."""
    assert (digest(freeze(one)) == digest(freeze(other))) == (dumps(one) == dumps(other))


@given(values)
def test_a_digest_does_not_depend_on_where_parts_came_from(value: Any) -> None:
    """A frozen value, its copy made of plain JSON, and one put together of frozen parts have one digest."""
    frozen = freeze({"v": value, "w": [value]})
    digest(frozen["v"])
    assert (
        digest(frozen)
        == digest(freeze({"v": value, "w": [value]}))
        == digest(freeze({"v": freeze(value), "w": (freeze(value),)}))
    )


def test_dollar_keys_are_doubled() -> None:
    """A user's key that starts with $ cannot be taken for a reference."""
    assert escaped(freeze({"$c": 1, "a$": 2})) == {"$$c": 1, "a$": 2}
    assert canonical(freeze({"$c": 1})) == b'{"$$c":1}'
    assert canonical({"outer": freeze({"$$c": 1})}) == b'{"outer":{"$$$c":1}}'


@given(texts)
def test_no_text_of_a_user_looks_like_a_reference(text: str) -> None:
    """The pattern of references matches in no encoded string and no escaped key."""
    tricky = text + '{"$c":1}'
    assert REFERENCE.search(canonical(freeze({tricky: tricky, "$c": {"$c": 1}}))) is None
    assert REFERENCE.search(b'{"a":{"$c":12}}') is not None


def test_the_order_of_members_is_data() -> None:
    """Two mappings with the same members in another order are written and digested differently."""
    assert digest(freeze({"a": 1, "b": 2})) != digest(freeze({"b": 2, "a": 1}))


def test_digests_are_the_same_in_every_process() -> None:
    """Hash randomisation, optimisation and development mode make no difference (N21)."""
    code = (
        "from frameengine.codec import digest\nfrom frameengine.jsonvalue import freeze\n"
        "print(digest(freeze({'ü': ['x' * 50, 1.5, -0.0, 2**64 - 1, {'$a': None}], 'b': True})))"
    )
    value = freeze({"ü": ["x" * 50, 1.5, -0.0, 2**64 - 1, {"$a": None}], "b": True})
    for flags, seed in ((["-O"], "1"), (["-X", "dev"], "2")):
        command = [sys.executable, *flags, "-c", code]
        printed = subprocess.run(command, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True)
        assert printed.stdout.strip() == digest(value)


def test_an_interrupt_while_encoding_is_an_interrupt() -> None:
    """Ctrl-C that arrives inside the encoder's callback, however deep, leaves it as itself and not as an encoding error."""

    def interrupted(_: object) -> object:
        raise KeyboardInterrupt

    def nested(_: object) -> object:
        return dumps({"inner": freeze({"a": 1})}, interrupted)

    for hook in (interrupted, nested):
        with pytest.raises(KeyboardInterrupt):
            dumps({"outer": freeze({"b": 2})}, hook)
