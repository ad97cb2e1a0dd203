"""See to it that node code touches no clock, chance, environment, network, file, process or thread while a node is being stepped.

Three levels; each includes the one before it:

- *static*, at `Guard.watch`: the scan of `guard_static` over a node's source. It sees the text: imports, aliases, iteration over
  sets, ``asyncio.wait``, ``id``, ``hash``. It does not see what is chosen while running, nor helper modules.
- *on*: an audit hook (files, listings, sockets, processes, however deep below the node) and substitutes for names in the globals
  of node modules (``time``, ``from datetime import datetime``). It does not see a clock, chance or thread that a helper module
  uses, an import inside a function, or a function kept in a default argument or class before `Guard.watch`.
- *full*: ``sys.setprofile`` while a node runs. It sees what Python code below the node calls, in helper libraries too, except
  where the arguments decide (``time.strftime``) and in modules that are none of `CORE`.

What no level sees: C code that reads the clock or calls back what it was given (``iter(time.time, None)``); order that hangs on
addresses (a default ``repr``, ties under ``sorted(a_set, key=...)``, a set that the scan does not recognise); finalisers and the
moment of garbage collection; installed time zones, locale and library versions; the text of tracebacks; files and sockets that
were opened before the step. ``type(x) is datetime`` is false where ``datetime`` was substituted (``isinstance``, ``==`` and
``match`` hold). The comparison of digests is the backstop for all of these. Let pass below a node: imports with all they read,
`_LET_PASS` (tracebacks read source files, log lines hold time), finalisers.
"""

from __future__ import annotations

import gc
import linecache
import sys
from collections.abc import Callable, Iterator
from functools import cache, update_wrapper
from importlib import import_module
from os.path import basename
from threading import local
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, MethodType, ModuleType, new_class
from typing import Any, Literal

from frameengine.engine.guard_static import IDENTITY_METHODS, INSTEAD, OWNERS, PURE_FROM, Finding, instead_of, scan
from frameengine.engine.guard_tables import CORE, EVENT_NAMES, EVENTS, OWN_CODE_ONLY, WORLD
from frameengine.errors import Nondeterminism, UsageError

_LET_PASS = frozenset("logging logging.handlers _strptime weakref frameengine.engine.instruments".split())
_READ_SOURCES = ("traceback", "warnings")
"""Who may have linecache read a file: a node that asks it for lines itself reads the world."""
_ALIASES = {"posix": "os", "nt": "os", "posixpath": "os.path", "ntpath": "os.path", "genericpath": "os.path"}
_COROUTINE = 0x80  # inspect.CO_COROUTINE, without the cost of inspect


class _Here(local):
    """The step of one thread. Nodes step on one thread; tools that run in other threads meanwhile are not concerned."""

    guard: Guard | None = None
    node = ""
    frame = 0
    refusal: Nondeterminism | None = None
    profiler: Any = None
    collecting = False


_here = _Here()


class Guard:
    """Refuse what would make a run more than a function of its recorded inputs.

    An audit hook cannot be removed and the names in a module belong to all who use it, so both are put in place for the whole
    process; they do nothing unless the current thread is between `enter` and `leave`.
    """

    def __init__(self, level: Literal["off", "on", "full"] = "on", *, static: bool = True) -> None:
        if level not in ("off", "on", "full"):
            raise UsageError(f"no guard level {level!r}", hint="use 'off', 'on' or 'full'")
        self.level = level
        """What holds while a node runs."""
        self.static = static
        """Whether `watch` scans sources as well."""
        self._watched: dict[Any, bool] = {}
        self._files: dict[str, bool] = {}
        if level != "off":
            _install_hook()
        if level == "full":
            _tables()

    def watch(self, implementation_class: Any) -> None:
        """Scan the source of a node and substitute names in its module. Raises `Nondeterminism` with all findings.

        Scanned is what the class can reach by name within its file, so that tests and scripts may stand beside it. A class whose
        ``run`` is inherited is watched in both places. Without a source (an interactive session) nothing is scanned.
        """
        if implementation_class in self._watched:
            return
        kinds = (implementation_class, *(kind for kind in implementation_class.__mro__ if "run" in vars(kind)))[:2]
        methods = [method for kind in dict.fromkeys(kinds) for method in _first_method(kind)]
        findings = [finding for method in methods if self.static for finding in _scan(method.__code__)]
        if findings:
            raise _refused_source(findings)
        for method in methods:
            self._files[method.__code__.co_filename] = True
            if self.level != "off":
                _substitute(method.__globals__)
        self._watched[implementation_class] = True

    def enter(self, node: str, frame: int) -> None:
        """Begin a step on this thread. Raises `UsageError` inside another step: its end would leave the outer one unguarded."""
        if self.level == "off":
            return
        here = _here
        if here.guard is not None:
            raise UsageError(f"node {here.node!r} drove another run", hint="drive it from outside, or make it a tool")
        here.node, here.frame = node, frame
        if self.level == "full":
            here.profiler, here.collecting = sys.getprofile(), gc.isenabled()
            gc.disable()  # what a collection calls back is not the node's doing
            sys.setprofile(_profile)
        here.guard = self

    def leave(self) -> Nondeterminism | None:
        """End the step; return its first refusal, even one that the node caught."""
        here = _here
        if here.guard is not self:
            return None
        here.guard = None
        if self.level == "full":
            sys.setprofile(here.profiler)
            if here.collecting:
                gc.enable()
        refusal, here.refusal = here.refusal, None
        return refusal


def _refuse(name: str, frame: FrameType | None, *, verb: str = "called", instead: str = "") -> None:
    """Raise and keep the refusal, unless the touch is one that is let pass."""
    here = _here
    while frame is not None and frame.f_globals is globals():
        frame = frame.f_back
    if here.guard is None or frame is None or _let_pass(name, frame):
        return
    own = _own_frame(here.guard._files, frame)
    file, line, way = own.f_code.co_filename, own.f_lineno, instead or instead_of(name) or WORLD
    through = "" if own is frame else f"{basename(frame.f_code.co_filename)}:{frame.f_lineno}"
    place = f"frame {here.frame}, {basename(file)}:{line}" + (f", through {through}" if through else "")
    facts = {"name": name, "instead": way, "file": file, "line": line, "node": here.node, "frame": here.frame, "through": through}
    message = f"node {here.node!r} {verb} {name}{'()' if verb == 'called' else ''} ({place})"
    refusal = Nondeterminism(message, hint=f"use {way} instead", **facts)
    here.refusal = here.refusal or refusal
    raise refusal


def _let_pass(name: str, touching: FrameType) -> bool:
    """Tell whether somebody between the touch and the coroutine of the node is allowed to do it."""
    if name in ("id", "hash") and touching.f_code.co_name in IDENTITY_METHODS:
        return True
    for frame in _outwards(touching):
        code = frame.f_code
        if code.co_flags & _COROUTINE:
            return False
        importing = code.co_name == "_find_and_load" and code.co_filename == "<frozen importlib._bootstrap>"
        module, outer = frame.f_globals.get("__name__"), frame.f_back
        for_traceback = module == "linecache" and outer is not None and outer.f_globals.get("__name__") in _READ_SOURCES
        if importing or code.co_name == "__del__" or module in _LET_PASS or for_traceback:
            return True
    return False


def _own_frame(files: dict[str, bool], touching: FrameType) -> FrameType:
    """Return the innermost frame of a watched file, else of the innermost coroutine, else the touching one."""
    frames = list(_outwards(touching))
    coroutines = (frame for frame in frames if frame.f_code.co_flags & _COROUTINE)
    return next((frame for frame in frames if frame.f_code.co_filename in files), None) or next(coroutines, touching)


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _scan(code: CodeType) -> tuple[Finding, ...]:
    linecache.checkcache(code.co_filename)
    return scan("".join(linecache.getlines(code.co_filename)), code.co_filename, code.co_firstlineno)


def _refused_source(findings: list[Finding]) -> Nondeterminism:
    facts = [{"name": item.name, "instead": item.instead, "file": item.file, "line": item.line} for item in findings]
    first, more = findings[0], f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    message = f"{basename(first.file)}:{first.line} uses {first.name}{more}"
    return Nondeterminism(message, hint=f"use {first.instead} instead", findings=facts, **facts[0])


@cache
def _install_hook() -> None:
    """Install the audit hook, once: there is no way to remove one."""

    def hook(event: str, _args: Any, here: _Here = _here, events: frozenset[str] = EVENTS) -> None:  # may outlive the globals
        if here.guard is None:
            return
        if event in events or event.partition(".")[0] in events:
            _refuse(EVENT_NAMES.get(event, event), sys._getframe(1))
        elif (
            event == "sys.setprofile" and here.guard.level == "full" and here.refusal is None
        ):  # Python drops a profiler that raised
            _refuse(event, sys._getframe(1), instead="a profiler outside of nodes")

    sys.addaudithook(hook)


def _first_method(kind: type) -> list[FunctionType]:
    """Return ``run``, or else any method that is written in the class (generated ones have globals of their own)."""
    members = (getattr(member, "__wrapped__", member) for member in (vars(kind).get("run"), *vars(kind).values()))
    functions = (member for member in members if isinstance(member, FunctionType))
    return [function for function in functions if function.__globals__.get("__name__") == kind.__module__][:1]


def _substitute(names: dict[str, Any]) -> None:
    """Put substitutes in place in the globals of a node module."""
    for name, value in tuple(names.items()):
        qualified = "" if name.startswith("__") or isinstance(value, (_Module, _Class)) else _qualified(value)
        if qualified:
            names[name] = _member(qualified, value, held=True)
    for builtin in (id, hash):  # a global of that name comes before the builtin; the audit event of id() comes from everywhere
        names.setdefault(builtin.__name__, _function(builtin.__name__, builtin))


def _qualified(value: Any) -> str:
    """Return the name under which the table knows a module, class or function, or nothing."""
    if isinstance(value, ModuleType):
        name = _ALIASES.get(value.__name__, value.__name__)
        return name if name in OWNERS else ""
    if value is sys.modules["os"].environ:
        return "os.environ"
    if not isinstance(value, (type, BuiltinFunctionType, FunctionType, MethodType)):
        return ""
    bound = getattr(value, "__self__", None)
    if isinstance(bound, type):
        return f"{_qualified(bound)}.{value.__name__}".lstrip(".")
    module = bound.__name__ if isinstance(bound, ModuleType) else value.__module__ or ""
    owners = (_ALIASES.get(module, module), module.lstrip("_"), module.rpartition(".")[0], "random", "secrets")
    for owner, name in ((owner, f"{owner}.{value.__name__}") for owner in owners):
        if (name in OWNERS or instead_of(name)) and getattr(sys.modules.get(owner), value.__name__, None) == value:
            return name
    return ""


def _member(name: str, value: Any, *, held: bool = False) -> Any:
    """Return what stands for a value in a node module. *held*: it is kept under a name, so a refusal must wait for its use."""
    if isinstance(value, ModuleType):
        return _module(name, value) if name in OWNERS else value
    if isinstance(value, type) and (name in OWNERS or (name in INSTEAD and not issubclass(value, BaseException))):
        return _class(name, value)
    if isinstance(value, type) or instead_of(name) is None:
        return value
    if callable(value):
        return _function(name, value)
    if name in INSTEAD and held:
        return _Held(name, value)
    if name in INSTEAD:
        _refuse(name, sys._getframe(1), verb="read")
    return value


def _refuse_call(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    needed = PURE_FROM.get(name)
    given = (*args, *kwargs.values())
    if needed is None or len(given) < needed or given[needed - 1] is None:
        _refuse(name, sys._getframe(1))


@cache
def _function(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if _here.guard is not None:
            _refuse_call(name, args, kwargs)
        return original(*args, **kwargs)

    return update_wrapper(call, original)


class _Held:
    """The environment under a name of its own (``from os import environ``): refuses at each use."""

    def __init__(self, name: str, original: Any) -> None:
        self._name, self._original = name, original

    def __getattr__(self, attr: str) -> Any:
        _refuse(self._name, sys._getframe(1), verb="read")
        return getattr(self._original, attr)


for _method in "__getitem__ __setitem__ __delitem__ __contains__ __iter__ __len__ __or__ __ror__ __ior__ __eq__ __repr__".split():
    setattr(_Held, _method, lambda self, *args, _method=_method: self.__getattr__(_method)(*args))


class _Module(ModuleType):
    """A module whose refused members refuse while a node runs; to write to it is to write to the real one."""

    def __init__(self, name: str, original: ModuleType) -> None:
        object.__setattr__(self, "_own", (name, original))

    def __getattribute__(self, attr: str) -> Any:
        name, original = object.__getattribute__(self, "_own")
        return _member(f"{name}.{attr}", getattr(original, attr))

    def __setattr__(self, attr: str, value: Any) -> None:
        setattr(object.__getattribute__(self, "_own")[1], attr, value)

    def __delattr__(self, attr: str) -> None:
        delattr(object.__getattribute__(self, "_own")[1], attr)

    def __repr__(self) -> str:
        return repr(object.__getattribute__(self, "_own")[1])


class _Class(type):
    """Type of the classes that stand for a real one: they make real instances and are equal to it."""

    _name: str
    _original: type

    def __new__(cls, name: str, bases: tuple[Any, ...], names: dict[str, Any], **kwargs: Any) -> Any:
        return new_class(
            name, tuple([getattr(base, "_original", base) for base in bases]), kwargs, lambda space: space.update(names)
        )

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if _here.guard is not None and cls._name in INSTEAD:
            _refuse_call(cls._name, args, kwargs)
        return cls._original(*args, **kwargs)

    def __getattr__(cls, attr: str) -> Any:
        return _member(f"{cls._name}.{attr}", getattr(cls._original, attr))

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls._original)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass._original if isinstance(subclass, _Class) else subclass, cls._original)

    def __eq__(cls, other: object) -> bool:
        return cls._original is (other._original if isinstance(other, _Class) else other)

    def __hash__(cls) -> int:
        return type.__hash__(cls._original)

    def __repr__(cls) -> str:
        return repr(cls._original)


@cache
def _module(name: str, original: ModuleType) -> _Module:
    return _Module(name, original)


@cache
def _class(name: str, original: type) -> _Class:
    own = {"_name": name, "_original": original, "__module__": original.__module__, "__qualname__": original.__qualname__}
    return type.__new__(_Class, original.__name__, (), {**own, "__doc__": original.__doc__})


@cache
def _tables() -> tuple[dict[Any, str], dict[str, dict[CodeType, str]]]:
    """Return the refused functions that no arguments make harmless: those in C, and those in Python by name and code."""
    in_c: dict[Any, str] = {}
    in_python: dict[str, dict[CodeType, str]] = {}
    for owner in CORE:
        module = import_module(owner)
        for attr in getattr(module, "__all__", dir(module)):
            value, name = getattr(module, attr, None), f"{owner}.{attr}".removeprefix("builtins.")
            if isinstance(value, BuiltinFunctionType) and instead_of(name) and name not in PURE_FROM:
                in_c.setdefault(value, name)
            elif isinstance(value, FunctionType) and instead_of(name):
                in_python.setdefault(attr, {}).setdefault(value.__code__, name)
    for method in ("__getitem__", "__setitem__", "__delitem__", "__iter__", "__len__", "copy"):
        in_python.setdefault(method, {})[getattr(type(sys.modules["os"].environ), method).__code__] = "os.environ"
    return in_c, in_python


def _profile(frame: FrameType, event: str, arg: Any) -> None:
    name: str | None = None
    code, random_file = frame.f_code, sys.modules["random"].__file__
    if event == "c_call":
        name = _tables()[0].get(arg) or _class_clock(arg)
        while name and name.startswith("random.") and frame.f_code.co_filename == random_file and frame.f_back is not None:
            name, frame = f"random.{frame.f_code.co_name}", frame.f_back  # random.randint(), not the getrandbits() in it
    elif event == "call":
        unseeded = code.co_name == "seed" and code.co_filename == random_file and frame.f_locals.get("a") is None
        name = "random.Random" if unseeded else _tables()[1].get(code.co_name, {}).get(code)
    if name is not None and not (name in OWN_CODE_ONLY and frame.f_code.co_filename.startswith(("<", *_library_folders()))):
        _refuse(name, frame)


def _class_clock(function: Any) -> str | None:
    """Name ``now``, ``utcnow`` and ``today`` of date classes and their subclasses: no subclass can hide the clock."""
    dates, kind = sys.modules["datetime"], getattr(function, "__self__", None)
    if function.__name__ not in ("now", "utcnow", "today") or not isinstance(kind, type) or not issubclass(kind, dates.date):
        return None
    return f"datetime.{'datetime' if issubclass(kind, dates.datetime) else 'date'}.{function.__name__}"


@cache
def _library_folders() -> tuple[str, ...]:
    return tuple([import_module("sysconfig").get_path(key) for key in ("stdlib", "platstdlib", "purelib", "platlib")])
