"""Run many photos on Ray: tasks read the files, and actors, each with a session of the runtime, make the results.

What flows, and how much of it at a time, is Ray Data's doing. Only this module imports Ray.
"""

from __future__ import annotations

import functools
import logging
import os
import pickle
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from converters.errors import BundleError, GanportError, MissingPackageError, UnrunnableError
from converters.inpaint import Job, Outcome
from converters.photos.image_files import read_bytes
from converters.photos.many.photo_job import TRIES, Loaded, Plan, explain_end, finish_job, hash_bundle, load_job
from converters.photos.many.urls import read_url
from converters.runners import count_cores

# What an actor, and a task that reads, take of a core: actors on all cores leave room for reading.
# Actors that took whole cores would wait for ever for tasks that find none.
ACTOR_CORES, READER_CORES = 0.75, 0.25
# Of a block, which is read, and tried again, as a whole.
MOST_PHOTOS, LEAST_BLOCKS = 16, 8
# The address that begins a Ray of our own, which ends with the run.
LOCAL = "local"
Row = dict[str, Any]


def load_ray(address: str) -> Any:
    """Ray's module, silenced and kept from sending statistics to its makers.

    Args:
        address: See RayPlan. A Ray of our own listens to the network, so it gets a secret of its own.

    Raises:
        MissingPackageError: Ray is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if address == LOCAL:  # read when Ray is imported
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        import ray
        import ray.data
    except ImportError as error:
        met = f"Ray is not installed, or not whole ({error})"
        raise MissingPackageError("--engine ray", met, "Install ganport's extra ray") from error
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    return ray


@dataclass(frozen=True)
class RayPlan:
    """Where the actors run.

    Attributes:
        address: Of a cluster, as Ray takes it; LOCAL for a Ray of this machine alone.
        workers: How many actors; None for one on each core.
        url: On whose filesystem the files are; None for paths that every machine has.
    """

    address: str
    workers: int | None
    url: str | None = None


def run_on_ray(jobs: Iterable[Job], plan: Plan, where: RayPlan) -> Iterator[Outcome]:
    """Run all jobs.

    Args:
        jobs: The photos, all read and written in one way; the first is asked for when the pipeline is known to open.
        plan: What they have in common.
        where: Where they run.

    Yields:
        What became of each job.

    Raises:
        MissingPackageError: Ray is not installed.
        BundleError: the pipeline cannot be opened, here or on another machine.
        UnrunnableError: Ray fails.
    """
    ray = load_ray(where.address)
    with plan.open():
        bundle_hash = hash_bundle(plan.bundle)
    try:
        _connect(ray, where.address)
        yield from _run(ray, jobs, bundle_hash, plan, where)
    except ray.exceptions.RayError as error:
        met = f"Ray fails ({_first_line(error)})"
        raise UnrunnableError("--engine ray", met, "See its logs, in /tmp/ray as a rule") from error
    finally:
        ray.shutdown()


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _connect(ray: Any, address: str) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address == LOCAL:
        ray.init(LOCAL, num_cpus=count_cores(), include_dashboard=False, **quiet)
    else:
        try:
            ray.init(address, **quiet)
        except (ConnectionError, ValueError) as error:
            met = f"no Ray cluster answers there ({_first_line(error)})"
            remedy = (
                "Check the address; if the cluster asks for a token, set RAY_AUTH_MODE=token and keep the token here"
            )
            raise UnrunnableError(f"--address {address}", met, remedy) from error
    ray.data.DataContext.get_current().enable_progress_bars = False


def _run(ray: Any, jobs: Iterable[Job], bundle_hash: str, plan: Plan, where: RayPlan) -> Iterator[Outcome]:
    pattern, table = _tabulate(jobs)
    if pattern is None:
        return
    workers = min(where.workers or int(ray.cluster_resources()["CPU"]), len(table))
    rows = max(1, min(MOST_PHOTOS, len(table) // (LEAST_BLOCKS * workers)))
    blocks = [table.slice(start, rows) for start in range(0, len(table), rows)]
    deaths = ray.remote(num_cpus=0, max_restarts=-1)(Deaths).remote()
    results = (
        ray.data.from_arrow(blocks)
        .map(read_row, fn_args=(pattern, bundle_hash, where.url), num_cpus=READER_CORES)
        .map(
            RowFiller,
            fn_constructor_args=(pattern, plan, deaths),
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=ACTOR_CORES,
        )
    )
    for row in results.iter_rows():
        outcome: Outcome = pickle.loads(row["outcome"])
        if isinstance(outcome.error, BundleError):
            raise outcome.error
        yield outcome


def _tabulate(jobs: Iterable[Job]) -> tuple[Job | None, Any]:
    """The first job, and the paths of all as pyarrow's table, which takes far less memory than the jobs."""
    import pyarrow

    pattern = None
    columns: dict[str, list[str | None]] = {"photo": [], "mask": [], "out": []}
    for job in jobs:
        pattern = pattern or job
        columns["photo"].append(str(job.photo))
        columns["mask"].append(None if job.mask is None else str(job.mask))
        columns["out"].append(str(job.out))
    return pattern, pyarrow.table({name: pyarrow.array(paths, pyarrow.string()) for name, paths in columns.items()})


def _job_of(row: Row, pattern: Job) -> Job:
    """The job of a row, but for its paths like `pattern`."""
    mask = None if row["mask"] is None else Path(row["mask"])
    return replace(pattern, photo=Path(row["photo"]), mask=mask, out=Path(row["out"]))


def read_row(row: Row, pattern: Job, bundle_hash: str, url: str | None) -> Row:
    """Read the files of a row; its "outcome" is set if there is nothing more to do."""
    job = _job_of(row, pattern)
    loaded = load_job(job, bundle_hash, read=read_bytes if url is None else functools.partial(read_url, url))
    if isinstance(loaded, Outcome):
        return {**row, "outcome": pickle.dumps(loaded), "source": "", "photo_data": b"", "mask_data": b""}
    files = loaded.files
    mask = b"" if job.mask is None else files[job.mask]
    return {**row, "outcome": b"", "source": loaded.source, "photo_data": files[job.photo], "mask_data": mask}


class Deaths:
    """Counts how often the process that worked on a photo ended; lives in a process of its own."""

    def __init__(self) -> None:
        self._begun: dict[str, int] = {}

    def begin(self, photo: str) -> int:
        """How often work on a photo was begun before and not ended."""
        self._begun[photo] = self._begun.get(photo, 0) + 1
        return self._begun[photo] - 1

    def end(self, photo: str) -> None:
        """Work on a photo has ended."""
        self._begun.pop(photo, None)


class RowFiller:
    """An actor: opens the pipeline, and makes the results of rows."""

    def __init__(self, pattern: Job, plan: Plan, deaths: Any) -> None:
        self._pattern = pattern
        self._deaths = deaths
        self._fault: GanportError | None = None
        try:
            self._runner = plan.open()
        except GanportError as error:
            self._fault = error

    def __call__(self, row: Row) -> Row:
        """A row with the "outcome" alone, pickled."""
        return {"outcome": row["outcome"] or pickle.dumps(self._fill(row))}

    def _fill(self, row: Row) -> Outcome:
        import ray

        job = _job_of(row, self._pattern)
        if self._fault is not None:
            return Outcome(job, error=self._fault)
        died = ray.get(self._deaths.begin.remote(row["photo"]))
        if died >= TRIES:
            outcome = Outcome(job, error=explain_end(job))
        else:
            files = {job.photo: row["photo_data"], **({} if job.mask is None else {job.mask: row["mask_data"]})}
            outcome = finish_job(job, Loaded(files, row["source"]), self._runner, TRIES - died)
        self._deaths.end.remote(row["photo"])
        return outcome
