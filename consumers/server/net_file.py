"""The bundle that is served: its hashes, its contract, its ONNX file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from converters.bundle.checksums import MANIFEST, verify_hashes
from converters.errors import BundleError
from converters.files import golden_file, read_text_file
from converters.runners import OnnxRunner, Runner
from converters.tensors import UNREADABLE, Signature

# The inputs of the nets that can be served, and the path of the address.
PATHS = {("photo", "mask", "edge_edits"): "/inpaint", ("photo", "mask"): "/inpaint", ("photo",): "/apply"}


@dataclass(frozen=True)
class NetFile:
    """An ONNX file, and what its bundle's manifest says of it.

    Attributes:
        path: The file.
        contract: The manifest's inputs and outputs, as JSON types.
        signature: The same.
    """

    path: Path
    contract: Mapping[str, Any]
    signature: Signature

    @property
    def address(self) -> str:
        """The path to which photos are posted."""
        return PATHS[tuple(spec.name for spec in self.signature.inputs)]

    @property
    def takes_batches(self) -> bool:
        """Whether N is free."""
        return all(isinstance(spec.shape[0], str) for spec in self.signature.inputs)

    def runs_alike_in_batches(self, runner: Runner) -> bool:
        """Whether the golden case and its mirror image give the same bits together as alone.

        They do in all nets that were tried; no runtime promises it.

        Raises:
            BundleError: a golden array is damaged.
            GanportError: the runtime fails.
        """
        names = [spec.name for spec in self.signature.inputs]
        try:
            golden = {name: np.load(self.path.parent / golden_file("input", name)) for name in names}
        except (*UNREADABLE, MemoryError) as error:
            raise BundleError(self.path.parent, "its golden case is damaged", "Convert its source again") from error
        mirrored = {name: np.ascontiguousarray(array[:, :, ::-1]) for name, array in golden.items()}
        together = {name: np.concatenate([golden[name], mirrored[name]]) for name in names}
        alone = np.concatenate([runner.run(feeds)["result"] for feeds in (golden, mirrored)])
        return bool((runner.run(together)["result"] == alone).all())

    def open(self, threads: int) -> OnnxRunner:
        """Load the file.

        Raises:
            BundleError: ONNX Runtime does not.
        """
        return OnnxRunner(self.path, self.signature.inputs, self.signature.outputs, threads)


def read_net(folder: Path) -> NetFile:
    """Check a bundle's hashes, and find its ONNX file.

    Raises:
        BundleError: a file is missing, altered or not listed; or the net takes no photo.
    """
    verify_hashes(folder)
    try:
        manifest = msgspec.json.decode(read_text_file(folder / MANIFEST))
        contract = manifest["contract"]
        signature = msgspec.convert(contract, Signature)
        files = [artifact["files"][0] for artifact in manifest["artifacts"] if artifact["target"] == "onnx"]
    except (OSError, msgspec.MsgspecError, LookupError, TypeError) as error:
        raise BundleError(folder / MANIFEST, f"it is no manifest ({error})", "Convert its source again") from error
    if not files:
        raise BundleError(folder, "it holds no ONNX file", "Convert its source with --to onnx")
    inputs = tuple(spec.name for spec in signature.inputs)
    if inputs not in PATHS:
        met = f"it takes {', '.join(inputs)}"
        raise BundleError(folder, met, "Make a pipeline's bundle: ganport convert CHECKPOINT --pipeline --to onnx")
    return NetFile(folder / files[0], contract, signature)
