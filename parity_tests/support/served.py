"""A written server in a process of its own, and what a test sends to it."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image

from converters.tensors import Array
from parity_tests.support.command import run_ganport
from parity_tests.support.places import PHOTOS

# What the server must not need. Read by every Python process that has its folder in PYTHONPATH.
WITHOUT = """
import sys


class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "onnx", "mxnet", "reference", "ganport", "cli", "scipy", "skimage"):
            raise ModuleNotFoundError(name, name=name)


sys.meta_path.insert(0, Without())
"""
START_S, STOP_S, ANSWER_S = 60, 60, 60


def require_litserve() -> None:
    """Skip the test where the extra is not."""
    pytest.importorskip("litserve", reason="litserve is not installed: it is in the extra `server`")


@dataclass(frozen=True)
class Server:
    """A server that is ready.

    Attributes:
        process: Its main process, the first of a session of its own.
        port: On this machine.
    """

    process: subprocess.Popen[str]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def post(self, files: Mapping[str, bytes], path: str = "/inpaint") -> requests.Response:
        """Send pictures."""
        parts = {name: (name, data) for name, data in files.items()}
        return requests.post(self.url + path, files=parts, timeout=ANSWER_S)

    def count(self, name: str) -> float:
        """What /metrics says under this name; 0 if nothing."""
        said = requests.get(f"{self.url}/metrics", timeout=ANSWER_S).text
        found = re.search(rf"^{re.escape(name)} (\S+)$", said, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def connect(self) -> socket.socket:
        """A connection for a request that no library would send."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=ANSWER_S)

    def list_workers(self) -> list[int]:
        """The process numbers of those that run the net: the spawned ones but for Python's own helper."""
        found = []
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(status.read_text().rpartition(")")[2].split()[1])
                command = (status.parent / "cmdline").read_text()
            except OSError:
                continue
            if parent == self.process.pid and "spawn_main" in command:
                found.append(int(status.parent.name))
        return found


def write_server(folder: Path, bundle: Path | None = None) -> Path:
    """What `ganport consumers server` writes."""
    done = run_ganport("consumers", "server", folder, *(("--bundle", bundle) if bundle else ()))
    assert done.exit_code == 0, done.stderr
    return folder


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the server of a written folder, without torch, onnx and the rest of ganport."""
    hiding = folder.parent / f"{folder.name}-hiding"
    hiding.mkdir(exist_ok=True)
    (hiding / "sitecustomize.py").write_text(WITHOUT)
    environment = {**os.environ, "PYTHONPATH": str(hiding), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(folder / "serve.py"), *arguments],
        cwd=folder.parent,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@contextmanager
def serve(folder: Path, *arguments: str) -> Iterator[Server]:
    """The server of a written folder, ready; killed at the end if it is still there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = start(folder, "--port", str(port), *arguments)
    server = Server(process, port)
    try:
        end = time.monotonic() + START_S
        while not is_ready(server):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < end, "the server is not ready"
            time.sleep(0.1)
        yield server
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def is_ready(server: Server) -> bool:
    try:
        return requests.get(f"{server.url}/health", timeout=ANSWER_S).status_code == 200
    except requests.ConnectionError:
        return False


def stop(server: Server, number: int = signal.SIGTERM) -> str:
    """Tell the main process to end; what it printed. It must end well."""
    server.process.send_signal(number)
    said, _ = server.process.communicate(timeout=STOP_S)
    assert server.process.returncode == 0, said
    return said


def encode(pixels: Array, kind: str = "PNG", **options: object) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind, **options)
    return data.getvalue()


def make_case(height: int, width: int, seed: int) -> dict[str, bytes]:
    """A cut of the coffee photo, and a mask with one hole; other ones for each seed."""
    pixels = np.asarray(Image.open(PHOTOS / "coffee.png").convert("RGB"))
    random = np.random.default_rng(seed)
    top, left = random.integers(pixels.shape[0] - height), random.integers(pixels.shape[1] - width)
    mask = np.zeros((height, width), np.uint8)
    row, column = random.integers(height // 2), random.integers(width // 2)
    mask[row : row + height // 3, column : column + width // 3] = 255
    return {"photo": encode(pixels[top : top + height, left : left + width]), "mask": encode(mask)}


def fill(files: Mapping[str, bytes], folder: Path, bundle: Path | None = None) -> bytes:
    """What `ganport inpaint` writes for the same pictures; `ganport apply` where there is no mask."""
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    command = ["inpaint", folder / "photo", folder / "mask"] if "mask" in files else ["apply", folder / "photo"]
    lines = [part for name in ("draw", "erase") if name in files for part in (f"--{name}", folder / name)]
    chosen = ["--bundle", bundle] if bundle else []
    done = run_ganport(*command, *lines, *chosen, "-o", folder / "filled.png")
    assert done.exit_code == 0, done.stderr
    return (folder / "filled.png").read_bytes()
