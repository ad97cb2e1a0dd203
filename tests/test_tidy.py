"""The house rules, applied to the project, and each of them shown a defect that it must find."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from house.banned import check_banned
from house.layers import Library, check_layers, check_libraries
from house.source import modules
from house.texts import check_docstrings, check_leftovers, check_sizes, check_test_docstrings

ROOT = Path(__file__).parents[1]

MODULE_MAX = 400
FUNCTION_MAX = 70
LINE_MAX = 130

ENGINE = "frameengine"
CLI = "frameengine_cli"

LAYERS = [
    ["frameengine.errors"],
    ["frameengine.limits", "frameengine.plaintext"],
    ["frameengine.jsonvalue"],
    ["frameengine.codec", "frameengine.foreign"],
    ["frameengine.expr"],
    [
        "frameengine.messages",
        "frameengine.inputs",
        "frameengine.effects",
        "frameengine.records",
        "frameengine.state",
        "frameengine.restore",
    ],
    ["frameengine.node"],
    ["frameengine.ui"],
    ["frameengine.tools"],
    ["frameengine.graph"],
    ["frameengine.nodes"],
    ["frameengine.engine"],
    ["frameengine.trace"],
    ["frameengine.hud"],
    ["frameengine.cassette"],
    ["frameengine.performers"],
    ["frameengine.exchanges"],
    ["frameengine.inprocess"],
    ["frameengine.scenario"],
    ["frameengine.suites"],
    ["frameengine.replay"],
    ["frameengine.diff"],
    ["frameengine.reports"],
    ["frameengine.rerun", "frameengine.testcase", "frameengine.cutting"],
    ["frameengine.debug"],
    ["frameengine.importers", "frameengine.exporters"],
    ["frameengine.golden", "frameengine.review", "frameengine.testing", "frameengine.pytest_plugin"],
    # `python -m frameengine` starts the command line, so it belongs to it.
    ["frameengine_cli", "frameengine.__main__"],
]
"""Lowest first. A module may import its own layer and those above it in this list."""

PERFORMERS = "frameengine.performers"
TESTING = ("frameengine.testing", "frameengine.pytest_plugin")
INPROCESS = "frameengine.inprocess"
TUI = "frameengine_cli.tui"
HTTP = "frameengine.performers.model_http"
ONWARD = "frameengine.performers.proxy_http"
PROXYING = "frameengine_cli.proxying"
AGENTS = "frameengine_cli.agents"

LIBRARIES = {
    "attrs": Library(),
    "attr": Library(within=()),
    "orjson": Library(within=("frameengine.codec",)),
    "httpx2": Library(within=(HTTP, ONWARD)),
    "httpcore2": Library(within=(HTTP,)),
    "httpx": Library(within=("frameengine.inprocess",), eager=()),
    "rich": Library(within=(CLI,)),
    "typer": Library(within=(CLI,)),
    "pytest": Library(within=TESTING, eager=TESTING),
    "_pytest": Library(within=TESTING, eager=TESTING),
    "syrupy": Library(within=TESTING, eager=TESTING),
    # From the standard library, and too slow to import for a command that may not need them.
    "asyncio": Library(eager=(PERFORMERS, TUI, PROXYING)),
    "inspect": Library(eager=()),
    # Extras, and what only sealed and compressed traces need.
    "backports": Library(eager=()),
    "compression": Library(eager=()),
    "jsonschema": Library(eager=()),
    "sqlglot": Library(eager=()),
    "pymysql": Library(within=("frameengine.tools.sql.mariadb",), eager=()),
    # Screens are subclasses, so within the tui it stands at the top; the tui itself is imported where it is started.
    "textual": Library(within=(TUI,), eager=(TUI,)),
    "starlette": Library(within=(CLI,), eager=()),
    "uvicorn": Library(within=(CLI,), eager=()),
}

HEAVY_PACKAGES = {
    TUI: (TUI,),
    HTTP: (HTTP,),
    ONWARD: (PROXYING,),
    PROXYING: (PROXYING, AGENTS),
    AGENTS: (AGENTS,),
    "frameengine.pytest_plugin": TESTING,
    "frameengine.testing": TESTING,
}
"""Our own modules that bring a heavy library along, and who may import them at module level."""

OUTSIDE = (CLI, PERFORMERS, INPROCESS)
"""Where the world is allowed in, and then recorded."""

EXEMPT: Mapping[tuple[str, str], str] = {
    ("frameengine.engine.guard", "id"): "the guard puts a refusing function in its place, and never asks it for an address",
    (
        "frameengine.pytest_plugin",
        "os.environ",
    ): "pytest hands the environment to nobody, and CI decides whether goldens are written",
}
"""(module, banned name) to the reason why it may stand there all the same."""


def tidy_sizes(root: Path) -> list[str]:
    """Check sizes with the project's bounds."""
    return check_sizes(root, module_max=MODULE_MAX, function_max=FUNCTION_MAX, line_max=LINE_MAX)


def tidy_banned(root: Path) -> list[str]:
    """Check banned names with the project's exemptions where they apply, with none in a planted tree."""
    return check_banned(root, EXEMPT if root == ROOT else {}, outside=OUTSIDE)


def tidy_layers(root: Path) -> list[str]:
    """Check layers with the project's table."""
    return check_layers(root, LAYERS)


def tidy_libraries(root: Path) -> list[str]:
    """Check libraries with the project's table."""
    return check_libraries(root, LIBRARIES, HEAVY_PACKAGES)


RULES = [tidy_layers, tidy_libraries, tidy_sizes, tidy_banned, check_docstrings, check_test_docstrings, check_leftovers]


def plant(root: Path, path: str, source: str) -> Path:
    """Write one module into an otherwise empty tree that has the modules which other planted modules import."""
    for name in ("errors", "trace/__init__", "engine/__init__", "performers/model_http"):
        file = root / "frameengine" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('"""Nothing."""\n', encoding="utf-8")
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(source, encoding="utf-8")
    return root


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_project_keeps_its_rules(rule: Callable[[Path], list[str]]) -> None:
    """Nothing in the project breaks a house rule; the message names file, line and way out."""
    problems = rule(ROOT)
    assert not problems, "\n" + "\n".join(problems)


def test_the_rules_read_the_whole_project() -> None:
    """The modules that the rules read are all there are in the two packages."""
    names = {module.name for module in modules(ROOT)}
    assert {"frameengine.errors", "frameengine.engine", "frameengine_cli"} <= names
    files = [path for folder in ("frameengine", "cli") for path in (ROOT / folder).rglob("*.py")]
    assert len(names) == len([path for path in files if "__pycache__" not in path.parts])


LAYER_DEFECTS = [
    ("frameengine/codec.py", "from frameengine.engine import run\n", "codec.py:1: frameengine.codec imports frameengine.engine"),
    ("frameengine/codec.py", "from frameengine import engine\n", "lies above it"),
    ("frameengine/codec.py", "import frameengine.engine.frame as f\n", "lies above it"),
    ("frameengine/codec.py", "from . import engine\n", "lies above it"),
    ("frameengine/engine/frame.py", "from ..trace import store\n", "frame.py:1: frameengine.engine.frame imports frameengine.tr"),
    ("frameengine/engine/frame.py", "def f():\n    from frameengine.performers import live\n", "frame.py:2: "),
    ("frameengine/nodes/thinker.py", "import frameengine.engine\n", "lies above it"),
    ("frameengine/codec.py", "if TYPE_CHECKING:\n    from frameengine.engine import run\n", "codec.py:2: "),
    ("frameengine/codec.py", "try:\n    pass\nexcept OSError:\n    import frameengine.engine\n", "codec.py:4: "),
    ("frameengine/trace/store.py", "import frameengine_cli.app\n", "lies above it"),
    ("frameengine/trace/store.py", "from frameengine import Engine\n", "imports the package's root"),
    ("frameengine/surprise.py", "", "stands in no layer"),
]
LAYER_FINE = [
    ("frameengine/engine/frame.py", "from frameengine.errors import UsageError\nfrom . import message\n"),
    ("frameengine/trace/store.py", "from frameengine import __version__\n"),
    ("frameengine/__init__.py", "from frameengine.trace import store\n"),
    ("frameengine/effects.py", "from frameengine.records import Record\n"),
    ("cli/frameengine_cli/app.py", "from frameengine import Engine\nfrom frameengine.trace import store\n"),
]
LIBRARY_DEFECTS = [
    ("frameengine/trace/store.py", "import orjson\n", "store.py:1: imports orjson, which only frameengine.codec may do"),
    ("frameengine/performers/live.py", "from httpx import Client\n", "imports httpx, which only"),
    ("frameengine/diff/align.py", "def f():\n    import rich.table\n", "imports rich, which only"),
    ("frameengine/golden.py", "import pytest\n", "imports pytest, which only"),
    ("frameengine/trace/verify.py", "import jsonschema\n", "imports jsonschema at module level"),
    ("frameengine/tools/sql.py", "from sqlglot import parse\n", "imports sqlglot at module level"),
    ("frameengine/tools/sql.py", "if True:\n    import sqlglot\n", "imports sqlglot at module level"),
    ("frameengine/engine/message.py", "import asyncio\n", "imports asyncio at module level"),
    ("cli/frameengine_cli/step.py", "import textual\n", "imports textual, which only"),
    ("cli/frameengine_cli/step.py", "from frameengine_cli.tui import screen\n", "imports frameengine_cli.tui at module level"),
    ("frameengine/performers/live.py", "from frameengine.performers import model_http\n", "model_http at module level"),
    ("frameengine/codec.py", "import ujson\n", "imports ujson, which the table LIBRARIES does not name"),
]
LIBRARY_FINE = [
    ("frameengine/codec.py", "import orjson\nimport sys\nfrom attrs import frozen\n"),
    ("frameengine/trace/verify.py", "def f():\n    import jsonschema\n"),
    ("frameengine/tools/sql.py", "if TYPE_CHECKING:\n    import sqlglot\n"),
    ("frameengine/performers/live.py", "import asyncio\n\ndef f():\n    from frameengine.performers import model_http\n"),
    ("cli/frameengine_cli/tui/screen.py", "from textual.app import App\nfrom frameengine_cli.tui import parts\n"),
]
SIZE_DEFECTS = [
    ("frameengine/codec.py", "x = 1\n" * 401, "codec.py:401: 401 lines, 400 at most"),
    ("frameengine/codec.py", "def f():\n" + "    x = 1\n" * 70, "codec.py:1: f has 71 lines, 70 at most"),
    ("cli/frameengine_cli/app.py", "class C:\n    async def g(self):\n" + "        x = 1\n" * 70, "app.py:2: g has 71 lines"),
    ("frameengine/codec.py", "\nx = '" + "y" * 126 + "'\n", "codec.py:2: 132 characters, 130 at most"),
]
SIZE_FINE = [
    ("frameengine/codec.py", "x = 1\n" * 400),
    ("frameengine/codec.py", "def f():\n" + "    x = 1\n" * 69),
    ("frameengine/codec.py", "x = '" + "y" * 124 + "'\n"),
]
BANNED_DEFECTS = [
    ("frameengine/codec.py", "import time\nx = time.time()\n", "codec.py:2: time.time is banned; ask ctx.now()"),
    ("frameengine/codec.py", "import time as t\nx = t.time_ns()\n", "time.time_ns is banned"),
    ("frameengine/codec.py", "from time import perf_counter as p\nx = p()\n", "codec.py:2: time.perf_counter is banned"),
    ("frameengine/codec.py", "import time\nclock = field(factory=time.time)\n", "time.time is banned"),
    ("frameengine/codec.py", "from datetime import datetime\nx = datetime.now()\n", "datetime.datetime.now is banned"),
    ("frameengine/codec.py", "import datetime as d\nx = d.datetime.now(d.UTC)\n", "datetime.datetime.now is banned"),
    ("frameengine/codec.py", "import datetime\nx = datetime.date.today()\n", "datetime.date.today is banned"),
    ("frameengine/codec.py", "import random\nx = random.choice([1])\n", "random.choice is banned; use ctx.random"),
    ("frameengine/codec.py", "from random import shuffle\n", "random.shuffle is banned"),
    ("frameengine/codec.py", "import random\nx = random.Random()\n", "random.Random() is banned"),
    ("frameengine/codec.py", "import secrets\nx = secrets.token_hex()\n", "secrets.token_hex is banned"),
    ("frameengine/codec.py", "from uuid import uuid4\nx = uuid4()\n", "uuid.uuid4 is banned; use ctx.next_id()"),
    ("frameengine/codec.py", "import os\nx = os.urandom(4)\n", "os.urandom is banned"),
    ("frameengine/codec.py", "import os\nx = os.environ['A']\n", "os.environ is banned"),
    ("frameengine/codec.py", "import os\nx = os.environ.get('A')\n", "os.environ is banned"),
    ("frameengine/codec.py", "import os.path\nx = os.getenv('A')\n", "os.getenv is banned"),
    ("frameengine/codec.py", "def f():\n    print('x')\n", "codec.py:2: print is banned; return the text"),
    ("frameengine/codec.py", "def f(x):\n    return id(x)\n", "id is banned"),
    ("frameengine/codec.py", "x = sorted(y, key=id)\n", "id is banned"),
    ("frameengine/codec.py", "def f():\n    import asyncio\n    asyncio.wait([])\n", "asyncio.wait is banned"),
    ("frameengine/codec.py", "from asyncio import as_completed\n", "asyncio.as_completed is banned"),
    ("frameengine/codec.py", "import os\nx = os.listdir('.')\n", "os.listdir is banned; wrap it in sorted()"),
    ("frameengine/codec.py", "for x in path.iterdir():\n    pass\n", "iterdir is banned"),
    ("frameengine/codec.py", "x = [p for p in path.glob('*')]\n", "glob is banned"),
    ("frameengine/codec.py", "import glob\nx = list(glob.glob('*'))\n", "glob.glob is banned"),
    ("frameengine/codec.py", "x = sorted(path.iterdir(), key=size)\n", "iterdir is banned"),
    ("frameengine/trace/store.py", "x = text.splitlines()\n", "store.py:1: splitlines is banned"),
]
SET_DEFECTS = [
    ("frameengine/codec.py", source, "set iteration is banned")
    for source in (
        "for x in {1, 2}:\n    pass\n",
        "y = list(set(x))\n",
        "y = ','.join({str(x) for x in z})\n",
        "y = {x: 1 for x in frozenset(z)}\n",
        "def f(x: set[str]):\n    return tuple(x)\n",
        "def f():\n    x = set(z)\n    y = x - {1}\n    for i in y:\n        pass\n",
        "for x in a.keys() - b.keys():\n    pass\n",
        "def f(x: frozenset[str]):\n    return x.union('a').pop()\n",
        "class C:\n    seen: set[str]\n    def f(self):\n        return [*self.seen]\n",
        "y = sorted({1, 2}, key=weight)\n",
        "y = [x for x in z for w in {1, 2}]\n",
    )
]
BANNED_FINE = [
    ("frameengine/performers/live.py", "import time\nx = time.time()\nprint(x)\n"),
    ("cli/frameengine_cli/app.py", "import os\nx = os.environ['A']\nprint(x)\n"),
    ("frameengine/codec.py", "import random\nx = random.Random(7)\ny: random.Random | None = None\n"),
    ("frameengine/codec.py", "from random import Random\nx = Random(7)\n"),
    ("frameengine/codec.py", "import os\nx = sorted(os.listdir('.'))\ny = sorted(p.name for p in path.iterdir())\n"),
    ("frameengine/codec.py", "import os\nx = {p for p in path.glob('*')}\ny = any(p.is_file() for p in path.rglob('*'))\n"),
    ("frameengine/codec.py", "NAMES = ['time.time', 'os.environ']\n"),
    ("frameengine/codec.py", "def f(id, print):\n    print(id)\n    return lambda: id\n"),
    ("frameengine/codec.py", "class C:\n    id: str\n    def f(self):\n        return self.id\n"),
    ("frameengine/codec.py", "class C:\n    def f(self):\n        return self.time.time() + self.random.choice([1])\n"),
    ("frameengine/codec.py", "x = {1, 2}\ny = sorted(x)\nz = len(x), 1 in x, x | {3}\nw = sorted(str(i) for i in x)\n"),
    ("frameengine/codec.py", "def f(x: set[str]):\n    return {y for y in x} | set(x)\n\ndef g(x: list):\n    return list(x)\n"),
    ("frameengine/diff/align.py", "x = text.splitlines()\n"),
]
DOCSTRING_DEFECTS = [
    ("frameengine/codec.py", "x = 1\n", "codec.py:1: the module has no docstring"),
    ("frameengine/codec.py", '"""M."""\n\ndef f():\n    pass\n', "codec.py:3: f has no docstring"),
    ("frameengine/codec.py", '"""M."""\nclass C:\n    pass\n', "C has no docstring"),
    ("cli/frameengine_cli/app.py", '"""M."""\nclass C:\n    """C."""\n    async def f(self): ...\n', "app.py:4: C.f has no"),
    ("frameengine/codec.py", '"""M."""\nif True:\n    def f():\n        pass\n', "f has no docstring"),
]
DOCSTRING_FINE = [
    ("frameengine/codec.py", '"""M."""\ndef _f():\n    pass\n\ndef g():\n    """G."""\n    def inner():\n        pass\n'),
    ("frameengine/codec.py", '"""M."""\n@overload\ndef f(x: int): ...\ndef f(x):\n    """F."""\n'),
]
TEST_DEFECTS = [
    ("tests/unit/test_x.py", "def test_a():\n    pass\n", "tests/unit/test_x.py:1: test_a does not say"),
    ("tests/test_x.py", "class TestX:\n    async def test_a(self):\n        pass\n", "test_x.py:2: test_a does not say"),
]
TEST_FINE = [("tests/test_x.py", 'def test_a():\n    """A holds."""\n\ndef helper():\n    pass\n')]
LEFTOVER_DEFECTS = [
    ("frameengine/codec.py", "x = 1  # TO" + "DO: later\n", "codec.py:1: "),
    ("tests/unit/test_x.py", "# FIX" + "ME\n", "tests/unit/test_x.py:1: "),
    ("cli/frameengine_cli/app.py", "break" + "point()\n", "leftover of debugging"),
    ("frameengine/codec.py", "x = '/tm" + "p/here'\n", "path of one machine"),
    ("cli/frameengine_cli/app.py", '"""Reads /wo' + 'rk/main."""\n', "path of one machine"),
]
LEFTOVER_FINE = [
    ("frameengine/codec.py", "x = 'mastodon'  # breakpoints(), autodoc, photodo\ny = '/history/home/0'\n"),
    ("tests/test_x.py", "x = '/tm" + "p/here'\n"),
]

DEFECTS = [
    *[(tidy_layers, *defect) for defect in LAYER_DEFECTS],
    *[(tidy_libraries, *defect) for defect in LIBRARY_DEFECTS],
    *[(tidy_sizes, *defect) for defect in SIZE_DEFECTS],
    *[(tidy_banned, *defect) for defect in BANNED_DEFECTS + SET_DEFECTS],
    *[(check_docstrings, *defect) for defect in DOCSTRING_DEFECTS],
    *[(check_test_docstrings, *defect) for defect in TEST_DEFECTS],
    *[(check_leftovers, *defect) for defect in LEFTOVER_DEFECTS],
]
FINE = [
    *[(tidy_layers, *fine) for fine in LAYER_FINE],
    *[(tidy_libraries, *fine) for fine in LIBRARY_FINE],
    *[(tidy_sizes, *fine) for fine in SIZE_FINE],
    *[(tidy_banned, *fine) for fine in BANNED_FINE],
    *[(check_docstrings, *fine) for fine in DOCSTRING_FINE],
    *[(check_test_docstrings, *fine) for fine in TEST_FINE],
    *[(check_leftovers, *fine) for fine in LEFTOVER_FINE],
]


def numbered(cases: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Give each case the name of its rule and a number."""
    return [pytest.param(*case, id=f"{case[0].__name__}-{number}") for number, case in enumerate(cases)]


@pytest.mark.parametrize(("rule", "path", "source", "expected"), numbered(DEFECTS))
def test_a_planted_defect_is_found(
    tmp_path: Path, rule: Callable[[Path], list[str]], path: str, source: str, expected: str
) -> None:
    """Each rule reports a defect planted in a small tree, at its place and in its words."""
    problems = rule(plant(tmp_path, path, source))
    assert any(expected in problem for problem in problems), problems


@pytest.mark.parametrize(("rule", "path", "source"), numbered(FINE))
def test_what_is_allowed_is_left_alone(tmp_path: Path, rule: Callable[[Path], list[str]], path: str, source: str) -> None:
    """What comes close to a defect, and is none, is not reported."""
    assert rule(plant(tmp_path, path, source)) == []


def test_an_exemption_must_still_exempt_something(tmp_path: Path) -> None:
    """An exemption silences its module and name only, and is reported once nothing needs it any more."""
    root = plant(tmp_path, "frameengine/codec.py", "import time\nx = time.time()\n")
    exempt = {("frameengine.codec", "time.time"): "planted"}
    assert check_banned(root, exempt, outside=OUTSIDE) == []
    plant(tmp_path, "frameengine/codec.py", "print('x')\n")
    problems = check_banned(root, exempt, outside=OUTSIDE)
    assert len(problems) == 2
    assert "print is banned" in problems[0]
    assert "exempts nothing" in problems[1]


def test_every_layer_names_modules_once() -> None:
    """No module stands in two layers, or the lower one would be the one that counts."""
    members = [member for layer in LAYERS for member in layer]
    assert len(members) == len(set(members))
