"""Run many photos in processes of this machine, one session of the runtime in each.

Each process works on one photo at a time, so that it is known which photo a process that ended was working on. That
photo is tried once more, in a new process: a photo that ends its process twice has failed.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from multiprocessing.connection import Connection, wait

from converters.bundle.folder import Bundle
from converters.errors import GanportError, UnrunnableError, explain_unforeseen
from converters.inpaint import BYTES_PER_PIXEL, Job, Outcome, runs_on_gpu
from converters.photos.crop import WHOLE_PIXELS
from converters.photos.many.photo_job import FEWER_WORKERS, TRIES, Plan, explain_end, hash_bundle, run_job
from converters.runners import count_cores, memory_of_machine

# Of a process with the shipped pair in ONNX Runtime and small photos: 118 MiB (benchmarks/many_photos.py).
LOADED_BYTES = 128 * 2**20
# So many processes that end while they open the pipeline are no accident.
MOST_ENDED_EARLY = 3


def choose_workers(photos: int, pipeline: Bundle) -> int:
    """How many processes: by the cores, and by the memory that each needs for a photo of WHOLE_PIXELS; on a GPU one."""
    if runs_on_gpu(pipeline):
        return 1
    by_memory = memory_of_machine() // (LOADED_BYTES + BYTES_PER_PIXEL * WHOLE_PIXELS)
    return max(1, min(count_cores(), by_memory, photos))


def run_on_workers(jobs: Iterable[Job], plan: Plan, workers: int) -> Iterator[Outcome]:
    """Run all jobs.

    Args:
        jobs: The photos; the first is asked for when the pipeline is open, and the folder of their results exists then.
        plan: What they have in common.
        workers: How many processes.

    Yields:
        What became of each job, as soon as it is done.

    Raises:
        GanportError: the pipeline cannot be opened.
    """
    pool: list[_Worker] = []
    try:
        pool += [_Worker(plan) for _ in range(workers)]
        yield from _run(jobs, plan, pool)
    finally:
        for worker in pool:
            worker.close()


def _run(jobs: Iterable[Job], plan: Plan, pool: list[_Worker]) -> Iterator[Outcome]:
    """See run_on_workers; processes that end are replaced in `pool`."""
    source = ((job, TRIES) for job in jobs)
    waiting: deque[tuple[Job, int]] = deque()
    ended_early = 0
    while True:
        for worker in pool:
            if worker.is_open and worker.task is None:
                waiting.extend(islice(source, 0 if waiting else 1))
                if waiting and worker.give(waiting[0]):
                    waiting.popleft()
        if not waiting and any(worker.is_open for worker in pool) and all(worker.task is None for worker in pool):
            return
        ready = set(wait([worker.pipe for worker in pool]))
        for place, worker in enumerate(pool):
            if worker.pipe not in ready:
                continue
            answer = worker.receive()
            if isinstance(answer, Outcome):
                yield answer
            if not isinstance(answer, int):
                continue
            pool[place] = _Worker(plan)
            if worker.task is not None:
                job, tries = worker.task
                if tries > 1:
                    waiting.appendleft((job, tries - 1))
                else:
                    yield Outcome(job, error=explain_end(job, _name_end(answer)))
            elif not worker.is_open:
                ended_early += 1
                if ended_early >= MOST_ENDED_EARLY:
                    met = f"processes that open it end before they are ready ({_name_end(answer)})"
                    raise UnrunnableError(plan.bundle, met, FEWER_WORKERS)


def _name_end(exit_code: int) -> str:
    return signal.Signals(-exit_code).name if exit_code < 0 else f"exit code {exit_code}"


class _Worker:
    """A process that runs jobs; this object is the side of the parent process.

    Attributes:
        pipe: To the process.
        is_open: Whether it has opened the pipeline.
        task: The job that it is at, and how many tries that has left; None if it is at none.
    """

    def __init__(self, plan: Plan) -> None:
        self.is_open = False
        self.task: tuple[Job, int] | None = None
        context = multiprocessing.get_context("spawn")
        self.pipe, child_pipe = context.Pipe()
        self._process = context.Process(target=_serve, args=(child_pipe, plan), daemon=True)
        # Ctrl-C is for the parent process, which ends the others; what is ignored here is ignored in the child too.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._process.start()
        finally:
            signal.signal(signal.SIGINT, before)
        child_pipe.close()

    def give(self, task: tuple[Job, int]) -> bool:
        """Let the process begin; False if it has ended."""
        try:
            self.pipe.send(task)
        except OSError:
            return False
        self.task = task
        return True

    def receive(self) -> Outcome | int | None:
        """What became of the job; None if the process is ready for the first; its exit code if it has ended.

        Raises:
            GanportError: it could not open the pipeline.
        """
        try:
            answer: Outcome | GanportError | None = self.pipe.recv()
        except (EOFError, OSError):
            self.close()
            return self._process.exitcode or 0
        if isinstance(answer, GanportError):
            raise answer
        self.is_open, self.task = True, None
        return answer

    def close(self) -> None:
        """End the process."""
        self.pipe.close()
        self._process.kill()
        self._process.join()


def _serve(pipe: Connection, plan: Plan) -> None:
    """The process: open the pipeline, say so by None, then answer each job with its Outcome.

    A GanportError is sent if the pipeline cannot be opened.
    """
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent process has ended
        try:
            with explain_unforeseen(UnrunnableError, plan.bundle):
                opened, bundle_hash = plan.open(), hash_bundle(plan.bundle)
        except GanportError as error:
            pipe.send(error)
            return
        with opened as runner:
            pipe.send(None)
            while True:
                job, tries = pipe.recv()
                pipe.send(run_job(job, bundle_hash, runner, tries))
