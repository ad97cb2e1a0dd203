"""Results as JUnit XML, which every CI reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, TypeAlias
from xml.sax.saxutils import escape, quoteattr

from attrs import frozen

from frameengine.plaintext import visible

Status: TypeAlias = Literal["passed", "failed", "error", "skipped"]
_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>'
_TAGS: Final[Mapping[Status, str]] = {"failed": "failure", "error": "error", "skipped": "skipped"}
_COUNTS: Final[Mapping[str, Status]] = {"failures": "failed", "errors": "error", "skipped": "skipped"}


@frozen(kw_only=True)
class Case:
    """One thing that was tested."""

    name: str
    """What it is called."""
    classname: str
    """What it belongs to: a suite's step, a trace's file."""
    status: Status = "passed"
    """failed where it does not hold, error where it could not be looked at, skipped where nobody came to look."""
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
    """Return the XML of *suites*, each a name with its cases. No time and no host stands in it but what the cases tell.

    Text from outside is neutralised as for a terminal, so what XML cannot hold is shown as its number.
    """
    listed = [(name, tuple(cases)) for name, cases in suites]
    every = [case for _, cases in listed for case in cases]
    parts = [_suite(name, cases) for name, cases in listed]
    return "\n".join([_DECLARATION, f"<testsuites{_figures(every)}>", *parts, "</testsuites>"]) + "\n"


def _suite(name: str, cases: Sequence[Case]) -> str:
    return "\n".join([f"  <testsuite{_attributes(name=name)}{_figures(cases)}>", *map(_case, cases), "  </testsuite>"])


def _figures(cases: Sequence[Case]) -> str:
    counts = {name: sum(case.status == status for case in cases) for name, status in _COUNTS.items()}
    return _attributes(tests=len(cases), **counts, time=_time(sum(case.seconds for case in cases)))


def _case(case: Case) -> str:
    place = {"file": case.file} if case.file else {}
    line = {"line": case.line} if case.line else {}
    known = _attributes(classname=case.classname, name=case.name, **place, **line, time=_time(case.seconds))
    if case.status == "passed":
        return f"    <testcase{known}/>"
    tag = _TAGS[case.status]
    detail = escape(visible(case.detail or case.message))
    return f"    <testcase{known}>\n      <{tag}{_attributes(message=case.message)}>{detail}</{tag}>\n    </testcase>"


def _time(seconds: float) -> str:
    return f"{seconds:.3f}"


def _attributes(**members: object) -> str:
    return "".join([f" {name}={quoteattr(visible(str(value)))}" for name, value in members.items()])
