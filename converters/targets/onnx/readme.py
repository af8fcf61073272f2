"""The section of a bundle's README on the ONNX file."""

from __future__ import annotations

from converters.files import GOLDEN
from converters.text import format_literal


def format_readme(file: str) -> str:
    """How to run the golden case in ONNX Runtime.

    Args:
        file: The ONNX file's name in the bundle.
    """
    return f"""## Run the ONNX file

Needs `onnxruntime` and `numpy`.

```python
import numpy as np
import onnxruntime as ort

session = ort.InferenceSession({format_literal(file)}, providers=["CPUExecutionProvider"])
feeds = {{i.name: np.load(f"{GOLDEN}/input_{{i.name}}.npy") for i in session.get_inputs()}}
names = [o.name for o in session.get_outputs()]
for name, array in zip(names, session.run(names, feeds)):
    expected = np.load(f"{GOLDEN}/output_{{name}}.npy").astype(float)
    print(name, array.shape, np.abs(array - expected).max(initial=0))
```
"""
