"""Convert a checkpoint, then run the ONNX file with onnxruntime and numpy alone.

    python examples/checkpoint_to_onnx.py InpaintingModel_gen.pth out

Without arguments it takes the small net that ships. The second half needs neither torch nor ganport: copy it into a
program of your own.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime

import ganport

SHIPPED = Path(__file__).parent.parent / "reference" / "weights" / "InpaintingModel_gen.pth"


def convert(checkpoint: Path, out: Path) -> Path:
    """The ONNX file that was made of the checkpoint; every number in it was proven before this returns."""
    (bundle,) = ganport.convert(checkpoint, to="onnx", out=out, overwrite=True)
    return bundle.folder / f"{bundle.name}.onnx"


def fill_gray_photo(file: Path) -> None:
    """Fill a hole in a gray picture: float32 (N, C, H, W) in [0, 1], H and W multiples of 4; mask 1 is the hole."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    image = np.full((1, 3, 64, 96), 0.5, np.float32)
    edges = np.zeros((1, 1, 64, 96), np.float32)
    mask = np.zeros((1, 1, 64, 96), np.float32)
    mask[:, :, 20:40, 30:60] = 1
    (result,) = session.run(["result"], {"image": image, "edges": edges, "mask": mask})
    known = np.broadcast_to(mask == 0, image.shape)
    print(f"{file.name}: {result.shape}, known pixels kept: {bool((result[known] == image[known]).all())}")


if __name__ == "__main__":
    arguments = [Path(argument) for argument in sys.argv[1:]]
    checkpoint, out = arguments if len(arguments) == 2 else (SHIPPED, Path("artifacts"))
    fill_gray_photo(convert(checkpoint, out))
