"""A graph as TensorRT's parser reads it."""

from __future__ import annotations

from typing import Any

from onnx import ModelProto

from converters.targets.tensorrt.compare_network import compare_network
from converters.targets.tensorrt.runtime import load_tensorrt, open_logger


class Parsed:
    """A network as TensorRT parses it; keeps alive what the network needs."""

    def __init__(self, model: ModelProto) -> None:
        self.trt = load_tensorrt()
        self._log = open_logger(self.trt)
        self._builder = self.trt.Builder(self._log)
        self.network = self._builder.create_network(0)
        self._parser = self.trt.OnnxParser(self.network, self._log)
        assert self._parser.parse(model.SerializeToString()), self._log.errors

    def layer(self, name: str, layer_class: str) -> Any:
        (layer,) = (layer for i in range(self.network.num_layers) if (layer := self.network.get_layer(i)).name == name)
        layer.__class__ = getattr(self.trt, layer_class)
        return layer

    def compare(self, model: ModelProto) -> dict[str, int]:
        return compare_network(self.trt, self.network, model)
