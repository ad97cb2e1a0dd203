"""The committed JSON Schemas (2020-12) of a trace's lines: what other programs may rely on.

They describe lines as they stand in the file, references included. The reader does not use them: it proves more than a schema can
say, and faster.
"""

from __future__ import annotations

from frameengine.codec import loads
from frameengine.errors import UsageError
from frameengine.jsonvalue import FrozenMap, freeze
from frameengine.trace.format import KINDS

__all__ = ["KINDS", "schema_of"]


def schema_of(kind: str) -> FrozenMap:
    """Return the schema of the lines of one kind. Raises `UsageError` where there is no such kind."""
    if kind not in KINDS:
        raise UsageError(f"a trace has no lines of kind {kind!r}", hint=f"the kinds are {', '.join(KINDS)}", kind=kind)
    from importlib.resources import files

    schema: FrozenMap = freeze(loads(files(__package__).joinpath("schema", f"{kind}.schema.json").read_bytes()))
    return schema
