"""Connections that were open before a block began: nobody sees them being made any more, so what they send is watched."""

from __future__ import annotations

import os
import socket
import stat
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

from frameengine.inprocess.network import Allowed, Side
from frameengine.inprocess.patches import Patches

Ends: TypeAlias = tuple[Any, Any]
"""Both addresses of a connection: by these it is known, whichever object or number has it."""

_METHODS = (
    ("socket", "socket", ("send", "sendall", "sendmsg", "sendfile")),
    ("ssl", "SSLSocket", ("send", "write")),
)
"""By what Python code sends on a connection; the rest of them comes to these."""
_SENT = struct.Struct("=QQ")
_SENT_AT = 200
"""Where ``struct tcp_info`` of Linux has the bytes that were sent, and of these the ones sent again."""


class Older:
    """The network connections of this process at the beginning of a block, but for those that its own servers have taken."""

    def __init__(self, side: Side, allowed: Allowed) -> None:
        """Look at all that are open now; *allowed* has the addresses that are left alone."""
        self._side = side
        self._sent = {ends: sent for ends, sent in _connected() if not allowed.connect(str(ends[1][0]), int(ends[1][1]))}

    def hold(self, patches: Patches, told: Callable[[str, FrameType], None]) -> None:
        """Tell *told* of what Python code sends over one of them, before it does; it may raise. Once each where it does not."""
        for module, kind, names in _METHODS:
            owner = getattr(sys.modules.get(module), kind, None)
            for name in names if owner is not None else ():
                patches.put(owner, name, self._guarded(getattr(owner, name), told))

    def grown(self) -> list[tuple[str, int]]:
        """Return where bytes went that nobody was told of, and how many: sent by code in C. Known on Linux only."""
        now = dict(_connected()) if self._sent else {}
        return [(_address(ends), now[ends] - sent) for ends, sent in self._sent.items() if now.get(ends, 0) > sent]

    def _guarded(self, original: Any, told: Callable[[str, FrameType], None]) -> Any:
        def send(sock: Any, *args: Any, **options: Any) -> Any:
            if self._side.active and self._sent and not self._side.sending():
                self._see(_ends(sock), told, sys._getframe(1))
            return original(sock, *args, **options)

        return send

    def _see(self, ends: Ends | None, told: Callable[[str, FrameType], None], frame: FrameType) -> None:
        if ends is None or ends not in self._sent:
            return
        # A debugger talks to its screen all the time, by threads that it marks.
        if not getattr(threading.current_thread(), "is_pydev_daemon_thread", False):
            told(_address(ends), frame)
        self._sent.pop(ends, None)


def _connected() -> Iterator[tuple[Ends, int]]:
    """Yield every connection of this process that it made itself, and the bytes that went over it (0 where that is unknown)."""
    found: dict[Ends, int] = {}
    served = set()
    for one in _sockets():
        if one.family in (socket.AF_INET, socket.AF_INET6):
            ends = _ends(one)
            if ends is not None:
                found[ends] = _bytes_sent(one)
            elif _listens(one):
                served.add(one.getsockname()[1])
    yield from [(ends, sent) for ends, sent in found.items() if ends[0][1] not in served]


def _sockets() -> Iterator[socket.socket]:
    """Yield every socket of this process, as a duplicate that is closed again."""
    for number in sorted([int(entry.name) for entry in Path("/dev/fd").iterdir()]):
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                with socket.socket(fileno=os.dup(number)) as one:
                    yield one


def _ends(sock: Any) -> Ends | None:
    """Return both ends of a connection; None for what is none, or none of the network."""
    try:
        ends = (sock.getsockname(), sock.getpeername()) if sock.family in (socket.AF_INET, socket.AF_INET6) else None
    except OSError:
        return None
    return ends


def _listens(sock: socket.socket) -> bool:
    try:
        return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:
        return False


def _bytes_sent(sock: socket.socket) -> int:
    try:
        told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    except (OSError, AttributeError):
        return 0
    if len(told) < _SENT_AT + _SENT.size:
        return 0
    sent, again = _SENT.unpack_from(told, _SENT_AT)
    return int(sent - again)


def _address(ends: Ends) -> str:
    return f"{ends[1][0]}:{ends[1][1]}"
