"""LitServe's side: what a worker does with the requests that wait for it."""

# Without `from __future__ import annotations`: LitServe reads the types of two methods here as objects.
import contextlib
import queue
import signal
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from multiprocessing.synchronize import Event
from pathlib import Path
from types import FrameType
from typing import Any

import litserve
import numpy as np
from litserve.loops import LitLoop
from litserve.utils import LitAPIStatus, LoopResponseType
from PIL import Image
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from consumers.server.guard import BATCH_HEADER, TRY_LATER, Limits, refuse
from consumers.server.net_file import read_net
from consumers.server.photo_job import Work, finish, read_work
from converters.errors import GanportError, PhotoError, UnrunnableError, explain_unforeseen
from converters.tensors import Array

# A worker looks so often whether it is to end.
IDLE_S = 1.0


class PhotoAPI(litserve.LitAPI):
    """A worker: reads photos, runs the net, writes pictures.

    Args:
        path: Of the address, such as "/inpaint".
        bundle: The bundle's folder.
        limits: See Limits.
        threads: Of the net's runtime.
        batch: The most photos of one run.
        drained: Set when no request is in hand any more, and none will come.
    """

    def __init__(self, path: str, bundle: Path, limits: Limits, threads: int, batch: int, drained: Event) -> None:
        super().__init__(max_batch_size=batch, api_path=path, loop=SizeLoop())
        self._bundle, self._limits, self._threads, self._drained = bundle, limits, threads, drained

    def setup(self, device: str) -> None:
        """Load the net. Signals that reach the whole group of processes wait until the last answer is given."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._leave)
        Image.MAX_IMAGE_PIXELS = self._limits.pixels
        self._net = read_net(self._bundle).open(self._threads)

    def _leave(self, number: int, _: FrameType | None) -> None:
        if self._drained.is_set():
            raise SystemExit(0)

    def decode_request(self, request: Request) -> Work | Response:
        """The photo of a request with what belongs to it, or why there is none.

        Args:
            request: LitServe hands its form over.
        """
        form: Any = request
        parts: dict[str, bytes] = {}
        for name, part in form.multi_items():
            if not isinstance(part, UploadFile):
                return refuse(422, f"field '{name[:80]}'", "it is no file", "Send a picture there, with a file name")
            if name in parts:
                return refuse(422, f"field '{name[:80]}'", "it is there twice", "Send it once")
            parts[name] = part.file.read()
        try:
            with tempfile.TemporaryDirectory(prefix="ganport-") as scratch, explain_unforeseen(PhotoError, "photo"):
                return read_work(Path(scratch), parts, self._net)
        except GanportError as error:
            return _refuse(error)

    def predict(self, batch: Sequence[Work]) -> list[Array]:
        """The filled parts of photos whose arrays are of equal size."""
        names = batch[0].feeds.keys()
        feeds = {name: np.concatenate([work.feeds[name] for work in batch]) for name in names}
        return list(self._net.run(feeds)["result"])

    def encode_response(self, output: tuple[Work, Array]) -> Response:
        """The picture."""
        return Response(finish(*output), media_type="image/png")


def _refuse(error: GanportError) -> Response:
    if isinstance(error, UnrunnableError):
        return refuse(503, error.where, error.met, TRY_LATER)
    return refuse(422, error.where, error.met, error.remedy)


class SizeLoop(LitLoop):
    """Takes what waits, runs photos of equal size together, and answers each as soon as it is done.

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
        groups: dict[object, list[tuple[int, str, Work]]] = defaultdict(list)

        def send(consumer: int, uid: str, response: Response) -> None:
            self.put_response(transport, consumer, uid, response, LitAPIStatus.OK, LoopResponseType.REGULAR)

        for consumer, uid, began, form in _take(request_queue, lit_api.max_batch_size):
            if time.monotonic() - began > lit_api.request_timeout:  # nobody waits for the answer any more
                continue
            work = lit_api.decode_request(form)
            if isinstance(work, Response):
                send(consumer, uid, work)
            else:
                groups[work.crop.size].append((consumer, uid, work))
        for group in groups.values():
            try:
                with explain_unforeseen(PhotoError, "photo"):
                    results = lit_api.predict([work for _, _, work in group])
            except GanportError as error:
                for consumer, uid, _ in group:
                    send(consumer, uid, _refuse(error))
                continue
            for (consumer, uid, work), result in zip(group, results, strict=True):
                response = lit_api.encode_response((work, result))
                response.headers[BATCH_HEADER] = str(len(group))
                send(consumer, uid, response)


def _take(requests: Any, most: int) -> list[tuple[int, str, float, Any]]:
    """What waits, up to `most`; nothing if nothing comes for a while."""
    taken: list[tuple[int, str, float, Any]] = []
    with contextlib.suppress(queue.Empty):
        taken.append(requests.get(timeout=IDLE_S))
        while len(taken) < most:
            taken.append(requests.get_nowait())
    return taken
