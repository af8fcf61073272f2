"""What the server does when it begins, when it is overloaded, and when it is told to end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import requests

from consumers.server.net_file import read_net
from converters.convert import Settings, convert
from parity_tests.support.command import require_refusal, rewrite_hashes, run_ganport
from parity_tests.support.foreign_models import make_model, write_model
from parity_tests.support.places import ROOT
from parity_tests.support.served import (
    ANSWER_S,
    STOP_S,
    Server,
    encode,
    fill,
    make_case,
    require_litserve,
    serve,
    start,
    stop,
    write_server,
)

pytestmark = pytest.mark.slow
TINY, GOOD = make_case(16, 24, 0), make_case(48, 64, 0)
# Half a second of one core, so that a signal comes while it is computed.
LONG = make_case(192, 256, 1)


def wait_for(server: Server, requests_in_hand: int) -> None:
    end = time.monotonic() + ANSWER_S
    while server.count("ganport_requests_in_hand") < requests_in_hand:
        assert time.monotonic() < end
        time.sleep(0.05)


def require_gone(session: int) -> None:
    """No process of a session is left; Python's own helpers end just after the main one."""
    end = time.monotonic() + 5
    while left := [process for process in psutil.process_iter() if is_left(process, session)]:
        assert time.monotonic() < end, left
        time.sleep(0.05)


def is_left(process: psutil.Process, session: int) -> bool:
    try:
        return os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


@pytest.mark.parametrize(
    "tell",
    [
        lambda process: os.kill(process, signal.SIGTERM),
        lambda process: os.killpg(process, signal.SIGTERM),
        lambda process: os.killpg(process, signal.SIGINT),
    ],
    ids=["SIGTERM", "SIGTERM to all its processes", "Ctrl-C"],
)
def test_what_is_in_hand_is_answered_before_the_end(written: Path, tmp_path: Path, tell: Callable[[int], None]) -> None:
    with serve(written, "--workers", "2") as server, ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(server.post, LONG) for _ in range(3)]
        wait_for(server, 3)
        time.sleep(0.1)  # now the workers are in the runtime
        tell(server.process.pid)
        said, _ = server.process.communicate(timeout=STOP_S)
        assert server.process.returncode == 0, said
        expected = fill(LONG, tmp_path / "command")
        for answer in answers:
            assert answer.result().status_code == 200
            assert answer.result().content == expected
        with pytest.raises(requests.ConnectionError):
            server.post(GOOD)
        require_gone(server.process.pid)
        assert said.splitlines() == [
            f"{server.url}/inpaint; /health tells when it is ready; Ctrl-C ends it",
        ]


def test_end_comes_at_once_if_nothing_is_in_hand(written: Path) -> None:
    with serve(written, "--workers", "1") as server:
        began = time.monotonic()
        stop(server)
        assert time.monotonic() - began < 10
        require_gone(server.process.pid)


def test_more_than_it_can_have_in_hand_is_told_to_come_back(written: Path) -> None:
    with serve(written, "--workers", "1", "--max-requests", "2", "--timeout", "30") as server:
        with ThreadPoolExecutor(8) as pool:
            answers = [answer.result() for answer in [pool.submit(server.post, LONG) for _ in range(8)]]
        assert {answer.status_code for answer in answers} == {200, 503}
        for answer in answers:
            if answer.status_code == 503:
                assert answer.json()["error"] == "server: 2 requests are in hand. Try again later."
                assert answer.headers["retry-after"] == "1"
        assert server.post(GOOD).status_code == 200
        assert server.count('ganport_answers_total{status="503"}') == [a.status_code for a in answers].count(503)


def test_answer_that_takes_too_long_is_told_to_come_back(written: Path) -> None:
    with serve(written, "--workers", "1", "--timeout", "0.2") as server:
        answer = server.post(LONG)
        assert answer.status_code == 503
        assert answer.json()["error"] == "server: there was no answer within 0.2 s. Try again later."
        end = time.monotonic() + ANSWER_S
        while server.post(TINY).status_code != 200:  # until the worker is free
            assert time.monotonic() < end


def test_worker_that_is_killed_is_replaced_and_its_request_is_told_to_come_back(written: Path, tmp_path: Path) -> None:
    with serve(written, "--workers", "1", "--timeout", "4") as server, ThreadPoolExecutor(1) as pool:
        lost = pool.submit(server.post, make_case(240, 360, 2))
        wait_for(server, 1)
        time.sleep(0.3)  # now the worker is in the runtime
        (worker,) = server.list_workers()
        os.kill(worker, signal.SIGKILL)
        assert lost.result().status_code == 503
        end = time.monotonic() + ANSWER_S
        while (answer := server.post(GOOD)).status_code != 200:
            assert time.monotonic() < end
        assert answer.content == fill(GOOD, tmp_path / "command")
        assert server.list_workers() != [worker]


def start_and_wait(folder: Path) -> tuple[int, str]:
    process = start(folder)
    try:
        said, _ = process.communicate(timeout=60)
    finally:
        if process.poll() is None:  # it serves after all
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, said


@pytest.mark.parametrize("file", ["edgeconnect.onnx", "manifest.json", "golden/input_mask.npy"])
def test_damaged_bundle_is_not_served(written: Path, tmp_path: Path, file: str) -> None:
    folder = shutil.copytree(written, tmp_path / "server")
    data = bytearray((folder / "bundle" / file).read_bytes())
    data[-9] ^= 1
    (folder / "bundle" / file).write_bytes(data)
    code, said = start_and_wait(folder)
    assert code == 1, said
    assert said.startswith(f"serve.py: {folder}/bundle: '{file}' is not what its hash in SHA256SUMS says")
    assert len(said.splitlines()) == 1


def test_file_that_does_not_load_is_told_in_one_line(written: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(written, tmp_path / "server")
    (folder / "bundle" / "edgeconnect.onnx").write_bytes(b"no net")
    rewrite_hashes(folder / "bundle")
    code, said = start_and_wait(folder)
    assert code == 1, said
    assert "edgeconnect.onnx: ONNX Runtime does not load it" in said
    assert len(said.splitlines()) == 1


def test_missing_package_is_named(written: Path) -> None:
    done = subprocess.run([sys.executable, "-S", written / "serve.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert done.stderr.endswith(" is not installed. Run: pip install -r requirements.txt.\n")


@pytest.mark.parametrize(
    "options", ["--workers 0", "--workers 1.5", "--timeout nan", "--max-mib -1", "--port 80", "--host localhost"]
)
def test_option_that_makes_no_sense_is_refused(options: str, capsys: pytest.CaptureFixture[str]) -> None:
    require_litserve()
    from consumers.server.app import main

    with pytest.raises(SystemExit) as ended:
        main(Path("nothing"), options.split())
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"argument {options.split(maxsplit=1)[0]}: invalid" in said
    assert len(said) < 1000


def test_requirements_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = (ROOT / "consumers" / "server" / "requirements.txt").read_text().split()
    extra = project["optional-dependencies"]["server"]
    core = [line for line in project["dependencies"] if line.startswith(("msgspec", "numpy", "onnxruntime", "pillow"))]
    assert sorted(needed) == sorted([*core, *extra])


def test_net_that_mixes_its_photos_gets_one_at_a_time(tmp_path: Path) -> None:
    require_litserve()
    model = make_model(
        18,
        "f = Cast<to = 1>(photo) m = ReduceMax<keepdims = 1>(f, first) d = Sub(m, f) result = Cast<to = 2>(d)",
        {"first": np.array([0], np.int64)},
        "(uint8[N, H, W, 3] photo) => (uint8[N, H, W, 3] result)",
    )
    (conversion,) = convert([write_model(tmp_path, model)], Settings(("onnx",), tmp_path), lambda step: None)
    bundle = conversion.bundle.folder
    net = read_net(bundle)
    assert not net.runs_alike_in_batches(net.open(1))
    cases = [{"photo": make_case(24, 32, seed)["photo"]} for seed in range(7)]
    cases.append({"photo": encode(np.full((24, 32, 4), 100, np.uint8))})  # its transparency stays
    with serve(write_server(tmp_path / "server", bundle), "--workers", "1") as server, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda case: server.post(case, "/apply"), cases))
        assert {(answer.status_code, answer.headers["ganport-batch"]) for answer in answers} == {(200, "1")}
        for index, (case, answer) in enumerate(zip(cases, answers, strict=True)):
            assert answer.content == fill(case, tmp_path / str(index), bundle)
        assert server.post({**cases[0], "mask": cases[0]["photo"]}, "/apply").json()["error"] == (
            "field 'mask': this net knows no such field. Send photo."
        )


def test_net_that_takes_no_photo_is_no_server(tmp_path: Path) -> None:
    model = make_model(18, "y = Relu(x)")
    (conversion,) = convert([write_model(tmp_path, model)], Settings(("onnx",), tmp_path), lambda step: None)
    done = run_ganport("consumers", "server", tmp_path / "server", "--bundle", conversion.bundle.folder)
    require_refusal(done, "it takes x, and no photo. Make a pipeline's bundle: ganport convert CHECKPOINT --pipeline")
    assert not (tmp_path / "server").exists()


def test_folder_that_holds_something_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(encode(np.zeros((4, 4), np.uint8)))
    require_refusal(run_ganport("consumers", "server", tmp_path), "something is already there. Name a new folder")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
