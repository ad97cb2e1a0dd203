"""``frameengine snapshot``: what is pending, its review, and the index of approved goldens."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from frameengine_cli.commands import options

if TYPE_CHECKING:
    from frameengine.golden import Unsettled
    from frameengine.review import Candidate, Decision, Part

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Review new goldens, and keep them from changing without one.",
    epilog="Example: frameengine rerun --update traces/demo.trace.jsonl; frameengine snapshot review",
)

_PATHS = "Pending goldens, their goldens, or folders."
Anywhere: TypeAlias = Annotated[
    list[Path] | None, typer.Argument(metavar="[PATH...]", help=f"{_PATHS} This folder without any.", show_default=False)
]
Named: TypeAlias = Annotated[list[Path], typer.Argument(metavar="PATH...", help=_PATHS, show_default=False)]


@app.command("pending")
def pending(paths: Anywhere = None, as_json: options.Json = False) -> None:
    """List what waits for a review, and goldens that are missing, unused, changed or reordered.

    Exit 0 where there is nothing of that, 1 where there is, 5 where there is no golden at all.

    Example: frameengine snapshot pending traces --json
    """
    from frameengine.errors import NothingCompared
    from frameengine.golden import is_golden
    from frameengine.review import pending_in
    from frameengine_cli import output

    places = paths or [Path()]
    waiting = pending_in(places, needed=False)
    candidates = _candidates(waiting)
    unsettled = [one for folder in (*_indexed(places), *_loose(places)) for one in _unsettled(folder)]
    if not (waiting or unsettled or any(is_golden(file) for file in _files(places))):
        named = ", ".join([str(place) for place in places])
        raise NothingCompared(f"{named}: there is no golden, and none is pending", hint="name the folder of your goldens")
    if as_json:
        members = {
            "pending": [_candidate_json(one) for one in candidates],
            "unsettled": [_unsettled_json(one) for one in unsettled],
        }
        output.document(members, ok=not (waiting or unsettled))
    elif waiting or unsettled:
        from frameengine_cli.screens.review import pending as screen

        output.show(screen(candidates, unsettled, output.look()))
    else:
        output.say("✓ nothing is pending, and every golden is the approved one")
    if waiting or unsettled:
        raise typer.Exit(1)


@app.command("review")
def review(paths: Anywhere = None) -> None:
    """Look at each pending golden, frame by frame, and decide with a key.

    y accept, n reject, s skip, a all of this file, q quit, ? help. Nothing is written before the end; Ctrl-C leaves
    everything as it was. Not where CI is set.

    Example: frameengine snapshot review traces
    """
    from frameengine.errors import NothingCompared
    from frameengine.review import commit, pending_in, reviewing
    from frameengine_cli.failures import Interrupted
    from frameengine_cli.keys import check_terminal

    _refuse_in_ci()
    check_terminal("frameengine snapshot accept PATH, or reject PATH")
    found = pending_in(paths or [Path()])
    if not found:
        raise NothingCompared("nothing is pending", hint="make a pending golden: frameengine rerun --update TRACE")
    try:
        with reviewing(found):
            decisions = _judge(_candidates(found))
            commit(decisions)
    except KeyboardInterrupt:
        raise Interrupted("interrupted: nothing was written", hint="review again; q keeps what was decided") from None
    _tell(decisions, as_json=False)


@app.command("accept")
def accept(
    paths: Named,
    frame: Annotated[
        list[str] | None,
        typer.Option(
            "--frame",
            metavar="INPUT.FRAME",
            help="Accept this frame only (one PATH); the file is taken when all are.",
            show_default=False,
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Put pending goldens in the place of the goldens. Not where CI is set.

    Examples: frameengine snapshot accept traces; frameengine snapshot accept traces/demo.trace.jsonl --frame 2.3
    """
    from frameengine.errors import NothingCompared
    from frameengine.review import Decision, commit, pending_in, reviewing

    _refuse_in_ci()
    found = pending_in(paths)
    if not found:
        raise NothingCompared("nothing is pending there", hint="see what is: frameengine snapshot pending")
    with reviewing(found):
        candidates = _candidates(found)
        if frame:
            decisions = [_by_frame(candidates, frame)]
        else:
            decisions = [Decision(candidate=one, verdict="accepted") for one in candidates]
        commit(decisions)
    _tell(decisions, as_json=as_json)


@app.command("reject")
def reject(paths: Named, as_json: options.Json = False) -> None:
    """Remove pending goldens; the goldens stay. Not where CI is set.

    Example: frameengine snapshot reject traces/demo.trace.jsonl
    """
    from frameengine.errors import NothingCompared
    from frameengine.review import Decision, commit, pending_in, reviewing, unread

    _refuse_in_ci()
    found = pending_in(paths)
    if not found:
        raise NothingCompared("nothing is pending there", hint="see what is: frameengine snapshot pending")
    with reviewing(found):
        decisions = [Decision(candidate=unread(path), verdict="rejected") for path in found]
        commit(decisions)
    _tell(decisions, as_json=as_json)


@app.command("index")
def index(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of goldens.", show_default=False)],
    as_json: options.Json = False,
) -> None:
    """Approve the goldens that are in a folder now, as they are: write goldens.sha256 anew. Not where CI is set.

    Each is proven whole first. What comes to be listed, changes or is struck off is told.

    Example: frameengine snapshot index traces
    """
    from frameengine.errors import UsageError
    from frameengine.review import approve_all
    from frameengine_cli import output

    _refuse_in_ci()
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder", hint="name the folder of your goldens", path=str(folder))
    told = approve_all(folder)
    if as_json:
        output.document({"folder": str(folder), "changes": told})
        return
    for name, what in told.items():
        output.say(f"{what:<8} {name}")
    output.say(f"✓ {folder}: approved as it is" if told else f"✓ {folder}: nothing to change")


def _refuse_in_ci() -> None:
    from frameengine.golden import check_no_ci

    check_no_ci(os.environ, "a change of goldens")


def _files(places: list[Path]) -> list[Path]:
    from frameengine.golden import files

    return [file for place in places for file in (files(place) if place.is_dir() else (place,))]


def _indexed(places: list[Path]) -> list[Path]:
    """Return the folders with an index that *places* are, hold, or stand below."""
    from frameengine.golden import INDEX, indexes_above

    found = [file.parent for file in _files(places) if file.name == INDEX]
    above = [folder for place in places for folder in indexes_above(place) if place.resolve() != folder]
    known = {folder.resolve() for folder in found}
    return [*found, *dict.fromkeys([folder for folder in above if folder.resolve() not in known])]


def _loose(places: list[Path]) -> list[Path]:
    """Return the folders of golden traces that no index lists: nobody approved those."""
    from frameengine.golden import indexes_above, is_trace

    folders = dict.fromkeys([file.parent for file in _files(places) if is_trace(file)])
    return [folder for folder in folders if not indexes_above(folder)]


def _unsettled(folder: Path) -> list[Unsettled]:
    from frameengine.golden import unsettled

    return [one for one in unsettled(folder) if one.kind != "pending"]


def _candidates(found: list[Path]) -> list[Candidate]:
    from frameengine.review import candidate
    from frameengine_cli.progress import patience

    candidates = []
    with patience("comparing", len(found)) as done:
        for number, path in enumerate(found, start=1):
            candidates.append(candidate(path))
            done(number)
    return candidates


def _by_frame(candidates: list[Candidate], frames: list[str]) -> Decision:
    from frameengine.errors import UsageError
    from frameengine.review import Decision

    if len(candidates) != 1:
        raise UsageError(f"--frame is about one file, and there are {len(candidates)}", hint="name one")
    one = candidates[0]
    by_place = {part.place: part.digest for part in one.parts}
    unknown = [place for place in frames if place not in by_place]
    if unknown:
        listed = ", ".join(by_place) or "none"
        raise UsageError(
            f"{one.pending}: {unknown[0]} did not change; changed: {listed}", hint="name one that did", frame=unknown[0]
        )
    seen = one.seen | {by_place[place] for place in frames}
    done = all(part.digest in seen for part in one.parts)
    return Decision(candidate=one, verdict="accepted" if done else "later", seen=seen)


def _judge(candidates: list[Candidate]) -> list[Decision]:
    """Ask for each candidate in turn, until all are judged or somebody quits."""
    from frameengine.review import Decision

    decisions: list[Decision] = []
    for number, one in enumerate(candidates, start=1):
        seen, key = _judge_one(one, number, len(candidates))
        done = key in ("y", "a") if not one.open else all(part.digest in seen for part in one.parts)
        decisions.append(
            Decision(candidate=one, verdict="rejected" if key == "n" else "accepted" if done else "later", seen=frozenset(seen))
        )
        if key == "q":
            break
    return decisions


def _judge_one(one: Candidate, number: int, total: int) -> tuple[set[str], str]:
    """Ask about the parts of one candidate; return the digests of those that are accepted, and the last key."""
    from frameengine_cli import output
    from frameengine_cli.screens import review as screens

    look = output.look()
    seen = set(one.seen)
    output.show(screens.opening(one, number, total, look))
    if not one.open:
        _show_whole(one)
        return seen, _ask("this file")
    key = ""
    for position, part in enumerate(one.open, start=1):
        output.show(screens.part(part, position, len(one.open), look))
        key = _ask(f"frame {part.place}" if part.frame else f"input {part.place}")
        if key == "a":
            seen |= {left.digest for left in one.open[position - 1 :]}
            unseen = ", ".join([left.place for left in one.open[position:]])
            if unseen:
                output.say(f"  accepted without being shown: {unseen}")
        if key == "y":
            seen.add(part.digest)
        if key in ("a", "n", "q"):
            break
    return seen, key


def _show_whole(one: Candidate) -> None:
    from frameengine_cli import output
    from frameengine_cli.screens import review as screens

    if not one.is_trace:
        output.show(screens.value(one))
    elif one.new:
        from frameengine.trace.messages import messages
        from frameengine.trace.reader import TraceReader
        from frameengine_cli.screens.timeline import timeline

        with TraceReader(one.pending) as reader:
            for message in messages(reader):
                output.show(timeline(message, output.look()))


def _ask(what: str) -> str:
    from frameengine_cli import output
    from frameengine_cli.keys import ask
    from frameengine_cli.screens import review as screens

    known = [key for key, _ in screens.KEYS if key != "?"]
    while True:
        key = ask(lambda: output.console().print(screens.prompt(what), end=" "))
        output.say(key)
        if key in known:
            return key
        output.show(screens.help_lines())


def _tell(decisions: list[Decision], *, as_json: bool) -> None:
    from frameengine_cli import output

    if as_json:
        output.document({"decisions": [_decision_json(one) for one in decisions]})
        return
    signs = {"accepted": "✓", "rejected": "✗", "later": "…"}
    for one in decisions:
        left = [part.place for part in one.candidate.parts if part.digest not in one.seen]
        note = f" ({', '.join(left)} left to judge)" if one.verdict == "later" and left else ""
        if one.verdict == "accepted" and one.candidate.approximate:
            note = f" ({one.candidate.made})"
        word = "still pending" if one.verdict == "later" else one.verdict
        output.say(f"{signs[one.verdict]} {word}  {one.candidate.golden}{note}")


def _decision_json(one: Decision) -> dict[str, Any]:
    left = [part.place for part in one.candidate.parts if part.digest not in one.seen] if one.verdict == "later" else []
    return {"golden": str(one.candidate.golden), "verdict": one.verdict, "left": left}


def _candidate_json(one: Candidate) -> dict[str, Any]:
    return {
        "pending": str(one.pending),
        "golden": str(one.golden),
        "new": one.new,
        "made": one.made,
        "frames": [_part_json(part, accepted=part.digest in one.seen) for part in one.parts],
    }


def _part_json(part: Part, *, accepted: bool) -> dict[str, Any]:
    changes = [change.to_json() for change in part.changes]
    return {"place": part.place, "accepted": accepted, "changes": changes}


def _unsettled_json(one: Unsettled) -> dict[str, Any]:
    return {"kind": one.kind, "path": str(one.path), "message": one.what, "hint": one.hint}
