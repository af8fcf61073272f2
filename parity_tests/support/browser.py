"""Headless Chromium, driven by the DevTools protocol over two pipes: no package is needed."""

from __future__ import annotations

import base64
import json
import os
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from parity_tests.support.places import ROOT

UNPACKED = ROOT / "build" / "web" / "chromium"
# The graphics card: none, or one that the browser computes by itself (SwiftShader).
NO_GPU = ("--disable-gpu",)
SOFT_GPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader")
# Seconds: a run of a loaded machine may take many times that of an idle one.
PATIENCE = 240


def find_chromium() -> tuple[str, dict[str, str]] | None:
    """The browser and the environment that it needs: the system's, or the one that `make` unpacked."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if (path := shutil.which(name)) is not None:
            return path, dict(os.environ)
    path = UNPACKED / "usr" / "lib" / "chromium" / "chromium"
    if not path.is_file():
        return None
    libraries = ":".join((UNPACKED / "libraries").read_text().split())
    return str(path), {**os.environ, "LD_LIBRARY_PATH": libraries}


class PageError(AssertionError):
    """JavaScript that a test ran threw, or what a test waited for did not come."""


class Browser:
    """One Chromium process with a profile of its own."""

    def __init__(self, profile: Path, gpu: tuple[str, ...] = NO_GPU) -> None:
        found = find_chromium()
        assert found is not None
        path, environment = found
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        options = ["--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-background-networking"]
        options += ["--no-sandbox", "--disable-dev-shm-usage", "--force-color-profile=srgb", *gpu]

        # The protocol's numbers: 3 to read, 4 to write. Python itself cannot place a child's pipes so.
        place = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self.process = subprocess.Popen(
            ["bash", "-c", place, "bash", path, *options, f"--user-data-dir={profile}", "about:blank"],
            env=environment,
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._answers: dict[int, queue.Queue[dict[str, Any]]] = {}
        self._last = 0
        self.listeners: list[Callable[[dict[str, Any]], None]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with os.fdopen(self._in, "rb", buffering=0) as stream:
            rest = b""
            while chunk := stream.read(1 << 20):
                *messages, rest = (rest + chunk).split(b"\0")
                for message in map(json.loads, messages):
                    if "id" in message:
                        self._answers[message["id"]].put(message)
                    else:
                        for listener in list(self.listeners):
                            listener(message)

    def send(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """The answer to one command of the protocol."""
        self._last += 1
        number = self._last
        self._answers[number] = queue.Queue()
        message = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        os.write(self._out, json.dumps(message).encode() + b"\0")
        answer = self._answers[number].get(timeout=PATIENCE)
        if "error" in answer:
            raise PageError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def close(self) -> None:
        """End the process."""
        try:
            self.send("Browser.close")
            self.process.wait(timeout=20)
        except (PageError, OSError, queue.Empty, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        os.close(self._out)


class Page:
    """One tab. `requests` holds the addresses of everything that was asked for, by its workers too."""

    def __init__(
        self, browser: Browser, downloads: Path, size: tuple[int, int] = (1280, 900), phone: bool = False
    ) -> None:
        self.browser, self.downloads = browser, downloads
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._context = browser.send("Target.createBrowserContext")["browserContextId"]
        target = browser.send("Target.createTarget", url="about:blank", browserContextId=self._context)["targetId"]
        self._session = browser.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._sessions = {self._session}
        browser.listeners.append(self._hear)
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")
        self.send("Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=False, flatten=True)
        browser.send(
            "Browser.setDownloadBehavior",
            behavior="allow",
            browserContextId=self._context,
            downloadPath=str(downloads),
        )
        width, height = size
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=3 if phone else 1,
            mobile=phone,
        )
        if phone:
            self.send("Emulation.setTouchEmulationEnabled", enabled=True)

    def _hear(self, message: dict[str, Any]) -> None:
        if message.get("sessionId") not in self._sessions:
            return
        method, params = message["method"], message["params"]
        if method == "Target.attachedToTarget":
            # A worker: its requests count, too. Not waited for: this is the thread that reads the answers.
            self._sessions.add(params["sessionId"])
            threading.Thread(target=self._watch, args=(params["sessionId"],), daemon=True).start()
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(str(params["exceptionDetails"].get("exception", {}).get("description")))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    def _watch(self, session: str) -> None:
        with suppress(PageError):  # a worker that is gone again
            self.browser.send("Network.enable", session)

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer to one command of the protocol, sent to this tab."""
        return self.browser.send(method, self._session, **params)

    def open(self, url: str) -> None:
        """Go to a page, and wait until its scripts have run."""
        for place in ("about:blank", url):  # so that nothing of a page that was open is taken for the new one's
            self.send("Page.navigate", url=place)
            self.wait(f"location.href.startsWith({json.dumps(place)})")
        self.wait("document.readyState === 'complete'")

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression, promises awaited."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise PageError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, expression: str, stop: str = "false") -> None:
        """Wait until an expression is true; in vain when `stop` is."""
        end = time.monotonic() + PATIENCE
        while not self.run(expression):
            if time.monotonic() > end or self.run(stop):
                raise PageError(f"{expression} did not come; status: {self.status()}; errors: {self.errors}")
            time.sleep(0.05)

    def status(self) -> str:
        """What the page says."""
        return str(self.run("document.getElementById('status')?.textContent"))

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Left, top, width and height of an element, scrolled into view."""
        script = f"""(() => {{
            const element = document.querySelector({json.dumps(selector)});
            element.scrollIntoView({{block: "center"}});
            const {{left, top, width, height}} = element.getBoundingClientRect();
            return [left, top, width, height];
        }})()"""
        left, top, width, height = self.run(script)
        return left, top, width, height

    def mouse(self, kind: str, x: float, y: float, pressed: bool) -> None:
        """One mouse event."""
        button = "left" if pressed or kind == "mouseReleased" else "none"
        buttons = 1 if pressed else 0
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, buttons=buttons, clickCount=1)

    def click(self, selector: str) -> None:
        """Click an element with the mouse."""
        left, top, width, height = self.box(selector)
        x, y = left + width / 2, top + height / 2
        self.mouse("mousePressed", x, y, True)
        self.mouse("mouseReleased", x, y, False)

    def stroke(self, points: list[tuple[float, float]], touch: bool = False) -> None:
        """Draw on the stage with the mouse or a finger; points are shares of its width and height."""
        left, top, width, height = self.box("#stage")
        at = [(left + x * width, top + y * height) for x, y in points]
        if touch:
            for kind, (x, y) in [("touchStart", at[0]), *(("touchMove", place) for place in at[1:])]:
                self.send("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y}])
            self.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
            return
        self.mouse("mousePressed", *at[0], True)
        for x, y in at[1:]:
            self.mouse("mouseMoved", x, y, True)
        self.mouse("mouseReleased", *at[-1], False)

    def key(self, key: str, down: bool = True, up: bool = True) -> None:
        """Press and let go a key."""
        for kind in [*(["keyDown"] if down else []), *(["keyUp"] if up else [])]:
            self.send(
                "Input.dispatchKeyEvent", type=kind, key=key, text=key if kind == "keyDown" and len(key) == 1 else ""
            )

    def give_file(self, selector: str, path: Path) -> None:
        """Choose a file in a file input."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    def download(self, selector: str) -> Path:
        """Click what starts a download; the file, moved aside so that the next one can have its name."""
        self.click(selector)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = [path for path in self.downloads.iterdir() if path.is_file() and path.suffix == ".png"]
            if found and found[0].stat().st_size > 0:
                aside = self.downloads / f"{time.monotonic_ns()}"
                aside.mkdir()
                return found[0].rename(aside / found[0].name)
            time.sleep(0.05)
        raise PageError("no file was downloaded")

    def screenshot(self, path: Path) -> None:
        """A JPEG of what is seen."""
        taken = self.send("Page.captureScreenshot", format="jpeg", quality=80)
        path.write_bytes(base64.b64decode(taken["data"]))

    def close(self) -> None:
        """Close the tab and forget what it kept."""
        self.browser.listeners.remove(self._hear)
        self.browser.send("Target.disposeBrowserContext", browserContextId=self._context)


@contextmanager
def open_browser(profile: Path, gpu: tuple[str, ...] = NO_GPU) -> Iterator[Browser]:
    """A browser, ended in the end."""
    browser = Browser(profile, gpu)
    try:
        yield browser
    finally:
        browser.close()
