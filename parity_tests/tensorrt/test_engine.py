"""TensorRT-RTX's real builder, on a machine with or without a GPU: what is built, what is refused, what is claimed."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from onnx import ModelProto, TensorProto, helper
from torch import nn

from converters.convert import Conversion
from converters.errors import ConversionError, MissingPackageError, UnrunnableError
from converters.sources import torch_source
from converters.targets.profile import Profile, make_profile
from converters.targets.tensorrt import build as to_tensorrt
from converters.targets.tensorrt.build import build_engine
from converters.targets.tensorrt.runtime import TensorrtRunner, has_gpu, load_tensorrt
from converters.targets.tensorrt.target import TensorrtTarget
from parity_tests.support.command import list_tree, run_ganport
from parity_tests.support.mxnet_op_cases import IR_VERSION, OPSET
from parity_tests.support.waist import Waist

NETS = ("edge", "inpaint")
UNCHECKED = "built, numbers not checked: no GPU"
needs_no_gpu = pytest.mark.skipif(has_gpu(), reason="what is said without a GPU, and here is one")


def engine_of(conversion: Conversion) -> Path:
    return conversion.bundle.folder / f"{conversion.bundle.manifest.name}.engine"


def describe(conversion: Conversion) -> Any:
    (artifact,) = (entry for entry in conversion.bundle.manifest.artifacts if entry.target == "trt")
    return artifact


@pytest.mark.parametrize("net", NETS)
def test_engine_holds_every_layer_of_the_checkpoint(
    net: str, conversions: Mapping[str, Conversion], waists: Mapping[str, Waist]
) -> None:
    """Counted in the torch module, which knows nothing of ONNX or TensorRT."""
    module = waists[net].model.module
    layers = Counter(type(layer) for layer in module.modules())
    compared = describe(conversions[net]).details["compared_with_the_graph"]
    assert compared["Conv"] == layers[nn.Conv2d] > 0
    assert compared["ConvTranspose"] == layers[nn.ConvTranspose2d] > 0
    assert compared["InstanceNormalization"] == layers[nn.InstanceNorm2d] > 0
    assert compared["Pad"] == layers[nn.ReflectionPad2d] > 0
    weights = sum(parameter.nbytes for parameter in waists[net].folded.parameters())
    assert engine_of(conversions[net]).stat().st_size > weights


@needs_no_gpu
@pytest.mark.parametrize("net", NETS)
def test_engine_is_whole_and_lacks_nothing_but_a_gpu(
    net: str, conversions: Mapping[str, Conversion], tmp_path: Path
) -> None:
    bundle = conversions[net].bundle
    with pytest.raises(UnrunnableError, match=r"this machine, without a GPU, does not load it \(.*Cuda Runtime"):
        TensorrtRunner(engine_of(conversions[net]), bundle.signature.inputs, bundle.signature.outputs)
    cut = tmp_path / "cut.engine"
    cut.write_bytes(engine_of(conversions[net]).read_bytes()[:-1])
    with pytest.raises(UnrunnableError, match=r"does not load it \(.*Serialization"):
        TensorrtRunner(cut, bundle.signature.inputs, bundle.signature.outputs)


class SpiedTensorrt:
    """The package itself, but for a builder that keeps its configuration and profile to be looked at."""

    def __init__(self) -> None:
        self.real = real = load_tensorrt()
        self.configs: list[Any] = []
        self.profiles: list[Any] = []
        spy = self

        class Builder(real.Builder):
            def create_builder_config(self) -> Any:
                spy.configs.append(super().create_builder_config())
                return spy.configs[-1]

            def create_optimization_profile(self) -> Any:
                spy.profiles.append(super().create_optimization_profile())
                return spy.profiles[-1]

        self.Builder = Builder

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


@pytest.fixture
def spied(monkeypatch: pytest.MonkeyPatch) -> SpiedTensorrt:
    trt = SpiedTensorrt()
    monkeypatch.setattr(to_tensorrt, "load_tensorrt", lambda: trt)
    return trt


def test_profile_reaches_the_builder_and_tf32_is_off(spied: SpiedTensorrt, waists: Mapping[str, Waist]) -> None:
    profile = Profile((32, 48), (96, 160), (128, 256), (1, 2, 3))
    build = build_engine(waists["inpaint"].graph, profile)
    assert build.profile == {"minimum": [1, 32, 48], "optimum": [2, 96, 160], "maximum": [3, 128, 256]}
    ((config,), (shapes,)) = spied.configs, spied.profiles
    assert not config.get_flag(spied.BuilderFlag.TF32)
    assert config.num_optimization_profiles == 1
    for name, channels in (("image", 3), ("edges", 1), ("mask", 1)):
        limits = [tuple(limit) for limit in shapes.get_shape(name)]
        assert limits == [(1, channels, 32, 48), (2, channels, 96, 160), (3, channels, 128, 256)]


def test_static_graph_is_built_without_a_profile(spied: SpiedTensorrt) -> None:
    build = build_engine(make_model("Relu"), Profile())
    assert build.profile is None
    assert spied.profiles == []
    assert spied.configs[0].num_optimization_profiles == 0


def test_builder_that_builds_nothing_is_our_own_error(
    spied: SpiedTensorrt, waists: Mapping[str, Waist], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forget_profile(builder: Any, network: Any, profile: Profile) -> Any:
        return builder.create_optimization_profile()

    monkeypatch.setattr(to_tensorrt, "_make_optimization_profile", forget_profile)
    with pytest.raises(ConversionError, match=r"TensorRT's builder: it built nothing \(.*Error Code"):
        build_engine(waists["edge"].graph, Profile())


def test_builder_that_does_not_start_is_a_missing_package(
    spied: SpiedTensorrt, waists: Mapping[str, Waist], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(log: Any) -> Any:
        log.log(spied.ILogger.ERROR, "CUDA initialization failure")
        raise TypeError("factory function returned nullptr")  # what the bindings raise

    monkeypatch.setattr(spied, "Builder", refuse)
    with pytest.raises(MissingPackageError, match=r"does not start \(CUDA initialization failure\)") as caught:
        build_engine(waists["edge"].graph, Profile())
    assert caught.value.exit_code == 4


def make_model(op: str, domain: str = "") -> ModelProto:
    shape = (1, 3, 64, 64)
    graph = helper.make_graph(
        [helper.make_node(op, ["x"], ["y"], name="odd_one", domain=domain)],
        "one node",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.example", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


@pytest.mark.parametrize(("op", "domain"), [("Mystery", "com.example"), ("Det", "")])
def test_node_that_the_parser_refuses_is_named(op: str, domain: str) -> None:
    with pytest.raises(ConversionError, match="TensorRT's parser refuses it") as caught:
        build_engine(make_model(op, domain), Profile())
    assert caught.value.where == f"node 'odd_one' ({op})"
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("sizes", "met"),
    [
        (
            ((300, 64), (256, 256), (1024, 1024)),
            "H is 300 for the smallest, 256 for the tuned and 1024 for the largest size",
        ),
        (
            ((64, 64), (256, 1028), (1024, 1024)),
            "W is 64 for the smallest, 1028 for the tuned and 1024 for the largest size",
        ),
        (
            ((0, 64), (256, 256), (1024, 1024)),
            "H is 0 for the smallest, 256 for the tuned and 1024 for the largest size",
        ),
        (
            ((64, 64), (256, 256), (1024, 1024), (2, 1, 4)),
            "N is 2 for the smallest, 1 for the tuned and 4 for the largest size",
        ),
    ],
)
def test_profile_out_of_order_is_refused(sizes: Any, met: str) -> None:
    with pytest.raises(ConversionError) as caught:
        Profile(*sizes)
    assert caught.value.met == met


def test_command_refuses_a_profile_out_of_order_and_writes_nothing(
    checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    result = run_ganport("convert", checkpoints["edge"], "--to", "trt", "-o", tmp_path / "out", "--trt-min", "64x2048")
    assert result.exit_code == 2
    assert "W is 2048 for the smallest, 2048 for the tuned and 1024 for the largest size" in result.stderr
    assert "Give them in rising order (--trt-min, --trt-opt, --trt-max)." in result.stderr
    assert list_tree(tmp_path) == {}


def test_tuned_size_that_is_left_open_lies_between_the_two_others() -> None:
    assert make_profile(None, None, (128, 512)) == Profile((64, 64), (128, 256), (128, 512))
    assert make_profile((300, 64), None, None) == Profile((300, 64), (300, 256), (1024, 1024))


def test_command_builds_for_the_profile_it_is_given(
    checkpoints: Mapping[str, Path], waists: Mapping[str, Waist], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_source, "export_onnx", lambda *args: copy.deepcopy(waists["edge"].exported))
    sizes = ("--trt-min", "32x48", "--trt-opt", "64x96", "--trt-max", "128x160")
    result = run_ganport("convert", checkpoints["edge"], "--to", "trt", "-o", tmp_path, "--name", "e", *sizes)
    assert result.exit_code == 0
    manifest = json.loads((tmp_path / "e" / "manifest.json").read_text())
    (artifact,) = manifest["artifacts"]
    assert artifact["details"]["profile"] == {"minimum": [1, 32, 48], "optimum": [1, 64, 96], "maximum": [4, 128, 160]}
    if not has_gpu():
        (row,) = (line for line in result.stdout.splitlines() if line.startswith("e "))
        assert UNCHECKED in row


@needs_no_gpu
@pytest.mark.parametrize("net", NETS)
def test_bundle_says_that_numbers_were_not_checked(net: str, conversions: Mapping[str, Conversion]) -> None:
    bundle = conversions[net].bundle
    assert bundle.manifest.not_verified["trt"] == UNCHECKED
    assert describe(conversions[net]).verified is False
    assert describe(conversions[net]).parity is None
    assert f"| trt | {UNCHECKED} |" in (bundle.folder / "README.md").read_text()
    assert UNCHECKED in (bundle.folder / "parity.md").read_text()


@needs_no_gpu
def test_formats_says_that_there_is_no_gpu() -> None:
    assert TensorrtTarget().missing_builder() is None
    assert UNCHECKED in run_ganport("formats").stdout


def test_without_tensorrt_the_command_exits_with_4_and_writes_nothing(
    checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    script = """
import sys
for name in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"):
    sys.modules[name] = None  # importing it raises ImportError
import cli
cli.main(sys.argv[1:])
"""
    command = [sys.executable, "-c", script, "convert", checkpoints["edge"], "--to", "onnx,trt", "-o", tmp_path / "out"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 4
    assert "ganport: --to trt: neither tensorrt-rtx, nor tensorrt beside a GPU, is installed." in done.stderr
    assert "the extra 'tensorrt'" in done.stderr
    assert "Traceback" not in done.stderr
    assert list_tree(tmp_path) == {}
