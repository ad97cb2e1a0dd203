"""Answering one model call from a recording, by size of the recording and against vcrpy."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.measure import Figure, rounds, timed
from benchmarks.peers import vcr_seconds_a_call
from benchmarks.pipeline import padded
from frameengine.cassette.cassette import Cassette, Recorded
from frameengine.cassette.match import Matcher
from frameengine.effects import Call, EffectKey, ModelCall, ModelReply, Outcome
from frameengine.engine.stops import Ask
from frameengine.jsonvalue import freeze
from frameengine.performers.replaying import Replaying

SIZES = (10, 100, 1_000, 5_000)
LOOKUPS = 1_000


def _cassette(size: int) -> tuple[Cassette, list[Call]]:
    outcome = Outcome(value=ModelReply(message=freeze({"role": "assistant", "content": padded("reply")})))
    calls = [
        Call.of(
            EffectKey(number + 1, 1, "model", 0),
            ModelCall(model="m", messages=[{"role": "user", "content": padded(f"request {number}")}]),
        )
        for number in range(size)
    ]
    entries = [
        Recorded(number=number, source=Path("x"), call=call, outcome=outcome, slot="model", contract="", nth=0)
        for number, call in enumerate(calls)
    ]
    return Cassette(tuple(entries)), calls


def _seconds(size: int) -> float:
    """Return the seconds that `LOOKUPS` calls take, asked anew each time."""
    total = 0.0
    done = 0
    while done < LOOKUPS:
        cassette, calls = _cassette(size)
        performer = Replaying(Matcher(cassette, "exact", {}))
        batch = calls[: LOOKUPS - done]

        def work(performer: Replaying = performer, batch: list[Call] = batch) -> None:
            for call in batch:
                again = Call.of(call.key, call.effect)
                performer.perform(Ask((again,), {again.key: again}))

        total += timed(work)
        done += len(batch)
    return total


def figures(folder: Path) -> Iterator[Figure]:
    """Yield flatness over sizes, and the ratio to vcrpy where it is installed."""
    times = rounds({str(size): partial(_seconds, size) for size in SIZES}, 3)
    each = {size: times.median(str(size)) / LOOKUPS * 1e6 for size in SIZES}
    detail = ", ".join(f"{size:,}: {each[size]:.0f} us" for size in SIZES)
    yield Figure(name="a call from a cassette of 5,000 / of 10", ratio=times.ratio("5000", "10"), bound=1.5, detail=detail)
    peer = vcr_seconds_a_call(folder)
    if peer is not None:
        yield Figure(
            name="vcrpy with body matching / a call, 100 interactions",
            ratio=peer * 1e6 / each[100],
            bound=300,
            at_least=True,
            detail=f"{peer * 1e6:,.0f} us / {each[100]:.0f} us",
        )
