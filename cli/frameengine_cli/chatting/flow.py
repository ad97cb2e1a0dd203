"""Text written as it comes, wrapped at words."""

from __future__ import annotations

import re
from collections.abc import Callable

from rich.cells import cell_len

from frameengine.plaintext import visible

MARGIN = "  "
TAB = "    "
_PART = re.compile(r"\n| +|[^ \n]+")


class Flow:
    """One text on a screen. A word is written when it is known to be whole, so that none is torn at the edge."""

    def __init__(self, write: Callable[[str], object], width: int) -> None:
        self._write = write
        self._width = max(width - len(MARGIN) - 1, 10)
        self._column = 0
        self._word = ""
        self._space = ""

    def feed(self, text: str) -> None:
        """Take the next piece of the text."""
        for part in _PART.findall(visible(text).replace("\t", TAB)):
            if part == "\n":
                self._put()
                self._write("\n")
                self._column, self._space = 0, ""
            elif part[0] == " ":
                self._put()
                self._space = part
            else:
                self._word += part

    def end(self) -> None:
        """Write what is left, and end the line."""
        self._put()
        if self._column:
            self._write("\n")
        self._column, self._space = 0, ""

    def _put(self) -> None:
        """Write the word, on the next line where there is no room for it on this one."""
        if not self._word:
            return
        word, space = self._word, self._space
        if self._column and self._column + len(space) + cell_len(word) > self._width:
            self._write("\n")
            self._column, space = 0, ""
        if self._column == 0:
            self._write(MARGIN)
        self._write(space + word)
        self._column += len(space) + cell_len(word)
        self._word = self._space = ""
