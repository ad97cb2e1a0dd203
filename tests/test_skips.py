"""The ledger of skipped tests: a session that left something out unasked must not look good."""

from __future__ import annotations

from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")
SKIPPING = """
    import pytest

    def test_runs():
        pass

    @pytest.mark.skip(reason="no such device")
    def test_left_out():
        pass

    @pytest.mark.xfail(reason="known", strict=True)
    def test_known_to_fail():
        assert False
"""
SKIPPED_FILE = """
    import pytest

    pytest.skip("not on this system", allow_module_level=True)
"""
ONE_UNLISTED = "skipped: 1, of which not in allowed_skips.txt: 1"
WAYS = [
    pytest.param((), id="one-process"),
    pytest.param(("-n", "2"), id="two-workers"),
]


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Make a project that has our conftest, a skipped test and nothing else."""
    monkeypatch.setenv("CI", "true")
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8"))
    pytester.makepyfile(test_it=SKIPPING)
    pytester.path.joinpath("allowed_skips.txt").write_text("", encoding="utf-8")
    return pytester


@pytest.mark.parametrize("way", WAYS)
def test_a_skip_that_nobody_allowed_fails_the_session(project: pytest.Pytester, way: tuple[str, ...]) -> None:
    """With CI=true, an unlisted skip makes the exit status 1 and is named with its reason; an expected failure is no skip."""
    result = project.runpytest_subprocess(*way)
    assert result.ret == 1
    result.stdout.fnmatch_lines([ONE_UNLISTED, "*FAILED test_it.py::test_left_out: no such device"])


@pytest.mark.parametrize("way", WAYS)
def test_a_listed_skip_is_counted_and_passes(project: pytest.Pytester, way: tuple[str, ...]) -> None:
    """A skip whose node id matches a listed pattern is counted, and leaves the session as it was."""
    project.path.joinpath("allowed_skips.txt").write_text("test_it.py::*_left_out  it needs a device\n", encoding="utf-8")
    result = project.runpytest_subprocess(*way)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["skipped: 1, of which not in allowed_skips.txt: 0"])


@pytest.mark.parametrize("way", WAYS)
def test_a_file_that_skips_itself_counts_once(project: pytest.Pytester, way: tuple[str, ...]) -> None:
    """A file that skips itself while it is collected fails the session as well, and counts once however many workers saw it."""
    project.makepyfile(test_it=SKIPPED_FILE)
    project.makepyfile(test_other="def test_runs():\n    pass\n")
    result = project.runpytest_subprocess(*way)
    assert result.ret == 1
    result.stdout.fnmatch_lines([ONE_UNLISTED, "*FAILED test_it.py: not on this system"])


def test_outside_ci_a_skip_is_shown_only(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a developer's machine an unlisted skip is printed, and the session passes."""
    monkeypatch.delenv("CI")
    result = project.runpytest_subprocess()
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*skipped test_it.py::test_left_out: no such device"])


def test_an_allowed_skip_needs_a_reason(project: pytest.Pytester) -> None:
    """A line without a reason is refused with its number, and no test runs."""
    project.path.joinpath("allowed_skips.txt").write_text("# why\ntest_it.py::test_left_out\n", encoding="utf-8")
    result = project.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*allowed_skips.txt:2: write the pattern, two spaces and the reason"])


def test_a_missing_folder_of_recordings_skips_with_the_way_out(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that needs the recordings is skipped where there are none, and the reason names the variable to set."""
    monkeypatch.setenv("FRAMEENGINE_DATA", str(project.path / "nowhere"))
    project.makepyfile(test_it="def test_data(data_dir):\n    pass\n")
    result = project.runpytest_subprocess()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*test_it.py::test_data: no recordings at *nowhere: set FRAMEENGINE_DATA*"])
