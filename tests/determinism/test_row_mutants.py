"""Defects that the rows forbid, planted in a copy of the package: the test that names the row sees each of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from attrs import frozen

from rows import named

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PACKAGE = ROOT / "frameengine"
SAMPLE = 30
"""Mutants that one session plants."""
SEED = int(os.environ.get("FRAMEENGINE_MUTANTS_SEED", "1"))
"""Which of them; 0 plants all."""

# All of them need one run without a mutant, so one worker takes them.
pytestmark = pytest.mark.xdist_group("row-mutants")


@frozen(kw_only=True)
class Mutant:
    """A defect, and who must see it."""

    row: str
    """The row that forbids it."""
    file: str
    """The file below frameengine/ that it is in."""
    old: str
    """What stands there, once."""
    new: str
    """What stands there instead."""
    test: str
    """The test below tests/ that fails then."""

    def plant(self, package: Path) -> None:
        """Write it into the copy at *package*."""
        path = package / self.file
        path.write_text(path.read_text(encoding="utf-8").replace(self.old, self.new), encoding="utf-8")


MUTANTS = [Mutant(**entry) for entry in tomllib.loads((HERE / "row_mutants.toml").read_text(encoding="utf-8"))["mutant"]]
CHOSEN = Random(SEED).sample(MUTANTS, SAMPLE) if SEED else MUTANTS
# Makes sure that what is tested is the copy: else a run without a mutant would prove nothing.
PROGRAM = """
import sys, pytest
from importlib.util import find_spec
assert find_spec("frameengine").origin.startswith(sys.argv[1]), find_spec("frameengine")
sys.exit(pytest.main(sys.argv[2:]))
"""


def run(tests: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run *tests* on the package below *folder*, whatever is installed."""
    nodes = [str(ROOT / "tests" / test) for test in tests]
    options = ["-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml")]
    env = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0", "CI": "true"}
    command = [sys.executable, "-P", "-c", PROGRAM, str(folder), *options, *nodes]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=600)


def copied(folder: Path) -> Path:
    """Return a copy of the package below *folder*."""
    shutil.copytree(PACKAGE, folder / "frameengine", ignore=shutil.ignore_patterns("__pycache__"))
    return folder / "frameengine"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Run every test of the sample on a copy without a mutant: all pass."""
    folder = tmp_path_factory.mktemp("sound")
    copied(folder)
    done = run(list(dict.fromkeys(mutant.test for mutant in CHOSEN)), folder)
    assert done.returncode == pytest.ExitCode.OK, done.stdout + done.stderr


@pytest.mark.nightly
@pytest.mark.parametrize("mutant", CHOSEN, ids=lambda mutant: f"{mutant.row}-{mutant.file}")
def test_a_planted_defect_is_seen(mutant: Mutant, sound: None, tmp_path: Path) -> None:
    """The test that names the row passes on the package as it is, and fails on a copy with the defect."""
    mutant.plant(copied(tmp_path))
    done = run([mutant.test], tmp_path)
    # Exit code 1 is also that of a session which broke before any test: the summary tells.
    seen = done.returncode == pytest.ExitCode.TESTS_FAILED and re.search(r"^[1-9]\d* (failed|error)", done.stdout, re.MULTILINE)
    assert seen, f"seed {SEED}, {mutant}:\n{done.stdout}{done.stderr}"


def test_the_table_of_mutants_is_of_the_code_as_it_stands() -> None:
    """What each mutant replaces stands in its file exactly once, so that the table cannot rot, and changes it."""
    stale = {}
    for mutant in MUTANTS:
        count = (PACKAGE / mutant.file).read_text(encoding="utf-8").count(mutant.old)
        if count != 1 or mutant.old == mutant.new:
            stale[f"{mutant.row} {mutant.file}"] = (count, mutant.old)
    assert stale == {}


def test_each_mutant_is_left_to_a_test_that_names_its_row() -> None:
    """The test of a mutant says in its docstring that it shows the row; at least forty-five mutants are of many rows."""
    tests = named()
    astray = [mutant for mutant in MUTANTS if f"tests/{mutant.test}" not in tests[mutant.row]]
    assert astray == []
    assert len(MUTANTS) >= 45
    assert len({mutant.row for mutant in MUTANTS}) >= 45
