"""What a user is told when a command fails, and with which exit code it ends."""

from __future__ import annotations

import os
import sys
from typing import Any, ClassVar

from frameengine.errors import FrameEngineError
from frameengine_cli.output import document, remark

EXIT_DEFECT = 70
EXIT_INTERRUPTED = 130
EXIT_CANNOT_TEST = 125
EXIT_READER_GONE = 141
REPORT = "this is a defect of frameengine, please report it; FRAMEENGINE_DEBUG=1 shows where it happened"


class Interrupted(FrameEngineError):
    """The user pressed Ctrl-C."""

    code: ClassVar[str] = "interrupted"
    exit_code: ClassVar[int] = EXIT_INTERRUPTED


def debugging(arguments: list[str]) -> bool:
    """Return whether the user wants to see tracebacks."""
    return os.environ.get("FRAMEENGINE_DEBUG", "") not in ("", "0") or "--debug" in arguments


def report(error: FrameEngineError, *, as_json: bool) -> int:
    """Tell what went wrong and what to do next; return the exit code."""
    if as_json:
        document({"error": error_members(error)}, ok=False)
    else:
        # A message holds names that files give: their line feeds must not look like lines of our own.
        remark("error: " + error.message.replace("\n", "\n    "))
        if error.hint:
            remark("  try: " + error.hint.replace("\n", "\n    "))
    return error.exit_code


def error_members(error: FrameEngineError) -> dict[str, Any]:
    """Return an error as JSON."""
    from frameengine.errors import ValueRefused
    from frameengine.jsonvalue import freeze

    try:
        fields = freeze(error.fields)
    except ValueRefused:
        fields = {name: repr(value) for name, value in error.fields.items()}
    return {"code": error.code, "message": error.message, "hint": error.hint, "fields": fields}


def defect(error: BaseException) -> FrameEngineError:
    """Return an unexpected exception as an error that says so; a file that cannot be written is none of our defects."""
    from frameengine.errors import InternalError

    if isinstance(error, OSError) and error.filename is not None:
        return refused(error)
    return InternalError(f"{type(error).__qualname__}: {error}", hint=REPORT, place=_place(error))


def _place(error: BaseException) -> str:
    """Return module and line of the innermost place of ours."""
    place = ""
    step = error.__traceback__
    while step is not None:
        module = step.tb_frame.f_globals.get("__name__", "")
        if module.split(".")[0] in ("frameengine", "frameengine_cli"):
            place = f"{module}:{step.tb_lineno}"
        step = step.tb_next
    return place


def refused(error: OSError, place: str = "") -> FrameEngineError:
    """Return what the operating system refused as an error; *place* names what it was about where *error* does not."""
    from frameengine.errors import StorageError

    name = place or ("" if error.filename is None else str(error.filename))
    what = error.strerror or str(error)
    return StorageError(f"{name}: {what}" if name else what, hint=_REFUSED, path=name, errno=error.errno)


_REFUSED = "check the path, its permissions, and the space that is left"


def stdout_is_broken() -> bool:
    """Return whether what waits to be written to stdout cannot be."""
    try:
        sys.stdout.flush()
    except OSError:
        return True
    return False


def traceback_of(error: BaseException) -> None:
    """Write the traceback to stderr, neutralised like everything else."""
    from traceback import format_exception

    remark("".join(format_exception(error)).rstrip("\n"))


def close_quietly() -> None:
    """Let go of stdout after its reader has gone, so that the interpreter does not complain at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
