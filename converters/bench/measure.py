"""Measure latency, load time and memory of files, and how far their outputs differ.

Every contestant has a process of its own: thread pools do not disturb each other, and peak memory is counted per
contestant. The processes take turns, one run at a time, so that whatever slows the machine slows all of them alike.
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

from converters.bench.peak_memory import read_peak_gib
from converters.bench.sources import BUFFERS, TORCH, Contestant, Group
from converters.bundle.run_artifact import NotRun
from converters.errors import GanportError, MissingPackageError, UnrunnableError, explain_unforeseen
from converters.runners import count_cores
from converters.tensors import Array, Tensors

# A warm-up ends when the latest 3 runs take at most 5 % longer than the fastest of them, and after 20 runs anyway.
WARM_UP_WINDOW, MAX_WARM_UP_SPREAD, MAX_WARM_UP_RUNS = 3, 0.05, 20
# Before each run: worker threads of the runtime that ran last still spin for some milliseconds.
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
        contestant: What was measured.
        latency_ms: Of one call with the whole batch.
        images_per_s: Batch size over the median latency.
        load_ms: From opening the files to being ready to run, without the import of the runtime.
        peak_rss_mib: Peak resident memory of its process, runtime included.
        max_abs: Largest absolute difference from the outputs of `compared_with`, over all inputs.
        compared_with: The checkpoint in torch if the group holds it, else the group's first contestant.
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
    """Run the contestants of a group in turn on the same inputs.

    Args:
        group: The contestants and their inputs.
        threads: Size of each runtime's thread pool.
        runs: Measured runs of each contestant, after its warm-up.
        report_progress: Called with a description of each step before it begins.

    Returns:
        The contestants that run on this machine, measured; and those that do not run, with the reason.

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
    """Largest absolute difference over all outputs, paired by position; infinite if it is NaN or shapes differ."""
    largest = 0.0
    for one, other in zip(actual.values(), expected.values(), strict=True):
        if one.shape != other.shape:
            return math.inf
        difference = np.abs(one.astype(np.float64) - other.astype(np.float64))
        largest = max(largest, float(np.where(np.isnan(difference), np.inf, difference).max()))
    return largest


class _Worker:
    """A process that opens one contestant and runs it on demand; this object is the side of the parent process."""

    def __init__(self, contestant: Contestant, feeds: Sequence[Tensors], threads: int) -> None:
        self.contestant = contestant
        self.latencies_ms: list[float] = []
        self.load_ms = 0.0
        context = multiprocessing.get_context("spawn")
        self._pipe, child_pipe = context.Pipe()
        self._process = context.Process(target=_serve, args=(child_pipe, contestant, feeds, threads), daemon=True)
        self._process.start()
        child_pipe.close()

    def load(self) -> NotRun | None:
        """Wait until the process has opened the contestant; a NotRun if it does not run on this machine."""
        answer = self._receive()
        if isinstance(answer, NotRun):
            return answer
        self.load_ms = answer
        return None

    def warm_up(self) -> None:
        """Run until the latest latencies are close to each other, or the maximum number of runs is reached."""
        latencies_ms: list[float] = []
        while len(latencies_ms) < MAX_WARM_UP_RUNS:
            latencies_ms.append(self._time_run(len(latencies_ms) % BUFFERS))
            latest = latencies_ms[-WARM_UP_WINDOW:]
            if len(latencies_ms) > WARM_UP_WINDOW and max(latest) <= min(latest) * (1 + MAX_WARM_UP_SPREAD):
                return

    def run(self, buffer: int) -> None:
        """Run once on `feeds[buffer]` and record the latency."""
        self.latencies_ms.append(self._time_run(buffer))

    def finish(self) -> tuple[list[dict[str, Array]], float]:
        """The outputs for every element of `feeds`, and the peak resident memory in MiB."""
        self._pipe.send(None)
        outputs, peak_rss_mib = self._receive()
        return outputs, peak_rss_mib

    def close(self) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.join()

    def _time_run(self, buffer: int) -> float:
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
    """The worker process.

    It opens the contestant and sends the load time in ms, or else a NotRun. For each index it receives, it runs that
    element of `feeds` and sends the latency in ms. On None, it sends the outputs for all of `feeds` and its peak
    memory in MiB. A GanportError is sent in place of an answer.
    """
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        with explain_unforeseen(UnrunnableError, contestant.file):
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
                with explain_unforeseen(UnrunnableError, contestant.file):
                    runner.run(feeds[buffer])
                pipe.send(1000 * (time.perf_counter() - start))
            peak_rss_mib = 1024 * read_peak_gib()
            with explain_unforeseen(UnrunnableError, contestant.file):
                outputs = [dict(runner.run(feed)) for feed in feeds]
            pipe.send((outputs, peak_rss_mib))
            pipe.recv()  # blocks until the parent closes the pipe
    except MissingPackageError as error:
        pipe.send(NotRun(error.met))
    except GanportError as error:
        pipe.send(error)
    except EOFError:
        return


def read_environment(threads: int) -> dict[str, Any]:
    """What the figures depend on: processor, number of cores and threads, GPU, system, versions."""
    from converters.targets.tensorrt.runtime import gpu

    return {
        "processor": _read_processor(),
        "cores": count_cores(),
        "threads": threads,
        "gpu": gpu(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {package: found for package in PACKAGES if (found := _version(package)) is not None},
    }


def _read_processor() -> str:
    """The processor's model name as Linux states it, elsewhere as Python does."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    models = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
