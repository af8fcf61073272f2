"""Damage to files, drawn from a seeded random generator: to ONNX graphs, state dicts, JSON and folders."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import ModelProto, TensorProto

from parity_tests.support.mutation_pictures import NUMBERS, damage_bytes

TEXTS = ("", "x", "../x", "/etc/passwd", "a\x1b[2Jb", "a\nganport: passed", "\u202e", "[/x]", "é" * 300, "N", "|`<b>")


# ---- ONNX


def damage_model(model: ModelProto, rng: random.Random) -> ModelProto:
    """One to three changes to a graph: its nodes, attributes, weights, inputs and outputs, or its opset."""
    damaged = ModelProto()
    damaged.CopyFrom(model)
    for _ in range(rng.choice((1, 1, 2, 3))):
        rng.choice(MODEL_DAMAGES)(damaged, rng)
    return damaged


def _damage_operator(model: ModelProto, rng: random.Random) -> None:
    node = rng.choice(model.graph.node)
    node.op_type = rng.choice(
        (*(each.op_type for each in model.graph.node), "Relu", "Concat", "Split", "Reshape", "Gather")
    )


def _damage_wiring(model: ModelProto, rng: random.Random) -> None:
    names = [name for node in model.graph.node for name in (*node.input, *node.output)]
    node = rng.choice(model.graph.node)
    ends = rng.choice((node.input, node.output))
    if not ends or rng.random() < 0.2:
        ends.append(rng.choice((*names, "", "nowhere")))
    elif rng.random() < 0.2:
        ends.pop()
    else:
        ends[rng.randrange(len(ends))] = rng.choice((*names, "", "nowhere"))


def _damage_nodes(model: ModelProto, rng: random.Random) -> None:
    at = rng.randrange(len(model.graph.node))
    if rng.random() < 0.5 and len(model.graph.node) > 1:
        del model.graph.node[at]
    else:
        model.graph.node.append(model.graph.node[at])


def _damage_attribute(model: ModelProto, rng: random.Random) -> None:
    attributes = [attribute for node in model.graph.node for attribute in node.attribute]
    if not attributes:
        return
    attribute = rng.choice(attributes)
    if attribute.ints:
        attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(NUMBERS)
    elif attribute.type == onnx.AttributeProto.INT:
        attribute.i = rng.choice(NUMBERS)
    elif attribute.type == onnx.AttributeProto.FLOAT:
        attribute.f = rng.choice((0.0, -1.0, 1e30, float("nan"), float("inf")))
    else:
        attribute.name = rng.choice(TEXTS)


def _damage_weight(model: ModelProto, rng: random.Random) -> None:
    if not model.graph.initializer:
        return
    tensor = rng.choice(model.graph.initializer)
    kind = rng.randrange(4)
    if kind == 0 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(NUMBERS)
    elif kind == 1:
        tensor.data_type = rng.choice((*TensorProto.DataType.values(), 99))
    elif kind == 2:
        tensor.raw_data = damage_bytes(tensor.raw_data, rng)
    else:
        tensor.dims.extend([1] * rng.choice((1, 3, 40)))


def _damage_ends(model: ModelProto, rng: random.Random) -> None:
    value = rng.choice((*model.graph.input, *model.graph.output))
    shape = value.type.tensor_type.shape
    kind = rng.randrange(5)
    if kind == 0:
        value.name = rng.choice(TEXTS)
    elif kind == 1 and shape.dim:
        shape.dim[rng.randrange(len(shape.dim))].dim_value = rng.choice(NUMBERS)
    elif kind == 2 and shape.dim:
        shape.dim[rng.randrange(len(shape.dim))].dim_param = rng.choice(TEXTS)
    elif kind == 3:
        value.type.tensor_type.elem_type = rng.choice((*TensorProto.DataType.values(), 99))
    else:
        shape.dim.add().dim_value = rng.choice(NUMBERS)


def _damage_version(model: ModelProto, rng: random.Random) -> None:
    model.opset_import[0].version = rng.choice((*range(9, 24), *NUMBERS))


MODEL_DAMAGES = (
    *(_damage_operator, _damage_wiring, _damage_nodes, _damage_attribute, _damage_attribute, _damage_weight),
    *(_damage_weight, _damage_ends, _damage_version),
)


# ---- state dicts


def damage_state(state: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """One to three changes to the names, shapes, types and values of a state dict."""
    damaged = dict(state)
    for _ in range(rng.choice((1, 1, 2, 3))):
        if not damaged:
            break
        key = rng.choice(list(damaged))
        value, kind = damaged[key], rng.randrange(9)
        if kind == 0:
            del damaged[key]
        elif kind == 1:
            damaged[rng.choice((f"module.{key}", f"{key}x", key[:-1], *TEXTS))] = damaged.pop(key)
        elif kind == 2:
            damaged[rng.choice(TEXTS)] = copy.deepcopy(value)
        elif not isinstance(value, torch.Tensor):
            damaged[key] = rng.choice((*NUMBERS, *TEXTS, None))
        elif kind == 3:
            damaged[key] = value.flatten().reshape(-1, 1)
        elif kind == 4:
            damaged[key] = torch.zeros([rng.choice((0, 1, 2, 3, 5)) for _ in range(rng.randrange(6))])
        elif kind == 5:
            damaged[key] = value.to(
                rng.choice((torch.float16, torch.float64, torch.int32, torch.bool, torch.complex64))
            )
        elif kind == 6:
            damaged[key] = value * rng.choice((0.0, -1.0, 1e3, 1e30, 1e-30, float("nan"), float("inf")))
        elif kind == 7 and value.ndim > 1:
            damaged[key] = value.transpose(0, 1)
        else:
            damaged[key] = torch.cat([value, value]) if value.ndim else value
    return damaged


# ---- JSON and folders


def damage_json(value: Any, rng: random.Random) -> Any:
    """A JSON value with something in it, at any depth, taken out, doubled, or made something else."""
    if isinstance(value, dict | list) and value and rng.random() < 0.85:
        damaged: Any = copy.copy(value)
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        kind = rng.random()
        if kind < 0.12:
            del damaged[key]
        elif kind < 0.18 and isinstance(value, list):
            damaged.append(value[key])
        elif kind < 0.24 and isinstance(damaged, dict):
            damaged[rng.choice(TEXTS)] = value[key]
        else:
            damaged[key] = damage_json(value[key], rng)
        return damaged
    others: tuple[Callable[[], Any], ...] = (
        lambda: rng.choice(NUMBERS),
        lambda: rng.choice(TEXTS),
        lambda: rng.choice((None, True, False, [], {}, [[]], 1e300, -0.5)),
        lambda: [value, value],
        lambda: {"name": value},
    )
    return rng.choice(others)()


def damage_folder(folder: Path, rng: random.Random) -> None:
    """Alter one file below `folder`: its bytes, its JSON, its name; or take it away, empty it, or add another."""
    path = rng.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    kind = rng.randrange(10)
    if kind == 0:
        path.unlink()
    elif kind == 1:
        path.write_bytes(b"")
    elif kind == 2:
        path.rename(path.with_name(f"{path.name}x"))
    elif kind == 3:
        path.with_name("extra").write_bytes(rng.randbytes(7))
    elif kind == 4:
        target = path.with_name(f"{path.name}.target")
        path.rename(target)
        path.symlink_to(target)
    elif kind < 7 and path.suffix == ".json":
        path.write_text(json.dumps(damage_json(json.loads(path.read_text()), rng)))
    else:
        path.write_bytes(damage_bytes(path.read_bytes(), rng))
