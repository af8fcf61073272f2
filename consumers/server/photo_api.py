"""LitServe's side: what a worker does with the requests that wait for it."""

# Without `from __future__ import annotations`: LitServe reads the types of two methods here as objects.
import contextlib
import logging
import queue
import signal
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from multiprocessing.synchronize import Event
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import litserve
import numpy as np
from fastapi import Depends
from litserve.loops import LitLoop
from litserve.utils import LitAPIStatus, LoopResponseType
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response

from consumers.server.guard import BATCH_HEADER, PARTS, TRY_LATER, Limits, refuse
from consumers.server.net_file import read_net
from consumers.server.photo_job import read_parts, write_png
from converters.errors import (
    GanportError,
    NoImageError,
    PhotoError,
    TooLargeImageError,
    UnrunnableError,
    explain_unforeseen,
)
from converters.photos.one_photo import PHOTO, Prepared, make_feeds
from converters.tensors import Array

# A worker looks so often whether it is to end.
IDLE_S = 1.0
# Larger photos are run alone: together they take as long, and more memory (benchmarks/server_load.py of ganport).
MOST_PIXELS_TOGETHER = 2**13
# Of what is wrong with a picture; of all else 422.
STATUSES = {TooLargeImageError: 413, NoImageError: 415}


def _get_parts(request: Request) -> dict[str, bytes]:
    parts: dict[str, bytes] = request.scope[PARTS]
    return parts


class PhotoAPI(litserve.LitAPI):  # type: ignore[misc]
    """A worker: reads photos, runs the net, writes pictures.

    Args:
        path: Of the address, such as "/inpaint".
        bundle: The bundle's folder.
        limits: See Limits.
        workers: How many there are.
        threads: Of the net's runtime, in each.
        batch: The most photos of one run.
        drained: Set when no request is in hand any more, and none will come.
    """

    def __init__(
        self, path: str, bundle: Path, limits: Limits, workers: int, threads: int, batch: int, drained: Event
    ) -> None:
        super().__init__(max_batch_size=batch, api_path=path, loop=SizeLoop())
        self.workers = workers
        self._bundle, self._limits, self._threads, self._drained = bundle, limits, threads, drained

    def setup(self, device: str) -> None:
        """Load the net. Signals that reach the whole group of processes wait until the last answer is given."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._leave)
        logging.getLogger("PIL").setLevel(logging.CRITICAL)  # of a damaged file the client is told
        Image.MAX_IMAGE_PIXELS = self._limits.pixels
        self._net = read_net(self._bundle).open(self._threads)

    def _leave(self, number: int, _: FrameType | None) -> None:
        if self._drained.is_set():
            raise SystemExit(0)

    def decode_request(self, request: Annotated[dict[str, bytes], Depends(_get_parts)]) -> Prepared | Response:
        """The photo of a request with what belongs to it, or why there is none.

        Args:
            request: The pictures. LitServe wants this name, and asks FastAPI for what the type says.
        """
        try:
            with explain_unforeseen(PhotoError, PHOTO):
                return read_parts(request, self._net)
        except GanportError as error:
            return _refuse(error)

    def predict(self, batch: Sequence[Prepared]) -> list[Array]:
        """The filled parts of photos whose arrays are of equal size."""
        names = [spec.name for spec in self._net.inputs]
        feeds = [make_feeds(given, names) for given in batch]
        together = {name: np.concatenate([each[name] for each in feeds]) for name in names}
        return list(self._net.run(together)["result"])

    def encode_response(self, output: tuple[Prepared, Array]) -> Response:
        """The picture."""
        return Response(write_png(*output), media_type="image/png")


def _refuse(error: GanportError) -> Response:
    if isinstance(error, UnrunnableError):
        return refuse(503, error.where, error.met, TRY_LATER)
    status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 422)
    return refuse(status, error.where, error.met, error.remedy)


class SizeLoop(LitLoop):  # type: ignore[misc]
    """Takes what waits, runs small photos of equal size together, and answers each as soon as it is done.

    LitServe's own loop puts photos of all sizes into one batch, answers none before all are done, refuses all for one
    that is refused, and asks for more a thousand times a second.
    """

    def run(
        self,
        lit_api: PhotoAPI,
        device: str,
        worker_id: int,
        request_queue: Any,
        transport: Any,
        workers_setup_status: Mapping[str, str],
        callback_runner: Any,
    ) -> None:
        """One round."""
        groups: dict[object, list[tuple[int, str, Prepared]]] = defaultdict(list)

        def send(consumer: int, uid: str, response: Response) -> None:
            self.put_response(transport, consumer, uid, response, LitAPIStatus.OK, LoopResponseType.REGULAR)

        for consumer, uid, began, parts in _take(request_queue, lit_api.max_batch_size, lit_api.workers):
            # LitServe waits for an answer even if nobody else does any more.
            is_late = time.monotonic() - began > lit_api.request_timeout
            given = refuse(503, "server", "it is late", TRY_LATER) if is_late else lit_api.decode_request(parts)
            if isinstance(given, Response):
                send(consumer, uid, given)
            else:
                height, width = given.crop.size
                key = (height, width) if height * width <= MOST_PIXELS_TOGETHER else uid
                groups[key].append((consumer, uid, given))
        for group in groups.values():
            try:
                with explain_unforeseen(PhotoError, PHOTO):
                    photos = [photo for _, _, photo in group]
                    results = lit_api.predict(photos)
                    responses = [lit_api.encode_response(pair) for pair in zip(photos, results, strict=True)]
            except GanportError as error:
                responses = [_refuse(error) for _ in group]
            for (consumer, uid, _), response in zip(group, responses, strict=True):
                response.headers[BATCH_HEADER] = str(len(group))
                send(consumer, uid, response)


def _take(requests: Any, most: int, workers: int) -> list[tuple[int, str, float, Any]]:
    """One worker's share of what waits, up to `most`; nothing if nothing comes for a while."""
    taken: list[tuple[int, str, float, Any]] = []
    with contextlib.suppress(queue.Empty):
        taken.append(requests.get(timeout=IDLE_S))
        for _ in range(min(most - 1, requests.qsize() // workers)):
            taken.append(requests.get_nowait())
    return taken
