"""A place of its own for foreign code: namespaces, a root that holds little, no rights, small limits.

The root lies in memory and goes with the last process in it, so nothing is left to remove. It holds the Python installation and
the libraries of the system, read-only, four devices, and the work folder, the one place that can be written. There is no
``/proc``: it would show other processes, and let an owner of the machine change it.
"""

from __future__ import annotations

import os
import resource
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

from frameengine.tools.sandbox import CODE, WORK, landlock, seccomp
from frameengine.tools.sandbox.kernel import PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, call, prctl

_NAMESPACES: Final = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
"""Mounts, cgroups, host name, System V IPC, users, processes, network."""
_NOBODY: Final = 65534
_OLD: Final = "/old"
_DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_ROOT_OPTIONS: Final = b"size=4m,nr_inodes=1k,mode=755"

_NOSUID, _NODEV, _NOEXEC, _BIND, _RECURSIVE, _PRIVATE = 2, 4, 8, 1 << 12, 1 << 14, 1 << 18
_DETACH: Final = 2
_MOUNT_SETATTR: Final = 442
_HERE: Final = -100
_ALL_BELOW: Final = 0x8000
_READ_ONLY: Final = 1

_PRIVILEGED: Final = os.geteuid() == 0
"""Whether there is a lesser user to become. It must be one: the limit of processes does not hold for the machine's owner."""


def enter() -> None:
    """Leave the namespaces of the machine; children are in those of processes as well. Raises `OSError`."""
    ready, go = os.pipe()
    helper = os.fork()
    if helper == 0:
        # Who may give ids away is a process outside, so one stays there until that is done.
        os.close(go)
        os._exit(_map_ids(os.getppid()) if os.read(ready, 1) else 1)
    os.close(ready)
    try:
        call("unshare", _NAMESPACES)
        os.write(go, b"+")
    finally:
        os.close(go)
        _, status = os.waitpid(helper, 0)
    if status:
        error = os.waitstatus_to_exitcode(status)
        raise OSError(error, f"user ids cannot be mapped: {os.strerror(error)}")


def _map_ids(pid: int) -> int:
    try:
        for name, own in (("uid_map", os.geteuid()), ("gid_map", os.getegid())):
            if not _PRIVILEGED and name == "gid_map":
                _write(f"/proc/{pid}/setgroups", b"deny")
            lines = [f"{own} {own} 1", f"{_NOBODY} {_NOBODY} 1"] if _PRIVILEGED else [f"{own} {own} 1"]
            _write(f"/proc/{pid}/{name}", "\n".join(lines).encode())
    except OSError as error:
        return error.errno or 1
    return 0


def build(readable: Sequence[str], mountpoint: str, code: bytes, folder_options: str) -> None:
    """Make the root and move into it; *mountpoint* is any folder, and is covered for a moment. Raises `OSError`."""
    call("mount", None, b"/", None, _RECURSIVE | _PRIVATE, None)
    call("mount", b"root", mountpoint.encode(), b"tmpfs", _NOSUID | _NODEV, _ROOT_OPTIONS)
    os.mkdir(mountpoint + _OLD)
    call("pivot_root", mountpoint.encode(), (mountpoint + _OLD).encode())
    os.chdir("/")
    for path in sorted(readable):
        _show(path, _READ_ONLY | _NOSUID | _NODEV)
    for path in _DEVICES:
        _show(path, _READ_ONLY | _NOSUID | _NOEXEC)
    os.mkdir(WORK)
    call("mount", b"work", WORK.encode(), b"tmpfs", _NOSUID | _NODEV | _NOEXEC, folder_options.encode())
    os.symlink(WORK, "/tmp")  # noqa: S108
    if _PRIVILEGED:
        os.chown(WORK, _NOBODY, _NOBODY)
    _write(CODE, code, os.O_CREAT)
    call("umount2", _OLD.encode(), _DETACH)
    os.rmdir(_OLD)
    _set_attributes("/", _READ_ONLY | _NOSUID | _NODEV, 0)


def _show(path: str, attributes: int) -> None:
    """Let a file or folder of the old root be seen under the same name. What is a link there becomes one here."""
    old = _OLD + path
    if os.path.lexists(path) or not os.path.lexists(old):
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.islink(old):
        os.symlink(os.readlink(old), path)
        return
    if os.path.isdir(old):
        os.mkdir(path)
    else:
        _write(path, b"", os.O_CREAT)
    call("mount", old.encode(), path.encode(), None, _BIND | _RECURSIVE, None)
    _set_attributes(path, attributes, _ALL_BELOW)


def _set_attributes(path: str, attributes: int, flags: int) -> None:
    """Set attributes of a mount, and of those below it; others stay, which the kernel demands of mounts it lent."""
    wanted = struct.pack("QQQQ", attributes, 0, 0, 0)
    call("syscall", _MOUNT_SETATTR, _HERE, path.encode(), flags, wanted, len(wanted))


def limit(limits: Mapping[str, int], *, processes: bool) -> None:
    """Set the limits of this process and its children. The number of processes counts those in the namespace alone."""
    bounds = {
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_CPU: (limits["cpu_seconds"], limits["cpu_seconds"] + 1),
        resource.RLIMIT_AS: (limits["memory_bytes"],) * 2,
        resource.RLIMIT_FSIZE: (limits["file_bytes"],) * 2,
        resource.RLIMIT_NOFILE: (limits["open_files"],) * 2,
    }
    if processes:
        bounds[resource.RLIMIT_NPROC] = (limits["processes"],) * 2
        bounds[resource.RLIMIT_MSGQUEUE] = (0, 0)
        bounds[resource.RLIMIT_MEMLOCK] = (0, 0)
    for name, bound in bounds.items():
        resource.setrlimit(name, bound)


def drop_rights(readable: Sequence[str]) -> list[str]:
    """Give up every right, for good, and return the names of the walls that stand."""
    # The bounding set has no end that is known beforehand; the kernel says where it is.
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            break
    if _PRIVILEGED:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    seen = [path for path in (*readable, CODE) if os.path.exists(path)]
    walls = ["namespaces"]
    if landlock.restrict(seen, [WORK, *_DEVICES]):
        walls.append("landlock")
    if seccomp.restrict():
        walls.append("seccomp")
    return walls


def _write(path: str, data: bytes, flags: int = 0) -> None:
    file = os.open(path, os.O_WRONLY | flags, 0o644)
    try:
        while data:
            data = data[os.write(file, data) :]
    finally:
        os.close(file)


Order = Mapping[str, Any]
"""What `launch` is told to do."""
