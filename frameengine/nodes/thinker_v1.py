"""Thinker of v1: think, use a tool if need be, and look at the own reply before it goes out (C19, C20)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Final, TypeAlias

from attrs import evolve, frozen

from frameengine import foreign
from frameengine.codec import dumps
from frameengine.effects import ModelReply, ToolCall
from frameengine.errors import FrameEngineError
from frameengine.jsonvalue import EMPTY, FrozenMap, Json, freeze, frozen_map
from frameengine.messages import Command, DirectorPlan, InputAnalysis, ThoughtResult
from frameengine.node import NodeContext, NodeResult
from frameengine.nodes.blocks import controls, has_code, readable, tool_text
from frameengine.nodes.context import chat, history, model_call, note_problems, system_prompt, untrusted
from frameengine.nodes.context_block import context_block
from frameengine.nodes.cut import cut_fairly
from frameengine.nodes.functions import FUNCTIONS
from frameengine.nodes.reply import prose
from frameengine.nodes.shaping import SHAPING, Shape
from frameengine.nodes.steps import as_text, call_tool
from frameengine.tools.process_events import PROCESS_DONE, PROCESS_START, output_text, process_done, process_start

PROMPT: Final = "thinker_v1"
LAST: Final = 12
"""Messages of the history that are read (C15)."""
BUDGET: Final = 4_000
"""Tokens."""
ROUNDS_MAX: Final = 2
"""Rounds of tools: one, and one more after a statement that failed."""
TOOLS_MAX: Final = 5
"""Tools of one round."""
PYTHON: Final = "python"
DATABASE: Final = "query_db"
RESULT_CHARS: Final = 6_000
"""Characters of tool output that the model reads of one round; the thought holds all of it."""
UNTOLD: Final[Mapping[str, Json]] = {
    "pid": 0,
    "status": "done",
    "exit_code": 0,
    "stdout": "",
    "stderr": "",
    "stdout_cut": False,
    "stderr_cut": False,
    "limit": "",
}
"""What stands for what a result of the Python tool does not say."""
ACTIONABLE: Final = ("request", "action")
"""Intents that ask for something to be done."""

Messages: TypeAlias = tuple[FrozenMap, ...]

SAY_IT: Final = "The tools have run. Answer the user now, in words, from what they gave."
CODE_UNUSED: Final = "You wrote code, and no tool ran it. Call the tool with it, or answer without code."
ONLY_PROSE: Final = "The user asked for something to be done. If a tool can do it, call it now; else say plainly that none can."
BAD_QUERY: Final = (
    "The statement failed. If you can correct it, call the tool again with the corrected one; else say what failed."
)


@frozen(kw_only=True)
class _Wanted:
    """A tool that a reply asks for."""

    tool: str
    args: FrozenMap
    problem: str = ""
    call_id: str = ""
    """Id of the function call; empty where the text asked."""


class AuditingThinker:
    """Answer a message, or carry out a plan, with tools that the model calls as functions or writes as tagged blocks.

    The tools it may use stand in the graph (``config.tools``); ``config.database`` is where a bare SQL block goes. A reply that
    fails an audit is asked for once more, each audit at most once: code that nothing ran, prose where something was to be done,
    a statement that failed.
    """

    slot: ClassVar[str] = "thinker"
    contract: ClassVar[str] = "thought"

    def __init__(self, prompt: str | None = None) -> None:
        """Read the prompt, or take *prompt* instead."""
        self._system = system_prompt(PROMPT, prompt)

    async def run(self, message: Command | DirectorPlan, ctx: NodeContext) -> NodeResult:
        """Make up to five model calls; the last words are the response, and the controls of all replies are joined."""
        command = message if isinstance(message, Command) else message.command or _command(message)
        work = _Work(command, ctx)
        ctx.emit("thinking", detail=command.instruction[:200])
        before = (self._system, *history(ctx, LAST), *context_block(ctx))
        own: Messages = (_task(message, command),)
        reply = await work.ask(before, own)
        while (more := await work.follow_up(reply)) is not None:
            own = (*own, _spoken(reply), *more)
            reply = await work.ask(before, own)
        thought = work.thought(reply)
        ctx.emit("decided", instruction=thought.response[:200] if thought.tool_used else "no tools used")
        return NodeResult(thought)


class _Work:
    """One message being thought about."""

    def __init__(self, command: Command, ctx: NodeContext) -> None:
        config = ctx.config.config
        self._command = command
        self._ctx = ctx
        self._tools: tuple[Json, ...] = config.get("tools", ())
        self._database = str(config.get("database", ""))
        self._shape = Shape()
        self._rounds = 0
        self._audited: list[str] = []
        self._used = ""
        self._outputs: list[str] = []
        self._offer = True

    async def ask(self, before: Messages, own: Messages) -> ModelReply:
        """Ask the model; while tools may still be used they are offered to it.

        Its *own* work on the message, from the task to the last result, stays together: what is *before* makes room for it.
        """
        call = model_call(self._ctx, (*before, *own), budget=BUDGET, keep=len(own))
        offered = tuple([FUNCTIONS[name] for name in self._tools if name in FUNCTIONS]) if self._offer else ()
        reply: ModelReply = await self._ctx.perform(evolve(call, tools=offered))
        found, problems = controls(reply.text)
        note_problems(self._ctx, problems)
        if found:
            self._ctx.emit("controls", controls=found)
            note_problems(self._ctx, tuple(self._take_controls(found)))
        return reply

    async def follow_up(self, reply: ModelReply) -> Messages | None:
        """Run what *reply* asks for, or find fault with it; return what to say to the model, None where it has answered."""
        wanted = self._wanted(reply) if self._offer else ()
        if wanted:
            self._rounds += 1
            results = [await self._run(item) for item in wanted]
            failed = any(bad and item.tool == DATABASE for item, (_, bad) in zip(wanted, results, strict=True))
            shown = cut_fairly([output for output, _ in results], RESULT_CHARS)
            told = tuple([_result(item, output) for item, output in zip(wanted, shown, strict=True)])
            if failed and self._rounds < ROUNDS_MAX and self._audit("sql_error"):
                return (*told, chat("user", BAD_QUERY))
            self._offer = False
            return (*told, chat("user", SAY_IT))
        if self._rounds == 0 and has_code(reply.text) and self._audit("code_without_tool"):
            return (chat("user", CODE_UNUSED),)
        if self._rounds == 0 and self._only_prose(reply) and self._audit("prose_only"):
            return (chat("user", ONLY_PROSE),)
        return None

    def thought(self, reply: ModelReply) -> ThoughtResult:
        shape, said = self._shape, prose(readable(reply.text))
        note_problems(self._ctx, said.problems)
        return ThoughtResult(
            response=said.value,
            tool_used=self._used,
            tool_output="\n\n".join(self._outputs),
            actions=tuple(shape.actions),
            state_updates=shape.state,
            display_items=tuple(shape.items),
            machine_ops=tuple(shape.machine_ops),
            question=self._command.source_text,
        )

    def _audit(self, check: str) -> bool:
        """Return whether *check* may still ask for another reply, and note that it did."""
        if check in self._audited:
            return False
        self._audited.append(check)
        self._ctx.emit("audit", check=check)
        return True

    def _only_prose(self, reply: ModelReply) -> bool:
        acts = self._command.analysis.intent in ACTIONABLE and self._command.analysis.complexity != "trivial"
        return acts and bool(self._tools) and not controls(reply.text)[0]

    def _wanted(self, reply: ModelReply) -> tuple[_Wanted, ...]:
        calls = tuple([_function_call(call) for call in reply.tool_calls])
        if not calls:
            text = tool_text(reply.text)
            if text is None:
                return ()
            args = {"query": text.body, "database": self._database} if text.tool == DATABASE else {"code": text.body}
            return (_Wanted(tool=text.tool, args=freeze(args)),)
        return tuple(
            [
                call if number < TOOLS_MAX else evolve(call, problem=f"at most {TOOLS_MAX} tools run at once")
                for number, call in enumerate(calls)
            ]
        )

    async def _run(self, wanted: _Wanted) -> tuple[str, bool]:
        """Return what a tool gave, and whether it failed."""
        ctx, tool = self._ctx, wanted.tool
        problem = wanted.problem or ("" if tool in self._tools else f"unknown tool: {tool}")
        if not problem and tool in SHAPING:
            problem = self._shape.take(tool, wanted.args)
            if not problem:
                ctx.emit("tool_call", tool=tool, args=wanted.args)
                self._used = tool
                return "done", False
        if problem:
            ctx.emit("tool_refused", tool=tool, reason=problem)
            self._outputs.append(f"{tool}\nRefused: {problem}")
            return f"Refused: {problem}", True
        call = ToolCall(tool, wanted.args)
        output, failed = await (self._program(call) if tool == PYTHON else call_tool(ctx, call))
        self._used = tool
        self._outputs.append(output)
        return output, failed

    async def _program(self, call: ToolCall) -> tuple[str, bool]:
        """Run a Python program and show its process (C53i, C53j), by the number that the tool counts it by (N04)."""
        code = call.arguments.get("code") if isinstance(call.arguments, FrozenMap) else ""

        def read(content: Json) -> str:
            ran = content if isinstance(content, FrozenMap) else {"stdout": as_text(content)}
            ended = {**UNTOLD, **ran, "tool": PYTHON}
            self._ctx.emit(PROCESS_START, **process_start(ended, code if isinstance(code, str) else ""))
            self._ctx.emit(PROCESS_DONE, **process_done(ended))
            return output_text(ended)

        return await call_tool(self._ctx, call, read)

    def _take_controls(self, found: tuple[FrozenMap, ...]) -> Iterator[str]:
        """Put controls that the text held where those of the tools go; yield what is wrong with any."""
        for item in found:
            tool, member = ("emit_actions", "actions") if item.get("type") == "button" else ("emit_display", "items")
            problem = self._shape.take(tool, freeze({member: [item]}))
            if problem:
                yield f"control: {problem}"


def _spoken(reply: ModelReply) -> FrozenMap:
    """Return a reply as the assistant's message, made of its text and calls alone: whatever else it says, it is no system's."""
    calls = {"tool_calls": reply.tool_calls} if reply.tool_calls else {}
    message: FrozenMap = freeze({"role": "assistant", "content": prose(reply.text).value, **calls})
    return message


def _task(message: Command | DirectorPlan, command: Command) -> FrozenMap:
    parts = [untrusted("perception", command.instruction), untrusted("message", command.source_text)]
    if isinstance(message, DirectorPlan):
        steps = [{"tool": step.tool, "args": step.args} for step in message.tool_sequence]
        plan = {"goal": message.goal, "steps": message.steps, "tool_sequence": steps, "response_hint": message.response_hint}
        parts.append(untrusted("plan", dumps(freeze(plan)).decode()))
    return chat("user", "\n\n".join(parts))


def _command(plan: DirectorPlan) -> Command:
    return Command(analysis=InputAnalysis(), source_text=plan.goal)


def _function_call(call: FrozenMap) -> _Wanted:
    """Return a function call as it is wanted; with the problem where its arguments are no JSON object."""
    function = call.get("function")
    named = function if isinstance(function, FrozenMap) else EMPTY
    tool, raw, call_id = named.get("name"), named.get("arguments"), call.get("id")
    problem, args = "", EMPTY
    try:
        value = foreign.parse(raw) if isinstance(raw, str) and raw else EMPTY
    except FrameEngineError as error:
        value, problem = EMPTY, f"its arguments are no JSON: {error.message}"
    if isinstance(value, FrozenMap):
        args = value
    else:
        problem = "its arguments are no JSON object"
    return _Wanted(
        tool=tool if isinstance(tool, str) else "",
        args=args,
        problem=problem,
        call_id=call_id if isinstance(call_id, str) else "",
    )


def _result(wanted: _Wanted, output: str) -> FrozenMap:
    if wanted.call_id:
        return frozen_map({"role": "tool", "tool_call_id": wanted.call_id, "content": output})
    return chat("user", untrusted("tool_output", output))
