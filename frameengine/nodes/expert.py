"""Expert: one job, complete in itself, planned, carried out and answered; nothing of the conversation is known here (C31)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Final

from attrs import Factory, frozen

from frameengine.jsonvalue import FrozenMap
from frameengine.messages import DirectorPlan, ExpertFailed, PARouting
from frameengine.node import NodeContext, NodeResult
from frameengine.nodes.context import chat, model_call, read_reply, system_prompt, untrusted
from frameengine.nodes.cut import cut_fairly
from frameengine.nodes.parsing import parse_expert_plan
from frameengine.nodes.reply import Parsed, prose
from frameengine.nodes.shaping import arguments_of
from frameengine.nodes.steps import Steps
from frameengine.state import Change

PLAN_PROMPT: Final = "expert_base_v1"
ANSWER_PROMPT: Final = "expert_answer_v1"
BUDGET: Final = 4_000
"""Tokens."""
RESULT_CHARS: Final = 6_000
"""Characters of tool output that the answer is worded from, unless the graph says otherwise (``config.answer_chars``)."""
NO_RESPONSE: Final = "[no response]"
"""What the expert says where the model's reply has no text (C91)."""
LANGUAGES: Final = {"de": "German (de)", "en": "English (en)", "mixed": "the language of the job (mixed)"}
"""Language of a routing -> how the model is told."""


@frozen
class Work:
    """What an expert did for a job."""

    plan: DirectorPlan
    """The plan that was carried out."""
    steps: Steps
    """What its steps gave."""
    changes: Sequence[Change] = Factory(tuple)
    """What the conversation shall remember of it."""


class Expert:
    """Plan tools for a job with one model call, run them in order, word the answer with another.

    An expert of a domain names its prompt. The tools that may run stand in the graph (``config.tools``: name, arguments,
    description). The answer is worded even where an interpreter follows: it is what the expert says, there to be checked.
    """

    slot: ClassVar[str] = "expert"
    contract: ClassVar[str] = "ExpertPlan"
    domain: ClassVar[str] = ""
    """Name of the prompt that tells what the expert knows."""

    def __init__(self) -> None:
        """Read the prompts."""
        domain = (system_prompt(self.domain),) if self.domain else ()
        self._planning = (system_prompt(PLAN_PROMPT), *domain)
        self._answering = (system_prompt(ANSWER_PROMPT), *domain)

    async def run(self, message: PARouting, ctx: NodeContext) -> NodeResult:
        """Do the job of a routing; one that failed goes back once where the graph says so (``config.retry``)."""
        may_return = message.attempt == 1 and bool(ctx.config.config.get("retry"))
        return await self.execute(message.job, ctx, language=message.language, may_return=may_return)

    async def execute(self, job: str, ctx: NodeContext, *, language: str = "de", may_return: bool = False) -> NodeResult:
        """Do *job*. What fails on the way, a tool or a model call, is shown, and the answer is told of it."""
        ctx.emit("thinking", detail=f"planning: {job[:80]}")
        work = await self.work(job, ctx)
        if may_return and work.steps.failures and not work.steps.results:
            problem = "\n\n".join(work.steps.sections)
            ctx.emit("returned", problem=problem[:200])
            return NodeResult(ExpertFailed(job=job, problem=problem), work.changes)
        answer = await self._word(job, work, ctx, LANGUAGES.get(language, LANGUAGES["mixed"]))
        ctx.emit("done", response=answer[:100])
        return NodeResult(work.steps.thought(answer, question=job), work.changes)

    async def work(self, job: str, ctx: NodeContext) -> Work:
        """Plan once and carry the plan out."""
        plan = await self.plan(ctx, job)
        steps = Steps(ctx, tools_of(ctx))
        await steps.carry_out(plan)
        return Work(plan, steps)

    async def plan(self, ctx: NodeContext, job: str, **material: str) -> DirectorPlan:
        """Make one model call that plans; a reply that cannot be read is a plan to say so. *material* by tag, none if empty."""
        parts = [untrusted(tag, text) for tag, text in {"job": job, **material}.items() if text]
        messages = (*self._planning, _settings(ctx), chat("user", "\n\n".join(parts)))
        plan = await read_reply(ctx, model_call(ctx, messages, budget=BUDGET), partial(parse_expert_plan, job=job))
        ctx.emit("planned", tools=len(plan.tool_sequence), hint=plan.response_hint[:80])
        return plan

    async def _word(self, job: str, work: Work, ctx: NodeContext, language: str) -> str:
        results = cut_fairly(work.steps.sections, ctx.config.config.get("answer_chars", RESULT_CHARS))
        material = {"job": job, "results": "\n\n".join(results) or "No tool ran.", "hint": work.plan.response_hint}
        asked = chat("user", "\n\n".join([untrusted(tag, text) for tag, text in material.items() if text]))
        messages = (*self._answering, chat("system", f"Answer in {language}."), asked)
        return await read_reply(ctx, model_call(ctx, messages, budget=BUDGET), _answer)


def tools_of(ctx: NodeContext) -> tuple[str, ...]:
    """Return the names of the tools that the graph allows the node."""
    return tuple([tool["name"] for tool in ctx.config.config.get("tools", ())])


def _answer(text: str) -> Parsed[str]:
    said = prose(text)
    return said if said.value else Parsed(NO_RESPONSE, said.problems)


def _settings(ctx: NodeContext) -> FrozenMap:
    """Return what the graph gives the expert to work with."""
    config = ctx.config.config
    tools = [f"- {tool['name']}({arguments_of(tool)}): {tool.get('description', '')}" for tool in config.get("tools", ())]
    database = [f"Default database: {config['database']}"] if "database" in config else []
    return chat("system", "\n".join(["Tools you may plan:", *(tools or ["- none"]), *database]))
