"""Bad input through the real command: one clear line, the right exit code, nothing left, nothing of the user's lost."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from parity_tests.support.command import require_refused_conversion, run_ganport, time_limit
from parity_tests.support.seeded_checkpoints import make_state

EDGE = make_state("edge")
WEIGHT = "encoder.4.weight_orig"


def dump(content: object, *, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def altered(key: str, change: Callable[[Tensor], Tensor]) -> bytes:
    assert key in EDGE
    return dump({"iteration": 1, "generator": EDGE | {key: change(EDGE[key])}})


def poisoned(value: float) -> Callable[[Tensor], Tensor]:
    def change(tensor: Tensor) -> Tensor:
        copy = tensor.clone()
        copy.view(-1)[-1] = value
        return copy

    return change


DISCRIMINATOR = {
    f"conv{layer}.0.weight_{part}": torch.ones(4, 4) for layer in range(1, 6) for part in ("orig", "u", "v")
}
FILES: dict[str, tuple[str, bytes, str]] = {
    "empty": ("a.pth", b"", "it is empty"),
    "empty safetensors": ("a.safetensors", b"", "it is empty"),
    "text": ("a.pth", b"Not a checkpoint.\n" * 9, "it is no PyTorch checkpoint, or a damaged one"),
    "text as safetensors": ("a.safetensors", b"Not a checkpoint.\n" * 9, "it is no safetensors file"),
    "zip of something else": ("a.pth", b"PK\x05\x06" + bytes(18), "it is damaged or cut short"),
    "wrong suffix": ("a.tar", dump(EDGE), "its suffix is '.tar'"),
    "discriminator": ("a.pth", dump({"discriminator": DISCRIMINATOR}), "it holds a discriminator"),
    "bare discriminator": ("a.pth", dump(DISCRIMINATOR), "it holds a discriminator"),
    "tensor missing": ("a.pth", dump({k: EDGE[k] for k in EDGE if k != WEIGHT}), f"1 missing ({WEIGHT})"),
    "tensor too many": ("a.pth", dump(EDGE | {"head.bias": torch.ones(1)}), "1 extra (head.bias)"),
    "tensor misshapen": (
        "a.pth",
        altered(WEIGHT, lambda t: t[:, :, :3]),
        f"{WEIGHT} is (8, 4, 3, 4), not (8, 4, 4, 4)",
    ),
    "bits for weights": (
        "a.pth",
        altered("decoder.7.bias", lambda t: t.to(torch.uint8).view(torch.bits8)),
        "'decoder.7.bias' is torch.bits8. Save the weights as floating point numbers",
    ),
    "NaN": ("a.pth", altered(WEIGHT, poisoned(float("nan"))), f"'{WEIGHT}' holds NaN or infinity"),
    "infinity": ("a.pth", altered("decoder.7.bias", poisoned(float("inf"))), "'decoder.7.bias' holds NaN or infinity"),
}


@pytest.mark.parametrize("case", FILES)
def test_bad_file_is_refused(tmp_path: Path, case: str) -> None:
    file, data, said = FILES[case]
    (tmp_path / file).write_bytes(data)
    require_refused_conversion(tmp_path, tmp_path / file, "--to", "onnx", "-o", tmp_path / "new" / "out", said=said)


def test_net_that_gives_nan_is_the_checkpoints_fault(tmp_path: Path) -> None:
    """Every tensor is finite; a spectral norm of 0 divides by it."""
    path = tmp_path / "net.pth"
    path.write_bytes(altered("encoder.4.weight_u", torch.zeros_like))
    require_refused_conversion(
        tmp_path,
        path,
        "--to",
        "onnx",
        "-o",
        tmp_path / "out",
        said="of its output 'edges_out' are NaN or infinite. Take an earlier checkpoint: this net has diverged",
    )


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    require_refused_conversion(
        tmp_path, tmp_path / "no.pth", "--to", "onnx", "-o", tmp_path / "out", said="no such file"
    )
    (tmp_path / "folder.pth").mkdir()
    require_refused_conversion(
        tmp_path, tmp_path / "folder.pth", "--to", "onnx", "-o", tmp_path / "out", said="it is a folder"
    )
    long = tmp_path / ("x" * 300 + ".pth")
    require_refused_conversion(tmp_path, long, "--to", "onnx", "-o", tmp_path / "out", said="File name too long")


def test_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.pth")
    before = list(tmp_path.iterdir())
    with time_limit(30):
        result = run_ganport("convert", tmp_path / "a.pth", "--to", "onnx", "-o", tmp_path / "out")
    assert (result.exit_code, list(tmp_path.iterdir())) == (1, before)
    assert "it is no regular file" in result.stderr


@pytest.mark.parametrize(
    ("file", "data"),
    [("a.pth", dump(EDGE)), ("a.pt", dump(EDGE, legacy=True)), ("a.safetensors", save(EDGE))],
    ids=["zip", "legacy", "safetensors"],
)
def test_file_cut_short_anywhere_is_refused(tmp_path: Path, file: str, data: bytes) -> None:
    lengths = {1, 2, 8, 64, 512, len(data) - 1, len(data) - 2} | set(range(3, len(data), len(data) // 25))
    for length in sorted(lengths):
        (tmp_path / file).write_bytes(data[:length])
        require_refused_conversion(
            tmp_path, tmp_path / file, "--to", "onnx", "-o", tmp_path / "out", said="Download or copy it"
        )


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.function, self.args


ATTACKS: dict[str, Callable[[str], Call]] = {
    "os.system": lambda marker: Call(os.system, f"touch '{marker}'"),
    "eval": lambda marker: Call(eval, f"open({marker!r}, 'w').close()"),
    "exec": lambda marker: Call(exec, f"open({marker!r}, 'w').close()"),
    "open": lambda marker: Call(open, marker, "w"),
    "subprocess": lambda marker: Call(subprocess.check_call, ["touch", marker]),
}
CARRIERS: dict[str, Callable[[Call], bytes]] = {
    "zip": lambda call: dump({"iteration": 1, "generator": EDGE | {"x": call}}),
    "zip, alone": dump,
    "legacy": lambda call: dump({"generator": EDGE, "optimizer": call}, legacy=True),
    "pickle": pickle.dumps,
    "pickle 0": lambda call: pickle.dumps({"generator": call}, protocol=0),
    "pickle 2": lambda call: pickle.dumps([EDGE, call], protocol=2),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_pickle_that_would_run_code_is_refused_and_runs_nothing(tmp_path: Path, attack: str, carrier: str) -> None:
    marker, path = tmp_path / "marker", tmp_path / "a.pth"
    data = CARRIERS[carrier](ATTACKS[attack](str(marker)))
    path.write_bytes(data)
    said = "it is no PyTorch checkpoint" if carrier == "pickle 0" else "nothing in it was run"
    require_refused_conversion(tmp_path, path, "--to", "onnx", "-o", tmp_path / "out", said=said)
    # The attack is a real one: an unsafe reader falls for it.
    if carrier.startswith("pickle"):
        pickle.loads(data)
    else:
        torch.load(path, weights_only=False)
    assert marker.exists()


@pytest.mark.parametrize(
    ("options", "exit_code", "said"),
    [
        (["--to", "tflite"], 2, "'tflite' is no target"),
        (["--to", "onnx,"], 2, "'' is no target"),
        ([], 2, "Missing option '--to'"),
        (["--to", "onnx", "--size", "text"], 2, "'text' is no size"),
        (["--to", "onnx", "--size", "64x"], 2, "'64x' is no size"),
        (["--to", "onnx", "--size", "-4x64"], 2, "'-4x64' is no size"),
        (["--to", "onnx", "--size", "0x64"], 2, "'0x64' is out of bounds"),
        (["--to", "onnx", "--size", "99999999x64"], 2, "'99999999x64' is out of bounds"),
        (["--to", "onnx", "--size", "12x13"], 1, "13"),
        (["--to", "onnx", "--size", "8x8"], 1, "12 or more"),
        (["--to", "trt", "--trt-min", "2048x2048"], 2, "H is 2048 for the smallest, 2048 for the tuned"),
        (["--to", "onnx", "--trt-max", "128x128"], 2, "--trt-max is for the target trt, which --to does not name"),
        (["--to", "trt", "--size", "64x64", "--trt-opt", "64"], 2, "With --size an engine takes that size alone"),
        (["--to", "trt", "--trt-opt", "big"], 2, "'big' is no size"),
        (["--to", "onnx", "--small"], 2, "--small is for the ONNX file of --tune cpu"),
        (["--to", "mxnet", "--tune", "cpu", "--small"], 2, "--small is for the ONNX file of --tune cpu"),
        (["--to", "onnx", "--name", "a/b"], 2, "is no folder name"),
        (["--to", "onnx", "--name", ".."], 2, "is no folder name"),
        (["--to", "onnx", "--name", ""], 2, "is no folder name"),
        (["--to", "onnx", "--name", "two\nlines"], 2, r"'two\nlines' is no folder name"),
        (["--to", "onnx", "--name", "back\\slash"], 2, "is no folder name"),
        (["--to", "onnx", "--name", "x" * 300], 1, "File name too long"),
        (["--to", "onnx", "--fast"], 2, "No such option"),
        (["--to", "onnx", "--inputs", "\udcff.npz"], 2, r"'\udcff.npz' is not UTF-8: rename it"),
    ],
)
def test_bad_option_is_refused(
    checkpoints: Mapping[str, Path], tmp_path: Path, options: list[str], exit_code: int, said: str
) -> None:
    args = (checkpoints["edge"], "-o", tmp_path / "new" / "out", *options)
    require_refused_conversion(tmp_path, *args, said=said, exit_code=exit_code)


def test_one_name_for_two_models_is_a_usage_error(checkpoints: Mapping[str, Path], tmp_path: Path) -> None:
    args = (*checkpoints.values(), "--to", "onnx", "--name", "one", "-o", tmp_path / "out")
    require_refused_conversion(tmp_path, *args, said="--name names one bundle", exit_code=2)
    require_refused_conversion(tmp_path, *args[2:], said="--name names one bundle", exit_code=2)


def test_every_checkpoint_is_read_before_anything_is_written(checkpoints: Mapping[str, Path], tmp_path: Path) -> None:
    (tmp_path / "bad.pth").write_bytes(b"")
    args = (checkpoints["edge"], tmp_path / "bad.pth", "--to", "onnx", "-o", tmp_path / "out")
    require_refused_conversion(tmp_path, *args, said="bad.pth: it is empty")
