"""The header of a trace: what ran, from what state, with what kind of time, and where the replies came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frameengine import __version__
from frameengine.graph.registry import BoundGraph, fingerprint
from frameengine.jsonvalue import FrozenMap, Json, freeze
from frameengine.state import RunState


def header(
    bound: BoundGraph,
    *,
    seed: int = 0,
    state: RunState | None = None,
    clock: str = "virtual",
    provenance: Mapping[str, Json] | None = None,
    meta: Mapping[str, Json] | None = None,
) -> FrozenMap:
    """Return the members of a header.

    *provenance* says where inputs, model replies and tool results came from (live, scripted, imported); *state* stands in the
    header where it is not the graph's own initial one; *clock* is ``virtual`` or ``recorded``; *meta* may name the writer as
    ``owner``.
    """
    members: dict[str, Any] = {
        "engine": __version__,
        "graph": bound.graph.to_json(),
        "fingerprint": fingerprint(bound),
        "seed": seed,
        "clock": clock,
        "provenance": dict(provenance or {}),
    }
    if state is not None and state.sections != bound.graph.state:
        members["state"] = state.sections
    if meta:
        members["meta"] = dict(meta)
    result: FrozenMap = freeze(members)
    return result
