"""Pairs of outputs whose errors are known beforehand, made to be compared."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from converters.parity.compare import ComparedCase, TensorParity, compare
from converters.parity.gates import Gate
from converters.tensors import Array

GATE = Gate(1e-5, 1e-5, 100.0, 4.0)
SHAPE = (2, 3, 4, 4)
BAD_VALUES = pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])


def flat(value: float = 0.5, shape: tuple[int, ...] = SHAPE) -> Array:
    return np.full(shape, value, np.float32)


def altered(array: Array, index: tuple[int, ...], value: float) -> Array:
    changed = array.copy()
    changed[index] = value
    return changed


def case(actual: Array, *, expected: Array | None = None, float64: Array | None = None) -> ComparedCase:
    """Whole-plane case of one output "y"; torch gives 0.5 everywhere unless said otherwise."""
    expected = flat(shape=actual.shape) if expected is None else expected
    float64 = expected.astype(np.float64) if float64 is None else float64
    return ComparedCase("case", {"y": actual}, {"y": expected}, {"y": float64})


def hole_case(actual: Array, mask: Array) -> ComparedCase:
    """A composited case: the photo is 0.5 everywhere, and so is what torch fills in."""
    return replace(case(actual), mask=mask, known=flat())


def hole(*pixels: tuple[int, int]) -> Array:
    mask = np.zeros((2, 1, 4, 4), np.float32)
    for pixel in pixels:
        mask[(slice(None), 0, *pixel)] = 1
    return mask


def judge(one: ComparedCase, gate: Gate = GATE) -> tuple[TensorParity, ...]:
    return compare("rung", gate, [one]).tensors


def failures(one: ComparedCase, gate: Gate = GATE) -> list[str]:
    return [failure for tensor in judge(one, gate) for failure in tensor.failures]
