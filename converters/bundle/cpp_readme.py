"""cpp/README.md of a bundle: the lines that build ganport's C++ programs for its files and run them."""

from __future__ import annotations

import shlex

from converters.bundle.manifest import Manifest
from converters.targets.registry import TARGETS
from converters.targets.target import CppRuntime
from converters.text import escape_markdown, format_code_span

SOURCES = "ganport-cpp"
# The inputs of a pipeline, which takes a photo and its mask as they are in files.
PIPELINE_INPUTS = ("photo", "mask", "edge_edits")


def format_cpp_readme(manifest: Manifest) -> str | None:
    """The text, or None where the C++ library runs none of the bundle's files."""
    name, signature = manifest.name, manifest.contract
    dtypes = {spec.dtype for spec in (*signature.inputs, *signature.outputs)}
    runtimes = [
        runtime
        for artifact in manifest.artifacts
        for runtime in TARGETS[artifact.target].cpp_runtimes
        if dtypes <= set(runtime.dtypes)
    ]
    if not runtimes:
        return None
    is_pipeline = tuple(spec.name for spec in signature.inputs) == PIPELINE_INPUTS
    parts = [
        f"# {escape_markdown(name)} in C++\n",
        "Needs a C++17 compiler, CMake 3.25, and one of the runtimes below. On Debian, besides:\n",
        "    apt install libssl-dev nlohmann-json3-dev libpng-dev libjpeg-dev\n",
        f"Run the lines where the bundle's folder, {format_code_span(name)}, lies;",
        "not inside it, as files that its `SHA256SUMS` does not list make it no sound bundle.",
        "ganport writes the sources:\n",
        f"    ganport consumers cpp {SOURCES}\n",
        *(_format_runtime(runtime, name, is_pipeline) for runtime in runtimes),
        "## In your own program\n",
        f"`{SOURCES}/README.md` has a short one: `ganport::Generator` checks the bundle, then runs named tensors.",
    ]
    return "\n".join(parts) + "\n"


def _format_runtime(runtime: CppRuntime, name: str, is_pipeline: bool) -> str:
    build = f"{SOURCES}/build-{runtime.backend}"
    settings = f'-DGANPORT_BACKEND={runtime.backend} -D{runtime.location}="${runtime.location}"'
    inpaint = f"    {build}/ganport-inpaint {shlex.quote(name)} photo.png mask.png filled.png\n" if is_pipeline else ""
    told = (
        "`ganport-inpaint` fills the hole, which is where the mask is white, in a PNG or JPEG photo.\n"
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
