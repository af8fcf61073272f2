"""Write a bundle's manifest.json and README.md from what a conversion made and proved."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from converters.bundle.checksums import MANIFEST, list_files
from converters.bundle.cpp_readme import format_cpp_readme
from converters.bundle.manifest import SCHEMA_VERSION, ContractRecord, FileRecord, Manifest, SourceRecord
from converters.bundle.readme import format_readme
from converters.files import hash_file, write_json
from converters.parity.compare import ParityReport
from converters.parity.gates import GATES
from converters.sources.source import Model
from converters.targets.target import Artifact

# By the end of a file's name; others are called after their suffix.
FORMATS = {
    ".onnx": "ONNX",
    ".engine": "TensorRT engine",
    "-symbol.json": "MXNet symbol",
    ".params": "MXNet NDArray list",
    ".wl": "Wolfram Language",
    ".wxf": "WXF",
    ".npy": "NumPy array",
    ".md": "Markdown",
}
PACKAGES = ("torch", "onnx", "onnxruntime", "onnxsim", "onnxscript", "numpy")


class SourceFile(Protocol):
    """A file that a bundle is made from: a checkpoint, or an ONNX file."""

    @property
    def path(self) -> Path: ...

    @property
    def format(self) -> str: ...

    @property
    def sha256(self) -> str: ...

    @property
    def settings(self) -> Mapping[str, Any]: ...


def make_manifest(
    name: str,
    sources: Sequence[SourceFile],
    architecture: str,
    license_note: str,
    model: Model,
    artifacts: Sequence[Artifact],
    unverified: Mapping[str, str],
    *,
    raw: bool = False,
    size: tuple[int, int] | None = None,
    plugins: Mapping[str, str] | None = None,
) -> Manifest:
    """The manifest of a bundle, its list of files still empty.

    Args:
        name: The bundle's.
        sources: The files that it was made from.
        architecture: Name of the architecture or pipeline, or "onnx".
        license_note: Which licence covers the files.
        model: The contract, and how its outputs are judged.
        artifacts: One per target that wrote files.
        unverified: Why the files of a target were not run, by the target's name.
        raw: Whether it is the bare generator.
        size: (H, W) of static shapes, None where sizes are free.
        plugins: Version by name of other people's packages that an architecture or a target is from.
    """
    described = [
        SourceRecord(
            file.path.name, file.format, file.sha256, {key: str(value) for key, value in file.settings.items()}
        )
        for file in sources
    ]
    return Manifest(
        schema_version=SCHEMA_VERSION,
        name=name,
        architecture=architecture,
        hyperparameters=model.hyperparameters,
        raw=raw,
        judging=model.policies,
        sources=tuple(described),
        contract=ContractRecord(model.inputs, model.outputs, size),
        artifacts=tuple(artifacts),
        gates=GATES,
        not_verified=unverified,
        files={},
        versions={**(plugins or {}), **_list_versions()},
        license_note=license_note,
    )


def _list_versions() -> dict[str, str]:
    """Of ganport, Python and those of PACKAGES that are installed."""
    versions = {"ganport": version("ganport"), "python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    return versions


def write_record(folder: Path, manifest: Manifest, reports: Sequence[ParityReport]) -> None:
    """Write README.md, cpp/README.md and then manifest.json, which hashes every other file in `folder`."""
    (folder / "README.md").write_text(format_readme(manifest, reports), encoding="utf-8")
    cpp_readme = format_cpp_readme(manifest)
    if cpp_readme is not None:
        (folder / "cpp").mkdir()
        (folder / "cpp" / "README.md").write_text(cpp_readme, encoding="utf-8")
    write_json(folder / MANIFEST, replace(manifest, files=_describe_files(folder)))


def _describe_files(folder: Path) -> dict[str, FileRecord]:
    return {
        file: FileRecord(hash_file(folder / file), (folder / file).stat().st_size, _name_format(file))
        for file in list_files(folder)
    }


def _name_format(file: str) -> str:
    known = next((name for ending, name in FORMATS.items() if file.endswith(ending)), None)
    return known or Path(file).suffix.removeprefix(".").upper()
