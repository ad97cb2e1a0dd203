"""seccomp: refuse the system calls that foreign code has no use for, and that have been ways out of a sandbox before."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Mapping
from typing import Final

from frameengine.tools.sandbox.kernel import PR_SET_SECCOMP, call

_NAMES: Final = (
    "ptrace process_vm_readv process_vm_writev unshare setns mount pivot_root chroot keyctl add_key request_key bpf "
    "perf_event_open userfaultfd memfd_create shmget semget msgget open_by_handle_at "
    "pidfd_getfd io_uring_setup io_uring_enter io_uring_register open_tree move_mount fsopen mount_setattr memfd_secret"
).split()
"""Other processes' memory, new namespaces, mounts, keys, large surfaces of the kernel, and memory that no limit counts."""
_SAME: Final = (438, 425, 426, 427, 428, 429, 430, 442, 447)
"""The last nine: numbers that are the same on every machine."""
_MACHINES: Final[Mapping[str, tuple[int, tuple[int, int], tuple[int, ...]]]] = {
    "x86_64": (
        0xC000003E,
        (56, 41),
        (101, 310, 311, 272, 308, 165, 155, 161, 250, 248, 249, 321, 298, 323, 319, 29, 64, 68, 304, *_SAME),
    ),
    "aarch64": (
        0xC00000B7,
        (220, 198),
        (117, 270, 271, 97, 268, 40, 41, 51, 219, 217, 218, 280, 241, 282, 279, 194, 190, 186, 265, *_SAME),
    ),
}
"""Machine -> its number, the numbers of clone and socket, those of `_NAMES`."""
_CLONE3: Final = 435
_NAMESPACES: Final = 0x7E020080
"""Flags of clone that make namespaces."""
_FAMILIES: Final = (1, 2, 10)
"""Socket families that may be had: unix, and the internet, whose namespace is empty. Not vsock: it has no namespace."""
_X32: Final = 0x40000000

_LOAD: Final = 0x20
_EQUAL: Final = 0x15
_AT_LEAST: Final = 0x35
_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_KILL: Final = 0x80000000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_FILTER: Final = 2


def program(machine: str) -> bytes | None:
    """Return the filter for a machine, as the kernel runs it; None for a machine whose numbers are not known here."""
    if machine not in _MACHINES:
        return None
    architecture, (clone, socket), refused = _MACHINES[machine]
    # clone3 hides its flags behind a pointer; told that there is none, the C library takes clone.
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        *_answer((_AT_LEAST, _X32), errno.ENOSYS),
        *_answer((_EQUAL, _CLONE3), errno.ENOSYS),
        *[step for number in refused for step in _answer((_EQUAL, number), errno.EPERM)],
        (_EQUAL, 0, 4, clone),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        *_answer((_ANY_BIT, _NAMESPACES), errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
        (_EQUAL, 0, len(_FAMILIES) + 2, socket),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        *[(_EQUAL, len(_FAMILIES) - index, 0, family) for index, family in enumerate(_FAMILIES)],
        (_RETURN, 0, 0, _ERRNO | errno.EAFNOSUPPORT),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join([struct.pack("HBBI", *step) for step in steps])


def _answer(test: tuple[int, int], error: int) -> tuple[tuple[int, int, int, int], ...]:
    code, value = test
    return (code, 0, 1, value), (_RETURN, 0, 0, _ERRNO | error)


def restrict() -> bool:
    """Put the filter over this process and its children. Returns False where there is none. Needs no-new-privs."""
    instructions = program(os.uname().machine)
    if instructions is None:
        return False
    held = ctypes.create_string_buffer(instructions, len(instructions))
    head = struct.pack("HxxxxxxQ", len(instructions) // 8, ctypes.addressof(held))
    try:
        call("prctl", PR_SET_SECCOMP, _FILTER, ctypes.create_string_buffer(head, len(head)), 0, 0)
    except OSError as error:
        if error.errno == errno.EINVAL:  # a kernel without filters
            return False
        raise
    return True
