"""The README's picture strip: photo, mask, Canny without its mask argument, edges, result.

    python benchmarks/picture_strip.py BUNDLE

From coffee.png (CC0, see reference/photos/README.md). Writes results/picture_strip.png.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from PIL import Image
from skimage.color import rgb2gray
from skimage.feature import canny

from converters.bundle import read_bundle
from converters.inpaint import open_pipeline

PHOTOS = Path(__file__).parent.parent / "reference" / "photos"
STRIP = Path(__file__).parent / "results" / "picture_strip.png"
GAP = 6


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True))
def main(bundle: Path) -> None:
    """Fill the photo's hole with a pipeline bundle and draw the strip."""
    with Image.open(PHOTOS / "coffee.png") as image, Image.open(PHOTOS / "coffee-mask.png") as marks:
        photo, mask = np.array(image.convert("RGB")), np.array(marks.convert("L"))
    edits = np.zeros(mask.shape, np.int8)
    with open_pipeline(read_bundle(bundle)) as runner:
        results = runner.run({"photo": photo[None], "mask": mask[None], "edge_edits": edits[None]})
    hole = mask > 0
    with_hole = np.where(hole[..., None], 255, photo).astype(np.uint8)
    withheld = canny(rgb2gray(with_hole), sigma=2)
    panels = [photo, with_hole, drawn(withheld), drawn(results["edges"][0, 0]), results["result"][0]]
    gap = np.full((photo.shape[0], GAP, 3), 255, np.uint8)
    strip = np.hstack([part for panel in panels for part in (panel, gap)][:-1])
    STRIP.parent.mkdir(exist_ok=True)
    Image.fromarray(strip).save(STRIP, optimize=True)
    print(STRIP)


def drawn(edges: np.ndarray) -> np.ndarray:
    """Edges in [0, 1] as black lines on white, (H, W, 3) uint8."""
    return np.repeat(np.rint(255 * (1 - edges.astype(np.float32)))[..., None], 3, axis=2).astype(np.uint8)


if __name__ == "__main__":
    main()
