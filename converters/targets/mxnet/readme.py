"""The section of a bundle's README on the MXNet pair."""

from __future__ import annotations

import json

from converters.files import GOLDEN
from converters.targets.mxnet.runtime import WITHOUT_BOOL
from converters.tensors import Signature
from converters.text import format_literal


def format_readme(name: str, signature: Signature) -> str:
    """How to run the golden case in MXNet.

    Args:
        name: The prefix of the pair's file names.
        signature: The model's inputs and outputs.
    """
    dtypes = {spec.name: WITHOUT_BOOL.get(spec.dtype, spec.dtype) for spec in signature.inputs}
    return f"""## Run the MXNet pair

Needs `mxnet` 1.9.1 and `numpy` below 2. On Python 3.10 and later the package wants names back that numpy dropped.

```python
import numpy as np

for name, kind in dict(bool=bool, int=int, float=float, object=object, complex=complex, str=str).items():
    setattr(np, name, kind)
import mxnet as mx

symbol, arg_params, aux_params = mx.model.load_checkpoint({format_literal(name)}, 0)
dtypes = {json.dumps(dtypes)}
arrays = {{name: np.atleast_1d(np.load(f"{GOLDEN}/input_{{name}}.npy")) for name in dtypes}}
feeds = {{name: mx.nd.array(array, dtype=dtypes[name]) for name, array in arrays.items()}}
executor = symbol.bind(mx.cpu(), {{**arg_params, **feeds}}, aux_states=aux_params)
for name, result in zip({json.dumps([spec.name for spec in signature.outputs])}, executor.forward(is_train=False)):
    expected = np.load(f"{GOLDEN}/output_{{name}}.npy").astype(float)
    print(name, result.shape, np.abs(result.asnumpy() - expected).max(initial=0))
```
"""
