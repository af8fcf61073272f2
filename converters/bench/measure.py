"""Measure how fast files run, beside how true they are.

Every contestant lives in a process of its own, so that thread pools do not disturb each other and peak memory is
its own. The processes take turns, one run at a time: whatever slows the machine slows all of them alike.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from converters.bench.sources import BUFFERS, TORCH, Contestant, Group
from converters.bundle.run_artifact import NotRun
from converters.errors import GanportError, UnrunnableError
from converters.tensors import Array, Tensors

WARM_UP_MOST, WARM_UP_WINDOW, WARM_UP_SPREAD = 20, 3, 0.05
# Idle worker threads of the runtimes spin for some milliseconds after a run.
PAUSE_S = 0.03
PACKAGES = ("ganport", "torch", "onnxruntime", "mxnet", "numpy", "tensorrt-rtx-cu13-bindings", "tensorrt")


@dataclass(frozen=True)
class Latency:
    """Statistics of a contestant's runs, in milliseconds; `cov` is the standard deviation over the mean."""

    min: float
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    cov: float


@dataclass(frozen=True)
class Measurement:
    """One contestant's figures.

    Attributes:
        latency_ms: Of one call, all items of the batch.
        images_per_s: Batch size over the median latency.
        load_ms: From opening the files to being ready, the runtime's import left out.
        peak_rss_mib: Of its process, the runtime included.
        max_abs: Largest absolute difference from `compared_with` over all inputs.
        compared_with: Whose outputs are the standard: the checkpoint's in torch where it takes part, else the first.
    """

    contestant: Contestant
    latency_ms: Latency
    images_per_s: float
    load_ms: float
    peak_rss_mib: float
    max_abs: float
    compared_with: Contestant

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        contestant = self.contestant
        return {
            "model": contestant.model,
            "file": contestant.file,
            "runtime": contestant.runtime,
            "parity": contestant.parity,
            "file_mib": contestant.size / 2**20,
            "latency_ms": asdict(self.latency_ms),
            "images_per_s": self.images_per_s,
            "load_ms": self.load_ms,
            "peak_rss_mib": self.peak_rss_mib,
            "max_abs": "inf" if self.max_abs == math.inf else self.max_abs,
            "compared_with": f"{self.compared_with.file} in {self.compared_with.runtime}",
        }


def summarize(latencies_ms: Sequence[float]) -> Latency:
    """Statistics of at least one latency; percentiles interpolate linearly."""
    mean = statistics.fmean(latencies_ms)
    p50, p90, p95, p99 = (float(value) for value in np.percentile(latencies_ms, (50, 90, 95, 99)))
    return Latency(min(latencies_ms), mean, p50, p90, p95, p99, statistics.pstdev(latencies_ms) / mean)


@dataclass(frozen=True)
class Skipped:
    """A contestant that was not measured, and why."""

    contestant: Contestant
    why: str


def measure_group(
    group: Group, threads: int, runs: int, report_progress: Callable[[str], None]
) -> tuple[list[Measurement], list[Skipped]]:
    """Run every contestant of a group on the same inputs in turn.

    Args:
        group: The contestants and their inputs.
        threads: Size of each runtime's thread pool.
        runs: Measured runs of each contestant, after its warm-up.
        report_progress: Told of each step as it begins.

    Returns:
        Figures of those that run here, and why the others do not.

    Raises:
        GanportError: a contestant's files are damaged, or it refuses the inputs.
    """
    batch = next((len(array) for array in group.feeds[0].values() if array.ndim), 1)
    workers: list[_Worker] = []
    skipped: list[Skipped] = []
    try:
        for contestant in group.contestants:
            report_progress(f"{contestant.model}: loading {contestant.runtime}")
            workers.append(_Worker(contestant, group.feeds, threads))
            loaded = workers[-1].load()
            if isinstance(loaded, NotRun):
                workers.pop().close()
                skipped.append(Skipped(contestant, loaded.why))
        for worker in workers:
            report_progress(f"{worker.contestant.model}: warming up {worker.contestant.runtime}")
            worker.warm_up()
        for turn in range(runs if workers else 0):
            report_progress(f"{workers[0].contestant.model}: run {turn + 1} of {runs}")
            for worker in workers:
                worker.run(turn % len(group.feeds))
        results = [worker.finish() for worker in workers]
    finally:
        for worker in workers:
            worker.close()
    contestants = [worker.contestant for worker in workers]
    base = next((i for i, contestant in enumerate(contestants) if contestant.target == TORCH), 0)
    measurements = []
    for worker, (outputs, peak_rss_mib) in zip(workers, results, strict=True):
        latency = summarize(worker.latencies_ms)
        measurements.append(
            Measurement(
                worker.contestant,
                latency,
                1000 * batch / latency.p50,
                worker.load_ms,
                peak_rss_mib,
                max(map(_difference, outputs, results[base][0])),
                contestants[base],
            )
        )
    return measurements, skipped


def _difference(actual: Tensors, expected: Tensors) -> float:
    """Largest absolute difference of all outputs, taken in order; infinite where one is not finite or misshapen."""
    worst = 0.0
    for one, other in zip(actual.values(), expected.values(), strict=True):
        if one.shape != other.shape:
            return math.inf
        distance = np.abs(one.astype(np.float64) - other.astype(np.float64))
        worst = max(worst, float(np.where(np.isnan(distance), np.inf, distance).max()))
    return worst


class _Worker:
    """A process that holds one opened contestant and runs it on demand."""

    def __init__(self, contestant: Contestant, feeds: Sequence[Tensors], threads: int) -> None:
        self.contestant = contestant
        self.latencies_ms: list[float] = []
        self.load_ms = 0.0
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, contestant, feeds, threads), daemon=True)
        self._process.start()
        theirs.close()

    def load(self) -> NotRun | None:
        """Wait until the contestant is opened, or tell why it does not run here."""
        answer = self._receive()
        if isinstance(answer, NotRun):
            return answer
        self.load_ms = answer
        return None

    def warm_up(self) -> None:
        """Run until the last few latencies are close to each other, or often enough."""
        recent: list[float] = []
        while len(recent) < WARM_UP_MOST:
            recent.append(self._ask(len(recent) % BUFFERS))
            last = recent[-WARM_UP_WINDOW:]
            if len(recent) > WARM_UP_WINDOW and max(last) <= min(last) * (1 + WARM_UP_SPREAD):
                return

    def run(self, buffer: int) -> None:
        self.latencies_ms.append(self._ask(buffer))

    def finish(self) -> tuple[list[dict[str, Array]], float]:
        """Outputs for every input, and the peak resident memory in MiB."""
        self._pipe.send(None)
        outputs, peak_rss_mib = self._receive()
        return outputs, peak_rss_mib

    def close(self) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.join()

    def _ask(self, buffer: int) -> float:
        time.sleep(PAUSE_S)
        self._pipe.send(buffer)
        latency_ms: float = self._receive()
        return latency_ms

    def _receive(self) -> Any:
        try:
            answer = self._pipe.recv()
        except EOFError:
            self._process.join()
            raise UnrunnableError(
                self.contestant.file,
                f"its process ended with exit status {self._process.exitcode}",
                "Try a smaller --size or --batch",
            ) from None
        if isinstance(answer, GanportError):
            raise answer
        return answer


def _serve(pipe: Connection, contestant: Contestant, feeds: Sequence[Tensors], threads: int) -> None:
    """Run in the process: open the contestant, send its load time, then one latency for each buffer asked for."""
    import resource

    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        contestant.load_runtime()
        start = time.perf_counter()
        opened = contestant.open(threads)
        if isinstance(opened, NotRun):
            pipe.send(opened)
            return
        with opened as runner:
            pipe.send(1000 * (time.perf_counter() - start))
            while (buffer := pipe.recv()) is not None:
                start = time.perf_counter()
                runner.run(feeds[buffer])
                pipe.send(1000 * (time.perf_counter() - start))
            peak_rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            pipe.send(([dict(runner.run(feed)) for feed in feeds], peak_rss_mib))
            pipe.recv()
    except GanportError as error:
        pipe.send(error)
    except EOFError:
        return


def read_environment(threads: int) -> dict[str, Any]:
    """What the figures depend on: processor, cores, GPU, versions."""
    from converters.targets.tensorrt.runtime import gpu

    model = next(
        (line.split(":", 1)[1].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")),
        platform.processor(),
    )
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads,
        "gpu": gpu(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {package: found for package in PACKAGES if (found := _version(package)) is not None},
    }


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
