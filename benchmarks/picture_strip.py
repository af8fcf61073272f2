"""Picture strips from coffee.png (CC0, see reference/photos/README.md).

    python benchmarks/picture_strip.py BUNDLE

Of an inpainting pipeline, the README's docs/images/picture_strip.png: photo, mask, Canny without its mask argument,
edges, result. Of a net that makes a picture of a photo, photo and picture: docs/images/ARCHITECTURE_strip.png.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from PIL import Image
from skimage.color import rgb2gray
from skimage.feature import canny

from converters.bundle.folder import Bundle, read_bundle
from converters.inpaint import open_pipeline
from converters.runners import OnnxRunner
from converters.tensors import Array

PHOTOS = Path(__file__).parent.parent / "reference" / "photos"
RESULTS = Path(__file__).parent.parent / "docs" / "images"
GAP = 6


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True))
def main(bundle: Path) -> None:
    """Run a bundle on the photo and draw the strip."""
    with Image.open(PHOTOS / "coffee.png") as image:
        photo = np.array(image.convert("RGB"))
    opened = read_bundle(bundle)
    if [spec.name for spec in opened.signature.inputs] == ["image"]:
        name, panels = f"{opened.manifest.architecture}_strip", [photo, redrawn(opened, photo)]
    else:
        name, panels = "picture_strip", inpainted(opened, photo)
    gap = np.full((photo.shape[0], GAP, 3), 255, np.uint8)
    strip = np.hstack([part for panel in panels for part in (panel, gap)][:-1])
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.png"
    Image.fromarray(strip).save(path, optimize=True)
    print(path)


def redrawn(bundle: Bundle, photo: Array) -> Array:
    """What the bundle's ONNX file makes of the photo, both (H, W, 3) uint8."""
    (file,) = bundle.folder.glob("*.onnx")
    with OnnxRunner(file) as runner:
        planes = photo.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
        result = runner.run({"image": planes})["result"][0]
    levels: Array = np.rint(255 * np.clip(result, 0, 1)).astype(np.uint8)
    return levels.transpose(1, 2, 0)


def inpainted(bundle: Bundle, photo: Array) -> list[Array]:
    """Photo, photo with a hole, edges that Canny finds there, edges as completed, result: (H, W, 3) uint8 each."""
    with Image.open(PHOTOS / "coffee-mask.png") as marks:
        mask = np.array(marks.convert("L"))
    edits = np.zeros(mask.shape, np.int8)
    with open_pipeline(bundle) as runner:
        results = runner.run({"photo": photo[None], "mask": mask[None], "edge_edits": edits[None]})
    hole = mask > 0
    with_hole = np.where(hole[..., None], 255, photo).astype(np.uint8)
    withheld = canny(rgb2gray(with_hole), sigma=2)
    return [photo, with_hole, drawn(withheld), drawn(results["edges"][0, 0]), results["result"][0]]


def drawn(edges: Array) -> Array:
    """Edges in [0, 1] as black lines on white, (H, W, 3) uint8."""
    return np.repeat(np.rint(255 * (1 - edges.astype(np.float32)))[..., None], 3, axis=2).astype(np.uint8)


if __name__ == "__main__":
    main()
