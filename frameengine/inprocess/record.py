"""Record every HTTP call that an agent makes in this process."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from time import monotonic, time_ns
from typing import Any

from attrs import frozen

from frameengine.errors import FrameEngineError, NothingCompared
from frameengine.exchanges.encoding import takeable
from frameengine.exchanges.exchange import CLIENT_LEFT, DRAW, Exchange, Request, Response
from frameengine.exchanges.gather import Gathering, unkept
from frameengine.exchanges.recorder import ExchangeRecorder
from frameengine.exchanges.routes import keys_set
from frameengine.inprocess.block import Block, Clients, Receipt
from frameengine.inprocess.calls import asked
from frameengine.inprocess.controls import Control, Controls, checked_control
from frameengine.inprocess.draws import RecordedDraws
from frameengine.inprocess.network import SENDING, Touch
from frameengine.inprocess.streams import Taken, said, teed
from frameengine.trace.holders import secrets_of

NO_BODY = (204, 304)
"""Statuses that have none, whatever their headers say."""


class ExposedSecret(UserWarning):
    """Keys stand in the recording, since they came to be known as such only after they were written."""


class UnkeptAnswer(UserWarning):
    """The agent had answers that are not in the recording: too long, or packed in a way that cannot be undone."""


class UnrecordedConnection(UserWarning):
    """The agent reached for the network by other ways than those that are recorded."""


class UncontrolledDraw(UserWarning):
    """The agent's own code read clock, chance or an id, and the recording does not hold it: a prompt that does will miss."""


@frozen(kw_only=True, eq=False)
class _Sent:
    """A request that is on its way."""

    request: Request
    lane: str
    issued: int
    at: int
    began: float


class Recording(Block):
    """A block whose HTTP calls are written into a trace, each before the last byte of its answer is handed on."""

    def __init__(
        self,
        path: Path | str,
        *,
        control: Iterable[Control] = (),
        allow: Iterable[str] = (),
        clients: Clients = "all",
        secrets: Iterable[str] = (),
        replace: bool = False,
    ) -> None:
        super().__init__(path, allow=allow, clients=clients)
        self._control = checked_control(control)
        self._secrets, self._replace = tuple(secrets), replace
        self._recorder: ExchangeRecorder | None = None
        self._draws = RecordedDraws(self._keep)
        self._under_way: dict[_Sent, Taken | None] = {}
        self._lock = threading.Lock()
        self._count = 0
        self._unkept: list[str] = []

    @property
    def receipt(self) -> Receipt:
        """What is recorded so far."""
        return Receipt(recorded=self._count, draws=self._draws.count, **self._figures())

    def send(self, request: Any, forward: Callable[[], Any]) -> Any:
        """Send a request, and take down what comes."""
        if self._passes(request):
            return forward()
        request.read()
        sent = self._begin(request)
        token = SENDING.set(self)
        try:
            response = forward()
        except BaseException as error:
            self._failed(sent, error)
            raise
        finally:
            SENDING.reset(token)
        return self._came(request, sent, response)

    async def asend(self, request: Any, forward: Callable[[], Awaitable[Any]]) -> Any:
        """Send an async client's request, and take down what comes."""
        if self._passes(request):
            return await forward()
        await request.aread()
        sent = self._begin(request)
        token = SENDING.set(self)
        try:
            response = await forward()
        except BaseException as error:
            self._failed(sent, error)
            raise
        finally:
            SENDING.reset(token)
        return self._came(request, sent, response)

    def touched(self, touch: Touch) -> None:
        """Note what reached for the network past the recording."""
        self._past.append(touch)

    def _open(self) -> Controls:
        self._recorder = ExchangeRecorder(
            self.path,
            provenance={"recorded": "in process", "control": list(self._control), "keys": keys_set(os.environ)},
            secrets=[*self._secrets, *secrets_of(os.environ)],
            replace=self._replace,
        )
        return Controls(self._control, self._lanes, self._draws)

    def _close(self) -> None:
        recorder = self._recorder
        if recorder is None:
            return
        with recorder:
            for sent, taken in tuple(self._under_way.items()):
                if taken is None:
                    self._failed(sent, None)
                else:
                    taken.end(early=True)
            if self._count:
                self._draws.flush()
                recorder.seal()
            else:
                recorder.discard()
            # What a thread that outlives the block still hears is no part of it.
            self._recorder = None
        if recorder.exposed:
            count = f"{recorder.exposed} secret{'s stand' if recorder.exposed > 1 else ' stands'}"
            told = f"{self.path}: {count} in it, written before it was seen to be a key"
            warnings.warn(f"{told}. Name it in secrets=, or keep the file to yourself", ExposedSecret, stacklevel=4)
        if self._count and self._controls is not None and (drawn := self._controls.told()):
            warnings.warn(f"{self.path}: {drawn}", UncontrolledDraw, stacklevel=4)
        if self._unkept:
            told = f"{self.path}: answers that are not in it: {len(self._unkept)}, the first to {self._unkept[0]}"
            warnings.warn(f"{told}. No replay can give them", UnkeptAnswer, stacklevel=4)
        if not self._count:
            hint = "use an httpx or httpx2 client inside the block, or record by proxy: frameengine record -- python agent.py"
            self._fail(NothingCompared(f"{self.path}: no HTTP call was recorded{self._told()}", hint=hint))
        elif self._past:
            what = f"{self.path}: connections that were not recorded: {len(self._past)}{self._told()}"
            hint = "a replay refuses them; name addresses that are no part of the recording in allow=, or record by proxy"
            warnings.warn(f"{what}. {hint}", UnrecordedConnection, stacklevel=4)

    def _told(self) -> str:
        if not self._past:
            return ""
        first = self._past[0]
        return f", the first to {first.address} from {first.where}" + (f" through {first.through}" if first.through else "")

    def _begin(self, request: Any) -> _Sent:
        if "accept-encoding" in request.headers:
            request.headers["accept-encoding"] = takeable(request.headers["accept-encoding"])
        lane = self._lanes.here()
        self._draws.asked = True
        self._draws.flush(lane)
        issued = self._recorder.issue(lane) if self._recorder is not None else 0
        sent = _Sent(request=asked(request), lane=lane, issued=issued, at=time_ns() // 1000, began=monotonic())
        self._under_way[sent] = None
        return sent

    def _failed(self, sent: _Sent, error: BaseException | None) -> None:
        """Keep a request that got no answer, or for whose answer the agent did not wait: so it must be in a replay."""
        with self._lock:
            if self._under_way.pop(sent, sent) is sent:
                return
        problem = said(error) if isinstance(error, Exception) else CLIENT_LEFT
        ms = (monotonic() - sent.began) * 1000
        self._keep_call(sent, Response(status=0, complete=False, error=problem, ms=round(ms, 3)))

    def _came(self, request: Any, sent: _Sent, response: Any) -> Any:
        bodiless = request.method == "HEAD" or response.status_code in NO_BODY
        length = "0" if bodiless else response.headers.get("content-length", "")
        announced = int(length) if length.isdecimal() else None
        gathering = Gathering(response.status_code, response.headers.multi_items(), announced)

        def keep(whole: Response) -> None:
            self._under_way.pop(sent, None)
            self._keep_call(sent, whole)

        taken = Taken(sent.began, gathering, keep)
        with self._lock:
            if sent not in self._under_way:
                return response
            self._under_way[sent] = taken
        return teed(response, taken)

    def _keep_call(self, sent: _Sent, response: Response) -> None:
        self._keep(Exchange(request=sent.request, response=response, lane=sent.lane, issued=sent.issued, at=sent.at))
        if unkept(response):
            self._unkept.append(f"{sent.request.name}: {response.error}")

    def _keep(self, exchange: Exchange) -> None:
        if self._recorder is None:
            return
        try:
            self._recorder.keep(exchange)
        except FrameEngineError as error:
            # Said to the agent now, and once more at the end: its client may take it for a weak network and try again.
            self._fail(error)
            raise
        with self._lock:
            self._count += exchange.request.method != DRAW


def recording(
    path: Path | str,
    *,
    control: Iterable[Control] = (),
    allow: Iterable[str] = (),
    clients: Clients = "all",
    secrets: Iterable[str] = (),
    replace: bool = False,
) -> Recording:
    """Return a ``with`` or ``async with`` block that records every HTTP call of every httpx and httpx2 client into *path*.

    *control* names what the agent's own code may draw on, so that it is recorded and given back: ``clock``, ``uuid``,
    ``random``. *allow* has addresses (``host:port``) that are no part of the recording. *clients* ``given`` records only
    clients that have a transport of the block (`Block.transport`). *secrets* are replaced wherever they stand, and so are the
    values of variables whose names end as those of keys do; it warns (`ExposedSecret`) of what was written before it was known.

    The block raises `NothingCompared` at its end where nothing was recorded, and `StorageError` where the file could not be
    written; it warns where the agent reached for the network in another way (`UnrecordedConnection`), of answers that are not
    in the file (`UnkeptAnswer`), and of what the agent drew without *control* (`UncontrolledDraw`).
    """
    return Recording(path, control=control, allow=allow, clients=clients, secrets=secrets, replace=replace)
