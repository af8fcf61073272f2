"""Which of the waiting photos a worker runs together, without the processes around it."""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("litserve", reason="litserve is not installed: it is in the extra `server`")
from starlette.responses import Response

from consumers.server.photo_api import MOST_PIXELS_TOGETHER, SizeLoop, refuse
from converters.errors import PhotoError, UnrunnableError

SMALL, OTHER, LARGE = (32, 48), (48, 32), (MOST_PIXELS_TOGETHER // 64 + 1, 64)


class Worker:
    """A stand-in for the worker: a request is the size of its photo, or the refusal of it."""

    def __init__(self, workers: int = 1, error: Exception | None = None) -> None:
        self.max_batch_size, self.workers, self.request_timeout = 4, workers, 60.0
        self.runs: list[tuple[object, int]] = []
        self._error = error

    def decode_request(self, request: Any) -> Any:
        return request if isinstance(request, Response) else SimpleNamespace(crop=SimpleNamespace(size=request))

    def predict(self, batch: Sequence[Any]) -> list[Any]:
        self.runs.append((batch[0].crop.size, len(batch)))
        if self._error is not None:
            raise self._error
        return [photo.crop.size for photo in batch]

    def encode_response(self, output: tuple[Any, Any]) -> Response:
        return Response(str(output[1]))


def run(worker: Worker, waiting: Sequence[Any], age_s: float = 0) -> dict[str, Response]:
    """One round of the loop; the answers by the number of the request."""
    requests: queue.Queue[Any] = queue.Queue()
    for number, request in enumerate(waiting):
        requests.put((0, str(number), time.monotonic() - age_s, request))
    answers: dict[str, Response] = {}

    def send(item: Any, consumer_id: int) -> None:
        answers[item[0]] = item[1][0]

    SizeLoop().run(worker, "cpu", 0, requests, SimpleNamespace(send=send), {}, None)  # type: ignore[arg-type]
    return answers


def test_small_photos_of_one_size_are_run_together_and_each_gets_its_own() -> None:
    worker = Worker()
    answers = run(worker, [SMALL, OTHER, SMALL, SMALL])
    assert worker.runs == [(SMALL, 3), (OTHER, 1)]
    assert {number: answer.body.decode() for number, answer in answers.items()} == {
        "0": str(SMALL),
        "1": str(OTHER),
        "2": str(SMALL),
        "3": str(SMALL),
    }
    assert [answers[number].headers["ganport-batch"] for number in "0123"] == ["3", "1", "3", "3"]


def test_large_photos_are_run_alone() -> None:
    worker = Worker()
    run(worker, [LARGE, LARGE])
    assert worker.runs == [(LARGE, 1), (LARGE, 1)]


@pytest.mark.parametrize(("workers", "waiting", "taken"), [(1, 9, 4), (1, 3, 3), (2, 2, 1), (2, 5, 3), (4, 3, 1)])
def test_worker_takes_its_share_and_no_more(workers: int, waiting: int, taken: int) -> None:
    assert len(run(Worker(workers), [SMALL] * waiting)) == taken


def test_refused_photo_does_not_touch_the_others() -> None:
    answers = run(Worker(), [SMALL, refuse(422, "photo", "bad", "Stop"), SMALL])
    assert [answers[number].status_code for number in "012"] == [200, 422, 200]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PhotoError("photo", "bad", "Stop"), 422),
        (UnrunnableError("net", "no memory", "Wait"), 503),
        (ValueError(), 422),
    ],
)
def test_run_that_fails_is_answered(error: Exception, status: int) -> None:
    assert [answer.status_code for answer in run(Worker(error=error), [SMALL, SMALL]).values()] == [status, status]


def test_request_for_which_nobody_waits_any_more_is_not_computed() -> None:
    worker = Worker()
    answers = run(worker, [SMALL], age_s=61)
    assert (worker.runs, answers["0"].status_code) == ([], 503)
