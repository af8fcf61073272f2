"""A damaged file of each kind, the command that it is given to, and what must hold if that command ends with 0."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import safetensors.torch
import torch

from parity_tests.support.architecture_cases import CASES
from parity_tests.support.command import rewrite_hashes, rewrite_sums
from parity_tests.support.foreign_models import GREY_PIPELINE, make_model, write_model
from parity_tests.support.mutation_pictures import Case, damage_bytes
from parity_tests.support.mutations import damage_folder, damage_json, damage_model, damage_state

# Relative to an output's largest value; the gates are far below.
WRONG_ABOVE = 1e-3
LIMITS = ("--max-memory", "4", "--max-seconds", "50")
ROW = "(float[N, 3] x) => (float[N, 3] y)"
MODELS = {
    "conv": make_model(17, "c = Conv<pads = [1, 1, 1, 1]>(x, w, b) y = Relu(c)", {"w": (4, 3, 3, 3), "b": (4,)}),
    "resize": make_model(
        13,
        'c = Conv(x, w) r = Resize<mode = "linear">(c, , s) y = Sigmoid(r)',
        {"w": (4, 3, 1, 1), "s": np.array([1, 1, 2, 2], np.float32)},
    ),
    "shapes": make_model(
        18,
        """s = Shape(x) n = Gather(s, zero) m = Unsqueeze(n, axis) t = Concat<axis = 0>(m, last)
        f = Reshape(x, t) a, b = Split<axis = 1, num_outputs = 2>(f) c = Concat<axis = 1>(b, a) g = MatMul(c, w)
        y = Add(g, x)""",
        {
            "w": (4, 3),
            "zero": np.array(0, np.int64),
            "axis": np.array([0], np.int64),
            "last": np.array([4], np.int64),
        },
        "(float[N, 4] x) => (float[N, 3] y)",
    ),
    "norm": make_model(
        16,
        "c = Conv<strides = [2, 2]>(x, w) n = InstanceNormalization(c, s, b) d = ConvTranspose<strides = [2, 2]>(n, v) "
        "y = Tanh(d)",
        {"w": (5, 3, 2, 2), "s": (5,), "b": (5,), "v": (5, 4, 2, 2)},
    ),
    "branch": make_model(
        17,
        "m = ReduceMean<keepdims = 0>(x) q = Greater(m, t) y = If(q) <then_branch = a () => (float[N, 3] u) "
        "{ u = Relu(x) }, else_branch = b () => (float[N, 3] v) { v = Neg(x) }>",
        {"t": np.array(0.5, np.float32)},
        ROW,
    ),
    "loop": make_model(
        17,
        "y = Loop(n, , x) <body = b (int64 i, bool c, float[N, 3] v) => (bool d, float[N, 3] w) "
        "{ d = Identity(c) w = Sin(v) }>",
        {"n": np.array(3, np.int64)},
        ROW,
    ),
}


def build_bases(folder: Path) -> None:
    """What the damaged files are made from: small checkpoints, a bundle of one of them, and a pipeline's bundle."""
    from converters.convert import Settings, convert

    states = folder / "states"
    for case in CASES:
        (states / case.name).mkdir(parents=True)
        case.write(states / case.name)
    for name, targets in (("base", ("onnx", "mxnet")), ("pipeline", ("onnx",))):
        path = write_model(folder, MODELS["conv"] if name == "base" else GREY_PIPELINE, name)
        list(convert([path], Settings(targets, folder), lambda step: None))


def damage_onnx(bases: Path, folder: Path, rng: random.Random) -> Case:
    model = MODELS[rng.choice(list(MODELS))]
    if rng.random() < 0.3:
        data = damage_bytes(model.SerializeToString(), rng)
    else:
        data = damage_model(model, rng).SerializeToString()
    path, out = write_model(folder, data), folder.parent / "out"
    args = ("convert", path, "--to", rng.choice(("onnx", "onnx,mxnet")), "-o", out, *LIMITS)
    return Case(args, lambda: _check_bundle_of(path, out / "net", rng))


def _check_bundle_of(path: Path, bundle: Path, rng: random.Random) -> list[str]:
    """The bundle's file computes what the damaged file computes, on numbers that the conversion has not seen."""
    random_numbers = np.random.default_rng(rng.randrange(2**32))
    manifest = json.loads((bundle / "manifest.json").read_text())
    source, made = (onnxruntime.InferenceSession(str(file)) for file in (path, bundle / "net.onnx"))
    feeds = []
    for spec in manifest["contract"]["inputs"]:
        golden = np.load(bundle / "golden" / f"input_{spec['name']}.npy")
        feeds.append(random_numbers.permutation(golden.ravel()).reshape(golden.shape))
    results = [
        session.run(None, {value.name: array for value, array in zip(session.get_inputs(), feeds, strict=True)})
        for session in (source, made)
    ]
    return _compare(*results)


def _compare(expected: list[np.ndarray], actual: list[np.ndarray]) -> list[str]:
    faults = []
    for wanted, got in zip(expected, actual, strict=True):
        if wanted.shape != got.shape:
            faults.append(f"an output is of {got.shape}, the source's of {wanted.shape}")
        elif np.isfinite(wanted).all() and wanted.size:
            unit = max(np.abs(wanted.astype(float)).max(), 1e-3)
            error = np.abs(wanted.astype(float) - got.astype(float)).max() / unit
            faults += [] if error <= WRONG_ABOVE else [f"an output is {error:.1e} off"]
    return faults


def damage_checkpoint(bases: Path, folder: Path, rng: random.Random) -> Case:
    (original,) = (bases / "states" / rng.choice(CASES).name).iterdir()
    suffix = rng.choice((".pth", ".pth", ".safetensors", "legacy"))
    path = folder / f"net{suffix if suffix != 'legacy' else '.pth'}"
    content = torch.load(original, weights_only=True)
    behind_the_reader = rng.random() < 0.5
    if behind_the_reader:
        inner = content.get("generator", content)
        damaged = damage_state(inner, rng)
        content = {**content, "generator": damaged} if "generator" in content else damaged
    if suffix == ".safetensors":
        state = {key: value for key, value in content.get("generator", content).items() if hasattr(value, "shape")}
        safetensors.torch.save_file({key: value.contiguous().clone() for key, value in state.items()}, path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=suffix == ".pth")
    if not behind_the_reader:
        path.write_bytes(damage_bytes(path.read_bytes(), rng))
    if rng.random() < 0.9:  # a conversion takes seconds
        return Case(("inspect", path), lambda: [])
    out = folder.parent / "out"
    return Case(("convert", path, "--to", "onnx", "-o", out, *LIMITS), lambda: _check_checkpoint(path, out))


def _check_checkpoint(path: Path, out: Path) -> list[str]:
    """The file computes what the reference net gives with these weights, on numbers not seen before."""
    from reference.checkpoint import read_checkpoint
    from reference.registry import identify_model

    (bundle,) = out.iterdir()
    module = identify_model([read_checkpoint(path)]).build().module.eval()
    session = onnxruntime.InferenceSession(str(bundle / f"{bundle.name}.onnx"))
    feeds = {value.name: np.load(bundle / "golden" / f"input_{value.name}.npy") for value in session.get_inputs()}
    feeds = {name: array if name in ("mask", "edges") else 1 - array for name, array in feeds.items()}
    with torch.inference_mode():
        expected = module(*map(torch.from_numpy, feeds.values()))
    return _compare([np.asarray(expected)], session.run(None, feeds))


def damage_bundle(bases: Path, folder: Path, rng: random.Random) -> Case:
    bundle = shutil.copytree(bases / "base", folder / "base")
    damage_folder(bundle, rng)
    altered = _read(bundle) != _read(bases / "base")
    hidden = rng.random() < 0.5
    if hidden:
        try:
            rewrite_hashes(bundle)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            rewrite_sums(bundle)
    return Case(("verify", bundle, *LIMITS), lambda: _check_golden(bundle) if hidden else ["altered"] * altered)


def _read(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _check_golden(bundle: Path) -> list[str]:
    """The ONNX file that the manifest names, if it names one, reproduces the golden outputs."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    files = [artifact["files"][0] for artifact in manifest["artifacts"] if artifact["target"] == "onnx"]
    if not files:
        return []
    session = onnxruntime.InferenceSession(str(bundle / files[0]))
    feeds = {value.name: np.load(bundle / "golden" / f"input_{value.name}.npy") for value in session.get_inputs()}
    names = [value.name for value in session.get_outputs()]
    golden = [np.load(bundle / "golden" / f"output_{name}.npy") for name in names]
    return _compare(golden, session.run(names, feeds))


def damage_manifest(bases: Path, folder: Path, rng: random.Random) -> Case:
    bundle = shutil.copytree(bases / "base", folder / "base")
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    for _ in range(rng.choice((1, 1, 2, 4))):
        manifest = damage_json(manifest, rng)
    path.write_text(json.dumps(manifest))
    rewrite_sums(bundle)
    if rng.random() < 0.2:
        return Case(("inspect", bundle), lambda: [])
    return Case(("verify", bundle, *LIMITS), lambda: _check_golden(bundle))


KINDS: dict[str, Callable[[Path, Path, random.Random], Case]] = {
    "ONNX files": damage_onnx,
    "checkpoints": damage_checkpoint,
    "bundles": damage_bundle,
    "manifests": damage_manifest,
}
assert all(onnx.checker.check_model(model) is None for model in (*MODELS.values(), GREY_PIPELINE))
