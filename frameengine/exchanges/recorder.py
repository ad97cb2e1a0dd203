"""Write exchanges into a trace, each whole and in one go, without the secrets that passed by."""

from __future__ import annotations

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Self

from attrs import evolve

from frameengine.codec import written
from frameengine.effects import Answer, Outcome
from frameengine.engine.driver import Run
from frameengine.engine.message import Engine
from frameengine.engine.stops import Ask
from frameengine.errors import FrameEngineError
from frameengine.exchanges.encoding import cut_short, decoded
from frameengine.exchanges.exchange import Exchange, Request, Response, as_text
from frameengine.exchanges.gather import unkept
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import bind
from frameengine.inputs import Webhook
from frameengine.jsonvalue import FrozenMap, Json, freeze
from frameengine.performers.clock import system_clock
from frameengine.trace.header import header
from frameengine.trace.redact import SECRET_MIN, Redactor
from frameengine.trace.sought import Sought
from frameengine.trace.writer import Durability, TraceWriter

GRAPH = "exchanges"
"""The graph of which a recording of exchanges is a run."""


class ExchangeRecorder:
    """A recording of exchanges being written, from any thread. Close it without `seal` and it stays readable as incomplete."""

    def __init__(
        self,
        path: Path,
        *,
        provenance: Mapping[str, Json],
        secrets: Iterable[str] = (),
        durability: Durability = "fast",
        replace: bool = False,
    ) -> None:
        """Create the file. *secrets* are texts known beforehand, such as keys from the environment; short ones are left alone.

        Raises what `TraceWriter` raises.
        """
        self.path = path
        self._lock = Lock()
        self._issued: Counter[str] = Counter()
        self._redactor = Redactor()
        self._redactor.know(secrets)
        self._late: dict[str, None] = {}
        self.count = 0
        """Exchanges that are kept."""
        self.unanswered = 0
        """Of these, requests to which no answer came."""
        self.cut = 0
        """Answers that did not come to their end."""
        self.unkept = 0
        """Answers that their reader had, and that are not in the trace: too long, or packed in an unknown way."""
        self.refused = 0
        """Requests that whoever records does not take: none of them is kept."""
        self.exposed = 0
        """Once sealed: secrets that stand in the file, written before they were known as such, or when they were forgotten."""
        self._problem: FrameEngineError | None = None
        self._performer = _Known()
        bound = bind(load_graph(GRAPH))
        # The address of a server and the name of a command may hold a key; its placeholder is that of the calls.
        clean: FrozenMap = self._redactor.value(freeze(provenance))
        head = header(bound, clock="recorded", provenance=clean)
        self._writer = TraceWriter(path, head, durability=durability, replace=replace)
        self._clock = system_clock()
        self._run = Run(Engine(bound), self._performer, self._writer, clock=self._clock)

    @property
    def secrets(self) -> int:
        """How many different secrets were replaced."""
        return self._redactor.count

    def know(self, secrets: Iterable[str]) -> None:
        """Replace these from now on as well."""
        with self._lock:
            self._learn(list(secrets))

    def _learn(self, secrets: Sequence[str], *, passing: bool = False) -> None:
        if self.count:
            late = [one for one in secrets if len(one) >= SECRET_MIN and not self._redactor.given(one)]
            self._late.update(dict.fromkeys(late))
        self._redactor.know(secrets, passing=passing)

    def issue(self, lane: str) -> int:
        """Take the next place in the order of *lane*: when a request is sent, not when its answer comes.

        Raises `UsageError` in a fork of the process that records, as everything here does.
        """
        # Before the lock: a thread of the parent may have held it when the fork was made.
        self._writer.check_process()
        with self._lock:
            self._issued[lane] += 1
            return self._issued[lane]

    def keep(self, exchange: Exchange) -> None:
        """Write an exchange, before the last byte of its answer is handed on.

        Raises `StorageError` or `LimitError`, and the same again for all that come after: then nothing may be handed on.
        """
        self._writer.check_process()
        with self._lock:
            if self._problem is not None:
                raise self._problem
            try:
                self._keep(exchange)
            except FrameEngineError as error:
                self._problem = error
                raise

    def _keep(self, exchange: Exchange) -> None:
        self._learn([*exchange.request.secrets, *exchange.response.secrets], passing=True)
        sent = exchange.at or self._clock.now() - round(exchange.response.ms * 1000)
        clean = redacted(exchange if exchange.at else evolve(exchange, at=sent), self._redactor)
        self._performer.outcome = clean.outcome()
        self._run.send(Webhook(source=clean.request.name, payload=clean.request.wire()), at=sent)
        lost = unkept(clean.response)
        self.count += 1
        self.unkept += lost
        self.unanswered += not clean.response.status
        self.cut += not (clean.response.complete or lost or not clean.response.status)

    def seal(self) -> None:
        """Finish the trace. Raises what failed while it was written, and `StorageError`."""
        self._writer.check_process()
        with self._lock:
            if self._problem is not None:
                raise self._problem
            self._writer.seal()
            self.exposed = self._exposed()

    def _exposed(self) -> int:
        """Return how many secrets stand in the file, of those that were not looked for all the time."""
        sought = Sought()
        for one in {**self._late, **self._redactor.forgotten}:
            sought.add(written(one)[1:-1].decode())
        found = 0
        with self.path.open(encoding="utf-8") as file:
            for line in file if sought else ():
                for form in sought.within(line):
                    if form in line:
                        sought.remove(form)
                        found += 1
        return found

    def discard(self) -> None:
        """Leave nothing behind where no exchange was kept: a file that was to be replaced is as it was."""
        self._writer.check_process()
        with self._lock:
            self._writer.discard()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Known:
    """A performer that has the outcome already."""

    def __init__(self) -> None:
        self.outcome = Outcome()

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer the one effect of a message."""
        return [Answer(call.key, self.outcome) for call in ask.new]


def redacted(exchange: Exchange, redactor: Redactor) -> Exchange:
    """Return *exchange* without its secrets."""
    response = exchange.response
    packed = response.headers.get("content-encoding", "")
    return Exchange(
        request=redacted_request(exchange.request, redactor),
        response=Response(
            status=response.status,
            headers=redactor.value(response.headers),
            body=_unpacked(response.body, packed, redactor),
            complete=response.complete,
            error=redactor.text(response.error),
            chunks=response.chunks,
            ms=response.ms,
        ),
        lane=redactor.text(exchange.lane),
        issued=exchange.issued,
        at=exchange.at,
        route=exchange.route,
    )


def redacted_request(request: Request, redactor: Redactor) -> Request:
    """Return *request* without its secrets: what a recording holds, and what requests are compared by."""
    method, _, path = redactor.text(request.name).partition(" ")
    body = request.body
    if "base64" in body:
        body = Request.of(method, path, "", (), _bytes(request.content(), redactor)).body
    clean = Request(
        method=method,
        path=path,
        query=redactor.text(request.query),
        headers=redactor.value(request.headers),
        body=redactor.value(body),
    )
    if not clean.placeholders:
        return clean
    written = frozenset(request.placeholders)
    return evolve(clean, lookalikes=tuple(sorted({one for one in clean.placeholders if one in written})))


def _unpacked(data: bytes, encoding: str, redactor: Redactor) -> bytes:
    """Return a body without its secrets; one that ends too early for its encoding ends too early then as well.

    Such a one is packed anew even where none was seen: what comes behind the part that can be unpacked may hold letters in the
    clear. A text was never packed, whatever the header says.
    """
    if not encoding or as_text(data) is not None:
        return _bytes(data, redactor)
    return cut_short(_bytes(decoded(data, encoding) or b"", redactor), encoding)


def _bytes(data: bytes, redactor: Redactor) -> bytes:
    """Return a body without its secrets; of one that is no text, each byte counts as a letter."""
    encodings = {BOM_UTF16_LE: "utf-16-le", BOM_UTF16_BE: "utf-16-be"}
    encoding = encodings.get(data[:2], "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        encoding = "latin-1"
        text = data.decode(encoding)
    return redactor.text(text).encode(encoding)
