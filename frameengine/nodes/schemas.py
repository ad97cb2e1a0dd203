"""What is known of the databases' tables: looked up once in a conversation, kept in the state (C32, C88)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from attrs import frozen

from frameengine.effects import ToolCall
from frameengine.jsonvalue import EMPTY, FrozenMap
from frameengine.messages import PlannedTool
from frameengine.node import NodeContext
from frameengine.nodes.cut import cut, cut_fairly
from frameengine.nodes.sql_tables import tables_in
from frameengine.nodes.steps import call_tool
from frameengine.state import Change

DATABASE_TOOL: Final = "query_db"
KNOWN_MAX: Final = 50
"""Looks that are remembered for the conversation."""
LOOK_CHARS_MAX: Final = 4_000
"""Length of what one look gave, as far as it is kept."""
SHOWN_CHARS: Final = 6_000
"""Characters of schema in one request."""
LOOKS_MAX: Final = 12
"""Looks that one plan may cause."""
_DESCRIBES: Final = ("describe", "desc")


@frozen
class Look:
    """A statement about the schema of a database."""

    database: str
    statement: str

    @property
    def key(self) -> str:
        """The name under which it is remembered; how the table is written makes no difference."""
        verb, _, what = self.statement.partition(" ")
        return f"{self.database}: {verb} {what if verb == 'SHOW' else what.lower()}"


def look_of(step: PlannedTool) -> Look | None:
    """Return the look that a step of a plan is; None for any other step."""
    query, database = step.args.get("query"), step.args.get("database")
    if step.tool != DATABASE_TOOL or not isinstance(query, str) or not isinstance(database, str):
        return None
    match query.rstrip("; \n").split():
        case [verb, table] if verb.lower() in _DESCRIBES:
            return Look(database, "DESCRIBE " + table.strip('`"'))
        case [verb, what] if verb.lower() == "show":
            return Look(database, f"SHOW {what.upper()}")
    return None


def looks_for(steps: Sequence[PlannedTool]) -> Iterator[Look]:
    """Yield what must be known before *steps* may run: the looks among them, and one at each table that they read."""
    for step in steps:
        query, database = step.args.get("query"), step.args.get("database")
        if (own := look_of(step)) is not None:
            yield own
        elif step.tool == DATABASE_TOOL and isinstance(query, str) and isinstance(database, str):
            yield from [Look(database, f"DESCRIBE {table}") for table in tables_in(query)]


class Schemas:
    """The schemas that one job may use, and those that it learnt."""

    def __init__(self, ctx: NodeContext) -> None:
        known: FrozenMap = ctx.state.get("caches", EMPTY).get("schema", EMPTY)
        self.known: dict[str, str] = dict(known)
        """Key of a look -> what it gave."""
        self.failed: dict[str, str] = {}
        """Key of a look that failed -> why: worth telling, not worth remembering."""
        self.changes: list[Change] = []
        """What the conversation shall remember."""
        self._ctx = ctx
        self._remembered = len(known)
        self._looked: set[str] = set()
        self._wanted: list[str] = []
        self._shown: list[str] = []

    def text(self) -> str:
        """Return what is known, for a request: first what the last plan wanted, then the rest as far as there is room."""
        texts = {key: self.failed.get(key, self.known.get(key, "")) for key in self._wanted}
        parts = dict(zip(texts, cut_fairly(list(texts.values()), SHOWN_CHARS), strict=True))
        room = SHOWN_CHARS - sum(map(len, parts.values()))
        for key, text in self.known.items():
            if key not in parts and len(text) <= room:
                parts[key] = text
                room -= len(text)
        self._shown = list(parts)
        return "\n\n".join([f"{key}\n{text}" for key, text in parts.items()])

    def of(self, step: PlannedTool) -> str | None:
        """Return what a step would give that is a look; None where it is none, or nobody knows."""
        look = look_of(step)
        return None if look is None else self.known.get(look.key)

    async def learn(self, steps: Sequence[PlannedTool], *, anew: bool = False) -> bool:
        """Look up what *steps* need: what nobody knows, or *anew* all of it; return whether the last request lacked any of it.

        Nothing is looked at twice for one job.
        """
        looks = {look.key: look for look in looks_for(steps)}
        self._wanted = list(looks)[:LOOKS_MAX]
        for key in self._wanted:
            if key not in self._looked and (anew or key not in self.known):
                await self._look(looks[key])
        return any(key not in self._shown for key in self._wanted)

    async def _look(self, look: Look) -> None:
        self._looked.add(look.key)
        arguments = {"query": look.statement, "database": look.database}
        output, failed = await call_tool(self._ctx, ToolCall(DATABASE_TOOL, arguments))
        if failed:
            self.failed[look.key] = cut(output, LOOK_CHARS_MAX)
            return
        self.remember(look, output)

    def remember(self, look: Look, output: str) -> None:
        """Keep what a look gave, for this job and, as far as there is room, for the conversation."""
        text = cut(output, LOOK_CHARS_MAX)
        before = self.known.get(look.key)
        self.known[look.key] = text
        if before == text or (before is None and self._remembered >= KNOWN_MAX):
            return
        self._remembered += before is None
        self.changes.append(Change.set(f"/caches/schema/{look.key.replace('~', '~0').replace('/', '~1')}", text))
