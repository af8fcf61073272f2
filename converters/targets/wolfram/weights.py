"""NAME-weights.wxf: an Association of NumericArrays, written by wolframclient; the one module that imports it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version

import numpy as np

from converters.tensors import Array


def missing_wolframclient() -> str | None:
    """Why the file cannot be written here, or None if it can."""
    try:
        import_module("wolframclient.serializers")
    except ImportError:
        return "wolframclient is not installed"
    return None


def serialize_weights(arrays: Mapping[str, Array]) -> bytes:
    """WXF bytes: name -> NumericArray "Real32", row by row, bit for bit, in the mapping's order.

    Args:
        arrays: float32.
    """
    serializers = import_module("wolframclient.serializers")
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    data = serializers.export(contiguous, target_format="wxf")
    assert isinstance(data, bytes)
    return data


def wolframclient_version() -> str:
    """Of the package that writes the file."""
    return version("wolframclient")
