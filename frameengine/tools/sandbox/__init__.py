"""Run foreign code where it can reach nothing: `box` is the side of the caller, `launch` the side of the code.

`launch`, `jail`, `landlock`, `seccomp` and `kernel` are run by an interpreter of their own that has the standard library alone.
"""

from __future__ import annotations

from typing import Final

WORK: Final = "/work"
"""The work folder, in the sandbox."""
CODE: Final = "/code.py"
"""The code, in the sandbox."""
