"""TensorrtRunner: on a GPU where there is one, and everywhere against a stand-in that keeps to the documentation."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from converters.convert import Conversion
from converters.errors import BundleError, FeedError, ProfileError, UnrunnableError
from converters.parity.gates import GATES
from converters.targets.target import Artifact
from converters.targets.tensorrt import runtime as tensorrt_runtime
from converters.targets.tensorrt.runtime import TensorrtRunner, has_gpu
from converters.targets.tensorrt.target import TensorrtTarget
from converters.tensors import Signature, TensorSpec
from parity_tests.support import tensorrt_stand_in as stand_in

NETS = ("edge", "inpaint")
FREE = ("N", 2, "H", "W")
INPUTS = (TensorSpec("left", FREE), TensorSpec("right", FREE))
OUTPUTS = (TensorSpec("total", FREE),)


class Machine:
    """A stand-in machine with one engine file on it."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, shape: stand_in.Shape) -> None:
        self.cuda = stand_in.Cuda()
        self.tensorrt = stand_in.Tensorrt(self.cuda, shape)
        self.engine = folder / "m.engine"
        self.engine.write_bytes(b"engine")
        patch.setitem(sys.modules, "cuda.bindings.runtime", self.cuda)
        patch.setattr(tensorrt_runtime, "load_tensorrt", lambda: self.tensorrt)
        patch.setattr(tensorrt_runtime, "gpu", lambda: stand_in.GPU)

    def open(self) -> TensorrtRunner:
        return TensorrtRunner(self.engine, INPUTS, OUTPUTS)

    def fail(self, call: str) -> None:
        assert self.tensorrt.engine is not None
        assert self.tensorrt.engine.context is not None
        self.tensorrt.engine.context.fails = call


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch, stand_in.WILDCARD)


@pytest.fixture
def static_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch, (1, 2, 16, 24))


def make_feeds(*shape: int) -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(shape[-1])
    return {name: random.random(shape, np.float32) for name in ("left", "right")}


def test_each_run_gives_its_own_outputs_and_frees_what_it_took(machine: Machine) -> None:
    with machine.open() as runner:
        for shape in ((1, 2, 8, 8), (2, 2, 32, 16), (1, 2, 8, 8)):
            feeds = make_feeds(*shape)
            (total,) = runner.run(feeds).values()
            np.testing.assert_array_equal(total, 2 * feeds["left"] + feeds["right"], strict=True)
            assert machine.cuda.memory == {}
            assert machine.cuda.queue == []
    assert machine.cuda.streams == set()


def test_feeds_need_not_be_contiguous(machine: Machine) -> None:
    feeds = {name: array[:, ::-1, :, ::2] for name, array in make_feeds(1, 2, 8, 16).items()}
    with machine.open() as runner:
        np.testing.assert_array_equal(runner.run(feeds)["total"], 2 * feeds["left"] + feeds["right"])


@pytest.mark.parametrize("shape", [(1, 2, 4, 8), (1, 2, 8, 36), (3, 2, 8, 8)])
def test_size_outside_the_profile_is_refused_with_the_profile(machine: Machine, shape: tuple[int, ...]) -> None:
    with machine.open() as runner, pytest.raises(ProfileError) as caught:
        runner.run(make_feeds(*shape))
    assert caught.value.where == f"{machine.engine}, input 'left'"
    assert caught.value.met == (f"its shape {shape} lies outside the engine's profile, (1, 2, 8, 8) to (2, 2, 32, 32)")


def test_static_engine_takes_its_own_size_and_no_other(static_machine: Machine) -> None:
    feeds = make_feeds(1, 2, 16, 24)
    with static_machine.open() as runner:
        np.testing.assert_array_equal(runner.run(feeds)["total"], 2 * feeds["left"] + feeds["right"])
        with pytest.raises(
            ProfileError, match=r"\(1, 2, 24, 16\) lies outside .* \(1, 2, 16, 24\) to \(1, 2, 16, 24\)"
        ):
            runner.run(make_feeds(1, 2, 24, 16))


def test_feeds_that_break_the_contract_are_refused(machine: Machine) -> None:
    with machine.open() as runner, pytest.raises(FeedError, match="another input's is 8"):
        runner.run({"left": np.zeros((1, 2, 8, 8), np.float32), "right": np.zeros((1, 2, 8, 16), np.float32)})


@pytest.mark.parametrize("call", ["set_input_shape", "infer", "set_tensor_address", "execute_async_v3"])
def test_call_that_fails_is_quoted_and_nothing_stays_allocated(machine: Machine, call: str) -> None:
    with machine.open() as runner:
        machine.fail(call)
        with pytest.raises(UnrunnableError) as caught:
            runner.run(make_feeds(1, 2, 8, 8))
        assert caught.value.met == f"it fails on {stand_in.GPU} ({call}: Error Code 3)"
        assert machine.cuda.memory == {}
        machine.fail("")
        runner.run(make_feeds(1, 2, 8, 8))


def test_later_failure_is_not_explained_by_an_earlier_one(machine: Machine) -> None:
    with machine.open() as runner:
        for call in ("set_input_shape", "execute_async_v3"):
            machine.fail(call)
            with pytest.raises(UnrunnableError, match=f"{call}: Error Code 3"):
                runner.run(make_feeds(1, 2, 8, 8))


@pytest.mark.parametrize("allocations", [0, 1, 2])
def test_full_gpu_is_our_own_error_and_gives_back_what_it_gave(machine: Machine, allocations: int) -> None:
    with machine.open() as runner:
        machine.cuda.allocations_left = allocations
        with pytest.raises(UnrunnableError, match="CUDA: a call failed with cudaErrorMemoryAllocation"):
            runner.run(make_feeds(1, 2, 8, 8))
    assert machine.cuda.memory == {}


def test_engine_that_does_not_deserialize_is_unrunnable(machine: Machine) -> None:
    machine.engine.write_bytes(b"")
    with pytest.raises(UnrunnableError, match=rf"{stand_in.GPU} does not load it \(not an engine\)"):
        machine.open()


def test_engine_that_gives_no_context_is_unrunnable(machine: Machine) -> None:
    machine.open()
    assert machine.tensorrt.engine is not None
    machine.tensorrt.engine.context = None
    with pytest.raises(UnrunnableError, match=rf"{stand_in.GPU} does not load it \(no reason given\)"):
        machine.open()


def test_engine_of_another_model_is_refused(machine: Machine) -> None:
    with pytest.raises(BundleError, match=r"its tensors are \['left', 'right', 'total'\], not \['left', 'total'\]"):
        TensorrtRunner(machine.engine, INPUTS[:1], OUTPUTS)


@pytest.mark.parametrize("wrong", [0, 0.5])
def test_readmes_code_runs_the_golden_case_and_shows_its_error(
    wrong: float, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Against the stand-in, as ganport's own runner; on a GPU it has not been run."""
    profile = {"minimum": [1, 8, 8], "optimum": [1, 16, 16], "maximum": [2, 32, 32]}
    details = {"note": "", "profile": profile}
    artifact = Artifact("trt", "float32", "tensorrt", ("m.engine",), {"tensorrt-rtx": "1.7"}, details)
    readme = TensorrtTarget().format_readme("m", Signature(INPUTS, OUTPUTS), artifact)
    assert "It takes N from 1 to 2 and HxW from 8x8 to 32x32, and is tuned for 16x16." in readme
    (code,) = re.findall(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    feeds = make_feeds(1, 2, 8, 16)
    (tmp_path / "golden").mkdir()
    for name, array in feeds.items():
        np.save(tmp_path / "golden" / f"input_{name}.npy", array)
    np.save(tmp_path / "golden" / "output_total.npy", 2 * feeds["left"] + feeds["right"] + np.float32(wrong))
    for name in ("cuda", "cuda.bindings"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(bindings=machine.cuda, runtime=machine.cuda))
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", machine.tensorrt)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    name, shape, error = re.fullmatch(r"(\w+) \((.*)\) (\S+)\n", capsys.readouterr().out).groups()  # type: ignore[union-attr]
    assert (name, shape) == ("total", "1, 2, 8, 16")
    assert float(error) == pytest.approx(wrong, abs=1e-6)


@pytest.mark.skipif(not has_gpu(), reason="no GPU: engines are built but not run here")
@pytest.mark.parametrize("net", NETS)
def test_engine_reproduces_the_golden_case_on_this_gpu(net: str, conversions: Mapping[str, Conversion]) -> None:
    bundle = conversions[net].bundle
    feeds, expected = bundle.golden()
    (artifact,) = (entry for entry in bundle.manifest.artifacts if entry.target == "trt")
    try:
        runner = TensorrtTarget().open([bundle.folder / artifact.files[0]], bundle.signature)
    except UnrunnableError as error:
        pytest.skip(str(error))
    with runner:
        actual = runner.run(feeds)
    for name, array in expected.items():
        assert np.abs(actual[name] - array).max() <= GATES["tensorrt"].max_abs
