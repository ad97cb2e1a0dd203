"""``frameengine verify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from frameengine_cli.commands import options

if TYPE_CHECKING:
    from frameengine.trace.verify import Receipt


def verify(refs: options.Refs, as_json: options.Json = False, traces: options.Traces = None) -> None:
    """Prove that a trace is whole, byte by byte.

    No code is run. Several REFs give a line for each, and the highest of their exit codes.

    Examples: frameengine verify latest; frameengine verify traces/*.jsonl
    """
    from frameengine_cli import output

    if len(refs) > 1:
        _each(refs, traces, as_json=as_json)
        return
    receipt = _proven(refs[0], traces)
    if as_json:
        output.document(_members(receipt))
        return
    from frameengine_cli.screens.receipt import verified

    output.show(verified(receipt, output.look()))


def _proven(ref: str, folder: Path | None) -> Receipt:
    from attrs import evolve

    from frameengine.trace.verify import verify as prove
    from frameengine_cli.progress import patience
    from frameengine_cli.refs import opened, size

    with opened(ref, folder) as source, patience("verifying", size(source.path), in_bytes=True) as done:
        return evolve(prove(source.path, done=done), path=source.name)


def _members(receipt: Receipt) -> dict[str, Any]:
    from frameengine.codec import tagged
    from frameengine_cli.refs import short_id
    from frameengine_cli.screens.run import counts_json

    return {
        "verdict": "intact",
        "path": str(receipt.path),
        "id": short_id(receipt.head),
        "counts": counts_json(receipt.counts),
        "lines": receipt.lines,
        "size": receipt.size,
        "head": tagged(receipt.head),
        "canonical": tagged(receipt.canonical),
        "open": receipt.open,
    }


def _each(refs: list[str], folder: Path | None, *, as_json: bool) -> None:
    from frameengine_cli import output
    from frameengine_cli.refs import short_id
    from frameengine_cli.screens.run import counted
    from frameengine_cli.several import Done, each

    def one(ref: str) -> Done:
        receipt = _proven(ref, folder)
        if not as_json:
            output.say(f"✓ intact  {receipt.path}  {short_id(receipt.head)}  {counted(receipt.counts)}")
        return Done("intact", {"ok": True, **_members(receipt)})

    each(refs, one, name="receipts", as_json=as_json)
