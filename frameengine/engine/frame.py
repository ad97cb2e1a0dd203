"""One frame: start every ready node, hand its effects out, resume it as outcomes come, until all have ended.

Nodes run one after another on the caller's thread with no running event loop, so only effects can suspend them. Outcomes are
looked up by key and nodes are resumed in graph order, so the order of arrival reaches no record.
"""

from __future__ import annotations

import sys
from collections.abc import Coroutine, Generator, Iterable, Sequence
from os.path import basename
from typing import Any

from attrs import frozen

from frameengine.effects import Answer, Call, EffectKey, Outcome
from frameengine.engine.guard import Guard
from frameengine.engine.stops import NO_REPLY, Ask, Reply
from frameengine.errors import DeterminismError, ForeignAwait, ForgottenEffect, FrameEngineError, NodeError, UsageError
from frameengine.jsonvalue import FrozenMap
from frameengine.node import Node, NodeContext, NodeResult, Performing
from frameengine.state import Change


class NodeTask:
    """One node at work in one frame."""

    __slots__ = (
        "_awaiting",
        "_coroutine",
        "_guard",
        "_missing",
        "context",
        "error",
        "given",
        "name",
        "open",
        "outcomes",
        "raised",
        "result",
    )

    def __init__(self, node: Node, message: Any, given: FrozenMap, context: NodeContext, guard: Guard) -> None:
        """Prepare *node* to work on *message*, of which *given* is the JSON."""
        self.name = context.node
        self.given = given
        self.context = context
        self.result: NodeResult | None = None
        self.error: BaseException | None = None
        self.raised = ""
        """Where in the node's own file the error came up, as file:line without a folder; empty where nobody knows."""
        self.open = False
        self.outcomes: dict[EffectKey, Outcome] = {}
        self._guard = guard
        self._awaiting: Performing | None = None
        self._missing = 0
        self._coroutine: Coroutine[Any, Any, NodeResult] | None = None
        try:
            self._coroutine = node.run(message, context)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a node raises is recorded as its error
            self.error = error

    @property
    def ended(self) -> bool:
        """Whether the node has come to its end."""
        return self._coroutine is None

    @property
    def ready(self) -> bool:
        """Whether the node can be resumed now."""
        return self._coroutine is not None and self._missing == 0

    def answer(self, key: EffectKey, outcome: Outcome) -> None:
        """Take one outcome of what the node awaits."""
        self.outcomes[key] = outcome
        self._missing -= 1
        if outcome.status == "not_recorded":
            self.open = True

    def resume(self) -> tuple[Call, ...]:
        """Run the node up to its next effects, which are returned, or to its end."""
        coroutine, awaited = self._coroutine, self._awaiting
        if coroutine is None:
            return ()
        if self.open:
            self._stop()
            return ()
        value = None if awaited is None else tuple([self.outcomes[call.key] for call in awaited.calls])
        self._awaiting = None
        self._guard.enter(self.name, self.context.key.frame)
        try:
            suspended = coroutine.send(value)
        except StopIteration as end:
            self._coroutine = None
            self._end(end.value)
            return ()
        except (DeterminismError, KeyboardInterrupt):
            self._coroutine = None
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a node raises is recorded, a wish to leave the process too
            self._coroutine = None
            self.error, self.raised = error, _raised(error, coroutine)
            return ()
        finally:
            refusal = self._guard.leave()
            if refusal is not None:
                raise refusal
        return self._await(suspended, coroutine)

    def _await(self, suspended: Any, coroutine: Coroutine[Any, Any, NodeResult]) -> tuple[Call, ...]:
        if type(suspended) is not Performing or suspended.calls[0].key[:3] != self.context.key[:3]:
            where = _place(coroutine)
            self._stop()
            # Only the file's name goes into the message: it is recorded, and a folder is no part of what a node does.
            self.raised = basename(where)
            self.error = ForeignAwait(
                f"node {self.name!r} awaited {_described(suspended)} (frame {self.context.frame}, {self.raised})",
                hint="a node may await ctx.perform(...) and ctx.perform_all(...) only; put waiting and I/O into a tool",
                node=self.name,
                frame=self.context.frame,
                where=where,
            )
            return ()
        self._awaiting = suspended
        self._missing = len(suspended.calls)
        return suspended.calls

    def _end(self, result: Any) -> None:
        performings = self.context.performings
        forgotten = [performing for performing in performings if not performing.answered] if performings else None
        if forgotten:
            effect = next((call.effect for performing in forgotten for call in performing.calls), None)
            what = "an empty perform_all" if effect is None else f"{effect.kind} call {effect.name!r}"
            self.error = ForgottenEffect(
                f"node {self.name!r} asked for {what} and never awaited it (frame {self.context.frame})",
                hint="write 'await' before ctx.perform(...)",
                node=self.name,
                frame=self.context.frame,
            )
        elif result is None:
            self.result = NodeResult()
        elif not isinstance(result, NodeResult):
            self._broken(f"returned {type(result).__qualname__}, not NodeResult", "return NodeResult(message, changes)")
        elif result.changes and not all(isinstance(change, Change) for change in result.changes):
            self._broken("returned changes that are no Change", "write Change.set(...), Change.append(...) or Change.delete(...)")
        else:
            self.result = result

    def _broken(self, what: str, hint: str) -> None:
        self.error = NodeError(f"node {self.name!r} {what}", hint=hint, node=self.name, frame=self.context.frame)

    def _stop(self) -> None:
        """End the coroutine where it stands. Its ``finally`` blocks run, guarded as the rest of it."""
        coroutine, self._coroutine = self._coroutine, None
        if coroutine is None:
            return
        self._guard.enter(self.name, self.context.key.frame)
        try:
            coroutine.close()
        except (DeterminismError, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - a node that cannot even be closed is recorded as failed
            if self.error is None:
                self.error, self.raised = error, _raised(error, coroutine)
        finally:
            refusal = self._guard.leave()
            if refusal is not None:
                raise refusal

    def abandon(self) -> None:
        """End the node where it stands, because the run was given up: nothing that comes of it is looked at."""
        coroutine, self._coroutine = self._coroutine, None
        if coroutine is not None:
            try:
                coroutine.close()
            except KeyboardInterrupt:
                raise
            except BaseException:  # noqa: BLE001, S110 - the run has an end already, and this must not take its place
                pass


@frozen
class RanFrame:
    """The nodes of a frame, all ended, in graph order."""

    tasks: tuple[NodeTask, ...]
    cancelled: bool


def run_frame(tasks: Sequence[NodeTask]) -> Generator[Ask, Reply, RanFrame]:
    """Run all nodes of a frame to their ends, yielding an `Ask` whenever nothing can go on without an outcome."""
    outstanding: dict[EffectKey, Call] = {}
    owner = {task.name: task for task in tasks}
    cancelled = False
    ready: Iterable[NodeTask] = tasks
    try:
        while True:
            new = _resume_all(ready)
            for call in new:
                outstanding[call.key] = call
            if not outstanding:
                return RanFrame(tuple(tasks), cancelled)
            reply = (yield Ask(tuple(new), outstanding)) or NO_REPLY
            touched = _take(reply.answers, outstanding, owner)
            cancelled = cancelled or reply.cancel
            ready = [task for task in tasks if task.name in touched and task.ready]
    finally:
        for task in tasks:
            if not task.ended:
                task.abandon()


def _resume_all(ready: Iterable[NodeTask]) -> list[Call]:
    """Resume nodes with the running event loop hidden, so that one which awaits a future fails at once and does not hang."""
    events: Any = sys.modules.get("asyncio.events")
    loop = events._get_running_loop() if events is not None else None
    if loop is not None:
        events._set_running_loop(None)
    try:
        new: list[Call] = []
        for task in ready:
            calls = task.resume()
            while not calls and task.ready:
                calls = task.resume()
            new += calls
        return new
    finally:
        if loop is not None:
            events._set_running_loop(loop)


def _take(answers: Sequence[Answer], outstanding: dict[EffectKey, Call], owner: dict[str, NodeTask]) -> set[str]:
    touched: set[str] = set()
    for answer in answers:
        if outstanding.pop(answer.key, None) is None:
            raise UsageError(f"an answer to {answer.key}, which nobody awaits", hint="answer each effect of an Ask once")
        owner[answer.key.node].answer(answer.key, answer.outcome)
        touched.add(answer.key.node)
    return touched


def _described(suspended: Any) -> str:
    if suspended is None:
        return "something that is no effect"
    if type(suspended) is Performing:
        return f"the effect {suspended.calls[0].key}, which is not its own"
    return f"a {type(suspended).__module__}.{type(suspended).__qualname__}"


def _place(coroutine: Any) -> str:
    """Return file:line of the innermost await in the file of a node; what is below it is a library's, and changes with it."""
    own, place = coroutine.cr_code.co_filename, "?"
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is None:
            break
        if frame.f_code.co_filename == own:
            place = f"{own}:{frame.f_lineno}"
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return place


def _raised(error: BaseException, coroutine: Any) -> str:
    """Return name of file and line of the innermost place in the file of a node; what is below it is a library's."""
    code = getattr(coroutine, "cr_code", None)
    own, place = None if code is None else code.co_filename, ""
    step = error.__traceback__
    while step is not None:
        if own is not None and step.tb_frame.f_code.co_filename == own:
            place = f"{basename(own)}:{step.tb_lineno}"
        step = step.tb_next
    return place


def error_value(error: BaseException) -> dict[str, Any]:
    """Return what a record says of an exception: its type, its message, and its code where it is one of ours."""
    if isinstance(error, FrameEngineError):
        return {"type": error.code, "message": error.message}
    try:
        said = str(error)
    except KeyboardInterrupt:
        raise
    except BaseException as broken:  # noqa: BLE001 - an exception that cannot say what it is must not take the run with it
        said = f"(its __str__ raised {type(broken).__qualname__})"
    # A trace holds no lone surrogates, and what a node raises may.
    message = said.encode(errors="backslashreplace").decode()
    return {"type": f"{type(error).__module__}.{type(error).__qualname__}", "message": message}
