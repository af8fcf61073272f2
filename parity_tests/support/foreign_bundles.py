"""Convert an ONNX file that somebody made by the real command, and compare what came of it with the file itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from converters.tensors import Array
from parity_tests.support.command import run_ganport
from parity_tests.support.foreign_models import make_model, run_model, write_model

# Outputs are of size 1 or so; both run in ONNX Runtime, which may fuse other sets of nodes: a few float32 steps.
SAME = 1e-6
# Another library's order of sums, over 144 products of size 1.
SUMMED = 1e-5
CONV: Mapping[str, tuple[int, ...]] = {"w": (4, 3, 3, 3)}
RELU = make_model(17, "c = Conv(x, w) y = Relu(c)", CONV)


def convert(folder: Path, model: ModelProto, *options: str, to: str = "onnx") -> Path:
    """The bundle that the command makes of it; it must succeed."""
    path = write_model(folder, model)
    done = run_ganport("convert", path, "--to", to, "-o", folder / "out", *options)
    assert done.exit_code == 0, done.stderr
    return folder / "out" / "net"


def read_manifest(bundle: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((bundle / "manifest.json").read_text())
    return manifest


def draw(*shape: int, seed: int = 7) -> Array:
    """Numbers that no conversion is judged on: beyond [0, 1], of another seed."""
    return np.random.default_rng(seed).normal(0, 2, shape).astype(np.float32)


def require_same(bundle: Path, *arrays: Array) -> None:
    """The bundle's file and the model that it was made from give the same for these inputs."""
    for ours, theirs in zip(
        run_model(bundle / "net.onnx", *arrays), run_model(bundle.parents[1] / "net.onnx", *arrays), strict=True
    ):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        np.testing.assert_allclose(ours, theirs, atol=SAME, rtol=SAME)
