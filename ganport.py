"""ganport from Python: port image generators out of PyTorch, and prove by numbers that nothing changed.

    import ganport

    bundle, = ganport.convert("InpaintingModel_gen.pth", to=["onnx", "mxnet"], out="out")
    with bundle.open("onnx") as net:
        result = net.run(image=image, edges=edges, mask=mask)["result"]

`__all__` is the whole of it; `converters`, `reference` and `consumers` are internal and change without notice. An error
is a GanportError, raised at the call; it says where, what was met and what to do. torch, onnx and numpy are imported
when they are needed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

# fmt: off
from converters.errors import (  # isort: skip
    ArchitectureError, BundleError, CheckpointError, ConversionError, ExportError, FeedError, GanportError,
    MissingPackageError, ParityError, PhotoError, PluginError, UnrunnableError, UnsupportedOpError,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image
    from torch import Tensor, nn

    from converters.bench.measure import Measurement
    from converters.parity.compare import ParitySummary
    from converters.runners import Runner
    from converters.targets.target import Artifact, Target, TargetInput
    from converters.tensors import Signature, TensorSpec
    from converters.verify import Replay
    from reference.checkpoint_data import Checkpoint
    from reference.key_match import KeyMatch, compare_keys, load_weights
    from reference.model import Contract, OutputPolicy, ReferenceModel

    Array = NDArray[Any]
    Example = Array | Tensor
    Source = str | Path | nn.Module
    Picture = NDArray[np.uint8] | NDArray[np.bool_] | Image.Image

__all__ = [
    "ArchitectureError", "Artifact", "Bundle", "BundleError", "Checkpoint", "CheckpointError", "Contract",
    "ConversionError", "ExportError", "FeedError", "GanportError", "KeyMatch", "Measurement", "MissingPackageError",
    "Net", "OutputPolicy", "ParityError", "ParitySummary", "PhotoError", "PluginError", "ReferenceModel", "Replay",
    "Runner", "Signature", "Target", "TargetInput", "TensorSpec", "UnrunnableError", "UnsupportedOpError", "apply",
    "bench", "compare_keys", "convert", "inpaint", "load_weights", "prove", "read_bundle", "verify",
]
# fmt: on

# Where names live that are imported when somebody asks for them. Other packages' architectures and targets need them.
_LAZY = {
    "converters.bench.measure": ("Measurement",),
    "converters.parity.compare": ("ParitySummary",),
    "converters.runners": ("Runner",),
    "converters.targets.target": ("Artifact", "Target", "TargetInput"),
    "converters.tensors": ("Signature", "TensorSpec"),
    "converters.verify": ("Replay",),
    "reference.checkpoint_data": ("Checkpoint",),
    "reference.key_match": ("KeyMatch", "compare_keys", "load_weights"),
    "reference.model": ("Contract", "OutputPolicy", "ReferenceModel"),
}
_LOG = logging.getLogger("ganport")


if not TYPE_CHECKING:  # for which any name would do

    def __getattr__(name: str) -> Any:
        import importlib

        module = next((module for module, names in _LAZY.items() if name in names), None)
        if module is None:
            raise AttributeError(f"module 'ganport' has no attribute '{name}'")
        return getattr(importlib.import_module(module), name)


def convert(
    source: Source | Sequence[Source],
    to: str | Sequence[str],
    out: str | Path = "artifacts",
    *,
    inputs: Mapping[str, Example | tuple[Example, Example] | TensorSpec] | None = None,
    outputs: Sequence[str | TensorSpec] | None = None,
    known: Mapping[str, str] | None = None,
    name: str | None = None,
    pipeline: bool = False,
    raw: bool = False,
    size: int | tuple[int, int] | None = None,
    tune: bool = False,
    small: bool = False,
    trt_sizes: tuple[tuple[int, int], tuple[int, int], tuple[int, int]] | None = None,
    overwrite: bool = False,
    progress: Callable[[str], None] | None = None,
) -> list[Bundle]:
    """Convert checkpoints, ONNX files or torch modules, and prove every file against its source.

    Args:
        source: A checkpoint, an ONNX file, or a `torch.nn.Module` in eval mode, on the CPU, in float32; or several.
        to: Targets: "onnx", "mxnet", "trt", "wolfram".
        out: The folder that gets the bundles.
        inputs: For a module, by the names that its files are to have, in the order in which it takes them: an example
            array, whose sizes are fixed; two examples, whose sizes are free where they differ; or a TensorSpec. Left
            out, a net that takes one image and begins with a Conv2d gets that image, of free sizes. For an ONNX file:
            an array for each input, to judge it on.
        outputs: For a module: a name, or a TensorSpec whose value range and meaning are kept, for each output.
        known: For a module's composited output: the input whose pixels come back, bit for bit, where the input "mask"
            is 0. Then the output is judged in the hole alone.
        name: The bundle's name, for one source; else its architecture's, its file's or its class's.
        pipeline: Whether all checkpoints make one bundle, from photo to photo.
        raw: Whether to convert a checkpoint's bare generator, without masking and compositing.
        size: (H, W), or one number for both, for static shapes and a batch of 1.
        tune: Whether to rewrite the graph so that a CPU runs the ONNX and MXNet files faster.
        small: Whether the tuned ONNX file is to be as small as an untuned one; loading it then takes more memory.
        trt_sizes: (H, W) of the smallest size that an engine takes, of the one it is tuned for, and of the largest.
        overwrite: Whether to replace a bundle that is there.
        progress: Called with a description of each step before it begins.

    Returns:
        The bundles, one for each source.

    Raises:
        GanportError: nothing is written of a source that cannot be converted.
        ConversionError: a target cannot express a source; the bundle of the other targets is written.
        ParityError: a file would compute something else; its report is left in `out`, the bundle is not.
    """
    from converters.from_python import convert_sources

    folders = convert_sources(
        source, to, Path(out), inputs, outputs, known, name, pipeline, raw, size, tune, small, trt_sizes, overwrite,
        progress,
    )  # fmt: skip
    return [Bundle(folder) for folder in folders]


def read_bundle(folder: str | Path) -> Bundle:
    """The bundle in a folder; see Bundle."""
    return Bundle(folder)


class Bundle:
    """The folder that a conversion makes: files, contract, proof and golden case. A notebook shows it as a page.

    Args:
        folder: Holds a manifest.json.

    Raises:
        BundleError: it holds none, or a damaged one.
    """

    def __init__(self, folder: str | Path) -> None:
        from converters.bundle.folder import read_bundle

        self._read = read_bundle(Path(folder))

    @property
    def folder(self) -> Path:
        return self._read.folder

    @property
    def name(self) -> str:
        return self._read.manifest.name

    @property
    def architecture(self) -> str:
        """Of the net or pipeline; "onnx" for an ONNX file, "module" for a module."""
        return self._read.manifest.architecture

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._read.signature.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._read.signature.outputs

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets whose files it holds."""
        return tuple(artifact.target for artifact in self._read.manifest.artifacts)

    @property
    def parity(self) -> dict[str, ParitySummary]:
        """What was proven of each target whose files were run when they were made."""
        proven = {artifact.target: artifact.parity for artifact in self._read.manifest.artifacts}
        return {target: summary for target, summary in proven.items() if summary is not None}

    @property
    def not_verified(self) -> dict[str, str]:
        """Why a target's files were not run or are not there; under "excess error", why none was judged."""
        return dict(self._read.manifest.not_verified)

    def golden(self) -> tuple[dict[str, Array], dict[str, Array]]:
        """The golden case: inputs, and what the source gives for them, by name."""
        inputs, outputs = self._read.golden()
        return dict(inputs), dict(outputs)

    def open(self, target: str, threads: int | None = None) -> Net:
        """Load a target's files into their runtime.

        Args:
            target: One of `targets`.
            threads: Of the runtime; None leaves the choice to it. MXNet takes OMP_NUM_THREADS instead.

        Raises:
            BundleError: the bundle has no such files, or they were altered.
            MissingPackageError: they do not run on this machine.
        """
        from converters.from_python import open_target

        return Net(open_target(self._read, target, threads))

    def __repr__(self) -> str:
        return f"Bundle('{self.folder}')"

    def _repr_html_(self) -> str:
        from converters.bundle.show import format_html

        return format_html(self._read)


class Net:
    """A bundle's files in a runtime; a context manager that frees the runtime's memory at its end."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return tuple(self._runner.inputs)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return tuple(self._runner.outputs)

    def run(self, **inputs: Array) -> dict[str, Array]:
        """Compute the outputs.

        Args:
            inputs: An array for each input, of the shape and type that `inputs` says.

        Returns:
            An array for each output.

        Raises:
            FeedError: an array is missing, unknown, or of another shape or type.
            UnrunnableError: the machine lacks the memory.
        """
        return dict(self._runner.run(inputs))

    def __enter__(self) -> Self:
        self._runner.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._runner.__exit__(*exception)


def verify(bundle: Bundle | str | Path) -> tuple[Replay, ...]:
    """Check a bundle's hashes, then replay its golden case on every runtime that is present.

    Returns:
        For each target its largest error on the golden case, or why it was not run.

    Raises:
        BundleError: a file is missing, altered or not listed.
        ParityError: a target does not reproduce the golden case.
    """
    from converters.verify import verify as verify_folder

    return verify_folder(_folder_of(bundle))


def prove(
    bundle: Bundle | str | Path,
    checkpoint: str | Path | Sequence[str | Path] | None = None,
    *,
    module: nn.Module | None = None,
    images: str | Path | None = None,
    masks: str | Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> dict[str, ParitySummary]:
    """Compare every file of a bundle with what the bundle was made from, on more inputs than `convert` does.

    Args:
        bundle: The bundle, or its folder.
        checkpoint: The checkpoint or ONNX file that it was made from; several for a pipeline.
        module: The module that it was made from, in place of a checkpoint.
        images: A folder of photos, in place of the long set; with `masks`.
        masks: A folder of masks of the photos' names.
        progress: Called with a description of each step before it begins.

    Returns:
        The worst of each metric, by rung: the target's name, and further rungs for outputs with gates of their own.

    Raises:
        BundleError: it was made from something else.
        ParityError: a file misses its gate.
    """
    from converters.from_python import prove_bundle

    return prove_bundle(_folder_of(bundle), checkpoint, module, images, masks, progress)


def bench(
    sources: Bundle | str | Path | Sequence[Bundle | str | Path],
    *,
    size: int | tuple[int, int] = 256,
    batch: int = 1,
    threads: int = 2,
    runs: int = 30,
    progress: Callable[[str], None] | None = None,
) -> list[Measurement]:
    """Measure bundles, ONNX files and checkpoints in turn on equal inputs, each in a process of its own.

    Call it below `if __name__ == "__main__":` in a script: the processes import the script again.

    Args:
        sources: A bundle, or the path of a bundle, ONNX file or checkpoint, or several; a checkpoint runs in torch.
        size: (H, W) in pixels, or one number for both.
        batch: Items per run.
        threads: Of each runtime.
        runs: Measured runs of each file.
        progress: Called with a description of each step before it begins.

    Returns:
        Latency and memory of each file that runs here.
    """
    from converters.from_python import measure

    given = [sources] if isinstance(sources, Bundle | str | Path) else sources
    return measure([_folder_of(source) for source in given], size, batch, threads, runs, progress)


def inpaint(
    photo: Picture,
    mask: Picture,
    draw: Picture | None = None,
    erase: Picture | None = None,
    *,
    bundle: Bundle | str | Path | None = None,
    threshold: int | None = None,
    invert: bool = False,
    context: int | None = None,
) -> Any:
    """Fill the hole of a photo; known pixels come back as they are.

    Args:
        photo: A PIL image, or (H, W, 3) uint8, RGB; (H, W, 4) with transparency; (H, W) gray.
        mask: A PIL image, or (H, W) uint8 or bool. It is read as `ganport inpaint` reads a file; what was read is
            logged to the logger "ganport" as info.
        draw: An image of lines on black; there edges are drawn.
        erase: An image of lines on black; there edges are erased.
        bundle: A pipeline's; None takes that of the pair that ships.
        threshold: From 0 to 254: what is brighter in the mask, of 255, is the hole, whatever the mask is like.
        invert: Whether the hole is what the mask does not mark.
        context: How many pixels around the hole the nets get; None: photos of up to 1.5 million pixels whole.

    Returns:
        The filled photo, RGB, or RGBA if the photo has transparency: a PIL image for a PIL image, else an array.

    Raises:
        PhotoError: a picture does not fit, or is too large for this machine.
    """
    from converters.from_python import fill

    folder = None if bundle is None else _folder_of(bundle)
    filled, notes = fill(photo, mask, draw, erase, folder, threshold, invert, context)
    for note in notes:
        _LOG.info(note)
    return filled


def apply(photo: Picture, bundle: Bundle | str | Path) -> Any:
    """Make a picture of a photo, both as of `inpaint`, with a net that takes no mask, such as CycleGAN's.

    `bundle` is that of the net's pipeline, which `convert(..., pipeline=True)` makes.

    Raises:
        PhotoError: the photo does not fit.
    """
    from converters.from_python import fill

    return fill(photo, None, None, None, _folder_of(bundle))[0]


def _folder_of(bundle: Bundle | str | Path) -> Path:
    return bundle.folder if isinstance(bundle, Bundle) else Path(bundle)


if __name__ == "__main__":
    from cli import run

    run()
