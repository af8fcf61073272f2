"""The exporter's rule that takes time with the square of a graph's nodes is left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnxscript.rewriter.rules.common import slice_split_rule

from converters.sources.export_torch import export_onnx
from converters.sources.spectral_norm import fold_spectral_norm
from parity_tests.support.seeded_checkpoints import write_checkpoint
from reference.checkpoint import read_checkpoint
from reference.registry import identify


def test_export_does_not_try_the_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[object] = []
    monkeypatch.setattr(slice_split_rule, "try_rewrite", lambda *given, **options: tried.append(given))
    ours = slice_split_rule.try_rewrite
    checkpoint = read_checkpoint(write_checkpoint(tmp_path, "edge"))
    model = identify(checkpoint).build(checkpoint)
    export_onnx(model, fold_spectral_norm(model.module))
    assert tried == []
    assert slice_split_rule.try_rewrite is ours  # as it was before
