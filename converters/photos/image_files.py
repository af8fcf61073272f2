"""Read photos from image files as 8-bit arrays, and write the results."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import secrets
import struct
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.errors import NoImageError, PhotoError, TooLargeImageError
from converters.tensors import Array

if TYPE_CHECKING:
    from PIL import Image

# Formats that are read, by Pillow's names.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
# The EXIF tag of the orientation. What Pillow raises for an EXIF block that is odd: such a picture counts as upright.
ORIENTATION = 0x0112
ODD_EXIF = (*(TypeError, AttributeError, ValueError, LookupError, ArithmeticError, OSError, SyntaxError), struct.error)
# Suffix of a written file to Pillow's options. All are lossless: a JPEG would change the pixels outside the hole.
OUTPUT_OPTIONS: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG"},
    ".webp": {"format": "WEBP", "lossless": True, "exact": True},
}


# How the hidden file that becomes a result is called until it is whole.
PARTIAL_PREFIX, PARTIAL_SUFFIX = ".ganport-", ".partial"
# A larger file is no photo of Pillow's most pixels.
MAX_FILE_BYTES = 2**30
LISTED = "PNG, JPEG, WebP, BMP, TIFF or GIF"
# What an ICC profile names at bytes 16 to 19 if it is for RGB.
RGB_SPACE = b"RGB "
# In pixels; the format has 14 bits for it.
MAX_WEBP_SIDE = 16383


@dataclass(frozen=True)
class Photo:
    """A photo, with its EXIF rotation applied.

    Attributes:
        path: The file.
        rgb: (H, W, 3) uint8.
        alpha: (H, W) uint8, 0 where transparent; None if the file has no transparency.
        icc_profile: The file's RGB colour profile, which the result gets too; None if it has none.
        orientation: EXIF's, 1 to 8: how the file stores what is shown here upright.
        notes: What was done to it that the user may not expect, in words.
    """

    path: Path
    rgb: Array
    alpha: Array | None
    icc_profile: bytes | None
    orientation: int = 1
    notes: tuple[str, ...] = ()


def read_bytes(path: Path) -> bytes:
    """The bytes of an image file.

    Raises:
        PhotoError: the file is missing, too large, or cannot be read.
    """
    _require_file(path)
    try:
        require_size(path, path.stat().st_size)
        return path.read_bytes()
    except PermissionError as error:
        raise PhotoError(path, "it may not be read", "Check its permissions") from error
    except OSError as error:
        raise PhotoError(path, f"it cannot be read ({error.strerror})", "Copy it again") from error


def require_size(path: Path, size: int) -> None:
    """Refuse a file that is too large to be read as a whole.

    Raises:
        PhotoError: it is larger than MAX_FILE_BYTES.
    """
    if size > MAX_FILE_BYTES:
        raise PhotoError(path, f"it is a file of {size / 2**30:.1f} GiB", "Save it as one picture")


def read_photo(path: Path, data: bytes | None = None) -> Photo:
    """Read an image file of one of FORMATS.

    The EXIF rotation is applied, grey, palette and print images become RGB, and 16-bit values keep their upper 8 bits.

    Args:
        path: The file.
        data: Its bytes, if they were read already.

    Raises:
        PhotoError: the file is missing, not an image or damaged, or its header claims more pixels than Pillow's limit.
    """
    picture = read_picture(path, data)
    image, profile, notes = _convert_colours(picture)
    has_alpha = "A" in image.getbands() or "transparency" in image.info
    pixels = np.asarray(image.convert("RGBA" if has_alpha else "RGB"))
    alpha = pixels[..., 3].copy() if has_alpha else None
    rgb = np.ascontiguousarray(pixels[..., :3])
    return Photo(path, rgb, alpha, profile, picture.orientation, (*picture.notes, *notes))


def _convert_colours(picture: Picture) -> tuple[Image.Image, bytes | None, tuple[str, ...]]:
    """The picture in 8 bits, in RGB if a profile tells what its other colours are; the RGB profile; and notes."""
    from PIL import Image, ImageCms

    image = picture.image
    if image.mode.startswith("I"):  # 16-bit grey; Pillow itself reduces 16-bit colour to 8 bits
        image = Image.fromarray((np.asarray(image).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8))
    profile = picture.image.info.get("icc_profile")
    if not profile or profile[16:20] == RGB_SPACE:
        return image, profile or None, ()
    space = profile[16:20].decode("ascii", "replace").strip()
    if image.mode not in ("CMYK", "L"):
        return image, None, (f"its colour profile, of {space}, does not fit it and was dropped",)
    try:
        source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image, None, (f"its colour profile, of {space}, is damaged and was dropped",)
    assert converted is not None  # it is None only where the image is converted in place
    return converted, None, (f"converted from its colour profile, of {space}, to sRGB",)


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
    """Write a filled photo, with the original's colour profile; see encode_photo.

    Raises:
        PhotoError: the file cannot be written.
    """
    write_whole(path, encode_photo(path.suffix, photo, rgb, hole))


def encode_photo(suffix: str, photo: Photo, rgb: Array, hole: Array, texts: Mapping[str, str] | None = None) -> bytes:
    """The file of a filled photo, with the original's colour profile.

    Args:
        suffix: One of OUTPUT_OPTIONS.
        photo: The original. Its transparency is kept outside the hole; the hole becomes opaque.
        rgb: (H, W, 3) uint8, the filled photo.
        hole: (H, W) bool, True where it was filled.
        texts: What a PNG file says beside the picture, by its keys.
    """
    from PIL import Image

    if photo.alpha is not None:
        rgb = np.dstack([rgb, np.where(hole, 255, photo.alpha).astype(np.uint8)])
    return _encode(suffix, Image.fromarray(rgb), photo.icc_profile, texts)


def write_plane(path: Path, plane: Array) -> None:
    """Write one channel as an 8-bit grey picture.

    Args:
        path: The file to write.
        plane: (H, W) float32 in [0, 1]; 1 becomes 255.

    Raises:
        PhotoError: the file cannot be written.
    """
    from PIL import Image

    write_whole(path, _encode(path.suffix, Image.fromarray(np.rint(plane.clip(0, 1) * 255).astype(np.uint8)), None))


def _encode(
    suffix: str, image: Image.Image, icc_profile: bytes | None, texts: Mapping[str, str] | None = None
) -> bytes:
    from PIL.PngImagePlugin import PngInfo

    options = OUTPUT_OPTIONS[suffix.lower()]
    if texts is not None and options["format"] == "PNG":
        options = {**options, "pnginfo": (info := PngInfo())}
        for key, text in texts.items():
            info.add_text(key, text)
    data = io.BytesIO()
    image.save(data, icc_profile=icc_profile, **options)
    return data.getvalue()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that appears complete or not at all: into a hidden file beside it, which is then renamed.

    Raises:
        PhotoError: it cannot be written.
    """
    partial = path.with_name(f"{PARTIAL_PREFIX}{secrets.token_hex(8)}{PARTIAL_SUFFIX}")
    try:
        with partial.open("xb") as file, _removed_on_failure(partial):
            # The lock ends with its process: so clear_partials knows what a killed one left.
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.write(data)
            file.flush()
            partial.replace(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise PhotoError(path, f"cannot be written ({reason})", "Name another file with -o") from error


@contextlib.contextmanager
def _removed_on_failure(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def clear_partials(folder: Path) -> None:
    """Delete what killed processes left of files that write_whole was writing into a folder."""
    for partial in folder.glob(f"{PARTIAL_PREFIX}*{PARTIAL_SUFFIX}"):
        with contextlib.suppress(OSError), partial.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            partial.unlink()


@dataclass(frozen=True)
class Picture:
    """The first picture of a file, upright, in the file's own mode; its orientation in the file; and notes."""

    image: Image.Image
    orientation: int
    notes: tuple[str, ...]


def _require_file(path: Path) -> None:
    """
    Raises:
        PhotoError: there is no such file.
    """
    if not path.exists():
        raise PhotoError(path, "there is no such file", "Check the path")
    if not path.is_file():
        raise PhotoError(path, "it is a folder, not a file", "Name an image file")


def read_picture(path: Path, data: bytes | None = None) -> Picture:
    """
    Raises:
        PhotoError: see read_photo.
    """
    from PIL import Image, UnidentifiedImageError

    if data is None:
        _require_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd EXIF and the like
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path if data is None else io.BytesIO(data), formats=FORMATS) as image:
                frames = getattr(image, "n_frames", 1)
                image.load()
                orientation = _read_orientation(image)
                upright = turn(image if frames == 1 else image.copy(), orientation)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        limit = Image.MAX_IMAGE_PIXELS or 0
        raise TooLargeImageError(
            path, f"its header claims more than {limit // 10**6} million pixels", "Scale the picture down"
        ) from None
    except UnidentifiedImageError:
        raise NoImageError(path, f"it is no {LISTED} image", "Save it as one of these") from None
    except PermissionError as error:
        raise PhotoError(path, "it may not be read", "Check its permissions") from error
    except (*ODD_EXIF, EOFError) as error:
        raise PhotoError(path, "it is damaged or cut short", "Download or copy it again") from error
    if upright.mode == "F":
        raise PhotoError(path, "its values are floats", "Save it with 8 or 16 bits")
    notes = (f"of its {frames} pictures the first was taken",) if frames > 1 else ()
    return Picture(upright, orientation, notes)


def _read_orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1, upright, where the file states none or an odd one."""
    try:
        stated = image.getexif().get(ORIENTATION, 1)
    except ODD_EXIF:
        return 1
    return stated if isinstance(stated, int) and 1 <= stated <= 8 else 1


def turn(image: Image.Image, orientation: int) -> Image.Image:
    """What a file stores in this orientation, upright."""
    from PIL import Image

    flips = Image.Transpose
    steps = {
        2: flips.FLIP_LEFT_RIGHT,
        3: flips.ROTATE_180,
        4: flips.FLIP_TOP_BOTTOM,
        5: flips.TRANSPOSE,
        6: flips.ROTATE_270,
        7: flips.TRANSVERSE,
        8: flips.ROTATE_90,
    }
    return image.transpose(steps[orientation]) if orientation in steps else image
