"""The MXNet pair as MXNet itself reads it, and how our runner fails on files that are no pair."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from converters.convert import Conversion
from converters.errors import BundleError, FeedError
from converters.onnx_graph.serialize import serialize
from converters.targets.mxnet.runtime import MxnetRunner, load_mxnet
from converters.targets.mxnet.symbol import serialize_params
from converters.targets.mxnet.target import MxnetTarget
from converters.targets.mxnet.write import convert_to_mxnet
from converters.targets.profile import DEFAULT_PROFILE
from converters.targets.target import TargetInput
from converters.tensors import Signature, TensorSpec
from parity_tests.support.mxnet_op_cases import OpCase, build_model, floats, number
from parity_tests.support.waist import Waist

# mx.nd.array looks at SciPy's old names.
pytestmark = pytest.mark.filterwarnings("ignore:Please import `csr_matrix`:DeprecationWarning")

NETS = ("edge", "inpaint")
# Against the untouched torch module in float32, on values up to 1: 2.5e-6 was measured.
TORCH_ERROR = 1e-5
SIZES = ((1, 12, 12), (1, 64, 96), (2, 96, 64))
ARRAYS = {
    "kernel": floats(5, 4, 3, 2),
    "one number": floats(1),
    "per channel": floats(4, 1, 1),
    "volume": floats(1, 2, 3, 4, 5),
    "transposed in memory": floats(3, 4).T,
    **{name: floats(3, 4).astype(name) for name in ("float64", "float16", "uint8", "int32", "int8", "int64")},
}


@pytest.fixture(scope="module")
def mx() -> Any:
    return load_mxnet()


def pair(conversion: Conversion) -> tuple[Path, Path]:
    folder, name = conversion.bundle.folder, conversion.bundle.manifest.name
    return folder / f"{name}-symbol.json", folder / f"{name}-0000.params"


def open_pair(conversion: Conversion) -> MxnetRunner:
    return MxnetRunner(*pair(conversion), conversion.bundle.signature.inputs, conversion.bundle.signature.outputs)


def make_feeds(waist: Waist, n: int, height: int, width: int) -> dict[str, NDArray[np.float32]]:
    """A photo of noise, edges and a hole, no two items of the batch alike."""
    random = np.random.default_rng(height)
    photo = random.random((n, 3, height, width), np.float32)
    edges = (random.random((n, 1, height, width)) > 0.8).astype(np.float32)
    mask = np.zeros((n, 1, height, width), np.float32)
    mask[:, :, height // 4 : height // 2, width // 3 :] = 1
    return dict(waist.model.make_feeds(photo, edges, mask))


def test_params_are_what_mxnet_loads(mx: Any, tmp_path: Path) -> None:
    (tmp_path / "m.params").write_bytes(serialize_params(ARRAYS))
    loaded = mx.nd.load(str(tmp_path / "m.params"))
    assert list(loaded) == [f"arg:{name}" for name in ARRAYS]
    for name, array in ARRAYS.items():
        assert loaded[f"arg:{name}"].context == mx.cpu(0)
        np.testing.assert_array_equal(loaded[f"arg:{name}"].asnumpy(), array, strict=True)


def test_params_are_byte_for_byte_what_mxnet_saves(mx: Any, tmp_path: Path) -> None:
    mx.nd.save(
        str(tmp_path / "m.params"),
        {f"arg:{name}": mx.nd.array(array, dtype=array.dtype) for name, array in ARRAYS.items()},
    )
    assert (tmp_path / "m.params").read_bytes() == serialize_params(ARRAYS)


@pytest.mark.parametrize("array", [number(1), floats(0, 3), floats(2).astype(np.uint16)])
def test_array_that_mxnet_would_misread_is_never_written(array: NDArray[Any]) -> None:
    with pytest.raises(AssertionError):
        serialize_params({"odd": array})


@pytest.mark.parametrize("net", NETS)
def test_symbol_is_what_mxnet_would_save_itself(net: str, conversions: Mapping[str, Conversion], mx: Any) -> None:
    symbol = mx.sym.load(str(pair(conversions[net])[0]))
    ours, theirs = json.loads(pair(conversions[net])[0].read_text()), json.loads(symbol.tojson())
    assert ours["attrs"] == theirs["attrs"]
    assert {node["name"] for node in ours["nodes"]} == {node["name"] for node in theirs["nodes"]}
    described = {node["name"]: (node["op"], node.get("attrs", {})) for node in theirs["nodes"]}
    for node in ours["nodes"]:
        op, attrs = described[node["name"]]
        assert (node["op"], node.get("attrs", {})) == (op, attrs)


@pytest.mark.parametrize("net", NETS)
def test_load_checkpoint_gives_every_argument_but_the_inputs(
    net: str, conversions: Mapping[str, Conversion], mx: Any
) -> None:
    bundle = conversions[net].bundle
    name = bundle.manifest.name
    symbol, arg_params, aux_params = mx.model.load_checkpoint(str(bundle.folder / name), 0)
    inputs = {spec.name for spec in bundle.signature.inputs}
    assert aux_params == {}
    assert set(symbol.list_arguments()) == arg_params.keys() | inputs
    assert not arg_params.keys() & inputs
    assert symbol.list_outputs() == [f"{spec.name}_output" for spec in bundle.signature.outputs]


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize(("n", "height", "width"), SIZES)
def test_one_pair_runs_at_any_size(
    net: str, n: int, height: int, width: int, conversions: Mapping[str, Conversion], waists: Mapping[str, Waist]
) -> None:
    import torch

    feeds = make_feeds(waists[net], n, height, width)
    with torch.inference_mode():
        model = waists[net].model
        expected = model.module(*(torch.from_numpy(feeds[spec.name]) for spec in model.inputs)).numpy()
    with open_pair(conversions[net]) as runner:
        (actual,) = runner.run(feeds).values()
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= TORCH_ERROR


@pytest.mark.parametrize("net", NETS)
def test_batch_of_two_equals_two_batches_of_one_bit_for_bit(
    net: str, conversions: Mapping[str, Conversion], waists: Mapping[str, Waist]
) -> None:
    feeds = make_feeds(waists[net], 2, 64, 96)
    with open_pair(conversions[net]) as runner:
        (both,) = runner.run(feeds).values()
        for i in range(2):
            (alone,) = runner.run({name: array[i : i + 1] for name, array in feeds.items()}).values()
            np.testing.assert_array_equal(alone[0], both[i])
    assert (both[0] != both[1]).any()


def test_environment_without_mxnet_writes_the_same_bytes(waists: Mapping[str, Waist], tmp_path: Path) -> None:
    (tmp_path / "waist.onnx").write_bytes(serialize(waists["edge"].graph))
    script = """
import sys
from pathlib import Path
sys.modules["mxnet"] = None  # importing it raises ImportError
import onnx
from converters.targets.mxnet.target import MxnetTarget
from converters.targets.target import TargetInput
from converters.targets.profile import DEFAULT_PROFILE
from converters.tensors import Signature
folder = Path(sys.argv[1])
waist = onnx.load(folder / "waist.onnx")
MxnetTarget().write(TargetInput("m", waist, Signature((), ()), {}, DEFAULT_PROFILE), folder)
print(MxnetTarget().missing_verifier())
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("written, numbers not checked: it is not installed")
    files = convert_to_mxnet(waists["edge"].graph)
    assert (tmp_path / "m-symbol.json").read_text() == files.symbol_json
    assert (tmp_path / "m-0000.params").read_bytes() == files.params


def test_loading_mxnet_leaves_torchs_threads_alone() -> None:
    script = """
import os
os.environ.pop("OMP_NUM_THREADS", None)
import torch
before = torch.get_num_threads()
from converters.targets.mxnet.runtime import load_mxnet
load_mxnet()
print(before, torch.get_num_threads())
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    before, after = done.stdout.split()
    assert before == after


def write_relu(folder: Path) -> tuple[Path, Path]:
    source = TargetInput(
        "relu", build_model(OpCase("Relu", "no params", ((1, 2, 3, 4),))), Signature((), ()), {}, DEFAULT_PROFILE
    )
    symbol, params = MxnetTarget().write(source, folder).files
    return folder / symbol, folder / params


def test_net_without_params_runs(tmp_path: Path) -> None:
    spec = (TensorSpec("in0", ("N", 2, "H", "W")),)
    with MxnetRunner(*write_relu(tmp_path), spec, (TensorSpec("out0", ("N", 2, "H", "W")),)) as runner:
        x = floats(1, 2, 3, 4)
        np.testing.assert_array_equal(runner.run({"in0": x})["out0"], np.maximum(x, 0))


def test_size_outside_the_contract_is_our_own_error(conversions: Mapping[str, Conversion]) -> None:
    inputs = conversions["edge"].bundle.signature.inputs
    with open_pair(conversions["edge"]) as runner, pytest.raises(FeedError, match="Pad it to a multiple of 4"):
        runner.run({spec.name: np.zeros((1, 1, 64, 66), np.float32) for spec in inputs})


@pytest.mark.parametrize("which", [0, 1], ids=["symbol", "params"])
@pytest.mark.parametrize("fault", ["missing", "empty", "cut", "text"])
def test_file_that_mxnet_cannot_read_is_our_own_error(
    which: int, fault: str, conversions: Mapping[str, Conversion], tmp_path: Path
) -> None:
    bundle = conversions["edge"].bundle
    copies = [Path(shutil.copy(path, tmp_path)) for path in pair(conversions["edge"])]
    whole = copies[which].read_bytes()
    if fault == "missing":
        copies[which].unlink()
    else:
        copies[which].write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "text": b"hello\n"}[fault])
    with pytest.raises(BundleError, match="MXNet does not load it") as caught:
        MxnetRunner(*copies, bundle.signature.inputs, bundle.signature.outputs)
    assert caught.value.where == str(copies[which])
    assert len(str(caught.value).splitlines()) == 1


def test_params_without_names_are_our_own_error(conversions: Mapping[str, Conversion], mx: Any, tmp_path: Path) -> None:
    symbol, _ = pair(conversions["edge"])
    mx.nd.save(str(tmp_path / "m.params"), [mx.nd.array(floats(2))])
    with pytest.raises(BundleError, match="its arrays have no names"):
        MxnetRunner(symbol, tmp_path / "m.params", (), ())


def test_params_of_another_net_are_our_own_error(
    conversions: Mapping[str, Conversion], waists: Mapping[str, Waist], tmp_path: Path
) -> None:
    bundle, (symbol, _) = conversions["edge"].bundle, pair(conversions["edge"])
    for params in (pair(conversions["inpaint"])[1], write_relu(tmp_path)[1]):
        with (
            MxnetRunner(symbol, params, bundle.signature.inputs, bundle.signature.outputs) as runner,
            pytest.raises(BundleError, match="its params do not fit it") as caught,
        ):
            runner.run(make_feeds(waists["edge"], 1, 64, 64))
        assert caught.value.where == str(symbol)
