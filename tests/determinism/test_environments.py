"""One run is one run: in every environment, in every process, and with nothing to reach out to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import field, frozen

from billing_database import build_billing
from frameengine.trace.verify import verify
from toy import random_run

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CHILD = HERE / "child.py"
SEEDS, SEEDS_NIGHTLY = 60, 1_000
FAN = 1_000
PROCESSES = 5


@frozen(kw_only=True)
class Row:
    """One environment."""

    hashes: str
    """PYTHONHASHSEED."""
    zone: str
    """TZ."""
    locale: str
    """LC_ALL."""
    flags: Sequence[str] = ()
    """Flags of the interpreter."""
    more: Mapping[str, str] = field(factory=dict)
    """More of the environment."""
    folder: str = "."
    """Where the process starts, below a folder of its own."""


ROWS = [
    Row(hashes="0", zone="UTC", locale="C"),
    Row(hashes="1", zone="Asia/Kathmandu", locale="C.UTF-8", flags=["-O"], folder="with space and ü"),
    Row(hashes="42", zone="America/St_Johns", locale="C", flags=["-X", "dev"], more={"TOY_UMASK": "077"}),
    Row(hashes="random", zone="Pacific/Apia", locale="C", more={"TOY_GC": "25", "PYTHONUTF8": "0", "TOY_UMASK": "000"}),
    Row(hashes="random", zone="UTC", locale="C.UTF-8", more={"TOY_GC": "0", "HOME": "/nowhere", "COLUMNS": "20"}),
    Row(
        hashes="random",
        zone="Asia/Kathmandu",
        locale="tr_TR.UTF-8",
        flags=["-OO"],
        more={"TOY_RECURSION": "300", "PYTHONUTF8": "1"},
    ),
]


def environment(**more: str) -> dict[str, str]:
    """Return an environment with nothing in it but what the child needs: no keys, no proxies."""
    return {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")]),
        "PATH": os.environ.get("PATH", ""),
        **more,
    }


def start(
    arguments: Sequence[str], *, before: Sequence[str] = (), flags: Sequence[str] = (), env: Mapping[str, str], cwd: Path
) -> Any:
    """Start a child."""
    command = [*before, sys.executable, *flags, str(CHILD), *arguments]
    return subprocess.Popen(command, env=dict(env), cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(child: Any) -> dict[str, Any]:
    """Return what a child printed; fail with what it complained of."""
    printed, complaints = child.communicate()
    assert child.returncode == 0, complaints
    result: dict[str, Any] = json.loads(printed)
    return result


@pytest.fixture(scope="session")
def turkish(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what makes the Turkish locale available, whose capital i is another letter; nothing where it cannot be built."""
    folder = tmp_path_factory.mktemp("locale")
    tool = shutil.which("localedef")
    if tool is None:
        return {}
    built = subprocess.run([tool, "-i", "tr_TR", "-f", "UTF-8", folder / "tr_TR.UTF-8"], capture_output=True, check=False)
    return {"LOCPATH": str(folder)} if built.returncode == 0 else {}


def run_rows(tmp_path: Path, turkish: Mapping[str, str], *arguments: str, what: str = "runs") -> list[dict[str, Any]]:
    """Run all rows beside one another and return what they found."""
    children = []
    for number, row in enumerate(ROWS):
        cwd = tmp_path / str(number) / row.folder
        cwd.mkdir(parents=True)
        name = row.locale if turkish or not row.locale.startswith("tr") else "C"
        env = environment(
            PYTHONHASHSEED=row.hashes, TZ=row.zone, LC_ALL=name, **row.more, **(turkish if name.startswith("tr") else {})
        )
        children.append(start([what, str(cwd), *arguments], flags=row.flags, env=env, cwd=cwd))
    return [finished(child) for child in children]


def check_rows(tmp_path: Path, turkish: Mapping[str, str], seeds: int) -> None:
    """Check that every row found the same, seed by seed, and that the rows were not all one environment."""
    found = run_rows(tmp_path, turkish, "0", str(seeds))
    for seed in range(seeds):
        values = [json.dumps(row["found"][str(seed)]) for row in found]
        assert values == [values[0]] * len(ROWS), f"seed {seed}"
    assert len({values[0] for values in found[0]["found"].values()}) == seeds
    settings = [row["setting"] for row in found]
    assert len({setting["hash"] for setting in settings}) == len(ROWS)
    assert len({tuple(setting["zone"]) for setting in settings}) == 4
    assert [setting["optimised"] for setting in settings] == [False, True, False, False, False, True]
    assert settings[1]["folder"].endswith("with space and ü")
    assert settings[2]["dev"]
    assert [settings[2]["umask"], settings[3]["umask"]] == [0o77, 0]
    assert [settings[3]["gc"], settings[4]["gc"][0], settings[5]["recursion"]] == [[True, 25], False, 300]
    if turkish:
        assert settings[5]["locale"].startswith("tr_TR")


def test_a_run_is_the_same_in_every_environment(tmp_path: Path, turkish: dict[str, str]) -> None:
    """N05, N21: random runs have one canonical digest, recording and replay, byte for byte, over all rows of environments."""
    check_rows(tmp_path, turkish, SEEDS)


def test_one_conversation_is_the_same_on_each_graph_in_every_environment(tmp_path: Path, turkish: dict[str, str]) -> None:
    """The ten inputs on the four cog graphs, with real queries: one canonical digest each over all rows, that of the golden."""
    scenarios = sorted((ROOT / "fixtures" / "scenarios").glob("conversation-*.toml"))
    assert len(scenarios) == 4
    found = run_rows(tmp_path, turkish, str(build_billing(tmp_path)), *map(str, scenarios), what="talks")
    goldens = {file.stem: verify(ROOT / "traces" / f"{file.stem}.trace.jsonl").canonical for file in scenarios}
    assert [row["found"] for row in found] == [goldens] * len(ROWS)


@pytest.mark.nightly
def test_many_runs_are_the_same_in_every_environment(tmp_path: Path, turkish: dict[str, str]) -> None:
    """The same for a thousand seeds: no false alarm among them."""
    check_rows(tmp_path, turkish, SEEDS_NIGHTLY)


def test_a_planted_dependence_on_hashes_is_noticed(tmp_path: Path, turkish: dict[str, str]) -> None:
    """A node that takes an order from a set has several digests over the rows: the comparison above can fail (N05)."""
    found = run_rows(tmp_path, turkish, "0", "1", "hashed")
    assert len({row["found"]["0"][0] for row in found}) > 1


def fans(tmp_path: Path, *planted: str) -> list[str]:
    """Run one node with many effects in fresh processes, two at a time."""
    found = []
    for first in range(0, PROCESSES, 2):
        children = []
        for number in range(first, min(first + 2, PROCESSES)):
            cwd = tmp_path / str(number)
            cwd.mkdir()
            children.append(start(["fan", str(cwd), str(FAN), *planted], env=environment(), cwd=cwd))
        found += [json.dumps(finished(child)["found"]["fan"]) for child in children]
    return found


def test_a_wide_fan_is_the_same_in_every_process(tmp_path: Path) -> None:
    """A thousand effects at once, answered in an order that is chance: one canonical digest, one replay."""
    assert len(set(fans(tmp_path))) == 1


def test_a_planted_dependence_on_a_set_of_arrivals_is_noticed(tmp_path: Path) -> None:
    """The same fan with a set in the node has another digest in another process."""
    assert len(set(fans(tmp_path, "hashed"))) > 1


# ---------------------------------------------------------------------- purity


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Return a trace with models, tools, ticks and failures."""
    path = tmp_path / "t.trace.jsonl"
    random_run(path, 1)
    return path


def check_pure(found: Mapping[str, Any], output: Path) -> None:
    """Check that a replay was the same and touched nothing but its output."""
    assert (found["verdict"], found["calls"] > 10) == ("same", True)
    assert found["touched"] == [f"writes {output}"]
    assert output.stat().st_size > 1_000


def test_replay_touches_nothing_but_its_output(recorded: Path, tmp_path: Path) -> None:
    """N01: no socket, no process, no other file for writing is opened, and clock and chance, which would raise, are not asked."""
    output = tmp_path / "o.trace.jsonl"
    child = start(["pure", str(recorded), str(output)], env=environment(HOME=""), cwd=tmp_path)
    check_pure(finished(child)["found"], output)


def test_an_observer_that_reaches_out_is_noticed(recorded: Path, tmp_path: Path) -> None:
    """A planted file, socket and look at the clock during replay are each seen: the checks above can fail."""
    output = tmp_path / "o.trace.jsonl"
    found = finished(start(["pure", str(recorded), str(output), "hashed"], env=environment(), cwd=tmp_path))["found"]
    assert f"writes {output.with_suffix('.planted')}" in found["touched"]
    assert "socket.__new__" in found["touched"]
    assert found["dropped"] == ["the clock or chance was touched"]


def test_replay_works_without_a_network(recorded: Path, tmp_path: Path) -> None:
    """In a network namespace of its own, where there is nothing to reach, replay is the same."""
    tool = shutil.which("unshare")
    if tool is None or subprocess.run([tool, "-rn", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no network namespace (unshare -rn)")
    output = tmp_path / "o.trace.jsonl"
    child = start(["pure", str(recorded), str(output)], before=[tool, "-rn"], env=environment(), cwd=tmp_path)
    found = finished(child)["found"]
    check_pure(found, output)
    assert found["networks"] == ["lo"]
