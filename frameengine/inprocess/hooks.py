"""Where HTTP clients are held: at the transports of all clients of the process at once, or at one that is passed in."""

from __future__ import annotations

import sys
import threading
from collections.abc import Awaitable, Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from frameengine.inprocess.lanes import Lanes
from frameengine.inprocess.network import Side
from frameengine.inprocess.patches import Patches
from frameengine.inprocess.streams import LIBRARIES

LEAVES = frozenset({"HTTPTransport", "AsyncHTTPTransport", "AiohttpTransport", "LiteLLMAiohttpTransport"})
"""Names of transports that put requests on the wire themselves: the two of each library, and those that hand over to aiohttp.

One that wraps another (to try again, to log) is part of the agent: it runs in a replay too, and the one inside it is held.
"""


def hold_clients(side: Side, patches: Patches) -> None:
    """Hold every client of every library that is installed, made before or inside the block."""
    for name in LIBRARIES:
        if name not in sys.modules and find_spec(name) is None:
            continue
        library = import_module(name)
        for base in (library.BaseTransport, library.AsyncBaseTransport):
            _hold_class_tree(base, side, patches)


def follow_starts(side: Side, lanes: Lanes, patches: Patches) -> None:
    """Give tasks, threads and jobs of pools their lanes when they are started; not those that a client starts for its server."""
    from asyncio.base_events import BaseEventLoop as loop  # noqa: N813 - a class to be patched, not one to be made
    from concurrent.futures import ThreadPoolExecutor as pool  # noqa: N813

    thread = threading.Thread
    create_task: Any = loop.create_task
    start: Any = thread.start
    submit: Any = pool.submit

    def creating(self: Any, coroutine: Any, **options: Any) -> Any:
        if side.sending():
            return create_task(self, coroutine, **options)
        with lanes.starting() as adopt:
            task = create_task(self, coroutine, **options)
            adopt(task)
        return task

    def starting(self: Any) -> None:
        if not side.sending():
            with lanes.starting() as adopt:
                adopt(self)
        start(self)

    def submitting(self: Any, job: Any, /, *args: Any, **options: Any) -> Any:
        # A pool of interpreters has no threads of this one, and no way to get a job of ours there.
        if side.sending() or any(kind.__name__ == "InterpreterPoolExecutor" for kind in type(self).__mro__):
            return submit(self, job, *args, **options)
        job = lanes.job(job)
        with lanes.unseen():
            return submit(self, job, *args, **options)

    patches.put(loop, "create_task", creating)
    patches.put(thread, "start", starting)
    patches.put(pool, "submit", submitting)


def _hold_class_tree(base: Any, side: Side, patches: Patches) -> None:
    def hold(kind: type) -> None:
        if kind.__name__ in LEAVES:
            for name, hook in (("handle_request", _hook), ("handle_async_request", _async_hook)):
                if name in vars(kind):
                    patches.put(kind, name, hook(side, vars(kind)[name]))

    def tree(kind: Any) -> None:
        hold(kind)
        for below in kind.__subclasses__():
            tree(below)

    def appears(kind: Any, /, **options: Any) -> None:
        super(base, kind).__init_subclass__(**options)
        if side.active:
            hold(kind)

    tree(base)
    # Some libraries define theirs when they are first asked something, inside the block.
    patches.put(base, "__init_subclass__", classmethod(appears))


def _hook(side: Side, original: Any) -> Any:
    def handle_request(self: Any, request: Any) -> Any:
        return _send(side, request, lambda: original(self, request))

    return handle_request


def _async_hook(side: Side, original: Any) -> Any:
    async def handle_async_request(self: Any, request: Any) -> Any:
        return await _asend(side, request, lambda: original(self, request))

    return handle_async_request


def _send(side: Side, request: Any, forward: Callable[[], Any]) -> Any:
    return side.send(request, forward) if side.active and not side.sending() else forward()


async def _asend(side: Side, request: Any, forward: Callable[[], Awaitable[Any]]) -> Any:
    return await (side.asend(request, forward) if side.active and not side.sending() else forward())


class _Held:
    """A transport that asks a side, and puts requests on the wire by another transport."""

    def __init__(self, side: Side, inner: Any) -> None:
        self._side, self._inner = side, inner

    def handle_request(self, request: Any) -> Any:
        return _send(self._side, request, lambda: self._inner.handle_request(request))

    async def handle_async_request(self, request: Any) -> Any:
        return await _asend(self._side, request, lambda: self._inner.handle_async_request(request))

    def close(self) -> None:
        self._inner.close()

    async def aclose(self) -> None:
        await self._inner.aclose()


@cache
def _held_class(base: type) -> Any:
    return type("Transport", (_Held, base), {})


def held(side: Side, library: ModuleType, inner: Any, *, is_async: bool) -> Any:
    """Return a transport for one client; *inner* is the library's own where it is None."""
    base = library.AsyncBaseTransport if is_async else library.BaseTransport
    plain = library.AsyncHTTPTransport if is_async else library.HTTPTransport
    return _held_class(base)(side, plain() if inner is None else inner)
