"""What a node shows of a Python process, made from the result that the tool gave. Nothing here runs anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

PROCESS_START: Final = "process_start"
PROCESS_DONE: Final = "process_done"
CODE_CHARS: Final = 200
"""Code in the event of a start."""
OUTPUT_CHARS: Final = 500
"""Output in the event of an end."""
NO_OUTPUT: Final = "[no output]"


def process_start(result: Mapping[str, Any], code: str) -> dict[str, Any]:
    """Return the payload of `PROCESS_START`."""
    return {"pid": result["pid"], "tool": result["tool"], "status": "running", "code": code[:CODE_CHARS]}


def process_done(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the payload of `PROCESS_DONE`. ``elapsed`` is 0 where time is virtual."""
    return {
        "pid": result["pid"],
        "tool": result["tool"],
        "status": result["status"],
        "exit_code": result["exit_code"],
        "output": output_text(result)[:OUTPUT_CHARS],
        "elapsed": result.get("elapsed", 0.0),
    }


def output_text(result: Mapping[str, Any]) -> str:
    """Return what a model or a person reads of a result.

    What it printed; its complaints where it failed; a line where it was ended or cut; a mark where there is nothing at all.
    """
    lines = [str(result["stdout"]).rstrip("\n")]
    if result["stdout_cut"]:
        lines.append("[output cut]")
    if result["exit_code"] != 0:
        lines.append(str(result["stderr"]).rstrip("\n"))
        if result["stderr_cut"]:
            lines.append("[errors cut]")
    if result["limit"]:
        lines.append(f"[ended: more than {result['limit']}]")
    elif result["status"] == "cancelled":
        lines.append("[cancelled]")
    return "\n".join([line for line in lines if line]) or NO_OUTPUT
