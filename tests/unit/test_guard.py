"""The guard refuses what makes a run more than a function of its recorded inputs, names it, and leaves everything else alone."""

from __future__ import annotations

import importlib
import itertools
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent, indent
from types import ModuleType
from typing import Any, Literal

import pytest

from frameengine.engine.guard import Guard
from frameengine.engine.guard_static import instead_of, scan
from frameengine.engine.instruments import Instruments
from frameengine.errors import Nondeterminism, UsageError

Level = Literal["off", "on", "full"]
_serial = itertools.count()


class Workshop:
    """Write node modules, import them, and step them under a guard."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: list[str] = []

    def module(self, source: str) -> ModuleType:
        """Write and import a module."""
        name = f"guarded_{next(_serial)}"
        (self.folder / f"{name}.py").write_text(source)
        importlib.invalidate_caches()
        self.names.append(name)
        return importlib.import_module(name)

    def node(self, body: str, before: str = "") -> ModuleType:
        """Make a module with a node; the line of *body* that matters ends in ``# here``."""
        return self.module(f"{before}\n\nclass Node:\n    async def run(self, message, ctx):\n{indent(dedent(body), ' ' * 8)}\n")


def step(guard: Guard, node: Any, frame: int = 3) -> tuple[Any, Nondeterminism | None]:
    """Run one step of a node; return what it raised or returned, and what `leave` said."""
    coroutine = node.run(None, None)
    guard.enter("thinker", frame)
    try:
        coroutine.send(None)
        ended: Any = "suspended"
    except StopIteration as end:
        ended = end.value
    except Exception as error:  # noqa: BLE001 - the test looks at it
        ended = error
    finally:
        refusal = guard.leave()
    coroutine.close()
    return ended, refusal


def run(module: ModuleType, level: Level, *, static: bool = False) -> tuple[Any, Nondeterminism | None]:
    """Watch the node of a module and run one step of it."""
    guard = Guard(level, static=static)
    guard.watch(module.Node)
    return step(guard, module.Node())


def marked(module: ModuleType) -> int:
    """Return the line that ends in ``# here``."""
    lines = Path(str(module.__file__)).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.endswith("# here"))


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    """Make a workshop whose modules are forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    shop = Workshop(tmp_path)
    yield shop
    for name in shop.names:
        sys.modules.pop(name, None)


# name of the mutant: (imports, body, reported name, levels that see it)
MUTANTS: dict[str, tuple[str, str, str, str]] = {
    "time.time": ("import time", "return time.time()  # here", "time.time", "static on full"),
    "time alias": ("import time as t", "return t.time()  # here", "time.time", "static on full"),
    "from time": ("from time import time", "return time()  # here", "time.time", "static on full"),
    "renamed": ("from time import time as stamp", "return stamp()  # here", "time.time", "static on full"),
    "monotonic": ("import time", "return time.monotonic()  # here", "time.monotonic", "static on full"),
    "perf_counter": ("from time import perf_counter", "return perf_counter()  # here", "time.perf_counter", "static on full"),
    "sleep": ("import time", "time.sleep(0)  # here", "time.sleep", "static on full"),
    "gmtime": ("import time", "return time.gmtime()  # here", "time.gmtime", "static on full"),
    "datetime.now": ("from datetime import datetime", "return datetime.now()  # here", "datetime.datetime.now", "static on full"),
    "datetime as D": (
        "from datetime import datetime as D",
        "return D.utcnow()  # here",
        "datetime.datetime.utcnow",
        "static on full",
    ),
    "datetime module": ("import datetime", "return datetime.datetime.now()  # here", "datetime.datetime.now", "static on full"),
    "date.today": ("from datetime import date", "return date.today()  # here", "datetime.date.today", "static on full"),
    "local zone": ("import time", "return time.localtime(0)  # here", "time.localtime", "static on full"),
    "naive stamp": (
        "from datetime import datetime",
        "return datetime.fromtimestamp(0)  # here",
        "datetime.datetime.fromtimestamp",
        "static on full",
    ),
    "zone name": ("import time", "return time.tzname  # here", "time.tzname", "static on full"),
    "random": ("import random", "return random.random()  # here", "random.random", "static on full"),
    "from random": ("from random import randint", "return randint(1, 6)  # here", "random.randint", "static on full"),
    "shuffle": ("import random", "random.shuffle([1, 2])  # here", "random.shuffle", "static on full"),
    "unseeded": ("import random", "return random.Random().random()  # here", "random.Random", "static on full"),
    "unseeded None": ("from random import Random", "return Random(None)  # here", "random.Random", "static on full"),
    "uuid4": ("from uuid import uuid4", "return uuid4()  # here", "uuid.uuid4", "static on full"),
    "uuid1": ("import uuid", "return uuid.uuid1()  # here", "uuid.uuid1", "static on full"),
    "urandom": ("import os", "return os.urandom(4)  # here", "os.urandom", "static on full"),
    "secrets": ("import secrets", "return secrets.token_hex()  # here", "secrets.token_hex", "static on full"),
    "from secrets": ("from secrets import choice", "return choice([1])  # here", "secrets.choice", "static on full"),
    "hash": ("", "return hash('a')  # here", "hash", "static on full"),
    "id": ("", "return id(self)  # here", "id", "static on full"),
    "set iteration": ("", "return [x for x in {'a', 'b'}]  # here", "iteration over a set", "static"),
    "ties under a key": ("", "return min({'a', 'b'}, key=len)  # here", "iteration over a set", "static"),
    "ties in sorted": ("", "return sorted({'a', 'b'}, key=len)  # here", "iteration over a set", "static"),
    "sum over a set": ("", "return sum({0.1, 0.2})  # here", "iteration over a set", "static"),
    "reduce over a set": ("import functools", "return functools.reduce(max, {1, 2})  # here", "iteration over a set", "static"),
    "chain over a set": (
        "import itertools",
        "return [x for x in itertools.chain({1, 2})]  # here",
        "iteration over a set",
        "static",
    ),
    "percent of a set": ("", "return '%s' % {1, 2}  # here", "iteration over a set", "static"),
    "format of a set": ("", "return '{}'.format({1, 2})  # here", "iteration over a set", "static"),
    "set after None": ("", "s = None\ns = set('ab')\nreturn list(s)  # here", "iteration over a set", "static"),
    "set to list": ("", "tags = set('ab')\nreturn list(tags)  # here", "iteration over a set", "static"),
    "asyncio.wait": ("import asyncio", "return await asyncio.wait([])  # here", "asyncio.wait", "static on full"),
    "as_completed": ("import asyncio", "return list(asyncio.as_completed([]))  # here", "asyncio.as_completed", "static on full"),
    "thread": ("import threading", "threading.Thread(target=len).start()  # here", "threading.Thread", "static on full"),
    "thread by _thread": (
        "import _thread",
        "_thread.start_new_thread(len, ('',))  # here",
        "_thread.start_new_thread",
        "static on full",
    ),
    "cwd": ("import os", "return os.getcwd()  # here", "os.getcwd", "static on full"),
    "Path.cwd": ("from pathlib import Path", "return Path.cwd()  # here", "pathlib.Path.cwd", "static on full"),
    "hostname": ("import socket", "return socket.gethostname()  # here", "socket.gethostname", "static on full"),
    "platform": ("import platform", "return platform.node()  # here", "platform.node", "static on full"),
    "pid": ("from os import getpid", "return getpid()  # here", "os.getpid", "static on full"),
    "temp name": ("import tempfile", "return tempfile.mkdtemp()  # here", "tempfile.mkdtemp", "static on full"),
    "listdir": ("import os", "return os.listdir('/')  # here", "os.listdir", "static on full"),
    "glob": ("from glob import glob", "return glob('/*')  # here", "glob.glob", "static on full"),
    "iterdir": ("from pathlib import Path", "return [p for p in Path('/').iterdir()]  # here", "pathlib.Path.iterdir", "static"),
    "mtime": ("import os", "return os.path.getmtime('/')  # here", "os.path.getmtime", "static on full"),
    "stat": ("import os", "return os.stat('/')  # here", "os.stat", "static on full"),
    "environ": ("import os", "return os.environ['PATH']  # here", "os.environ", "static on full"),
    "from environ": ("from os import environ", "return environ.get('PATH')  # here", "os.environ", "static on full"),
    "environ in": ("from os import environ", "return 'PATH' in environ  # here", "os.environ", "static on full"),
    "getenv": ("import os", "return os.getenv('PATH')  # here", "os.getenv", "static on full"),
    "argv": ("import sys", "return sys.argv  # here", "sys.argv", "static on full"),
    "locale": ("import locale", "return locale.localeconv()  # here", "locale.localeconv", "static on full"),
    "open": ("", "return open('/dev/null')  # here", "open", "static on full"),
    "read_text": ("from pathlib import Path", "return Path('/dev/null').read_text()  # here", "open", "on full"),
    "input": ("", "return input()  # here", "input", "static on full"),
    "socket": ("import socket", "return socket.socket()  # here", "socket.socket", "static on full"),
    "subprocess": ("import subprocess", "return subprocess.run(['true'])  # here", "subprocess.run", "static on full"),
    "system": ("import os", "return os.system('true')  # here", "os.system", "static on full"),
    "fork": ("from os import fork", "return fork()  # here", "os.fork", "static on full"),
    "sqlite": ("import sqlite3", "return sqlite3.connect(':memory:')  # here", "sqlite3.connect", "static on full"),
    "garbage": ("import gc", "return gc.collect()  # here", "gc.collect", "static on full"),
    "getattr": ("import time", "return getattr(time, 'time')()  # here", "time.time", "static on full"),
    "inner import": ("", "import time\nreturn time.time()  # here", "time.time", "static full"),
    "dunder import": ("", "return __import__('time').time()  # here", "time.time", "static full"),
    "alias": ("import time\nclock = time", "return clock.time()  # here", "time.time", "static on full"),
}


def cases(level: str) -> list[str]:
    """Return the mutants that a level promises to see."""
    return [name for name, (*_, levels) in MUTANTS.items() if level in levels.split()]


@pytest.mark.parametrize("name", cases("static"))
def test_the_scan_finds_what_it_promises(name: str, workshop: Workshop) -> None:
    """Watching a mutant raises with the qualified name, the file and the line."""
    before, body, touched, _ = MUTANTS[name]
    module = workshop.node(body, before)
    with pytest.raises(Nondeterminism) as caught:
        Guard("off").watch(module.Node)
    fields = caught.value.fields
    assert (fields["name"], fields["file"], fields["line"]) == (touched, module.__file__, marked(module))
    assert fields["instead"] in caught.value.hint
    assert fields["findings"][0]["line"] == marked(module)


@pytest.mark.parametrize(("name", "level"), [(name, level) for level in ("on", "full") for name in cases(level)])
def test_the_running_guard_refuses_what_it_promises(name: str, level: Level, workshop: Workshop) -> None:
    """A mutant that runs is refused at file and line of the node, and `leave` says so."""
    before, body, touched, _ = MUTANTS[name]
    module = workshop.node(body, before)
    ended, refusal = run(module, level)
    assert isinstance(ended, Nondeterminism)
    assert refusal is ended
    fields = refusal.fields
    assert (fields["name"], fields["file"], fields["line"]) == (touched, module.__file__, marked(module))
    assert (fields["node"], fields["frame"]) == ("thinker", 3)
    assert fields["instead"] in refusal.hint


@pytest.mark.parametrize("name", ["set iteration", "set to list", "inner import", "dunder import"])
def test_what_level_on_does_not_see(name: str, workshop: Workshop) -> None:
    """Order of sets and names imported inside a function are beyond level on; static (and full) see them."""
    before, body, _, _ = MUTANTS[name]
    ended, refusal = run(workshop.node(body, before), "on")
    assert refusal is None
    assert not isinstance(ended, Exception)


@pytest.mark.parametrize("name", ["set iteration", "set to list"])
def test_what_level_full_does_not_see(name: str, workshop: Workshop) -> None:
    """Order of sets is beyond the profiler."""
    before, body, _, _ = MUTANTS[name]
    assert run(workshop.node(body, before), "full")[1] is None


def test_what_the_scan_does_not_see(workshop: Workshop) -> None:
    """A clock in a helper module is beyond the scan and level on; level full names the line of the node and of the helper."""
    helper = workshop.module("import time\ndef stamp():\n    return time.time()\n")
    module = workshop.node("return stamp()  # here", f"from {helper.__name__} import stamp")
    Guard("off").watch(module.Node)
    assert isinstance(run(module, "on")[0], float)
    refusal = run(module, "full")[1]
    assert refusal is not None
    assert refusal.fields["line"] == marked(module)
    assert refusal.fields["through"] == f"{helper.__name__}.py:3"


def test_files_are_refused_below_helper_modules(workshop: Workshop) -> None:
    """The audit hook sees an open file however deep it lies."""
    helper = workshop.module("def read():\n    with open('/dev/null') as file:\n        return file.read()\n")
    module = workshop.node("return read()  # here", f"from {helper.__name__} import read")
    refusal = run(module, "on", static=True)[1]
    assert refusal is not None
    assert (refusal.fields["name"], refusal.fields["line"]) == ("open", marked(module))


@pytest.mark.parametrize("body", ["return list(map(lambda f: f(), [clock]))", "return clock()"])
def test_a_function_kept_before_watching_is_seen_by_full_only(body: str, workshop: Workshop) -> None:
    """A default argument holds the real function, which level on cannot replace."""
    module = workshop.module(
        f"import time\nclass Node:\n    async def run(self, message, ctx, clock=time.time):\n        {body}\n"
    )
    assert run(module, "on")[1] is None
    assert run(module, "full")[1] is not None


def test_c_code_that_calls_the_clock_is_beyond_every_running_level(workshop: Workshop) -> None:
    """iter() calls the real clock from C: nobody but the scan sees it, and the digests are the backstop."""
    assert isinstance(run(workshop.node("import time\nreturn next(iter(time.time, None))"), "full")[0], float)


HARMLESS: dict[str, tuple[str, str]] = {
    "strftime with a tuple": ("import time", "return time.strftime('%Y', (2024, 1, 1, 0, 0, 0, 0, 1, 0))"),
    "gmtime with seconds": ("import time", "return time.gmtime(0).tm_year"),
    "struct_time": ("import time", "return isinstance(time.gmtime(0), time.struct_time)"),
    "fromtimestamp with a zone": ("from datetime import datetime, timezone", "return datetime.fromtimestamp(0, tz=timezone.utc)"),
    "datetime of numbers": ("import datetime as d", "return d.datetime(2024, 1, 1) + d.timedelta(days=1)"),
    "fromisoformat": ("from datetime import datetime, date", "return date.fromisoformat('2024-01-01'), datetime.min"),
    "strptime": ("from datetime import datetime", "return datetime.strptime('2024', '%Y')"),
    "isinstance": (
        "from datetime import datetime, date",
        "x = datetime(2024, 1, 1)\nassert isinstance(x, datetime) and isinstance(x, date)",
    ),
    "issubclass": ("from datetime import datetime, date", "assert issubclass(datetime, date)"),
    "type equality": (
        "from datetime import datetime",
        "assert type(datetime(2024, 1, 1)) == datetime and {datetime: 1}[type(datetime.max)]",
    ),
    "match a class": (
        "from datetime import date",
        "match date(2024, 1, 2):\n    case date(day=2):\n        return 1\nraise ValueError",
    ),
    "union at run time": ("from datetime import date", "assert isinstance(date(2024, 1, 2), date | None)"),
    "subclass inside": (
        "from datetime import date",
        "class D(date):\n    x = 1\nassert D(2024, 1, 1).x == 1 and issubclass(D, date)",
    ),
    "seeded": ("import random", "return random.Random(7).random(), random.Random(7).randint(1, 9)"),
    "seeded by class": (
        "from random import Random",
        "r = Random('s')\nassert isinstance(r, Random)\nreturn r.sample(range(9), 3)",
    ),
    "uuid5": ("import uuid", "return uuid.uuid5(uuid.NAMESPACE_DNS, 'a'), uuid.UUID(int=1)"),
    "compare_digest": ("import secrets", "return secrets.compare_digest(b'a', b'a')"),
    "paths": ("import os", "return os.path.join('a', 'b'), os.path.splitext('a.b'), os.sep, os.linesep, os.fspath('a')"),
    "from os.path": ("from os.path import basename, join", "return basename(join('a', 'b'))"),
    "Path parts": (
        "from pathlib import Path, PurePath",
        "return (Path('a') / 'b.c').suffix, PurePath('a').name, isinstance(Path('a'), Path)",
    ),
    "constants": ("import socket, subprocess", "return socket.AF_INET, subprocess.PIPE, subprocess.list2cmdline(['a'])"),
    "exceptions": (
        "import subprocess, socket, asyncio",
        "try:\n    raise socket.timeout\nexcept (subprocess.TimeoutExpired, socket.timeout, asyncio.CancelledError):\n    pass",
    ),
    "sorted set": ("", "return sorted({'b', 'a'}), sorted(set('ab'), reverse=True), sorted(list(set('ab')))"),
    "membership": ("", "seen = set()\nseen.add('a')\nreturn 'a' in seen, len(seen), 'b' in {'a', 'b'}, seen | {'c'}"),
    "order-free folds": ("", "s = {1, 2}\nreturn any(x > 1 for x in s), max(s), sorted(s), {x + 1 for x in s}, s == {1, 2}"),
    "rebound name": ("", "s = set('ab')\ns = sorted(s)\nreturn [x for x in s]"),
    "dict iteration": ("", "return [k for k in {'a': 1}], list({'a': 1}.items()), ''.join(['a'])"),
    "own id": ("", "id = 'x'\nhash = len\nreturn id, hash('a')"),
    "id as a key": ("", "call = {'id': 1}\nreturn [call['id'] for _ in range(2)], dict(id=1, hash=2)"),
    "own time": ("", "time = type('T', (), {'time': staticmethod(lambda: 1)})\nreturn time.time()"),
    "own open": ("def open(door):\n    return door", "return open('red')"),
    "deepcopy": ("import copy", "return copy.deepcopy({'a': [1, {'b': 2}]})"),
    "dataclass": (
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass P:\n    x: int",
        "return repr(P(1)), {P(1): 1}[P(1)], P(2) == P(2)",
    ),
    "attrs": ("from attrs import frozen\n@frozen\nclass P:\n    x: int", "return repr(P(1)), {P(1): 1}[P(1)]"),
    "own __hash__": (
        "class K:\n    def __hash__(self):\n        return hash('k')\n    def __eq__(self, o):\n        return True",
        "return {K(): 1}[K()]",
    ),
    "json": ("import json", "return json.loads(json.dumps({'a': 1.5}))"),
    "re": ("import re", "return re.sub('a+(b)', r'\\1', 'aab')"),
    "hashlib": ("import hashlib", "return hashlib.sha256(b'a').hexdigest()"),
    "decimal": ("from decimal import Decimal", "return Decimal('1.1') + 1, format(1.5, '.2f')"),
    "enum": ("import enum", "return enum.Enum('E', 'A B').A.name"),
    "StringIO": ("import io, csv", "return list(csv.reader(io.StringIO('a,b')))"),
    "logging": ("import logging", "logging.getLogger('guarded').warning('x')"),
    "traceback": ("import traceback", "try:\n    1 / 0\nexcept ZeroDivisionError:\n    return traceback.format_exc()"),
    "warnings": (
        "import warnings",
        "with warnings.catch_warnings(record=True):\n    warnings.simplefilter('always')\n    warnings.warn('x')",
    ),
    "import inside": ("", "import colorsys\nreturn colorsys.rgb_to_hsv(0, 0, 0)"),
    "import that looks about": ("", "import guarded_import_effects\nreturn guarded_import_effects.started"),
    "codec": ("", "return 'ü'.encode('cp1252'), 'a'.encode('idna')"),
    "lock": ("import threading", "with threading.Lock():\n    return threading.local()"),
    "contextvars": ("import contextvars", "return contextvars.ContextVar('a', default=1).get()"),
    "coroutine check": ("import asyncio", "return asyncio.iscoroutinefunction(len)"),
    "lru_cache": ("from functools import lru_cache, partial", "return lru_cache(None)(partial(max, 1))(2)"),
    "signature": ("import inspect", "return str(inspect.signature(lambda a: a))"),
    "typing": ("import typing, random", "def f(r: random.Random) -> 'int': ...\nreturn typing.get_type_hints(f)"),
    "literal_eval": ("import ast", "return ast.literal_eval('[1]')"),
    "print": ("", "print('x')"),
    "sys": ("import sys", "return sys.maxsize, sys.version_info[:2], 'os' in sys.modules"),
    "weak reference": ("import weakref", "class A: ...\na = A()\nreturn weakref.ref(a)() is a"),
    "finaliser": ("class T:\n    def __del__(self):\n        import os\n        os.listdir('/')", "T()"),
}


@pytest.mark.parametrize("level", ["on", "full"])
@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_code_is_left_alone(name: str, level: Level, workshop: Workshop) -> None:
    """What depends on its arguments alone passes the scan and the running guard."""
    effects = "import os, time\nstarted = time.time(), os.getpid(), os.listdir('/'), open(__file__).close()\n"
    (workshop.folder / "guarded_import_effects.py").write_text(effects)
    workshop.names.append("guarded_import_effects")
    before, body = HARMLESS[name]
    sys.modules.pop("colorsys", None)
    ended, refusal = run(workshop.node(body, before), level, static=name != "finaliser")
    assert refusal is None
    assert not isinstance(ended, Exception), ended


def test_the_message_says_who_what_and_where(workshop: Workshop) -> None:
    """A refusal names the node, the function, the frame, the file and the line, and the hint says what to use."""
    module = workshop.node("return time.time()  # here", "import time")
    refusal = run(module, "on")[1]
    assert refusal is not None
    assert refusal.message == f"node 'thinker' called time.time() (frame 3, {module.__name__}.py:{marked(module)})"
    assert refusal.hint == "use ctx.now() instead"


@pytest.mark.parametrize("level", ["on", "full"])
def test_a_caught_refusal_still_comes_out_of_leave(level: Level, workshop: Workshop) -> None:
    """The first refusal of a step is kept, whatever the node does with the exception; the next step starts afresh."""
    body = """
    for touch in (random.random, lambda: open('/dev/null')):
        try:
            touch()  # here
        except BaseException:
            pass
    return 'fine'
    """
    module = workshop.node(body, "import random")
    guard = Guard(level, static=False)
    guard.watch(module.Node)
    ended, refusal = step(guard, module.Node())
    assert ended == "fine"
    assert refusal is not None
    assert (refusal.fields["name"], refusal.fields["line"]) == ("random.random", marked(module))
    guard.enter("other", 4)
    assert guard.leave() is None


def test_other_threads_are_not_refused_during_a_step(workshop: Workshop) -> None:
    """A tool at work in another thread, even one of the node's own module, may touch the world while a node is stepped."""
    source = """
    import os, time
    def tool():
        with open('/dev/null') as file:
            return file.read(), time.time(), os.listdir('/'), os.getpid()
    """
    module = workshop.node("allow.set()\ndone.wait(10)", dedent(source) + "allow = done = None")
    names = vars(module)
    allow, done = names["allow"], names["done"] = threading.Event(), threading.Event()
    results: list[Any] = []

    def performer() -> None:
        allow.wait(10)
        try:
            results.append(module.tool())
        except Exception as error:  # noqa: BLE001 - the test looks at it
            results.append(error)
        done.set()

    guard = Guard("on", static=False)
    guard.watch(module.Node)
    thread = threading.Thread(target=performer)
    thread.start()
    assert step(guard, module.Node())[1] is None
    thread.join()
    assert len(results[0]) == 4


@pytest.mark.parametrize("level", ["on", "full"])
def test_a_traceback_may_read_source_files(level: Level, workshop: Workshop) -> None:
    """Formatting an exception opens the files that it passed through, which is no reading of the node."""
    helper = workshop.module("def fail():\n    raise ValueError('by the helper')\n")
    body = "try:\n    fail()\nexcept ValueError:\n    return traceback.format_exc()"
    module = workshop.node(body, f"import traceback\nfrom {helper.__name__} import fail")
    text, refusal = run(module, level, static=True)
    assert refusal is None
    assert "raise ValueError('by the helper')" in text


@pytest.mark.parametrize("level", ["on", "full"])
def test_an_instrument_may_look_at_the_clock_and_write(level: Level, workshop: Workshop) -> None:
    """What a node shows reaches instruments in mid-step; what they do is not the node's doing."""
    seen: list[Any] = []

    class Recorder:
        def on_preview(self, *_: Any) -> None:
            seen.append((time.time(), Path(os.devnull).write_text("x", encoding="utf-8")))

    instruments = Instruments([Recorder()])
    module = workshop.node("show()", "show = None")
    vars(module)["show"] = lambda: instruments.call("on_preview")
    assert run(module, level)[1] is None
    assert not instruments.dropped
    assert len(seen) == 1


def test_an_import_is_no_cover_for_what_the_node_does(workshop: Workshop) -> None:
    """Only what happens within an import is let pass, not what follows it, nor a run that was itself started by an import."""
    module = workshop.node("import colorsys\nreturn open('/dev/null')  # here")
    refusal = run(module, "on")[1]
    assert refusal is not None
    assert refusal.fields["line"] == marked(module)
    inner = workshop.node("return open('/dev/null')")
    workshop.module(
        f"import {inner.__name__} as inner\nfrom frameengine.engine.guard import Guard\n"
        "guard = Guard('on', static=False)\nguard.watch(inner.Node)\nwork = inner.Node().run(None, None)\nguard.enter('n', 1)\n"
        "try:\n    work.send(None)\nexcept BaseException as error:\n    caught = error\n"
        "refusal = guard.leave()\nassert refusal is caught\n"
    )


def test_nothing_is_refused_outside_a_step(workshop: Workshop) -> None:
    """Substituted names and the hook behave like the originals before `enter` and after `leave`."""
    imports = "import os, random, time\nfrom datetime import datetime\nfrom os import environ\nfrom uuid import uuid4"
    calls = "time.time(), random.random(), datetime.now(), uuid4(), os.getcwd(), os.environ['PATH'], len(environ)"
    module = workshop.module(
        f"{imports}\ndef tool():\n    open(__file__).close()\n    return {calls}\n"
        "class Node:\n    async def run(self, message, ctx): ...\n"
    )
    guard = Guard("full", static=False)
    guard.watch(module.Node)
    before = module.tool()
    step(guard, module.Node())
    after = module.tool()
    assert [type(value) for value in before] == [type(value) for value in after]
    assert type(after[2]) is datetime
    assert sys.getprofile() is None


def test_watching_twice_changes_nothing(workshop: Workshop) -> None:
    """Names that were substituted are not substituted again, by the same guard or another."""
    module = workshop.node("return 1", "import time, os\nfrom datetime import datetime\nfrom os import environ")
    Guard("on").watch(module.Node)
    first = {name: value for name, value in vars(module).items() if not name.startswith("__")}
    guard = Guard("full")
    guard.watch(module.Node)
    guard.watch(module.Node)
    assert all(vars(module)[name] is value for name, value in first.items())


def test_patching_through_a_substitute_is_taken_back_whole(workshop: Workshop) -> None:
    """A patch on a substituted module reaches the real one and restores the very function it found."""
    module = workshop.node("return 1", "import time")
    Guard("on").watch(module.Node)
    real = time.time
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.time, "time", lambda: 5)
        assert time.time() == 5
        assert module.time.time() == 5
    assert time.time is real


def test_only_the_node_and_what_it_reaches_is_scanned(workshop: Workshop) -> None:
    """A test or tool in the same file may use the clock; a helper that the node calls, or a constant that it reads, may not."""
    tail = "\ndef tool():\n    return time.time()\ndef helper():\n    return START\nSTART = time.time()\n"
    Guard("off").watch(workshop.node("return 1", f"import time{tail}").Node)
    with pytest.raises(Nondeterminism) as caught:
        Guard("off").watch(workshop.node("return helper()", f"import time{tail}").Node)
    assert [finding["line"] for finding in caught.value.fields["findings"]] == [6]


def test_another_class_of_the_file_is_no_matter(workshop: Workshop) -> None:
    """Of several classes in one file, the one that is watched is scanned."""
    clock = "import time\nclass Clock:\n    def read(self):\n        return time.time()\n"
    Guard("off").watch(workshop.node("return 1", clock).Node)
    with pytest.raises(Nondeterminism):
        Guard("off").watch(workshop.node("return Clock().read()", clock).Node)


def test_an_inherited_run_is_watched_where_it_is_written(workshop: Workshop) -> None:
    """A node that inherits ``run`` from another module is scanned there, too."""
    base = workshop.module("import time\nclass Base:\n    async def run(self, message, ctx):\n        return time.time()\n")
    module = workshop.module(f"from {base.__name__} import Base\nclass Node(Base):\n    pass\n")
    with pytest.raises(Nondeterminism) as caught:
        Guard("off").watch(module.Node)
    assert (caught.value.fields["file"], caught.value.fields["line"]) == (base.__file__, 4)
    assert run(module, "on")[1] is not None


def test_all_findings_are_reported_in_order_of_lines(workshop: Workshop) -> None:
    """The error names the first finding and holds every one."""
    module = workshop.node("a = time.time()\nb = id(self)\nreturn open('x')", "import time")
    with pytest.raises(Nondeterminism, match=r"uses time\.time \(and 2 more\)") as caught:
        Guard().watch(module.Node)
    assert [finding["name"] for finding in caught.value.fields["findings"]] == ["time.time", "id", "open"]


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("for x in {1, 2}:\n    pass", [1]),
        ("def f(tags: set[str]):\n    return [t for t in tags]", [2]),
        ("a = set('x')\nb = tuple(a | {'y'})", [2]),
        ("x = ','.join({'a', 'b'})", [1]),
        ("x = [*{'a'}]\ny = {*{'a'}}", [1]),
        ("x, y = {'a', 'b'}", [1]),
        ("x = f\"{ {'a'} }\"", [1]),
        ("for k in {}.keys() - {'a'}:\n    pass", [1]),
        ("x = set('ab').pop()", [1]),
        ("x = {k: 1 for k in set('ab')}", [1]),
        ("x = list(enumerate(frozenset('ab')))", [1]),
        ("x = sorted(list(set('ab')))\ny = sorted(x for x in set('ab'))", []),
        ("import os\na = sorted(os.listdir('.'))\nb = os.listdir('.')", [3]),
        ("from pathlib import Path\np = Path('a') / 'b'\nq = p.exists()\nr = p.name", [3]),
        ("import time\ndef f(time):\n    return time.time()", []),
        ("from .time import time\nx = time()", []),
        ("def f():\n    import time as t\n    return t\nx = t.time()", []),
        ("import time\nclass A:\n    time = 1\n    def f(self):\n        return time.time()", [5]),
        ("import weakref\nx = weakref.ref(len, print)", [2]),
        ("def f(moment):\n    return moment.astimezone()", [2]),
        ("import importlib\nx = importlib.import_module('time').time()", [2]),
        ("x = sorted(data, key=id)", [1]),
        ("import time\ndef f():\n    global time\n    time = time\n    return time.time()", [5]),
    ],
)
def test_the_scan_follows_the_text(source: str, lines: list[int]) -> None:
    """Order of sets, scopes and aliases are told apart by the text alone."""
    assert [finding.line for finding in scan(source, "thinker.py")] == lines


@pytest.mark.parametrize(
    "name", ["os.sep", "os.O_RDONLY", "os.path", "socket.timeout", "subprocess.CalledProcessError", "time.struct_time", "json"]
)
def test_pure_members_have_nothing_instead(name: str) -> None:
    """Constants, exceptions and pure functions of refused modules may be used."""
    assert instead_of(name) is None


def test_a_step_inside_a_step_is_refused() -> None:
    """Driving a run from inside a node is the caller's mistake: its end would leave the outer step unguarded."""
    guard = Guard("on")
    guard.enter("outer", 1)
    try:
        with pytest.raises(UsageError, match="outer"):
            Guard("on").enter("inner", 1)
    finally:
        guard.leave()


def test_level_off_refuses_nothing_while_running(workshop: Workshop) -> None:
    """Off leaves the scan and nothing else."""
    module = workshop.node("import time\nreturn time.time(), open('/dev/null').close()", "import os")
    assert run(module, "off")[1] is None
    assert module.os is os


def test_an_unknown_level_is_refused() -> None:
    """A misspelt level does not silently guard nothing."""
    with pytest.raises(UsageError, match="strict"):
        Guard("strict")  # type: ignore[arg-type]


def test_switching_the_profiler_off_is_refused_at_full(workshop: Workshop) -> None:
    """A node cannot leave level full by taking the profiler away."""
    refusal = run(workshop.node("import sys\nsys.setprofile(None)"), "full")[1]
    assert refusal is not None
    assert refusal.fields["name"] == "sys.setprofile"


def test_the_profiler_that_was_there_comes_back() -> None:
    """Level full puts the profiler of the caller back after each step."""

    def mine(*_: Any) -> None: ...

    guard = Guard("full")
    sys.setprofile(mine)
    try:
        guard.enter("thinker", 1)
        guard.leave()
        assert sys.getprofile() is mine
    finally:
        sys.setprofile(None)


def test_a_subclass_cannot_hide_the_clock_from_full(workshop: Workshop) -> None:
    """now() of a subclass made before watching is the clock all the same."""
    before = "from datetime import datetime\nclass Mine(datetime): ..."
    refusal = run(workshop.node("return Mine.now()", before), "full")[1]
    assert refusal is not None
    assert refusal.fields["name"] == "datetime.datetime.now"


def test_the_real_modules_stay_as_they_are(workshop: Workshop) -> None:
    """Substitutes live in node modules; nobody else sees them."""
    module = workshop.node("return 1", "import time, tempfile, subprocess")
    Guard("full").watch(module.Node)
    assert module.time is not time
    assert type(sys.modules["time"]) is ModuleType
    assert (subprocess.run.__module__, tempfile.mkdtemp.__module__) == ("subprocess", "tempfile")
    assert datetime.now(UTC).tzinfo is UTC


def test_a_collection_during_a_step_is_not_the_nodes_doing() -> None:
    """What a garbage collection calls back while a node runs is not blamed on the node, and collection goes on afterwards."""
    import gc
    import time

    def timed(_phase: str, _info: dict[str, int]) -> None:
        time.perf_counter()

    guard = Guard("full")
    gc.callbacks.append(timed)
    threshold = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        guard.enter("node", 1)
        _ = [[index] for index in range(1000)]
        refusal = guard.leave()
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(timed)
    assert refusal is None
    assert gc.isenabled()


def test_a_set_that_a_class_holds_is_seen(tmp_path: Path) -> None:
    """A set in a class attribute has no order either, however it is reached."""
    for owner in ("self", "cls", "Node"):
        run = f"    async def run(self, message, ctx, cls=None):\n        return list({owner}.tags)\n"
        source = "class Node:\n    tags = {'a', 'b'}\n" + run
        assert [item.line for item in scan(source, "node.py")] == [4]


def test_linecache_is_for_tracebacks(workshop: Workshop) -> None:
    """A node that asks linecache for a line itself reads a file, and is refused."""
    node = workshop.node("return linecache.getline('/etc/hostname', 1)", before="import linecache\nlinecache.clearcache()")
    assert run(node, "on")[1] is not None
