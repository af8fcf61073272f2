"""ONNX files that cannot be converted: one clear line, the right exit code, nothing left."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from converters.sources import onnx_file
from converters.tensors import Array
from parity_tests.support.command import require_refused_conversion, run_ganport
from parity_tests.support.foreign_models import IR_VERSIONS, PLANE, TABLE, make_model, write_model
from parity_tests.support.seeded_checkpoints import write_checkpoint

CONV = make_model(17, "c = Conv(x, w) y = Relu(c)", {"w": (4, 3, 3, 3)})


def refuse(folder: Path, model: ModelProto | bytes, said: str, *options: str | Path, to: str = "onnx") -> None:
    path = write_model(folder, model)
    require_refused_conversion(folder, path, "--to", to, "-o", folder / "new" / "out", *options, said=said)


def without_rank(side: str) -> ModelProto:
    model = make_model(17, "y = Relu(x)", signature=TABLE)
    getattr(model.graph, side)[0].type.tensor_type.ClearField("shape")
    return model


def with_sparse_weight() -> ModelProto:
    model = make_model(17, "y = Add(x, s)", signature="(float[2, 3] x) => (float[2, 3] y)")
    values = helper.make_tensor("s", TensorProto.FLOAT, [1], [1.0])
    places = helper.make_tensor("places", TensorProto.INT64, [1], [0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [2, 3]))
    return model


def in_a_branch(operator: str) -> ModelProto:
    body = f"""
        s = ReduceSum<keepdims = 0>(x)
        c = Greater(s, zero)
        y = If(c) <
            then_branch = one () => (float[N, 3] t) {{ t = {operator}(x) }},
            else_branch = other () => (float[N, 3] e) {{ e = Neg(x) }}
        >
    """
    return make_model(17, body, {"zero": np.array(0, np.float32)}, TABLE, rest=', "com.foo": 1')


def in_a_function() -> ModelProto:
    return onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": 17, "own": 1]> net {TABLE} {{ y = own.act(x) }}
        <domain: "own", opset_import: ["": 17, "com.foo": 1]> act (a) => (b) {{ b = com.foo.Act(a) }}"""
    )


def in_training(node: str, opset: int, outputs: int = 1) -> ModelProto:
    """A BatchNormalization or a Dropout in training mode, in one opset's form."""
    weights: dict[str, Array | tuple[int, ...]] = {"p": np.array(0.5, np.float32), "on": np.array(True)}
    weights |= {name: np.ones(3, np.float32) for name in ("s", "b", "m", "v")}
    rest = "".join(f", o{i}" for i in range(1, outputs))
    return make_model(opset, f"y{rest} = {node}", weights, TABLE, IR_VERSIONS[opset])


def dropped_in(place: str) -> ModelProto:
    drop = "t = Dropout(x, p, on)"
    weights = {"zero": np.array(0, np.float32), "p": np.array(0.5, np.float32), "on": np.array(True)}
    body = f"""
        s = ReduceSum<keepdims = 0>(x)
        c = Greater(s, zero)
        y = If(c) <
            then_branch = one () => (float[N, 3] t) {{ {drop} }},
            else_branch = other () => (float[N, 3] e) {{ e = Neg(x) }}
        >
    """
    if place == "branch":
        return make_model(17, body, weights, TABLE)
    return onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": 17, "own": 1]> net {TABLE} {{ y = own.act(x) }}
        <domain: "own", opset_import: ["": 17]> act (x) => (t)
        {{ p = Constant<value = float {{0.5}}>() on = Constant<value = bool {{1}}>() {drop} }}"""
    )


FOREIGN = make_model(17, "y = com.foo.Act(x)", signature=TABLE, rest=', "com.foo": 1')
MODELS: dict[str, tuple[ModelProto | bytes, str]] = {
    "text": (b"Not a model.\n" * 9, "net.onnx: it is no ONNX model, or a damaged one"),
    "empty": (b"", "it is no ONNX model, or an empty one"),
    "no nodes": (make_model(17, "", signature="(float x) => (float x)"), "it is no ONNX model, or an empty one"),
    "opset 5": (make_model(5, "y = Relu(x)"), "its opset is 5. Export it at an opset from 6 to 23"),
    "opset 24": (make_model(24, "y = Relu(x)"), "its opset is 24. Export it at an opset from 6 to 23"),
    "foreign domain": (FOREIGN, "node 'y' (Act): its domain is 'com.foo'. Export it with ONNX's own operators"),
    "foreign in a branch": (in_a_branch("com.foo.Act"), "node 't' (Act): its domain is 'com.foo'"),
    "foreign in a function": (in_a_function(), "node 'b' (Act): its domain is 'com.foo'"),
    **{
        f"BatchNormalization in training, opset {opset}": (
            in_training(node, opset, outputs),
            "(BatchNormalization): it is in training mode. Export the model for inference",
        )
        for opset, node, outputs in (
            (6, "BatchNormalization(x, s, b, m, v)", 1),
            (6, "BatchNormalization<is_test = 0>(x, s, b, m, v)", 5),
            (7, "BatchNormalization(x, s, b, m, v)", 5),
            (9, "BatchNormalization(x, s, b, m, v)", 5),
            (13, "BatchNormalization(x, s, b, m, v)", 5),
            (16, "BatchNormalization<training_mode = 1>(x, s, b, m, v)", 3),
            (17, "BatchNormalization<training_mode = 1>(x, s, b, m, v)", 1),
            (21, "BatchNormalization<training_mode = 1>(x, s, b, m, v)", 3),
        )
    },
    **{
        f"Dropout in training, opset {opset}": (
            in_training("Dropout(x, p, on)", opset),
            "(Dropout): it is in training mode. Export the model for inference",
        )
        for opset in (12, 13, 17, 21)
    },
    "Dropout in training in a branch": (dropped_in("branch"), "(Dropout): it is in training mode"),
    "Dropout in training in a function": (dropped_in("function"), "(Dropout): it is in training mode"),
    "strings": (
        make_model(17, "y = Identity(x)", signature="(string[N] x) => (string[N] y)"),
        "'x': it is no tensor of numbers",
    ),
    "sequence": (
        make_model(17, "y = SequenceConstruct(x)", signature="(float[N] x) => (seq(float[N]) y)"),
        "'y': it is no tensor of numbers",
    ),
    "bfloat16": (
        make_model(17, "y = Identity(x)", signature="(bfloat16[N] x) => (bfloat16[N] y)"),
        "'x': its element type is BFLOAT16",
    ),
    "input of unknown rank": (without_rank("input"), "'x': its number of axes is not given"),
    "output of unknown rank": (without_rank("output"), "'y': its number of axes is not given"),
    "sparse": (with_sparse_weight(), "it holds sparse weights"),
    "no inputs": (make_model(17, "y = Neg(k)", {"k": (3,)}, "() => (float[3] y)"), "it has no inputs"),
    "name that is no text": (
        make_model(17, "y = Relu(wxyz)", signature=TABLE.replace(" x", " wxyz"))
        .SerializeToString()
        .replace(b"wxyz", b"\xff\xfe\xfd\xfc"),
        r"a name in it, b'\xff\xfe\xfd\xfc', is not UTF-8. Export or copy it again",
    ),
    "size without a name": (
        make_model(17, "y = Relu(x)", signature=TABLE.replace("[N,", "[Size,"))
        .SerializeToString()
        .replace(b"Size", b"\xc3\x28\xc3\x28"),
        "is not UTF-8",
    ),
    "too large": (
        make_model(17, "y = Relu(x)", signature="(float[1, 3, 99999, 99999] x) => (float[1, 3, 99999, 99999] y)"),
        "its input 'x' has 29999400003 elements, and seeded ones 268435456 at most. Give inputs that fit it with",
    ),
    "unknown operator": (make_model(17, "y = NoSuchOp(x)"), "ONNX Runtime does not load it (This is an invalid model"),
    "shapes that do not fit": (
        make_model(17, "y = MatMul(x, w)", {"w": (5, 3)}, TABLE),
        "ONNX Runtime does not load it (",
    ),
    "new in opset 23": (
        make_model(23, "y = RMSNormalization(x, w)", {"w": (3,)}, TABLE, ir_version=11),
        "ONNX's converter does not bring it from opset 23 to 18 (",
    ),
    "too small for it": (
        make_model(17, "y = Conv(x, w)", {"w": (4, 3, 99, 99)}),
        "on seed 0, 1x3x64x64: ONNX Runtime refuses these inputs (",
    ),
    "NaN": (
        make_model(17, "a = Sub(x, w) y = Log(a)", {"w": np.array(2, np.float32)}, TABLE),
        "on seed 0, 1x3: 3 values of its output 'y' are NaN or infinite. Give inputs that fit it with --inputs",
    ),
    "a weight that is NaN": (
        make_model(17, "y = Add(x, w)", {"w": np.array([1, np.nan, 2], np.float32)}, TABLE),
        "and its weight 'w' holds NaN. Export sound weights, or give inputs that fit it with --inputs",
    ),
    "float64": (
        make_model(17, "y = Conv(x, w)", {"w": np.ones((4, 3, 3, 3))}, PLANE.replace("float[", "double[")),
        "). Export it in float32.",
    ),
    "chance": (make_model(17, "y = RandomNormalLike(x)", signature=TABLE), "its output 'y' is another one each time"),
}


@pytest.mark.parametrize("case", MODELS)
def test_model_that_no_target_takes_is_refused(case: str, tmp_path: Path) -> None:
    model, said = MODELS[case]
    refuse(tmp_path, model, said)


def test_text_of_a_refusal_by_the_runtime_is_free_of_its_tags_and_of_the_path(tmp_path: Path) -> None:
    path = write_model(tmp_path, make_model(17, "y = NoSuchOp(x)"))
    said = run_ganport("convert", path, "--to", "onnx", "-o", tmp_path / "out").stderr.splitlines()[-1]
    assert "ONNX Runtime does not load it (" in said
    assert "[ONNXRuntimeError]" not in said
    assert said.count("net.onnx") == 1


def test_file_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    whole = CONV.SerializeToString()
    for length in sorted({1, 2, 8, len(whole) - 1, len(whole) - 4} | set(range(3, len(whole), len(whole) // 20))):
        refuse(tmp_path, whole[:length], "net.onnx: it is no ONNX model")
    graph = len(whole) - len(ModelProto(opset_import=CONV.opset_import).SerializeToString())
    refuse(tmp_path, whole[:graph], "its opset is not given")


def test_folder_and_missing_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.onnx").mkdir()
    require_refused_conversion(tmp_path, tmp_path / "folder.onnx", "--to", "onnx", said="it is a folder, not a file")
    require_refused_conversion(tmp_path, tmp_path / "none.onnx", "--to", "onnx", said="there is no such file")


def move_weights(folder: Path, location: str) -> Path:
    """CONV with its weights in net.data, of which the model says that they are at `location`."""
    path = folder / "net.onnx"
    onnx.save_model(
        ModelProto.FromString(CONV.SerializeToString()),
        path,
        save_as_external_data=True,
        location="net.data",
        size_threshold=0,
    )
    model = onnx.load(path, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = location
    return write_model(folder, model)


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("gone.data", "its weights' file 'gone.data' is missing. Keep it beside the model"),
        ("../beside.data", "'../beside.data' points outside the directory"),
        ("{folder}/beside.data", "an absolute path"),
        ("", "its weights cannot be read ("),
    ],
)
def test_weights_that_are_not_beside_the_file_are_refused(location: str, said: str, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    path = move_weights(folder, location.format(folder=tmp_path))
    shutil.copy(folder / "net.data", tmp_path / "beside.data")
    require_refused_conversion(tmp_path, path, "--to", "onnx", "-o", tmp_path / "out", said=said)


def test_weights_beside_the_file_that_are_cut_short_are_refused(tmp_path: Path) -> None:
    path = move_weights(tmp_path, "net.data")
    (tmp_path / "net.data").write_bytes(b"1234")
    require_refused_conversion(
        tmp_path, path, "--to", "onnx", "-o", tmp_path / "out", said="its weights cannot be read ("
    )


def test_model_too_large_for_one_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "MAX_PROTOBUF_BYTES", 100)
    refuse(tmp_path, CONV, "and one ONNX file less than 100")


@pytest.mark.parametrize(
    ("signature", "options", "said"),
    [
        (PLANE, ("--raw",), "--raw is for checkpoints, and this is an ONNX file. Leave out --raw"),
        (PLANE, ("--pipeline",), "--pipeline is for checkpoints, and this is an ONNX file"),
        (
            PLANE.replace("H, W", "S, S"),
            ("--size", "16x24"),
            "axis 3 of input 'x' is 16, and --size 16x24 was asked for",
        ),
        (PLANE.replace("H, W", "32, 32"), ("--size", "16x24"), "axis 2 of input 'x' is 32, and --size 16x24 was asked"),
        (TABLE, ("--size", "16x24"), "--size 16x24 was asked for, and no input has four axes"),
        (
            "(float[N, 3, H, W] x, float[K, L] k) => (float[N, 3, H, W] y)",
            ("--size", "16x24"),
            "--size 16x24 does not tell the size of axis 1 of input 'k' (L)",
        ),
    ],
)
def test_option_that_does_not_fit_the_file_is_refused(
    signature: str, options: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    refuse(
        tmp_path,
        make_model(17, "y = Relu(x)", signature=signature.replace("float[N, 4, H2, W2]", "float[?, ?, ?, ?]")),
        said,
        *options,
    )


Write = Callable[[Path], object]


def save(**arrays: object) -> Write:
    return lambda path: np.savez(path, **arrays)


def cut_short(path: Path) -> None:
    np.savez(path, x=np.ones((2, 3, 8, 8), np.float32))
    path.write_bytes(path.read_bytes()[:500])


def pack_in_a_way_of_its_own(path: Path) -> None:
    """Says of its array that it is compressed by method 99, which zipfile does not know."""
    np.savez(path, x=np.ones((2, 3, 8, 8), np.float32))
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        data[data.index(signature) + offset] = 99
    path.write_bytes(data)


def claim_too_much(path: Path) -> None:
    """An array of 10^15 numbers, of which none is there."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000,), }"
    header += b" " * (117 - len(header)) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)


INPUTS: dict[str, tuple[Write, str]] = {
    "text": (lambda path: path.write_text("text"), "in.npz: it is no .npz file of arrays. Write it with numpy.savez("),
    "nothing": (lambda path: path.write_bytes(b""), "it is no .npz file of arrays"),
    "one array": (lambda path: np.save(path.open("wb"), np.ones(3)), "it is no .npz file of arrays"),
    "cut short": (cut_short, "it is no .npz file of arrays"),
    "packed otherwise": (pack_in_a_way_of_its_own, "it is no .npz file of arrays"),
    "more than there is memory": (claim_too_much, "its arrays do not fit into memory"),
    "objects": (save(x=np.array([{}], object)), "it is no .npz file of arrays"),
    "not there": (lambda path: None, "there is no such file"),
    "other name": (save(z=np.ones(3)), "inputs ['z'] were given. Give exactly ['x']"),
    "one more": (save(x=np.ones(3), z=np.ones(3)), "inputs ['x', 'z'] were given"),
    "other type": (save(x=np.ones((1, 3, 8, 8))), "input 'x': its dtype is float64. Convert it to float32"),
    "other shape": (save(x=np.ones((1, 4, 8, 8), np.float32)), "its shape is (1, 4, 8, 8). Give ('N', 3, 'H', 'W')"),
    "other rank": (save(x=np.ones((3, 8, 8), np.float32)), "its shape is (3, 8, 8). Give 4 axes"),
    "too small": (save(x=np.ones((1, 3, 2, 2), np.float32)), "on in.npz: ONNX Runtime refuses these inputs ("),
    "NaN": (save(x=np.full((1, 3, 8, 8), np.nan, np.float32)), "of its output 'y' are NaN or infinite"),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("case", INPUTS)
def test_inputs_that_do_not_fit_are_refused(case: str, tmp_path: Path) -> None:
    write, said = INPUTS[case]
    write(tmp_path / "in.npz")
    refuse(tmp_path, CONV, said, "--inputs", tmp_path / "in.npz")


def test_inputs_of_another_size_than_was_asked_for_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", x=np.ones((2, 3, 8, 8), np.float32))
    said = "its shape is (2, 3, 8, 8). Give (1, 3, 16, 16)"
    refuse(tmp_path, CONV, said, "--inputs", tmp_path / "in.npz", "--size", "16x16")


def test_inputs_go_with_one_onnx_file_only(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", x=np.ones((2, 3, 8, 8), np.float32))
    paths = [write_model(tmp_path, CONV, name) for name in ("one", "two")]
    checkpoint = write_checkpoint(tmp_path, "edge")
    rest = ("--inputs", tmp_path / "in.npz", "--to", "onnx", "-o", tmp_path / "out")
    for sources in (paths, [checkpoint], []):
        require_refused_conversion(tmp_path, *sources, *rest, said="--inputs goes with one ONNX file", exit_code=2)


def test_every_file_is_read_before_anything_is_written(tmp_path: Path) -> None:
    paths = [write_model(tmp_path, CONV, "one"), write_model(tmp_path, FOREIGN, "two")]
    require_refused_conversion(tmp_path, *paths, "--to", "onnx", "-o", tmp_path / "out", said="its domain is 'com.foo'")


TARGETS = {
    "trt float16": ("trt", "float16", "y = Relu(x)", "input 'x': it is FLOAT16. An engine is built of float32"),
    "trt float64": ("trt", "double", "y = Relu(x)", "input 'x': it is DOUBLE. An engine is built of float32"),
}


@pytest.mark.parametrize("case", TARGETS)
def test_type_that_a_target_does_not_take_is_refused(case: str, tmp_path: Path) -> None:
    target, kind, body, said = TARGETS[case]
    model = make_model(17, body, signature=TABLE.replace("float", kind))
    refuse(tmp_path, model, f"net, --to trt, {said}", to=target)
    refuse(tmp_path, model, ", or leave trt out of --to.", to=target)


def test_float16_that_a_runtime_rounds_otherwise_is_refused_for_that_reason(tmp_path: Path) -> None:
    weights = {"w": np.random.default_rng(0).normal(0, 0.3, (4, 3, 3, 3)).astype(np.float16)}
    model = make_model(17, "c = Conv(x, w) y = Sigmoid(c)", weights, PLANE.replace("float", "float16"))
    result = run_ganport("convert", write_model(tmp_path, model), "--to", "mxnet", "-o", tmp_path / "out")
    assert result.exit_code == 3
    assert "It computes in float16, of which runtimes round the third digit differently: export it in" in result.stderr


def test_free_axis_that_no_profile_tells_is_refused_for_tensorrt(tmp_path: Path) -> None:
    model = make_model(17, "y = Relu(x)", signature="(float[N, K] x) => (float[N, K] y)")
    refuse(tmp_path, model, "input 'x': its axis 1 of 2 is free, and a profile gives only N, H and W", to="trt")
