"""Files that are no sound image."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image


def damaged_files() -> dict[str, tuple[bytes, str]]:
    """Contents by file name, each with a piece of the sentence that refuses it."""
    random = np.random.default_rng(0)
    whole = io.BytesIO()
    Image.fromarray(random.integers(0, 256, (64, 64, 3), np.uint8)).save(whole, "JPEG")
    png = io.BytesIO()
    Image.fromarray(random.integers(0, 256, (17, 23, 3), np.uint8)).save(png, "PNG")
    bomb = png.getvalue()[:16] + struct.pack(">II", 40000, 40000) + png.getvalue()[24:29]
    bomb += struct.pack(">I", zlib.crc32(bomb[12:29])) + png.getvalue()[33:]
    return {
        "text.png": (b"hello, I am text", "no PNG, JPEG or WebP image"),
        "empty.png": (b"", "no PNG, JPEG or WebP image"),
        "cut.jpg": (whole.getvalue()[: len(whole.getvalue()) // 2], "damaged or cut short"),
        "cut.png": (png.getvalue()[: len(png.getvalue()) // 2], "damaged or cut short"),
        "bomb.png": (bomb, "claims more than 89 million pixels"),
        "picture.bmp": (b"BM" + bytes(60), "no PNG, JPEG or WebP image"),
    }
