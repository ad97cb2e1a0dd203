"""A network that ends at this machine's own process: a loopback of its own, and no way out.

What it shuts off is the network. Files stay as they are, and with them sockets that are files, such as those of databases.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from typing import Final

from frameengine.tools.sandbox.kernel import call

_NEW_NETWORK: Final = 0x40000000
_NEW_USERS: Final = 0x10000000
_GET_FLAGS: Final = 0x8913
_SET_FLAGS: Final = 0x8914
_UP: Final = 1
_REQUEST: Final = struct.Struct("16sh22x")
_ELSEWHERE: Final = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
"""Addresses that are nobody's: a machine with a way out has a way to them."""


def leave() -> None:
    """Leave the machine's network for one with nothing but a loopback. Raises `OSError` where that is not allowed.

    The process must have one thread. It keeps its user; where only a namespace of users allows it, it loses rights over others.
    """
    try:
        call("unshare", _NEW_NETWORK)
    except PermissionError:
        user, group = os.geteuid(), os.getegid()
        call("unshare", _NEW_USERS | _NEW_NETWORK)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user} {user} 1")
        _write("/proc/self/gid_map", f"{group} {group} 1")
    _raise_loopback()
    _prove()


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        _, flags = _REQUEST.unpack(fcntl.ioctl(any_socket, _GET_FLAGS, _REQUEST.pack(b"lo", 0)))
        fcntl.ioctl(any_socket, _SET_FLAGS, _REQUEST.pack(b"lo", flags | _UP))


def _prove() -> None:
    """Raise `OSError` where there is a way to another machine after all. Nothing is sent."""
    for family, address in _ELSEWHERE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((address, 9))
        except OSError:
            continue
        raise OSError(0, f"the new network has a way to {address}")


def _write(path: str, text: str) -> None:
    file = os.open(path, os.O_WRONLY)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)
