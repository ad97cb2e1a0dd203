"""Draws: what the agent's own code read from clock or chance, or took as an id; recorded, and given back at the same place."""

from __future__ import annotations

import threading
import time
from base64 import b64decode, b64encode
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from math import isfinite
from typing import Any
from uuid import UUID, SafeUUID

from attrs import field, frozen

from frameengine import foreign
from frameengine.codec import dumps
from frameengine.errors import Diverged, FrameEngineError
from frameengine.exchanges.exchange import DRAW, Exchange, Request, Response
from frameengine.inprocess.own import Site
from frameengine.jsonvalue import FrozenMap, freeze

BATCH_MAX = 1000
"""Draws of a lane that are kept together at most."""
_INT_MAX = 1 << 53


@frozen(kw_only=True)
class Draw:
    """One value that the agent's own code drew."""

    site: Site
    """Where."""
    name: str
    """Qualified name of what was called."""
    value: Any = field(eq=False)
    """What it gave, as JSON."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is found by: the line may move."""
        return self.site.file, self.site.function, self.name


class RecordedDraws:
    """Draws on their way into a recording: those of a lane are written before the next request of that lane.

    None is written before the first request: a file that is to be replaced stays as it was where there is none.
    """

    def __init__(self, keep: Callable[[Exchange], None]) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self._pending: dict[str, list[Draw]] = {}
        self._batches: Counter[str] = Counter()
        self.count = 0
        self.asked = False
        """Whether there was a request."""

    def draw(self, lane: str, site: Site, name: str, really: Callable[[], Any]) -> Any:
        """Draw really, and remember what came. A call that fails is no draw."""
        value = really()
        with self._lock:
            self.count += 1
            pending = self._pending.setdefault(lane, [])
            pending.append(Draw(site=site, name=name, value=to_json(value)))
            full = len(pending) >= BATCH_MAX
        if full and self.asked:
            self.flush(lane)
        return value

    def flush(self, *lanes: str) -> None:
        """Write what some lanes drew, or all of them."""
        with self._lock:
            drawn = [(lane, self._pending.pop(lane, [])) for lane in lanes or sorted(self._pending)]
            batches = []
            for lane, draws in drawn:
                for start in range(0, len(draws), BATCH_MAX):
                    self._batches[lane] += 1
                    batches.append(_exchange(draws[start : start + BATCH_MAX], lane, self._batches[lane]))
        for batch in batches:
            self._keep(batch)


class ReplayedDraws:
    """Draws given back: those of each place in their order, within the lane."""

    def __init__(self, exchanges: Iterable[Exchange], fail: Callable[[FrameEngineError], None]) -> None:
        self._fail = fail
        self._lock = threading.Lock()
        self._left: dict[tuple[str, tuple[str, str, str]], deque[Draw]] = {}
        self.recorded = self.count = 0
        for exchange in sorted(exchanges, key=lambda one: one.issued):
            for draw in _draws(exchange):
                self.recorded += 1
                self._left.setdefault((exchange.lane, draw.key), deque()).append(draw)

    def draw(self, lane: str, site: Site, name: str, really: Callable[[], Any]) -> Any:
        """Return what was drawn here. Raises `Diverged` where the recording has nothing (more) from this place."""
        key = (site.file, site.function, name)
        with self._lock:
            left = self._left.get((lane, key))
            if left:
                self.count += 1
                return left.popleft().value
        problem = Diverged(
            f"{site} drew {name} {'once more' if left is not None else 'where the recording drew nothing'} (in lane {lane})",
            hint="the agent took another way than when it was recorded: compare what it was given before, or record again",
            **_facts(site, name, lane),
        )
        self._fail(problem)
        raise problem

    def unused(self) -> Diverged | None:
        """Return what is wrong where recorded draws were left over."""
        rest = [(lane, draw) for (lane, _), left in self._left.items() for draw in left]
        if not rest:
            return None
        lane, first = rest[0]
        return Diverged(
            f"{len(rest)} recorded draws were not drawn again, the first is {first.name} at {first.site} (in lane {lane})",
            hint="the agent took another way than when it was recorded: compare what it was given before, or record again",
            left=len(rest),
            **_facts(first.site, first.name, lane),
        )


def _facts(site: Site, name: str, lane: str) -> dict[str, Any]:
    return {"file": site.file, "line": site.line, "function": site.function, "name": name, "lane": lane}


def _exchange(drawn: list[Draw], lane: str, number: int) -> Exchange:
    """Return draws as an exchange: what was drawn where is the request, the values are the answer."""
    places = [[draw.site.file, draw.site.function, draw.site.line, draw.name] for draw in drawn]
    request = Request(method=DRAW, path=f"/{lane}", body=freeze({"json": places}))
    headers: FrozenMap = freeze({"content-type": "application/json"})
    values = dumps([draw.value for draw in drawn])
    response = Response(status=200, headers=headers, body=values, chunks=((0.0, len(values.decode())),))
    return Exchange(request=request, response=response, lane=lane, issued=number)


def _draws(exchange: Exchange) -> Iterator[Draw]:
    values = foreign.parse(exchange.response.body.decode())
    for (file, function, line, name), value in zip(exchange.request.body["json"], values, strict=True):
        yield Draw(site=Site(file, function, line), name=name, value=from_json(value))


def to_json(value: Any) -> Any:
    """Return a drawn value as JSON that `from_json` makes the same value of."""
    if isinstance(value, time.struct_time):
        return {"struct_time": [*value, value.tm_zone, value.tm_gmtoff]}
    if isinstance(value, UUID):
        # A number of its own only where the system says anything about it: uuid1 asks it.
        return {"uuid": value.hex, **({"safe": value.is_safe.name} if value.is_safe is not SafeUUID.unknown else {})}
    if isinstance(value, datetime | date):
        return {"iso": value.isoformat()}
    if isinstance(value, bytes):
        return {"base64": b64encode(value).decode()}
    if isinstance(value, int) and abs(value) > _INT_MAX:
        return {"int": str(value)}
    if isinstance(value, float) and not isfinite(value):
        return {"float": str(value)}
    return value


def from_json(value: Any) -> Any:
    """Return the drawn value; of a date its text, since its class is known where it is drawn only."""
    match value:
        case {"struct_time": [*fields, zone, offset]}:
            return time.struct_time(fields, {"tm_zone": str(zone), "tm_gmtoff": offset})
        case {"uuid": str(text)}:
            return UUID(text, is_safe=SafeUUID[value.get("safe", "unknown")])
        case {"iso": text} | str(text):
            return str(text)
        case {"base64": text}:
            return b64decode(text)
        case {"int": text}:
            return int(text)
        case {"float": text}:
            return float(text)
        case tuple():
            return list(value)
    return value
