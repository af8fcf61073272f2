"""The table of MXNet op cases."""

from __future__ import annotations

from parity_tests.support.mxnet_layer_cases import LAYERS
from parity_tests.support.mxnet_math_cases import MATH
from parity_tests.support.mxnet_op_cases import OpCase
from parity_tests.support.mxnet_shape_cases import SHAPES

CASES: tuple[OpCase, ...] = (*LAYERS, *MATH, *SHAPES)
