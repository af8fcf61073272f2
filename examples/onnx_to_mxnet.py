"""Convert any ONNX file to MXNet, then run the MXNet pair without ganport and compare it with ONNX Runtime.

    python examples/onnx_to_mxnet.py net.onnx out

If MXNet cannot express the file, one line names the node and the reason.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime

import ganport

# What mxnet 1.9.1 reads and numpy dropped.
for old_name, kind in {"bool": bool, "int": int, "float": float, "object": object, "str": str}.items():
    setattr(np, old_name, kind)
np.complex = complex


def run_mxnet(folder: Path, name: str, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Run NAME-symbol.json with its params on the CPU."""
    import mxnet

    symbol, arguments, auxiliary = mxnet.model.load_checkpoint(str(folder / name), 0)
    arrays = {key: mxnet.nd.array(value, dtype=value.dtype) for key, value in feeds.items()}
    executor = symbol.bind(mxnet.cpu(), {**arguments, **arrays}, aux_states=auxiliary)
    return [output.asnumpy() for output in executor.forward(is_train=False)]


def main(source: Path, out: Path) -> None:
    try:
        (bundle,) = ganport.convert(source, to="mxnet", out=out, overwrite=True)
    except ganport.GanportError as error:
        sys.exit(str(error))
    feeds, _ = bundle.golden()
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    # The bundle gives inputs plain names, in the file's order.
    own_names = {given.name: feeds[spec.name] for given, spec in zip(session.get_inputs(), bundle.inputs, strict=True)}
    for spec, expected, actual in zip(
        bundle.outputs, session.run(None, own_names), run_mxnet(bundle.folder, bundle.name, feeds), strict=True
    ):
        print(f"{spec.name}: {actual.shape}, largest difference {abs(actual - expected).max():.1e}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
