"""Eight ways to get a conversion wrong, each made on purpose, and each refused by every gate."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, helper, numpy_helper
from torch import nn

from converters import convert as pipeline
from converters.convert import Settings
from converters.errors import ParityError
from converters.parity.compare import require_passed
from converters.parity.expected import ReferenceOutputs
from converters.parity.inputs import short_inputs
from converters.sources import source, torch_source
from converters.sources.source import open_accurate
from converters.sources.torch_source import run_reference
from parity_tests.support.broken_graphs import (
    Fault,
    add_constant,
    break_graph,
    count_channels,
    find_first_node,
    pad_with_zeros_instead_of_reflections,
    use_wrong_epsilon_on_the_first_norm,
)
from parity_tests.support.waist import Waist

SEED = 1
# The gates of the files that run a graph; the loosest error that any of them allows is 1e-3.
FILE_GATES = ("onnx", "mxnet", "tensorrt")


def swap_the_mask(model: ModelProto, waist: Waist) -> None:
    for node in model.graph.node:
        node.input[:] = ["swapped" if name == "mask" else name for name in node.input]
    one = add_constant(model, "one", 1)
    model.graph.node.insert(0, helper.make_node("Sub", [one, "mask"], ["swapped"]))


def give_the_output_in_levels(model: ModelProto, waist: Waist) -> None:
    last, name = model.graph.node[-1], model.graph.output[0].name
    assert last.output[0] == name
    last.output[0] = "unscaled"
    model.graph.node.append(helper.make_node("Mul", ["unscaled", add_constant(model, "levels", 255)], [name]))


def drop_the_bias_that_no_norm_follows(model: ModelProto, waist: Waist) -> None:
    last = [node for node in model.graph.node if node.op_type == "Conv"][-1]
    assert last.input.pop().endswith("bias")


def learn_scale_and_bias_of_the_first_norm(model: ModelProto, waist: Waist) -> None:
    norm = find_first_node(model, "InstanceNormalization")
    random = np.random.default_rng(SEED)
    for index, middle in ((1, 1.0), (2, 0.0)):
        learned = random.normal(middle, 0.1, count_channels(model, norm))
        norm.input[index] = add_constant(model, f"learned_{index}", learned)


def normalize_by_running_statistics(model: ModelProto, waist: Waist) -> None:
    """What torch exports for a first norm with track_running_stats, its statistics fresh: mean 0, variance 1."""
    norm = find_first_node(model, "InstanceNormalization")
    count = count_channels(model, norm)
    norm.op_type = "BatchNormalization"
    norm.input.extend(
        [add_constant(model, "running_mean", [0.0] * count), add_constant(model, "running_var", [1.0] * count)]
    )


def leave_spectral_norm_unfolded(model: ModelProto, waist: Waist) -> None:
    state = waist.model.module.state_dict()
    replaced = 0
    for tensor in model.graph.initializer:
        if f"{tensor.name}_orig" in state:
            tensor.CopyFrom(numpy_helper.from_array(state[f"{tensor.name}_orig"].numpy(), tensor.name))
            replaced += 1
    assert replaced == sum(key.endswith("weight_orig") for key in state) > 0


FOR_BOTH: tuple[Fault, ...] = (
    use_wrong_epsilon_on_the_first_norm,
    pad_with_zeros_instead_of_reflections,
    swap_the_mask,
    give_the_output_in_levels,
    drop_the_bias_that_no_norm_follows,
    learn_scale_and_bias_of_the_first_norm,
    normalize_by_running_statistics,
)
FAULTS = [*((net, fault) for fault in FOR_BOTH for net in ("edge", "inpaint")), ("edge", leave_spectral_norm_unfolded)]


@pytest.fixture(scope="module")
def expectations(waists: Mapping[str, Waist]) -> Mapping[str, ReferenceOutputs]:
    """What torch gives for the inputs that `convert` gates on."""
    return {net: run_reference(waist.model, short_inputs(waist.model.inputs)) for net, waist in waists.items()}


@pytest.mark.parametrize("gate", FILE_GATES)
@pytest.mark.parametrize("net", ["edge", "inpaint"])
def test_graph_that_nobody_broke_passes(
    net: str, gate: str, waists: Mapping[str, Waist], expectations: Mapping[str, ReferenceOutputs]
) -> None:
    runner = open_accurate(waists[net].graph, waists[net].model)
    (report,) = expectations[net].compare("simplify", gate, runner)
    require_passed(report, net)


@pytest.mark.parametrize("gate", FILE_GATES)
@pytest.mark.parametrize(("net", "fault"), FAULTS, ids=[f"{net}-{fault.__name__}" for net, fault in FAULTS])
def test_broken_graph_misses_the_gate_and_the_rung_is_named(
    net: str, fault: Fault, gate: str, waists: Mapping[str, Waist], expectations: Mapping[str, ReferenceOutputs]
) -> None:
    runner = open_accurate(break_graph(waists[net], fault), waists[net].model)
    (report,) = expectations[net].compare("simplify", gate, runner)
    with pytest.raises(ParityError, match="rung 'simplify'"):
        require_passed(report, net)
    assert any("max abs error" in failure for tensor in report.tensors for failure in tensor.failures)


@pytest.mark.parametrize(
    ("step", "rung"), [("fold_spectral_norm", "fold"), ("export_onnx", "export"), ("simplify", "simplify")]
)
def test_conversion_stops_at_the_rung_that_broke_and_leaves_its_report_but_no_bundle(
    step: str,
    rung: str,
    waists: Mapping[str, Waist],
    checkpoints: Mapping[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waist = waists["edge"]
    results = {"fold_spectral_norm": waist.folded, "export_onnx": waist.exported, "simplify": waist.graph}
    results[step] = {
        "fold_spectral_norm": shift_the_last_bias(waist),
        "export_onnx": break_graph(waist, give_the_output_in_levels),
        "simplify": break_graph(waist, use_wrong_epsilon_on_the_first_norm),
    }[step]
    for name, result in results.items():
        module = source if name == "simplify" else torch_source
        monkeypatch.setattr(module, name, lambda *arguments, result=result: result)
    with pytest.raises(ParityError, match=f"edgeconnect-edge, rung '{rung}'") as caught:
        list(pipeline.convert([checkpoints["edge"]], Settings(("onnx",), tmp_path), lambda step: None))
    assert caught.value.exit_code == 3
    assert [path.name for path in tmp_path.iterdir()] == ["edgeconnect-edge.failed"]
    written = json.loads((tmp_path / "edgeconnect-edge.failed" / "parity.json").read_text())
    assert [(report["rung"], report["passed"]) for report in written["rungs"]][-1] == (rung, False)
    assert all(report["passed"] for report in written["rungs"][:-1])
    assert "**FAILED**" in (tmp_path / "edgeconnect-edge.failed" / "parity.md").read_text()


def shift_the_last_bias(waist: Waist) -> nn.Module:
    """The folded module, a thousandth added to the bias that reaches the output."""
    shifted = copy.deepcopy(waist.folded)
    shifted.get_parameter("generator.decoder.7.bias").add_(1e-3)
    return shifted
