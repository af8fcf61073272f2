"""Give damaged files to the real command, each in a process of its own, and judge how it ends.

The processes are forked from one that has imported everything and has no threads; bases are built in a child, too.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnxruntime
from PIL import Image

from parity_tests.support.mutation_pictures import Case, damage_image

MOST_SECONDS, MOST_MIB = 60.0, 4096
EXIT_CODES = (0, 1, 2, 3, 4)
POLL_S = 0.005
# What the commands import, so that no child has to; for images the heavy packages are left out.
LIGHT = (
    *("cli", "converters.inpaint", "converters.terminal.fill_photos", "onnxruntime", "PIL.ImageCms"),
    *("rich.console", "rich.text", "rich.status", "resource", "ctypes", "onnxruntime.capi.onnxruntime_pybind11_state"),
    "parity_tests.support.mutation_pictures",
)
HEAVY = (
    *(
        "converters.convert",
        "converters.terminal.inspect_file",
        "converters.verify",
        "converters.terminal.tables",
        "onnxsim",
    ),
    *("converters.sources.torch_source", "converters.sources.export_torch", "onnx.reference"),
    "parity_tests.support.mutation_cases",
)


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        kind: Of file, a key of KINDS.
        seed: What the damage was drawn from.
        exit_code: The command's.
        line: The last line on stderr.
        seconds: How long it took.
        peak_mib: Largest resident memory.
        faults: A sentence for each thing that must not be.
    """

    kind: str
    seed: int
    exit_code: int
    line: str
    seconds: float
    peak_mib: float
    faults: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def import_everything(kind: str) -> None:
    """Import what the commands need for a kind; nothing of this starts a thread."""
    for module in LIGHT if kind == "images" else (*LIGHT, *HEAVY):
        importlib.import_module(module)
    Image.init()
    gc.freeze()  # or each child copies what its collector looks at


def prepare_bases(folder: Path) -> None:
    child = os.fork()
    if child == 0:
        try:
            from parity_tests.support.mutation_cases import build_bases

            build_bases(folder)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def run_cases(kind: str, seeds: range, root: Path, jobs: int = 2) -> Iterator[Outcome]:
    """Run the cases of these seeds, `jobs` at a time; `root` holds the folder `bases` and gets the cases'."""
    waiting, running = list(reversed(seeds)), {}
    while waiting or running:
        while waiting and len(running) < jobs:
            seed = waiting.pop()
            running[_start(kind, seed, root)] = (seed, time.monotonic())
        pid, status, usage = os.wait4(-1, os.WNOHANG)
        if pid == 0:
            for child, (_, start) in running.items():
                if time.monotonic() - start > 2 * MOST_SECONDS:
                    os.killpg(child, signal.SIGKILL)
            time.sleep(POLL_S)
            continue
        seed, _ = running.pop(pid)
        yield _judge(kind, seed, root, os.waitstatus_to_exitcode(status), usage.ru_maxrss / 1024)


def _start(kind: str, seed: int, root: Path) -> int:
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        folder = root / f"{kind}-{seed}"
        shutil.rmtree(folder, ignore_errors=True)
        _run(kind, seed, root / "bases", folder)
        os._exit(0)
    except BaseException:
        (folder / "defect.txt").write_text(traceback.format_exc())
        os._exit(1)


def _run(kind: str, seed: int, bases: Path, folder: Path) -> None:
    """Make the case, run the command, check what came of it, and write the result."""
    import cli
    from converters.terminal.supervise import supervise

    rng = random.Random(f"{kind} {seed}")
    for name in ("in", "out", "tmp", "home"):
        (folder / name).mkdir(parents=True)
    case = _find_maker(kind)(bases, folder / "in", rng)
    before = _list(folder, bases)
    os.environ.update(TMPDIR=str(folder / "tmp"), HOME=str(folder / "home"), XDG_CACHE_HOME=str(folder / "home"))
    os.chdir(folder / "home")
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(folder.parent / f"{folder.name}.{name}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC), descriptor)
    start, me = time.monotonic(), os.getpid()
    try:
        cli.main([str(arg) for arg in case.args], prog_name="ganport", obj=supervise)
        code = 0
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 99
    sys.stdout.flush()
    sys.stderr.flush()
    if os.getpid() != me:  # the child that does the work comes back to here, too
        os._exit(code)
    result: dict[str, Any] = {"code": code, "seconds": time.monotonic() - start, "faults": []}
    if _list(folder, bases) != before:
        result["faults"].append("it wrote outside of -o")
    if code == 0:
        result["faults"] += [f"wrong: {fault}" for fault in case.check()]
    elif list((folder / "out").iterdir()) and kind != "images":
        left = [path.name for path in (folder / "out").iterdir() if not path.name.endswith(".failed")]
        partial = [name for name in left if code == 1 and _is_partial(folder / "out" / name)]
        result["faults"] += [f"it left {name}" for name in left if name not in partial]
        if partial:
            onnxruntime.set_default_logger_severity(4)  # what the check runs must not speak for the command
            result["faults"] += [f"wrong: {fault}" for fault in case.check()]
    (folder / "result.json").write_text(json.dumps(result))


def _is_partial(bundle: Path) -> bool:
    """Whether it is a complete bundle that says which of the targets asked for refused."""
    from converters.bundle.checksums import verify_hashes
    from converters.bundle.folder import read_bundle
    from converters.errors import BundleError

    try:
        verify_hashes(bundle)
        unverified = read_bundle(bundle).manifest.not_verified
    except BundleError:
        return False
    return any(why.startswith("refused: ") for why in unverified.values())


def _find_maker(kind: str) -> Callable[[Path, Path, random.Random], Case]:
    if kind == "images":
        return damage_image
    from parity_tests.support.mutation_cases import KINDS

    return KINDS[kind]


def _list(folder: Path, bases: Path) -> dict[str, int]:
    """Every file with its size, but for what lies in `out`."""
    places = (folder / "in", folder / "tmp", folder / "home", bases)
    return {str(path): path.lstat().st_size for place in places for path in place.rglob("*")}


def _judge(kind: str, seed: int, root: Path, status: int, peak_mib: float) -> Outcome:
    folder = root / f"{kind}-{seed}"
    said = (root / f"{folder.name}.stderr").read_text(errors="replace") if status == 0 else ""
    lines = said.splitlines() or [""]
    if status != 0:
        defect = folder / "defect.txt"
        why = defect.read_text() if defect.exists() else f"the harness ended with {status}: a hang, most likely"
        result: dict[str, Any] = {"code": -1, "seconds": 2 * MOST_SECONDS, "faults": [why]}
    else:
        result = json.loads((folder / "result.json").read_text())
    faults = list(result["faults"])
    faults += ["traceback"] if "Traceback" in said else []
    faults += [f"exit code {result['code']}"] if result["code"] not in EXIT_CODES else []
    faults += ["hang"] if result["seconds"] > MOST_SECONDS else []
    faults += ["memory"] if peak_mib > MOST_MIB else []
    faults += ["not foreseen"] if "not foreseen" in said else []
    faults += ["crash"] if "a library crashed" in said else []
    if result["code"] not in (0, 2) and not lines[-1].startswith("ganport: "):
        faults.append("no line of ours")
    if not faults:
        shutil.rmtree(folder)
        for name in ("stdout", "stderr"):
            (root / f"{folder.name}.{name}").unlink(missing_ok=True)
    return Outcome(kind, seed, result["code"], lines[-1], result["seconds"], peak_mib, tuple(faults))
