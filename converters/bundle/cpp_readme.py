"""cpp/README.md of a bundle: the lines that build ganport's C++ programs for its files and run them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Runtime:
    """A runtime that the C++ library can be built for.

    Attributes:
        backend: Its name in -DGANPORT_BACKEND.
        title: Its own name.
        target: The conversion target whose files it runs.
        location: The CMake variable that says where it is; the shell variable of the same name holds the value.
        where: What that is.
    """

    backend: str
    title: str
    target: str
    location: str
    where: str


RUNTIMES = (
    Runtime("onnxruntime", "ONNX Runtime", "onnx", "ONNXRUNTIME_ROOT", "the folder of its unpacked release archive"),
    Runtime("openvino", "OpenVINO", "onnx", "OpenVINO_DIR", "the folder that holds its `OpenVINOConfig.cmake`"),
    Runtime(
        "mxnet",
        "MXNet 1.9.1",
        "mxnet",
        "MXNET_ROOT",
        "the folder that holds its `include/`, such as that of its Python package",
    ),
)
SOURCES = "ganport-cpp"
# The inputs of a pipeline, which takes a photo and its mask as they are in files.
PIPELINE_INPUTS = ("photo", "mask", "edge_edits")


def format_cpp_readme(name: str, inputs: Sequence[str], targets: Sequence[str]) -> str | None:
    """The text, or None where the bundle holds no file that a C++ runtime reads.

    Args:
        name: The bundle's.
        inputs: Names of its inputs.
        targets: Those that it holds files of.
    """
    runtimes = [runtime for runtime in RUNTIMES if runtime.target in targets]
    if not runtimes:
        return None
    is_pipeline = tuple(inputs) == PIPELINE_INPUTS
    parts = [
        f"# {name} in C++\n",
        "Needs a C++17 compiler, CMake 3.25, and one of the runtimes below. On Debian, besides:\n",
        "    apt install libssl-dev nlohmann-json3-dev libpng-dev libjpeg-dev\n",
        f"Run the lines where the bundle's folder, `{name}`, lies; not inside it, as files that its `SHA256SUMS` does",
        "not list make it no sound bundle. ganport writes the sources:\n",
        f"    ganport consumers cpp {SOURCES}\n",
        *(_format_runtime(runtime, name, is_pipeline) for runtime in runtimes),
        "## In your own program\n",
        f"`{SOURCES}/README.md` has a short one: `ganport::Generator` checks the bundle, then runs named tensors.",
    ]
    return "\n".join(parts) + "\n"


def _format_runtime(runtime: Runtime, name: str, is_pipeline: bool) -> str:
    build = f"{SOURCES}/build-{runtime.backend}"
    settings = f'-DGANPORT_BACKEND={runtime.backend} -D{runtime.location}="${runtime.location}"'
    inpaint = f"    {build}/ganport-inpaint {shlex.quote(name)} photo.png mask.png filled.png\n" if is_pipeline else ""
    told = (
        "`ganport-inpaint` fills the hole, which is where the mask is not black, in a PNG or JPEG photo.\n"
        if is_pipeline
        else ""
    )
    return f"""## {runtime.title}

`{runtime.location}` is {runtime.where}.

    cmake -S {SOURCES} -B {build} {settings}
    cmake --build {build} --parallel
    {build}/ganport-selftest {shlex.quote(name)}
{inpaint}
`ganport-selftest` checks every hash and replays the golden case; it ends with 0 only if both hold.
{told}"""
