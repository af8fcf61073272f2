"""EdgeConnect from photo to photo: Canny, edge net, the user's edits, inpaint net, in one torch module.

The steps are those of upstream's inference (see edgeconnect.py): Canny finds the edges of the known part, the edge net
completes them, the inpaint net takes the edge net's whole output, and known pixels come back untouched.

Deviations: any height and width from 12 pixels up, by reflect padding at the bottom and the right to multiples of 4;
the user can draw and erase edges; photo and result have 8 bits.

The two nets' stages and the three modules around them, Front, Middle and Back, are exported one by one.
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
from reference.padding import crop, pad

MULTIPLE = 4
FindEdges = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Front(nn.Module):
    """From the photo to the edge net's inputs.

    Args:
        find_edges: (photo (N, H, W, 3) uint8, hole (N, H, W) bool) -> (gray, edges), as Canny.forward.
    """

    def __init__(self, find_edges: FindEdges) -> None:
        super().__init__()
        self.find_edges = find_edges

    def forward(self, photo: Tensor, mask: Tensor, edge_edits: Tensor) -> tuple[Tensor, ...]:
        """Find the edges of the known part, apply the edits there, and pad all planes.

        Args:
            photo: (N, H, W, 3) uint8, RGB.
            mask: (N, H, W) uint8, above 0 in the hole.
            edge_edits: (N, H, W) int8, above 0 draws an edge, below 0 erases one.

        Returns:
            canny: (N, H, W) uint8, 0 or 1, before the edits.
            gray: (N, 1, H', W') float32 in [0, 1]; H' and W' are H and W rounded up to multiples of 4.
            edges: (N, 1, H', W') float32, 0 or 1: Canny's edges, with the edits outside the hole applied.
            hole: (N, 1, H', W') float32, 1 in the hole, else 0.
            edits: (N, 1, H', W') float32, 1, 0 or -1, the edits of the whole plane.
            image: (N, 3, H', W') float32 in [0, 1].
        """
        hole = mask.bool()
        gray, edges = self.find_edges(photo, hole)
        canny = edges.squeeze(1).to(torch.uint8)
        edits = torch.sign(edge_edits.float()).unsqueeze(1)
        hole_plane = hole.float().unsqueeze(1)
        edges = _edit(edges, edits * (1 - hole_plane))
        image = photo.permute(0, 3, 1, 2).float() / 255
        return (canny, *(pad(plane, MULTIPLE) for plane in (gray.float(), edges, hole_plane, edits, image)))


class Middle(nn.Module):
    """From the edge net's output to the inpaint net's edges."""

    def forward(self, edges_out: Tensor, hole: Tensor, edits: Tensor) -> Tensor:
        """Apply the edits inside the hole; all tensors are (N, 1, H', W') float32, `hole` and `edits` as from Front."""
        return _edit(edges_out, edits * hole)


class Back(nn.Module):
    """From the inpaint net's output to the result."""

    def forward(self, filled: Tensor, edges: Tensor, photo: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Crop to the photo's size, round to 8 bits, and take known pixels from the photo.

        Args:
            filled: (N, 3, H', W') float32, the inpaint net's output.
            edges: (N, 1, H', W') float32, the inpaint net's input.
            photo: (N, H, W, 3) uint8.
            mask: (N, H, W) uint8, above 0 in the hole.

        Returns:
            result: (N, H, W, 3) uint8: 255 `filled`, rounded half to even and clamped, in the hole; else the photo.
            edges: (N, 1, H, W) float32, cropped.
        """
        height, width = mask.shape[1], mask.shape[2]
        levels = torch.round(crop(filled, height, width) * 255).clamp(0, 255).to(torch.uint8)
        hole = mask.bool().unsqueeze(3)
        return torch.where(hole, levels.permute(0, 2, 3, 1), photo), crop(edges, height, width)


class EdgeConnectPipeline(nn.Module):
    """(photo, mask, edge_edits) -> (result, edges, canny); see CONTRACT.

    The two nets run in the dtype of the edge net's weights.

    Args:
        edge: (gray, edges, mask) -> edges.
        inpaint: (image, edges, mask) -> filled image.
        find_edges: See Front; None is Canny.
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
    """1 where the edit is above 0, 0 where the edit is below 0, else the value in `edges`."""
    return torch.where(edits > 0, 1.0, torch.where(edits < 0, 0.0, edges))


def spec(name: str, shape: tuple[int | str, ...], dtype: str, layout: str, most: int, meaning: str) -> TensorSpec:
    """An input or output with values in [0, most], or in [-most, most] for int8; H and W are at least 12."""
    least = -most if dtype == "int8" else 0
    return TensorSpec(name, shape, dtype, layout, (least, most), meaning, 1, 12)


def make_feeds(photo: Array, edges: Array, mask: Array) -> Tensors:
    """The inputs by name, with an edge drawn along every 16th row and edges erased along every 16th column."""
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
        spec("photo", (*PLANE, 3), "uint8", "NHWC", 255, "RGB; what lies in the hole is ignored"),
        spec("mask", PLANE, "uint8", "NHW", 255, "any value above 0 is the hole"),
        spec("edge_edits", PLANE, "int8", "NHW", 1, "1 draws an edge, -1 erases one, 0 leaves what the nets see"),
    ),
    (
        spec("result", (*PLANE, 3), "uint8", "NHWC", 255, "RGB, the hole filled; known pixels untouched"),
        spec("edges", ("N", 1, "H", "W"), "float32", "NCHW", 1, "what the inpaint net was given; 1 is an edge"),
        spec("canny", PLANE, "uint8", "NHW", 1, "Canny edges of the known part, before the edits"),
    ),
    make_feeds,
)


def split(module: nn.Module) -> tuple[Piece, ...]:
    """The pieces to export, in the order in which they run; H4 and W4 are the padded height and width."""
    assert isinstance(module, EdgeConnectPipeline)
    photo, mask, _ = CONTRACT.inputs
    result, edges, canny = CONTRACT.outputs
    gray, drawn, hole, edits, completed = (
        padded_spec(name, 1) for name in ("gray", "drawn", "hole", "edits", "completed")
    )
    edges_out, image, filled = padded_spec("edges_out", 1), padded_spec("image", 3), padded_spec("filled", 3)
    return (
        Piece("front", module.front, CONTRACT.inputs, (canny, gray, drawn, hole, edits, image)),
        Piece("edge", module.edge, *stage_specs(EDGE), wires={"edges": "drawn", "mask": "hole"}),
        Piece("middle", module.middle, (edges_out, hole, edits), (completed,)),
        Piece(
            "inpaint",
            module.inpaint,
            *stage_specs(INPAINT),
            wires={"edges": "completed", "mask": "hole", "result": "filled"},
        ),
        Piece("back", module.back, (filled, completed, photo, mask), (result, edges)),
    )


def padded_spec(name: str, channels: int) -> TensorSpec:
    """(N, channels, H', W') float32 in [0, 1]; H' and W' are multiples of 4."""
    return TensorSpec(name, ("N", channels, "H4", "W4"), "float32", "NCHW", (0.0, 1.0), "", MULTIPLE, 12)


def stage_specs(net: EdgeConnect) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """(inputs, outputs) of the net's stage."""
    contract = net.contract(raw=False)
    return contract.inputs, contract.outputs


@dataclass(frozen=True)
class Pipeline:
    """EdgeConnect as a pipeline of its two stages; see reference.model.Pipeline."""

    name: str = "edgeconnect"
    stages: tuple[str, ...] = (EDGE.name, INPAINT.name)
    license_note: str = EDGE.license_note
    contract: Contract = CONTRACT

    def build(self, edge: ReferenceModel, inpaint: ReferenceModel) -> ReferenceModel:
        """Join the models of the two stages; both must have been built with raw=False."""
        hyperparameters = {
            f"{net}_{key}": value
            for net, model in (("edge", edge), ("inpaint", inpaint))
            for key, value in model.hyperparameters.items()
        }
        module = EdgeConnectPipeline(edge.module, inpaint.module).eval()
        policies = {"result": OutputPolicy(known="photo", gate="levels"), "canny": OutputPolicy(gate="equal")}
        return ReferenceModel(
            self.name, hyperparameters, CONTRACT.inputs, CONTRACT.outputs, module, policies, make_feeds, split
        )


PIPELINE = Pipeline()
