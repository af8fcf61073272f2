"""README.md of a bundle: the contract, what was proven, how to run each target's files, how to verify."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from converters.bundle.manifest import Manifest
from converters.files import GOLDEN
from converters.parity.compare import ParityReport
from converters.parity.report import EXCESS, METRIC_FORMS, format_metric
from converters.targets.registry import TARGETS
from converters.tensors import Signature, TensorSpec
from converters.text import escape_markdown, format_code_span
from reference.model import WHOLE_PLANE, OutputPolicy

ONNX_FORMAT = "ONNX"

VERIFY = """## Verify

`sha256sum -c SHA256SUMS` checks the files. `ganport verify .` also looks for files that are not listed and replays
`{golden}/` (one case, its outputs given by {source}) on every runtime that is present.
It is a command of ganport {version}, installed from its source folder with `pip install {what}`; it needs no PyTorch.
"""
# The extra of ganport that runs a target's files; those of other targets run without one.
EXTRAS = {"mxnet": "mxnet", "trt": "tensorrt"}
ENGINE = "trt"


def format_readme(manifest: Manifest, reports: Sequence[ParityReport]) -> str:
    """The text.

    Args:
        manifest: What the bundle says of itself; its list of files is not read.
        reports: One per rung of the ladder.
    """
    is_foreign = all(source.format == ONNX_FORMAT for source in manifest.sources)
    kind = "An ONNX file's graph" if is_foreign else f"`{manifest.architecture}`"
    made_from = " and ".join(
        f"{format_code_span(source.file)} (sha256 `{source.sha256}`)" for source in manifest.sources
    )
    first = format_code_span(manifest.sources[0].file)
    held_to = f"ONNX Runtime on {first} itself" if is_foreign else "the untouched torch module"
    parts = [
        f"# {escape_markdown(manifest.name)}\n",
        f"{kind}{', the bare generator' if manifest.raw else ''}, ported from {made_from}.\n",
        "## Contract\n",
        _format_contract(manifest.contract),
        (_format_free_axes(manifest.contract) if is_foreign else _format_sizes(manifest)) + _format_engine(manifest),
        "## What was proven\n",
        f"Held to {held_to}{_format_unit(manifest)}:\n",
        _format_proof(manifest, reports),
        "Every input, metric and gate is in `parity.md`; `parity.json` holds the same for programs.\n",
        *(
            TARGETS[artifact.target].format_readme(manifest.name, manifest.contract, artifact)
            for artifact in manifest.artifacts
        ),
        VERIFY.format(
            golden=GOLDEN,
            source=held_to,
            version=manifest.versions.get("ganport", ""),
            what=_name_what_to_install(manifest),
        ),
        f"## Licence\n\n{manifest.license_note}\n",
    ]
    return "\n".join(parts)


def _format_contract(signature: Signature) -> str:
    rows = ["| | tensor | shape | type | range | meaning |", "| --- | --- | --- | --- | --- | --- |"]
    for kind, specs in (("in", signature.inputs), ("out", signature.outputs)):
        for spec in specs:
            shape = ", ".join(escape_markdown(str(axis)) for axis in spec.shape)
            span = "any" if spec.value_range is None else f"{spec.value_range[0]:g} to {spec.value_range[1]:g}"
            meaning = escape_markdown(spec.meaning)
            rows.append(f"| {kind} | `{spec.name}` | ({shape}) {spec.layout} | {spec.dtype} | {span} | {meaning} |")
    return "\n".join(rows) + "\n"


def _format_free_axes(signature: Signature) -> str:
    """Which sizes of an ONNX file are free."""
    free = dict.fromkeys(axis for spec in signature.inputs for axis in spec.shape if isinstance(axis, str))
    if not free:
        return "Every input is of that one size.\n"
    return (
        f"Sizes that the file leaves free: {', '.join(map(escape_markdown, free))}. "
        "What its net takes of them, its author knows; those that it was run at are in `parity.md`.\n"
    )


def _format_sizes(manifest: Manifest) -> str:
    """Which sizes a net of a known architecture takes."""
    size, spec = manifest.contract.static_size, manifest.contract.inputs[0]
    if size is not None:
        return f"N is 1, H is {size[0]}, W is {size[1]}; no other size.\n"
    multiples = f"multiples of {spec.multiple_of}, " if spec.multiple_of > 1 else ""
    return f"N, H and W are free; H and W are {multiples}{spec.minimum} or more.\n"


def _format_engine(manifest: Manifest) -> str:
    """Where the sizes stand that an engine takes; nothing where none is held."""
    held = any(artifact.target == ENGINE for artifact in manifest.artifacts)
    return "The engine takes the sizes of its profile only; see below.\n" if held else ""


def _name_what_to_install(manifest: Manifest) -> str:
    extras = [EXTRAS[artifact.target] for artifact in manifest.artifacts if artifact.target in EXTRAS]
    return f"'.[{','.join(extras)}]'" if extras else "."


def _format_proof(manifest: Manifest, reports: Sequence[ParityReport]) -> str:
    """A row for each target: its verdict and its worst errors."""
    policies = _list_policies(manifest).values()
    hole = "hole " if any(policy.known is not None for policy in policies) else ""
    rows = [
        f"| target | verdict | max abs error | {hole}PSNR, dB | excess error |",
        "| --- | --- | --- | --- | --- |",
    ]
    for artifact in manifest.artifacts:
        report = next((report for report in reports if report.rung == artifact.target), None)
        if report is None:
            rows.append(f"| {artifact.target} | {escape_markdown(manifest.not_verified[artifact.target])} | | | |")
            continue
        summary = report.summarize()
        cells = " | ".join(format_metric(summary, key) for key in METRIC_FORMS)
        rows.append(f"| {artifact.target} | {report.describe_verdict()} | {cells} |")
    held = {artifact.target for artifact in manifest.artifacts}
    for name, why in manifest.not_verified.items():
        if name not in held:
            ending = "" if name == EXCESS else ": not in this bundle"
            rows.append(f"| {name} | {escape_markdown(why)}{ending} | | | |")
    return "\n".join(rows) + "\n"


def _list_policies(manifest: Manifest) -> Mapping[TensorSpec, OutputPolicy]:
    """The outputs that are held to the target's gate, and how."""
    policies = {spec: manifest.judging.get(spec.name, WHOLE_PLANE) for spec in manifest.contract.outputs}
    return {spec: policy for spec, policy in policies.items() if policy.gate is None}


def _format_unit(manifest: Manifest) -> str:
    """What the errors of the outputs held to the target's gate are divided by; nothing where that is 1."""
    policies = _list_policies(manifest)
    relative = [spec for spec, policy in policies.items() if policy.relative and "float" in spec.dtype]
    if not relative:
        return ""
    if len(relative) == len(policies):
        return ", errors in units of an output's largest value"
    names = ", ".join(f"`{spec.name}`" for spec in relative)
    return (
        f", errors of {names} in units of {'its largest value' if len(relative) == 1 else 'the largest value of each'}"
    )
