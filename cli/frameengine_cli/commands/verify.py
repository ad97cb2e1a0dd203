"""``frameengine verify``."""

from __future__ import annotations

from frameengine_cli.commands import options


def verify(ref: options.Ref, as_json: options.Json = False, traces: options.Traces = None) -> None:
    """Prove that a trace is whole, byte by byte.

    No code is run.

    Example: frameengine verify latest
    """
    from frameengine.codec import tagged
    from frameengine.trace.verify import verify as prove
    from frameengine_cli import output
    from frameengine_cli.progress import patience
    from frameengine_cli.refs import opened, short_id

    with opened(ref, traces) as path, patience("verifying"):
        receipt = prove(path)
    if as_json:
        from frameengine_cli.screens.run import counts_json

        output.document(
            {
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
        )
        return
    from frameengine_cli.screens.receipt import verified

    output.show(verified(receipt, output.look()))
