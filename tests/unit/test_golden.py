"""Goldens and their index: what is missing, unused, changed, reordered or pending is found, and named."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameengine.errors import TraceFormat, UsageError
from frameengine.golden import (
    INDEX,
    digest_of,
    divergence_path,
    files,
    golden_path,
    goldens,
    indexes_above,
    is_pending,
    is_trace,
    must_diverge,
    pending_path,
    read_index,
    unsettled,
    write_index,
)

NAMES = st.text(st.characters(exclude_characters="/\0\n\\", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of three files that are listed; what stands in them does not matter to an index."""
    place = tmp_path / "goldens"
    (place / "sub").mkdir(parents=True)
    for name in ("a", "b", "sub/c"):
        (place / f"{name}.trace.jsonl").write_text(name, encoding="utf-8")
    write_index(place, {name: digest_of(path) for name, path in goldens(place).items()})
    return place


@given(name=NAMES, suffix=st.sampled_from([".trace.jsonl", ".value.json"]))
def test_a_pending_golden_is_never_taken_for_a_golden(name: str, suffix: str) -> None:
    """Whatever a golden is called, its pending one stands beside it, leads back to it, and ends as no golden does."""
    golden = Path("folder") / f"{name}{suffix}"
    pending = pending_path(golden)
    assert (pending.parent, golden_path(pending)) == (golden.parent, golden)
    assert is_pending(pending)
    assert not is_pending(golden)
    assert not is_trace(pending)
    assert not pending.name.endswith((".trace.jsonl", ".value.json"))


@pytest.mark.parametrize("name", ["notes.jsonl", "a.trace.jsonl.zst", ".trace.jsonl", "a.trace.pending.jsonl"])
def test_what_is_no_golden_has_no_pending_one(name: str) -> None:
    """A name that is no golden's is refused, with a hint."""
    with pytest.raises(UsageError) as caught:
        pending_path(Path(name))
    assert caught.value.hint


def test_a_golden_is_not_pending() -> None:
    """A golden is no pending one, so there is nothing whose place it could take."""
    with pytest.raises(UsageError, match="no pending golden"):
        golden_path(Path("a.trace.jsonl"))


def test_goldens_that_must_diverge_stand_in_a_folder_of_that_name() -> None:
    """The folder that a golden stands in decides, and none above it."""
    assert must_diverge(Path("traces/diverging/a.trace.jsonl"))
    assert not must_diverge(Path("diverging/traces/a.trace.jsonl"))


def test_where_a_golden_must_diverge_stands_beside_it() -> None:
    """The file is named after the golden, compressed or not."""
    wanted = Path("diverging/a.divergence.txt")
    assert [divergence_path(Path("diverging") / name) for name in ("a.trace.jsonl", "a.trace.jsonl.zst")] == [wanted, wanted]


def test_hidden_files_and_virtual_environments_are_passed_over(tmp_path: Path) -> None:
    """Files are listed by name, those of hidden folders, virtual environments and linked folders left out."""
    for name in ("b", "a", ".git/a", "env/a", "sub/a"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    (tmp_path / "link").symlink_to(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in files(tmp_path)] == ["a", "b", "sub/a"]


def test_an_index_is_what_sha256sum_writes(folder: Path) -> None:
    """The usual program proves a folder by its index."""
    done = subprocess.run(["sha256sum", "--check", "--strict", INDEX], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "a.trace.jsonl: OK\nb.trace.jsonl: OK\nsub/c.trace.jsonl: OK\n")


def test_a_folder_as_it_was_approved_has_nothing_unsettled(folder: Path) -> None:
    """Nothing is found where nothing is wrong; what is no golden does not matter."""
    (folder / "README.md").write_text("about")
    assert unsettled(folder) == []
    assert indexes_above(folder / "sub") == [folder]


def _swap(folder: Path) -> None:
    one, other = folder / "a.trace.jsonl", folder / "b.trace.jsonl"
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)


DEFECTS: dict[str, tuple[Callable[[Path], object], list[tuple[str, str]]]] = {
    "gone": (lambda folder: (folder / "a.trace.jsonl").unlink(), [("missing", "a.trace.jsonl")]),
    "gone below": (lambda folder: (folder / "sub" / "c.trace.jsonl").unlink(), [("missing", "sub/c.trace.jsonl")]),
    "new": (lambda folder: (folder / "d.trace.jsonl").write_text("d"), [("unused", "d.trace.jsonl")]),
    "a copy": (lambda folder: (folder / "d.trace.jsonl").write_text("a"), [("unused", "d.trace.jsonl")]),
    "compressed": (lambda folder: (folder / "d.trace.jsonl.zst").write_text("d"), [("unused", "d.trace.jsonl.zst")]),
    "made anew": (lambda folder: (folder / "a.trace.jsonl").write_text("x"), [("changed", "a.trace.jsonl")]),
    "swapped": (_swap, [("reordered", "a.trace.jsonl"), ("reordered", "b.trace.jsonl")]),
    "renamed": (
        lambda folder: (folder / "a.trace.jsonl").rename(folder / "d.trace.jsonl"),
        [("missing", "a.trace.jsonl"), ("reordered", "d.trace.jsonl")],
    ),
    "pending": (lambda folder: (folder / "a.trace.pending.jsonl").write_text("x"), [("pending", "a.trace.pending.jsonl")]),
    "no index": (lambda folder: (folder / INDEX).unlink(), [("no index", ".")]),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_defect_of_a_folder_is_found_and_no_other(folder: Path, defect: str) -> None:
    """What is wrong is named by its kind and its file, in words that name it too, with a way out."""
    plant, expected = DEFECTS[defect]
    plant(folder)
    found = unsettled(folder)
    assert [(one.kind, one.path.relative_to(folder).as_posix()) for one in found] == expected
    assert all(str(one.path) in one.what and one.hint for one in found)
    assert len({one.what for one in found}) == len(found)


def test_an_empty_folder_proves_nothing(tmp_path: Path) -> None:
    """A folder without goldens is a finding, with an index that lists none and without one."""
    assert [one.kind for one in unsettled(tmp_path)] == ["empty"]
    write_index(tmp_path, {})
    assert [one.kind for one in unsettled(tmp_path)] == ["empty"]


LINE = f"{'0' * 64}  "
BROKEN = {
    "no digest": "a.trace.jsonl\n",
    "one space": f"{'0' * 64} a.trace.jsonl\n",
    "out of order": f"{LINE}b\n{LINE}a\n",
    "twice": f"{LINE}a\n{LINE}a\n",
    "above": f"{LINE}../a\n",
    "absolute": f"{LINE}/a\n",
    "here": f"{LINE}./a\n",
    "empty line": f"{LINE}a\n\n{LINE}b\n",
    "a backslash": f"{LINE}a\\b\n",
    "line ends of another system": f"{LINE}a\r\n",
}


@pytest.mark.parametrize("broken", BROKEN)
def test_an_index_that_somebody_edited_is_refused(tmp_path: Path, broken: str) -> None:
    """A line that is none, an entry twice, another order, and a name outside of the folder are refused with their line."""
    (tmp_path / INDEX).write_text(BROKEN[broken], encoding="utf-8")
    with pytest.raises(TraceFormat, match=r"goldens\.sha256: line \d") as caught:
        read_index(tmp_path)
    assert "snapshot index" in caught.value.hint


def test_a_name_that_an_index_cannot_hold_is_refused(tmp_path: Path) -> None:
    """A golden whose name has a line feed is not listed under another name."""
    with pytest.raises(UsageError, match="cannot stand in an index"):
        write_index(tmp_path, {"a\nb.trace.jsonl": "0" * 64})
    assert list(tmp_path.iterdir()) == []


@given(
    listed=st.dictionaries(
        NAMES.filter(lambda name: name not in {".", ".."}), st.text("0123456789abcdef", min_size=64, max_size=64)
    )
)
def test_what_is_written_is_read(listed: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every index that can be written is read again as it was."""
    folder = tmp_path_factory.mktemp("index")
    write_index(folder, listed)
    assert read_index(folder) == dict(sorted(listed.items()))
