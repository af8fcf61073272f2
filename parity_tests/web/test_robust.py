"""The page when something is wrong: damaged files, no threads, no server; and that nothing is loaded from elsewhere."""

from __future__ import annotations

import json
import shutil
import socketserver
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest

from converters.bundle.folder import Bundle
from parity_tests.support.browser import Page
from parity_tests.support.places import ROOT
from parity_tests.support.web_page import BAD, NODE_MODULES, READY, load_server, require_runtime, serve, write_page

SAVED = "!document.getElementById('download').disabled"
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; style-src 'self'"
)


@pytest.mark.parametrize("damage", ["truncated", "flipped bit"])
def test_damaged_model_is_told_and_the_marks_stay(
    page_folder: Path, open_page: Callable[..., Page], tmp_path: Path, damage: str
) -> None:
    folder = Path(shutil.copytree(page_folder, tmp_path / "page"))
    (model,) = (folder / "model").glob("*.onnx")
    good = model.read_bytes()
    bad = good[: len(good) // 2] if damage == "truncated" else good[:99] + bytes([good[99] ^ 1]) + good[100:]
    model.write_bytes(bad)
    with serve(folder) as url:
        page = open_page(url)
        page.wait(BAD)
        expected = {
            "truncated": f"{model.name} has {len(bad)} of {len(good)} bytes: the download was cut short.",
            "flipped bit": f"{model.name} is not the file that its manifest tells of (SHA-256). "
            "Write the page again with `ganport consumers web`.",
        }
        assert page.status() == f"{expected[damage]} Press Run to try again."
        page.wait("!document.getElementById('clear').disabled")
        model.write_bytes(good)
        page.click("#run")
        page.wait(SAVED, stop=BAD)


def test_model_is_kept_for_the_next_visit_and_checked_again(page_folder: Path, open_page: Callable[..., Page]) -> None:
    with serve(page_folder) as url:
        page = open_page(url)
        page.wait(READY, stop=BAD)
        page.requests.clear()
        page.open(url)
        page.wait(READY, stop=BAD)
        assert not any(request.endswith(".onnx") for request in page.requests)
        # A kept file that was damaged is downloaded again.
        page.run("""(async () => {
            const cache = await caches.open("ganport-models");
            for (const key of await cache.keys()) await cache.put(key, new Response(new Uint8Array([1, 2, 3])));
        })()""")
        page.open(url)
        page.wait(READY, stop=BAD)
        assert any(request.endswith(".onnx") for request in page.requests)


def test_one_thread_is_tried_when_several_fail(
    page_folder: Path, open_page: Callable[..., Page], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(page_folder, tmp_path / "page"))
    worker = folder / "worker.js"
    # Threads that fail: the worker throws at its start, where it is given several.
    worker.write_text(f"if (!self.location.search.endsWith('=1')) throw new Error('no threads');\n{worker.read_text()}")
    with serve(folder) as url:
        page = open_page(url)
        page.wait(READY, stop=BAD)
        assert page.run("crossOriginIsolated")
        assert page.run("document.documentElement.dataset.threads") == "1"
        page.click("#run")
        page.wait(SAVED, stop=BAD)


def test_file_without_a_server_says_how_to_start_one(page_folder: Path, open_page: Callable[..., Page]) -> None:
    page = open_page((page_folder / "index.html").as_uri())
    page.wait("getComputedStyle(document.getElementById('not-served')).visibility === 'visible'")
    assert "python3 serve.py" in page.run("document.getElementById('not-served').innerText")


def test_served_page_hides_that_line(page: Page) -> None:
    assert page.run("document.getElementById('not-served').hidden")


@pytest.mark.parametrize("name", ["deepfill-v2", "partial-conv", "style-transfer", "edgeconnect-inpaint"])
def test_contract_of_another_bundle_decides_what_is_shown(
    name: str, convert_case: Callable[[str], Bundle], open_page: Callable[..., Page], tmp_path: Path
) -> None:
    with serve(write_page(tmp_path / "page", convert_case(name).folder)) as url:
        page = open_page(url)
        if name == "edgeconnect-inpaint":
            page.wait(BAD)
            assert page.status().startswith(
                "This page shows nets that take a photo, with or without a mask and edge edits."
            )
            assert "edgeconnect-inpaint takes image, edges, mask." in page.status()
            return
        page.wait(READY, stop=BAD)
        hidden = {f: page.run(f"document.querySelector('{f}').checkVisibility()") for f in ("#marks", ".tool.draw")}
        assert hidden == {"#marks": name != "style-transfer", ".tool.draw": False}
        page.click("#run")
        page.wait(SAVED, stop=BAD)
        page.download("#download")


def test_nothing_is_loaded_from_elsewhere_and_the_policy_is_sent(page: Page) -> None:
    page.click("#run")
    page.wait(SAVED, stop=BAD)
    origin = page.run("location.origin")
    assert [request for request in page.requests if not request.startswith((f"{origin}/", "blob:", "data:"))] == []
    assert any(request.endswith(".wasm") for request in page.requests)
    assert page.errors == []
    with urlopen(f"{origin}/index.html") as answer:
        assert answer.headers["Content-Security-Policy"].startswith(POLICY)
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    with urlopen(f"{origin}/ort/ort-wasm-simd-threaded.wasm") as answer:
        assert answer.headers["Content-Type"] == "application/wasm"
    blocked = page.run("fetch('https://example.invalid/').then(() => 'sent', () => 'blocked')")
    assert blocked == "blocked"
    assert any("Content Security Policy" in error for error in page.errors)


def test_server_listens_on_this_machine_only_and_says_when_a_port_is_taken(tmp_path: Path) -> None:
    shutil.copy(ROOT / "consumers" / "web" / "serve.py", tmp_path)
    server: socketserver.TCPServer = load_server(tmp_path).make_server(tmp_path, 0)
    with server:
        assert server.server_address[0] == "127.0.0.1"
        port = str(server.server_address[1])
        command = [sys.executable, str(tmp_path / "serve.py"), port]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert done.stderr == f"serve.py: port {port} cannot be used (Address already in use). Name another one.\n"


def test_command_says_how_to_get_what_browsers_need(tmp_path: Path) -> None:
    version = json.loads((ROOT / "consumers" / "web" / "package.json").read_text())["dependencies"]["onnxruntime-web"]
    command = [sys.executable, "-m", "cli", "consumers", "web", str(tmp_path / "page")]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"ganport: node_modules/onnxruntime-web: version {version}, which runs nets in browsers, is not here. "
        f"Run `npm install --no-save onnxruntime-web@{version}` in this folder first."
    )
    assert not (tmp_path / "page").exists()


def test_written_page_is_whole_and_holds_no_more(page_folder: Path) -> None:
    require_runtime()
    files = {path.relative_to(page_folder).as_posix() for path in page_folder.rglob("*") if path.is_file()}
    scripts = {"draw.js", "golden.js", "marks.js", "model.js", "net.js", "page.js", "picture.js", "worker.js"}
    shown = {"README.md", "index.html", "sample.json", "sample.png", "serve.py", "style.css"}
    runtime = {"ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"}
    assert files == scripts | shown | {f"ort/{name}" for name in runtime} | {"model/manifest.json", "model/net.onnx"}
    for name in runtime:
        assert (page_folder / "ort" / name).read_bytes() == (
            NODE_MODULES / "onnxruntime-web" / "dist" / name
        ).read_bytes()
