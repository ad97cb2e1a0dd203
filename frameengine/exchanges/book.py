"""A recording of exchanges to answer from: which recorded answer a request gets, and what is left when nobody asks any more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Literal, TypeAlias

from attrs import field, frozen

from frameengine.cassette.cassette import Cassette
from frameengine.effects import ToolCall
from frameengine.errors import CassetteMiss, NothingCompared, TraceFormat
from frameengine.exchanges.exchange import Exchange, Request
from frameengine.exchanges.gather import unkept
from frameengine.exchanges.near import chain_key, nearest
from frameengine.exchanges.recorder import GRAPH, redacted_request
from frameengine.jsonvalue import EMPTY
from frameengine.trace.reader import TraceReader
from frameengine.trace.redact import Redactor

Match: TypeAlias = Literal["exact", "chain"]
Verdict: TypeAlias = Literal["same", "missed", "outwaited", "unused", "approximate", "nothing"]
EXITS: dict[Verdict, int] = {"same": 0, "approximate": 1, "missed": 4, "outwaited": 4, "unused": 4, "nothing": 5}


@frozen(kw_only=True)
class Receipt:
    """What a replay came to."""

    recorded: int
    """Exchanges of the recording."""
    replayed: int
    """Requests that were answered from it."""
    unused: int
    """Exchanges that nobody asked for."""
    missed: int
    """Requests that it has no answer for."""
    ambiguous: int
    """Requests for which an equal one, with another answer, could have been meant: of another lane, or with another secret."""
    approximate: int
    """Requests that were answered by their place in a conversation, and are not equal to what was recorded there."""
    outwaited: int
    """Answers that a client waited for longer than when it was recorded, where it left."""

    @property
    def verdict(self) -> Verdict:
        """The worst that can be said of it."""
        if self.missed:
            return "missed"
        if not self.replayed:
            return "nothing"
        if self.outwaited:
            return "outwaited"
        if self.unused:
            return "unused"
        return "approximate" if self.approximate else "same"

    @property
    def exit_code(self) -> int:
        """0 same, 1 approximate, 4 missed, outwaited or unused, 5 where nobody asked for anything."""
        return EXITS[self.verdict]


def read_exchanges(path: Path) -> Iterator[Exchange]:
    """Yield the exchanges of a sealed recording, in the order in which they were complete.

    Raises `TraceError` where it is none, and `NothingCompared` where it holds none.
    """
    with TraceReader(path) as reader:
        graph = reader.header.get("graph", EMPTY).get("name", "")
        if graph != GRAPH:
            what = f"{path} records a run of the graph {graph!r}, not HTTP exchanges"
            raise TraceFormat(what, hint="name a file of 'frameengine proxy record'", path=str(path), line=1)
        sent = {line.value["number"]: line.at or 0 for line in reader.lines() if line.kind == "input"}
    recorded = Cassette.of(path).recorded
    if not recorded:
        raise NothingCompared(f"{path} holds no exchange", hint="record again, and let the agent ask something")
    for entry in recorded:
        effect = entry.effect
        try:
            if not isinstance(effect, ToolCall):
                raise TypeError("a model call")
            found = Exchange.from_outcome(effect.name, effect.arguments, entry.outcome, sent.get(entry.key.input, 0))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"{path}: input {entry.key.input} is no exchange: {error!r}"
            raise TraceFormat(what, hint="the file was not written by this tool", path=str(path)) from None
        yield found


@frozen(eq=False)
class _Place:
    """One recorded exchange, and what it is found by."""

    number: int
    """Position in the recording, from 0."""
    exchange: Exchange
    digest: str
    """Of the request."""
    placeholders: tuple[str, ...]
    """In the request, in order."""
    chain: str | None = field(default=None)
    """Of the conversation that the request holds; None where it holds none, or nobody asks for it."""


class Book:
    """A recording to answer from, each exchange once; from any thread."""

    def __init__(
        self, exchanges: list[Exchange], *, match: Match = "exact", tasks: bool = False, secrets: Iterable[str] = ()
    ) -> None:
        """Answer from *exchanges*. With ``chain`` a place in a conversation will do where nothing equals a request.

        *tasks*: lanes are tasks and threads, by names that are the same in every run. Without it they are connections, which a
        client hands now to this task of its own and now to that one. *secrets* are texts known beforehand, such as keys from the
        environment: one of them answers for any that stood in its place.
        """
        self.match = match
        self._tasks = tasks
        self.used = self.ambiguous = self.approximate = self.missed = self.outwaited = 0
        self._lock = Lock()
        self._redactor = Redactor()
        self._redactor.know(secrets)
        self._bound: dict[str, str] = {}
        self._secrets: dict[str, str] = {}
        self._places = [
            _Place(
                number,
                one,
                one.request.digest,
                one.request.placeholders,
                chain_key(one.request) if match == "chain" else None,
            )
            for number, one in enumerate(exchanges)
        ]
        self._left = {place.number: place for place in self._places}
        self._equal: dict[str, list[_Place]] = {}
        self._alike: dict[str, list[_Place]] = {}
        for place in sorted(self._places, key=lambda place: (place.exchange.issued, place.number)):
            self._equal.setdefault(place.digest, []).append(place)
            if place.chain is not None:
                self._alike.setdefault(place.chain, []).append(place)

    @classmethod
    def read(cls, path: Path, *, match: Match = "exact", secrets: Iterable[str] = ()) -> Book:
        """Read a sealed recording of a proxy. Raises `TraceError` where it is none, and `NothingCompared` where it is empty."""
        return cls(list(read_exchanges(path)), match=match, secrets=secrets)

    def claim(self, request: Request, lane: str = "") -> Exchange:
        """Return the exchange that answers *request*, and take it out. *lane* is the task, thread or connection that asks.

        Raises `CassetteMiss`: ``nearest`` has up to three recorded exchanges and why each was rejected, ``used`` says whether an
        equal one was there and is used up.
        """
        with self._lock:
            self._redactor.know(request.secrets)
            asked = redacted_request(request, self._redactor)
            equal = [place for place in self._equal.get(asked.digest, ()) if self._pairs(place, asked) is not None]
            found = self._take(equal, lane)
            if found is None and self.match == "chain":
                key = chain_key(asked)
                found = self._take(self._alike.get(key, ()), lane) if key is not None else None
                self.approximate += found is not None
            if found is None:
                self.missed += 1
                raise self._miss(asked, used=bool(equal))
            if unkept(found.exchange.response):
                self.missed += 1
                what = f"{asked.name}: its answer is not in the recording, it was {found.exchange.response.error}"
                hint = "this call cannot be replayed: let the agent ask for less, or for another encoding"
                raise CassetteMiss(what, hint=hint, used=False, nearest=[], request=asked.name)
            self.used += 1
            self._secrets.update(self._pairs(found, asked) or {})
            return found.exchange

    def _pairs(self, place: _Place, asked: Request) -> dict[str, str] | None:
        """Return which recorded secret stands for which in *asked*, a request of the same digest; None where that cannot be.

        A key that was known beforehand may have become another one. A value of the body is as long as it was, and the same
        wherever it was the same; which one it was nobody can tell, since no recording holds it.
        """
        pairs: dict[str, str] = {}
        if not place.placeholders:
            return pairs
        for one, other in zip(place.placeholders, asked.placeholders, strict=True):
            if one in place.exchange.request.lookalikes or other in asked.lookalikes:
                # What the recording gave out in the place of a secret comes back like that.
                if one != other or other not in asked.lookalikes:
                    return None
            elif not self._redactor.known(other):
                before = pairs.setdefault(one, self._secrets.get(one, other))
                taken = next((recorded for recorded, live in {**self._secrets, **pairs}.items() if live == other), one)
                if before != other or taken != one or len(one) != len(other):
                    return None
        return pairs

    def _take(self, places: Sequence[_Place], lane: str) -> _Place | None:
        """Return the next of some equal exchanges for *lane*: of the lane it is bound to, of its own name, or of a free one."""
        left = [place for place in places if place.number in self._left]
        if not left:
            return None
        lanes = dict.fromkeys([place.exchange.lane for place in sorted(left, key=lambda place: place.number)])
        chosen = self._bound.get(lane)
        sure = self._tasks and chosen in lanes
        if chosen not in lanes:
            others = [bound for live, bound in self._bound.items() if live != lane]
            sure = self._tasks and lane in lanes and lane not in others
            chosen = lane if sure else next((one for one in lanes if one not in others), next(iter(lanes)))
        open_ = (not sure and len(lanes) > 1) or len({place.placeholders for place in left}) > 1
        self.ambiguous += open_ and len({_said(place) for place in left}) > 1
        self._bound[lane] = chosen
        found = next(place for place in left if place.exchange.lane == chosen)
        del self._left[found.number]
        return found

    def _miss(self, asked: Request, *, used: bool) -> CassetteMiss:
        what = "every equal recorded request has been answered already" if used else "no recorded request equals it"
        near = nearest(asked, [(place.exchange, place.number in self._left) for place in self._places])
        hint = "record again; where only ids or settings differ, say --match chain"
        return CassetteMiss(f"{asked.name}: {what}", hint=hint, used=used, nearest=near, request=asked.name)

    def outwait(self) -> None:
        """Count a client that waits longer than it did."""
        with self._lock:
            self.outwaited += 1

    def unused(self) -> tuple[Exchange, ...]:
        """Return the exchanges that nobody asked for, in order."""
        with self._lock:
            return tuple([place.exchange for place in self._left.values()])

    def receipt(self) -> Receipt:
        """Return what the replay has come to so far."""
        with self._lock:
            return Receipt(
                recorded=len(self._places),
                replayed=self.used,
                unused=len(self._left),
                missed=self.missed,
                ambiguous=self.ambiguous,
                approximate=self.approximate,
                outwaited=self.outwaited,
            )


def _said(place: _Place) -> tuple[int, bytes]:
    return place.exchange.response.status, place.exchange.response.body
