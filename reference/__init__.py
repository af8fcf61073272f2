"""Reference models: what each checkpoint computes, in plain torch."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from converters.errors import ArchitectureError
from converters.tensors import Array, Tensors, TensorSpec
from reference.key_match import KeyMatch, Shapes, list_shapes, nearest_of, shorten

if TYPE_CHECKING:
    from torch import nn

    from converters.checkpoint import Checkpoint

ARCHITECTURES = {
    "cyclegan-resnet": "reference.resnet_generator:CYCLEGAN",
    "deepfill-v2": "reference.deepfill:DEEPFILL",
    "edgeconnect-edge": "reference.edgeconnect:EDGE",
    "edgeconnect-inpaint": "reference.edgeconnect:INPAINT",
    "partial-conv": "reference.partial_conv:PARTIAL_CONV",
    "style-transfer": "reference.style_transfer:STYLE_TRANSFER",
}
PIPELINES = {"edgeconnect": "reference.edgeconnect_pipeline:PIPELINE"}
# A tensor of CycleGAN's discriminator: its layer, and what it is there.
PATCHGAN_KEY = re.compile(r"model\.(\d{1,3})\.(\w+)\Z", re.ASCII)

MakeFeeds = Callable[[Array, Array, Array], Tensors]


class Contract(NamedTuple):
    """A model's inputs and outputs, and `make_feeds`, which makes the inputs of a photo, its edges and its mask.

    make_feeds: (photo (N,3,H,W), edges (N,1,H,W), mask (N,1,H,W)), all float32 in [0, 1] -> the inputs by name.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    make_feeds: MakeFeeds


@dataclass(frozen=True)
class Piece:
    """A part of a model that is exported on its own.

    Attributes:
        name: Unique in its model.
        module: Takes the inputs in order, gives the outputs in order.
        inputs: Its own contract; named sizes are free.
        outputs: Likewise.
        wires: The model's value that each input and output is, where it is called otherwise.
    """

    name: str
    module: nn.Module
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    wires: Mapping[str, str] = field(default_factory=dict)

    def wire(self, end: str) -> str:
        """The model's value that an input or output is."""
        return self.wires.get(end, end)


@dataclass(frozen=True)
class Judging:
    """How an output is held to torch's.

    Attributes:
        known: The input whose pixels come back bit for bit outside the hole, so that the hole is judged; None judges
            the whole plane. The hole is the input "mask", where it is above 0.
        gate: A gate of its own, instead of the target's.
        relative: Errors are in units of the largest expected magnitude: the range is not known.
    """

    known: str | None = None
    gate: str | None = None
    relative: bool = False


WHOLE_PLANE = Judging()


@dataclass(frozen=True)
class ReferenceModel:
    """A checkpoint, or several, as a torch module, untouched: the standard that every file is held to.

    Attributes:
        architecture: Name in ARCHITECTURES.
        hyperparameters: Read from the tensors' shapes.
        inputs: Contract of the inputs; the module takes them in this order.
        outputs: Contract of the outputs; the module gives them in this order.
        module: In eval mode, spectral norm alive.
        judging: By output, how it is judged if not on the whole plane by the target's gate.
        make_feeds: Makes the inputs; see Contract.
        split: The pieces that `module`, or a folded copy of it, is exported in; None exports it whole.
    """

    architecture: str
    hyperparameters: Mapping[str, int]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    module: nn.Module
    judging: Mapping[str, Judging]
    make_feeds: MakeFeeds
    split: Callable[[nn.Module], tuple[Piece, ...]] | None = None

    def judging_of(self, output: str) -> Judging:
        return self.judging.get(output, WHOLE_PLANE)

    def pieces(self, module: nn.Module) -> tuple[Piece, ...]:
        """What `module` is exported in, in an order in which every value is computed before it is used."""
        if self.split is None:
            return (Piece(self.architecture, module, self.inputs, self.outputs),)
        return self.split(module)


class Architecture(Protocol):
    """One kind of net."""

    @property
    def name(self) -> str: ...

    @property
    def license_note(self) -> str: ...

    def match(self, shapes: Shapes) -> KeyMatch:
        """Compare a checkpoint's keys and shapes with this architecture's."""
        ...

    def contract(self, raw: bool) -> Contract:
        """Inputs and outputs of the model, or of its bare generator."""
        ...

    def build(self, checkpoint: Checkpoint, raw: bool = False) -> ReferenceModel:
        """The model with the checkpoint's weights; `raw` leaves masking and compositing out."""
        ...


class Pipeline(Protocol):
    """Several nets, and what is around them, as one model.

    `stages` are the architectures it is made of, in the order in which `build` takes their models.
    """

    @property
    def contract(self) -> Contract: ...

    @property
    def name(self) -> str: ...

    @property
    def stages(self) -> tuple[str, ...]: ...

    @property
    def license_note(self) -> str: ...

    def build(self, *stages: ReferenceModel) -> ReferenceModel: ...


def identify(checkpoint: Checkpoint) -> Architecture:
    """The one architecture whose keys and shapes are the checkpoint's.

    Raises:
        ArchitectureError: none fits, and the message names the nearest with its missing and extra keys, unless none
            has a key in common with the file; or several do.
    """
    shapes = list_shapes(checkpoint.tensors)
    architectures = [open_architecture(name) for name in ARCHITECTURES]
    matches = [architecture.match(shapes) for architecture in architectures]
    fitting = [architecture for architecture, match in zip(architectures, matches, strict=True) if not match.faults]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(architecture.name for architecture in fitting)
        raise ArchitectureError(checkpoint.path, f"several architectures fit it: {names}", "Report this")
    if beside := name_of_generator_beside(shapes):
        raise ArchitectureError(
            checkpoint.path, "it holds a discriminator", f"Give the generator's file, the one named {beside}"
        )
    nearest = nearest_of(matches)
    if len(nearest.extra) < len(shapes):
        found = f"no architecture fits it. The nearest is {nearest.architecture}: {nearest}"
    else:
        found = f"no architecture has any of its keys ({shorten(nearest.extra)})"
    raise ArchitectureError(
        checkpoint.path,
        found,
        f"Give a generator checkpoint of one of {', '.join(ARCHITECTURES)}",
    )


def name_of_generator_beside(shapes: Shapes) -> str | None:
    """What the generator's file is called, where the keys are those of a discriminator, EdgeConnect's or CycleGAN's."""
    if any(key.startswith("conv1.0.weight") for key in shapes):
        return "..._gen.pth"
    layers = {key: PATCHGAN_KEY.match(key) for key in shapes}
    kernels = {int(hit[1]): shapes[key] for key, hit in layers.items() if hit and hit[2] == "weight"}
    kernels = {index: shape for index, shape in kernels.items() if len(shape) == 4}
    if not all(layers.values()) or min(kernels, default=1) > 0 or len(kernels) == 1:
        return None
    if kernels[max(kernels)][0] == 1 and all(shape[2:] == (4, 4) for shape in kernels.values()):
        return "..._net_G.pth"
    return None


def identify_pipeline(names: Sequence[str]) -> Pipeline:
    """The pipeline whose stages are the architectures `names`, in whatever order.

    Raises:
        ArchitectureError: there is none.
    """
    pipelines: list[Pipeline] = [_open(place) for place in PIPELINES.values()]
    for pipeline in pipelines:
        if sorted(pipeline.stages) == sorted(names):
            return pipeline
    known = "; ".join(f"{pipeline.name} of {' and '.join(pipeline.stages)}" for pipeline in pipelines)
    raise ArchitectureError("--pipeline", f"no pipeline is made of {' and '.join(names)}", f"Known are: {known}")


def list_contracts() -> list[Contract]:
    """Of every architecture, raw or not, and of every pipeline."""
    architectures = [open_architecture(name) for name in ARCHITECTURES]
    return [
        *(architecture.contract(raw) for architecture in architectures for raw in (False, True)),
        *(_open(place).contract for place in PIPELINES.values()),
    ]


def open_architecture(name: str) -> Architecture:
    """The architecture of that name."""
    architecture: Architecture = _open(ARCHITECTURES[name])
    return architecture


def _open(place: str) -> Any:
    """The object at "module:NAME"."""
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)


def shipped_checkpoints() -> tuple[Path, ...]:
    """The small trained pair that comes with ganport."""
    folder = Path(__file__).parent / "weights"
    return (folder / "EdgeModel_gen.pth", folder / "InpaintingModel_gen.pth")
