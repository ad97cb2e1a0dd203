"""Stand between the agent's own code and clock, chance and ids, for the time of one block.

Only what the agent's own code calls itself is a draw: a library that reads the clock for its timeouts, or chance for its pauses
between two tries, does so a different number of times whenever the network behaves differently, and what it read reaches no
prompt. Out of reach are functions that were kept under another name than a module's own before the block began (in a class, a
closure or a default argument), generators of one's own (``random.Random()``, ``random.SystemRandom()``), and code that is
written in C. `frameengine.inprocess.irreproducible` names such places as far as a text tells of them.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, MutableSequence, Sequence
from datetime import date, datetime
from functools import update_wrapper
from importlib import import_module
from types import BuiltinFunctionType, FrameType, FunctionType, MethodType
from typing import Any, Literal, TypeAlias

from frameengine.errors import UsageError
from frameengine.inprocess.draws import RecordedDraws, ReplayedDraws
from frameengine.inprocess.lanes import Lanes
from frameengine.inprocess.own import Site, is_own, site_of
from frameengine.inprocess.patches import Patches

Control: TypeAlias = Literal["clock", "uuid", "random"]

FUNCTIONS: tuple[tuple[Control, str, str], ...] = (
    ("clock", "time", "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns process_time process_time_ns"),
    ("clock", "time", "thread_time thread_time_ns clock_gettime clock_gettime_ns localtime gmtime ctime asctime strftime"),
    ("uuid", "uuid", "uuid1 uuid4 uuid6 uuid7 uuid8"),
    ("random", "random", "random uniform triangular randint randrange getrandbits randbytes gauss normalvariate lognormvariate"),
    ("random", "random", "expovariate vonmisesvariate gammavariate betavariate paretovariate weibullvariate binomialvariate"),
    ("random", "random", "choice choices sample shuffle"),
    ("random", "secrets", "choice randbelow randbits token_bytes token_hex token_urlsafe"),
    ("random", "os", "urandom getrandom"),
)
"""Which control, whose members, which; what this Python does not have is left out."""
DATES = ((datetime, "now"), (datetime, "utcnow"), (date, "today"))
"""Methods of classes in C; ``datetime.today`` is that of ``date``."""
KINDS: tuple[Control, ...] = ("clock", "uuid", "random")

_PURE_FROM = {"time.localtime": 1, "time.gmtime": 1, "time.ctime": 1, "time.asctime": 1, "time.strftime": 2}
"""Functions of their arguments alone once they get this many."""
_PICKS = ("choice", "choices", "sample", "shuffle")
"""Functions that hand out the caller's own objects: their positions are drawn instead, in the same way."""
_STOPWATCHES = tuple(
    [f"time.{name}{unit}" for name in ("monotonic", "perf_counter", "process_time", "thread_time") for unit in ("", "_ns")]
)
"""Functions that say how long something took and never what time it is: agents time their calls with them."""


def checked_control(control: Iterable[str]) -> tuple[Control, ...]:
    """Return the kinds in their order. Raises `UsageError` for one that there is not."""
    wanted = (control,) if isinstance(control, str) else tuple(control)
    unknown = [kind for kind in wanted if kind not in KINDS]
    if unknown:
        raise UsageError(f"there is no control {unknown[0]!r}", hint=f"say any of {', '.join(KINDS)}")
    return tuple([kind for kind in KINDS if kind in wanted])


class Controls:
    """The substitutes of one block: they draw where that was asked for, and count by place where it was not."""

    def __init__(self, control: tuple[Control, ...], lanes: Lanes, draws: RecordedDraws | ReplayedDraws) -> None:
        self.control = control
        self._lanes, self._draws = lanes, draws
        self._uncontrolled: Counter[tuple[Site, str]] = Counter()
        self._wanted = dict.fromkeys(control)
        self._substitutes: dict[Any, Any] = {}
        self.active = True

    @property
    def uncontrolled(self) -> tuple[tuple[Site, str, int], ...]:
        """Where the agent's own code drew what nobody recorded: place, name, how often."""
        counted = [(site, name, count) for (site, name), count in self._uncontrolled.items()]
        return tuple(sorted(counted, key=lambda item: (item[0].file, item[0].line, item[1])))

    def told(self) -> str:
        """Return the first place that drew what nobody recorded, and the control that records all such; empty without one.

        Stopwatches are left to the receipt.
        """
        places = [place for place in self.uncontrolled if place[1] not in _STOPWATCHES]
        if not places:
            return ""
        (site, name, _), more = places[0], len(places) - 1
        others = f" (and {more} more place{'s' if more > 1 else ''})" if more else ""
        kinds = ", ".join([f'"{kind}"' for kind in KINDS if kind in self._wanted])
        return f"{site} {name} is not controlled{others}: control=({kinds}{',' if len(self._wanted) == 1 else ''})"

    def install(self, patches: Patches) -> None:
        """Put the substitutes in place, also where the agent's modules hold a function under a name of their own."""
        for kind, owner, names in FUNCTIONS:
            module = import_module(owner)
            for name in names.split():
                original = getattr(module, name, None)
                if original is not None:
                    substitute = self._function(kind, f"{owner}.{name}", original)
                    self._substitutes[original] = substitute
                    patches.put(module, name, substitute)
        for owner_class, name in DATES:
            patches.put_in_c(owner_class, name, self._date(owner_class, name))
        _rename(self._substitutes)

    def remove(self) -> None:
        """Let go: whoever still holds a substitute has the function itself from now on."""
        self.active = False
        _rename({substitute: original for original, substitute in self._substitutes.items()})

    def _draw(self, kind: Control, name: str, frame: FrameType, really: Callable[[], Any], asked: str = "") -> Any:
        """Draw for the caller in *frame*; `_UNTOUCHED` where it is none of the agent's own code. *asked* are its arguments."""
        site = site_of(frame) if self.active else None
        if site is None:
            return _UNTOUCHED
        if kind in self.control:
            return self._draws.draw(self._lanes.here(), site, name + asked, really)
        self._uncontrolled[site, name] += 1
        self._wanted[kind] = None
        return _UNTOUCHED

    def _function(self, kind: Control, name: str, original: Any) -> Any:
        pure_from, picks = _PURE_FROM.get(name), name.rpartition(".")[2] in _PICKS

        def call(*args: Any, **kwargs: Any) -> Any:
            if pure_from is not None and args[pure_from - 1 :] not in ((), (None,)):
                return original(*args, **kwargs)
            if picks:
                return self._pick(kind, name, original, sys._getframe(1), (args, kwargs))
            value = self._draw(kind, name, sys._getframe(1), lambda: original(*args, **kwargs), _asked(args, kwargs))
            return original(*args, **kwargs) if value is _UNTOUCHED else value

        return update_wrapper(call, original)

    def _pick(
        self, kind: Control, name: str, original: Any, frame: FrameType, given: tuple[tuple[Any, ...], dict[str, Any]]
    ) -> Any:
        """Draw positions, and return what stands there: the objects themselves are the agent's, and need not be JSON."""
        args, kwargs = given
        named = next((key for key in ("seq", "population", "x") if key in kwargs), None)
        items = args[0] if named is None and args else kwargs.get(named or "")
        if not isinstance(items, Sequence) or not items:
            return original(*args, **kwargs)
        places = list(range(len(items)))

        def really() -> Any:
            given = original(
                *((places, *args[1:]) if named is None else args), **({**kwargs, named: places} if named else kwargs)
            )
            return places if given is None else given

        # A position means something in a list of the same length only.
        counted = f"{name} of {len(items)}"
        found = self._draw(kind, counted, frame, really, _asked(args[named is None :], {**kwargs, named or "": ()}))
        if found is _UNTOUCHED:
            return original(*args, **kwargs)
        if name == "random.shuffle" and isinstance(items, MutableSequence):
            items[:] = [items[place] for place in found]
            return None
        return [items[place] for place in found] if isinstance(found, list) else items[found]

    def _date(self, owner: type, name: str) -> Any:
        original = vars(owner)[name]
        qualified = f"datetime.{owner.__name__}.{name}"

        def call(cls: Any, *args: Any, **kwargs: Any) -> Any:
            bound = original.__get__(None, cls)
            value = self._draw("clock", qualified, sys._getframe(1), lambda: bound(*args, **kwargs))
            if value is _UNTOUCHED:
                return bound(*args, **kwargs)
            if not isinstance(value, str):
                return value
            zone = args[0] if args else kwargs.get("tz")
            found = cls.fromisoformat(value)
            return found if zone is None else found.astimezone(zone)

        return classmethod(update_wrapper(call, original))


_UNTOUCHED = object()


def _asked(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Return the plain ones among the arguments of a draw: what came of others was drawn for something else."""
    told = [*map(repr, filter(_plain, args)), *[f"{name}={value!r}" for name, value in sorted(kwargs.items()) if _plain(value)]]
    return f"({', '.join(told)})" if told else ""


def _plain(value: Any) -> bool:
    return isinstance(value, int | float | str)


def _rename(replaced: dict[Any, Any]) -> None:
    """Replace functions under the names that the agent's own modules gave them (``from time import time``)."""
    for module in tuple(sys.modules.values()):
        # Some put other things than modules there.
        names = getattr(module, "__dict__", {})
        file = names.get("__file__")
        if names.get("__name__") != "__main__" and not (isinstance(file, str) and is_own(file)):
            continue
        for name, value in tuple(names.items()):
            if isinstance(value, (BuiltinFunctionType, FunctionType, MethodType)) and value in replaced:
                names[name] = replaced[value]
