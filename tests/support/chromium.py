"""A headless Chromium, driven over a pipe: what a page runs, asks for and looks like. No library is needed for it."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from attrs import define, field

NAMES = ("chromium-headless-shell", "headless_shell", "chromium", "chromium-browser", "google-chrome")
HANG_SECONDS = 120
"""A browser that says nothing for this long waits for something that will not come."""
_SETTLE = "new Promise(done => requestAnimationFrame(() => setTimeout(done, 60)))"
"""Time for what a page would do after it is loaded: a refresh, a handler of an image that is not there."""


def find() -> str | None:
    """Return the browser: what FRAMEENGINE_CHROMIUM names, or one that is installed; None where there is none."""
    named = os.environ.get("FRAMEENGINE_CHROMIUM")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


@define
class Visit:
    """What happened while a page was open."""

    url: str
    scripts: list[str] = field(factory=list)
    """Scripts of the page that were parsed: inline, in attributes, from elsewhere."""
    requests: list[str] = field(factory=list)
    """What was asked for besides the page itself, blocked or not."""
    dialogs: list[str] = field(factory=list)
    """Messages that a script showed."""

    @property
    def quiet(self) -> bool:
        """Whether nothing ran and nothing was asked for."""
        return not (self.scripts or self.requests or self.dialogs)


class Chromium:
    """One browser with one page."""

    def __init__(self, program: str) -> None:
        self._profile = TemporaryDirectory(prefix="frameengine-chromium-", ignore_cleanup_errors=True)
        ours, theirs = os.pipe(), os.pipe()
        inner = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (ours[0], theirs[1])]

        def connect() -> None:
            os.dup2(inner[0], 3)
            os.dup2(inner[1], 4)

        self._process = subprocess.Popen(
            [
                program,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
                "--no-first-run",
                "--disable-background-networking",
                "--host-resolver-rules=MAP * ~NOTFOUND",
                f"--user-data-dir={self._profile.name}",
                "--remote-debugging-pipe",
                "about:blank",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(3, 4),
            preexec_fn=connect,  # noqa: PLW1509 - the browser wants its pipe at these two numbers
        )
        for end in (ours[0], theirs[1], *inner):
            os.close(end)
        self._write, self._read = ours[1], theirs[0]
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self._events: list[dict[str, Any]] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(each["targetId"] for each in targets if each["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Debugger"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # It ends its own children; it may be gone before it has answered.
        os.write(self._write, b'{"id":0,"method":"Browser.close"}\0')
        self._process.wait(HANG_SECONDS)
        os.close(self._write)
        os.close(self._read)
        self._profile.cleanup()

    def open(self, path: Path, *, width: int = 1280, height: int = 900, dark: bool = False, scale: float = 1) -> Visit:
        """Open a file, and return what happened until it was quiet."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=scheme)
        visit = Visit(path.as_uri())
        self._events.clear()
        self.call("Page.navigate", url=visit.url)
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._take(self._message())
        self._ask("Runtime.evaluate", expression=_SETTLE, awaitPromise=True)
        for event in self._events:
            self._note(visit, event["method"], event["params"])
        return visit

    def evaluate(self, expression: str) -> Any:
        """Return what an expression gives in the page."""
        return self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)["result"].get("value")

    def picture(self, path: Path) -> None:
        """Keep a picture of the whole page."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)["data"]
        path.write_bytes(base64.b64decode(data))

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask the browser for something, and return its answer."""
        message = self._ask(method, **params)
        assert "error" not in message, (method, message)
        answer: dict[str, Any] = message["result"]
        return answer

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Return an answer, also one that there is none: a page that went away gives no other."""
        self._number += 1
        told = {"id": self._number, "method": method, "params": params}
        os.write(self._write, json.dumps(told | ({"sessionId": self._session} if self._session else {})).encode() + b"\0")
        while True:
            message = self._message()
            if message.get("id") == self._number:
                return message
            self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        if "method" in message:
            self._events.append(message)
        if message.get("method") == "Page.javascriptDialogOpening":
            # The page waits until it is closed. Nobody waits for the answer to this, so it has a number of its own.
            told = {"id": 0, "method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
            os.write(self._write, json.dumps(told | {"sessionId": self._session}).encode() + b"\0")

    def _note(self, visit: Visit, method: str, params: dict[str, Any]) -> None:
        if method == "Debugger.scriptParsed" and params["url"]:
            visit.scripts.append(params["url"])
        elif method == "Network.requestWillBeSent" and params["request"]["url"] != visit.url:
            visit.requests.append(params["request"]["url"])
        elif method == "Page.frameRequestedNavigation":
            visit.requests.append(params["url"])
        elif method == "Page.javascriptDialogOpening":
            visit.dialogs.append(params["message"])

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], HANG_SECONDS)
            data = os.read(self._read, 1 << 20) if ready else b""
            if not data:
                raise AssertionError(f"the browser is silent, its exit code is {self._process.poll()}")
            self._buffer += data
        whole, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(whole)
        return message
