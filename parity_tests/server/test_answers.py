"""Every picture that the server gives is the one that `ganport inpaint` writes; every bad request is told why."""

from __future__ import annotations

import io
import json
import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image

from parity_tests.support.served import Server, encode, fill, make_case

GOOD = make_case(48, 64, 0)
LINES = np.zeros((48, 64), np.uint8)
LINES[20, 5:60] = 255
PHOTO = np.asarray(Image.open(io.BytesIO(GOOD["photo"])))


def make_transparent() -> bytes:
    return encode(np.dstack([PHOTO, np.full(PHOTO.shape[:2], 100, np.uint8)]))


@pytest.mark.parametrize(
    "files",
    [
        GOOD,
        {**GOOD, "draw": encode(LINES), "erase": encode(LINES.T[:48, :48].repeat(2, 1)[:, :64])},
        {**GOOD, "photo": make_transparent()},
        {**GOOD, "photo": encode(PHOTO, "JPEG", quality=80)},
        {**GOOD, "mask": encode(np.zeros((48, 64), np.uint8))},
    ],
    ids=["plain", "lines", "transparent", "jpeg", "no hole"],
)
def test_picture_is_the_file_that_the_command_writes(
    server: Server, files: Mapping[str, bytes], tmp_path: Path
) -> None:
    answer = server.post(files)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    assert answer.content == fill(files, tmp_path / "command")


def test_pictures_of_equal_size_are_run_together_and_each_is_right(server: Server, tmp_path: Path) -> None:
    cases = [make_case(*size, seed) for seed in range(8) for size in ((40, 56), (64, 32))]
    with ThreadPoolExecutor(len(cases)) as pool:
        answers = list(pool.map(server.post, cases))
    assert {answer.status_code for answer in answers} == {200}
    assert max(int(answer.headers["ganport-batch"]) for answer in answers) > 1
    for index, (case, answer) in enumerate(zip(cases, answers, strict=True)):
        assert answer.content == fill(case, tmp_path / str(index)), index


def test_contract_is_the_manifests(server: Server, written: Path) -> None:
    manifest = json.loads((written / "bundle" / "manifest.json").read_text())
    assert requests.get(f"{server.url}/contract", timeout=60).json() == manifest["contract"]


BOMB = encode(np.zeros((1200, 1200), np.uint8))
BAD: Mapping[str, tuple[dict[str, bytes], int, str]] = {
    "cut short": ({**GOOD, "photo": GOOD["photo"][:-200]}, 422, "photo: it is damaged or cut short."),
    "mask cut short": ({**GOOD, "mask": GOOD["mask"][:60]}, 422, "mask: it is damaged or cut short."),
    "no picture": ({**GOOD, "photo": b"hello"}, 415, "photo: it is no PNG, JPEG, "),
    "empty": ({**GOOD, "mask": b""}, 415, "mask: it is no PNG, JPEG, "),
    "many pixels": ({**GOOD, "photo": BOMB}, 413, "photo: its header claims more than 1 million pixels."),
    "mask of many pixels": ({**GOOD, "mask": BOMB}, 413, "mask: its header claims more than 1 million pixels."),
    "many bytes": ({**GOOD, "photo": bytes(2**20)}, 413, "request: it is of more than 1048576 bytes."),
    "other size": ({**GOOD, "mask": encode(LINES[1:])}, 422, "mask: it is 64x47 pixels, the photo 64x48."),
    "lines of another size": ({**GOOD, "draw": encode(LINES[1:])}, 422, "draw: it is 64x47 pixels, the photo 64x48."),
    "too small": ({"photo": encode(PHOTO[:5]), "mask": encode(LINES[:5])}, 422, "photo: it is 64x5 pixels."),
    "no mask": ({"photo": GOOD["photo"]}, 422, "mask: it is missing. Send photo, mask, erase, draw."),
    "unknown": ({**GOOD, "masks": GOOD["mask"]}, 422, "field 'masks': this net knows no such field."),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_pictures_are_refused_with_a_reason(server: Server, name: str) -> None:
    files, status, said = BAD[name]
    answer = server.post(files)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert answer.json()["error"].startswith(said)
    assert "/tmp" not in answer.text


def post_text(server: Server) -> requests.Response:
    return requests.post(f"{server.url}/inpaint", data={"photo": "x"}, files={"mask": b"y"}, timeout=60)


def post_twice(server: Server) -> requests.Response:
    parts = [("photo", ("a", GOOD["photo"])), ("photo", ("b", GOOD["photo"]))]
    return requests.post(f"{server.url}/inpaint", files=parts, timeout=60)


def post_json(server: Server) -> requests.Response:
    return requests.post(f"{server.url}/inpaint", json={"photo": "x"}, timeout=60)


def post_broken(server: Server) -> requests.Response:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    return requests.post(f"{server.url}/inpaint", b"--c\r\nno form", headers=headers, timeout=60)


def post_without_boundary(server: Server) -> requests.Response:
    headers = {"Content-Type": "multipart/form-data"}
    return requests.post(f"{server.url}/inpaint", b"--c", headers=headers, timeout=60)


def post_in_chunks(server: Server) -> requests.Response:
    """Without a length, so that only counting tells."""
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    return requests.post(f"{server.url}/inpaint", (bytes(2**16) for _ in range(20)), headers=headers, timeout=60)


@pytest.mark.parametrize(
    ("post", "status", "said"),
    [
        (post_text, 422, "field 'photo': it is no file."),
        (post_twice, 422, "field 'photo': it is there twice."),
        (post_json, 415, "request: its content type is 'application/json'. Send the pictures as files of a multipart"),
        (post_broken, 422, "request: its form is broken ("),
        (post_without_boundary, 422, "request: its form is broken ("),
        (post_in_chunks, 413, "request: it is of more than 1048576 bytes."),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_bad_forms_are_refused_with_a_reason(
    server: Server, post: Callable[[Server], requests.Response], status: int, said: str
) -> None:
    answer = post(server)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"].startswith(said)


def damage(body: bytes, seed: int) -> bytes:
    """Change, drop and add a few bytes, half of them where the first part's headers are."""
    random = np.random.default_rng(seed)
    damaged = bytearray(body)
    for _ in range(random.integers(1, 6)):
        place = int(random.integers(200 if random.random() < 0.5 else len(damaged)))
        length = int(random.integers(0, 12)) if random.random() < 0.5 else 1
        damaged[place : place + 1] = random.integers(0, 256, length, np.uint8).tobytes()
    return bytes(damaged)


def test_damaged_requests_get_a_reason_or_a_picture(server: Server) -> None:
    whole = requests.Request("POST", f"{server.url}/inpaint", files=make_case(16, 24, 3)).prepare()
    assert isinstance(whole.body, bytes)

    def post(body: bytes) -> requests.Response:
        headers = {"Content-Type": whole.headers["Content-Type"]}
        return requests.post(f"{server.url}/inpaint", body, headers=headers, timeout=60)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, [damage(whole.body, seed) for seed in range(150)]))
    assert {answer.status_code for answer in answers} - {200, 408} == {415, 422}
    assert all(answer.json()["error"] for answer in answers if answer.status_code != 200)
    for answer in answers:
        if answer.status_code == 200:
            Image.open(io.BytesIO(answer.content)).load()


FORM = b"Content-Type: multipart/form-data; boundary=b"
HEAD = b"POST /inpaint HTTP/1.1\r\nHost: x\r\n" + FORM + b"\r\nContent-Length: 1000\r\n\r\n"


def test_slow_sender_is_told_so_and_keeps_nobody_waiting(server: Server) -> None:
    with server.connect() as slow:
        slow.sendall(HEAD + b"--b")
        assert server.post(GOOD).status_code == 200
        began = time.monotonic()
        assert slow.recv(2**16).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - began < 10


def test_client_that_goes_away_is_counted_and_harms_nobody(server: Server, tmp_path: Path) -> None:
    gone = 'ganport_answers_total{status="gone"}'
    before = server.count(gone)
    with server.connect() as leaving:
        leaving.sendall(HEAD + b"--b")
    body = requests.Request("POST", f"{server.url}/inpaint", files=make_case(200, 200, 1)).prepare()
    lines = "".join(f"{name}: {value}\r\n" for name, value in body.headers.items())
    with server.connect() as leaving:  # when the server has all, and is computing
        assert isinstance(body.body, bytes)
        leaving.sendall(f"POST /inpaint HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode() + body.body)
        time.sleep(0.2)
        leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, not a goodbye
    assert server.post(GOOD).content == fill(GOOD, tmp_path / "command")
    end = time.monotonic() + 20
    while server.count(gone) < before + 1 or server.count("ganport_requests_in_hand") > 0:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_nothing_was_answered_by_an_error_of_the_servers_own(server: Server) -> None:
    """Last: of all that this file sent."""
    said = requests.get(f"{server.url}/metrics", timeout=60).text
    assert 'ganport_answers_total{status="200"}' in said
    assert 'status="5' not in said
