"""Write a sealed trace again under another header: for figures that are known only when the run is over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import IO

from frameengine.codec import dumps, loads
from frameengine.jsonvalue import Json
from frameengine.limits import LINE_BYTES_MAX, check
from frameengine.trace.format import CHAIN_BYTES, GENESIS, linked
from frameengine.trace.source import open_trace
from frameengine.trace.writer import header_body


def copy_under(header: Mapping[str, Json], path: Path, sink: IO[bytes]) -> str:
    """Copy the lines of a sealed trace to *sink* byte for byte, with *header* and a chain anew; return the seal's chain value.

    The trace must be one that was written a moment ago: its chain is not looked at. Raises `LimitError` for a header too long.
    """
    line, chain = linked(GENESIS, header_body(header))
    check("the header, in bytes,", LINE_BYTES_MAX, len(line), "leave out what it need not say")
    last, body = chain, b""
    with open_trace(path) as file:
        file.readline(LINE_BYTES_MAX)
        while following := file.readline(LINE_BYTES_MAX):
            sink.write(line)
            last, body = chain, following[:-CHAIN_BYTES]
            line, chain = linked(last, body)
        seal = {**loads(body + b"}"), "head": last.decode()}
        line, chain = linked(last, dumps(seal)[:-1])
        sink.write(line)
    return chain.decode()
