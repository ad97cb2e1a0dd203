"""What every line of a kind must have, so that whoever reads it may rely on it. The committed schemas say the rest."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from frameengine.jsonvalue import EMPTY, FrozenMap
from frameengine.trace.contents import BadContent

REQUIRED: Mapping[str, tuple[tuple[str, type[Any]], ...]] = MappingProxyType(
    {
        "header": (("format", int),),
        "input": (("number", int), ("type", str), ("data", dict)),
        "outcome": (("key", list), ("effect", str), ("request", dict), ("outcome", dict)),
        "frame": (("input", int), ("frame", int), ("records", list)),
        "trace": (("input", int), ("path", str), ("total_frames", int), ("frames", int), ("calls", int), ("status", str)),
        "seal": (("inputs", int), ("frames", int), ("calls", int), ("lines", int), ("head", str)),
    }
)
"""Kind of a line to the members it must have, and their types."""
_NAMES: Mapping[type[Any], str] = MappingProxyType({int: "a whole number", str: "a string", dict: "an object", list: "a list"})
_SHAPES: Mapping[str, tuple[tuple[str, ...], tuple[type[Any], ...]]] = MappingProxyType(
    {kind: (tuple([name for name, _ in needed]), tuple([kind for _, kind in needed])) for kind, needed in REQUIRED.items()}
)
_KEY = (int, int, str, int, str)
_UNDIGESTED = "'at' is a whole number, and 'meta' an object that is not empty"


def check_shape(members: dict[str, Any]) -> None:
    """Raise `BadContent` where a line lacks what its kind must have."""
    kind = members["kind"]
    names, types = _SHAPES[kind]
    if tuple(map(type, map(members.get, names))) != types:
        raise _misshapen(members, kind)
    if kind == "trace" and min(members["total_frames"], members["frames"], members["calls"]) < 0:
        raise BadContent("the figures of a trace are counts")
    if "at" in members and type(members["at"]) is not int:
        raise BadContent(_UNDIGESTED)
    if "meta" in members and (type(members["meta"]) is not dict or not members["meta"]):
        raise BadContent(_UNDIGESTED)
    if kind == "outcome":
        types = tuple(map(type, members["key"]))
        if types not in (_KEY, _KEY[:4]):
            raise BadContent("a key is [input, frame, node, call], or those and the stream")
    elif kind == "frame":
        for record in members["records"]:
            if type(record) is not dict or type(record.get("node")) is not str or type(record.get("input")) is not dict:
                raise BadContent("a record is an object that has a node and an input")


def _misshapen(members: dict[str, Any], kind: str) -> BadContent:
    """Return what to say of the first member that is missing or of another type."""
    name, expected = next((name, expected) for name, expected in REQUIRED[kind] if type(members.get(name)) is not expected)
    what = f"is not {_NAMES[expected]}" if name in members else "is missing"
    return BadContent(f"the member {name!r} of a line of kind {kind} {what}")


_FORMS: Mapping[type[Any], str] = MappingProxyType(
    {str: "a text", FrozenMap: "an object", tuple: "a list", int: "a whole number", bool: "true or false"}
)
_HEADER: Mapping[str, type[Any]] = MappingProxyType(
    {
        "engine": str,
        "graph": FrozenMap,
        "fingerprint": FrozenMap,
        "seed": int,
        "clock": str,
        "provenance": FrozenMap,
        "state": FrozenMap,
        "repaired": tuple,
        "durability": str,
    }
)
_RECORD: Mapping[str, type[Any]] = MappingProxyType(
    {
        "node": str,
        "input": FrozenMap,
        "output": FrozenMap,
        "calls": tuple,
        "emissions": tuple,
        "changes": tuple,
        "route": tuple,
        "condition": FrozenMap,
        "error": FrozenMap,
        "now": int,
        "open": bool,
    }
)
_REQUESTS: Mapping[str, Mapping[str, type[Any]]] = MappingProxyType(
    {
        "model": {"model": str, "messages": tuple, "tools": tuple, "params": FrozenMap, "show": bool},
        "tool": {"name": str},
    }
)
_REPLIES: Mapping[str, Mapping[str, type[Any]]] = MappingProxyType(
    {
        "model": {"message": FrozenMap, "finish_reason": str, "usage": FrozenMap, "model": str},
        "tool": {"message": FrozenMap},
    }
)
_NEEDED: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = MappingProxyType(
    {"model": (("model", "messages"), ("message", "finish_reason")), "tool": (("name", "arguments"), ())}
)
"""Members that a request and a reply cannot be without."""
_BODIES: Mapping[str, Mapping[str, type[Any]]] = MappingProxyType(
    {
        "UserMessage": {"message": FrozenMap, "user_id": str, "session_id": str, "channel": str},
        "Action": {"name": str, "data": FrozenMap},
        "Tick": {"readings": FrozenMap},
        "Dashboard": {"controls": tuple},
        "SwitchGraph": {"graph": str, "fingerprint": FrozenMap},
        "Webhook": {"source": str},
        "Given": {"messages": tuple, "state": FrozenMap},
        "StateEdit": {"changes": tuple},
    }
)
_STATUSES = ("ok", "error", "cancelled", "not_recorded")
_OPERATIONS = ("set", "append", "delete")
_CALL = (int, str, str, str, str, str)


def check_data(kind: str, data: FrozenMap) -> None:
    """Raise `BadContent` where a line, its references resolved, is not what whoever reads it may rely on."""
    if kind == "header":
        _check_header(data)
    elif kind == "input":
        _check(data["data"], _BODIES.get(data["type"], {}), f"the data of a {data['type']}")
        if data["type"] == "Given":
            _check_objects(data["data"].get("messages", ()), "the messages of a Given")
        elif data["type"] == "StateEdit":
            _check_changes(data["data"].get("changes", ()))
    elif kind == "outcome":
        _check_request(data["effect"], data["request"])
        check_outcome(data["effect"], data["outcome"])
    elif kind == "frame":
        if data.get("phase", "epilogue") != "epilogue":
            raise BadContent("the phase of a frame is epilogue, or is not said")
        for record in data["records"]:
            _check_record(record)


def check_outcome(effect: str, outcome: FrozenMap) -> None:
    """Raise `BadContent` where an outcome, its references resolved, is none of this kind of effect."""
    if effect not in _REPLIES:
        raise BadContent(f"an effect is a model call or a tool call, not {effect!r}")
    status = outcome.get("status")
    if status not in _STATUSES:
        raise BadContent(f"the status of an outcome is one of {', '.join(_STATUSES)}")
    if status == "ok":
        value = _object(outcome.get("value"), "the value of an outcome")
        _check(value, _REPLIES[effect], f"the reply of a {effect}", _NEEDED[effect][1])
    elif status == "error" or "error" in outcome:
        error = _object(outcome.get("error"), "the error of an outcome")
        _check(error, {"type": str, "message": str, "fields": FrozenMap}, "the error of an outcome", ("type", "message"))


def _check_request(effect: str, request: Any) -> None:
    if effect not in _REQUESTS:
        raise BadContent(f"an effect is a model call or a tool call, not {effect!r}")
    what = f"the request of a {effect} call"
    _check(_object(request, what), _REQUESTS[effect], what, _NEEDED[effect][0])
    if effect == "model":
        _check_objects(request["messages"], "the messages of a request")
        _check_objects(request.get("tools", ()), "the tools of a request")


def _check_header(header: FrozenMap) -> None:
    _check(header, _HEADER, "a header")
    _check_objects(header.get("repaired", ()), "the repairs in a header")
    fingerprint = header.get("fingerprint", EMPTY)
    nodes = _object(fingerprint.get("nodes", EMPTY), "the nodes of a fingerprint")
    _check_objects(tuple(nodes.values()), "the nodes of a fingerprint")
    _object(fingerprint.get("prompts", EMPTY), "the prompts of a fingerprint")


def _check_record(record: FrozenMap) -> None:
    _check(record, _RECORD, "a record", ("node", "input"))
    for call in record.get("calls", ()):
        if (
            type(call) is not tuple
            or len(call) != len(_CALL)
            or not all(map(isinstance, call, _CALL))
            or call[3] not in _STATUSES
        ):
            raise BadContent("a call of a record is [call, kind, name, status, digest of the request, digest of the outcome]")
    for emission in record.get("emissions", ()):
        if type(emission) is not tuple or len(emission) != 2 or not all(map(isinstance, emission, (str, FrozenMap))):
            raise BadContent("an emission of a record is [event, data]")
    _check_changes(record.get("changes", ()))
    if not all(isinstance(node, str) for node in record.get("route", ())):
        raise BadContent("the route of a record is a list of nodes")
    if "error" in record:
        _check(record["error"], {"type": str, "message": str, "where": str}, "the error of a record")


def _check_changes(changes: tuple[Any, ...]) -> None:
    for change in changes:
        _check(_object(change, "a change"), {"op": str, "at": str, "keep": int}, "a change", ("op", "at"))
        if change["op"] not in _OPERATIONS:
            raise BadContent(f"a change is one of {', '.join(_OPERATIONS)}")


def _check(value: Mapping[str, Any], forms: Mapping[str, type[Any]], what: str, needed: tuple[str, ...] = ()) -> None:
    for name in needed:
        if name not in value:
            raise BadContent(f"{what} has no {name}")
    for name, form in forms.items():
        if name in value:
            item = value[name]
            if type(item) is not form and not (form is str and isinstance(item, str)):
                raise BadContent(f"{name!r} in {what} is not {_FORMS[form]}")


def _object(value: Any, what: str) -> FrozenMap:
    if type(value) is not FrozenMap:
        raise BadContent(f"{what} must be an object")
    return value


def _check_objects(items: tuple[Any, ...], what: str) -> None:
    if not set(map(type, items)) <= _OBJECTS:
        raise BadContent(f"{what} must be objects")


_OBJECTS = frozenset({FrozenMap})
