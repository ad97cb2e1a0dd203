"""The expert for heating-cost billing (C32)."""

from __future__ import annotations

from typing import ClassVar

from frameengine.nodes.expert_schema import SchemaExpert


class ErasExpert(SchemaExpert):
    """Answer jobs about customers, buildings, meters, readings and bills from the billing database."""

    domain: ClassVar[str] = "eras_v1"
