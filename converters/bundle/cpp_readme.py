"""cpp/README.md of a bundle: the lines that build ganport's C++ programs for its files and run them."""

from __future__ import annotations

import shlex

from converters.bundle.manifest import Manifest
from converters.targets.registry import TARGETS
from converters.targets.target import CppRuntime
from converters.text import escape_markdown, format_code_span

SOURCES = "ganport-cpp"
# The programs that run pipelines, which take photos and masks as they are in files, by the pipeline's inputs.
FILL = "ganport-inpaint {name} photo.png mask.png filled.png"
PICTURE = "ganport-apply {name} photo.png picture.png"
PROGRAMS = {("photo", "mask", "edge_edits"): FILL, ("photo", "mask"): FILL, ("photo",): PICTURE}
TOLD = {
    FILL: "`ganport-inpaint` fills the hole, which is where the mask is white, in a PNG or JPEG photo.\n",
    PICTURE: "`ganport-apply` makes a picture of a PNG or JPEG photo.\n",
}


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
    program = PROGRAMS.get(tuple(spec.name for spec in signature.inputs))
    parts = [
        f"# {escape_markdown(name)} in C++\n",
        "Needs a C++17 compiler, CMake 3.25, and one of the runtimes below. On Debian, besides:\n",
        "    apt install libssl-dev nlohmann-json3-dev libpng-dev libjpeg-dev\n",
        f"Run the lines where the bundle's folder, {format_code_span(name)}, lies;",
        "not inside it, as files that its `SHA256SUMS` does not list make it no sound bundle.",
        "ganport writes the sources:\n",
        f"    ganport consumers cpp {SOURCES}\n",
        *(_format_runtime(runtime, name, program) for runtime in runtimes),
        "## In your own program\n",
        f"`{SOURCES}/README.md` has a short one: `ganport::Generator` checks the bundle, then runs named tensors.",
    ]
    return "\n".join(parts) + "\n"


def _format_runtime(runtime: CppRuntime, name: str, program: str | None) -> str:
    build = f"{SOURCES}/build-{runtime.backend}"
    settings = f'-DGANPORT_BACKEND={runtime.backend} -D{runtime.location}="${runtime.location}"'
    line = "" if program is None else f"    {build}/{program.format(name=shlex.quote(name))}\n"
    return f"""## {runtime.title}

`{runtime.location}` is {runtime.where}.

    cmake -S {SOURCES} -B {build} {settings}
    cmake --build {build} --parallel
    {build}/ganport-selftest {shlex.quote(name)}
{line}
`ganport-selftest` checks every hash and replays the golden case; it ends with 0 only if both hold.
{"" if program is None else TOLD[program]}"""
