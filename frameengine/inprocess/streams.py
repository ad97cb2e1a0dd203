"""The bodies of answers: passed on piece by piece as they come, and given back in the same pieces."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from importlib import import_module
from time import monotonic
from types import ModuleType
from typing import Any, Protocol

from frameengine.errors import UsageError
from frameengine.exchanges.exchange import CLIENT_LEFT, Response
from frameengine.exchanges.gather import Gathering

LIBRARIES = ("httpx", "httpx2")
"""Those whose clients are held."""


def library_of(value: Any) -> ModuleType:
    """Return the HTTP library that a request, response or transport is of: httpx or httpx2."""
    for kind in type(value).__mro__:
        module = sys.modules.get(kind.__module__.partition(".")[0])
        if module is not None and hasattr(module, "BaseTransport"):
            return module
    raise UsageError(f"{type(value).__name__} is of no known HTTP library", hint=f"use one of {' or '.join(LIBRARIES)}")


def library_named(name: str) -> ModuleType:
    """Return an HTTP library by its name. Raises `UsageError` where it is none, or not installed."""
    if name not in LIBRARIES:
        raise UsageError(f"there is no HTTP library {name!r} here", hint=f"say {' or '.join(LIBRARIES)}")
    try:
        return import_module(name)
    except ImportError:
        raise UsageError(f"{name} is not installed", hint=f"pip install {name}") from None


class Taken:
    """One answer being taken down while it is read. *keep* is called once, with what came."""

    def __init__(self, began: float, gathering: Gathering, keep: Callable[[Response], None]) -> None:
        self._began, self._gathering, self._keep = began, gathering, keep
        self._over = False

    def add(self, data: bytes) -> bytes:
        """Take a piece; return what may be handed on."""
        return self._gathering.add(self._ms(), data)

    def end(self, error: Exception | None = None, *, early: bool = False) -> bytes:
        """Keep what came; return what was held back until then.

        *error* is why no more came. *early*: the reader left before the end, which is no loss where it had seen it announced.
        """
        holding = self._gathering.holding
        if not self._over:
            self._over = True
            complete = holding.exact or (error is None and (holding.whole or not early))
            problem = "" if complete else CLIENT_LEFT if error is None else said(error)
            self._keep(self._gathering.response(self._ms(), complete=complete, error=problem))
        return holding.flush()

    def _ms(self) -> float:
        return (monotonic() - self._began) * 1000


class _Tee:
    """The body of a recorded answer. Subclassed together with each library's own kind of stream.

    Nothing waits but the last piece, and that only for the end behind it: an answer must be in the file before it has been
    seen whole. What looks like the last piece and is not goes out with the next.
    """

    def __init__(self, inner: Any, taken: Taken) -> None:
        self._inner, self._taken = inner, taken

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._inner:
                if onward := self._taken.add(piece):
                    yield onward
        except Exception as error:
            if held := self._taken.end(error):
                yield held
            raise
        if held := self._taken.end():
            yield held

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._inner:
                if onward := self._taken.add(piece):
                    yield onward
        except Exception as error:
            if held := self._taken.end(error):
                yield held
            raise
        if held := self._taken.end():
            yield held

    def close(self) -> None:
        self._inner.close()
        self._taken.end(early=True)

    async def aclose(self) -> None:
        await self._inner.aclose()
        self._taken.end(early=True)


class End(Protocol):
    """How a recorded answer ends that did not come to its end."""

    def now(self) -> Exception:
        """Return the error, when it is time for it."""

    async def later(self) -> Exception:
        """Return the error in an event loop, when it is time for it."""


class _Given:
    """The body of an answer from a recording. One that breaks off there breaks off here, in the same way."""

    def __init__(self, response: Response, end: End) -> None:
        self._response, self._end = response, end

    def __iter__(self) -> Iterator[bytes]:
        for _, piece in self._response.pieces():
            yield piece
        if not self._response.complete:
            raise self._end.now()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _, piece in self._response.pieces():
            yield piece
        if not self._response.complete:
            raise await self._end.later()

    def close(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


@cache
def _stream_class(kind: type, library: ModuleType) -> Any:
    """Return *kind* as a stream of a library, whose clients ask for one of their own."""
    return type(kind.__name__, (kind, library.SyncByteStream, library.AsyncByteStream), {})


def teed(response: Any, taken: Taken) -> Any:
    """Return a library's answer anew, its body taken down as it is read."""
    library = library_of(response)
    stream = _stream_class(_Tee, library)(response.stream, taken)
    return library.Response(response.status_code, headers=response.headers, stream=stream, extensions=response.extensions)


def given(library: ModuleType, response: Response, end: End) -> Any:
    """Return a library's answer made of a recorded one; *end* is that of an incomplete body."""
    stream = _stream_class(_Given, library)(response, end)
    headers = [(name.encode("ascii"), value.encode()) for name, value in response.headers.items()]
    return library.Response(response.status, headers=headers, stream=stream)


def said(error: BaseException) -> str:
    """Return what kind of error it was, and its text: `raised` makes one like it."""
    return f"{type(error).__name__}: {error}"


def raised(library: ModuleType, text: str, otherwise: str) -> Exception:
    """Return an error of a library like the one that `said` told of; of the kind *otherwise* where it was none of the library."""
    name, _, message = text.partition(": ")
    kind = getattr(library, name, None)
    if not (isinstance(kind, type) and issubclass(kind, library.TransportError)):
        kind, message = getattr(library, otherwise), text
    error: Exception = kind(message)
    return error
