"""Check the bundle, start LitServe's processes, and end them when the last answer is given."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing.synchronize import Event
from pathlib import Path
from types import FrameType

import litserve
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, Response

from consumers.server.guard import Guard, Limits
from consumers.server.net_file import NetFile, read_net
from consumers.server.photo_api import PhotoAPI
from converters.errors import GanportError
from converters.runners import count_cores, memory_of_machine

# A worker's memory, of the shipped pair, rounded up.
BYTES_PER_PIXEL = 1000
# For what is not measured by the other times when the server is told to end.
SPARE_S = 5.0
TICK_S = 0.2
# The most photos of one run.
BATCH = 4


def main(bundle: Path, arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        bundle: The bundle's folder.
        arguments: Of the command line; None takes the program's.

    Returns:
        The exit code.
    """
    given = _parse(arguments)
    pixels = int(given.max_megapixels * 1e6)
    limits = Limits(given.max_mib * 2**20, pixels, given.max_requests, given.upload_timeout, given.timeout)
    workers = given.workers or _count_workers(limits.pixels)
    try:
        net = read_net(bundle)
        with net.open(1) as runner:  # a file that does not load is told here, not by each worker
            batch = BATCH if net.takes_batches and net.runs_alike_in_batches(runner) else 1
    except GanportError as error:
        print(f"serve.py: {error}", file=sys.stderr)
        return error.exit_code
    print(f"http://{given.host}:{given.port}{net.address}; /health tells when it is ready; Ctrl-C ends it", flush=True)
    drained = multiprocessing.get_context("spawn").Event()
    threads = max(1, count_cores() // workers)
    api = PhotoAPI(net.address, bundle, limits, workers, threads, batch, drained)
    server = make_server(api, net, limits, workers)
    _end_on_signals(server, drained)
    server.run(given.host, given.port, 1, log_level="error", generate_client_file=False)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Serve the bundle beside this file over HTTP.")
    add = parser.add_argument
    add("--host", choices=["127.0.0.1", "0.0.0.0", "::"], default="127.0.0.1", help="(default: %(default)s)")
    add("--port", type=_read_port, default=8000, help="from 1024 (default: %(default)s)")
    add("--workers", type=_read_count, help="processes that run the net (default: by cores and memory)")
    add("--max-mib", type=_read_count, default=32, help="of a request (default: %(default)s)")
    add(
        "--max-megapixels",
        type=_read_positive,
        default=4.0,
        help="of a picture; a worker needs 1 GB for each (default: %(default)s)",
    )
    add("--max-requests", type=_read_count, default=32, help="in hand at once (default: %(default)s)")
    add("--upload-timeout", type=_read_positive, default=30.0, help="seconds to arrive in (default: %(default)s)")
    add("--timeout", type=_read_positive, default=60.0, help="seconds from then to the answer (default: %(default)s)")
    return parser.parse_args(arguments)


def _read_port(text: str) -> int:
    if not 1024 <= int(text) < 2**16:  # LitServe takes no other
        raise ValueError
    return int(text)


def _read_count(text: str) -> int:
    return int(_read_positive(str(int(text))))


def _read_positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError
    return number


def _count_workers(pixels: int) -> int:
    return max(1, min(count_cores(), memory_of_machine() // (pixels * BYTES_PER_PIXEL)))


def make_server(api: PhotoAPI, net: NetFile, limits: Limits, workers: int) -> litserve.LitServer:
    """LitServe with our guard before it, and with the addresses /contract and /metrics."""
    server = litserve.LitServer(
        api,
        accelerator="cpu",
        workers_per_device=workers,
        timeout=limits.answer_s,
        disable_openapi_url=True,
        restart_workers=True,
    )
    server.uvicorn_graceful_timeout = limits.upload_s + limits.answer_s + SPARE_S
    server.app.add_middleware(Guard, path=net.address, limits=limits)
    server.app.add_route("/contract", lambda request: JSONResponse(net.contract))
    server.app.add_route("/metrics", lambda request: Response(generate_latest(), media_type=CONTENT_TYPE_LATEST))
    return server


def _end_on_signals(server: litserve.LitServer, drained: Event) -> None:
    """Let uvicorn answer what is in hand, then the workers end, then LitServe, which by itself knows no SIGTERM.

    Signals may come to all processes at once. Those that LitServe forks have this handler, and leave it to the main
    one; a worker waits until `drained` is set.
    """
    main_process = os.getpid()

    def end() -> None:
        while server._shutdown_event is None:  # LitServe is about to make it
            time.sleep(TICK_S)
        for child in multiprocessing.active_children():
            while child.name.startswith("LitServer-") and child.is_alive():
                child.terminate()  # again, if it has just begun and did not hear the first
                child.join(TICK_S)
        drained.set()
        server._shutdown_event.set()

    def begin_end(number: int, _: FrameType | None) -> None:
        if os.getpid() == main_process:
            for each in (signal.SIGINT, signal.SIGTERM):
                signal.signal(each, signal.SIG_IGN)
            # In a thread: this one waits for the event that is set there.
            threading.Thread(target=end, daemon=True).start()

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, begin_end)
