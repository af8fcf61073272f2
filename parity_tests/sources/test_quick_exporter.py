"""What the exporter is spared changes nothing of what it writes."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from onnxscript.rewriter.rules.common import slice_split_rule
from torch.fx.experimental.sym_node import SymNode
from torch.onnx._internal.exporter._registration import ONNXRegistry

from converters.sources import quick_exporter
from converters.sources.export_torch import export_onnx
from converters.sources.spectral_norm import fold_spectral_norm
from parity_tests.support.seeded_checkpoints import write_checkpoint
from reference.checkpoint import read_checkpoint
from reference.registry import identify


def export(folder: Path) -> bytes:
    checkpoint = read_checkpoint(write_checkpoint(folder, "edge"))
    model = identify(checkpoint).build(checkpoint)
    return export_onnx(model, fold_spectral_norm(model.module)).SerializeToString(deterministic=True)


def test_export_does_not_try_the_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[object] = []
    monkeypatch.setattr(slice_split_rule, "try_rewrite", lambda *given, **options: tried.append(given))
    ours = slice_split_rule.try_rewrite
    export(tmp_path)
    assert tried == []
    assert slice_split_rule.try_rewrite is ours  # as it was before


def test_graph_is_the_same_where_every_size_is_worked_out_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names of values included; they tell how many nodes were traced."""
    worked_out = 0
    mul = SymNode.mul

    def count(a: SymNode, b: SymNode) -> SymNode:
        nonlocal worked_out
        worked_out += 1
        result: SymNode = mul(a, b)
        return result

    monkeypatch.setattr(SymNode, "mul", count)
    kept = export(tmp_path)
    few, worked_out = worked_out, 0
    assert SymNode.mul is count  # as it was before
    monkeypatch.setattr(quick_exporter, "_sizes_kept", contextlib.nullcontext)
    assert export(tmp_path) == kept
    assert worked_out > 5 * few


def test_graph_is_the_same_where_the_operators_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = export(tmp_path)
    monkeypatch.setattr(quick_exporter, "_operators_kept", contextlib.nullcontext)
    assert export(tmp_path) == kept


def test_what_one_export_adds_to_the_operators_is_not_there_in_the_next() -> None:
    with quick_exporter.quick_exporter():
        first, second = ONNXRegistry.from_torchlib(), ONNXRegistry.from_torchlib()
        assert first.functions == second.functions
        first.functions["net::own"] = []
        next(iter(first.functions.values())).clear()
        assert first.functions != second.functions == ONNXRegistry.from_torchlib().functions
