"""What stands before LitServe: limits, timeouts and counts, and our words for every refusal."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from prometheus_client import Counter, Gauge, Histogram
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from converters.errors import GanportError

# Set by the worker: how many photos were in the run that gave the answer.
BATCH_HEADER = "ganport-batch"
TRY_LATER = "Try again later"
SEND_A_FORM = "Send the pictures as files of a multipart form"
# Where a request's scope has its pictures: the bytes by the name of the field.
PARTS = "ganport.parts"

# It prints a line for every broken form; whoever sent that is told.
logging.getLogger("python_multipart").setLevel(logging.ERROR)

ANSWERS = Counter("ganport_answers", "Answers by status; 'gone' if the client left before it had sent all", ["status"])
SECONDS = Histogram("ganport_answer_seconds", "From a request's headers to its answer, pictures only")
IN_HAND = Gauge("ganport_requests_in_hand", "Requests that are being received, are waiting or are computed")
BATCHES = Histogram("ganport_batch_size", "Photos in the run of each picture", buckets=(1, 2, 4, 8, 16))


@dataclass(frozen=True)
class Limits:
    """What a request may take.

    Attributes:
        body_bytes: Of the request's body.
        pixels: Of a photo, and of each of its other pictures.
        requests: How many may be in hand at once; others are told to come back.
        upload_s: For the body to arrive.
        answer_s: From the whole body to the answer.
    """

    body_bytes: int
    pixels: int
    requests: int
    upload_s: float
    answer_s: float


def refuse(status: int, where: object, met: str, remedy: str) -> Response:
    """An answer that says what is wrong, as ganport's errors do."""
    headers = {"Retry-After": "1"} if status == 503 else None
    return JSONResponse({"error": str(GanportError(where, met, remedy))}, status, headers)


class Guard:
    """The middleware around LitServe's app.

    Args:
        app: LitServe's.
        path: The one that takes photos; other paths pass.
        limits: See Limits.
    """

    def __init__(self, app: ASGIApp, path: str, limits: Limits) -> None:
        self._app = app
        self._path = path
        self._limits = limits
        self._in_hand = 0
        self._tasks: set[asyncio.Future[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or (scope["method"], scope["path"]) != ("POST", self._path):
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        response = await self._admit(scope, receive)
        ANSWERS.labels("gone" if response is None else str(response.status_code)).inc()
        if response is None:
            return
        if response.status_code == 200:
            SECONDS.observe(time.monotonic() - began)
            BATCHES.observe(int(response.headers[BATCH_HEADER]))
        await response(scope, receive, send)

    async def _admit(self, scope: Scope, receive: Receive) -> Response | None:
        """The answer; None if the client left."""
        if self._in_hand >= self._limits.requests:
            return refuse(503, "server", f"{self._in_hand} requests are in hand", TRY_LATER)
        self._in_hand += 1
        try:
            with IN_HAND.track_inprogress():
                return await self._answer(scope, receive)
        finally:
            self._in_hand -= 1

    async def _answer(self, scope: Scope, receive: Receive) -> Response | None:
        headers = Headers(scope=scope)
        kind = headers.get("content-type", "")
        if not kind.startswith("multipart/form-data"):
            return refuse(415, "request", f"its content type is '{kind[:80]}'", SEND_A_FORM)
        if int(headers.get("content-length", "0")) > self._limits.body_bytes:
            return self._refuse_size()
        try:
            async with asyncio.timeout(self._limits.upload_s):
                body = await self._read(receive)
        except TimeoutError:
            met = f"it did not arrive within {self._limits.upload_s:g} s"
            return refuse(408, "request", met, "Send it faster")
        if body is None or isinstance(body, Response):
            return body
        parts = await _read_form(headers, body)
        if isinstance(parts, Response):
            return parts
        return await self._ask({**scope, PARTS: parts})

    async def _read(self, receive: Receive) -> bytes | Response | None:
        """The body; the refusal of one that is too large; None if the client left."""
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > self._limits.body_bytes:
                return self._refuse_size()
            more = message.get("more_body", False)
        return bytes(body)

    def _refuse_size(self) -> Response:
        met = f"it is of more than {self._limits.body_bytes} bytes"
        return refuse(413, "request", met, "Send smaller pictures")

    async def _ask(self, scope: Scope) -> Response:
        """LitServe's answer to a request whose parts are in the scope. If a worker dies, LitServe gives none."""
        messages: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def keep(message: Message) -> None:
            messages.append(message)

        # LitServe keeps an answer that nobody takes: so its part is left to end, and not cancelled.
        task = asyncio.ensure_future(self._app(scope, receive, keep))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        done, _ = await asyncio.wait({task}, timeout=self._limits.answer_s)
        if not done:
            met = f"there was no answer within {self._limits.answer_s:g} s"
            return refuse(503, "server", met, TRY_LATER)
        task.result()  # for an exception of a defect
        start, *rest = messages
        content = b"".join(message.get("body", b"") for message in rest)
        response = Response(content, start["status"])
        response.raw_headers = list(start["headers"])
        return response


async def _read_form(headers: Headers, body: bytes) -> dict[str, bytes] | Response:
    """The files of a form by the names of their fields, or the refusal."""

    async def stream() -> AsyncIterator[bytes]:
        yield body
        yield b""

    try:
        form = await MultiPartParser(headers, stream()).parse()  # type: ignore[arg-type]
    except (MultiPartException, ValueError, LookupError) as error:  # the latter two from the parser below
        said = getattr(error, "message", str(error))
        return refuse(422, "request", f"its form is broken ({said[:200]})", SEND_A_FORM)
    parts: dict[str, bytes] = {}
    for name, part in form.multi_items():
        if not isinstance(part, UploadFile):
            return refuse(422, f"field '{name[:80]}'", "it is no file", "Send a picture there, with a file name")
        if name in parts:
            return refuse(422, f"field '{name[:80]}'", "it is there twice", "Send it once")
        parts[name] = part.file.read()
    return parts
