"""A net whose float32 is doubtful on most inputs is judged by its excess error, and the verdict says on how many."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from parity_tests.support.command import run_ganport
from parity_tests.support.seeded_checkpoints import FILES, make_state

ITEMS = 11
# 8 were seen; another CPU may round an item or two the other side of the gate.
LEAST_BY_EXCESS = 4


def test_net_with_a_large_last_layer_is_judged_on_every_input_that_says_anything(tmp_path: Path) -> None:
    state = make_state("inpaint")
    for key in ("decoder.7.weight", "decoder.7.bias"):
        state[key] = state[key] * 16
    path = tmp_path / FILES["inpaint"]
    torch.save({"iteration": 1, "generator": state}, path)
    done = run_ganport("convert", path, "--to", "onnx", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    bundle = tmp_path / "out" / "edgeconnect-inpaint"
    (rung,) = (rung for rung in json.loads((bundle / "parity.json").read_text())["rungs"] if rung["rung"] == "onnx")
    assert (rung["items"], rung["judged_items"]) == (ITEMS, ITEMS - 1)
    assert rung["by_excess_items"] >= LEAST_BY_EXCESS
    said = f"(of {ITEMS} items {rung['by_excess_items']} by excess error alone, 1 ill-conditioned and not judged)"
    assert said in " ".join(done.stdout.split())
    (artifact,) = json.loads((bundle / "manifest.json").read_text())["artifacts"]
    assert artifact["parity"]["judged_items"] == ITEMS - 1
    assert run_ganport("verify", bundle).exit_code == 0
