"""``frameengine bisect``, and ``frameengine replay --bisect`` under a real ``git bisect run``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli_runs import JACKET, Frameengine, Record

GRAPH = (Path(__file__).parents[2] / "frameengine" / "graph" / "definitions" / "tool-loop.toml").read_text(encoding="utf-8")
BAD = GRAPH.replace("when = '\"tools\" not in nodes'", "when = '\"tools\" in nodes'")
BROKEN = GRAPH.replace('"chat_output"', '"gone:Output"')


def history(folder: Path, *texts: str) -> Path:
    """Write graph files, the oldest first."""
    folder.mkdir()
    for number, text in enumerate(texts, start=1):
        (folder / f"v{number}.toml").write_text(text, encoding="utf-8")
    return folder


def test_the_first_bad_version_and_its_divergence(frameengine: Frameengine, record: Record, tmp_path: Path) -> None:
    """Exit 4; the version is named, those that cannot be tested are listed with the reason, and the difference is shown."""
    path = record("jacket", JACKET)
    folder = history(tmp_path / "graphs", GRAPH, GRAPH, BROKEN, BAD, BAD)
    done = frameengine("bisect", path, "--graphs", folder)
    assert done.code == 4
    assert "the first to diverge is" in done.out
    assert "or one that cannot be tested before it" in done.out
    assert "gone cannot be imported" in done.out
    assert "✗ diverged at input 1" in done.out
    assert "changed    graph" in done.out
    found = frameengine("bisect", path, "--graphs", folder, "--json")
    assert (found.code, found.json["ok"], found.json["verdict"]) == (4, False, "found")
    assert [Path(found.json[name]).stem for name in ("last_good", "first_bad")] == ["v2", "v4"]
    assert [Path(name).stem for name in found.json["between"]] == ["v3"]
    assert found.json["divergence"]["cause"] == "graph"


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        ((GRAPH, GRAPH, GRAPH), (0, "every version was tested")),
        ((GRAPH,), (0, "no version that can be tested diverges")),
        ((BAD, BAD), (4, "the oldest version diverges already")),
        ((BROKEN, BROKEN), (5, "none of 2 versions can be tested")),
    ],
)
def test_where_there_is_nothing_to_find(
    frameengine: Frameengine, record: Record, tmp_path: Path, texts: tuple[str, ...], told: tuple[int, str]
) -> None:
    """Only good, only bad or no testable versions are told as what they are."""
    done = frameengine("bisect", record("jacket", JACKET), "--graphs", history(tmp_path / "graphs", *texts))
    assert done.code == told[0]
    assert told[1] in " ".join((done.out + done.err).split())


def test_all_versions_can_be_tested(frameengine: Frameengine, record: Record, tmp_path: Path) -> None:
    """Between two good ends a version that diverges is found, with --all and without, and that later ones replay is told."""
    path = record("jacket", JACKET)
    folder = history(tmp_path / "graphs", GRAPH, BAD, GRAPH)
    for more in ((), ("--all",)):
        done = frameengine("bisect", path, "--graphs", folder, *more)
        assert done.code == 4
        assert "the first to diverge is v2.toml" in done.out
        told = " ".join(done.out.split())
        assert "oldest and newest replay, which says nothing of those between: every version was tested" in told
        assert "v3.toml replays again after a version that diverges" in told


def test_what_cannot_be_searched(frameengine: Frameengine, record: Record, tmp_path: Path) -> None:
    """No such folder is exit 2, an unsealed trace exit 3: neither is a version's fault."""
    path = record("jacket", JACKET)
    assert frameengine("bisect", path, "--graphs", tmp_path / "nowhere").code == 2
    folder = history(tmp_path / "graphs", GRAPH, BAD)
    assert frameengine("bisect", record("cut", JACKET, seal=False), "--graphs", folder).code == 3


# ---------------------------------------------------------------------- git

NODE = '''"""An agent of one node."""

from frameengine.effects import ModelCall
from frameengine.node import NodeContext, NodeResult

PROMPT = "Answer in one word."


class Answer:
    """Ask the model and say what it said."""

    async def run(self, message, ctx: NodeContext) -> NodeResult:
        asked = [{"role": "system", "content": PROMPT}, {"role": "user", "content": message.text}]
        reply = await ctx.perform(ModelCall(model="m", messages=asked))
        ctx.say(reply.text)
        return NodeResult()
'''
AGENT = """
name = "agent"
version = 1
[entry]
UserMessage = "answer"
[[nodes]]
name = "answer"
implementation = "agent:Answer"
[state]
history = []
"""
VERSIONS = [
    NODE,
    NODE.replace("An agent of one node.", "One node."),
    NODE.replace("from frameengine.node", "from frameengine.nod"),
    NODE.replace("reply = await", "said = await").replace("reply.text", "said.text"),
    NODE.replace("one word", "two words"),
    NODE.replace("one word", "two words").replace("message.text", "str(message.text)"),
    "def broken(:\n",
    NODE.replace("one word", "two words"),
]
"""A module's history: the fifth is the first that asks something else; two of them cannot be imported."""
FIRST_BAD = 5


class Repository:
    """A git repository with the history of an agent, and a shell in it."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PYTHON", "FRAMEENGINE_"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        who = {f"GIT_{role}_{part}": "tests@example.org" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
        own = {"PATH": path, "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", "PYTHONPATH": ".", "PYTHONDONTWRITEBYTECODE": "1"}
        self.environment = {**kept, **who, **own}
        folder.mkdir()
        self.run("git", "init", "-q", "-b", "main")
        for number, source in enumerate(VERSIONS, start=1):
            (folder / "agent.py").write_text(source, encoding="utf-8")
            (folder / "agent.toml").write_text(AGENT, encoding="utf-8")
            (folder / "count").write_text(str(number), encoding="utf-8")
            self.run("git", "add", ".")
            self.run("git", "commit", "-q", "-m", f"version {number}")

    def run(self, *command: str) -> str:
        """Run a command in the repository and return what it printed; it must succeed."""
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def status(self, *command: str) -> int:
        """Run a command in the repository and return its exit code."""
        return subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, check=False).returncode


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> tuple[Repository, Path]:
    """Return the repository, and a trace of its first version that stands outside of it."""
    folder = tmp_path_factory.mktemp("work")
    made, trace = Repository(folder / "repository", folder), folder / "agent.trace.jsonl"
    made.run("git", "checkout", "-q", f"main~{len(VERSIONS) - 1}")
    made.run("frameengine", "run", "--graph", "agent.toml", "-m", "hello", "--reply", "hi", "-o", str(trace))
    made.run("git", "checkout", "-q", "main")
    return made, trace


SHELL = 'python -c "import agent" || exit 125; exec frameengine replay {trace} --graph agent.toml --bisect'
"""For revisions in which the command itself may not come up: what cannot be imported is no bad revision."""


@pytest.mark.parametrize("form", ["command", "shell"])
def test_git_finds_the_first_bad_revision(repository: tuple[Repository, Path], form: str) -> None:
    """`git bisect run` with the command, or a shell that tries the import first, ends at the revision that asks otherwise."""
    made, trace = repository
    command = ["frameengine", "replay", str(trace), "--graph", "agent.toml", "--bisect"]
    if form == "shell":
        command = ["sh", "-c", SHELL.format(trace=trace)]
    made.run("git", "bisect", "start", "main", f"main~{len(VERSIONS) - 1}")
    try:
        told = made.run("git", "bisect", "run", *command)
    finally:
        made.run("git", "bisect", "reset")
    assert "is the first bad commit" in told
    assert f"version {FIRST_BAD}\n" in told


def test_exit_codes_for_git(repository: tuple[Repository, Path], tmp_path: Path) -> None:
    """0 same, 1 diverged, 125 for code that cannot be imported, a trace that is not there, and a graph that is none."""
    made, trace = repository
    codes = {}
    for number in (1, 3, 5, 7):
        made.run("git", "checkout", "-q", f"main~{len(VERSIONS) - number}")
        codes[number] = made.status("frameengine", "replay", str(trace), "--graph", "agent.toml", "--bisect")
    made.run("git", "checkout", "-q", "main")
    assert codes == {1: 0, 3: 125, 5: 1, 7: 125}
    assert made.status("frameengine", "replay", str(tmp_path / "gone"), "--graph", "agent.toml", "--bisect") == 125
    assert made.status("frameengine", "replay", str(trace), "--graph", "gone.toml", "--bisect") == 125
