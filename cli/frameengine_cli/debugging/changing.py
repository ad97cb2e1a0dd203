"""Commands that change the past: an edit waits, a fork makes a new run of it, and compare shows what became of it."""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import cast, get_args

from attrs import evolve, frozen

from frameengine.cassette.match import Policy
from frameengine.debug.edit import Edit, parse_edit, same_thing
from frameengine.debug.fork import compare, fork
from frameengine.errors import CassetteApproximate, CassetteMiss, UsageError
from frameengine.rerun.stage import Miss
from frameengine.rerun.supply import Supply
from frameengine_cli import endpoints, phrases
from frameengine_cli.commands.options import databases
from frameengine_cli.debugging.command import Command, no_argument, number_of, split
from frameengine_cli.debugging.looking import effect
from frameengine_cli.debugging.screens import doubts, edit_list, forked, noted
from frameengine_cli.debugging.session import Answer, Forked, Session
from frameengine_cli.graphs import switched_graph
from frameengine_cli.refs import Place, Source, free_name, stem, typed
from frameengine_cli.staging import with_passwords

POLICIES = get_args(Policy)
FORK = "fork [--policy exact|slot|nearest] [--script FILE.toml] [--database NAME=FILE] [--live] [FILE]"
UNRECORDED = CassetteMiss.exit_code
"""A call got no reply, so there is no fork."""
DIFFERS = CassetteApproximate.exit_code
"""There is a fork, and something is to be known of it."""
EFFECTS = ("reply", "result", "error")
WHATS = (*EFFECTS, "input", "put", "delete")


def _edit(session: Session, argument: str) -> Answer:
    """Take an edit as `parse_edit` has it; ``#2`` behind its word means the second effect, or input 2."""
    if not argument:
        return _edits(session, "")
    what, rest = split(argument)
    timeline, place = session.timeline, session.place
    number, value = _numbered(rest)
    if what in EFFECTS:
        edit = parse_edit(timeline, place, what, value, key=effect(session, number, f"edit {what}").key)
    elif what == "input":
        edit = parse_edit(timeline, place, f"input {number}".rstrip(), value)
    elif what in ("put", "delete"):
        pointer, value = _pointer(rest)
        edit = parse_edit(timeline, place, f"{what} {pointer}", value)
    else:
        pointer, value = _pointer(argument)
        edit = parse_edit(timeline, place, pointer, value)
    return await_fork(session, edit, _next(session))


def _next(session: Session) -> str:
    """Return how an edit becomes a run: a fork is made of a whole one only."""
    if session.live is not None:
        return f"a fork needs a sealed run: quit, then frameengine debug {session.source.typed}"
    if session.timeline.problem is not None:
        return f"a fork needs a whole run: frameengine repair {session.source.typed or '-'} -o FILE, and edit that"
    return "fork makes a new run with it; this one stays as it is"


def await_fork(session: Session, edit: Edit, *notes: str) -> Answer:
    """Let an edit wait for a fork, and say so. It takes the place of one of the same thing: a fork can make one of them."""
    older = [each for each in session.edits if same_thing(each, edit)]
    session.edits[:] = [*[each for each in session.edits if each not in older], edit]
    notes = (*[f"in the place of: {each.text}" for each in older], *notes)
    said = "\n".join([f"{len(session.edits)} {edit.text}", *notes])
    data = {"edit": edit.to_json(), "waiting": len(session.edits), "replaced": [each.to_json() for each in older]}
    return Answer(data=data, screen=lambda _: noted(said))


def _numbered(rest: str) -> tuple[str, str]:
    """Return the number that is typed as ``#2``, empty where none is, and what follows it."""
    first, after = split(rest)
    return (first[1:], after) if first[:1] == "#" and first[1:].isdecimal() else ("", rest)


def _pointer(text: str) -> tuple[str, str]:
    """Return a pointer, which stands in quotes where it has spaces, and what follows it."""
    sign = text[:1]
    if sign in ("'", '"') and sign in text[1:]:
        pointer, _, value = text[1:].partition(sign)
        return pointer, value.strip()
    return split(text)


def _edits(session: Session, argument: str) -> Answer:
    no_argument(argument, "edits")
    rows = list(session.edits)
    return Answer(data={"edits": [edit.to_json() for edit in rows]}, screen=lambda _: edit_list(rows))


def _drop(session: Session, argument: str) -> Answer:
    number = number_of(argument, "drop", len(session.edits), what="number of an edit") if session.edits else 0
    if not 0 < number <= len(session.edits):
        waiting = phrases.count(len(session.edits), "edit")
        way = "edits lists them" if session.edits else session.editable()
        raise UsageError(f"there is no edit {argument or 'to drop'}: {waiting} so far", hint=way)
    dropped = session.edits.pop(number - 1)
    return Answer(data={"dropped": dropped.to_json()}, screen=lambda _: noted(f"dropped: {dropped.text}"))


@frozen(kw_only=True)
class Wanted:
    """What is said of a fork."""

    policy: Policy = "exact"
    """The loosest way of finding replies behind the edit."""
    script: Path | None = None
    """Answers for calls that none is found for."""
    databases: tuple[str, ...] = ()
    """NAME=FILE of databases that live tools query."""
    live: bool = False
    """Whether the models that are configured are asked for what is left."""
    output: Path | None = None
    """The new run."""

    @classmethod
    def of(cls, argument: str) -> Wanted:
        """Read what follows `fork`. Raises `UsageError`."""
        wanted = cls()
        try:
            words = deque(shlex.split(argument))
        except ValueError as error:
            raise UsageError(f"fork {argument}: {error}", hint=FORK) from None
        while words:
            word = words.popleft()
            if word in ("--policy", "--script", "--database"):
                if not words:
                    raise UsageError(f"fork {word}: something must follow it", hint=FORK)
                wanted = wanted.with_option(word, words.popleft())
            elif word == "--live":
                wanted = evolve(wanted, live=True)
            elif word.startswith("--") or wanted.output is not None:
                raise UsageError(f"fork: {word} is not known here", hint=FORK)
            else:
                wanted = evolve(wanted, output=Path(word))
        return wanted

    def with_option(self, name: str, value: str) -> Wanted:
        """Return this with one option more. Raises `UsageError`."""
        if name == "--script":
            return evolve(self, script=Path(value))
        if name == "--database":
            return evolve(self, databases=(*self.databases, value))
        if value not in POLICIES:
            raise UsageError(f"--policy {value}: there is no such policy", hint=f"it is one of {', '.join(POLICIES)}")
        return evolve(self, policy=cast("Policy", value))

    def typed(self) -> str:
        """Return the command that says this."""
        said = ["fork", *([] if self.policy == "exact" else ["--policy", self.policy])]
        said += [] if self.script is None else ["--script", typed(self.script)]
        said += [word for each in self.databases for word in ("--database", typed(each))]
        said += ["--live"] if self.live else []
        return " ".join([*said, *([] if self.output is None else [typed(self.output)])])

    def ways(self, needed: Sequence[Miss]) -> list[str]:
        """Return what to type where calls are *needed*: recorded replies that would do, if there are such, and who may answer."""
        looser = POLICIES[POLICIES.index(self.policy) + 1 :] if all(miss.stand_in is not None for miss in needed) else ()
        kinds = {miss.call.effect.kind for miss in needed}
        ways = [evolve(self, policy=policy) for policy in looser]
        ways += [evolve(self, databases=("NAME=FILE",))] if "tool" in kinds and not self.databases else []
        ways += [evolve(self, live=True)] if "model" in kinds and not self.live else []
        ways += [evolve(self, script=Path("FILE.toml"))] if self.script is None else []
        return [way.typed() for way in ways]

    def supply(self) -> Supply | None:
        """Return who answers calls that no recorded reply is found for; None for nobody."""
        named = databases(list(self.databases))
        return endpoints.supply(self.script, {**named, **with_passwords(named)}, endpoints.wanted(None) if self.live else None)


def _fork(session: Session, argument: str) -> Answer:
    wanted = Wanted.of(argument)
    if not session.edits:
        raise UsageError("there is nothing to fork: no edit waits", hint=session.editable())
    if session.live is not None:
        raise UsageError("a run under way is not forked", hint=_next(session))
    timeline = session.timeline
    # Where one works, and not beside the run: that may be a folder of approved goldens, or one that goes away.
    target = wanted.output or free_name(Path(), f"{stem(session.source.name)}-fork")
    result = fork(
        timeline,
        session.edits,
        target,
        bound=session.bound(),
        policy=wanted.policy,
        supply=wanted.supply(),
        trust=session.trust,
        switch=lambda graph: switched_graph(graph, trust=session.trust)[0],
    )
    if result.path is not None:
        source = Source(path=result.path, name=result.path, typed=typed(result.path), agent=session.source.agent)
        session.forked = Forked(source=source, edits=result.edits, head=str(result.rerun.head))
        session.edits.clear()
    code = UNRECORDED if result.path is None else DIFFERS if doubts(result) else 0
    ways = wanted.ways(result.needed) if result.path is None else []
    data = {"fork": result.to_json(), **({"try": ways} if ways else {})}
    return Answer(data=data, screen=lambda look: forked(result, ways, look), code=code)


def _compare(session: Session, argument: str) -> Answer:
    from frameengine_cli import output
    from frameengine_cli.screens.diff import Shown, screen

    other = Path(argument) if argument else None if session.forked is None else session.forked.source.path
    if other is None:
        raise UsageError("compare with what? no fork was made in this session", hint="fork, or compare FILE")
    if not argument and session.forked is not None:
        session.forked.check_unchanged()
    found = compare(session.timeline, other)
    found = evolve(found, left=evolve(found.left, path=session.source.name))
    shown = Shown(found=found, facts=("", ""), every=False, width=output.width())
    return Answer(data={"compare": found.to_json()}, screen=lambda look: screen(shown, look))


def _testcase(session: Session, argument: str) -> Answer:
    from frameengine_cli.commands.testcase import Wanted, make_test, members, screen

    message, step = session.message(), session.frame()
    source, number = session.source, message.number
    # What has its name now is read, and may be another run.
    if session.forked is None:
        session.timeline.check_unchanged()
    else:
        # An edit of the state is an input of the fork, and the messages behind it have other numbers there.
        source, number = session.forked.source, session.forked.number(number)
        session.forked.check_unchanged()
    wanted = Wanted(
        graph=session.graph, node=None, folder=Path(argument), trust=session.trust, damaged=session.timeline.problem is not None,
        force=False,
    )  # fmt: skip
    made = make_test(source, Place(message=number, frame=step.number), wanted)
    return Answer(data={"testcase": members(made)}, screen=lambda look: screen(made, look))


CHANGING = (
    Command(
        name="edit", short=("ed",), argument="WHAT VALUE", help="change a reply, a result, an input or a value of the state",
        more="reply|result|error [#NUMBER] TEXT|JSON, input [#NUMBER] TEXT|JSON, /POINTER JSON, put /POINTER JSON, delete "
        "/POINTER. Without a number the newest effect that has arrived, or this message. It waits until fork. "
        'Example: edit result #2 {"rows": [[12]]}', run=_edit,
        complete=lambda _: list(WHATS),
    ),
    Command(name="edits", help="list what waits for a fork", run=_edits),
    Command(name="drop", argument="[NUMBER]", help="forget an edit; the newest, if no number is said", run=_drop),
    Command(
        name="fork", argument="[OPTIONS] [FILE]", help="make a new run with the edits",
        more="What comes before the first edit is replayed and must be the same; behind it recorded replies answer where "
        "requests still match, "
        f"then a script, live models or live tools: {FORK}. This run stays as it is.", run=_fork,
    ),
    Command(name="compare", short=("comp",), argument="[FILE]", help="show how the fork differs from this run", run=_compare),
    Command(
        name="testcase", short=("tc",), argument="[DIR]", help="make a pytest test of this frame",
        more="Of the newest fork's frame at this place, where there is one: that is how it should be.", run=_testcase,
    ),
)  # fmt: skip
