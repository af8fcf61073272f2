"""Build a TensorRT engine from an ONNX graph. TensorRT-RTX needs no GPU for that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnx import ModelProto, TensorProto

from converters.errors import ConversionError, MissingPackageError
from converters.onnx_graph.serialize import serialize
from converters.targets.profile import Profile
from converters.targets.tensorrt.compare_network import compare_network
from converters.targets.tensorrt.runtime import load_tensorrt, open_logger, package_name

# Refused in inputs and weights: an engine is named and judged as float32.
REFUSED_TYPES = (TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)

# Where an engine runs, by the package that built it; recorded in the manifest.
NOTES = {
    "tensorrt-rtx": "Portable: TensorRT-RTX finishes it on the user's GPU at load; its support table names Turing, "
    "Ampere, Ada and Blackwell, no data-centre Hopper.",
    "tensorrt": "It runs on the GPU model and with the TensorRT version that it was built with.",
}


@dataclass(frozen=True)
class EngineBuild:
    """An engine, and facts about its build.

    Attributes:
        engine: The file's bytes, which must not be altered.
        package: "tensorrt" or "tensorrt-rtx".
        version: The package's version.
        compared: Number of ONNX nodes that were compared with the parsed network, by operator.
        profile: The sizes that it takes, as `Profile.to_json` gives them; None for static shapes.
    """

    engine: bytes
    package: str
    version: str
    compared: Mapping[str, int]
    profile: Mapping[str, Any] | None

    @property
    def details(self) -> dict[str, Any]:
        """Facts for the manifest."""
        return {"compared_with_the_graph": dict(self.compared), "profile": self.profile, "tf32": False}


def build_engine(waist: ModelProto, profile: Profile) -> EngineBuild:
    """Parse the graph, compare the parsed network with the graph, and build an engine: float32, TF32 off.

    Args:
        waist: The simplified ONNX graph.
        profile: The sizes that the engine shall take; has no effect if all inputs have static shapes.

    Raises:
        MissingPackageError: TensorRT or, for `tensorrt`, a GPU is missing.
        ConversionError: the graph is of another precision, the parser refuses a node or changes one, or the builder
            fails.
    """
    _require_float32(waist)
    trt = load_tensorrt()
    log = open_logger(trt)
    try:
        builder = trt.Builder(log)
    except (TypeError, RuntimeError) as error:
        raise MissingPackageError(
            package_name(trt), f"its builder does not start ({log.first_error()})", "Check the GPU"
        ) from error
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(serialize(waist)):
        refusal = parser.get_error(0)
        raise ConversionError(
            f"node '{refusal.node_name()}' ({refusal.node_operator()})",
            f"TensorRT's parser refuses it ({_one_line(refusal.desc())})",
            "Use operators that TensorRT knows",
        )
    compared = compare_network(trt, network, waist)
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    free = any(-1 in network.get_input(i).shape for i in range(network.num_inputs))
    if free:
        config.add_optimization_profile(_make_optimization_profile(builder, network, profile))
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ConversionError(
            "TensorRT's builder", f"it built nothing ({log.first_error()})", "Report this with the file"
        )
    return EngineBuild(bytes(engine), package_name(trt), trt.__version__, compared, profile.to_json() if free else None)


def _require_float32(graph: ModelProto) -> None:
    """Refuse a graph that holds floats of another width.

    Raises:
        ConversionError: an input or a weight is float16, float64 or bfloat16.
    """
    types = [("input", value.name, value.type.tensor_type.elem_type) for value in graph.graph.input]
    types += [("weight", tensor.name, tensor.data_type) for tensor in graph.graph.initializer]
    for role, name, element_type in types:
        if element_type in REFUSED_TYPES:
            raise ConversionError(
                f"{role} '{name}'",
                f"it is {TensorProto.DataType.Name(element_type)}",
                "An engine is built of float32: export it so",
            )


def _make_optimization_profile(builder: Any, network: Any, profile: Profile) -> Any:
    """TensorRT's profile object: the smallest, optimum and largest shape of every input.

    A free first axis gets N of `profile`; a free third or fourth of four axes gets H or W.

    Raises:
        ConversionError: an input has another free axis.
    """
    shapes = builder.create_optimization_profile()
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        rank = len(tensor.shape)
        limits = []
        for n, (height, width) in zip(profile.batches, profile.sizes, strict=True):
            sizes = {0: n, 2: height, 3: width} if rank == 4 else {0: n}
            limits.append([sizes.get(axis, -1) if size == -1 else size for axis, size in enumerate(tensor.shape)])
        if -1 in limits[0]:
            raise ConversionError(
                f"input '{tensor.name}'",
                f"its axis {limits[0].index(-1)} of {rank} is free, and a profile gives only N, H and W",
                "Export it with that size fixed",
            )
        shapes.set_shape(tensor.name, *map(tuple, limits))
    return shapes


def _one_line(text: str) -> str:
    return "; ".join(line.strip() for line in text.splitlines() if line.strip()).rstrip(".")
