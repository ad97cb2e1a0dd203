"""Landlock: what this process and its children may open, whatever the mounts say.

The second wall behind the mounts. The kernel says how much of it there is (its ABI); all that it knows is used.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from typing import Final

from frameengine.tools.sandbox.kernel import call

_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_VERSION: Final = 1
_PATH_BENEATH: Final = 1

_EXECUTE: Final = 1 << 0
_READ_FILE: Final = 1 << 2
_READ_DIR: Final = 1 << 3
_MAKE_DEVICES: Final = 1 << 6 | 1 << 11
"""Character and block devices."""
_FILE_RIGHTS: Final = _EXECUTE | 1 << 1 | _READ_FILE | 1 << 14 | 1 << 15
"""Execute, write, read, truncate, ioctl: what a rule on a single file may hold."""
_READ: Final = _EXECUTE | _READ_FILE | _READ_DIR
_RIGHTS_BY_ABI: Final = ((5, 16), (3, 15), (2, 14), (1, 13))
"""(ABI, number of rights on files), newest first."""
_NETWORK: Final = 0b11
"""Bind and connect by TCP, from ABI 4."""
_SCOPED: Final = 0b11
"""Abstract sockets and signals, from ABI 6."""


def abi() -> int:
    """Return the kernel's ABI; 0 where it has no Landlock, or has it switched off."""
    try:
        return call("syscall", _CREATE_RULESET, None, 0, _VERSION)
    except OSError:
        return 0


def restrict(readable: Sequence[str], writable: Sequence[str]) -> bool:
    """Allow reading and executing beneath *readable*, everything but devices beneath *writable*, and nothing else.

    Returns False where there is no Landlock. Needs no-new-privs.
    """
    known = abi()
    if not known:
        return False
    rights = (1 << next(count for least, count in _RIGHTS_BY_ABI if known >= least)) - 1
    attributes = struct.pack("QQQ", rights, _NETWORK, _SCOPED)[: 24 if known >= 6 else 16 if known >= 4 else 8]
    ruleset = call("syscall", _CREATE_RULESET, _buffer(attributes), len(attributes), 0)
    for path in readable:
        _allow(ruleset, path, rights & _READ)
    for path in writable:
        _allow(ruleset, path, rights & ~_MAKE_DEVICES)
    call("syscall", _RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    return True


def _allow(ruleset: int, path: str, rights: int) -> None:
    file = os.open(path, os.O_PATH)
    if not os.path.isdir(path):
        rights &= _FILE_RIGHTS
    call("syscall", _ADD_RULE, ruleset, _PATH_BENEATH, _buffer(struct.pack("=Qi", rights, file)), 0)
    os.close(file)


def _buffer(data: bytes) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(data, len(data))
