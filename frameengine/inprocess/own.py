"""Whose code is on the stack: the agent's own, or a library's."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import FrameType

from attrs import frozen

_OURS = Path(__file__).parents[1]
_STANDARD: list[str] = [sysconfig.get_paths()[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
_LIBRARIES = (*(Path(folder).resolve() for folder in _STANDARD), _OURS.resolve())
_INSTALLED = frozenset({"site-packages", "dist-packages"})


@frozen
class Site:
    """A place in the agent's own code. Its line is for people: places are told apart by file and function."""

    file: str
    """Path below the current folder, else the name of the file."""
    function: str
    """Qualified name of the function, ``<module>`` outside of all."""
    line: int
    """Line, from 1."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def site_of(frame: FrameType) -> Site | None:
    """Return where a frame stands, None where its code is not the agent's own.

    Own is what lies neither in the standard library nor in a folder of installed packages. Code made out of text while running
    (``exec``, a notebook) belongs to the file whose globals it has.
    """
    code = frame.f_code
    name = code.co_filename
    if name.startswith("<"):
        name = frame.f_globals.get("__file__") or name
    short = _short(name)
    return None if short is None else Site(short, code.co_qualname, frame.f_lineno)


def own_site(frame: FrameType | None) -> Site | None:
    """Return the innermost place of the agent's own code on a stack."""
    return next((site for site in map(site_of, outwards(frame)) if site is not None), None)


def outwards(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield a frame and those that called it."""
    while frame is not None:
        yield frame
        frame = frame.f_back


@cache
def _short(name: str) -> str | None:
    """Return how a file of the agent's own is called, None for a library's."""
    if name.startswith("<"):
        return None if name.startswith("<frozen") else name
    path = Path(name).resolve()
    if _INSTALLED & {*path.parts} or any(path.is_relative_to(folder) for folder in _LIBRARIES):
        return None
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.name


def is_own(name: str) -> bool:
    """Return whether a file holds the agent's own code."""
    return _short(name) is not None
