"""The registry that every writer's operators are in: no function twice, and the newest that an opset may use."""

from __future__ import annotations

import pytest

from converters.onnx_graph.op_registry import Registry


def test_second_function_for_an_operator_and_opset_raises() -> None:
    registry = Registry("any")
    registry.op("Relu", since=6)(lambda emit, x: x)
    registry.op("Relu", since=13)(lambda emit, x: x)
    with pytest.raises(ValueError, match="Relu since 13 is registered twice"):
        registry.op("Relu", since=13)(lambda emit, x: x)


def test_each_opset_gets_the_newest_function_that_it_may_use() -> None:
    registry = Registry("any")

    def old(emit: object, x: object) -> object:
        return x

    def new(emit: object, x: object) -> object:
        return x

    registry.op("Relu", since=6)(old)
    registry.op("Relu", since=13)(new)
    assert [registry.find("here", "Relu", opset) for opset in (6, 12, 13, 18)] == [old, old, new, new]
