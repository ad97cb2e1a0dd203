"""What can be imported, what an import costs, and what the packages say they offer."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from house.source import modules

ROOT = Path(__file__).parents[1]
MODULES = frozenset(module.name for module in modules(ROOT))

TESTING = frozenset({"_pytest", "hypothesis", "pytest", "syrupy"})
EXTERNAL = frozenset({"httpx", "httpx2", "jsonschema", "pymysql", "rich", "sqlglot", "starlette", "textual", "typer", "uvicorn"})
HEAVY = TESTING | EXTERNAL | {"asyncio", "multiprocessing"}
"""Libraries that importing the engine must not bring along."""
HEAVY_FOR_CLI = HEAVY - {"rich", "typer"}

EXTRAS = {"frameengine_cli.tui": "textual"}
"""Modules that need an extra to the library that it installs."""


def brought_along(module: str, heavy: frozenset[str]) -> list[str]:
    """Return those of the *heavy* libraries that a fresh interpreter has loaded once it has imported *module*."""
    code = f"import sys, json, {module}; print(json.dumps(sorted(set({sorted(heavy)!r}) & set(sys.modules))))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names: list[str] = json.loads(done.stdout)
    return names


def importable() -> list[str]:
    """Return the modules that can be imported here; a ``__main__`` would start the command."""
    absent = tuple(module for module, library in EXTRAS.items() if find_spec(library) is None)
    return sorted(name for name in MODULES if not name.endswith("__main__") and not name.startswith(absent))


@pytest.mark.parametrize("name", importable())
def test_every_module_can_be_imported_and_keeps_its_promises(name: str) -> None:
    """Each module imports by itself, and what it lists in ``__all__`` is there, and listed once."""
    module = importlib.import_module(name)
    offered = list(getattr(module, "__all__", []))
    assert len(offered) == len(set(offered))
    missing = [public for public in offered if not hasattr(module, public)]
    assert not missing


def test_the_root_offers_what_it_lists() -> None:
    """The root lists its public names, and each of them explains itself."""
    root = importlib.import_module("frameengine")
    assert "__version__" in vars(root)
    offered = getattr(root, "__all__", ())
    silent = [name for name in offered if callable(getattr(root, name)) and not getattr(root, name).__doc__]
    assert not silent


def test_importing_the_engine_is_light() -> None:
    """``import frameengine`` loads no event loop, no HTTP client, no terminal library and no extra."""
    assert brought_along("frameengine", HEAVY) == []


def test_every_module_below_the_performers_is_light() -> None:
    """Importing the engine, the graph and the trace modules themselves loads none of the heavy libraries either."""
    packages = ("engine", "graph", "nodes", "node", "trace", "state")
    present = [f"frameengine.{name}" for name in packages if f"frameengine.{name}" in MODULES]
    assert present
    assert brought_along(", ".join(present), HEAVY) == []


def test_importing_the_command_line_is_light() -> None:
    """The command line loads its own two libraries; it opens the others when a command needs them."""
    assert brought_along("frameengine_cli.commandline", HEAVY_FOR_CLI) == []


def test_the_check_for_weight_sees_weight() -> None:
    """A module that does import a heavy library is found out."""
    assert brought_along("asyncio", HEAVY) == ["asyncio"]
