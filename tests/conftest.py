"""What every test shares: the folder of real recordings, settings of hypothesis, and the ledger of skipped tests.

A skipped test proves nothing, so a run with ``CI=true`` fails when a test was skipped that ``allowed_skips.txt`` does not name.
"""

from __future__ import annotations

import os
import signal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

HERE = Path(__file__).parent
ALLOWED_SKIPS = HERE / "allowed_skips.txt"

# A shared machine stalls at any moment: how long an example took says nothing about the code.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("house"), derandomize=True, print_blob=True)
settings.register_profile("nightly", settings.get_profile("house"), max_examples=2000, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "house")

# A shell gives what it starts in the background an ignored Ctrl-C, and children inherit that; tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real recordings, or skip: it is too large, and not ours, to be committed."""
    folder = Path(os.environ.get("FRAMEENGINE_DATA") or HERE.parents[1] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}: set FRAMEENGINE_DATA to the folder that holds them")
    return folder


def allowed_skips(path: Path) -> list[tuple[str, str]]:
    """Read (pattern of node ids, reason) from the lines of *path*; a line without a reason is a mistake."""
    allowed = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        pattern, _, reason = line.strip().partition("  ")
        if not reason.strip():
            raise pytest.UsageError(f"{path}:{number}: write the pattern, two spaces and the reason")
        allowed.append((pattern, reason.strip()))
    return allowed


class SkipLedger:
    """Count the skipped tests of a session and fail it for those that nobody allowed.

    Lives where the results are gathered: in the only process, or in the one that distributes the work.
    """

    def __init__(self, allowed: list[tuple[str, str]], *, strict: bool) -> None:
        self.allowed = allowed
        self.strict = strict
        self.skipped: dict[str, str] = {}

    def note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        """Remember a skipped test or file under its node id; each worker reports a skipped file, it counts once."""
        # Not a skip: a test that is known to fail, and did.
        if report.skipped and not hasattr(report, "wasxfail"):
            why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.skipped[report.nodeid] = why.removeprefix("Skipped: ")

    def unlisted(self) -> dict[str, str]:
        """Return what was skipped without leave."""
        patterns = [pattern for pattern, _ in self.allowed]
        return {
            nodeid: why
            for nodeid, why in sorted(self.skipped.items())
            if not any(fnmatchcase(nodeid, pattern) for pattern in patterns)
        }

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in the result of a test, also from a worker."""
        self.note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Take in the result of collecting a file, also from a worker."""
        self.note(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Turn a good session into a failed one if it left out what it may not leave out."""
        if self.strict and self.unlisted() and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Print how many were skipped, and by name those that nobody allowed."""
        unlisted = self.unlisted()
        terminalreporter.write_line(f"skipped: {len(self.skipped)}, of which not in allowed_skips.txt: {len(unlisted)}")
        for nodeid, why in unlisted.items():
            terminalreporter.write_line(f"  {'FAILED' if self.strict else 'skipped'} {nodeid}: {why}", red=self.strict)


def pytest_configure(config: pytest.Config) -> None:
    """Start the ledger, but not in a worker: that one sees a part of the session only."""
    if not hasattr(config, "workerinput"):
        ledger = SkipLedger(allowed_skips(ALLOWED_SKIPS), strict=os.environ.get("CI") == "true")
        config.pluginmanager.register(ledger, "skip-ledger")
