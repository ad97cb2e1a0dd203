"""A recording of exchanges to answer from: which recorded answer a request gets, and what is left when nobody asks any more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Literal, TypeAlias

from attrs import field, frozen

from frameengine.cassette.cassette import Cassette
from frameengine.effects import Outcome
from frameengine.errors import CassetteMiss, NothingCompared, TraceFormat
from frameengine.exchanges.exchange import DRAW, LATE, Exchange, Request, Response
from frameengine.exchanges.gather import unkept
from frameengine.exchanges.near import chain_key, nearest
from frameengine.exchanges.recorder import GRAPH, redacted_request
from frameengine.jsonvalue import EMPTY
from frameengine.trace.reader import TraceReader
from frameengine.trace.redact import Redactor

Match: TypeAlias = Literal["exact", "chain"]
Verdict: TypeAlias = Literal["same", "missed", "outwaited", "unused", "ambiguous", "approximate", "nothing"]
EXITS: dict[Verdict, int] = {"same": 0, "approximate": 1, "nothing": 5}
"""Of the others it is 4."""


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
    """Requests for which an equal one, with another answer, could have been meant: under way at once, elsewhere, or with another
    secret."""
    approximate: int
    """Requests that were answered by their place in a conversation, and are not equal to what was recorded there."""
    outwaited: int
    """Answers that a client waited for longer than when it was recorded, where it left."""
    refused: int
    """Requests that no proxy takes, such as those for a WebSocket: whoever recorded refused them too."""
    draws: int
    """Recorded draws of clock, chance and ids, which a replay in process gives back, and no proxy can."""

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
        if self.ambiguous:
            return "ambiguous"
        return "approximate" if self.approximate else "same"

    @property
    def exit_code(self) -> int:
        """0 same, 1 approximate, 4 missed, outwaited, unused or ambiguous, 5 where nobody asked for anything."""
        return EXITS.get(self.verdict, 4)


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
        number = entry.key.input
        yield exchange_of(path, number, entry.effect.wire(), entry.outcome, sent.get(number, 0))


def exchange_of(path: Path, number: int, effect: Mapping[str, Any], outcome: Outcome, sent: int = 0) -> Exchange:
    """Return the exchange that input *number* of a recording is, of its one call. Raises `TraceFormat` where it is none."""
    try:
        return Exchange.from_outcome(effect["name"], effect["arguments"], outcome, sent)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{path}: input {number} is no exchange: {error!r}"
        raise TraceFormat(what, hint="the file was not written by this tool", path=str(path)) from None


@frozen(eq=False)
class _Place:
    """One recorded exchange, and what it is found by."""

    number: int
    """Number of its input in the recording."""
    exchange: Exchange
    request: Request
    """Its request, as requests are compared here: with or without host."""
    placeholders: tuple[str, ...]
    """In the request, in order."""
    chain: str | None = field(default=None)
    """Of the conversation that the request holds; None where it holds none, or nobody asks for it."""


class Book:
    """A recording to answer from, each exchange once; from any thread."""

    def __init__(
        self,
        exchanges: Iterable[Exchange],
        *,
        match: Match = "exact",
        tasks: bool = False,
        hosts: bool = False,
        secrets: Iterable[str] = (),
    ) -> None:
        """Answer from the calls among *exchanges*. With ``chain`` a place in a conversation will do where no request is equal.

        *tasks*: lanes are tasks and threads, by names that are the same in every run but for `LATE` ones. Without it they are
        connections, which a client hands now to this task of its own and now to that one. *hosts*: which host was called counts;
        a proxy sees none, so it does not where either the recording or whoever asks is one. *secrets* are texts known
        beforehand, such as keys from the environment: one of them answers for any that stood in its place.
        """
        self.match = match
        self._tasks = tasks
        self.used = self.ambiguous = self.approximate = self.missed = self.outwaited = self.refused = 0
        self._lock = Lock()
        self._redactor = Redactor()
        self._redactor.know(secrets)
        self._bound: dict[str, str] = {}
        self._secrets: dict[str, str] = {}
        self._hosts = hosts
        self._places: list[_Place] = []
        self._draws = 0
        for number, one in enumerate(exchanges, start=1):
            if one.request.method == DRAW:
                self._draws += len(one.request.body["json"])
                continue
            request = one.request if hosts else one.request.hostless
            chain = chain_key(request) if match == "chain" else None
            self._places.append(_Place(number, one, request, request.placeholders, chain))
        self._left = {place.number: place for place in self._places}
        self._equal: dict[str, list[_Place]] = {}
        self._alike: dict[str, list[_Place]] = {}
        for place in sorted(self._places, key=lambda place: (place.exchange.issued, place.number)):
            self._equal.setdefault(place.request.digest, []).append(place)
            if place.chain is not None:
                self._alike.setdefault(place.chain, []).append(place)

    @classmethod
    def read(cls, path: Path, *, match: Match = "exact", secrets: Iterable[str] = ()) -> Book:
        """Read a sealed recording for a proxy, which sees no hosts. Raises what `read_exchanges` does."""
        return cls(read_exchanges(path), match=match, secrets=secrets)

    def claim(self, request: Request, lane: str = "", route: str = "") -> Exchange:
        """Return the exchange that answers *request*, and take it out. *lane* is the task, thread or connection that asks.

        Where *route* names the kind of client that asks, what is known to have been asked by another kind does not answer it: the
        paths of two servers may be alike. Raises `CassetteMiss`: ``nearest`` has up to three recorded exchanges and why each was
        rejected, ``used`` says whether an equal one was there and is used up.
        """
        with self._lock:
            self._redactor.know(request.secrets, passing=True)
            asked = redacted_request(request if self._hosts else request.hostless, self._redactor)
            same = [place for place in self._equal.get(asked.digest, ()) if self._pairs(place, asked) is not None]
            equal = [place for place in same if _reaches(route, place)]
            found = self._take(equal, lane)
            if found is None and self.match == "chain":
                key = chain_key(asked)
                alike = self._alike.get(key, ()) if key is not None else ()
                found = self._take([place for place in alike if _reaches(route, place)], lane)
                self.approximate += found is not None
            if found is None:
                self.missed += 1
                raise self._miss(asked, route, equal=equal, elsewhere=[place for place in same if not _reaches(route, place)])
            if unkept(found.exchange.response):
                self.missed += 1
                what = f"{asked.name}: its answer is not in the recording, it was {found.exchange.response.error}"
                hint = "this call cannot be replayed: let the agent ask for less, or for another encoding"
                raise CassetteMiss(what, hint=hint, used=False, nearest=[], request=asked.name)
            self.used += 1
            if found.request.digest == asked.digest:
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
            if one in place.request.lookalikes or other in asked.lookalikes:
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
        named = self._tasks and not lane.startswith(LATE)
        sure = named and chosen in lanes
        if chosen not in lanes:
            others = [bound for live, bound in self._bound.items() if live != lane]
            sure = named and lane in lanes and lane not in others
            chosen = lane if sure else next((one for one in lanes if one not in others), next(iter(lanes)))
        self._bound[lane] = chosen
        found = next(place for place in left if place.exchange.lane == chosen)
        others_meant = [place for place in left if not sure and place.exchange.lane != chosen and not self._follows(place, found)]
        others_meant += [place for place in left if place.placeholders != found.placeholders]
        # Whoever asks said less of the server than the recording knows.
        others_meant += [place for place in left if self._server(place) != self._server(found)]
        self.ambiguous += any(_said(place) != _said(found) for place in others_meant)
        del self._left[found.number]
        return found

    def _follows(self, place: _Place, found: _Place) -> bool:
        """Return whether *place* is sure to be of a later request than *found*, though of another lane.

        A client takes a new connection when it likes, and one request after the other stays that. Of threads that nobody saw
        starting, each has a turn of its own, and when that comes is chance.
        """
        return not self._tasks and found.exchange.over_before(place.exchange)

    def _server(self, place: _Place) -> str:
        return "" if self._hosts else place.exchange.server

    def _miss(self, asked: Request, route: str, *, equal: Sequence[_Place], elsewhere: Sequence[_Place]) -> CassetteMiss:
        used = bool(equal)
        what = "every equal recorded request has been answered already" if used else "no recorded request equals it"
        if elsewhere:
            what += f"; an equal one was asked of {elsewhere[0].exchange.route}"
        places = [place for place in self._places if _reaches(route, place)]
        near = nearest(asked, [(place.number, place.request, place.number in self._left) for place in places])
        looser = "" if self.match == "chain" else "; where only ids or settings differ, the match 'chain' will do"
        hint = f"record again{looser}"
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
                refused=self.refused,
                draws=self._draws,
            )


def _reaches(route: str, place: _Place) -> bool:
    """Return whether a client of *route* may have asked for *place*, as far as both are known."""
    return not route or place.exchange.route in ("", route)


def _said(place: _Place) -> tuple[int, bytes, bool, str]:
    response: Response = place.exchange.response
    return response.status, response.body, response.complete, response.error
