"""The expert for planning kindergartens; no shipped graph has it (C33).

A graph gets it by a node with the implementation ``plankiste_expert``, an entry ``plankiste`` among the PA's experts, and an edge
from the PA with the condition ``expert == "plankiste"``.
"""

from __future__ import annotations

from typing import ClassVar

from frameengine.nodes.expert_schema import SchemaExpert


class PlankisteExpert(SchemaExpert):
    """Answer jobs about children, groups, staff and their hours from the planning database."""

    domain: ClassVar[str] = "plankiste_v1"
