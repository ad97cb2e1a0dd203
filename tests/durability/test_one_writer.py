"""However many processes open a trace at once, one of them writes it and the others are told which."""

from __future__ import annotations

from pathlib import Path

import pytest

from crash_children import call
from frameengine.errors import TraceIncomplete
from frameengine.trace.reader import TraceReader

ROUNDS = [pytest.param(7, id="7 rounds"), pytest.param(50, id="50 rounds", marks=pytest.mark.nightly)]


@pytest.mark.parametrize("rounds", ROUNDS)
def test_exactly_one_wins(tmp_path: Path, rounds: int) -> None:
    """Of 2 to 8 processes one wins, the others fail and name it; killed, it leaves the file to the next that asks for it."""
    results = call("fight", folder=str(tmp_path), rounds=rounds)
    assert len(results) == rounds
    assert {len(result["fighters"]) for result in results} == set(range(2, 9))
    for number, result in enumerate(results):
        assert len(result["winners"]) == 1, result
        owner = f"process {result['winners'][0]}"
        losers = [fighter for fighter in result["fighters"] if fighter["met"] != "won"]
        for loser in losers:
            assert loser["met"] == "TraceLocked"
            # A loser that comes before the header is written learns the name from the system, where that tells.
            assert loser["owner"] in (owner, "another process (its header does not say which)")
            assert loser["owner"] in loser["said"]
        assert result["later"]["met"] == "TraceLocked"
        assert result["later"]["owner"] == owner
        assert result["next"]["met"] == "UsageError"
        assert "exists" in result["next"]["said"]
        assert result["replacing"]["met"] == "won"
        data = (tmp_path / str(number)).read_bytes()
        assert data.count(b"\n") == 1, "only the header of the last writer stands in the file"
        with pytest.raises(TraceIncomplete), TraceReader(tmp_path / str(number)) as reader:
            list(reader.lines())
