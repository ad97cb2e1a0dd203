"""Tell what may have caused a divergence, from the digests in the header. A hint may be missing; it must not be wrong."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from frameengine.jsonvalue import EMPTY, FrozenMap
from frameengine.replay.divergence import Cause, Divergence


def with_cause(found: Divergence, recorded: FrozenMap, current: FrozenMap, prompts: Mapping[str, tuple[str, ...]]) -> Divergence:
    """Return *found* with its likely cause. *recorded* and *current* are fingerprints; *prompts* names each node's prompts."""
    consequence = found.consequence
    if consequence is not None:
        cause: Cause = "model" if _effect_of(consequence, found) == "model" else "tool"
        consequence = evolve(consequence, cause=cause, because=f"the outcome of {found.key} is not the one that was recorded")
    cause, because = _cause(found, recorded, current, prompts)
    return evolve(found, cause=cause, because=because, consequence=consequence)


def _effect_of(consequence: Divergence, found: Divergence) -> str:
    return "model" if consequence is found or found.because == "model" else found.because


def _cause(found: Divergence, recorded: FrozenMap, current: FrozenMap, prompts: Mapping[str, tuple[str, ...]]) -> tuple[Cause, str]:
    if found.kind == "outcome":
        kind: Cause = "model" if found.because == "model" else "tool"
        return kind, "the outcome line and the frame's record of it differ"
    if found.kind == "input" and found.frame == 1:
        return "input", "the input line and the frame's record of it differ"
    changes = _changes(found, recorded, current, prompts)
    if len(changes) == 1:
        return changes[0]
    if not changes:
        return "undetermined", "graph, prompts and code are as recorded; run again with --guard full to look for a source of chance"
    return "undetermined", "several changed: " + "; ".join(because for _, because in changes)


def _changes(found: Divergence, recorded: FrozenMap, current: FrozenMap, prompts: Mapping[str, tuple[str, ...]]) -> list[tuple[Cause, str]]:
    """Return everything that changed since the recording and could have led to *found*."""
    changes: list[tuple[Cause, str]] = []
    if recorded.get("graph") != current.get("graph"):
        changes.append(("graph", "the graph's digest differs"))
    before, after = recorded.get("nodes", EMPTY), current.get("nodes", EMPTY)
    changed = [name for name in before if name in after and before[name].get("code") != after[name].get("code")]
    if changed:
        changes.append(("node code", "the code of " + ", ".join(changed) + " differs"))
    ours, theirs = recorded.get("prompts", EMPTY), current.get("prompts", EMPTY)
    edited = [name for name in theirs if name in ours and ours[name] != theirs[name]]
    if edited:
        changes.append(("prompt", "the prompt " + ", ".join(edited) + " differs"))
    if len(changes) == 1 and changes[0][0] == "prompt" and found.kind in ("request", "extra", "missing"):
        used = prompts.get(found.node, ())
        if not any(name in used for name in edited) and found.kind == "request":
            return []
    return changes
