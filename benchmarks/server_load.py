"""Loads the server that `ganport consumers server` writes, on this machine only, and compares every picture.

    python benchmarks/server_load.py

16 clients send 2,000 requests. A tenth of them is bad: cut, oversized and misfitting pictures, broken forms, senders
that are slow and clients that go away. Then it is told to end while it computes, and another one gets more clients than
it may have in hand. Whatever is not as it must be is counted under "faults". Last, photos are run together and one by
one. The numbers go to benchmarks/results/server_load.json.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import requests

from consumers.server.app import BATCH
from consumers.server.net_file import read_net
from converters.bench.measure import read_environment
from parity_tests.support.served import Server, encode, fill, make_case, serve, stop, write_server
from reference.registry import shipped_bundle

RESULTS = Path(__file__).parent / "results" / "server_load.json"
MOST_CLIENTS, MOST_REQUESTS = 64, 10_000
SIZES = ((32, 48), (48, 48), (64, 64), (40, 72), (96, 64))
CASES_PER_SIZE = 8
BAD_SHARE = 0.1
WORKERS = 2
LIMITS = ("--workers", str(WORKERS), "--max-mib", "1", "--max-megapixels", "1", "--upload-timeout", "2")
SAMPLE_EVERY = 100
MIB = 2**20
FORM = b"Content-Type: multipart/form-data; boundary=b"
Files = dict[str, bytes]


def leave_early(server: Server, good: Files) -> int:
    """Close the connection in the middle of the body; 0 stands for no answer."""
    with server.connect() as leaving:
        leaving.sendall(b"POST /inpaint HTTP/1.1\r\nHost: x\r\n" + FORM + b"\r\nContent-Length: 9999\r\n\r\n--b")
    return 0


def leave_late(server: Server, good: Files) -> int:
    """Reset the connection when the server has the request."""
    parts = {name: (name, data) for name, data in good.items()}
    request = requests.Request("POST", f"{server.url}/inpaint", files=parts).prepare()
    assert isinstance(request.body, bytes)
    lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with server.connect() as leaving:
        leaving.sendall(f"POST /inpaint HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode() + request.body)
        time.sleep(0.02)
        leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    return 0


def send_slowly(server: Server, good: Files) -> int:
    with server.connect() as slow:
        slow.sendall(b"POST /inpaint HTTP/1.1\r\nHost: x\r\n" + FORM + b"\r\nContent-Length: 9999\r\n\r\n--b")
        return int(slow.recv(2**16).split()[1])


def send_broken_form(server: Server, good: Files) -> int:
    headers = {"Content-Type": FORM.split(b": ")[1].decode()}
    return requests.post(f"{server.url}/inpaint", b"--c\r\nno form", headers=headers, timeout=60).status_code


def send(change: Callable[[Files], Files]) -> Callable[[Server, Files], int]:
    return lambda server, good: server.post({**good, **change(good)}).status_code


BOMB = encode(np.zeros((1100, 1100), np.uint8))
# What is sent, and the status that must come.
BAD: Mapping[str, tuple[Callable[[Server, Files], int], int]] = {
    "photo cut short": (send(lambda good: {"photo": good["photo"][: len(good["photo"]) // 2]}), 422),
    "bomb": (send(lambda good: {"photo": BOMB}), 413),
    "mask of another size": (send(lambda good: {"mask": encode(np.zeros((20, 20), np.uint8))}), 422),
    "no picture": (send(lambda good: {"mask": b"hello"}), 415),
    "too many bytes": (send(lambda good: {"photo": bytes(MIB)}), 413),
    "broken form": (send_broken_form, 422),
    "slow sender": (send_slowly, 408),
    "client leaves early": (leave_early, 0),
    "client leaves late": (leave_late, 0),
}


def make_cases(folder: Path) -> list[tuple[Files, bytes]]:
    """Pictures, and what `ganport inpaint` makes of them."""
    cases = [make_case(*size, seed) for size in SIZES for seed in range(CASES_PER_SIZE)]
    return [(case, fill(case, folder / str(index))) for index, case in enumerate(cases)]


class Memory:
    """Resident memory of the server's processes, in MiB, in turn."""

    def __init__(self, server: Server) -> None:
        self.samples: list[float] = []
        self._process = psutil.Process(server.process.pid)

    def sample(self) -> None:
        processes = [self._process, *self._process.children(recursive=True)]
        self.samples.append(sum(process.memory_info().rss for process in processes) / MIB)


def load(server: Server, cases: Sequence[tuple[Files, bytes]], clients: int, count: int) -> dict[str, Any]:
    """Send all requests, and say what came."""
    random = np.random.default_rng(0)
    plan = [
        (list(BAD)[random.integers(len(BAD))] if random.random() < BAD_SHARE else "", int(random.integers(len(cases))))
        for _ in range(count)
    ]
    left = iter(enumerate(plan))
    lock = threading.Lock()
    statuses: Counter[str] = Counter()
    faults: list[str] = []
    seconds: list[float] = []
    batches: Counter[int] = Counter()
    memory = Memory(server)

    def run_client(_: int) -> None:
        while True:
            with lock:
                number, (kind, index) = next(left, (count, ("", 0)))
                if number % SAMPLE_EVERY == 0 and number < count:
                    memory.sample()
            if number == count:
                return
            case, expected = cases[index]
            if kind:
                send_bad, wanted = BAD[kind]
                status = send_bad(server, case)
                with lock:
                    statuses[f"{kind}: {status or 'left'}"] += 1
                    faults.extend([f"{kind}: {status}"] * (status != wanted))
                continue
            began = time.perf_counter()
            answer = server.post(case)
            took = time.perf_counter() - began
            with lock:
                statuses[f"good: {answer.status_code}"] += 1
                seconds.append(took)
                batches[int(answer.headers.get("ganport-batch", 0))] += 1
                if answer.status_code != 200 or answer.content != expected:
                    faults.append(f"case {index}: {answer.status_code}, {len(answer.content)} bytes")

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(run_client, range(clients)))
    took = time.perf_counter() - began
    memory.sample()
    said = requests.get(f"{server.url}/metrics", timeout=60).text
    own_faults = [line for line in said.splitlines() if line.startswith('ganport_answers_total{status="5')]
    return {
        "clients": clients,
        "requests": count,
        "seconds": took,
        "requests_per_second": count / took,
        "pictures_compared": len(seconds),
        "latency_ms": {f"p{part}": float(np.percentile(seconds, part)) * 1000 for part in (50, 90, 99, 100)},
        "answers": dict(sorted(statuses.items())),
        "pictures_by_size_of_run": dict(sorted(batches.items())),
        "memory_mib": {
            "samples": [round(value) for value in memory.samples],
            "after_a_tenth": memory.samples[len(memory.samples) // 10],
            "at_the_end": memory.samples[-1],
        },
        "faults": [*faults, *own_faults],
    }


def overload(server: Server, cases: Sequence[tuple[Files, bytes]], clients: int, count: int) -> dict[str, Any]:
    """More clients than the server may have in hand: every answer is the right picture or 503."""
    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(lambda index: server.post(cases[index % len(cases)][0]), range(count)))
    wrong = [
        f"request {index}: {answer.status_code}"
        for index, answer in enumerate(answers)
        if answer.status_code != 503 and answer.content != cases[index % len(cases)][1]
    ]
    return {
        "clients": clients,
        "requests": count,
        "answers": dict(Counter(str(answer.status_code) for answer in answers)),
        "faults": wrong,
    }


def end(server: Server, cases: Sequence[tuple[Files, bytes]], clients: int) -> dict[str, Any]:
    """SIGTERM with a request of each client in hand."""
    with ThreadPoolExecutor(clients) as pool:
        answers = [pool.submit(server.post, cases[index][0]) for index in range(clients)]
        while server.count("ganport_requests_in_hand") < min(clients, 4):
            time.sleep(0.01)
        in_hand = server.count("ganport_requests_in_hand")
        began = time.perf_counter()
        stop(server, signal.SIGTERM)
        took = time.perf_counter() - began
        right, refused, wrong = 0, 0, []
        for index, answer in enumerate(answers):
            try:
                right += answer.result().content == cases[index][1]
                wrong += [] if answer.result().content == cases[index][1] else [f"case {index}"]
            except requests.ConnectionError:  # it came after the signal
                refused += 1
    faults = wrong + [f"{right} answers of {in_hand:g} in hand"] * (right < in_hand)
    told = {"answered": right, "came_too_late": refused, "seconds_to_the_end": took}
    return {"in_hand": in_hand, **told, "exit_code": server.process.returncode, "faults": faults}


def measure_together() -> list[dict[str, Any]]:
    """Time of one core for a photo, where four are run one by one and where they are run at once."""
    net = read_net(shipped_bundle())
    random = np.random.default_rng(0)
    rows = []
    with net.open(1) as runner:
        for height, width, runs in ((16, 24, 40), (32, 48, 40), (64, 64, 40), (128, 128, 10), (256, 256, 7)):
            feeds = {
                "photo": random.integers(0, 256, (BATCH, height, width, 3), np.uint8),
                "mask": np.zeros((BATCH, height, width), np.uint8),
                "edge_edits": np.zeros((BATCH, height, width), np.int8),
            }
            feeds["mask"][:, height // 4 : height // 2, width // 4 : width // 2] = 1
            singles = [{name: array[i : i + 1] for name, array in feeds.items()} for i in range(BATCH)]
            taken: dict[str, list[float]] = {"alone": [], "together": []}
            for _ in range(runs):
                for how, given in (("alone", singles), ("together", [feeds])):
                    began = time.process_time()
                    results = np.concatenate([runner.run(each)["result"] for each in given])
                    taken[how].append((time.process_time() - began) / BATCH * 1000)
                    if how == "alone":
                        expected = results
                assert (results == expected).all()
            medians = {f"{how}_ms": float(np.median(times)) for how, times in taken.items()}
            rows.append(
                {
                    "size": f"{height}x{width}",
                    **medians,
                    "together_of_alone": medians["together_ms"] / medians["alone_ms"],
                }
            )
    return rows


def main() -> None:
    """Run everything, and write the record."""
    parser = argparse.ArgumentParser(description="Load the server on this machine.")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the record goes")
    given = parser.parse_args()
    clients, count = min(given.clients, MOST_CLIENTS), min(given.requests, MOST_REQUESTS)
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_server(Path(scratch) / "server")
        cases = make_cases(Path(scratch))
        with serve(folder, *LIMITS) as server:
            loaded = load(server, cases, clients, count)
            ended = end(server, cases, clients)
        with serve(folder, *LIMITS, "--max-requests", "4") as server:
            overloaded = overload(server, cases, clients, count // 5)
            stop(server)
    environment = read_environment(1)
    environment["versions"]["litserve"] = version("litserve")
    parts = {"load": loaded, "overload": overloaded, "end": ended, "together": measure_together()}
    record = {**parts, "environment": environment}
    given.json.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record, indent=2))
    faults = [fault for part in (loaded, overloaded, ended) for fault in part["faults"]]
    raise SystemExit(1 if faults else 0)


if __name__ == "__main__":
    main()
