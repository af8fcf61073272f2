"""What `ganport consumers server` writes beside its program: a bundle, and a model repository for Triton."""

from __future__ import annotations

from pathlib import Path

import msgspec

from consumers.triton import CHAIN_PLATFORM, ENGINE_PLATFORM, ONNX_PLATFORM, format_config
from converters.bundle.checksums import verify_hashes
from converters.bundle.folder import Bundle, read_bundle
from converters.errors import BundleError
from converters.inpaint import FILLING, MAKE_PIPELINE, PICTURING, shipped_pipeline
from converters.targets.target import Artifact
from converters.targets.tensorrt.chain import Link
from converters.tensors import Signature

TRITON = "triton"
# The file that Triton looks for in the folder of a model's version, by platform.
MODEL_FILES = {ONNX_PLATFORM: "model.onnx", ENGINE_PLATFORM: "model.plan"}
# Of the two packages that build engines, the one whose engines Triton runs.
TENSORRT = "tensorrt"


class Repository:
    """A model repository in the making.

    Attributes:
        texts: The text of each file that is written, by its path.
        models: Each file that is copied, by its path.
    """

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.models: dict[str, Path] = {}

    def add(self, name: str, file: Path, signature: Signature) -> None:
        """Add a model of one file."""
        platform = ONNX_PLATFORM if file.suffix == ".onnx" else ENGINE_PLATFORM
        self.models[f"{TRITON}/{name}/1/{MODEL_FILES[platform]}"] = file
        self.texts[f"{TRITON}/{name}/config.pbtxt"] = format_config(name, platform, signature)

    def add_engine(self, bundle: Bundle, artifact: Artifact) -> None:
        """Add what TensorRT built: one engine, or a chain as an ensemble of models, each of one file."""
        first, *others = artifact.files
        name = f"{bundle.manifest.name}-trt"
        if not others:
            self.add(name, bundle.folder / first, bundle.signature)
            return
        steps: list[tuple[str, Link]] = []
        for link in msgspec.json.decode((bundle.folder / first).read_bytes(), type=list[Link]):
            step = f"{name}-{len(steps) + 1}"
            self.add(step, bundle.folder / link.file, link)
            steps.append((step, link))
        # Triton wants the folder of a version for an ensemble, too, and git and others keep no empty one.
        self.texts[f"{TRITON}/{name}/1/README"] = "An ensemble has no file of its own.\n"
        self.texts[f"{TRITON}/{name}/config.pbtxt"] = format_config(name, CHAIN_PLATFORM, bundle.signature, steps)


def read_server_files(folder: Path | None) -> tuple[Path, Repository]:
    """The bundle's folder, and the repository.

    Args:
        folder: The bundle; None for the pipeline of the pair that ships.

    Raises:
        BundleError: it is damaged, holds no ONNX file, or takes no photo.
    """
    bundle = read_bundle(folder) if folder else shipped_pipeline()
    verify_hashes(bundle.folder)
    inputs = tuple(spec.name for spec in bundle.signature.inputs)
    if inputs not in (*FILLING, *PICTURING):
        raise BundleError(bundle.folder, f"it takes {', '.join(inputs)}, and no photo", MAKE_PIPELINE)
    onnx, engine = (bundle.manifest.find_artifact(target) for target in ("onnx", "trt"))
    if onnx is None:
        raise BundleError(bundle.folder, "it holds no ONNX file, which is what the server runs", MAKE_PIPELINE)
    repository = Repository()
    repository.add(bundle.manifest.name, bundle.folder / onnx.files[0], bundle.signature)
    if engine is not None and TENSORRT in engine.versions:
        repository.add_engine(bundle, engine)
    return bundle.folder, repository
