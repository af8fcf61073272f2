"""What lies between tiled convolutions computes with its channels last, and gives what the graph gives."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, helper

from converters.rewrites import choose_tiling
from converters.rewrites.expand import expand
from converters.rewrites.internal_ops import TILED
from converters.rewrites.winograd import rewrite_winograd
from converters.tensors import Array
from parity_tests.support.convolution_cases import IN_CHANNELS, RELATIVE, make_model, run_onnx

SIZES = [(1, 5, 6), (2, 12, 12), (1, 13, 21), (1, 33, 7)]
SQUARES = [(1, 6, 6), (2, 13, 13)]


@pytest.fixture(autouse=True)
def _every_tiling_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose_tiling, "MAX_COST_RATIO", float("inf"))


def node(op: str, inputs: str, output: str, **attributes: object) -> NodeProto:
    return helper.make_node(op, inputs.split(), [output], **attributes)


def compute_matrix(axis: int, name: str) -> list[NodeProto]:
    """(size, size + 3), cosines of its indices' product, for the size of x along an axis."""
    return [
        node("Shape", "x", f"{name}_shape", start=axis, end=axis + 1),
        node("Squeeze", f"{name}_shape", f"{name}_size"),
        node("Add", f"{name}_size three", f"{name}_more"),
        *(node("Range", f"zero {name}_{end} one", f"{name}_to_{end}") for end in ("size", "more")),
        node("Unsqueeze", f"{name}_to_size at_1", f"{name}_rows"),
        node("Unsqueeze", f"{name}_to_more at_0", f"{name}_columns"),
        node("Mul", f"{name}_rows {name}_columns", f"{name}_product"),
        node("Cast", f"{name}_product", f"{name}_angle", to=1),
        node("Cos", f"{name}_angle", name),
    ]


def build(*nodes: NodeProto) -> ModelProto:
    random = np.random.default_rng(8)

    def weight(out: int, channels: int, kernel: int) -> Array:
        return random.standard_normal((out, channels, kernel, kernel)).astype(np.float32)

    n = IN_CHANNELS
    constants: dict[str, Array] = {
        **{name: weight(n, n, 3) for name in ("w", "w_too", "w_three")},
        **{name: weight(n, n, 1) for name in ("point", "point_too")},
        "b": random.standard_normal(n).astype(np.float32),
        **{f"at_{i}": np.array([i], np.int64) for i in (0, 1)},
        "middle": np.array([n], np.int64),
        "end": np.array([2 * n], np.int64),
        "zero": np.array(0, np.int64),
        "one": np.array(1, np.int64),
        "three": np.array(3, np.int64),
    }
    return make_model(list(nodes), constants)


FIRST = node("Conv", "x w b", "c", pads=[1] * 4)
# A transform along W, then one along H, as LaMa's; between them more channels, then as many as before.
FOURIER = build(
    *compute_matrix(3, "wide"),
    *compute_matrix(2, "high"),
    FIRST,
    node("Conv", "c point b", "p"),
    node("MatMul", "p wide", "along_w"),
    node("Neg", "along_w", "minus"),
    node("Concat", "along_w minus", "both", axis=1),
    node("Transpose", "both", "turned", perm=[0, 1, 3, 2]),
    node("MatMul", "turned high", "along_h"),
    node("Slice", "along_h at_0 middle at_1", "real"),
    node("Slice", "along_h middle end at_1", "imaginary"),
    node("Sub", "real imaginary", "difference"),
    node("Conv", "difference point_too", "q"),
    node("Transpose", "q", "back", perm=[0, 1, 3, 2]),
    node("Conv", "back w_too", "y", pads=[1] * 4),
)
TURN = node("Transpose", "c", "t", perm=[0, 1, 3, 2])
GRAPHS = {
    "transforms": FOURIER,
    "tiles of a wider plane": build(
        *compute_matrix(3, "wide"), FIRST, node("MatMul", "c wide", "z"), node("Conv", "z w_too", "y", pads=[1] * 4)
    ),
    "another operator on a turned plane": build(FIRST, TURN, node("Softmax", "t", "y", axis=3)),
    "tiles of a turned plane": build(FIRST, TURN, node("Conv", "t w_too", "y", pads=[1] * 4)),
    "a product with planes": build(FIRST, TURN, node("MatMul", "c t", "y")),
}
SUM = build(FIRST, TURN, node("Add", "c t", "y"))


def require_same(model: ModelProto, size: tuple[int, int, int]) -> None:
    batch, height, width = size
    x = np.random.default_rng(9).standard_normal((batch, IN_CHANNELS, height, width)).astype(np.float32)
    (actual,), (expected,) = run_onnx(rewrite_winograd(model)[0], x), run_onnx(model, x)
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= 10 * RELATIVE * np.abs(expected).max()


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", GRAPHS)
def test_graph_gives_the_same_at_any_size(name: str, size: tuple[int, int, int]) -> None:
    require_same(GRAPHS[name], size)


@pytest.mark.parametrize("size", SQUARES, ids=str)
def test_a_plane_and_itself_turned_are_not_added_as_they_are_stored(size: tuple[int, int, int]) -> None:
    require_same(SUM, size)


def test_transforms_and_convolutions_of_1x1_need_no_transpose_of_the_channels() -> None:
    tiled, choices = rewrite_winograd(FOURIER)
    assert [choice.chosen for choice in choices] == ["tiles", "as it is", "as it is", "tiles"]
    assert not any(found.op_type == "Conv" for found in tiled.graph.node)
    perms = [list(found.attribute[0].ints) for found in tiled.graph.node if found.op_type == "Transpose"]
    # In at x, a matrix for each axis, and out at y.
    assert perms == [[0, 2, 3, 1], [1, 0], [1, 0], [0, 3, 1, 2]]


def test_convolutions_of_one_tensor_share_its_tiles() -> None:
    more = [node("Conv", "x w_too", "d", pads=[1] * 4), node("Conv", "x w_three", "e", pads=[0] * 4)]
    model = build(FIRST, *more, node("Add", "c d", "s"), node("ReduceMax", "e", "m"), node("Add", "s m", "y"))
    tiled, _ = rewrite_winograd(model)
    assert sum(found.op_type == TILED for found in tiled.graph.node) == 3
    gathered = [found for found in expand(tiled).graph.node if "gathered" in found.name]
    assert len(gathered) == 2  # another padding has other tiles
    require_same(model, (2, 13, 21))
