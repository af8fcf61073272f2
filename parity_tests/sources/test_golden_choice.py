"""The golden case is one of the parity inputs, whose outputs are known already."""

from __future__ import annotations

from pathlib import Path

import pytest

from converters.errors import ParityError
from converters.runners import TorchRunner
from converters.sources.torch_source import open_torch
from parity_tests.support.seeded_checkpoints import write_checkpoint
from reference.checkpoint import read_checkpoint
from reference.registry import identify


def test_golden_case_is_an_input_not_avoided_and_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = read_checkpoint(write_checkpoint(tmp_path, "inpaint"))
    source = open_torch(identify(checkpoint).build(checkpoint), None)
    expected = source.run_inputs()
    monkeypatch.setattr(TorchRunner, "run", None)  # any further run would fail
    names = [given.name for given in expected.inputs]
    avoid: list[str] = []
    for name in (names[-1], "astronaut/border 12x12"):
        golden = source.run_golden(avoid)
        assert [given.name for given in golden.inputs] == [name]
        assert golden.feeds[0] is expected.feeds[names.index(name)]
        assert golden.float32[0] is expected.float32[names.index(name)]
        avoid.append(name)
    with pytest.raises(ParityError, match="float32 is in doubt on every input"):
        source.run_golden(names)
