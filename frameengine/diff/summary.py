"""A comparison in one paragraph of plain text."""

from __future__ import annotations

from frameengine.diff.result import Change, TraceDiff
from frameengine.plaintext import visible


def summary(found: TraceDiff) -> str:
    """Return verdict, first difference, its likely cause and the counts, on one line, outside text made visible."""
    sentences = [_verdict(found)]
    first = found.first
    if first is not None:
        sentences.append(f"first at {where(first)}; cause {found.cause}{f': {found.because}' if found.because else ''}")
        kinds = ", ".join([f"{count} {kind}" for kind, count in found.counts().items()])
        sentences.append(f"{kinds}, of which {len(found.following)} follow")
    elif found.digests:
        sentences.append(f"changed without a difference: {', '.join(found.digests)}")
    if found.ignored_count:
        sentences.append(f"{found.ignored_count} ignored")
    if found.unmatched:
        sentences.append(f"matched nothing: {', '.join(found.unmatched)}")
    return visible(". ".join(sentences)) + "."


def where(change: Change) -> str:
    """Return place, kind and first field of a change."""
    moved = f" → {change.right}" if change.kind in ("renamed", "moved") else ""
    field = f" {change.fields[0].pointer}" if change.fields else ""
    return f"{change.spot}{moved} {change.kind}{field}"


def _verdict(found: TraceDiff) -> str:
    compared = f"{found.left.path.name} and {found.right.path.name}"
    problems = [f"{side.path.name}: {side.problem}" for side in (found.left, found.right) if side.problem]
    verdict = {"same": "are the same", "differs": "differ", "incomplete": "are the same as far as they go"}[found.verdict]
    return f"{compared} {verdict}" + (f" ({'; '.join(problems)})" if problems else "")
