"""Write out programs that use a bundle without ganport: sources for the user to build, or a page for browsers."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from converters.errors import ConsumerError

CONSUMERS = Path(str(files("consumers")))
# Left in a checkout by builds and by Python; not part of the sources.
IGNORED = ("build*", "__pycache__", "node_modules")
# For whoever changes the page; it runs without them.
PAGE_IGNORED = (*IGNORED, "package.json", "package-lock.json", "jsconfig.json", "biome.json", "*.d.mts")
# Of the npm package that runs nets in browsers: its plain build, and the one for graphics cards.
RUNTIME = "onnxruntime-web"
RUNTIME_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
GPU_FILES = ("ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm")
# Where npm puts packages: `make` in a checkout, `npm install` in the working folder.
NODE_MODULES = (Path("build/web/node_modules"), Path("node_modules"))


@dataclass(frozen=True)
class Net:
    """What the page runs.

    Attributes:
        folder: A bundle's.
        files: Names of the files to take from it.
        sample: The photo to begin with.
        for_gpu: Whether a graphics card can run it, for which ONNX Runtime has a build of its own.
    """

    folder: Path
    files: Sequence[str]
    sample: Path
    for_gpu: bool


def write_consumer(language: str, folder: Path, net: Net | None = None) -> None:
    """Write the program for one language into `folder`.

    Args:
        language: A folder in `consumers`.
        folder: A folder that does not exist or is empty.
        net: What the page runs, for "web".

    Raises:
        ConsumerError: `folder` is something else, npm's files are not at hand, or writing fails; then no file is left
            behind.
    """
    with new_folder(folder):
        runtime = find_runtime() if net else None
        ignore = shutil.ignore_patterns(*(PAGE_IGNORED if net else IGNORED))
        shutil.copytree(CONSUMERS / language, folder, ignore=ignore, dirs_exist_ok=True)
        if net and runtime:
            copy_files(runtime, (*RUNTIME_FILES, *(GPU_FILES if net.for_gpu else ())), folder / "ort")
            copy_files(net.folder, net.files, folder / "model")
            shutil.copyfile(net.sample, folder / "sample.png")


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Write into `folder` in the block; if it raises, no file is left behind.

    Raises:
        ConsumerError: `folder` is neither new nor empty, or writing fails.
    """
    try:
        is_new = not folder.exists()
        if folder.is_symlink() or not (is_new or (folder.is_dir() and not any(folder.iterdir()))):
            raise ConsumerError(folder, "something is already there", "Name a new folder")
        try:
            yield
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            if not is_new:
                folder.mkdir(exist_ok=True)
            raise
    except OSError as error:
        if isinstance(error, shutil.Error):  # of copytree: a list of what it did not copy, and why
            (_, _, reason), *_ = error.args[0]
            reason = reason.partition("] ")[2].partition(":")[0] or reason
        else:
            reason = error.strerror or type(error).__name__
        raise ConsumerError(folder, f"cannot be written ({reason})", "Name another folder") from error


def find_runtime() -> Path:
    """The folder of the npm package's files.

    Raises:
        ConsumerError: the package of the version that the page was made for is not at hand.
    """
    version = json.loads((CONSUMERS / "web" / "package.json").read_text())["dependencies"][RUNTIME]
    for place in NODE_MODULES:
        package = place / RUNTIME
        try:
            found = json.loads((package / "package.json").read_text(encoding="utf-8"))["version"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if found == version and all((package / "dist" / name).is_file() for name in (*RUNTIME_FILES, *GPU_FILES)):
            return package / "dist"
    raise ConsumerError(
        NODE_MODULES[-1] / RUNTIME,
        f"version {version}, which runs nets in browsers, is not here",
        f"Run `npm install --no-save {RUNTIME}@{version}` in this folder first",
    )


def copy_files(source: Path, names: Sequence[str], folder: Path) -> None:
    """Copy files with the folders that are in their names."""
    for name in names:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target)
