"""The files that README, docs and examples name, small: what a reader is taken to have beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from parity_tests.support import deepfill_states, resnet_generator_states
from parity_tests.support.foreign_models import make_model, write_model
from parity_tests.support.places import PHOTOS, ROOT
from parity_tests.support.seeded_checkpoints import NETS, write_checkpoint

SIDE = 64
# What docs/own_module.md and README call make_generator.
MODULE = """
import torch
from torch import nn


def make_generator() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.InstanceNorm2d(8), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1), nn.Sigmoid()
    ).eval()
"""


def write_named_files(folder: Path) -> None:
    """What ships, seeded checkpoints, a photo with its mask and lines, folders of both, an ONNX file, a module."""
    (folder / "reference").symlink_to(ROOT / "reference")
    for net in NETS:
        write_checkpoint(folder, net)
    photo = Image.open(PHOTOS / "coffee.png").convert("RGB").resize((SIDE, SIDE))
    hole = np.zeros((SIDE, SIDE), np.uint8)
    hole[20:40, 24:44] = 255
    lines = np.zeros((SIDE, SIDE), np.uint8)
    lines[30, 20:50] = 255
    photo.save(folder / "photo.jpg")
    Image.fromarray(hole).save(folder / "mask.png")
    Image.fromarray(lines).save(folder / "green.png")
    Image.fromarray(lines.T).save(folder / "red.png")
    for name in ("photos", "masks"):
        (folder / name).mkdir()
    for name in ("one", "two"):
        photo.save(folder / "photos" / f"{name}.jpg")
        Image.fromarray(hole).save(folder / "masks" / f"{name}.png")
    write_model(
        folder,
        make_model(
            17,
            "z = Conv <pads = [1, 1, 1, 1]> (x, w) y = Sigmoid(z)",
            {"w": (4, 3, 3, 3)},
            "(float[N, 3, H, W] x) => (float[N, 4, H, W] y)",
        ),
    )
    np.savez(folder / "case.npz", x=np.random.default_rng(1).random((1, 3, SIDE, SIDE), np.float32))
    write_module(folder)
    deepfill_states.write_checkpoint(folder, "pt")
    torch.save(resnet_generator_states.make_state("vintagify"), folder / "latest_net_G_A.pth")
    torch.save({"params": {}, "params_ema": {"weight": torch.zeros(1)}}, folder / "ema.pth")


def write_module(folder: Path) -> None:
    """mynet.py, and weights.pth with weights for its net."""
    (folder / "mynet.py").write_text(MODULE)
    names: dict[str, object] = {}
    exec(MODULE, names)
    make_generator = names["make_generator"]
    assert callable(make_generator)
    module = make_generator()
    assert isinstance(module, nn.Module)
    torch.save(module.state_dict(), folder / "weights.pth")
