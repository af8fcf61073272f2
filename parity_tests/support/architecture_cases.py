"""One row for every architecture: a small net in a published layout, its weights seeded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from converters.bundle.folder import Bundle
from parity_tests.support import (
    aot_gan_states,
    deepfill_states,
    lama_states,
    migan_states,
    partial_conv_states,
    pix2pix_unet_states,
    resnet_generator_states,
    seeded_checkpoints,
)


@dataclass(frozen=True)
class ArchitectureCase:
    """`write` writes a checkpoint of the architecture `name` into a folder and gives its path."""

    name: str
    write: Callable[[Path], Path]

    def __str__(self) -> str:
        return self.name


class CaseBundle(NamedTuple):
    """A checkpoint, and the bundle made of it."""

    checkpoint: Path
    bundle: Bundle


def write_resnet(folder: Path, layout: str) -> Path:
    path = folder / f"{layout.replace(' ', '_')}.pth"
    torch.save(resnet_generator_states.make_state(layout), path)
    return path


CASES = (
    ArchitectureCase("aot-gan", aot_gan_states.write_checkpoint),
    ArchitectureCase("cyclegan-resnet", lambda folder: write_resnet(folder, "vintagify")),
    ArchitectureCase("deepfill-v2", lambda folder: deepfill_states.write_checkpoint(folder, "pt")),
    ArchitectureCase("edgeconnect-edge", lambda folder: seeded_checkpoints.write_checkpoint(folder, "edge")),
    ArchitectureCase("edgeconnect-inpaint", lambda folder: seeded_checkpoints.write_checkpoint(folder, "inpaint")),
    ArchitectureCase("lama", lama_states.write_checkpoint),
    ArchitectureCase("mi-gan", migan_states.write_checkpoint),
    ArchitectureCase("partial-conv", lambda folder: partial_conv_states.write_checkpoint(folder, "conv2d", 7, 4, 0)),
    ArchitectureCase("pix2pix-unet", pix2pix_unet_states.write_checkpoint),
    ArchitectureCase("style-transfer", lambda folder: write_resnet(folder, resnet_generator_states.STYLE)),
)
