"""What `ganport consumers web` puts beside its page: a bundle's ONNX file, and a photo to begin with."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from converters.bundle.checksums import MANIFEST, verify_hashes
from converters.bundle.folder import read_bundle
from converters.errors import BundleError
from converters.inpaint import shipped_pipeline

# ONNX Runtime's build for graphics cards holds no float64, and refuses a file with it.
GPU_PRECISION = "float32"


def read_page_files(bundle: Path | None) -> tuple[Path, tuple[str, ...], Path, bool]:
    """The bundle's folder, the names of its files that the page needs, the photo, and whether it is for graphics cards.

    For those, the golden case is among the files: the page tries the graphics card on it first.

    Args:
        bundle: The bundle; None for the pipeline of the pair that ships.

    Raises:
        BundleError: it is damaged, or holds no ONNX file.
    """
    read = read_bundle(bundle) if bundle else shipped_pipeline()
    verify_hashes(read.folder)
    artifact = read.manifest.find_artifact("onnx")
    if artifact is None:
        raise BundleError(read.folder, "it holds no ONNX file, which is what browsers run", "Convert with --to onnx")
    for_gpu = artifact.precision == GPU_PRECISION
    names = (MANIFEST, *artifact.files, *(read.golden_files if for_gpu else ()))
    return read.folder, names, Path(str(files("reference"))) / "photos" / "chelsea.png", for_gpu
