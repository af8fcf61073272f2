"""What a reference model is, and what an architecture must offer to give one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from converters.tensors import Array, Tensors, TensorSpec
from reference.key_match import KeyMatch, Shapes

if TYPE_CHECKING:
    from torch import nn

    from reference.checkpoint import Checkpoint

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
class OutputPolicy:
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


WHOLE_PLANE = OutputPolicy()


@dataclass(frozen=True)
class ReferenceModel:
    """A checkpoint, or several, as a torch module, untouched: the standard that every file is held to.

    Attributes:
        architecture: Name in ARCHITECTURES.
        hyperparameters: Read from the tensors' shapes.
        inputs: Contract of the inputs; the module takes them in this order.
        outputs: Contract of the outputs; the module gives them in this order.
        module: In eval mode, spectral norm alive.
        policies: How an output is judged, by its name, if not on the whole plane by the target's gate.
        make_feeds: Makes the inputs; see Contract.
        split: The pieces that `module`, or a folded copy of it, is exported in; None exports it whole.
    """

    architecture: str
    hyperparameters: Mapping[str, int]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    module: nn.Module
    policies: Mapping[str, OutputPolicy]
    make_feeds: MakeFeeds
    split: Callable[[nn.Module], tuple[Piece, ...]] | None = None

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
