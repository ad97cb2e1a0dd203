r"""What a line of a trace is made of, written once for writer and reader.

A line is one JSON object in compact form, ended by ``\n``. Its last member is ``chain``: sha256 over the previous line's chain
value and this line's bytes before ``,"chain":``. Before it may stand ``at`` (microseconds) and ``meta``: what may differ
between two equal runs. What comes before those is the *body*; the canonical form of a line is its body with every reference
replaced by ``#`` and the digest of what it refers to.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from frameengine.codec import dumps
from frameengine.effects import Call, Outcome
from frameengine.jsonvalue import FrozenMap

FORMAT = 1
"""The format number. A changed meaning bumps it and adds a migration."""
GENESIS = b"frameengine trace"
"""What the first line's chain starts from."""
CHAIN_HEAD = b',"chain":"'
CHAIN_TAIL = b'"}\n'
CHAIN_BYTES = len(CHAIN_HEAD) + 64 + len(CHAIN_TAIL)
"""Length of a line's chain member and end."""
KINDS = ("header", "input", "content", "outcome", "frame", "trace", "seal")
SUFFIX = ".trace.jsonl"


SHORT_LINE = 4_096
"""Bytes up to which a line's weight is told from its length alone."""
SHORT_WEIGHT = 4
"""Weight of a byte of such a line."""
OBJECT_WEIGHT = 64
ITEM_WEIGHT = 32


def weight(line: bytes, items: int) -> int:
    """Return about how much memory a line takes once it is read, in bytes. *items* are those of the lists that it refers to.

    A short line is not looked into: most lines are short, and what it could stand for is little.
    """
    if len(line) <= SHORT_LINE:
        return SHORT_WEIGHT * len(line) + OBJECT_WEIGHT * items
    return len(line) + OBJECT_WEIGHT * (line.count(b"{") + line.count(b"[") + items) + ITEM_WEIGHT * line.count(b",")


def chained(previous: bytes, line: bytes) -> bytes:
    """Return the chain value, in hex, of *line* (without its chain member) after *previous*."""
    return sha256(previous + line).hexdigest().encode()


def tail(at: int | None, meta: FrozenMap | None) -> bytes:
    """Return the undigested members of a line as they are written after its body."""
    data = b""
    if at is not None:
        data += b',"at":%d' % at
    if meta:
        data += b',"meta":' + dumps(meta)
    return data


def outcome_canonical(call: Call, outcome: Outcome) -> bytes:
    """Return the canonical form of an outcome's line, put together from what call and outcome remember of theirs."""
    key = dumps(call.key.wire())
    return b'{"kind":"outcome","key":%b,%b,"outcome":%b}' % (key, call.canonical[1:-1], outcome.canonical)


def outcome_wire(call: Call, outcome: Outcome) -> dict[str, Any]:
    """Return the digested part of an outcome's line: who asked, what for, and what came back."""
    return {
        "kind": "outcome",
        "key": call.key.wire(),
        "effect": call.effect.kind,
        "request": call.effect.wire(),
        "outcome": outcome.wire(),
    }


def seal_wire(*, inputs: int, frames: int, calls: int, lines: int, head: bytes) -> dict[str, Any]:
    """Return the seal's line: how much the file holds, itself included, and the chain value of the line before."""
    return {"kind": "seal", "inputs": inputs, "frames": frames, "calls": calls, "lines": lines, "head": head.decode()}


def linked(previous: bytes, body: bytes) -> tuple[bytes, bytes]:
    """Return a whole line and its chain value. *body* is everything before its chain member."""
    chain = sha256(previous + body).hexdigest().encode()
    return b"".join((body, CHAIN_HEAD, chain, CHAIN_TAIL)), chain
