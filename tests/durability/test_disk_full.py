"""A disk that is full, read-only or somebody else's: a clear error, and everything acknowledged is readable."""

from __future__ import annotations

import errno
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from crash_children import call

OWN_MOUNTS = ("unshare", "--user", "--map-root-user", "--mount")
"""A process with mounts of its own: they end with it, and it need not be root."""
SIZES = [
    pytest.param([4, 8, 12, 20, 36, 64, 128, 256], id="8 sizes"),
    pytest.param(list(range(4, 260, 4)), id="every 4 KiB", marks=pytest.mark.nightly),
]


@pytest.fixture(scope="module")
def own_mounts(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Return the command before one that may mount, or skip."""
    folder = tmp_path_factory.mktemp("mount")
    ways = [way for way in (OWN_MOUNTS, ("unshare", "--mount")) if shutil.which(way[0])]
    for way in ways:
        if subprocess.run([*way, "mount", "-t", "tmpfs", "none", str(folder)], capture_output=True, check=False).returncode == 0:
            return way
    pytest.skip("this system lets us mount no small file system: neither as root nor in a user namespace")


@pytest.mark.parametrize("sizes", SIZES)
def test_a_full_disk_loses_nothing_that_was_acknowledged(tmp_path: Path, own_mounts: tuple[str, ...], sizes: list[int]) -> None:
    """On a file system of any small size the writer stops with ENOSPC, and goes on as soon as there is room again."""
    results = call("fill", *own_mounts, folder=str(tmp_path), sizes=sizes)
    assert [result["size"] for result in results] == sizes
    for result in results:
        number, hint = result["met"]
        assert number == errno.ENOSPC
        assert "free some space" in hint
        assert result["acknowledged"] <= result["recovered"]
        assert result["problem"] == "TraceIncomplete"
        assert result["resumed"]
    assert results[-1]["recovered"] > 100


def test_a_read_only_file_system_is_named(tmp_path: Path, own_mounts: tuple[str, ...]) -> None:
    """Where nothing can be written the error says so and what to choose instead."""
    number, hint, exit_code = call("read_only", *own_mounts, folder=str(tmp_path))
    assert number == errno.EROFS
    assert "can be written to" in hint
    assert exit_code == 1


def test_a_folder_without_permission_is_named() -> None:
    """Where we may not write the error says so and what to choose instead."""
    folder = tempfile.mkdtemp()
    try:
        number, hint, exit_code = call("no_permission", folder=folder)
    finally:
        shutil.rmtree(folder)
    assert number == errno.EACCES
    assert "can be written to" in hint
    assert exit_code == 1
