"""Write NAME-weights.wxf, an Association of NumericArrays. The only module that imports wolframclient (optional)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version

import numpy as np

from converters.tensors import Array


def missing_wolframclient() -> str | None:
    """Why the weights file cannot be written on this machine, or None if it can."""
    try:
        import_module("wolframclient.serializers")
    except ImportError:
        return "wolframclient is not installed"
    return None


def serialize_weights(arrays: Mapping[str, Array]) -> bytes:
    """Serialize arrays as WXF: an Association from each name to a NumericArray "Real32".

    The values are stored bit for bit, in row-major order, and the entries in the mapping's order.

    Args:
        arrays: Name to float32 array.
    """
    serializers = import_module("wolframclient.serializers")
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    data = serializers.export(contiguous, target_format="wxf")
    assert isinstance(data, bytes)
    return data


def wolframclient_version() -> str:
    """The installed version of wolframclient, for the manifest."""
    return version("wolframclient")
