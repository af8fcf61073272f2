"""The package's options and messages, its arrays' file, and the program that checks every route."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from converters.errors import UnsupportedOpError
from converters.targets.wolfram.ops import Net
from converters.targets.wolfram.weights import serialize_weights
from converters.targets.wolfram.write import TEMPLATES, WolframFiles, format_check, format_package
from converters.tensors import TensorSpec
from parity_tests.support.mathics import Call, Kernel, Symbol, quote
from parity_tests.support.mxnet_op_cases import floats
from parity_tests.support.places import ROOT
from parity_tests.support.waist import Waist
from parity_tests.support.wolfram_bundle import load, read_weights, write_files

NAME, BUILDER, RUN = "edgeconnect-inpaint", "BuildEdgeconnectInpaint", "RunEdgeconnectInpaint"
PORTS = ("image", "edges", "mask", "result")
FAILED = Symbol("$Failed")
# What the check lets pass, and golden arrays small enough to be read by Mathics, number by number.
GATE = 1e-4
GOLDEN_SIZE = (12, 16)
# BinaryReadList is not in Mathics; its BinaryRead takes a list of types.
BINARY_READ_LIST = """
    Unprotect[BinaryReadList];
    BinaryReadList[stream_, type_, count_, ___] := BinaryRead[stream, ConstantArray[type, count]]
"""


@pytest.fixture
def folder(waists: Mapping[str, Waist], tmp_path: Path) -> Path:
    """What the target writes for the inpaint net."""
    write_files(tmp_path, NAME, waists["inpaint"].graph, waists["inpaint"].model)
    return tmp_path


@pytest.fixture
def kernel(folder: Path) -> Kernel:
    return load(folder / f"{NAME}.wl", list(read_weights(folder / f"{NAME}-weights.wxf")))


def build_ports(kernel: Kernel, options: str) -> dict[str, object]:
    graph = kernel.evaluate(f"{BUILDER}[{options}]")
    assert kernel.said == []
    assert isinstance(graph, Call)
    return dict(rule.arguments for rule in graph.arguments[2:])


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ("", [256, 256]),
        ('"ImageSize" -> {320, 12}', [320, 12]),
        ("ImageSize -> {16, 24}", [16, 24]),
        ('{"ImageSize" -> {16, 24}, "Ports" -> "Images"}', [16, 24]),
        ('"ImageSize" :> {16, 24}', [16, 24]),
        ('"ImageSize" -> {16, 24}, "ImageSize" -> {20, 24}', [20, 24]),
    ],
)
def test_ports_are_images_of_the_wanted_width_and_height(kernel: Kernel, options: str, size: list[int]) -> None:
    ports = build_ports(kernel, options)
    assert tuple(ports) == PORTS
    spaces = {name: Call("Rule", (Symbol("ColorSpace"), space)) for name, space in (("1", "Grayscale"), ("3", "RGB"))}
    assert ports["image"] == Call("NetEncoder", (["Image", size, spaces["3"]],))
    assert ports["mask"] == ports["edges"] == Call("NetEncoder", (["Image", size, spaces["1"]],))
    assert ports["result"] == Call("NetDecoder", (["Image", spaces["3"]],))


def test_ports_are_arrays_of_channels_height_and_width_where_wanted(kernel: Kernel) -> None:
    shapes = ([3, 24, 16], [1, 24, 16], [1, 24, 16], [3, 24, 16])
    assert build_ports(kernel, '"ImageSize" -> {16, 24}, "Ports" -> "Arrays"') == dict(zip(PORTS, shapes, strict=True))


SIZES = '"ImageSize" is {width, height}, both multiples of 4 and 12 or more.'


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('"ImageSize" -> {8, 16}', f"size: {{8, 16}} is no size of this net. {SIZES}"),
        ('"ImageSize" -> {16, 18}', f"size: {{16, 18}} is no size of this net. {SIZES}"),
        ('"ImageSize" -> {16., 16.}', f"size: {{16., 16.}} is no size of this net. {SIZES}"),
        ('"ImageSize" -> 256', f"size: 256 is no size of this net. {SIZES}"),
        ('"ImageSize" -> {1, 2, 3}', f"size: {{1, 2, 3}} is no size of this net. {SIZES}"),
        ('"Ports" -> "Tensors"', 'ports: Tensors is no kind of port. "Ports" is "Images" or "Arrays".'),
        ('"Size" -> {16, 16}', f'option: Size is no option of {BUILDER}; "ImageSize" and "Ports" are.'),
        ("{16, 16}", f'arguments: Rules are wanted, as in {BUILDER}["Ports" -> "Arrays"], not {{{{16, 16}}}}.'),
        ('"Images"', f'arguments: Rules are wanted, as in {BUILDER}["Ports" -> "Arrays"], not {{Images}}.'),
    ],
)
def test_wrong_use_gives_a_message_and_no_net(kernel: Kernel, arguments: str, said: str) -> None:
    assert kernel.evaluate(f"{BUILDER}[{arguments}]") == FAILED
    assert kernel.said == [said]


@pytest.mark.parametrize("stored", [[], ["generator.encoder.1.weight"], ["another"]])
def test_weights_of_another_package_give_a_message_and_no_net(folder: Path, stored: list[str]) -> None:
    kernel = load(folder / f"{NAME}.wl", stored)
    assert kernel.evaluate(f"{BUILDER}[]") == FAILED
    (said,) = kernel.said
    assert said.startswith(f"weights: {folder / NAME}-weights.wxf is missing, or is not the file")


def test_missing_weights_give_a_message_and_no_net(folder: Path) -> None:
    (folder / f"{NAME}-weights.wxf").unlink()
    kernel = Kernel()
    kernel.get(folder / f"{NAME}.wl")
    assert kernel.evaluate(f"{BUILDER}[]") == FAILED
    assert [said.partition(":")[0] for said in kernel.said] == ["weights"]


def test_usage_tells_of_options_and_of_every_port_and_its_meaning(kernel: Kernel, waists: Mapping[str, Waist]) -> None:
    usage = kernel.evaluate(f"{BUILDER}::usage")
    model = waists["inpaint"].model
    for spec in (*model.inputs, *model.outputs):
        assert f'"{spec.name}", channels: {spec.shape[1]}, values: from 0 to 1: {spec.meaning}.' in usage
    for words in ('"ImageSize" -> {width, height}', '"Ports" -> "Images"', '"Ports" -> "Arrays"', "multiples of 4"):
        assert words in usage


def test_usage_and_check_of_a_foreign_net_claim_nothing_that_its_file_does_not(tmp_path: Path) -> None:
    specs = [TensorSpec("x", ("N", 4, "H", "W"), layout=""), TensorSpec("y", ("N", 3, "H", "W"), layout="")]
    net = Net()
    net.add("y_layer", "ElementwiseLayer[Ramp]", ['NetPort["x"]'])
    (tmp_path / "net.wl").write_text(format_package(WolframFiles("net"), net, specs[:1], specs[1:]), encoding="ascii")
    kernel = load(tmp_path / "net.wl", [])
    usage = kernel.evaluate("BuildNet::usage")
    assert '"ImageSize" -> {width, height} is {256, 256} if it is left out, both 1 or more.' in usage
    for words in (
        'Input "x", channels: 4, values: any.',
        'Output "y", channels: 3, values: any.',
        "arrays where it has",
    ):
        assert words in usage
    assert "0 to 1" not in usage
    assert kernel.evaluate('BuildNet["ImageSize" -> {0, 5}]') == FAILED
    assert kernel.said == ['size: {0, 5} is no size of this net. "ImageSize" is {width, height}, both 1 or more.']
    check = format_check(WolframFiles("net"), specs[:1], specs[1:], GATE)
    assert "its source gave: the untouched PyTorch module, or ONNX Runtime on the ONNX file." in check


@pytest.mark.parametrize("shape", [("N", 3, "H2", "W2"), ("N", "C", "H", "W"), ("N", 4, "H2", "W2")], ids=str)
def test_port_of_an_output_whose_size_or_channels_the_file_leaves_open_says_neither(
    shape: tuple[int | str, ...], tmp_path: Path
) -> None:
    net = Net()
    net.add("y_layer", "ElementwiseLayer[Ramp]", ['NetPort["x"]'])
    text = format_package(WolframFiles("net"), net, [TensorSpec("x", ("N", 4, "H", "W"))], [TensorSpec("y", shape)])
    (tmp_path / "net.wl").write_text(text, encoding="ascii")
    kernel = load(tmp_path / "net.wl", [])
    for ports, said in (("Arrays", False), ("Images", shape[1] == 3)):
        graph = kernel.evaluate(f'BuildNet["Ports" -> "{ports}", "ImageSize" -> {{16, 24}}]')
        rules = dict(rule.arguments for rule in graph.arguments[2:])
        assert rules.pop("x") == [4, 24, 16]
        decoder = Call("NetDecoder", (["Image", Call("Rule", (Symbol("ColorSpace"), "RGB"))],))
        assert rules == ({"y": decoder} if said else {})


@pytest.mark.parametrize("sizes", [((64, 64), (32, 32)), ((64, 64), ("H", "W")), ((64, "W"),)], ids=str)
def test_inputs_whose_sizes_one_option_does_not_tell_are_refused(sizes: tuple[tuple[int | str, ...], ...]) -> None:
    specs = [TensorSpec(f"x{i}", ("N", 3, *size)) for i, size in enumerate(sizes)]
    with pytest.raises(
        UnsupportedOpError, match=r'inputs \'x0\' .*: one "ImageSize" does not tell their sizes\. Export'
    ):
        format_package(WolframFiles("net"), Net(), specs, [TensorSpec("y", ("N", 3, "H", "W"))])


def test_package_leaves_only_its_builder_to_the_user(kernel: Kernel) -> None:
    assert kernel.evaluate(f'Names["Ganport`{BUILDER}`*"]') == [BUILDER, RUN]
    assert kernel.evaluate("$Context") == "Global`"


@pytest.mark.parametrize(
    ("name", "builder"),
    [
        ("edgeconnect-edge", "BuildEdgeconnectEdge"),
        ("Plus", "BuildPlus"),
        ("7 x_y", "Build7XY"),
        ("straße *) 漢", "BuildStraE"),
        ('a"b', "BuildAB"),
        ("-", "Build"),
    ],
)
def test_any_bundle_name_gives_a_package_that_evaluates(name: str, builder: str, tmp_path: Path) -> None:
    files = WolframFiles(name)
    specs = [TensorSpec(port, ("N", 1, "H", "W"), meaning='a "quoted" *) meaning') for port in ('in"', "out*)")]
    net = Net()
    net.add('re"lu*)', "ElementwiseLayer[Ramp]", ['NetPort["in\\""]'])
    (tmp_path / "package.wl").write_text(format_package(files, net, specs[:1], specs[1:]), encoding="ascii")
    kernel = load(tmp_path / "package.wl", [])
    graph = kernel.evaluate(f'{builder}["Ports" -> "Arrays"]')
    assert isinstance(graph, Call)
    assert graph.arguments[0] == {'re"lu*)': Call("ElementwiseLayer", (Symbol("Ramp"),))}
    assert [rule.arguments[0] for rule in graph.arguments[2:]] == ['in"', "out*)"]
    assert format_check(files, specs[:1], specs[1:], GATE).isascii()


def test_arrays_come_back_bit_for_bit_and_give_the_same_bytes_twice(tmp_path: Path) -> None:
    arrays = {
        "b": floats(3, 2, 5, 4).transpose(1, 0, 3, 2),  # not in the order of its rows
        "a": np.array([0.0, -0.0, 1e-45, 3.4028235e38, -1.1754944e-38], np.float32),
        'é " \\': floats(1),
    }
    data = serialize_weights(arrays)
    assert data == serialize_weights(arrays)
    (tmp_path / "a.wxf").write_bytes(data)
    back = read_weights(tmp_path / "a.wxf")
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        assert back[name].dtype == np.float32
        assert back[name].shape == array.shape
        assert back[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("net", ["edge", "inpaint"])
def test_file_holds_the_checkpoints_arrays_as_real32_numeric_arrays(
    net: str, waists: Mapping[str, Waist], tmp_path: Path
) -> None:
    """By the WXF format: version "8:", association 'A', numeric array 0xC2 of type 0x22, Real32."""
    write_files(tmp_path, "net", waists[net].graph, waists[net].model)
    data = (tmp_path / "net-weights.wxf").read_bytes()
    assert data.startswith(b"8:A")
    back = read_weights(tmp_path / "net-weights.wxf")
    state = {f"generator.{name}": value.numpy() for name, value in waists[net].folded.generator.state_dict().items()}
    assert state.keys() <= back.keys()
    for name, array in state.items():
        assert back[name].tobytes() == array.tobytes()
        header = bytes([0xC2, 0x22, array.ndim])
        assert data.index(header, data.index(name.encode())) == data.index(name.encode()) + len(name)
    for name in back.keys() - state.keys():  # the norms' factors and offsets
        assert set(back[name].flat) in ({0.0}, {1.0})


def as_list(array: NDArray[np.float32]) -> str:
    """A literal of its values, exact."""
    return quote_list([as_list(part) for part in array]) if array.ndim else repr(float(array)).replace("e", "*^")


def quote_list(items: list[str]) -> str:
    return f"{{{', '.join(items)}}}"


@pytest.fixture
def golden(folder: Path) -> dict[str, NDArray[np.float32]]:
    """Written as a bundle's golden case is."""
    (folder / "golden").mkdir()
    made = {}
    for seed, (name, channels) in enumerate((("image", 3), ("edges", 1), ("mask", 1), ("result", 3))):
        made[name] = floats(1, channels, *GOLDEN_SIZE, seed=seed)
        np.save(folder / "golden" / f"{'output' if name == 'result' else 'input'}_{name}.npy", made[name])
    return made


ROUTES = ("NetGraph", "ONNX, NetExternalObject", "ONNX, imported layers", "MXNet")


def run_check(folder: Path, heads: Mapping[str, str]) -> tuple[Kernel, list[str]]:
    """Evaluate the check; `heads` are definitions of what Import and NetGraph give when they are applied."""
    kernel = load(folder / f"{NAME}.wl", list(read_weights(folder / f"{NAME}-weights.wxf")))
    kernel.evaluate(BINARY_READ_LIST)
    for head, result in heads.items():
        kernel.evaluate(f"{head}[___][fed_] := (System`fed = fed; {result})")
    kernel.evaluate('Import[_String, {"ONNX", "NetExternalObject"}] := System`OnnxNet[]')
    kernel.evaluate('Import[file_String, "MXNet", "ArrayPath" -> params_] := System`MxnetNet[file, params]')
    kernel.get(folder / f"{NAME}-check.wl")
    return kernel, kernel.said


def test_check_reads_the_golden_case_and_prints_a_line_for_each_route(
    folder: Path, golden: dict[str, NDArray[np.float32]]
) -> None:
    result = golden["result"]
    nearly, wrong = result.copy(), result.copy()
    nearly[0, 1, 2, 3] += GATE / 2
    wrong[0, 2, 11, 15] -= 2 * GATE
    kernel, said = run_check(
        folder,
        {
            "System`NetGraph": as_list(nearly),
            "System`OnnxNet": f'<|"result" -> {as_list(wrong)}|>',
            "System`MxnetNet": as_list(result[0]),
        },
    )
    *said, summary = said
    assert [line.partition(":")[0] for line in said] == list(ROUTES)
    assert summary.startswith(f"{NAME}; kernel Mathics3 ")
    assert "; language 13.; NetGraph passed, largest difference " in summary
    assert summary.endswith("; MXNet passed, largest difference 0.")
    for line, verdict, largest in zip(
        said, ("passed", "FAILED", "not run by this version", "passed"), (GATE / 2, 2 * GATE, None, 0.0), strict=True
    ):
        assert line.split(": ")[1].startswith(verdict)
        if largest is not None:
            assert abs(float(line.rpartition(" ")[2].replace("*^", "e")) - largest) <= 1e-7
    fed = kernel.evaluate("System`fed")
    for name in ("image", "edges", "mask"):
        assert np.array_equal(np.array(fed[name], np.float32), golden[name])


@pytest.mark.parametrize(
    "result",
    ["$Failed", '"text"', "{1., 2.}", "Indeterminate", '<|"result" -> $Failed|>'],
)
def test_route_that_gives_no_such_array_is_one_line_and_no_crash(
    folder: Path, golden: dict[str, NDArray[np.float32]], result: str
) -> None:
    _, said = run_check(folder, {"System`NetGraph": result})
    assert said[:-1] == [f"{route}: not run by this version" for route in ROUTES]


def test_check_tries_one_item_where_a_batch_is_refused(folder: Path, golden: dict[str, NDArray[np.float32]]) -> None:
    single = as_list(golden["result"][0])
    taken = f'If[Length[Dimensions[fed["mask"]]] === 3, {single}, $Failed]'
    _, said = run_check(folder, {"System`NetGraph": taken})
    assert said[0] == "NetGraph: passed, largest difference 0."


def test_check_finds_its_files_by_the_command_line_where_the_kernel_names_no_input_file(
    folder: Path, golden: dict[str, NDArray[np.float32]]
) -> None:
    kernel = load(folder / f"{NAME}.wl", list(read_weights(folder / f"{NAME}-weights.wxf")))
    kernel.evaluate(f"Unprotect[$ScriptCommandLine]; $ScriptCommandLine = {{{quote(str(folder / 'any.wl'))}, 1}}")
    kernel.evaluate('Unprotect[$InputFileName]; $InputFileName = ""')
    text = (folder / f"{NAME}-check.wl").read_text()
    choice = text.partition("folder = ")[2].partition("];\n")[0] + "]"
    assert kernel.evaluate(choice).rstrip("/") == str(folder)
    kernel.evaluate("$ScriptCommandLine = {}")
    assert kernel.evaluate(choice) == kernel.evaluate("Directory[]")


@pytest.mark.parametrize("heads", ["named", "in order"])
@pytest.mark.parametrize(
    ("output", "error", "verdict"),
    [("y", 0.5, "passed"), ("y", 2, "FAILED"), ("z", 0.5, "passed"), ("z", 2, "FAILED"), ("z", 0.02, "passed")],
)
def test_check_holds_every_output_and_one_of_unknown_range_in_units_of_its_largest_value(
    output: str, error: float, verdict: str, heads: str, tmp_path: Path
) -> None:
    (tmp_path / "golden").mkdir()
    arrays = {"z": 100 * floats(1, 1, 2, 3, seed=1), "y": floats(1, 2, 2, 3, seed=2)}
    np.save(tmp_path / "golden" / "input_x.npy", floats(1, 1, 2, 3))
    for name, array in arrays.items():
        np.save(tmp_path / "golden" / f"output_{name}.npy", array)
    unit = np.abs(arrays["z"]).max() if output == "z" else 1
    arrays[output] = arrays[output].copy()
    arrays[output].flat[-1] += error * GATE * unit
    specs = [TensorSpec("z", ("N", 1, "H", "W")), TensorSpec("y", ("N", 2, "H", "W"), value_range=(0.0, 1.0))]
    check = format_check(WolframFiles("net"), [TensorSpec("x", ("N", 1, "H", "W"))], specs, GATE)
    (tmp_path / "net-check.wl").write_text(check, encoding="ascii")
    (tmp_path / "net.wl").write_text("")
    kernel = Kernel()
    kernel.evaluate(BINARY_READ_LIST)
    given = [("y", "z"), ("z", "y")][heads == "in order"]
    result = ", ".join(f"{quote(name if heads == 'named' else name * 2)} -> {as_list(arrays[name])}" for name in given)
    kernel.evaluate(f"Ganport`BuildNet`BuildNet[___][_] := <|{result}|>")
    kernel.get(tmp_path / "net-check.wl")
    assert kernel.said[0].startswith(f"NetGraph: {verdict}")


def test_check_names_the_files_that_the_other_targets_write() -> None:
    files = WolframFiles("any")
    spec = TensorSpec("x", ("N", 1, "H", "W"))
    text = format_check(files, [spec], [spec], GATE)
    for name in ("any.wl", "any.onnx", "any-symbol.json", "any-0000.params", "golden", "input_x.npy", "output_x.npy"):
        assert quote(name) in text


def test_templates_lie_where_the_wheel_puts_them() -> None:
    """Beside the package `converters`, in a folder that ships; what ships is compared with the tree elsewhere."""
    root = ROOT
    assert root / "consumers" / "wolfram" == TEMPLATES
    assert {path.name for path in TEMPLATES.iterdir()} == {
        "README.md",
        "package.wl",
        "check.wl",
        "PacletInfo.wl",
        "EdgeConnectInpaint.wl",
    }
