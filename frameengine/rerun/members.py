"""A rerun as plain JSON: how every call was answered, and what is left to do."""

from __future__ import annotations

from typing import Any

from frameengine.replay.divergence import wired
from frameengine.rerun.rerun import HOWS, RerunResult
from frameengine.rerun.stage import Answered, Miss


def members(result: RerunResult) -> dict[str, Any]:
    """Return what a rerun found, its files and graph left out."""
    return {
        "verdict": result.verdict,
        "policy": result.policy,
        "replies": result.replies,
        "calls": {how: result.count[how] for how in HOWS if result.count[how]},
        "nodes": [
            {
                "node": node.node,
                "calls": node.calls,
                "ambiguous": node.ambiguous,
                "hit_rate": round(node.rate, 4),
                **{how: node.hows[how] for how in HOWS if node.hows[how]},
            }
            for node in result.nodes
        ],
        "answered": [_answered(answer) for answer in result.answered],
        "needed": [_miss(miss) for miss in result.needed],
        "unused": [{"key": entry.key.wire(), "source": str(entry.source)} for entry in result.unused],
        "moved": [{"input": moved.input, "recorded": moved.recorded, "now": moved.now} for moved in result.moved],
        "ignored": list(result.ignored),
        "failed": list(result.failed),
    }


def _answered(answer: Answered) -> dict[str, Any]:
    recorded = answer.recorded
    origin = {} if recorded is None else {"recorded": recorded.key.wire(), "source": str(recorded.source)}
    return {
        "key": answer.key.wire(),
        "effect": answer.effect,
        "name": answer.name,
        "how": answer.how,
        "similarity": answer.similarity,
        "ambiguous": answer.ambiguous,
        "equal": answer.equal,
        **origin,
    }


def _miss(miss: Miss) -> dict[str, Any]:
    return {
        "key": miss.call.key.wire(),
        "effect": miss.call.effect.kind,
        "name": str(miss.call.effect.name),
        "stand_in": None if miss.stand_in is None else miss.stand_in.key.wire(),
        "certain": miss.certain,
        "got": wired(miss.outcome.wire()),
    }
