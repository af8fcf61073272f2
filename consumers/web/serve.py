"""Serve this folder to browsers on this machine. Python's standard library is enough.

    python3 serve.py [PORT]

The headers let the net use several threads, and keep the page from loading anything from elsewhere.
"""

from __future__ import annotations

import argparse
import functools
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; style-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
ISOLATION = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}


class Handler(SimpleHTTPRequestHandler):
    """Files of a folder, with the headers that the page needs."""

    extensions_map = {  # noqa: RUF012  # as in the class that it changes
        **SimpleHTTPRequestHandler.extensions_map,
        ".html": "text/html; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".mjs": "text/javascript; charset=utf-8",
        ".wasm": "application/wasm",
        ".onnx": "application/octet-stream",
    }
    is_isolated = True

    def end_headers(self) -> None:
        """Add the headers to every answer."""
        self.send_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-cache")
        for name, value in ISOLATION.items() if self.is_isolated else ():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: whoever looks at the terminal wants to see the address."""


class Server(ThreadingHTTPServer):
    """A server that says nothing when a browser hangs up."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what went wrong, unless the browser only left the page."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def make_server(folder: Path, port: int, handler: type[Handler] = Handler) -> Server:
    """A server of `folder` on this machine only; port 0 takes a free one."""
    return Server(("127.0.0.1", port), functools.partial(handler, directory=str(folder)))


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Serve this folder to browsers on this machine.")
    parser.add_argument("port", nargs="?", type=int, default=8000)
    port = parser.parse_args().port
    try:
        server = make_server(Path(__file__).resolve().parent, port)
    except OSError as error:
        raise SystemExit(f"serve.py: port {port} cannot be used ({error.strerror}). Name another one.") from error
    print(f"http://localhost:{server.server_port}/  (Ctrl-C ends it)", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main()
