"""A real little proxy for HTTP, and a server with a certificate that only a file of its own vouches for."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

HOST = "models.test"
"""A host that only the proxy knows: whoever goes another way finds nothing."""


class HttpProxy:
    """A proxy on a port of its own: CONNECT, and requests that name their whole URL."""

    def __init__(self, routes: Mapping[str, int], *, user: str = "", silent: bool = False) -> None:
        """*routes* says at which port of this machine a host is; *user* is ``name:password``; *silent* never answers."""
        self.routes = dict(routes)
        self.asked: list[str] = []
        """First lines of the requests that came."""
        self.heads = b""
        """All that a reader of the wire has seen of their heads."""
        self._wanted = f"Basic {b64encode(user.encode()).decode()}" if user else ""
        self._silent = silent
        proxy = self

        class Handler(StreamRequestHandler):
            """Hands one request on."""

            rbufsize = 0
            """Nothing behind the head is read before it is passed on."""

            def handle(self) -> None:
                """Read its head, and pass the rest of the connection on both ways."""
                proxy._serve(self)

        class Server(ThreadingTCPServer):
            """Ends with the test, whatever is still open."""

            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self._ended = threading.Event()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Take no more connections."""
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, handler: StreamRequestHandler) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = handler.rfile.readline()
            if not line:
                return
            head += line
        self.heads += head
        first, *headers = head[:-4].decode("latin-1").split("\r\n")
        self.asked.append(first)
        if self._silent:
            self._ended.wait(20)
            return
        given = next((line.split(": ", 1)[1] for line in headers if line.lower().startswith("proxy-authorization: ")), "")
        if given != self._wanted:
            handler.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            return
        method, target, version = first.split(" ")
        url = urlsplit(f"//{target}" if method == "CONNECT" else target)
        with socket.create_connection(("127.0.0.1", self.routes[url.hostname or ""])) as onward:
            if method == "CONNECT":
                handler.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                path = url._replace(scheme="", netloc="").geturl()
                kept = [line for line in headers if not line.lower().startswith("proxy-")]
                onward.sendall("\r\n".join([f"{method} {path} {version}", *kept, "", ""]).encode("latin-1"))
            back = threading.Thread(target=_pump, args=(onward, handler.connection), daemon=True)
            back.start()
            _pump(handler.connection, onward)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes until one side is closed."""
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def certified(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Make a certificate for `HOST` that vouches for itself; return what serves with it, and the file that clients must trust."""
    key, certificate = folder / "key.pem", folder / "ca.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate
