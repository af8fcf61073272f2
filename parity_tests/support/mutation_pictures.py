"""Damaged image files, without the heavy packages: each case is a fork, and a light process forks faster."""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

# Numbers that break what trusts a number.
NUMBERS = (0, 1, -1, 2, 3, 7, 127, 128, 255, 256, 65535, 2**31 - 1, -(2**31), 2**32, 2**63 - 1, -(2**63))
# How to turn a picture upright, by the orientation that EXIF states.
FLIPS = dict(
    zip(
        range(2, 9),
        (
            *(Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM),
            *(Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE),
            Image.Transpose.ROTATE_90,
        ),
        strict=True,
    )
)
# What the stand-in for a pipeline paints the hole with.
GREY = 128


@dataclass(frozen=True)
class Case:
    """A command line, and a check of its result: a sentence for each thing that is wrong."""

    args: tuple[str | Path, ...]
    check: Callable[[], list[str]]


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


def damage_image(bases: Path, folder: Path, rng: random.Random) -> Case:
    files = {}
    for name in ("photo", "mask"):
        suffix, data = draw_image(rng)
        if name == "mask" or rng.random() < 0.3:
            with Image.open(files["photo"]) if files else Image.new("L", (24, 24)) as photo:
                image = Image.new("L", ImageOps.exif_transpose(photo).size)
                image.paste(255, (4, 4, 9, 9))
                suffix = ".png"
                image.save(folder / "mask.png")
                data = (folder / "mask.png").read_bytes()
        files[name] = folder / f"{name}{suffix}"
        files[name].write_bytes(data)
    photo_is_damaged = rng.random() < 0.8
    victim = files["photo"] if photo_is_damaged else files["mask"]
    victim.write_bytes(damage_bytes(victim.read_bytes(), rng))
    out = folder.parent / "out" / "filled.png"
    args = ("inpaint", files["photo"], files["mask"], "-o", out, "--bundle", bases / "pipeline")
    return Case(args, lambda: _check_picture(files["photo"], files["mask"] if photo_is_damaged else None, out))


def _check_picture(photo: Path, mask: Path | None, out: Path) -> list[str]:
    """Every pixel is the photo's, or the grey that the hole is painted with; with a sound mask, where it should be.

    What has an EXIF block that cannot be read counts as upright.
    """
    with Image.open(photo) as opened, Image.open(out) as filled:
        if opened.mode.startswith("I") or opened.info.get("icc_profile"):
            return []
        given = np.asarray(_turn_upright(opened).convert("RGB"))
        result = np.asarray(filled.convert("RGB"))
    if result.shape != given.shape:
        return [f"the result is of {result.shape}, the photo of {given.shape}"]
    painted = (result == GREY).all(axis=2)
    if not ((result == given).all(axis=2) | painted).all():
        return ["known pixels are others"]
    if mask is None:
        return []
    with Image.open(mask) as marks:
        hole = np.asarray(marks) > 0
    return [] if painted[hole].all() and (result[~hole] == given[~hole]).all() else ["another hole was filled"]


def _turn_upright(image: Image.Image) -> Image.Image:
    """By Pillow's own function, or, where it fails on another tag of the EXIF block, by the orientation alone."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        with contextlib.suppress(Exception):
            return image.transpose(FLIPS[image.getexif()[0x0112]])
        return image
