"""The ONNX file: what it is made of, and that one file serves every size and batch."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto

from converters.convert import Conversion, Settings, convert
from converters.errors import ExportError, FeedError
from converters.parity.compare import require_passed
from converters.parity.expected import ReferenceOutputs
from converters.parity.inputs import ParityInput, make_input
from converters.prove import prove
from converters.runners import OnnxRunner, Runner
from converters.sources import export_torch
from converters.sources.export_torch import fix_size
from converters.sources.torch_source import run_reference
from converters.targets.registry import TARGETS
from parity_tests.support.waist import Waist

NEWEST_IR = 9
RUNTIMES = ("onnx", "mxnet")
SIZES = ((12, 12), (64, 96), (320, 480), (512, 512))
CONTRACTS = {
    "edge": ({"gray": 1, "edges": 1, "mask": 1}, {"edges_out": 1}),
    "inpaint": ({"image": 3, "edges": 1, "mask": 1}, {"result": 3}),
}
NETS = pytest.mark.parametrize("net", CONTRACTS)
FILES = pytest.mark.parametrize("target", RUNTIMES)


def load_shipped(conversion: Conversion) -> ModelProto:
    """The file without what may lie beside it: weights kept elsewhere would stay unread."""
    (path,) = conversion.bundle.folder.glob("*.onnx")
    return onnx.load(path, load_external_data=False)


def open_target(conversion: Conversion, name: str) -> Runner:
    bundle = conversion.bundle
    (artifact,) = (artifact for artifact in conversion.bundle.manifest.artifacts if artifact.target == name)
    return TARGETS[name].open([bundle.folder / file for file in artifact.files], bundle.signature)


def shapes(values: object) -> dict[str, list[int | str]]:
    return {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in values
    }


@NETS
def test_file_is_of_opset_18_and_an_ir_that_goes_with_it(net: str, conversions: Mapping[str, Conversion]) -> None:
    model = load_shipped(conversions[net])
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert model.ir_version <= NEWEST_IR
    assert not model.functions


@NETS
def test_file_passes_the_full_checker_and_strict_inference(net: str, conversions: Mapping[str, Conversion]) -> None:
    model = load_shipped(conversions[net])
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    assert len(inferred.graph.value_info) == len(model.graph.node) - len(model.graph.output)


@NETS
def test_weights_are_inside_the_one_file(net: str, conversions: Mapping[str, Conversion]) -> None:
    model = load_shipped(conversions[net])
    assert len(model.graph.initializer) > 16
    for tensor in model.graph.initializer:
        assert tensor.data_location == TensorProto.DEFAULT
        assert not tensor.external_data


@NETS
def test_batch_height_and_width_are_free(net: str, conversions: Mapping[str, Conversion]) -> None:
    model = load_shipped(conversions[net])
    inputs, outputs = CONTRACTS[net]
    for values, channels in ((model.graph.input, inputs), (model.graph.output, outputs)):
        assert shapes(values) == {name: ["N", count, "4*h", "4*w"] for name, count in channels.items()}


@NETS
def test_metadata_holds_contract_and_source_and_nothing_foreign(
    net: str, conversions: Mapping[str, Conversion], checkpoints: Mapping[str, Path]
) -> None:
    model = load_shipped(conversions[net])
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert properties.keys() == {"ganport.architecture", "ganport.contract", "ganport.source_sha256"}
    assert properties["ganport.architecture"] == f"edgeconnect-{net}"
    assert properties["ganport.source_sha256"] == hashlib.sha256(checkpoints[net].read_bytes()).hexdigest()
    contract = json.loads(properties["ganport.contract"])
    inputs, outputs = CONTRACTS[net]
    for kind, channels in (("inputs", inputs), ("outputs", outputs)):
        assert {spec["name"]: spec["shape"] for spec in contract[kind]} == {
            name: ["N", count, "H", "W"] for name, count in channels.items()
        }
        assert all((spec["multiple_of"], spec["minimum"]) == (4, 12) for spec in contract[kind])
        assert all((spec["dtype"], spec["layout"]) == ("float32", "NCHW") for spec in contract[kind])
        assert all(spec["value_range"] == [0, 1] and spec["meaning"] for spec in contract[kind])
    graph = model.graph
    for part in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        assert not part.metadata_props
        assert not part.doc_string
    assert not graph.value_info


@pytest.fixture(scope="module")
def at_every_size(waists: Mapping[str, Waist]) -> Mapping[str, ReferenceOutputs]:
    inputs = [make_input([("chelsea", "large")], size) for size in SIZES]
    return {net: run_reference(waist.model, inputs) for net, waist in waists.items()}


@FILES
@NETS
def test_one_file_is_right_at_every_size(
    net: str, target: str, conversions: Mapping[str, Conversion], at_every_size: Mapping[str, ReferenceOutputs]
) -> None:
    with open_target(conversions[net], target) as runner:
        (report,) = at_every_size[net].compare(target, target, runner)
    require_passed(report, net)
    assert [tensor.gated for tensor in report.tensors] == [True] * (len(SIZES) + 1)  # the first again


def two_items() -> ParityInput:
    return make_input([("astronaut", "most"), ("coffee", "small")], (64, 96))


@FILES
@NETS
def test_batch_of_two_is_two_batches_of_one_bit_for_bit(
    net: str, target: str, conversions: Mapping[str, Conversion], waists: Mapping[str, Waist]
) -> None:
    given = two_items()
    feeds = waists[net].model.make_feeds(given.photo, given.edges, given.mask)
    with open_target(conversions[net], target) as runner:
        (both,) = runner.run(feeds).values()
        for item in range(2):
            (one,) = runner.run({name: array[item : item + 1] for name, array in feeds.items()}).values()
            assert one.tobytes() == both[item : item + 1].tobytes()
    assert not np.array_equal(both[0], both[1])


@pytest.mark.parametrize(
    ("size", "sentence"),
    [
        ((14, 16), "its size H is 14. Pad it to a multiple of 4, 12 or more."),
        ((16, 18), "its size W is 18. Pad it to a multiple of 4, 12 or more."),
        ((8, 16), "its size H is 8. Pad it to a multiple of 4, 12 or more."),
    ],
)
@FILES
@NETS
def test_size_outside_the_contract_is_refused_in_our_words(
    net: str, target: str, size: tuple[int, int], sentence: str, conversions: Mapping[str, Conversion]
) -> None:
    feeds = {name: np.zeros((1, count, *size), np.float32) for name, count in CONTRACTS[net][0].items()}
    with open_target(conversions[net], target) as runner, pytest.raises(FeedError) as caught:
        runner.run(feeds)
    first = next(iter(CONTRACTS[net][0]))
    assert str(caught.value).endswith(f"input '{first}': {sentence}")


@pytest.fixture(scope="module")
def static(checkpoints: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Conversion:
    """The inpaint net at 64x96 alone."""
    settings = Settings(RUNTIMES, tmp_path_factory.mktemp("static"), size=(64, 96))
    (conversion,) = convert([checkpoints["inpaint"]], settings, lambda step: None)
    return conversion


def test_static_file_has_numbers_for_shapes(static: Conversion) -> None:
    model = load_shipped(static)
    assert shapes(model.graph.input) == {"image": [1, 3, 64, 96], "edges": [1, 1, 64, 96], "mask": [1, 1, 64, 96]}
    assert shapes(model.graph.output) == {"result": [1, 3, 64, 96]}
    assert [report.passed for report in static.reports] == [True] * 6
    assert static.bundle.manifest.contract.static_size == (64, 96)


def test_static_file_carries_its_size_as_contract_and_refuses_others_in_our_words(static: Conversion) -> None:
    (path,) = static.bundle.folder.glob("*.onnx")
    with OnnxRunner(path) as runner:
        assert [spec.shape for spec in runner.inputs] == [(1, 3, 64, 96), (1, 1, 64, 96), (1, 1, 64, 96)]
        feeds = {name: np.zeros((1, count, 64, 64), np.float32) for name, count in CONTRACTS["inpaint"][0].items()}
        with pytest.raises(FeedError, match=r"its shape is \(1, 3, 64, 64\). Give \(1, 3, 64, 96\)"):
            runner.run(feeds)


def test_static_bundle_is_proven_at_its_own_size_and_says_what_it_could_not_run(
    static: Conversion, checkpoints: Mapping[str, Path]
) -> None:
    other = two_items()
    reports, _, unverified = prove(
        static.bundle.folder, [checkpoints["inpaint"]], lambda _: (other,), lambda step: None
    )
    assert unverified == {}
    assert [(report.rung, report.passed, report.outside) for report in reports] == [
        (target, True, (other.name,)) for target in RUNTIMES
    ]


@pytest.mark.parametrize("size", [(64, 66), (8, 64)])
def test_static_size_that_the_net_cannot_take_is_refused(size: tuple[int, int], waists: Mapping[str, Waist]) -> None:
    with pytest.raises(ExportError, match=f"--size {size[0]}x{size[1]}: edgeconnect-edge takes multiples of 4, 12"):
        fix_size(waists["edge"].model, size)


def test_feeds_without_an_input_are_refused(conversions: Mapping[str, Conversion]) -> None:
    with open_target(conversions["edge"], "onnx") as runner, pytest.raises(FeedError, match="Give exactly"):
        runner.run({"gray": np.zeros((1, 1, 16, 16), np.float32)})


def test_contract_is_read_from_the_file_alone(conversions: Mapping[str, Conversion]) -> None:
    (path,) = conversions["inpaint"].bundle.folder.glob("*.onnx")
    with OnnxRunner(path) as runner:
        assert tuple(runner.inputs) == conversions["inpaint"].bundle.signature.inputs
        assert tuple(runner.outputs) == conversions["inpaint"].bundle.signature.outputs


def test_other_threads_print_on_while_exports_mute_theirs(capsys: pytest.CaptureFixture[str]) -> None:
    """CPython crashed where a stream was gone that another thread's print had just been given."""
    ended = threading.Event()

    def export_again_and_again() -> None:
        while not ended.is_set():
            with export_torch._quiet_exporter():
                print("muted")

    exporting = threading.Thread(target=export_again_and_again)
    exporting.start()
    for _ in range(200_000):
        print("tick")
    ended.set()
    exporting.join()
    assert capsys.readouterr().out == "tick\n" * 200_000
