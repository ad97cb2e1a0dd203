"""Records as the feed shows them: one event for each emission, and the short form of a frame trace (C10, C53).

Views only: what is cut here stands whole in the record (W37).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from attrs import field, frozen

from frameengine.codec import dumps
from frameengine.inputs import Input, UserMessage
from frameengine.jsonvalue import FrozenMap, Json, freeze
from frameengine.node import ANSWER, TEXT_EVENT
from frameengine.records import Frame, FrameRecord, FrameTrace

MESSAGE_CHARS: Final = 100
"""Characters of the message in a short frame trace."""
SUMMARY_CHARS: Final = 200
"""Characters of a node's input and output in it."""
OWNERS: Final[Mapping[str, str]] = {"process_start": "process", "process_done": "process", "reflex_path": "runtime"}
"""Events that the feed shows under another name than that of the node they come from."""


@frozen(kw_only=True)
class Told:
    """What is known of one input when its message is done."""

    input: Input
    """The input."""
    graph: str
    """Name of the graph."""
    frames: tuple[Frame, ...]
    """Its frames."""
    trace: FrameTrace
    """Its figures."""
    ms: Mapping[int, float] = field(factory=dict)
    """Number of a frame -> milliseconds it took, where a clock ran."""

    @property
    def response(self) -> str:
        """The answer's text (C52); empty where there is none."""
        return "".join([text for frame in self.frames for text in texts(frame)])

    def short(self) -> FrozenMap:
        """Return the frame trace in short (C10): texts cut, milliseconds rounded to one decimal."""
        body = self.input.body
        message = body.text if isinstance(body, UserMessage) else self.input.type
        value: FrozenMap = freeze(
            {
                "message": message[:MESSAGE_CHARS],
                "graph": self.graph,
                "total_frames": self.trace.total_frames,
                "total_ms": round(sum(self.ms.values()), 1),
                "started": self.input.at,
                "path": self.trace.path,
                "frames": [self._record(record) for frame in self.frames for record in frame.records],
            }
        )
        return value

    def _record(self, record: FrameRecord) -> dict[str, Json]:
        return {
            "frame": record.frame,
            "node": record.node,
            "duration_ms": round(self.ms.get(record.frame, 0.0), 1),
            "input": _summary(record.input),
            "output": "" if record.output is None else _summary(record.output),
            "route": "+".join(record.route),
            "condition": ", ".join([f"{name}={value}" for name, value in record.condition.items()]),
            "error": "" if record.error is None else str(record.error.get("message", "")),
        }


def events(frame: Frame, roles: Mapping[str, str]) -> Iterator[FrozenMap]:
    """Yield the feed's events of *frame*, in order; *roles* gives each node's role, by which the feed calls it."""
    for record in frame.records:
        node = roles.get(record.node, record.node)
        for emission in record.emissions:
            if emission.event != TEXT_EVENT:
                yield event(OWNERS.get(emission.event, node), emission.event, emission.data)


def event(node: str, name: str, data: Mapping[str, Json]) -> FrozenMap:
    """Return one event of the feed. Its own members win over those of *data*, which come from a node."""
    value: FrozenMap = freeze({**data, "type": "hud", "node": node, "event": name})
    return value


def texts(frame: Frame) -> Iterable[str]:
    """Yield the pieces of the answer that *frame* shows."""
    for record in frame.records:
        for emission in record.emissions:
            if emission.event == TEXT_EVENT and emission.data["stream"] == ANSWER:
                yield emission.data["text"]


def _summary(message: FrozenMap) -> str:
    return dumps(message).decode()[:SUMMARY_CHARS]
