"""Where the process begins: before anything is loaded in which Ctrl-C would end with a traceback."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    try:
        code = execute(sys.argv[1:])
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        code = 130
    sys.exit(code)


def execute(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    from frameengine_cli.commandline import execute as run

    return run(arguments)
