"""The parity inputs of checkpoints: photos, edges and masks; named, seeded, hashed, and the same for every model."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from converters.errors import PhotoError
from converters.photos.image_files import read_photo
from converters.photos.marks import read_mask
from converters.photos.matching import match_names
from converters.tensors import Array, Tensors, TensorSpec, fit_size

SEED = 20190101
PHOTOS = ("astronaut", "chelsea", "coffee")
IMAGES = (*PHOTOS, "constant", "checkerboard", "noise")
MASKS = ("small", "large", "most", "border", "none", "full")
# A net whose sizes must be multiples of this or more halves them at least five times.
DEEP_MULTIPLE = 32
CANNY_SIGMA = 2.0
# (H, W) of the golden case of a net of free sizes, rounded up to a size that it takes.
GOLDEN_SIZE = (64, 96)
PHOTO_FOLDER = Path(str(files("reference"))) / "photos"


@dataclass(frozen=True)
class ParityInput:
    """A batch of photos, their edges and masks.

    Attributes:
        name: Tells the image and the mask of each item, and the size.
        photo: (N, 3, H, W) float32 in [0, 1].
        edges: (N, 1, H, W) float32, 0 or 1: Canny edges of the pixels outside the hole.
        mask: (N, 1, H, W) float32, 0 or 1; 1 is the hole.
    """

    name: str
    photo: Array
    edges: Array
    mask: Array

    @property
    def sha256(self) -> str:
        """Hash of the three arrays' bytes."""
        digest = hashlib.sha256()
        for array in (self.photo, self.edges, self.mask):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


# Makes the parity inputs of a model from the contract of its inputs.
MakeInputs = Callable[[Sequence[TensorSpec]], Iterable[ParityInput]]


def short_inputs(inputs: Sequence[TensorSpec], size: tuple[int, int] | None = None) -> tuple[ParityInput, ...]:
    """The short set, which `convert` runs at every rung.

    Every image and every mask at 96x128 in batches of 2; a photo of 12x12; a photo of 256x256 with a hole of 83 %. A
    deep net (see DEEP_MULTIPLE) also gets a photo, 4 times as large as its multiple, of which only a corner is known.

    Args:
        inputs: Contract of the model's inputs. Sizes that it does not allow are rounded up to sizes that it allows.
        size: (H, W) of a model with static shapes: the same images and masks at that size, in batches of 1.
    """
    if size is not None:
        return tuple(make_input([pair], size) for pair in _pairs(0))
    return (
        *_batches(0, fit_size(inputs, (96, 128))),
        make_input([("astronaut", "border")], fit_size(inputs, (12, 12))),
        make_input([("astronaut", "most")], fit_size(inputs, (256, 256))),
        *_corner(inputs),
    )


def _corner(inputs: Sequence[TensorSpec]) -> list[ParityInput]:
    """For a net that halves its size often and may carry the mask along: a hole that is left at its smallest size."""
    multiple = max(spec.multiple_of for spec in inputs)
    return [make_input([("coffee", "corner")], (4 * multiple, 4 * multiple))] if multiple >= DEEP_MULTIPLE else []


def long_inputs(inputs: Sequence[TensorSpec]) -> tuple[ParityInput, ...]:
    """The long set, of `ganport parity` and the tests: the short set, and more at 96x128 to 512x512."""
    square, oblong = fit_size(inputs, (256, 256)), fit_size(inputs, (320, 480))
    return (
        *short_inputs(inputs),
        *_batches(2, fit_size(inputs, (96, 128))),
        *(make_input([(PHOTOS[i % 3], mask)], square) for i, mask in enumerate(MASKS)),
        make_input([("coffee", "large"), ("chelsea", "most")], square),
        make_input([("coffee", "most")], oblong),
        make_input([("chelsea", "border")], oblong),
        make_input([("astronaut", "most")], fit_size(inputs, (512, 512))),
    )


def _pairs(shift: int) -> list[tuple[str, str]]:
    """Every image with a mask: the one at the image's own place in MASKS plus `shift`, so that each occurs once."""
    return [(image, MASKS[(i + shift) % len(MASKS)]) for i, image in enumerate(IMAGES)]


def _batches(shift: int, size: tuple[int, int]) -> list[ParityInput]:
    pairs = _pairs(shift)
    return [make_input(pairs[i : i + 2], size) for i in range(0, len(pairs), 2)]


def golden_input(inputs: Sequence[TensorSpec], size: tuple[int, int] | None = None) -> ParityInput:
    """The golden case, which is packed with every bundle: one small photo with a large hole."""
    return make_input([("astronaut", "large")], size or fit_size(inputs, GOLDEN_SIZE))


def make_input(pairs: list[tuple[str, str]], size: tuple[int, int]) -> ParityInput:
    """A batch of (image, mask) pairs at (H, W)."""
    photos = [_image(image, size) for image, _ in pairs]
    masks = [make_mask(mask, size) for _, mask in pairs]
    name = " + ".join(f"{image}/{mask}" for image, mask in pairs) + f" {size[0]}x{size[1]}"
    return _stack(name, photos, masks)


def _stack(name: str, photos: list[Array], masks: list[Array]) -> ParityInput:
    edges = [canny_edges(photo, mask) for photo, mask in zip(photos, masks, strict=True)]
    photo = np.ascontiguousarray(np.stack(photos).transpose(0, 3, 1, 2))
    return ParityInput(name, photo, np.stack(edges)[:, None], np.stack(masks)[:, None])


def canny_edges(photo: Array, mask: Array) -> Array:
    """Canny edges of the pixels outside the hole; without the mask, Canny would draw the hole's outline.

    Args:
        photo: (H, W, 3) float32 in [0, 1].
        mask: (H, W) float32, 0 or 1; 1 is the hole.

    Returns:
        (H, W) float32, 0 or 1.
    """
    from skimage.color import rgb2gray
    from skimage.feature import canny

    edges: Array = canny(rgb2gray(photo), sigma=CANNY_SIGMA, mask=mask == 0).astype(np.float32)
    return edges


def _image(name: str, size: tuple[int, int]) -> Array:
    """A photo or a synthetic image by its name in IMAGES: (H, W, 3) float32 in [0, 1]."""
    height, width = size
    if name == "constant":
        return np.full((height, width, 3), 0.5, np.float32)
    if name == "checkerboard":
        rows, columns = np.indices(size) // 8
        return np.repeat(((rows + columns) % 2).astype(np.float32)[:, :, None], 3, axis=2)
    if name == "noise":
        return np.random.default_rng(SEED).random((height, width, 3), np.float32)
    return _photo(name, size)


def _photo(name: str, size: tuple[int, int]) -> Array:
    """The photo scaled to cover (H, W), cut to its centre."""
    from PIL import Image, ImageOps

    with Image.open(PHOTO_FOLDER / f"{name}.png") as image:
        fitted = ImageOps.fit(image.convert("RGB"), (size[1], size[0]), Image.Resampling.BOX)
    return np.asarray(fitted, np.float32) / np.float32(255)


def make_mask(name: str, size: tuple[int, int]) -> Array:
    """A mask by its name: (H, W) float32, 1 in the hole, else 0.

    Args:
        name: "none", "small" (strokes), "large" (40 %), "most" (83 %), "border" (touches two sides), "full", or
            "corner" (only a corner is known, a sixteenth of each side).
        size: (H, W).
    """
    return _MASKS[name](*size).astype(np.float32)


def _strokes(height: int, width: int, count: int) -> Array:
    """Straight strokes between seeded points, as wide as a sixteenth of the short side."""
    rng = np.random.default_rng(SEED)
    rows, columns = np.indices((height, width))
    hole = np.zeros((height, width), bool)
    radius = max(1.0, min(height, width) / 32)
    for y0, x0, y1, x1 in rng.uniform(0.15, 0.85, (count, 4)) * [height, width, height, width]:
        for t in np.linspace(0, 1, max(height, width)):
            near = _reach(y0 + t * (y1 - y0), radius), _reach(x0 + t * (x1 - x0), radius)
            y, x = rows[near] - y0 - t * (y1 - y0), columns[near] - x0 - t * (x1 - x0)
            hole[near] |= y**2 + x**2 <= radius**2
    return hole


def _reach(middle: float, radius: float) -> slice:
    """Where the pixels lie that may be within the radius, a pixel more at either end."""
    return slice(max(0, math.floor(middle - radius) - 1), math.ceil(middle + radius) + 2)


def _box(height: int, width: int, top: float, left: float, bottom: float, right: float) -> Array:
    """A rectangle, its sides in fractions of the plane."""
    hole = np.zeros((height, width), bool)
    hole[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = True
    return hole


_MASKS: dict[str, Callable[[int, int], Array]] = {
    "none": lambda height, width: np.zeros((height, width), bool),
    "small": lambda height, width: _strokes(height, width, 2),
    "large": lambda height, width: _box(height, width, 0.2, 0.2, 0.8, 0.85) | _strokes(height, width, 4),
    "most": lambda height, width: _box(height, width, 0.045, 0.045, 0.955, 0.957),
    "border": lambda height, width: _box(height, width, 0.0, 0.5, 0.6, 1.0) | _box(height, width, 0.8, 0.0, 1.0, 0.2),
    "full": lambda height, width: np.ones((height, width), bool),
    "corner": lambda height, width: ~_box(height, width, 0.0, 0.0, 1 / 16, 1 / 16),
}


def user_inputs(images: Path, masks: Path) -> MakeInputs:
    """Photos and masks of the user's from two folders, matched by the file name without its suffix.

    Each pair is read once to see that it can be, and again when its turn comes: the files of a folder need not fit into
    memory together. The function that is returned looks at all sizes first, then crops each pair, at the bottom and the
    right, to the sizes that the model takes. It raises PhotoError if a photo is too small.

    Raises:
        PhotoError: a folder is missing or empty, a mask is missing, a size differs, or a file is no image.
    """
    pairs = [(Path(photo), Path(mask)) for photo, mask in match_names(images, masks).pairs if mask is not None]
    sizes = {path: _read_pair(path, mask)[1].shape for path, mask in pairs}

    def make_inputs(inputs: Sequence[TensorSpec]) -> Iterator[ParityInput]:
        for path, _ in pairs:
            _find_cut(inputs, path, sizes[path])
        return (_cut(inputs, path, *_read_pair(path, mask)) for path, mask in pairs)

    return make_inputs


def _read_pair(path: Path, mask: Path) -> tuple[Array, Array]:
    """A photo's pixels, (H, W, 3) uint8, and whether each is in the hole, (H, W) bool."""
    photo = read_photo(path)
    return photo.rgb, read_mask(mask, photo).marked


def _find_cut(inputs: Sequence[TensorSpec], path: Path, shape: Sequence[int]) -> list[int]:
    """The largest (H, W) in a photo of this shape that the model takes."""
    smallest = fit_size(inputs, (1, 1))
    multiple = math.lcm(*(spec.multiple_of for spec in inputs))
    height, width = (side // multiple * multiple for side in shape[:2])
    if height < smallest[0] or width < smallest[1]:
        raise PhotoError(
            path,
            f"it is {shape[0]}x{shape[1]}, the model takes {smallest[0]}x{smallest[1]} or more",
            "Give a larger photo",
        )
    return [height, width]


def _cut(inputs: Sequence[TensorSpec], path: Path, rgb: Array, marks: Array) -> ParityInput:
    height, width = _find_cut(inputs, path, rgb.shape)
    photo = rgb[:height, :width].astype(np.float32) / np.float32(255)
    return _stack(f"{path.name} {height}x{width}", [photo], [marks[:height, :width].astype(np.float32)])


def perturb(feeds: Tensors) -> Tensors | None:
    """Inputs that differ from `feeds` by rounding only; None if none of their values can be moved.

    Each float32 value strictly between 0 and 1 moves up by one float32 step, down by one, or stays, at random from a
    fixed seed. Masks and edges, which are 0 or 1, stay.
    """
    random = np.random.default_rng(SEED)
    moved = {}
    for name, array in feeds.items():
        if array.dtype == np.float32:
            inside = (array > 0) & (array < 1)
            towards = random.integers(-1, 2, array.shape).astype(np.float32)
            moved[name] = np.where(inside, np.nextafter(array, array + towards), array)
        else:
            moved[name] = array
    return moved if any((moved[name] != feeds[name]).any() for name in feeds) else None
