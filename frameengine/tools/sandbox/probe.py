"""Find out, by trying, whether this machine shuts foreign code in."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from frameengine.errors import NoSandbox
from frameengine.tools.sandbox.box import Box, Limits

ATTEMPTS: Final = """
import os, socket

def connect():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.connect(one.getsockname())
            other.send(b"x")

ATTEMPTS = {
    "code can look at other processes": lambda: os.listdir(f"/proc/{os.getppid()}"),
    "code can write outside of its folder": lambda: open(__file__, "r+").close(),
    "code can use the network": connect,
}
for name, attempt in ATTEMPTS.items():
    try:
        attempt()
        print(name)
    except OSError:
        pass
print("done")
"""
"""Prints what it could do and should not, and ``done``."""


@frozen(kw_only=True)
class Sandbox:
    """What this machine offers."""

    walls: tuple[str, ...] = ()
    """What stands around the code: namespaces, landlock, seccomp."""
    missing: str = ""
    """Why there is no sandbox; empty where there is one."""


def probe(limits: Limits | None = None, *, isolate: bool = True) -> Sandbox:
    """Run code that tries to break out, and say what held it. Without *isolate* nothing does, which proves the attempts."""
    try:
        ended = Box(ATTEMPTS, limits or Limits(), isolate=isolate).run()
    except NoSandbox as error:
        return Sandbox(missing=error.message)
    *holes, last = ended.stdout.split("\n")[:-1] or [""]
    if last != "done":
        told = ended.stderr.strip().split("\n")[-1]
        return Sandbox(missing=f"Python does not run in the sandbox: exit code {ended.exit_code}: {told}")
    return Sandbox(walls=ended.walls, missing="; ".join(holes))
