"""The packages that checkpoints need and ONNX files, bundles and photos do not: the extra `torch` in pyproject.toml."""

from __future__ import annotations

from importlib.util import find_spec

from converters.errors import MissingPackageError

# By the name that is imported. onnxscript is what torch exports to ONNX with; scikit-image finds the edges that
# EdgeConnect's nets are judged on.
PACKAGES = {"torch": "torch", "onnxscript": "onnxscript", "safetensors": "safetensors", "skimage": "scikit-image"}
# "+cpu" names a build without CUDA, which takes a fifth of the space; docs/install.md has the sizes.
INSTALL_FOR_CPU = "pip install 'torch==2.13.0+cpu' 'ganport[torch]'"


def require_torch(where: object) -> None:
    """Refuse what needs torch where a package of the extra is missing; none of them is imported.

    Args:
        where: What needs it, for the message.

    Raises:
        MissingPackageError: a package is missing.
    """
    missing = [package for module, package in PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise MissingPackageError(
            where,
            f"a PyTorch net needs {', '.join(missing)}, not installed here",
            f"Install the extra 'torch', on Linux for the CPU alone with: {INSTALL_FOR_CPU}",
        )
