"""What leaves this process past the recording: seen on sockets, noted while recording, refused while replaying.

An audit hook sees every socket that Python code opens, whichever library it is for. It does not see what is written in C
(gRPC, pycurl, database drivers with a library of their own) nor child processes; ``frameengine replay --exec`` shuts those in.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from attrs import frozen

from frameengine.errors import UsageError
from frameengine.inprocess.own import outwards, own_site, site_of

Address = tuple[str, int]

SENDING: ContextVar[object] = ContextVar("frameengine_sending", default=None)
"""The block one of whose recorded clients is at work: what it connects to is being recorded. Of no other block: a task that such
a client started may outlive that one."""

_CONNECTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_LOOKUPS = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"})
_REVERSE = frozenset({"socket.gethostbyaddr", "socket.getnameinfo"})
"""Those that ask the network for the name of a number."""


@frozen
class Touch:
    """Something that reached for the network past the recording."""

    address: str
    """Host and port."""
    where: str
    """``file:line`` of the agent's own code, else of the library."""
    through: str
    """The library, where it was one; else empty."""


class Side(Protocol):
    """What stands between a client and its transport: the recording or the replay."""

    active: bool
    """Whether the block is open: what is still held afterwards goes straight through."""

    def send(self, request: Any, forward: Callable[[], Any]) -> Any:
        """Return the answer to a request; *forward* really sends it."""

    async def asend(self, request: Any, forward: Callable[[], Awaitable[Any]]) -> Any:
        """Return the answer to a request of an async client."""

    def sending(self) -> bool:
        """Return whether a recorded client is at work here: what it does is being recorded."""

    def touched(self, touch: Touch) -> None:
        """Hear of something that reached for the network past the block; may raise."""


class Allowed:
    """Addresses that are no part of a recording: let through, not recorded, not replayed."""

    def __init__(self, addresses: Iterable[str]) -> None:
        """Take ``host:port`` each. Raises `UsageError` for anything else."""
        given = (addresses,) if isinstance(addresses, str) else tuple(addresses)
        self._named = {_parsed(address) for address in given}
        self._hosts = {host for host, _ in self._named}
        self._reached = set(self._named)
        for host, port in self._named:
            with suppress(OSError):
                self._reached |= {(str(found[4][0]), port) for found in socket.getaddrinfo(host, port)}

    def connect(self, host: str, port: int) -> bool:
        """Return whether this may be connected to: by a name that was given, or by an address that such a name has."""
        return (host, port) in self._reached

    def lookup(self, host: str) -> bool:
        """Return whether a name may be looked up."""
        return host in self._hosts


class Watch:
    """Look at the sockets of this process, all threads, from `start` to `stop`."""

    def __init__(self, side: Side, allowed: Allowed, *, lookups: bool) -> None:
        """Tell *side* of everything that is not *allowed*, of names that are looked up too where *lookups*; it may raise."""
        self._side, self._allowed, self._lookups = side, allowed, lookups

    def start(self) -> None:
        """Look from now on."""
        _install()
        _watching.append(self)

    def stop(self) -> None:
        """Look no longer."""
        with suppress(ValueError):
            _watching.remove(self)

    def tell(self, address: str, frame: FrameType | None) -> None:
        """Tell that code in *frame* reaches for an address."""
        self._side.touched(_touch(address, frame))

    def see(self, event: str, args: tuple[Any, ...], frame: FrameType | None) -> None:
        """Look at one audit event."""
        if event in _CONNECTS:
            address = args[1]
            if args[0].family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple) or self._side.sending():
                return
            host, port = str(address[0]), int(address[1])
            if not self._allowed.connect(host, port):
                try:
                    self.tell(f"{host}:{port}", frame)
                except BaseException:
                    # Whoever made it reckons with errors of the system only, and would leave it open.
                    args[0].close()
                    raise
        elif self._lookups and event in _LOOKUPS:
            given, service = (args[0], args[1] if len(args) > 1 else None) if isinstance(args[0], str | bytes) else args[0][:2]
            name = given.decode("ascii", "replace") if isinstance(given, bytes) else str(given)
            known = _local(name) if event in _REVERSE else _numeric(name)
            if name and not known and name != "localhost" and not self._allowed.lookup(name):
                self.tell(f"{name}:{service}" if service else name, frame)


_watching: list[Watch] = []


@cache
def _install() -> None:
    """Install the hook, once: there is no way to remove one."""

    def hook(event: str, args: tuple[Any, ...], watching: list[Watch] = _watching) -> None:
        if watching and event.startswith("socket."):
            for watch in tuple(watching):
                watch.see(event, args, sys._getframe(1))

    sys.addaudithook(hook)


def _touch(address: str, frame: FrameType | None) -> Touch:
    """Say who it was: the agent's own code where it is on the stack, and the library that it called for it."""
    own, library = own_site(frame), None
    for found in outwards(frame):
        if site_of(found) is not None:
            break
        library = found if _package(found) else library
    through = _package(library) if library is not None else ""
    if own is not None:
        return Touch(address, str(own), through)
    if library is not None:
        return Touch(address, f"{through}/{Path(library.f_code.co_filename).name}:{library.f_lineno}", through)
    return Touch(address, "a thread of the event loop", "")


def _package(frame: FrameType) -> str:
    """Return the installed package that code belongs to; empty for the standard library and our own."""
    name = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    return "" if name in sys.stdlib_module_names or name in ("frameengine", "frameengine_cli", "__main__") else name


def _parsed(address: str) -> Address:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(f"{address!r} is no address", hint="write host and port, such as 127.0.0.1:5432")
    return host.strip("[]"), int(port)


def _numeric(name: str) -> bool:
    try:
        ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _local(name: str) -> bool:
    return _numeric(name) and ip_address(name.partition("%")[0]).is_loopback
