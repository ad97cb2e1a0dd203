"""The server of both proxies: what it writes to a connection, and when."""

from __future__ import annotations

import asyncio
from typing import Any

from frameengine_cli.proxying.server import JOINED_BYTES, Joining


class Connection:
    """A transport that notes what is written, each write by itself."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        """Note a write."""
        assert not self.closed
        self.written.append(bytes(data))

    def close(self) -> None:
        """Note the end."""
        self.closed = True


def test_what_comes_in_one_turn_is_written_in_one_go_and_nothing_of_it_is_lost() -> None:
    """Pieces wait for the end of the turn, unless they are many bytes, are asked for, or the connection is closed."""

    async def write() -> None:
        connection: Any = Connection()
        joining = Joining(connection)
        joining.write(b"head")
        joining.write(b"body")
        assert connection.written == []
        await asyncio.sleep(0)
        assert connection.written == [b"headbody"]
        joining.write(b"x" * JOINED_BYTES)
        joining.write(b"end")
        joining.flush()
        assert connection.written[1:] == [b"x" * JOINED_BYTES, b"end"]
        joining.write(b"last")
        joining.close()
        assert (connection.written[3:], connection.closed) == ([b"last"], True)
        await asyncio.sleep(0)
        assert len(connection.written) == 4

    asyncio.run(write())
