"""Image files that Pillow cannot write: PNG in RGB of 16 bits, and files that are damaged or no image."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def write_png_16_bit_rgb(path: Path, levels: NDArray[np.uint16]) -> None:
    """Write a PNG file of 16 bits per channel, which Pillow reads but does not write.

    Args:
        path: The file to write.
        levels: (H, W, 3) uint16.
    """
    height, width, _ = levels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + _png_chunk(b"IHDR", header)
        + _png_chunk(b"IDAT", zlib.compress(rows))
        + _png_chunk(b"IEND", b"")
    )


def damaged_files() -> dict[str, tuple[bytes, str]]:
    """Contents by file name, each with a piece of the sentence that refuses it."""
    random = np.random.default_rng(0)
    whole = io.BytesIO()
    Image.fromarray(random.integers(0, 256, (64, 64, 3), np.uint8)).save(whole, "JPEG")
    png = io.BytesIO()
    Image.fromarray(random.integers(0, 256, (17, 23, 3), np.uint8)).save(png, "PNG")
    # A sound header of 40000x40000 pixels: signature (8 bytes), IHDR (25 bytes, of which 5 follow the two sizes).
    header = struct.pack(">II", 40000, 40000) + png.getvalue()[24:29]
    bomb = png.getvalue()[:8] + _png_chunk(b"IHDR", header) + png.getvalue()[33:]
    return {
        "text.png": (b"hello, I am text", "no PNG, JPEG, WebP, BMP, TIFF or GIF image"),
        "empty.png": (b"", "no PNG, JPEG, WebP, BMP, TIFF or GIF image"),
        "cut.jpg": (whole.getvalue()[: len(whole.getvalue()) // 2], "damaged or cut short"),
        "cut.png": (png.getvalue()[: len(png.getvalue()) // 2], "damaged or cut short"),
        "bomb.png": (bomb, "claims more than 89 million pixels"),
        "picture.tga": (b"TG" + bytes(60), "no PNG, JPEG, WebP, BMP, TIFF or GIF image"),
    }


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
