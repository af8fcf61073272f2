"""Read photos and masks from image files as 8-bit arrays, and write the results."""

from __future__ import annotations

import os
import struct
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.errors import PhotoError
from converters.tensors import Array

if TYPE_CHECKING:
    from PIL import Image

# Formats that are read, by Pillow's names.
FORMATS = ("PNG", "JPEG", "WEBP")
# Suffix of a written file to Pillow's options. All are lossless: a JPEG would change the pixels outside the hole.
OUTPUT_OPTIONS: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG"},
    ".webp": {"format": "WEBP", "lossless": True, "exact": True},
}


# In pixels; the format has 14 bits for it.
MAX_WEBP_SIDE = 16383


@dataclass(frozen=True)
class Photo:
    """A photo, with its EXIF rotation applied.

    Attributes:
        path: The file.
        rgb: (H, W, 3) uint8.
        alpha: (H, W) uint8, 0 where transparent; None if the file has no transparency.
        icc_profile: The file's colour profile, which the result gets too; None if it has none.
    """

    path: Path
    rgb: Array
    alpha: Array | None
    icc_profile: bytes | None


def read_photo(path: Path) -> Photo:
    """Read a PNG, JPEG or WebP file.

    The EXIF rotation is applied, grey and palette images become RGB, and 16-bit values keep their upper 8 bits.

    Raises:
        PhotoError: the file is missing, not an image or damaged, or its header claims more pixels than Pillow's limit.
    """
    image = _read_image(path)
    has_alpha = "A" in image.getbands() or "transparency" in image.info
    pixels = np.asarray(image.convert("RGBA" if has_alpha else "RGB"))
    alpha = pixels[..., 3].copy() if has_alpha else None
    return Photo(path, np.ascontiguousarray(pixels[..., :3]), alpha, image.info.get("icc_profile"))


def read_marks(path: Path, size: tuple[int, int], resize: bool = False) -> Array:
    """Read which pixels of an image are marked: those neither black nor fully transparent.

    Args:
        path: A mask or a line drawing.
        size: The (H, W) that the image must have.
        resize: Scale another size to `size` by nearest neighbour instead of refusing it.

    Returns:
        (H, W) bool, True where marked.

    Raises:
        PhotoError: the file cannot be read, or has another size.
    """
    from PIL import Image

    image = read_photo(path)
    marks: Array = image.rgb.any(axis=2)
    if image.alpha is not None:
        marks &= image.alpha > 0
    if marks.shape == size:
        return marks
    if not resize:
        raise PhotoError(
            path,
            f"it is {marks.shape[1]}x{marks.shape[0]} pixels, the photo {size[1]}x{size[0]}",
            "Give both the same size, or scale the mask with --resize-mask",
        )
    scaled = Image.fromarray(marks).resize((size[1], size[0]), Image.Resampling.NEAREST)
    return np.asarray(scaled)


def match_names(photos: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Pair every photo of a folder with the mask of the same name; the suffixes may differ.

    Hidden files are left out.

    Args:
        photos: Folder of photos.
        masks: Folder of masks.

    Returns:
        (photo, mask) paths, sorted by photo.

    Raises:
        PhotoError: a folder is missing, there is no photo, a photo has no mask or several, or two photos share a name.
    """
    for folder in (photos, masks):
        if not folder.is_dir():
            raise PhotoError(folder, "it is no folder", "Give a folder of photos and a folder of masks")
    found = sorted(path for path in photos.iterdir() if path.is_file() and not path.name.startswith("."))
    if not found:
        raise PhotoError(photos, "it holds no file", "Put photos there")
    pairs = []
    stems = [path.stem for path in found]
    for path in found:
        if stems.count(path.stem) > 1:
            raise PhotoError(path, "another photo has its name, but for the suffix", "Rename one of them")
        candidates = [mask for mask in sorted(masks.iterdir()) if mask.stem == path.stem and mask.is_file()]
        if len(candidates) != 1:
            met = "no mask of that name is" if not candidates else f"{len(candidates)} masks of that name are"
            raise PhotoError(path, f"{met} in {masks}", f"Keep one {path.stem}.png there")
        pairs.append((path, candidates[0]))
    return pairs


def require_output(path: Path) -> None:
    """Refuse a path to which no picture can be written, so that the command fails before it does any work.

    Raises:
        PhotoError: the suffix is not that of a lossless format, the path is a folder, or its folder is missing or not
            writable.
    """
    if path.suffix.lower() not in OUTPUT_OPTIONS:
        raise PhotoError(
            path, f"'{path.suffix}' would not keep known pixels as they are", "End it in .png or .webp (lossless)"
        )
    if path.is_dir():
        raise PhotoError(path, "it is a folder", "Name a file")
    if not path.parent.is_dir():
        raise PhotoError(path, "its folder does not exist", "Make the folder, or name another file with -o")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PhotoError(path, "its folder is not writable", "Name another file with -o")


def require_output_size(path: Path, size: tuple[int, int]) -> None:
    """Refuse a format that takes no picture of this (H, W) in pixels.

    Raises:
        PhotoError: the picture is too large for WebP.
    """
    if path.suffix.lower() == ".webp" and max(size) > MAX_WEBP_SIDE:
        met = f"the picture is of {size[1]}x{size[0]} pixels, and WebP takes {MAX_WEBP_SIDE} a side at most"
        raise PhotoError(path, met, "End its name in .png")


def make_folder(path: Path) -> None:
    """Create the folder for results unless it exists.

    Raises:
        PhotoError: the folder cannot be created.
    """
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise PhotoError(path, f"cannot be made ({error.strerror})", "Name another folder with -o") from error


def write_photo(path: Path, photo: Photo, rgb: Array, hole: Array) -> None:
    """Write a filled photo, with the original's colour profile.

    The file appears complete or not at all.

    Args:
        path: The file to write.
        photo: The original. Its transparency is kept outside the hole; the hole becomes opaque.
        rgb: (H, W, 3) uint8, the filled photo.
        hole: (H, W) bool, True where it was filled.

    Raises:
        PhotoError: the file cannot be written.
    """
    from PIL import Image

    if photo.alpha is not None:
        rgb = np.dstack([rgb, np.where(hole, 255, photo.alpha).astype(np.uint8)])
    _write(path, Image.fromarray(rgb), photo.icc_profile)


def write_plane(path: Path, plane: Array) -> None:
    """Write one channel as an 8-bit grey picture.

    Args:
        path: The file to write.
        plane: (H, W) float32 in [0, 1]; 1 becomes 255.

    Raises:
        PhotoError: the file cannot be written.
    """
    from PIL import Image

    _write(path, Image.fromarray(np.rint(plane.clip(0, 1) * 255).astype(np.uint8)), None)


def _write(path: Path, image: Image.Image, icc_profile: bytes | None) -> None:
    """Write into a hidden folder of our own beside `path`, then move the file."""
    try:
        with tempfile.TemporaryDirectory(prefix=".ganport-", dir=path.parent) as folder:
            partial = Path(folder) / f"picture{path.suffix}"
            image.save(partial, icc_profile=icc_profile, **OUTPUT_OPTIONS[path.suffix.lower()])
            partial.replace(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise PhotoError(path, f"cannot be written ({reason})", "Name another file with -o") from error


def _read_image(path: Path) -> Image.Image:
    """The file's first picture, with its EXIF rotation applied, at 8 bits per channel."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not path.exists():
        raise PhotoError(path, "there is no such file", "Check the path")
    if not path.is_file():
        raise PhotoError(path, "it is a folder, not a file", "Name an image file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                image.load()
                upright = ImageOps.exif_transpose(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        limit = Image.MAX_IMAGE_PIXELS or 0
        raise PhotoError(
            path, f"its header claims more than {limit // 10**6} million pixels", "Scale the picture down"
        ) from None
    except UnidentifiedImageError:
        raise PhotoError(path, "it is no PNG, JPEG or WebP image", "Save it as one of these") from None
    except PermissionError as error:
        raise PhotoError(path, "it may not be read", "Check its permissions") from error
    except (OSError, SyntaxError, ValueError, struct.error, EOFError) as error:
        raise PhotoError(path, "it is damaged or cut short", "Download or copy it again") from error
    if upright.mode.startswith("I"):  # 16-bit grey; Pillow itself reduces 16-bit colour to 8 bits
        levels = np.asarray(upright).astype(np.int64).clip(0, 65535) >> 8
        return Image.fromarray(levels.astype(np.uint8))
    return upright
