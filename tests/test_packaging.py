"""The wheel and the sdist: what is in them, what is not, and that they work away from the project."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from importlib.metadata import entry_points
from pathlib import Path
from tarfile import TarFile

import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SOURCES = {"frameengine": ROOT / "frameengine", "frameengine_cli": ROOT / "cli" / "frameengine_cli"}
SHIPPED = frozenset({".py", ".toml", ".md", ".json", ".typed"})
"""Kinds of files in the packages that belong into the wheel."""
PRIVATE = ("cli", "tests", "traces", "fixtures", "benchmarks", "docs")
"""Folders of the project whose names must not become importable."""
LEFT_OUT = (".git", ".venv*", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis", ".frameengine")
"""What is in a checkout and not in a fresh clone."""

# One build serves all tests of this file, so one worker takes all of them.
pytestmark = pytest.mark.xdist_group("packaging")


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command and return what it printed; show what it complained about if it failed."""
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the project: a build leaves files beside the sources, and finds those that an earlier one left."""
    copy = tmp_path_factory.mktemp("packaging") / "project"
    return Path(shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*LEFT_OUT)))


@pytest.fixture(scope="module")
def wheel(project: Path) -> Path:
    """Build the wheel, without network."""
    out = project.parent / "wheel"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel")
    run(*pip, "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", out, ".", cwd=project)
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """Install the wheel into a folder of its own."""
    target = wheel.parent.parent / "installed"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install")
    run(*pip, "--quiet", "--no-deps", "--no-index", "--no-compile", "--target", target, wheel, cwd=wheel.parent)
    return target


def contents(wheel: Path) -> list[str]:
    """Return the names of the files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def metadata(wheel: Path) -> Message:
    """Return what the wheel says about itself."""
    (name,) = [name for name in contents(wheel) if name.endswith(".dist-info/METADATA")]
    with zipfile.ZipFile(wheel) as archive:
        return Parser().parsestr(archive.read(name).decode())


def test_the_wheel_holds_two_packages_and_nothing_else(wheel: Path) -> None:
    """Nothing but the two packages would land in site-packages."""
    tops = {name.split("/")[0] for name in contents(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(SOURCES)


@pytest.mark.parametrize("package", SOURCES)
def test_the_wheel_holds_all_of_a_package(wheel: Path, package: str) -> None:
    """Every module and every data file of the sources is in the wheel: graphs, prompts, schemas and the mark of types."""
    expected = {
        f"{package}/{path.relative_to(SOURCES[package]).as_posix()}"
        for path in SOURCES[package].rglob("*")
        if path.is_file() and path.suffix in SHIPPED and "__pycache__" not in path.parts
    }
    found = {name for name in contents(wheel) if name.startswith(f"{package}/")}
    assert f"{package}/py.typed" in expected
    assert found == expected


@pytest.mark.parametrize(
    ("folder", "suffix"),
    [
        pytest.param("graph/definitions", ".toml", id="graphs"),
        pytest.param("nodes/prompts", ".md", id="prompts"),
        pytest.param("trace/schema", ".json", id="schemas"),
    ],
)
def test_the_wheel_holds_data(wheel: Path, folder: str, suffix: str) -> None:
    """Each kind of data that the code reads at run time is there at all."""
    assert [name for name in contents(wheel) if name.startswith(f"frameengine/{folder}/") and name.endswith(suffix)]


def test_the_metadata_is_complete(wheel: Path) -> None:
    """Licence, supported versions, extras and the bound on typer are in the metadata, and the licence text beside it."""
    told = metadata(wheel)
    assert told["License-Expression"] == "Apache-2.0"
    assert told["Requires-Python"] == ">=3.11"
    assert set(told.get_all("Provides-Extra", [])) == {"tui", "sql", "mariadb", "serve", "test", "dev", "bench", "all"}
    needs = told.get_all("Requires-Dist", [])
    assert any(need.startswith("typer") and "<0.29" in need for need in needs)
    assert any(name.endswith("/LICENSE") for name in contents(wheel))


def test_the_runtime_stays_small(wheel: Path) -> None:
    """What every user installs is this list; a longer one is a decision."""
    needs = [need for need in metadata(wheel).get_all("Requires-Dist", []) if "extra ==" not in need]
    names = {need.split(";")[0].split(">")[0].split("<")[0].strip() for need in needs}
    assert names == {"attrs", "backports.zstd", "httpx2", "orjson", "rich", "typer"}


def test_the_installed_wheel_works_elsewhere(installed: Path, tmp_path: Path) -> None:
    """From a foreign folder, the installed packages import, know their version, and are not those of the checkout."""
    code = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        "import frameengine, frameengine_cli.app\n"
        f"assert frameengine.__file__.startswith({str(installed)!r}), frameengine.__file__\n"
        f"assert frameengine_cli.__file__.startswith({str(installed)!r}), frameengine_cli.__file__\n"
        "assert callable(frameengine_cli.app.main)\n"
        "print(frameengine.__version__)"
    )
    version = run(sys.executable, "-I", "-c", code, cwd=tmp_path).strip()
    (info,) = installed.glob("frameengine-*.dist-info")
    assert info.name == f"frameengine-{version}.dist-info"


def test_the_wheel_brings_the_command(wheel: Path) -> None:
    """The wheel declares one command, `frameengine`."""
    (name,) = [name for name in contents(wheel) if name.endswith("/entry_points.txt")]
    with zipfile.ZipFile(wheel) as archive:
        declared = archive.read(name).decode()
    assert "[console_scripts]\nframeengine = frameengine_cli.app:main" in declared


@pytest.mark.parametrize("name", PRIVATE)
def test_nothing_private_becomes_importable(name: str, tmp_path: Path) -> None:
    """From a foreign folder, this environment finds no package named like one of the project's folders."""
    code = f"import importlib.util as u; print(u.find_spec({name!r}))"
    assert run(sys.executable, "-I", "-c", code, cwd=tmp_path).strip() == "None"


def test_this_environment_has_the_command() -> None:
    """The project is installed here, editable or not, under the name that the tests of the command line start."""
    (command,) = [point for point in entry_points(group="console_scripts") if point.name == "frameengine"]
    assert command.value == PYPROJECT["project"]["scripts"]["frameengine"]


def test_the_sdist_can_be_tested(project: Path, tmp_path: Path) -> None:
    """The sdist holds sources, tests, traces, fixtures and the house's files, and none of the caches."""
    code = f"from setuptools.build_meta import build_sdist; print('built', build_sdist({str(tmp_path)!r}))"
    built = run(sys.executable, "-c", code, cwd=project).split()[-1]
    with TarFile.open(tmp_path / built) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    tops = {name.split("/")[0] for name in names}
    assert {"frameengine", "cli", "tests", "traces", "fixtures"} <= tops
    assert {"LICENSE", "Makefile", "README.md", "constraints.txt", "pyproject.toml"} <= tops
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
