"""The graph that all targets of a net start from, with the stages of the conversion before it."""

from __future__ import annotations

from dataclasses import dataclass

from onnx import ModelProto
from torch import nn

from reference.model import ReferenceModel


@dataclass(frozen=True)
class Waist:
    """One net at each stage of its conversion to ONNX. Several tests share an instance: copy before you change it.

    Attributes:
        model: The net as read from its checkpoint.
        folded: The net's module with every spectral norm folded into its weight.
        exported: The ONNX graph that `export_onnx` makes of `folded`.
        graph: `exported`, simplified.
    """

    model: ReferenceModel
    folded: nn.Module
    exported: ModelProto
    graph: ModelProto
