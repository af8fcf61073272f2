"""Why a file is of no known net, in a sentence, and what can be done with it all the same."""

from __future__ import annotations

from reference.key_match import KeyMatch, Shapes

# Ends a remedy: what has no architecture here can still be converted as a module, or as ONNX.
OR_EXPORT = (
    "or convert the net's own torch module with these weights (ganport convert FILE.py:FUNCTION --checkpoint WEIGHTS), "
    "or export it with torch.onnx.export, and give that ONNX file"
)
STATISTICS = ("running_mean", "running_var")
SPECTRAL = ("weight_orig", "weight_u", "weight_v", "weight.original", "weight.0._u", "weight.0._v")


def name_cause(shapes: Shapes, nearest: KeyMatch) -> str:
    """What keeps a file with these shapes from being of the nearest architecture; it begins with a capital letter."""
    if 2 * len(nearest.extra) > len(shapes):
        return "Most of its keys are of another net"
    if any(key.endswith(STATISTICS) for key in nearest.extra):
        return (
            "It has running statistics where that net has none, and no key tells whether they are a batch norm's or an "
            "instance norm's"
        )
    if any(key.endswith(SPECTRAL) for key in nearest.extra):
        return "It has a spectral norm where that net has none, or has only a part of one"
    if any(key.endswith(STATISTICS) for key in nearest.missing):
        return "It lacks running statistics, which that net's batch norms use"
    kinds = (bool(nearest.missing), bool(nearest.extra), bool(nearest.misshapen))
    return {
        (True, False, False): "It lacks tensors that every such net has",
        (False, True, False): "It has tensors that no such net has",
        (False, False, True): "Its keys are that net's, but a width or a kernel is not",
    }.get(kinds, "It is a variant of that net that is not known here")
