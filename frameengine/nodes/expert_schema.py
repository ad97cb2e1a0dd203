"""An expert that plans on tables only as they are: it looks at a table before the first query on it (C32, C88)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from attrs import evolve

from frameengine.jsonvalue import freeze
from frameengine.messages import DirectorPlan, PlannedTool
from frameengine.node import NodeContext
from frameengine.nodes.expert import Expert, Work, tools_of
from frameengine.nodes.schemas import DATABASE_TOOL, Schemas
from frameengine.nodes.steps import Failure, Steps

PLANS_MAX: Final = 3
"""Plans of one job: the first, one for each thing learnt, and none beyond."""
_UNKNOWN_COLUMN: Final = re.compile(r"no such column|unknown column", re.IGNORECASE)
"""How SQLite and MariaDB say that a column is not there."""


class SchemaExpert(Expert):
    """Plan, look at the tables that the plan reads and nobody has described yet, and plan again with what they hold.

    What was looked up is remembered for the conversation, so that a later job on the same table plans once. A query for a column
    that is not there has its tables looked at anew, once for a job, and the job is planned again: what is remembered may be old.
    """

    async def work(self, job: str, ctx: NodeContext) -> Work:
        """Plan until all that the plan reads is known, carry it out, and correct it once."""
        schemas = Schemas(ctx)
        plans = 1
        plan = await self._plan_with(schemas, ctx, job)
        while await schemas.learn(plan.tool_sequence) and plans < PLANS_MAX:
            plans += 1
            plan = await self._plan_with(schemas, ctx, job)
        steps = await _carried_out(plan, schemas, ctx)
        wrong = [failure for failure in steps.failures if _names_no_column(failure)]
        if wrong and plans < PLANS_MAX:
            await schemas.learn([failure.step for failure in wrong], anew=True)
            plan = await self._plan_with(schemas, ctx, job, failed=_told(wrong))
            await schemas.learn(plan.tool_sequence)
            steps = await _carried_out(plan, schemas, ctx)
        return Work(plan, steps, schemas.changes)

    async def _plan_with(self, schemas: Schemas, ctx: NodeContext, job: str, failed: str = "") -> DirectorPlan:
        plan = await self.plan(ctx, job, schema=schemas.text(), failed=failed)
        database = ctx.config.config.get("database")
        if database is None:
            return plan
        return evolve(plan, tool_sequence=tuple([_on(database, step) for step in plan.tool_sequence]))


async def _carried_out(plan: DirectorPlan, schemas: Schemas, ctx: NodeContext) -> Steps:
    steps = Steps(ctx, tools_of(ctx), schemas.of)
    await steps.carry_out(plan)
    return steps


def _on(database: str, step: PlannedTool) -> PlannedTool:
    """Return a query that names no database as one on the default database."""
    if step.tool != DATABASE_TOOL or "database" in step.args:
        return step
    return evolve(step, args=freeze({**step.args, "database": database}))


def _names_no_column(failure: Failure) -> bool:
    """Return whether a query failed for a column; what a refused step says of its arguments is no such thing."""
    return isinstance(failure.step.args.get("query"), str) and _UNKNOWN_COLUMN.search(failure.message) is not None


def _told(failures: Sequence[Failure]) -> str:
    return "\n\n".join([f"{failure.step.args['query']}\n{failure.message}" for failure in failures])
