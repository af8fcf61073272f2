"""Build the C++ consumer, and run its programs under AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from parity_tests.support.places import ROOT

SOURCES = ROOT / "consumers" / "cpp"
FOLDER = ROOT / "build" / "cpp"
BACKENDS = ("onnxruntime", "mxnet", "openvino")
# What a sanitizer ends a program with, so that its report is never taken for an error of ours.
SANITIZER_EXIT = 77
# A build takes 20 s on two cores; a program that hangs is a failure as well.
BUILD_SECONDS, RUN_SECONDS = 600, 120
SANITIZERS = {
    "ASAN_OPTIONS": f"exitcode={SANITIZER_EXIT}:detect_leaks=1",
    "LSAN_OPTIONS": f"exitcode={SANITIZER_EXIT}:print_suppressions=0:suppressions={SOURCES / 'tests' / 'leaks.supp'}",
    "UBSAN_OPTIONS": f"exitcode={SANITIZER_EXIT}:print_stacktrace=1",
    # TBB, which OpenVINO brings, else loads a library in a way that AddressSanitizer refuses.
    "TBB_ENABLE_SANITIZERS": "1",
}
# Memory that is freed is used again at once: else AddressSanitizer keeps 256 MiB of it back, and memory seems to grow.
NO_QUARANTINE = {"ASAN_OPTIONS": f"{SANITIZERS['ASAN_OPTIONS']}:quarantine_size_mb=0:thread_local_quarantine_size_kb=0"}


def package_folder(package: str) -> Path:
    """Where a Python package lies, which is not imported."""
    spec = find_spec(package)
    assert spec is not None, f"{package} is not installed: see the extras in pyproject.toml"
    assert spec.origin is not None
    return Path(spec.origin).parent


def build_environment() -> dict[str, str]:
    """The environment with CMake and Ninja of this Python, and all that a build must find."""
    if not (FOLDER / "deps.stamp").is_file():
        pytest.fail("the C++ consumer's dependencies are not there: run `make build/cpp/deps.stamp`")
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "CMAKE_GENERATOR": "Ninja",
        "CMAKE_PREFIX_PATH": str(FOLDER / "usr"),
        "ONNXRUNTIME_ROOT": str(FOLDER / "onnxruntime"),
        "MXNET_ROOT": str(package_folder("mxnet")),
        "OpenVINO_DIR": str(package_folder("openvino") / "cmake"),
    }


def run_build(*command: object, cwd: Path = SOURCES) -> str:
    """Run a command of a build; what it printed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=build_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_SECONDS,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-8000:]}\n{done.stderr[-8000:]}"
    return done.stdout + done.stderr


@cache
def build(backend: str) -> Path:
    """The folder of the programs of one backend, built with sanitizers; what has not changed is not built again."""
    folder = FOLDER / f"build-{backend}"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be testing too
        said = run_build("cmake", "--preset", f"{backend}-sanitizers", "-B", folder)
        assert "Warning" not in said, said
        run_build("cmake", "--build", folder)
    return folder


def run(
    backend: str, program: str, *arguments: object, environment: Mapping[str, str] = SANITIZERS
) -> subprocess.CompletedProcess[str]:
    """Run a program; a report of a sanitizer, a crash and a hang fail the test."""
    done = subprocess.run(
        [str(build(backend) / program), *map(str, arguments)],
        env={**os.environ, **SANITIZERS, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_SECONDS,
        errors="backslashreplace",
    )
    assert done.returncode in (0, 1, 2), f"{program} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def require_refusal(done: subprocess.CompletedProcess[str], said: str = "") -> None:
    """One line on stderr that says it, exit code 1, and nothing else."""
    lines = done.stderr.removesuffix("\n").split("\n")
    assert done.returncode == 1, f"{done.stdout}\n{done.stderr}"
    assert len(lines) == 1, done.stderr
    program = Path(done.args[0]).name
    assert lines[0].startswith(f"{program}: "), lines[0]
    assert lines[0].endswith("."), lines[0]
    assert said in lines[0], lines[0]
    assert lines[0].isprintable(), lines[0]
