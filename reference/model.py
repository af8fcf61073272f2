"""What a reference model is, and what an architecture must offer to give one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from converters.tensors import Array, Tensors, TensorSpec
from reference.key_match import KeyMatch, Shapes

if TYPE_CHECKING:
    from torch import nn

    from reference.checkpoint_data import Checkpoint

# Ends the name of the pipeline of a single net, from photo to photo.
PHOTO_SUFFIX = "-photo"
MakeFeeds = Callable[[Array, Array, Array], Tensors]


class Contract(NamedTuple):
    """What a model takes and gives, and how a photo becomes its inputs.

    Attributes:
        inputs: In the order in which the module takes them.
        outputs: In the order in which the module returns them.
        make_feeds: Called with photo (N, 3, H, W), edges (N, 1, H, W) and mask (N, 1, H, W), all float32 in [0, 1];
            returns the arrays for `inputs` by name.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    make_feeds: MakeFeeds


@dataclass(frozen=True)
class Piece:
    """A part of a model that is exported on its own, and joined with the other parts afterwards.

    Attributes:
        name: Unique in its model.
        module: Takes the inputs in order and returns the outputs in order.
        inputs: The part's own inputs; named sizes are free.
        outputs: The part's own outputs.
        wires: The name in the whole model of each input and output that has another name there.
        trace_sizes: See ReferenceModel.
    """

    name: str
    module: nn.Module
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    wires: Mapping[str, str] = field(default_factory=dict)
    trace_sizes: Mapping[str, int] = field(default_factory=dict)

    def wire(self, end: str) -> str:
        """The name in the whole model of the input or output `end`."""
        return self.wires.get(end, end)


@dataclass(frozen=True)
class OutputPolicy:
    """How an output is compared with its source's.

    Attributes:
        known: The input whose pixels outside the hole must come back bit for bit; then only the hole is judged. The
            hole is where the input "mask" is above 0. None judges the whole plane.
        gate: The name of the output's own gate; None is the target's.
        relative: Whether errors are divided by the largest expected magnitude, as the output's range is not known.
    """

    known: str | None = None
    gate: str | None = None
    relative: bool = False


WHOLE_PLANE = OutputPolicy()


@dataclass(frozen=True)
class ReferenceModel:
    """The untouched torch module of one or several checkpoints, which every file is compared with.

    Attributes:
        architecture: Name of the architecture or the pipeline.
        hyperparameters: Read from the shapes of the tensors.
        inputs: Contract of the inputs, in the order in which the module takes them.
        outputs: Contract of the outputs, in the order in which the module returns them.
        module: In eval mode, its spectral norm not folded.
        policies: How an output is judged, by its name, if not on the whole plane by the target's gate.
        make_feeds: See Contract.
        split: Cuts `module`, or a folded copy of it, into the pieces that are exported; None exports it whole.
        trace_sizes: Sizes of free axes that torch traces the module at, by name; those of N, H and W may be left out.
    """

    architecture: str
    hyperparameters: Mapping[str, int]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    module: nn.Module
    policies: Mapping[str, OutputPolicy]
    make_feeds: MakeFeeds
    split: Callable[[nn.Module], tuple[Piece, ...]] | None = None
    trace_sizes: Mapping[str, int] = field(default_factory=dict)

    def pieces(self, module: nn.Module) -> tuple[Piece, ...]:
        """The pieces of `module` to export, each after the pieces whose outputs it takes."""
        if self.split is None:
            return (Piece(self.architecture, module, self.inputs, self.outputs, {}, self.trace_sizes),)
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
    """Several nets, and the steps before, between and after them, as one model.

    `stages` names the nets' architectures, in the order in which `build` takes their models.
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
