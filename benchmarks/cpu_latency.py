"""How long a net takes on a CPU: the files of `--tune cpu` against what others make of the same checkpoint.

    python benchmarks/cpu_latency.py [EDGE.pth INPAINT.pth ...] [--runs 7] [--size 256x256 --size 512x512]

Nets of the published size with seeded weights if no checkpoint is named: EdgeConnect's two, and LaMa. Every contestant
is given the same photo, shapes are static where that helps it, all have the same two threads, and they run in turn. One
that cannot take a net is named with its reason. Writes results/cpu_latency.json and .svg. Needs the extras mxnet and
bench.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import click
import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from benchmarks.cpu_latency_plot import draw
from converters.bench.measure import read_environment
from converters.convert import Settings, convert
from converters.onnx_graph.simplify import simplify
from converters.parity.inputs import make_input
from converters.runners import OnnxRunner, TorchRunner
from converters.sources.export_torch import export_onnx, fix_size
from converters.sources.spectral_norm import fold_spectral_norm
from converters.targets.mxnet.ops import OPS, Emitter, Value
from converters.targets.mxnet.runtime import MxnetRunner
from converters.targets.mxnet.write import convert_to_mxnet
from converters.tensors import Array, Tensors
from converters.terminal.options import read_size
from parity_tests.support import lama_states
from parity_tests.support.seeded_checkpoints import FULL_BASE, FULL_BLOCKS, NETS, write_checkpoint
from reference.checkpoint import read_checkpoint
from reference.model import ReferenceModel
from reference.registry import identify

RESULTS = Path(__file__).parent / "results" / "cpu_latency.json"
THREADS = 2
WARM_UP = 2
LAMA_BLOCKS = 18
# Idle threads of any runtime spin for some milliseconds after a run.
PAUSE_S = 0.1
OURS = "ganport --tune cpu, ONNX Runtime"
OURS_MXNET = "ganport --tune cpu, MXNet"
LITERAL_MXNET = "MXNet, literal"
# Not float32, so no peer of a float32 file; shown beside, where the processor has such arithmetic.
BF16 = "OpenVINO bf16"
Run = Callable[[], Array]


def open_torch(module: nn.Module, feeds: list[torch.Tensor]) -> Iterator[tuple[str, Run]]:
    """Eager, channels last, and compiled with frozen weights."""

    def run_with(net: nn.Module, given: list[torch.Tensor]) -> Run:
        def run() -> Array:
            with torch.inference_mode():
                result: Array = net(*given).numpy()
            return result

        return run

    yield "torch eager", run_with(module, feeds)
    last = fold_spectral_norm(module).to(memory_format=torch.channels_last)
    yield "torch channels_last", run_with(last, [feed.to(memory_format=torch.channels_last) for feed in feeds])
    import torch._inductor.config as inductor

    inductor.freezing = True
    compiled = torch.compile(fold_spectral_norm(module))

    def run_compiled() -> Array:
        with torch.no_grad():
            result: Array = compiled(*feeds).numpy()
        return result

    yield "torch.compile, frozen", run_compiled


def open_onnxruntime(model: onnx.ModelProto, feeds: Tensors) -> Run:
    """A graph as torch exported it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, dict(feeds))[0]


def open_openvino(model: onnx.ModelProto, feeds: Tensors, precision: str) -> Run | None:
    """The same graph, static, in the precision named f32 or bf16; None where OpenVINO does not have it here."""
    import openvino

    read = openvino.Core().read_model(model.SerializeToString())
    settings = {
        "INFERENCE_NUM_THREADS": THREADS,
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
    }
    if precision == "bf16" and "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return None
    compiled = openvino.Core().compile_model(read, "CPU", settings)
    return lambda: compiled(dict(feeds))[0]


def open_mnn(model: onnx.ModelProto, feeds: Tensors, folder: Path) -> Run:
    """The same graph, static, float32."""
    # The module MNN.tools would install a package that reports its use; the converter is in this one.
    import _tools
    import MNN

    path = folder / "net.onnx"
    onnx.save(model, path)
    written = folder / "net.mnn"
    words = ("-f", "ONNX", "--modelFile", str(path), "--MNNModel", str(written), "--bizCode", "bench")
    _tools.mnnconvert(["mnnconvert", *words])
    settings = {"backend": 0, "precision": "high", "numThread": THREADS}
    names = list(feeds), [value.name for value in model.graph.output]
    net = MNN.nn.load_module_from_file(str(written), *names, runtime_manager=MNN.nn.create_runtime_manager((settings,)))
    given = {name: np.ascontiguousarray(array) for name, array in feeds.items()}

    def run() -> Array:
        expr = MNN.expr
        result = net.forward([expr.const(array, list(array.shape), expr.NCHW) for array in given.values()])
        first = result[0] if isinstance(result, list | tuple) else result
        return np.array(expr.convert(first, expr.NCHW).read())

    return run


def open_ncnn(module: nn.Module, feeds: list[torch.Tensor], folder: Path) -> Run:
    """The net through pnnx, float32."""
    import ncnn
    import pnnx

    traced = folder / "net.pt"
    pnnx.export(fold_spectral_norm(module), str(traced), tuple(feeds), fp16=False, check_trace=False)
    net = ncnn.Net()
    net.opt.num_threads = THREADS
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    net.load_param(str(folder / "net.ncnn.param"))
    net.load_model(str(folder / "net.ncnn.bin"))
    given = [ncnn.Mat(feed[0].numpy()).clone() for feed in feeds]

    def run() -> Array:
        extractor = net.create_extractor()
        for index, mat in enumerate(given):
            extractor.input(f"in{index}", mat)
        return np.array(extractor.extract("out0")[1])[None]

    return run


def write_literal_mxnet(waist: onnx.ModelProto, folder: Path) -> tuple[Path, Path]:
    """One MXNet operator for each of ONNX's, its own InstanceNorm too."""

    def literal_norm(emit: Emitter, x: Value, scale: Value, b: Value, *, epsilon: float = 1e-5) -> Value:
        return emit("InstanceNorm", x, scale, b, eps=epsilon)

    with patch.dict(OPS._converters, {"InstanceNormalization": {6: literal_norm}}):
        files = convert_to_mxnet(waist)
    symbol, params = folder / "literal-symbol.json", folder / "literal-0000.params"
    symbol.write_text(files.symbol_json)
    params.write_bytes(files.params)
    return symbol, params


def open_contestants(
    model: ReferenceModel, bundle: Path, free: onnx.ModelProto, size: tuple[int, int], feeds: Tensors, folder: Path
) -> tuple[dict[str, Run], dict[str, str]]:
    """Everybody by name, and why some do not run; `free` is the graph of free sizes."""
    (output,) = (spec.name for spec in model.outputs)
    tensors = [torch.from_numpy(feeds[spec.name]) for spec in model.inputs]
    module = fold_spectral_norm(model.module)
    exported = export_onnx(fix_size(model, size), module, size)
    static = simplify(exported)
    contestants = dict(open_torch(model.module, tensors))
    not_run: dict[str, str] = {}
    contestants["torch.onnx.export, ONNX Runtime"] = open_onnxruntime(exported, feeds)
    for name, precision in (("OpenVINO float32", "f32"), (BF16, "bf16")):
        opened = open_openvino(static, feeds, precision)
        if opened is not None:
            contestants[name] = opened
    if BF16 not in contestants:
        not_run[BF16] = "this processor has no bfloat16 arithmetic"
    openers = {
        "ncnn (pnnx)": lambda: open_ncnn(module, tensors, folder),
        "MNN": lambda: open_mnn(static, feeds, folder),
    }
    for name, open_it in openers.items():
        try:
            run = open_it()
            run()
            contestants[name] = run
        except Exception as error:  # of other people's converters, of any kind
            not_run[name] = (str(error).strip().splitlines() or [type(error).__name__])[0]
    literal = MxnetRunner(*write_literal_mxnet(free, folder), model.inputs, model.outputs)
    contestants[LITERAL_MXNET] = lambda: literal.run(feeds)[output]
    name = bundle.name
    ours = OnnxRunner(bundle / f"{name}.onnx", model.inputs, model.outputs, threads=THREADS)
    contestants[OURS] = lambda: ours.run(feeds)[output]
    pair = (bundle / f"{name}-symbol.json", bundle / f"{name}-0000.params")
    ours_mxnet = MxnetRunner(*pair, model.inputs, model.outputs)
    contestants[OURS_MXNET] = lambda: ours_mxnet.run(feeds)[output]
    return contestants, not_run


def measure_gemm() -> float:
    """What this machine can do: GFLOP/s of a float32 matrix product in torch, median of 9."""
    side = 2048
    a, b = torch.rand(side, side), torch.rand(side, side)
    times = []
    for _ in range(9):
        start = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - start)
    return 2 * side**3 / statistics.median(times) / 1e9


@contextmanager
def tuned_bundles(checkpoints: tuple[Path, ...]) -> Iterator[dict[Path, Path]]:
    """A bundle of tuned files for each checkpoint."""
    with tempfile.TemporaryDirectory() as scratch:
        paths = checkpoints or (
            *(write_checkpoint(Path(scratch), net, FULL_BASE, FULL_BLOCKS) for net in NETS),
            lama_states.write_checkpoint(Path(scratch), "fourier", FULL_BASE, LAMA_BLOCKS),
        )
        start = time.perf_counter()
        made = list(convert(paths, Settings(("onnx", "mxnet"), Path(scratch) / "out", tune=True), print))
        print(f"converted in {time.perf_counter() - start:.0f} s")
        yield {path: conversion.bundle.folder for path, conversion in zip(paths, made, strict=True)}


def measure(contestants: dict[str, Run], expected: Array, runs: int) -> dict[str, dict[str, object]]:
    """Latencies in turn, and errors against float64."""
    errors = {name: float(np.abs(run().astype(np.float64) - expected).max()) for name, run in contestants.items()}
    for run in contestants.values():
        for _ in range(WARM_UP - 1):
            run()
    latencies: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(runs):
        for name, run in contestants.items():
            time.sleep(PAUSE_S)
            start = time.perf_counter()
            run()
            latencies[name].append(1000 * (time.perf_counter() - start))
    return {
        name: {"median_ms": statistics.median(times), "latencies_ms": times, "max_abs_error": errors[name]}
        for name, times in latencies.items()
    }


@click.command()
@click.argument("checkpoints", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--runs", default=7, show_default=True)
@click.option("--size", "sizes", type=read_size, multiple=True, default=["256x256", "512x512"], show_default=True)
def main(checkpoints: tuple[Path, ...], runs: int, sizes: tuple[tuple[int, int], ...]) -> None:
    """Measure and record."""
    torch.set_num_threads(THREADS)
    os.environ["OMP_NUM_THREADS"] = str(THREADS)  # which MXNet takes
    rows = []
    with tuned_bundles(checkpoints) as bundles:
        gemm = measure_gemm()
        for path, bundle in bundles.items():
            checkpoint = read_checkpoint(path)
            model = identify(checkpoint).build(checkpoint)
            free = simplify(export_onnx(model, fold_spectral_norm(model.module)))
            for size in sizes:
                rows.append(measure_net(path, bundle, free, size, runs))
                print_row(rows[-1])
    record = {"environment": read_environment(THREADS), "gemm_gflops": gemm, "runs": runs, "nets": rows}
    RESULTS.write_text(json.dumps(record, indent=2) + "\n")
    draw(record, RESULTS.with_suffix(".svg"))
    print(f"matrix products: {gemm:.0f} GFLOP/s; {RESULTS}")


def measure_net(path: Path, bundle: Path, free: onnx.ModelProto, size: tuple[int, int], runs: int) -> dict[str, object]:
    """One net at one size."""
    checkpoint = read_checkpoint(path)
    model = identify(checkpoint).build(checkpoint)
    given = make_input([("coffee", "large")], size)
    feeds = model.make_feeds(given.photo, given.edges, given.mask)
    (output,) = (spec.name for spec in model.outputs)
    expected = TorchRunner(identify(checkpoint).build(checkpoint).module.double(), model.inputs, model.outputs).run(
        feeds
    )
    with tempfile.TemporaryDirectory() as scratch:
        contestants, not_run = open_contestants(model, bundle, free, size, feeds, Path(scratch))
        measured = measure(contestants, expected[output], runs)
    medians = {name: float(str(row["median_ms"])) for name, row in measured.items()}
    peers = {name: ms for name, ms in medians.items() if name not in (OURS, OURS_MXNET, BF16)}
    fastest = min(peers, key=lambda name: peers[name])
    return {
        "net": model.architecture,
        "hyperparameters": dict(model.hyperparameters),
        "size": list(size),
        "fastest_float32_peer": fastest,
        "ratio": medians[OURS] / peers[fastest],
        "mxnet_ratio": medians[OURS_MXNET] / medians[LITERAL_MXNET],
        "contestants": measured,
        "not_run": not_run,
    }


def print_row(row: dict[str, object]) -> None:
    """One net's table."""
    print(f"{row['net']} {row['size']}")
    measured = row["contestants"]
    assert isinstance(measured, dict)
    for name, facts in sorted(measured.items(), key=lambda item: item[1]["median_ms"]):
        print(f"  {name:36} {facts['median_ms']:8.0f} ms  max abs error {facts['max_abs_error']:.1e}")
    for name, why in row["not_run"].items():
        print(f"  {name:36} not run: {why}")
    print(f"  {row['ratio']:.2f} x {row['fastest_float32_peer']}; MXNet {row['mxnet_ratio']:.2f} x literal")


if __name__ == "__main__":
    main()
