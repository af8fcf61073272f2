"""Damage to files, drawn from a seeded random generator: to bytes, ONNX graphs, state dicts, JSON and folders."""

from __future__ import annotations

import copy
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import ModelProto, TensorProto
from PIL import Image

# Numbers that break what trusts a number.
NUMBERS = (0, 1, -1, 2, 3, 7, 127, 128, 255, 256, 65535, 2**31 - 1, -(2**31), 2**32, 2**63 - 1, -(2**63))
TEXTS = ("", "x", "../x", "/etc/passwd", "a\x1b[2Jb", "a\nganport: passed", "\u202e", "[/x]", "é" * 300, "N", "|`<b>")


def damage_bytes(data: bytes, rng: random.Random) -> bytes:
    """One to eight changes: bits and bytes altered, pieces taken out, doubled, moved or zeroed, the end cut off."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        if not found:
            break
        at, length = rng.randrange(len(found)), rng.choice((1, 2, 4, 16, 256))
        kind = rng.randrange(8)
        if kind == 0:
            found[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            found[at] = rng.randrange(256)
        elif kind == 2:
            del found[at : at + length]
        elif kind == 3:
            found[at:at] = found[at : at + length]
        elif kind == 4:
            found[at : at + length] = bytes(min(length, len(found) - at))
        elif kind == 5:
            found[at:at] = rng.randbytes(length)
        elif kind == 6:
            number = rng.choice(NUMBERS) % 2**32
            found[at : at + 4] = number.to_bytes(4, rng.choice(("little", "big")))
        elif rng.random() < 0.2:
            del found[at:]
    return bytes(found)


# ---- images


def draw_image(rng: random.Random) -> tuple[str, bytes]:
    """A sound image file of any kind that we read: its suffix and bytes."""
    pixels = np.random.default_rng(rng.randrange(2**32)).integers(0, 256, (rng.randrange(12, 40), 24, 4), np.uint8)
    mode = rng.choice(("RGB", "RGBA", "L", "LA", "P", "I;16", "1", "CMYK"))
    if mode == "I;16":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    else:
        image = Image.fromarray(pixels).convert("RGB" if mode == "CMYK" else mode if mode != "P" else "RGB")
        image = image.convert(mode)
    exif = Image.Exif()
    exif[0x0112] = rng.randrange(0, 10)
    exif[0x010E] = "words"
    extra: dict[str, Any] = {"exif": exif.tobytes()} if rng.random() < 0.7 else {}
    data = io.BytesIO()
    kind = rng.choice(("PNG", "JPEG", "WEBP"))
    if kind == "JPEG":
        image = image.convert("CMYK" if mode == "CMYK" else "L" if mode == "L" else "RGB")
        extra |= {"progressive": rng.random() < 0.5, "quality": rng.randrange(20, 96)}
    elif kind == "WEBP":
        image = image.convert("RGBA" if mode in ("RGBA", "LA") else "RGB")
        extra |= {"lossless": rng.random() < 0.5}
    elif mode == "CMYK":
        image = image.convert("RGB")
    image.save(data, kind, **extra)
    return {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp"}[kind], data.getvalue()


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
