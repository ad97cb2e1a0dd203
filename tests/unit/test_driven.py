"""How single nodes are tested: with scripted replies, cut off from the world, and with every reply accounted for."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from driven import Driven
from frameengine.effects import ModelCall
from frameengine.errors import Nondeterminism
from frameengine.graph.model import NodeSpec
from frameengine.node import NodeContext, NodeResult

SPEC = NodeSpec(name="a", implementation="toy:Do")


class Asks:
    """Asks a model once."""

    async def run(self, message: Any, ctx: NodeContext) -> NodeResult:
        """Ask."""
        reply = await ctx.perform(ModelCall(model="m", messages=()))
        return NodeResult({"said": reply.text})


class Calls:
    """Would call a model by itself."""

    async def run(self, message: Any, ctx: NodeContext) -> NodeResult:
        """Open a connection."""
        socket.create_connection(("192.0.2.1", 443), timeout=0.01)
        return NodeResult()


def test_a_node_is_tested_offline() -> None:
    """C126: a node gets its replies from the test, and one that reaches for the network is refused, not answered."""
    assert Driven(Asks(), SPEC, {}, "yes").message == {"said": "yes"}
    with pytest.raises(Nondeterminism):
        Driven(Calls(), SPEC, {})


def test_every_reply_is_accounted_for() -> None:
    """C126: a reply that the node does not ask for, and one that it asks for in vain, fail the test."""
    with pytest.raises(AssertionError, match="1 replies were not asked for"):
        Driven(Asks(), SPEC, {}, "yes", "no")
    with pytest.raises(IndexError):
        Driven(Asks(), SPEC, {})
