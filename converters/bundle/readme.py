"""What a bundle says about itself: manifest.json and README.md."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from converters.bundle.cpp_readme import format_cpp_readme
from converters.bundle.folder import GOLDEN, MANIFEST, SCHEMA_VERSION, describe_files, write_json
from converters.parity.compare import ParityReport
from converters.parity.gates import GATES
from converters.parity.report import METRIC_FORMS, format_number
from converters.targets.mxnet.runtime import WITHOUT_BOOL
from converters.targets.registry import Artifact
from converters.targets.wolfram.syntax import IMAGE_CHANNELS, make_variables
from converters.tensors import TensorSpec

if TYPE_CHECKING:
    from converters.parity.expected import Model

ONNX = "ONNX"
FORMATS = {
    ".onnx": ONNX,
    ".engine": "TensorRT engine",
    ".params": "MXNet NDArray list",
    ".wl": "Wolfram Language",
    ".wxf": "WXF",
    ".npy": "NumPy array",
    ".md": "Markdown",
}
# Element types that the C++ library knows.
CPP_DTYPES = ("float32", "uint8", "int8")
PACKAGES = ("torch", "onnx", "onnxruntime", "onnxsim", "onnxscript", "numpy")


class SourceFile(Protocol):
    """A file that a bundle is made from: a checkpoint, or a foreign ONNX file."""

    @property
    def path(self) -> Path: ...

    @property
    def format(self) -> str: ...

    @property
    def sha256(self) -> str: ...

    @property
    def settings(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Record:
    """All that a bundle's manifest and README are written from."""

    name: str
    sources: Sequence[SourceFile]
    architecture: str
    license_note: str
    model: Model
    raw: bool
    size: tuple[int, int] | None
    artifacts: Sequence[Artifact]
    reports: Sequence[ParityReport]
    unverified: Mapping[str, str]

    @property
    def is_foreign(self) -> bool:
        """Whether it is made from an ONNX file."""
        return all(source.format == ONNX for source in self.sources)

    @property
    def standard(self) -> str:
        """What gave the outputs that its files are held to."""
        return (
            f"ONNX Runtime on `{self.sources[0].path.name}` itself" if self.is_foreign else "the untouched torch module"
        )


def write_manifest(folder: Path, record: Record) -> None:
    """Write README.md, cpp/README.md and then manifest.json, which hashes every other file in `folder`."""
    (folder / "README.md").write_text(format_readme(record), encoding="utf-8")
    cpp_readme = _format_cpp(record)
    if cpp_readme is not None:
        (folder / "cpp").mkdir()
        (folder / "cpp" / "README.md").write_text(cpp_readme, encoding="utf-8")
    files = describe_files(folder)
    for file, facts in files.items():
        facts["format"] = _format(file)
    write_json(
        folder / MANIFEST,
        {
            "schema_version": SCHEMA_VERSION,
            "name": record.name,
            "architecture": record.architecture,
            "hyperparameters": dict(record.model.hyperparameters),
            "raw": record.raw,
            "judging": {output: asdict(judging) for output, judging in record.model.judging.items()},
            "sources": [
                {
                    "file": source.path.name,
                    "format": source.format,
                    "sha256": source.sha256,
                    "settings": {key: str(value) for key, value in source.settings.items()},
                }
                for source in record.sources
            ],
            "contract": {
                "inputs": [spec.to_json() for spec in record.model.inputs],
                "outputs": [spec.to_json() for spec in record.model.outputs],
                "static_size": None if record.size is None else list(record.size),
            },
            "artifacts": [_describe_artifact(artifact, record) for artifact in record.artifacts],
            "gates": {name: asdict(gate) for name, gate in GATES.items()},
            "not_verified": dict(record.unverified),
            "files": files,
            "versions": {
                "ganport": version("ganport"),
                "python": platform.python_version(),
                **{package: version(package) for package in PACKAGES},
            },
            "license_note": record.license_note,
        },
    )


def _format_cpp(record: Record) -> str | None:
    """cpp/README.md, None where the C++ library runs none of the files."""
    dtypes = {spec.dtype for spec in (*record.model.inputs, *record.model.outputs)}
    if not dtypes <= set(CPP_DTYPES):
        return None
    targets = [artifact.target for artifact in record.artifacts]
    if dtypes != {"float32"}:  # MXNet's predict interface, which the library uses, knows no other type
        targets = [target for target in targets if target != "mxnet"]
    return format_cpp_readme(record.name, [spec.name for spec in record.model.inputs], targets)


def _describe_artifact(artifact: Artifact, record: Record) -> dict[str, Any]:
    report = next((report for report in record.reports if report.rung == artifact.target), None)
    return {
        "target": artifact.target,
        "precision": artifact.precision,
        "files": list(artifact.files),
        "versions": dict(artifact.versions),
        "details": dict(artifact.details),
        "gate": artifact.gate,
        "parity": None if report is None else report.summary(),
        "verified": artifact.target not in record.unverified,
    }


def _format(file: str) -> str:
    path = Path(file)
    if path.name.endswith("-symbol.json"):
        return "MXNet symbol"
    return FORMATS.get(path.suffix, path.suffix.removeprefix(".").upper())


def format_readme(record: Record) -> str:
    """README.md of a bundle: the contract, what runs each file, how to verify."""
    kind = "An ONNX file's graph" if record.is_foreign else f"`{record.architecture}`"
    parts = [
        f"# {record.name}\n",
        kind
        + (", the bare generator" if record.raw else "")
        + f", ported from {' and '.join(f'`{c.path.name}` (sha256 `{c.sha256}`)' for c in record.sources)}.\n",
        "## Contract\n",
        _format_contract(record.model.inputs, record.model.outputs),
        _format_sizes(record),
        "## What was proven\n",
        _format_proof(record),
        "Every input, metric and gate is in `parity.md`; `parity.json` holds the same for programs.\n",
    ]
    for artifact in record.artifacts:
        parts.append(SNIPPETS[artifact.target](record, artifact))
    parts.append(VERIFY.format(golden=GOLDEN, standard=record.standard))
    parts.append(f"## Licence\n\n{record.license_note}\n")
    return "\n".join(parts)


def _format_contract(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> str:
    rows = ["| | tensor | shape | type | range | meaning |", "| --- | --- | --- | --- | --- | --- |"]
    for kind, specs in (("in", inputs), ("out", outputs)):
        for spec in specs:
            shape = ", ".join(str(axis) for axis in spec.shape)
            span = "any" if spec.value_range is None else f"{spec.value_range[0]:g} to {spec.value_range[1]:g}"
            rows.append(
                f"| {kind} | `{spec.name}` | ({shape}) {spec.layout} | {spec.dtype} | {span} | {spec.meaning} |"
            )
    return "\n".join(rows) + "\n"


def _format_sizes(record: Record) -> str:
    spec = record.model.inputs[0]
    if record.is_foreign:
        free = dict.fromkeys(axis for one in record.model.inputs for axis in one.shape if isinstance(axis, str))
        if not free:
            return "Every input is of that one size.\n"
        return (
            f"Sizes that the file leaves free: {', '.join(free)}. What its net takes of them, its author knows; those "
            "that it was run at are in `parity.md`. An engine also keeps to its profile (`manifest.json`).\n"
        )
    if record.size is not None:
        return f"N is 1, H is {record.size[0]}, W is {record.size[1]}; no other size.\n"
    multiples = f"multiples of {spec.multiple_of}, " if spec.multiple_of > 1 else ""
    return (
        f"N, H and W are free; H and W are {multiples}{spec.minimum} or more. "
        "An engine also keeps to its profile (`manifest.json`).\n"
    )


def _format_proof(record: Record) -> str:
    outputs = [spec for spec in record.model.outputs if record.model.policy_of(spec.name).gate is None]
    holes = any(record.model.policy_of(spec.name).known is not None for spec in outputs)
    rows = [
        f"Held to {record.standard}{_format_unit(record, outputs)}:\n",
        f"| target | verdict | max abs error | {'hole ' if holes else ''}PSNR, dB | excess error |",
        "| --- | --- | --- | --- | --- |",
    ]
    for artifact in record.artifacts:
        report = next((report for report in record.reports if report.rung == artifact.target), None)
        if report is None:
            rows.append(f"| {artifact.target} | {record.unverified[artifact.target]} | | | |")
            continue
        facts = report.summary()
        cells = " | ".join(format_number(facts[key], form) for key, form in METRIC_FORMS)
        rows.append(f"| {artifact.target} | {report.verdict} | {cells} |")
    return "\n".join(rows) + "\n"


def _format_unit(record: Record, outputs: Sequence[TensorSpec]) -> str:
    """What the errors of these outputs are divided by, nothing where that is 1."""
    relative = [spec for spec in outputs if record.model.policy_of(spec.name).relative and "float" in spec.dtype]
    if not relative:
        return ""
    if len(relative) == len(outputs):
        return ", errors in units of an output's largest value"
    names = ", ".join(f"`{spec.name}`" for spec in relative)
    return (
        f", errors of {names} in units of {'its largest value' if len(relative) == 1 else 'the largest value of each'}"
    )


def _format_onnx(record: Record, artifact: Artifact) -> str:
    return f"""## Run the ONNX file

Needs `onnxruntime` and `numpy`.

```python
import numpy as np
import onnxruntime as ort

session = ort.InferenceSession("{artifact.files[0]}", providers=["CPUExecutionProvider"])
feeds = {{i.name: np.load(f"{GOLDEN}/input_{{i.name}}.npy") for i in session.get_inputs()}}
names = [o.name for o in session.get_outputs()]
for name, array in zip(names, session.run(names, feeds)):
    expected = np.load(f"{GOLDEN}/output_{{name}}.npy").astype(float)
    print(name, array.shape, np.abs(array - expected).max(initial=0))
```
"""


def _format_mxnet(record: Record, artifact: Artifact) -> str:
    dtypes = {spec.name: WITHOUT_BOOL.get(spec.dtype, spec.dtype) for spec in record.model.inputs}
    outputs = [spec.name for spec in record.model.outputs]
    return f"""## Run the MXNet pair

Needs `mxnet` 1.9.1 and `numpy` below 2. On Python 3.10 and later the package wants names back that numpy dropped.

```python
import numpy as np

for name, kind in dict(bool=bool, int=int, float=float, object=object, complex=complex, str=str).items():
    setattr(np, name, kind)
import mxnet as mx

symbol, arg_params, aux_params = mx.model.load_checkpoint("{record.name}", 0)
dtypes = {json.dumps(dtypes)}
arrays = {{name: np.atleast_1d(np.load(f"{GOLDEN}/input_{{name}}.npy")) for name in dtypes}}
feeds = {{name: mx.nd.array(array, dtype=dtypes[name]) for name, array in arrays.items()}}
executor = symbol.bind(mx.cpu(), {{**arg_params, **feeds}}, aux_states=aux_params)
for name, result in zip({json.dumps(outputs)}, executor.forward(is_train=False)):
    expected = np.load(f"{GOLDEN}/output_{{name}}.npy").astype(float)
    print(name, result.shape, np.abs(result.asnumpy() - expected).max(initial=0))
```
"""


def _format_engine(record: Record, artifact: Artifact) -> str:
    package = next(iter(artifact.versions))
    built = f"built by {package} {artifact.versions[package]}, TF32 off. {artifact.details['note']}"
    if len(artifact.files) == 1:
        return f"""## Run the TensorRT engine

`{artifact.files[0]}` was {built}
Tensor names are the contract's; deserialize it with the runtime of the same package and version.
"""
    links = ", ".join(f"`{file}`" for file in artifact.files[1:])
    return f"""## Run the TensorRT chain

The nets are engines, {built}
TensorRT has no float64, which Canny needs: what is around the nets runs in ONNX Runtime. One after another:
{links}; `{artifact.files[0]}` says which of the others' tensors each takes and gives.
"""


def _format_wolfram(record: Record, artifact: Artifact) -> str:
    package, weights, check = artifact.files
    builder = artifact.details["function"]
    size = "" if record.size is None else f"; this one takes {{{record.size[1]}, {record.size[0]}}} only"
    names = [spec.name for spec in record.model.inputs]
    feeds = ", ".join(f'"{name}" -> {variable}' for name, variable in zip(names, make_variables(names), strict=True))
    return f"""## Build the net in Mathematica

**No Wolfram kernel has run these files.** Let yours run the golden case once, on every route into the language (the
NetGraph, the ONNX file, the MXNet pair); each prints a line, and the exit code tells of the NetGraph:

    wolframscript -file {check}

`{package}` builds a NetGraph of native layers from the arrays in `{weights}`.
A size is {{width, height}}{size}:

```wl
Get["{package}"]
net = {builder}["ImageSize" -> {{width, height}}];
net[<|{feeds}|>]
```

{_format_ports([*record.model.inputs, *record.model.outputs])}
`?{builder}` tells the rest.
"""


def _format_ports(specs: Sequence[TensorSpec]) -> str:
    """What the NetGraph takes and gives."""
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


SNIPPETS = {"onnx": _format_onnx, "mxnet": _format_mxnet, "trt": _format_engine, "wolfram": _format_wolfram}

VERIFY = """## Verify

`sha256sum -c SHA256SUMS` checks the files. `ganport verify .` also looks for files that are not listed and replays
`{golden}/` (one case, its outputs given by {standard}) on every runtime that is present.
"""
