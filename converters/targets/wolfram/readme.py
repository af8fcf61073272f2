"""The section of a bundle's README on the Mathematica package."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from converters.targets.target import Artifact
from converters.targets.wolfram.syntax import IMAGE_CHANNELS, format_string, make_variables
from converters.tensors import Signature, TensorSpec
from converters.text import format_code_span


def format_readme(signature: Signature, artifact: Artifact) -> str:
    """How to check the files, build the NetGraph and run it."""
    package, weights, check, *_ = artifact.files
    builder = artifact.details["function"]
    height, width = artifact.details.get("size", signature.inputs[0].shape[-2:])
    size = f"; this one takes {{{width}, {height}}} only" if isinstance(height, int) and isinstance(width, int) else ""
    if "size" in artifact.details:
        size += ", because its layers depend on it: convert with `--size HxW` for another"
    names = [spec.name for spec in signature.inputs]
    feeds = ", ".join(f'"{name}" -> {variable}' for name, variable in zip(names, make_variables(names), strict=True))
    return f"""## Build the net in Mathematica

**No Wolfram kernel has run these files.** Let yours run the golden case once, on every route into the language (the
NetGraph, the ONNX file, the MXNet pair); each prints a line, and the exit code tells of the NetGraph:

    wolframscript -file {shlex.quote(check)}

{format_code_span(package)} builds a NetGraph of native layers from the arrays in {format_code_span(weights)}.
It needs version {artifact.details["version"]:g} of the language. A size is {{width, height}}{size}:

```wl
Get[{format_string(package)}]
net = {builder}["ImageSize" -> {{width, height}}];
net[<|{feeds}|>]
```

{_format_run(signature, artifact)}{_format_pipeline(artifact)}{_format_ports([*signature.inputs, *signature.outputs])}
`?{builder}` tells the rest. From version 12.1 on, `PacletInstall` takes this folder, too.
"""


def _format_ports(specs: Sequence[TensorSpec]) -> str:
    """Which inputs and outputs of the NetGraph are images, and which are arrays."""
    arrays = [f"`{spec.name}`" for spec in specs if spec.shape[1] not in IMAGE_CHANNELS]
    axes = "{channels, height, width}, the axis N left out"
    if not arrays:
        return f'Inputs, of that size, and output are images; with `"Ports" -> "Arrays"` they are arrays\n{axes}.'
    if len(arrays) == len(specs):
        return f"Inputs, of that size, and output are arrays {axes}: none has the channels of an image."
    named = f"{', '.join(arrays)}: {'an array' if len(arrays) == 1 else 'arrays'} {axes}"
    return (
        'Inputs are of that size. What has 1 or 3 channels is an image, or with `"Ports" -> "Arrays"` an array;\n'
        f"{named}."
    )


def _format_run(signature: Signature, artifact: Artifact) -> str:
    """How to go from photo to photo, where all inputs and outputs are images."""
    specs = [*signature.inputs, *signature.outputs]
    if any(spec.shape[1] not in IMAGE_CHANNELS for spec in specs):
        return ""
    variables = ", ".join(make_variables([spec.name for spec in signature.inputs]))
    return f"""From photo to photo, of one size:

```wl
{artifact.details["run"]}[{variables}]
```

"""


def _format_pipeline(artifact: Artifact) -> str:
    """How to run both nets of EdgeConnect, where the program for it is among the files."""
    if "EdgeConnectInpaint.wl" not in artifact.files:
        return ""
    packages = f'{{"../edgeconnect-edge/edgeconnect-edge.wl", {format_string(artifact.files[0])}}}'
    return f"""With the edge net's bundle beside this one, or with a pipeline's ONNX file as `"Model"`, edges and all:

```wl
Get["EdgeConnectInpaint.wl"]
EdgeConnectInpaint[photo, mask, "Model" -> {packages}]
```

"""
