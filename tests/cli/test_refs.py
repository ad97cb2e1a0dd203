"""Run references: which run a name means, and that no name means a run by chance."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cli_runs import JACKET, WEATHER, Frameengine, Record
from frameengine.errors import UnknownRef
from frameengine_cli.refs import Place, find, run_id, split_place


@pytest.fixture
def three(record: Record) -> list[Path]:
    """Return three runs, the oldest first; two names begin alike."""
    made = [record("alpha", JACKET), record("beta-one", WEATHER), record("beta-two", ("hello", ["hi"]))]
    for age, path in enumerate(made):
        os.utime(path, (1_000_000 + age, 1_000_000 + age))
    return made


@pytest.mark.parametrize(
    ("ref", "index"), [("latest", 2), ("latest~1", 1), ("latest~2", 0), ("al", 0), ("alpha", 0), ("beta-o", 1)]
)
def test_names_find_their_run(three: list[Path], ref: str, index: int) -> None:
    """``latest``, ``latest~N`` and the start of a name find the run in the folder."""
    assert find(ref, three[0].parent) == three[index]


def test_a_file_beside_the_folder_of_traces_is_offered(
    three: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name is looked up in the folder; a trace right here that begins so is what the hint names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fixed one.trace.jsonl").write_bytes(three[0].read_bytes())
    with pytest.raises(UnknownRef, match="no run 'fixed'") as caught:
        find("fixed", three[0].parent)
    assert caught.value.hint.startswith("did you mean the file 'fixed one.trace.jsonl'?")
    with pytest.raises(UnknownRef) as other:
        find("gone", three[0].parent)
    assert "did you mean" not in other.value.hint


def test_ids_find_their_run(three: list[Path]) -> None:
    """Four digits or more of the id in a run's seal find it."""
    for path in three:
        found = run_id(path)
        assert found is not None
        assert len(found) == 12
        assert find(found, path.parent) == path
        assert find(found[:6], path.parent) == path


def test_a_name_in_full_wins_over_the_start_of_another(record: Record) -> None:
    """A name that is also the start of another name means the run that is called so."""
    path = record("run", JACKET)
    record("run-2", JACKET)
    assert find("run", path.parent) == path


def test_runs_of_the_same_conversation_have_ids_of_their_own(record: Record) -> None:
    """Two recordings that begin alike are told apart by what follows."""
    assert run_id(record("one", JACKET)) != run_id(record("two", JACKET, ("again", ["yes"])))


@pytest.mark.parametrize("ref", ["beta", "gamma", "latest~3", "", "f"])
def test_what_names_no_run_or_several_is_an_error_that_lists_them(three: list[Path], ref: str) -> None:
    """An ambiguous or unknown reference is refused and the candidates are named."""
    with pytest.raises(UnknownRef) as raised:
        find(ref, three[0].parent)
    assert "beta-one" in str(raised.value.fields["candidates"])


def test_the_folder_is_an_option_a_variable_or_the_one_called_traces(
    frameengine: Frameengine, three: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--traces goes before FRAMEENGINE_TRACES, and that before ./traces."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert frameengine("verify", "latest").code == 0
    assert frameengine("verify", "latest", "--traces", elsewhere).code == 2
    monkeypatch.setenv("FRAMEENGINE_TRACES", str(elsewhere))
    assert frameengine("verify", "latest").code == 2
    assert frameengine("verify", "latest", "--traces", three[0].parent).code == 0


def test_a_trace_is_read_from_stdin(frameengine: Frameengine, weather: Path) -> None:
    """``-`` reads a trace from stdin, for every command that reads one."""
    data = weather.read_bytes()
    assert frameengine("verify", "-", stdin=data).code == 0
    assert frameengine("show", "-@2", stdin=data).out.count("●") == 2
    assert frameengine("replay", "-", "--quiet", stdin=data).code == 0


def test_a_torn_trace_on_stdin_is_no_good_trace(frameengine: Frameengine, weather: Path) -> None:
    """A trace that stdin gives in part is a bad file."""
    assert frameengine("verify", "-", stdin=weather.read_bytes()[:-10]).code == 3


@pytest.mark.parametrize(
    ("ref", "name", "place"),
    [
        ("x@1", "x", Place(message=1)),
        ("x@12.3", "x", Place(message=12, frame=3)),
        ("a@b@2.1", "a@b", Place(message=2, frame=1)),
        ("x", "x", None),
        ("x@", "x@", None),
        ("x@1.", "x@1.", None),
        ("x@one", "x@one", None),
    ],
)
def test_places_are_split_off(ref: str, name: str, place: Place | None) -> None:
    """``@MESSAGE.FRAME`` at the end of a reference is a place; anything else belongs to the name."""
    assert split_place(ref) == (name, place)


def test_a_file_whose_name_looks_like_a_place_is_a_file(tmp_path: Path) -> None:
    """What exists is what is meant."""
    path = tmp_path / "run@1"
    path.touch()
    assert split_place(str(path)) == (str(path), None)
