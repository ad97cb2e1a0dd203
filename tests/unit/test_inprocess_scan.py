"""What makes an agent irreproducible, by file and line, from its text."""

from __future__ import annotations

from pathlib import Path

import pytest

from frameengine.errors import UsageError
from frameengine.inprocess import irreproducible

AGENT = """\
import os, random, subprocess, time
import httpx, requests, aiohttp
from datetime import datetime as moment
from uuid import uuid4
import helper

random.seed(7)
rng = random.Random()
steady = random.Random(7)

def prompt():
    words = {"a", "b"}
    now = moment.now()
    return f"{now} {uuid4()} {random.random()} {' '.join(words)}"

def ask(url):
    time.sleep(1)
    files = sorted(os.listdir("."))
    subprocess.run(["ls"])
    requests.post(url)
    aiohttp.ClientSession()
    print(open("x").read(), os.environ["HOME"])
    return httpx.post(url, json=prompt())
"""
HELPER = "import time\n\ndef stamp():\n    return time.time()\n"


def test_places_are_named_by_file_and_line(tmp_path: Path) -> None:
    """Clock, chance, ids, order, other clients and child processes are found, in modules beside the file too; nothing else is."""
    (tmp_path / "agent.py").write_text(AGENT, encoding="utf-8")
    (tmp_path / "helper.py").write_text(HELPER, encoding="utf-8")
    (tmp_path / "other.py").write_text("import time\ntime.time()\n", encoding="utf-8")
    found = irreproducible(tmp_path / "agent.py")
    places = {(Path(item.file).name, item.line, item.what) for item in found}
    assert places == {
        ("agent.py", 8, "random.Random"),
        ("agent.py", 13, "datetime.datetime.now"),
        ("agent.py", 14, "uuid.uuid4"),
        ("agent.py", 14, "random.random"),
        ("agent.py", 14, "iteration over a set"),
        ("agent.py", 19, "subprocess.run"),
        ("agent.py", 20, "requests.post"),
        ("agent.py", 21, "aiohttp.ClientSession"),
        ("helper.py", 4, "time.time"),
    }
    assert all(item.instead for item in found)
    instead = {item.what: item.instead for item in found}
    assert instead["time.time"] == 'control=("clock",)'
    assert instead["uuid.uuid4"] == 'control=("uuid",)'
    assert instead["random.random"] == 'control=("random",)'


def test_a_folder_is_read_whole(tmp_path: Path) -> None:
    """Of a folder every file is read."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "deep.py").write_text("import uuid\nuuid.uuid4()\n", encoding="utf-8")
    assert [(Path(item.file).name, item.line) for item in irreproducible(tmp_path)] == [("deep.py", 2)]


def test_modules_of_a_package_are_read_however_they_are_imported(tmp_path: Path) -> None:
    """Relative imports, imports from the package's own folder up, and the packages around a module are all followed."""
    texts = {
        "agent/__init__.py": "import os\nKEY = os.urandom(8)\n",
        "agent/main.py": "import agent.deep.two\nfrom agent import one\nimport nowhere\n",
        "agent/one.py": "import time\ntime.time()\n",
        "agent/deep/__init__.py": "import uuid\nuuid.uuid4()\n",
        "agent/deep/two.py": "from . import three\nfrom ..four import x\n",
        "agent/deep/three.py": "import random\nrandom.random()\n",
        "agent/four.py": "import secrets\nx = secrets.token_hex\n",
        "agent/unused.py": "import time\ntime.time()\n",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = {
        (Path(item.file).relative_to(tmp_path).as_posix(), item.what) for item in irreproducible(tmp_path / "agent" / "main.py")
    }
    assert found == {
        ("agent/__init__.py", "os.urandom"),
        ("agent/one.py", "time.time"),
        ("agent/deep/__init__.py", "uuid.uuid4"),
        ("agent/deep/three.py", "random.random"),
        ("agent/four.py", "secrets.token_hex"),
    }


def test_installed_packages_in_a_folder_are_not_the_agents_own(tmp_path: Path) -> None:
    """The environment that stands in a project is left out, as it is where draws are recorded."""
    installed = tmp_path / ".venv" / "lib" / "site-packages" / "somebody"
    installed.mkdir(parents=True)
    (installed / "library.py").write_text("import time\ntime.time()\n", encoding="utf-8")
    (tmp_path / "agent.py").write_text("import time\ntime.time()\n", encoding="utf-8")
    assert [Path(item.file).name for item in irreproducible(tmp_path)] == ["agent.py"]


KEPT = """\
import time, uuid, random
from dataclasses import dataclass, field

now = time.time

@dataclass
class Prompt:
    key: str = field(default_factory=uuid.uuid4)
    at: float = field(default_factory=lambda: time.time())

WAYS = {"any": random.choice}

def late(clock=time.monotonic):
    return clock(), now(), uuid.uuid1()
"""


def test_what_no_control_gets_at_is_told_so(tmp_path: Path) -> None:
    """A function that a class, a container or a default keeps is out of a control's reach: it has to be called by one's own."""
    file = tmp_path / "agent.py"
    file.write_text(KEPT, encoding="utf-8")
    told = {(item.line, item.what): "function of your own" in item.instead for item in irreproducible(file)}
    assert told == {
        (4, "time.time"): False,
        (8, "uuid.uuid4"): True,
        (9, "time.time"): False,
        (11, "random.choice"): True,
        (13, "time.monotonic"): True,
        (14, "time.time"): False,
        (14, "uuid.uuid1"): False,
    }


def test_a_control_is_named_only_where_it_helps(tmp_path: Path) -> None:
    """What the controls do not stand in for has another way out, and what needs none has none."""
    file = tmp_path / "agent.py"
    lines = ["time.clock_gettime(0)", "time.tzname", "uuid.getnode()", "random.getstate()", "secrets.SystemRandom()"]
    file.write_text("\n".join(["import random, secrets, time, uuid", *lines]), encoding="utf-8")
    assert [(item.what, item.instead) for item in irreproducible(file)] == [
        ("time.clock_gettime", 'control=("clock",)'),
        ("time.tzname", "a time zone that is named"),
        ("uuid.getnode", 'uuid.uuid4, with control=("uuid",)'),
        ("secrets.SystemRandom", 'secrets, with control=("random",)'),
    ]


def test_an_agent_without_any_is_clean(tmp_path: Path) -> None:
    """An agent that draws nothing has no findings."""
    file = tmp_path / "agent.py"
    file.write_text(
        "import httpx\n\ndef ask(url):\n    return httpx.post(url, json={'a': sorted({1, 2})}).json()\n", encoding="utf-8"
    )
    assert irreproducible(file) == []


@pytest.mark.parametrize("text", ["def f(:\n", "x = '\0'\n"])
def test_what_is_no_python_is_refused(tmp_path: Path, text: str) -> None:
    """A file that cannot be read as Python, or is not there, is the caller's mistake."""
    file = tmp_path / "agent.py"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"agent\.py"):
        irreproducible(file)
    with pytest.raises(UsageError):
        irreproducible(tmp_path / "absent.py")
