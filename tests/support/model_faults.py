"""What can go wrong with a model over HTTP, row by row: what the server does, and what has to come of it."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from frameengine.jsonvalue import EMPTY
from model_scripts import (
    DONE,
    Cut,
    Hang,
    Head,
    Pause,
    Repeat,
    Reset,
    Script,
    Send,
    answer,
    chunk,
    completion,
    deltas,
    error,
    event,
    sse,
    stream,
    tool_call,
)

KEY = "sk-planted-0123456789"
TEXT = "The answer is 42."
END = chunk({}, finish="stop")
JSON = (("content-type", "application/json"),)
EVENTS = (("content-type", "text/event-stream"),)
HELLO = event(chunk({"content": "The answer"}))
BODY = completion(TEXT)[1]
assert isinstance(BODY, Send)
WHOLE = BODY.data
"""The bytes of a whole answer."""
FULL = b"".join(map(event, deltas(TEXT))) + DONE
"""The bytes of a streamed one."""


@frozen(kw_only=True)
class Row:
    """One row of the matrix in one of its two forms."""

    id: str
    script: Script
    """What the server plays, each time it is asked."""
    comes: str
    """The kind of failure, or the finish reason of an answer."""
    text: str | None = None
    """The text of the answer, or what a failure keeps of it."""
    status: int | None = None
    """The status that the failure names; None for any."""
    tries: int = 1
    """How often the server is asked."""
    waits: tuple[float, ...] | None = None
    """Seconds that are waited between the tries; None for the usual back-off."""
    warns: str = ""
    """What a warning says; empty for any or none."""
    limit: str = ""
    """Which time limit was used up."""
    says: str = ""
    """What stands in the message of the failure."""
    tools: tuple[str, ...] = ()
    """What the tools are seen to give."""
    url: str = ""
    """Where the request goes; empty for the server."""
    timeouts: Mapping[str, float] = EMPTY
    """Time limits that are short for this row."""
    streamed: bool = True


def pair(id: str, streamed: Script, whole: Script | None, comes: str, **more: Any) -> list[Row]:
    """Return a row for a streamed request and one for another; *plain* in *more* is what differs for the second."""
    plain = more.pop("plain", {})
    told = {"comes": comes, **more}
    other = whole if whole is not None else streamed
    return [
        Row(id=f"{id} stream", script=streamed, **told),
        Row(id=f"{id} whole", script=other, streamed=False, **{**told, **plain}),
    ]


def refused(name: str, status: int, *, tries: int = 1, headers: Any = (), **more: Any) -> list[Row]:
    """Return the rows of a status that refuses; its body repeats the key, as some endpoints do."""
    script = error(status, f"no: {KEY}", headers)
    comes = "rate_limited" if status == 429 else "provider_error"
    return pair(name, script, None, comes, status=status, tries=tries, says="no: [key]", **more)


def spoiled(id: str, name: str, *parts: bytes, whole: Script, comes: str, **more: Any) -> list[Row]:
    """Return rows of a stream that consists of *parts*."""
    return pair(f"{id} {name}", sse(*parts), whole, comes, **more)


def body(document: Any) -> Script:
    """Return the script of a whole body."""
    return answer(document if isinstance(document, str | bytes) else json.dumps(document))


def message(**members: Any) -> Script:
    """Return a whole answer whose message and finish reason are given."""
    finish = members.pop("finish", "stop")
    choice = {"index": 0, "message": {"role": "assistant", **members}, "finish_reason": finish}
    return body({"model": "m", "choices": [choice], "usage": {"total_tokens": 1}})


def bomb(encoding: str, data: bytes) -> Script:
    """Return a small compressed body that unpacks to a large one."""
    if encoding == "zstd":
        try:
            from compression import zstd
        except ImportError:
            from backports import zstd
        packed = zstd.compress(data)
    else:
        packed = gzip.compress(data) if encoding == "gzip" else zlib.compress(data)
    return answer(packed, headers=[("content-encoding", encoding)])


SHORT = {"connect": 0.15, "first_token": 0.15, "idle": 0.15}
SLOW = Send(FULL, at=tuple(range(len(FULL))), gap=0.02)
CALLS = [tool_call("look", {"at": 1}), tool_call("look", {"at": 2}, id="call_2")]
LOOKED = ("at 1", "at 2")


def with_calls(*calls: Any) -> tuple[Script, Script]:
    """Return an answer that calls tools, streamed and whole."""
    return stream(None, tool_calls=calls), completion(None, tool_calls=calls)


def connection() -> list[Row]:
    """F01 to F09: no connection, or none that goes on. Rows that need an address of their own get it from the test."""
    nothing: dict[str, Any] = {"tries": 3, "comes": "connect_error"}
    return [
        *pair("F01 refused", [], None, url="refused", **nothing),
        *pair("F02 no such host", [], None, url="http://no-such-host.invalid/v1", **nothing),
        *pair("F03 no TLS there", [], None, url="https", **nothing),
        *pair("F04 connect timeout", [], None, "timeout", url="full", tries=3, limit="connect", timeouts=SHORT),
        *pair("F05 reset before headers", [Reset()], None, **nothing),
        *pair("F05 cut before headers", [Cut()], None, **nothing),
        *pair("F06 headers stall", [Hang()], None, "timeout", timeouts=SHORT, limit="first_token", tries=3,
              plain={"limit": "total", "tries": 1, "timeouts": {"total": 0.3}}),
        *pair("F07 first token stalls", [*sse(b": wait\n\n"), Hang()],
              [Head(headers=JSON, framing="chunked"), Send(b" "), Hang()],
              "timeout", timeouts=SHORT, limit="first_token", tries=3, plain={"limit": "idle"}),
        *pair("F08 stall in the middle", [*sse(HELLO), Hang()], [Head(headers=JSON, framing="chunked"), Send(WHOLE[:40]), Hang()],
              "timeout", timeouts=SHORT, limit="idle", text="The answer", plain={"text": None, "tries": 3}),
        *pair("F09 slow drip", [Head(headers=EVENTS, framing="chunked"), SLOW], [Head(framing="chunked"), SLOW],
              "timeout", timeouts={"idle": 0.15, "total": 0.4}, limit="total"),
    ]  # fmt: skip


def statuses() -> list[Row]:
    """F10 to F30: the endpoint refuses, or sends something else than an answer."""
    wait: dict[str, Any] = {"tries": 3}
    endless: dict[int, Script] = {status: [Head(status, JSON, "chunked"), Send(b'{"error": '), Hang()] for status in (401, 503)}
    return [
        *pair("F18 401 whose text never ends", endless[401], None, "provider_error", status=401, timeouts=SHORT),
        *pair("F18 401 packed wrongly", answer(b"no", 401, [("content-encoding", "gzip")]), None, "provider_error", status=401),
        *pair("F26 503 whose text never ends", endless[503], None, "provider_error", status=503, timeouts=SHORT, tries=3),
        *refused("F10 seconds", 429, headers=[("retry-after", "2")], waits=(2, 2), **wait),
        *refused("F10 half seconds", 429, headers=[("retry-after", "0.5")], waits=(0.5, 0.5), **wait),
        *refused("F11 a date", 429, headers=[("retry-after", "Thu, 01 Jan 1970 00:00:03 GMT")], waits=(3, 3), **wait),
        *refused("F11 a date that is past", 429, headers=[("retry-after", "Wed, 31 Dec 1969 23:59:00 GMT")], waits=(0, 0),
              **wait),
        *refused("F12 milliseconds", 429, headers=[("retry-after-ms", "1500"), ("retry-after", "9")], waits=(1.5, 1.5), **wait),
        *refused("F13 none", 429, **wait),
        *refused("F14 negative", 429, headers=[("retry-after", "-5")], **wait),
        *refused("F15 NaN", 429, headers=[("retry-after", "NaN")], **wait),
        *refused("F15 infinite", 429, headers=[("retry-after", "inf")], **wait),
        *refused("F16 10^9", 429, headers=[("retry-after", "1000000000")]),
        *refused("F16 beyond the cap", 503, headers=[("retry-after", "61")]),
        *[row for number, status in enumerate((400, 401, 403, 404, 413, 422), 17)
          for row in refused(f"F{number} {status}", status)],
        *[row for number, status in ((23, 408), (24, 409), (25, 500), (26, 502), (26, 503), (26, 504), (27, 529))
          for row in refused(f"F{number} {status}", status, tries=3)],
        *pair("F28 an error", body({"error": {"message": f"broke {KEY}", "code": 402}}), None, "provider_error",
              status=200, says="broke [key]"),
        *pair("F28 an error that is called a stream", answer(json.dumps({"error": f"broke {KEY}"}), headers=EVENTS), None,
              "provider_error", status=200, says="broke [key]"),
        *pair("F29 HTML", answer("<html>busy</html>", headers=[("content-type", "text/html")]), None, "bad_response", status=200),
        *pair("F30 nothing", sse(), body(""), "bad_response", status=200, says="empty"),
    ]  # fmt: skip


def cuts() -> list[Row]:
    """F31 to F36: the answer ends too soon, in one way or another."""
    half = FULL[: FULL.index(b"42")]
    keep: dict[str, Any] = {"text": "The answer", "plain": {"text": None, "tries": 3}}
    start = Head(headers=EVENTS, framing="chunked")
    whole = Head(framing="chunked")
    return [
        *pair("F31 no end mark", sse(HELLO, event(END)), [whole, Send(WHOLE[:-9])], "truncated", **keep),
        *pair("F31 no finish reason", sse(HELLO, DONE), [whole, Send(WHOLE[:40])], "truncated", **keep),
        *pair("F32 no end mark, connection closed", sse(HELLO, framing="close"), [Head(framing="close"), Send(WHOLE[:60])],
              "truncated", **keep),
        *pair("F33 cut inside an event", [*sse(half), Cut()], [whole, Send(WHOLE[:60]), Cut()], "truncated",
              text="The answer is", plain=keep["plain"]),
        *pair("F34 last event without its end", sse(HELLO, event(END), DONE[:-1]), [Head(framing="close"), Send(WHOLE[:-1])],
              "truncated", **keep),
        *pair("F35 reset", [*sse(HELLO), Pause(0.05), Reset()], [whole, Send(WHOLE[:60]), Pause(0.05), Reset()], "truncated",
              **keep),
        *pair("F36 cut inside an HTTP chunk", [start, Send(HELLO), Send(b"ff\r\nda", raw=True), Cut()],
              [whole, Send(b"ff\r\n{", raw=True), Cut()], "truncated", **keep),
    ]  # fmt: skip


def events() -> list[Row]:
    """F37 to F53: errors in the stream, and every way of cutting and encoding one."""
    told = {"error": {"message": "overloaded", "code": "busy"}}
    failed: dict[str, Any] = {"comes": "provider_error", "text": "The answer", "says": "overloaded", "plain": {"text": None}}
    good: dict[str, Any] = {"comes": "stop", "text": TEXT}
    plain = completion(TEXT)
    start = Head(headers=EVENTS, framing="chunked")
    bad: dict[str, Any] = {"comes": "bad_chunk", "text": "The answer", "plain": {"comes": "bad_response", "text": None}}
    half = b'data: {"choices":[{"index":0,"delta":{"content":"hal'
    split = FULL.replace(b'"choices":', b'\ndata: "choices":')
    crlf = FULL.replace(b"\n", b"\r\n")
    other = TEXT.replace("42", "\ufffd")
    spoiled_text = FULL.replace(b"42", b"\xff")
    return [
        *spoiled("F37", "error object", HELLO, event(told), whole=body({**told, "choices": []}), **failed),
        *spoiled("F37", "error object in a choice", HELLO, event({"choices": [{"index": 0, "delta": {}, **told}]}),
                 whole=body({"choices": [{"index": 0, "message": {"content": "x"}, **told}]}), **failed),
        *spoiled("F38", "error string", HELLO, event({"error": "overloaded"}), whole=body({"error": "overloaded"}), **failed),
        *spoiled("F39", "error event", HELLO, b'event: error\ndata: {"message": "overloaded"}\n\n',
                 whole=body({"object": "error", "message": "overloaded"}), **failed),
        *spoiled("F39", "error event that is no JSON", HELLO, b"event: error\ndata: overloaded\n\n",
                 whole=body({"error": "overloaded"}), **failed),
        *spoiled("F40", "error glued into an event", HELLO, half + b"event: error\n" + event(told),
                 whole=body({"error": told["error"]}), **failed),
        *spoiled("F40", "error glued into a line", HELLO, half + b'{"error": {"message": "overloaded"}}\n\n',
                 whole=body({"error": told["error"]}), **failed),
        *spoiled("F41", "invalid JSON", HELLO, b"data: {oops}\n\n", DONE, whole=body("{oops}"), **bad),
        *spoiled("F42", "two objects in one event", HELLO, event(END)[:-2] + b"{}\n\n", DONE, whole=body(WHOLE + WHOLE), **bad),
        *spoiled("F43", "JSON over two lines", split, whole=body(WHOLE.replace(b",", b"\n,")), **good),
        *pair("F44 every byte by itself", [start, Send(FULL, at=tuple(range(len(FULL))))],
              [Head(framing="chunked"), Send(WHOLE, at=tuple(range(len(WHOLE))))], **good),
        *spoiled("F45", "all in one read", FULL, whole=plain, **good),
        *spoiled("F46", "byte order mark", b"\xef\xbb\xbf" + FULL, whole=body(b"\xef\xbb\xbf" + WHOLE), **good),
        *spoiled("F47", "CR", FULL.replace(b"\n", b"\r"), whole=plain, **good),
        *pair("F47 CRLF, each CR by itself", [start, Send(crlf, at=tuple(n + 1 for n, byte in enumerate(crlf) if byte == 13))],
              plain, **good),
        *spoiled("F48", "comments between", b": OPENROUTER PROCESSING\n\n", FULL, whole=plain, **good),
        *spoiled("F48", "comments only", b": OPENROUTER PROCESSING\n\n" * 9, whole=body(" \n"), comes="truncated", tries=3,
                 plain={"comes": "bad_response", "tries": 1}),
        *spoiled("F49", "unknown fields", b"id: 1\nretry: 5\nfoo: bar\n\n", FULL, whole=plain, **good),
        *spoiled("F50", "no space behind data", FULL.replace(b"data: ", b"data:"), whole=plain, **good),
        *spoiled("F51", "no UTF-8", spoiled_text, whole=body(WHOLE.replace(b"42", b"\xff")), comes="stop", text=other,
              warns="UTF-8"),
        *spoiled("F51", "no UTF-8 beside what stands for it", FULL.replace(b"42", b"\xef\xbf\xbd\xff"),
                 whole=body(WHOLE.replace(b"42", b"\xef\xbf\xbd\xff")), comes="stop", text=TEXT.replace("42", "\ufffd\ufffd"),
                 warns="UTF-8"),
        *pair("F52 a code point in two pieces", [start, Send(stream_bytes("zwölf €"), at=cuts_in(stream_bytes("zwölf €")))],
              completion("zwölf €"), "stop", text="zwölf €"),
        *spoiled("F53", "lone surrogate", HELLO, event(chunk({"content": "?"})).replace(b"?", b"\\ud83d"), DONE,
                 whole=body(WHOLE.replace(b"42", b"\\ud83d")), **bad),
    ]  # fmt: skip


def stream_bytes(text: str) -> bytes:
    """Return the bytes of a streamed answer."""
    return b"".join(map(event, deltas(text))) + DONE


def cuts_in(data: bytes) -> tuple[int, ...]:
    """Return every place inside a code point."""
    return tuple(place for place, byte in enumerate(data) if byte & 0xC0 == 0x80)


def answers() -> list[Row]:
    """F54 to F72: answers that are odd inside."""
    nothing: dict[str, Any] = {"comes": "bad_response", "says": "choice"}
    usage = {"prompt_tokens": -3, "completion_tokens": 5}
    twice = [*map(event, deltas(TEXT)[:-2]), event(END), event(chunk({}, finish="length")), DONE]
    end = event(END)
    many = [tool_call("look", {"at": number}, id=f"c{number}") for number in range(1000)]
    gap = [chunk({"tool_calls": [{**call, "index": index}]}) for index, call in zip((0, 2), CALLS, strict=True)]
    seen: dict[str, Any] = {"comes": "tool_calls", "text": "done"}
    return [
        *spoiled("F54", "no choices", event({"id": "1"}), DONE, whole=body({"id": "1"}), **nothing),
        *spoiled("F55", "empty choices", event({"choices": []}), DONE, whole=body({"choices": []}), **nothing),
        *spoiled("F55", "choices that are none", event({"choices": "x"}), DONE, whole=body({"choices": [1]}), **nothing),
        *spoiled("F56", "delta null", event({"choices": [{"index": 0, "delta": None}]}), FULL,
                 whole=body({"choices": [{"index": 0, "message": None}]}), comes="stop", text=TEXT,
                 plain={"comes": "bad_response", "text": None}),
        *spoiled("F57", "content null", event(chunk({"role": "assistant", "content": None})), end, DONE,
                 whole=message(content=None), comes="stop", text=""),
        *pair("F58 length", stream(TEXT, finish="length"), completion(TEXT, finish="length"), "length", text=TEXT),
        *pair("F59 content filter", stream("", finish="content_filter"), completion(None, finish="content_filter"),
              "content_filter", text=""),
        *pair("F60 tool_calls without calls", stream(TEXT, finish="tool_calls"), completion(TEXT, finish="tool_calls"),
              "tool_calls", text=TEXT, warns="there are none"),
        *spoiled("F61", "two finish reasons", *twice, whole=message(content=TEXT, finish="length"), comes="length", text=TEXT,
                 warns="two finish reasons", plain={"warns": ""}),
        *pair("F61 finished by an error", stream(TEXT, finish="error"), completion(TEXT, finish="error"), "provider_error",
              text=TEXT),
        *pair("F62 arguments in pieces", *with_calls(*CALLS), **seen, tools=LOOKED),
        *pair("F63 arguments that are no JSON", *with_calls(tool_call("look", '{"at": ')), **seen, tools=("Error",)),
        *pair("F64 NaN in arguments", *with_calls(tool_call("look", '{"at": NaN}')), **seen, tools=("Error",)),
        *pair("F65 a key twice", *with_calls(tool_call("look", '{"at": 1, "at": 2}')), **seen, tools=("Error",)),
        *pair("F66 unknown tool", *with_calls(tool_call("vanish", {})), **seen, tools=("Error",)),
        *pair("F67 a thousand calls", *with_calls(*many), "too_large", says="tool calls of one reply"),
        *pair("F68 ids twice", *with_calls(CALLS[0], {**CALLS[1], "id": "call_1"}), **seen, tools=LOOKED),
        *spoiled("F69", "an index is left out", *map(event, gap), event(chunk({}, finish="tool_calls")), DONE,
                 whole=completion(None, tool_calls=CALLS), **seen, tools=LOOKED, warns="has the index 2", plain={"warns": ""}),
        *spoiled("F70", "data behind the end mark", FULL + HELLO, whole=completion(TEXT), comes="stop", text=TEXT,
                 warns="behind the end mark", plain={"warns": ""}),
        *pair("F71 usage negative", stream(TEXT, usage=usage), completion(TEXT, usage=usage), "stop", text=TEXT,
              warns="prompt_tokens -3"),
        *spoiled("F71", "usage missing", HELLO, end, DONE, whole=body({"choices": json.loads(WHOLE)["choices"]}), comes="stop",
                 text="The answer", warns="no token counts", plain={"text": TEXT}),
        *pair("F72 another model", stream(TEXT, model="other"), completion(TEXT, model="other"), "stop", text=TEXT,
              warns="answered by other"),
    ]  # fmt: skip


def sizes() -> list[Row]:
    """F73 to F79: too much, elsewhere, or not what the headers say."""
    large = "too_large"
    start = Head(headers=EVENTS, framing="chunked")
    comments = Repeat(b": " + b"x" * 65530 + b"\n\n")
    zeros = b'{"x": "' + b"0" * (64 << 20)
    away = [("location", "http://127.0.0.2:9/v1/chat/completions")]
    return [
        *pair("F73 endless", [start, comments], [Head(framing="chunked"), Repeat(b" " * 65536)], large),
        *pair("F74 1 GiB", [Head(headers=EVENTS, length=1 << 30), comments], [Head(length=1 << 30), Repeat(b" " * 65536)], large),
        *pair("F75 an event of 50 MiB", [start, Send(b"data: "), Repeat(b"x" * 65536, 800)],
              [Head(framing="chunked"), Send(b'{"x": "'), Repeat(b"x" * 65536, 800)], large),
        *[row for encoding in ("gzip", "deflate", "zstd")
          for row in pair(f"F76 {encoding} bomb", bomb(encoding, zeros), None, large)],
        *pair("F76 an encoding that nobody knows", answer(b"\x1b\x00\x00", headers=[("content-encoding", "br")]), None,
              "bad_response"),
        *pair("F76 compressed wrongly", answer(WHOLE, headers=[("content-encoding", "gzip")]), None, "bad_response",
              says="compressed"),
        *[row for status in (301, 302, 307, 308)
          for row in pair(f"F77 redirect {status}", answer("", status, away), None, "bad_response", status=status,
                says="redirects")],
        *pair("F78 too small a length", [Head(headers=EVENTS, length=len(HELLO) + 9), Send(HELLO + FULL)],
              [Head(length=len(WHOLE) - 9), Send(WHOLE)], "truncated", text="The answer", plain={"comes": "bad_response",
                    "text": None}),
        *pair("F78 too large a length", [Head(headers=EVENTS, length=len(FULL) + 9), Send(FULL), Cut()],
              [Head(length=len(WHOLE) + 9), Send(WHOLE), Cut()], "stop", text=TEXT,
              plain={"comes": "bad_response", "says": "length"}),
        *pair("F79 two lengths", [Head(headers=(*EVENTS, ("content-length", "5"))), Send(FULL)],
              [Head(headers=(*JSON, ("content-length", "5"))), Send(WHOLE)], "bad_response"),
    ]  # fmt: skip


ROWS = [*connection(), *statuses(), *cuts(), *events(), *answers(), *sizes()]
"""F01 to F79. F80 to F84 are about ending a call, and have tests of their own."""
