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
