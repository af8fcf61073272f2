"""EdgeConnect from photo to photo: Canny, edge net, the user's edits, inpaint net, in one torch module.

The order is upstream's inference (see edgeconnect.py): Canny of the known part, the edge net's whole output as edges
of the inpaint net, known pixels back untouched. Deviations: any size from 12 up, by reflect padding to multiples of 4
at the bottom and the right; edits by hand; 8 bits in and out.

The three modules around the two nets, Front, Middle and Back, export on their own; so do the nets' stages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from converters.tensors import Array, Tensors, TensorSpec
from reference.canny import Canny
from reference.edgeconnect import EDGE, INPAINT, EdgeConnect
from reference.model import Contract, OutputPolicy, Piece, ReferenceModel

MULTIPLE = 4
FindEdges = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Front(nn.Module):
    """What the edge net is given, and the Canny map."""

    def __init__(self, find_edges: FindEdges) -> None:
        super().__init__()
        self.find_edges = find_edges

    def forward(self, photo: Tensor, mask: Tensor, edge_edits: Tensor) -> tuple[Tensor, ...]:
        """
        Args:
            photo: (N, H, W, 3) uint8, RGB.
            mask: (N, H, W) uint8, above 0 in the hole.
            edge_edits: (N, H, W) int8, above 0 draws an edge, below 0 erases one.

        Returns:
            canny: (N, H, W) uint8, 0 or 1, before the edits.
            gray, edges, hole, edits: (N, 1, H', W') float32, H' and W' the next multiples of 4; edges are
                Canny's with the edits outside the hole.
            image: (N, 3, H', W') float32 in [0, 1].
        """
        hole = mask.bool()
        gray, edges = self.find_edges(photo, hole)
        canny = edges.squeeze(1).to(torch.uint8)
        edits = torch.sign(edge_edits.float()).unsqueeze(1)
        hole_plane = hole.float().unsqueeze(1)
        edges = _edit(edges, edits * (1 - hole_plane))
        image = photo.permute(0, 3, 1, 2).float() / 255
        return (canny, *(_pad(plane) for plane in (gray.float(), edges, hole_plane, edits, image)))


class Middle(nn.Module):
    """The edge net's output with the edits inside the hole."""

    def forward(self, edges_out: Tensor, hole: Tensor, edits: Tensor) -> Tensor:
        """All (N, 1, H', W') float32."""
        return _edit(edges_out, edits * hole)


class Back(nn.Module):
    """8 bits, the original size, known pixels untouched."""

    def forward(self, filled: Tensor, edges: Tensor, photo: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """
        Args:
            filled: (N, 3, H', W') float32, what the inpaint net gives.
            edges: (N, 1, H', W') float32, what it was given.
            photo: (N, H, W, 3) uint8.
            mask: (N, H, W) uint8, above 0 in the hole.

        Returns:
            result: (N, H, W, 3) uint8: 255 x, rounded half to even, clamped, in the hole; the photo elsewhere.
            edges: (N, 1, H, W) float32.
        """
        height, width = mask.shape[1], mask.shape[2]
        levels = torch.round(_crop(filled, height, width) * 255).clamp(0, 255).to(torch.uint8)
        hole = mask.bool().unsqueeze(3)
        return torch.where(hole, levels.permute(0, 2, 3, 1), photo), _crop(edges, height, width)


class EdgeConnectPipeline(nn.Module):
    """(photo, mask, edge_edits) -> (result, edges, canny); the nets run in their own precision.

    Args:
        edge: (gray, edges, mask) -> edges.
        inpaint: (image, edges, mask) -> filled image.
        find_edges: Canny unless a test wants another.
    """

    def __init__(self, edge: nn.Module, inpaint: nn.Module, find_edges: FindEdges | None = None) -> None:
        super().__init__()
        self.front, self.middle, self.back = Front(find_edges or Canny()), Middle(), Back()
        self.edge = edge
        self.inpaint = inpaint

    def forward(self, photo: Tensor, mask: Tensor, edge_edits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        dtype = next(self.edge.parameters()).dtype
        canny, *planes = self.front(photo, mask, edge_edits)
        gray, edges, hole, edits, image = (plane.to(dtype) for plane in planes)
        completed = self.middle(self.edge(gray, edges, hole), hole, edits)
        result, completed = self.back(self.inpaint(image, completed, hole), completed, photo, mask)
        return result, completed.float(), canny


def _edit(edges: Tensor, edits: Tensor) -> Tensor:
    """1 where an edit is above 0, 0 where it is below, else the edges."""
    return torch.where(edits > 0, 1.0, torch.where(edits < 0, 0.0, edges))


def _pad(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, H', W'): mirrored at the bottom and the right, the last row and column not repeated."""
    for axis in (2, 3):
        size = x.shape[axis]
        index = torch.arange((size + MULTIPLE - 1) // MULTIPLE * MULTIPLE, device=x.device)
        x = x.index_select(axis, torch.where(index < size, index, 2 * (size - 1) - index))
    return x


def _crop(x: Tensor, height: int, width: int) -> Tensor:
    for axis, size in ((2, height), (3, width)):
        x = x.index_select(axis, torch.arange(size, device=x.device))
    return x


def tensor(name: str, shape: tuple[int | str, ...], dtype: str, layout: str, most: int, meaning: str) -> TensorSpec:
    least = -most if dtype == "int8" else 0
    return TensorSpec(name, shape, dtype, layout, (least, most), meaning, 1, 12)


def make_feeds(photo: Array, edges: Array, mask: Array) -> Tensors:
    """8-bit photo and mask, and some edits: a row drawn and a column erased, 16 apart."""
    height, width = mask.shape[2:]
    rows, columns = np.indices((height, width))
    edits = np.where(rows % 16 == 5, 1, np.where(columns % 16 == 9, -1, 0)).astype(np.int8)
    return {
        "photo": np.ascontiguousarray(np.rint(photo * 255).astype(np.uint8).transpose(0, 2, 3, 1)),
        "mask": (mask[:, 0] * 255).astype(np.uint8),
        "edge_edits": np.repeat(edits[None], len(photo), axis=0),
    }


PLANE = ("N", "H", "W")
CONTRACT = Contract(
    (
        tensor("photo", (*PLANE, 3), "uint8", "NHWC", 255, "RGB; what lies in the hole is ignored"),
        tensor("mask", PLANE, "uint8", "NHW", 255, "any value above 0 is the hole"),
        tensor("edge_edits", PLANE, "int8", "NHW", 1, "1 draws an edge, -1 erases one, 0 leaves what the nets see"),
    ),
    (
        tensor("result", (*PLANE, 3), "uint8", "NHWC", 255, "RGB, the hole filled; known pixels untouched"),
        tensor("edges", ("N", 1, "H", "W"), "float32", "NCHW", 1, "what the inpaint net was given; 1 is an edge"),
        tensor("canny", PLANE, "uint8", "NHW", 1, "Canny edges of the known part, before the edits"),
    ),
    make_feeds,
)


def split(module: nn.Module) -> tuple[Piece, ...]:
    """Front, edge net, Middle, inpaint net, Back."""
    assert isinstance(module, EdgeConnectPipeline)
    photo, mask, _ = CONTRACT.inputs
    result, edges, canny = CONTRACT.outputs
    gray, drawn, hole, edits, completed = (padded(name, 1) for name in ("gray", "drawn", "hole", "edits", "completed"))
    edges_out, image, filled = padded("edges_out", 1), padded("image", 3), padded("filled", 3)
    return (
        Piece("front", module.front, CONTRACT.inputs, (canny, gray, drawn, hole, edits, image)),
        Piece("edge", module.edge, *net_ends(EDGE), wires={"edges": "drawn", "mask": "hole"}),
        Piece("middle", module.middle, (edges_out, hole, edits), (completed,)),
        Piece(
            "inpaint",
            module.inpaint,
            *net_ends(INPAINT),
            wires={"edges": "completed", "mask": "hole", "result": "filled"},
        ),
        Piece("back", module.back, (filled, completed, photo, mask), (result, edges)),
    )


def padded(name: str, channels: int) -> TensorSpec:
    """(N, channels, H', W') float32 in [0, 1]."""
    return TensorSpec(name, ("N", channels, "H4", "W4"), "float32", "NCHW", (0.0, 1.0), "", MULTIPLE, 12)


def net_ends(net: EdgeConnect) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    contract = net.contract(raw=False)
    return contract.inputs, contract.outputs


@dataclass(frozen=True)
class Pipeline:
    """The two nets' stages, untouched, and what is around them, as one model."""

    name: str = "edgeconnect"
    stages: tuple[str, ...] = (EDGE.name, INPAINT.name)
    license_note: str = EDGE.license_note
    contract: Contract = CONTRACT

    def build(self, edge: ReferenceModel, inpaint: ReferenceModel) -> ReferenceModel:
        """Join two stages' models, not raw ones."""
        hyperparameters = {
            f"{net}_{key}": value
            for net, model in (("edge", edge), ("inpaint", inpaint))
            for key, value in model.hyperparameters.items()
        }
        module = EdgeConnectPipeline(edge.module, inpaint.module).eval()
        judging = {"result": OutputPolicy(known="photo", gate="levels"), "canny": OutputPolicy(gate="equal")}
        return ReferenceModel(
            self.name, hyperparameters, CONTRACT.inputs, CONTRACT.outputs, module, judging, make_feeds, split
        )


PIPELINE = Pipeline()
