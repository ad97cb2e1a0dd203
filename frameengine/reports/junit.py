"""Results as JUnit XML, which every CI reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypeAlias
from xml.sax.saxutils import escape, quoteattr

from attrs import frozen

from frameengine.plaintext import visible

Status: TypeAlias = Literal["passed", "failed", "error"]
_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>'


@frozen(kw_only=True)
class Case:
    """One thing that was tested."""

    name: str
    """What it is called."""
    group: str
    """What it belongs to: a suite's step, a trace's file."""
    status: Status = "passed"
    """failed where it does not hold, error where it could not be looked at."""
    message: str = ""
    """Why, in one line; empty where it passed."""
    detail: str = ""
    """Why, in full."""
    file: str = ""
    """Where it is written."""
    line: int = 0
    """At which line; 0 for none."""
    seconds: float = 0.0
    """How long it took."""


def junit(suites: Iterable[tuple[str, Sequence[Case]]]) -> str:
    """Return the XML of *suites*, each a name with its cases. No time and no host stands in it but what the cases tell."""
    parts = [_suite(name, cases) for name, cases in suites]
    return "\n".join([_DECLARATION, "<testsuites>", *parts, "</testsuites>"]) + "\n"


def _suite(name: str, cases: Sequence[Case]) -> str:
    counts = {status: sum(case.status == status for case in cases) for status in ("failed", "error")}
    seconds = sum(case.seconds for case in cases)
    attributes = _attributes(name=name, tests=len(cases), failures=counts["failed"], errors=counts["error"], skipped=0)
    return "\n".join([f'  <testsuite{attributes} time="{seconds:.3f}">', *[_case(case) for case in cases], "  </testsuite>"])


def _case(case: Case) -> str:
    place = {"file": case.file} if case.file else {}
    line = {"line": case.line} if case.line else {}
    opening = f'    <testcase{_attributes(classname=case.group, name=case.name, **place, **line)} time="{case.seconds:.3f}"'
    if case.status == "passed":
        return f"{opening}/>"
    tag = "failure" if case.status == "failed" else "error"
    detail = escape(visible(case.detail or case.message))
    return f"{opening}>\n      <{tag}{_attributes(message=case.message)}>{detail}</{tag}>\n    </testcase>"


def _attributes(**members: object) -> str:
    return "".join([f" {name}={quoteattr(visible(str(value)))}" for name, value in members.items()])
