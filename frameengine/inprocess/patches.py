"""Attributes of other people's modules and classes, replaced for a while and put back exactly."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable, MutableMapping
from typing import Any

from frameengine.errors import UsageError

_ABSENT = object()


class Patches:
    """What one block has replaced.

    An attribute that somebody else replaced meanwhile is left to them: putting ours back would undo theirs. What stands in
    place of something must therefore behave like it once the block is over.
    """

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def put(self, owner: Any, name: str, value: Any) -> None:
        """Replace an attribute of a module or class."""
        before = vars(owner).get(name, _ABSENT)
        setattr(owner, name, value)
        ours = vars(owner)[name]

        def undo() -> None:
            if vars(owner).get(name) is not ours:
                return
            if before is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, before)

        self._undo.append(undo)

    def add(self, mapping: MutableMapping[str, str], name: str, value: str) -> None:
        """Give a mapping a member that it does not have, such as a variable of the environment."""
        mapping[name] = value

        def undo() -> None:
            if mapping.get(name) == value:
                del mapping[name]

        self._undo.append(undo)

    def put_in_c(self, kind: type, name: str, value: Any) -> None:
        """Replace a method of a class that is written in C, which `setattr` refuses.

        ``datetime.now`` is read through names that nobody can list (``from datetime import datetime`` inside a function), so
        the class itself has to change. Raises `UsageError` where this interpreter does not take it.
        """
        (members,) = [item for item in gc.get_referents(kind.__dict__) if isinstance(item, dict)][:1] or [{}]
        before = members.get(name)
        if before is None:
            raise UsageError(
                f"{kind.__name__}.{name} cannot be replaced in this Python",
                hint="record by proxy, and pass times in",
            )

        def write(method: Any) -> None:
            members[name] = method
            ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))

        write(value)
        self._undo.append(lambda: write(before))

    def undo(self) -> None:
        """Put everything back, the last first."""
        while self._undo:
            self._undo.pop()()
