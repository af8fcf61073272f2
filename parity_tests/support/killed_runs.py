"""Runs that are killed, in children of a process that is warm and has one thread; prints what was found as JSON.

It is a program of its own, because a process that has run tests has threads, and those do not survive a fork.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from converters.bundle import checksums
from converters.bundle import folder as bundle
from converters.bundle.scratch import clear_stale
from converters.errors import BundleError
from parity_tests.support.command import list_tree, remembered_exports

NAME = "edgeconnect-edge"
STUCK_S = 60.0
Tree = dict[str, bytes | None]


def fork(work: Callable[[], None]) -> int:
    """Start `work` in a child, which leaves with 0, or with 1 and a traceback."""
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def wait(child: int) -> int:
    """Exit code of a child, negative if a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def find_partial(out: Path) -> Path | None:
    """The folder that a run is filling, if there is one."""
    return next(out.glob(f".{NAME}.ganport-*/new"), None)


def wait_for_partial(out: Path) -> None:
    deadline = time.monotonic() + STUCK_S
    while find_partial(out) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(out)
        time.sleep(0.0005)


def find_bundles(out: Path, known: dict[str, Tree]) -> dict[str, str]:
    """Each folder that passes for a bundle, hidden ones too: which of the known, whole ones it is."""
    found = {}
    for folder in sorted(out.iterdir()):
        with suppress(BundleError):
            checksums.verify_hashes(folder)
            tree = list_tree(folder)
            found[folder.name] = next((name for name, whole in known.items() if whole == tree), "incomplete")
    return found


def kill_conversions(checkpoint: Path, folder: Path) -> dict[str, Any]:
    """Kill conversions at random moments, a fresh one and one that overwrites in turn."""
    from converters.convert import Settings, convert

    class Halt(Exception):
        pass

    def run(out: Path, say: Callable[[str], None] = lambda step: None) -> None:
        list(convert([checkpoint], Settings(("onnx",), out, overwrite=True), say))

    def halt(step: str) -> None:
        if "running" in step:
            raise Halt

    out = folder / "out"
    run(folder / "new")
    with bundle.write_bundle(folder / "old" / NAME) as copy:
        shutil.copytree(folder / "new" / NAME, copy, dirs_exist_ok=True)
        (copy / "SHA256SUMS").unlink()
        (copy / "README.md").write_text("older")
    known = {name: list_tree(folder / name / NAME) for name in ("old", "new")}
    start = time.monotonic()
    child = fork(lambda: run(out))
    wait_for_partial(out)
    until_partial = time.monotonic() - start
    assert wait(child) == 0
    whole = time.monotonic() - start

    rng = random.Random(20)
    kills: list[dict[str, Any]] = []
    while len(kills) < 20:
        overwrite = len(kills) % 2 == 1
        shutil.rmtree(out)
        out.mkdir()
        if overwrite:
            shutil.copytree(folder / "old" / NAME, out / NAME)
        child = fork(lambda: run(out))
        if len(kills) < 6:
            time.sleep(rng.uniform(0, whole))
        else:
            wait_for_partial(out)
            time.sleep(rng.uniform(0, whole - until_partial))
        os.kill(child, signal.SIGKILL)
        if wait(child) != -signal.SIGKILL:
            continue  # it was done already
        kill = {"overwrite": overwrite, "partial": find_partial(out) is not None, "found": find_bundles(out, known)}
        with suppress(Halt):  # the next run, up to its first real work
            run(out, halt)
        kills.append({**kill, "after_next_run": find_bundles(out, known), "left": sorted(os.listdir(out))})
    run(out)
    return {"kills": kills, "at_last": find_bundles(out, known), "left": sorted(os.listdir(out))}


def interrupt_conversions(checkpoint: Path, folder: Path) -> list[dict[str, Any]]:
    """Press Ctrl-C, or send SIGTERM, at several moments of the real command."""
    from cli import main

    out, said = folder / "interrupted", folder / "said"
    args = ["convert", str(checkpoint), "--to", "onnx", "-o", str(out)]
    rng = random.Random(2)

    def run() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        descriptor = os.open(said, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        try:
            main(args)
        except SystemExit as leaving:
            sys.stderr.flush()
            os._exit(int(leaving.code or 0))

    found: list[dict[str, Any]] = []
    while len(found) < 5:
        child = fork(run)
        wait_for_partial(out)
        time.sleep(rng.uniform(0, 0.1))
        sent = signal.SIGTERM if len(found) % 2 else signal.SIGINT
        os.kill(child, sent)
        exit_code = wait(child)
        if exit_code == 0:
            shutil.rmtree(out)
            continue
        found.append({"signal": sent.name, "exit_code": exit_code, "said": said.read_text(), "left": out.exists()})
    return found


def kill_operations(folder: Path) -> list[dict[str, Any]]:
    """Kill write_bundle() before each of its operations on files, then the recovery before each of its own."""
    out = folder / "out"
    known: dict[str, Tree] = {}

    def write(place: Path, text: str) -> None:
        with bundle.write_bundle(place) as partial:
            (partial / "manifest.json").write_text(text)
            (partial / "golden").mkdir()
            (partial / "golden" / "a.npy").write_text(text)

    def kill_before(operation: int, work: Callable[[], None]) -> bool:
        """Whether `work` was killed, rather than done with fewer operations."""
        count = 0

        def count_down(event: str, args: tuple[Any, ...]) -> None:
            nonlocal count
            writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
            if writes or event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir"):
                if count == operation:
                    os.kill(os.getpid(), signal.SIGKILL)
                count += 1

        def watched() -> None:
            sys.addaudithook(count_down)
            work()

        return wait(fork(watched)) == -signal.SIGKILL

    for name in ("old", "new"):
        write(folder / name, name)
        known[name] = list_tree(folder / name)
    found: list[dict[str, Any]] = []
    for overwrite in (False, True):
        for operation in range(1000):
            for second in range(1000):
                shutil.rmtree(out, ignore_errors=True)
                out.mkdir()
                if overwrite:
                    shutil.copytree(folder / "old", out / "b")
                killed = kill_before(operation, lambda: write(out / "b", "new"))
                here = find_bundles(out, known)
                killed_again = kill_before(second, lambda: clear_stale(out / "b"))
                clear_stale(out / "b")
                after, left = find_bundles(out, known), sorted(os.listdir(out))
                found.append(
                    {"overwrite": overwrite, "killed": killed, "found": here, "after_next_run": after, "left": left}
                )
                if not killed_again:
                    break
            if not killed:
                break
    return found


if __name__ == "__main__":
    folder, *checkpoint = (Path(arg) for arg in sys.argv[1:])
    if not checkpoint:
        answer: Any = kill_operations(folder)
    else:
        with remembered_exports():
            answer = kill_conversions(*checkpoint, folder)
            answer["interrupts"] = interrupt_conversions(*checkpoint, folder)
    print(json.dumps(answer))
