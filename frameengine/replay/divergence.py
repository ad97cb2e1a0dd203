"""The first place where a replay and its record differ, and what may have caused it."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

from attrs import evolve, frozen

from frameengine.codec import Shared, SharedOne, dumps
from frameengine.effects import EffectKey
from frameengine.jsonvalue import MISSING, FrozenMap, Json, first_difference, freeze

Kind: TypeAlias = Literal[
    "missing",
    "extra",
    "effect kind",
    "effect name",
    "request",
    "outcome",
    "input",
    "condition",
    "route",
    "error",
    "emission",
    "output",
    "state",
    "length",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""In the order in which they are named where several hold at one place."""
Cause: TypeAlias = Literal["graph", "prompt", "node code", "model", "tool", "input", "undetermined"]


@frozen(kw_only=True)
class Divergence:
    """One difference between record and replay."""

    kind: Kind
    """What differs."""
    input: int
    """Number of the input."""
    frame: int
    """Number of the frame; 0 for what concerns the whole input."""
    node: str = ""
    """Name of the node; empty for what concerns the whole frame."""
    call: int | None = None
    """Index of the effect, where one is concerned."""
    effect: str = ""
    """Kind of that effect: model or tool."""
    pointer: str = ""
    """JSON pointer of the first difference inside what is compared."""
    recorded: Json = None
    """What the record has there; the text ``(nothing)`` where it has nothing."""
    replayed: Json = None
    """What the replay has there."""
    cause: Cause = "undetermined"
    """What may have led to it, by the digests in the header."""
    because: str = ""
    """What the cause was told from."""
    where: str = ""
    """For an error: file:line in the node's own code where the replay raised it; empty where it raised none."""
    nearest: FrozenMap | None = None
    """For an extra call: the most similar recorded one, with its key and the first difference."""
    consequence: Divergence | None = None
    """For an outcome that was changed: the first difference that follows from it."""

    @property
    def key(self) -> EffectKey | None:
        """Key of the effect concerned."""
        return None if self.call is None else EffectKey(self.input, self.frame, self.node, self.call)

    @property
    def place(self) -> str:
        """Input, frame, node and call in one phrase."""
        parts = [f"input {self.input}"]
        if self.frame:
            parts.append(f"frame {self.frame}")
        if self.node:
            parts.append(f"node {self.node}")
        if self.call is not None:
            parts.append(f"call {self.call}")
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Return the divergence as plain JSON."""
        return {
            "kind": self.kind,
            "key": None if self.key is None else self.key.wire(),
            "input": self.input,
            "frame": self.frame,
            "node": self.node,
            "call": self.call,
            "effect": self.effect,
            "pointer": self.pointer,
            "recorded": self.recorded,
            "replayed": self.replayed,
            "cause": self.cause,
            "because": self.because,
            "where": self.where,
            "nearest": self.nearest,
            "consequence": None if self.consequence is None else self.consequence.to_json(),
        }


NOTHING = "(nothing)"


def compare(recorded: Json, replayed: Json, **place: Any) -> Divergence | None:
    """Return the first difference between two values as a divergence at *place*; None where they are equal."""
    found = first_difference(recorded, replayed)
    if found is None:
        return None
    pointer, one, other = found
    return Divergence(
        pointer=pointer, recorded=NOTHING if one is MISSING else one, replayed=NOTHING if other is MISSING else other, **place
    )


def compare_requests(recorded: tuple[str, FrozenMap], replayed: tuple[str, FrozenMap], **place: Any) -> Divergence | None:
    """Compare two effects, the readable difference first: kind, then name, then the whole request."""
    place["effect"] = replayed[0]
    if recorded[0] != replayed[0]:
        return Divergence(kind="effect kind", recorded=recorded[0], replayed=replayed[0], **place)
    member = "model" if recorded[0] == "model" else "name"
    one, other = recorded[1].get(member), replayed[1].get(member)
    if one != other:
        return Divergence(kind="effect name", pointer=f"/{member}", recorded=one, replayed=other, **place)
    return compare(recorded[1], replayed[1], kind="request", **place)


_PARTS: tuple[tuple[Kind, str], ...] = (
    ("input", "input"),
    ("condition", "condition"),
    ("route", "route"),
    ("error", "error"),
    ("emission", "emissions"),
    ("output", "output"),
    ("state", "changes"),
    ("length", "open"),
    ("length", "now"),
)


def compare_records(recorded: FrozenMap, replayed: FrozenMap, **place: Any) -> list[Divergence]:
    """Return the differences of one node's records in the order of `KINDS`, at most one of each kind and call."""
    found = _compare_calls(recorded.get("calls", ()), replayed.get("calls", ()), place)
    failed = ("error" in recorded) != ("error" in replayed)
    for kind, part in _PARTS:
        if failed and part in ("condition", "route"):
            # A node that failed was asked for no way on: the error says it all.
            continue
        difference = compare(recorded.get(part, MISSING), replayed.get(part, MISSING), kind=kind, **place)
        if difference is not None:
            found.append(evolve(difference, pointer=f"/{part}{difference.pointer}"))
    if not found:
        # A member that has no kind of its own differs all the same.
        other = compare(recorded, replayed, kind="length", **place)
        found = [] if other is None else [other]
    return found


_CALL_PARTS: tuple[tuple[Kind, int], ...] = (
    ("effect kind", 1),
    ("effect name", 2),
    ("request", 4),
    ("outcome", 3),
    ("outcome", 5),
    ("length", 0),
)


def _compare_calls(recorded: tuple[Json, ...], replayed: tuple[Json, ...], place: dict[str, Any]) -> list[Divergence]:
    """Compare two lists of calls as `records.CallRecord.wire` writes them, one difference for each call."""
    found: list[Divergence] = []
    for one, other in zip(recorded, replayed, strict=False):
        for kind, part in _CALL_PARTS:
            if one[part] != other[part]:
                values = {"call": other[0], "effect": other[1], "recorded": one[part], "replayed": other[part]}
                found.append(Divergence(kind=kind, **values, **place))
                break
    if len(recorded) > len(replayed):
        lost = recorded[len(replayed)]
        found.append(Divergence(kind="missing", call=lost[0], effect=lost[1], recorded=lost[2], replayed=NOTHING, **place))
    elif len(replayed) > len(recorded):
        new = replayed[len(recorded)]
        found.append(Divergence(kind="extra", call=new[0], effect=new[1], recorded=NOTHING, replayed=new[2], **place))
    return found


def shortened(value: Json, width: int = 200) -> str:
    """Return a value on one line for people, cut in the middle."""
    text = value if isinstance(value, str) else dumps(value).decode()
    if len(text) <= width:
        return text
    half = width // 2 - 2
    return f"{text[:half]} … {text[-half:]}"


def wired(value: dict[str, Any]) -> FrozenMap:
    """Return a wire form as the plain frozen JSON that a reader would give back."""
    result: FrozenMap = freeze(_whole(value))
    return result


def _whole(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {key: _whole(item) for key, item in value.items()}
    if kind is list:
        return [_whole(item) for item in value]
    if kind is Shared:
        return value.items
    if kind is SharedOne:
        return value.item
    return value
