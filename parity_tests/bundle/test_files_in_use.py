"""Whatever runs a file of a bundle checks it first: it lies inside, is regular, is listed, is what was listed."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converters.convert import Conversion
from converters.errors import BundleError
from converters.targets.tensorrt.chain import ChainRunner, Link, write_chain
from converters.tensors import TensorSpec
from parity_tests.support.command import require_refusal, rewrite_hashes, rewrite_sums, run_ganport, time_limit

NET = "edgeconnect-edge"


def point_at(folder: Path, file: str) -> None:
    """Let the manifest name another file as the net."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for artifact in manifest["artifacts"]:
        if artifact["target"] == "onnx":
            artifact["files"] = [file]
    (folder / "manifest.json").write_text(json.dumps(manifest))


def find_net(folder: Path) -> Path:
    (net,) = (path for path in folder.glob("edgeconnect*.onnx") if path.stem == folder.name)
    return net


def name_one_above(folder: Path) -> str:
    shutil.copy(find_net(folder), folder.parent / "outside.onnx")
    point_at(folder, "../outside.onnx")
    rewrite_sums(folder)
    return "'../outside.onnx' lies outside of it"


def name_one_by_its_whole_path(folder: Path) -> str:
    outside = shutil.copy(find_net(folder), folder.parent / "outside.onnx")
    point_at(folder, str(outside))
    rewrite_sums(folder)
    return f"'{outside}' lies outside of it"


def link_to_one_outside(folder: Path) -> str:
    net = find_net(folder)
    net.rename(folder.parent / "outside.onnx")
    net.symlink_to("../outside.onnx")
    return f"'{net.name}' is no regular file"


def link_to_a_folder_outside(folder: Path) -> str:
    (folder.parent / "nets").mkdir()
    shutil.copy(find_net(folder), folder.parent / "nets" / "net.onnx")
    (folder / "nets").symlink_to("../nets")
    point_at(folder, "nets/net.onnx")
    rewrite_sums(folder)
    return "is no regular file"


def put_a_pipe(folder: Path) -> str:
    net = find_net(folder)
    net.unlink()
    os.mkfifo(net)
    return f"'{net.name}' is no regular file"


def name_a_device(folder: Path) -> str:
    point_at(folder, "/dev/zero")
    rewrite_sums(folder)
    return "'/dev/zero' lies outside of it"


def damage(folder: Path) -> str:
    net = find_net(folder)
    data = bytearray(net.read_bytes())
    start = len(data) // 2
    data[start : start + 2000] = np.random.default_rng(0).bytes(2000)
    net.write_bytes(data)
    return f"'{net.name}' is not what"


def strike_from_the_list(folder: Path) -> str:
    net = find_net(folder)
    sums = folder / "SHA256SUMS"
    sums.write_text("".join(line for line in sums.read_text().splitlines(keepends=True) if net.name not in line))
    return f"'{net.name}' is not listed"


def drop_the_list(folder: Path) -> str:
    (folder / "SHA256SUMS").unlink()
    return "it holds no SHA256SUMS"


FAULTS: Sequence[Callable[[Path], str]] = (
    name_one_above,
    name_one_by_its_whole_path,
    link_to_one_outside,
    link_to_a_folder_outside,
    put_a_pipe,
    name_a_device,
    damage,
    strike_from_the_list,
    drop_the_list,
)


# `verify` meets every fault, the others those of each kind: they share the check.
TRIED = [
    *(("verify", fault) for fault in FAULTS),
    *(("parity", fault) for fault in (name_one_above, damage)),
    *(("bench", fault) for fault in (name_one_above, put_a_pipe, damage, strike_from_the_list)),
]


@pytest.mark.parametrize(("command", "fault"), TRIED, ids=[f"{command}-{fault.__name__}" for command, fault in TRIED])
def test_net_that_is_not_the_bundles_own_is_not_run(
    command: str,
    fault: Callable[[Path], str],
    conversions: Mapping[str, Conversion],
    checkpoints: Mapping[str, Path],
    tmp_path: Path,
) -> None:
    folder = shutil.copytree(conversions["edge"].bundle.folder, tmp_path / NET)
    said = fault(folder)
    rest = {"verify": [], "parity": ["--checkpoint", checkpoints["edge"]], "bench": ["--size", "32x32", "--runs", "1"]}[
        command
    ]
    with time_limit(60):
        result = run_ganport(command, folder, *rest)
    require_refusal(result, said)


@pytest.mark.parametrize("fault", [name_one_above, name_a_device, damage], ids=lambda fault: fault.__name__)
def test_photo_is_not_filled_by_a_net_that_is_not_the_bundles_own(
    fault: Callable[[Path], str], shipped_pipeline: Conversion, tmp_path: Path
) -> None:
    folder = shutil.copytree(shipped_pipeline.bundle.folder, tmp_path / "edgeconnect")
    said = fault(folder)
    Image.new("RGB", (40, 36), (200, 90, 30)).save(tmp_path / "photo.png")
    Image.new("L", (40, 36), 255).save(tmp_path / "mask.png")
    with time_limit(60):
        result = run_ganport("inpaint", tmp_path / "photo.png", tmp_path / "mask.png", "--bundle", folder)
    require_refusal(result, said)
    assert not (tmp_path / "photo-inpainted.png").exists()


@pytest.mark.parametrize("file", ["../outside.onnx", "unlisted.onnx"])
def test_chain_whose_link_is_none_of_the_bundles_files_is_not_run(file: str, tmp_path: Path) -> None:
    """A chain has a list of files of its own; those of the manifest were checked."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / file).write_bytes(b"")
    chain, x = tmp_path / "net" / "chain.json", TensorSpec("x", (1,), layout="")
    write_chain(chain, [Link((x,), (x,), file=file)])
    with pytest.raises(BundleError, match=f"'{re.escape(file)}' is none of its bundle's files for trt"):
        ChainRunner([chain, tmp_path / "net" / "listed.onnx"], [x], [x])


def test_bundle_that_nobody_touched_is_run(
    conversions: Mapping[str, Conversion], checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(conversions["edge"].bundle.folder, tmp_path / NET)
    rewrite_hashes(folder)
    assert run_ganport("verify", folder).exit_code == 0
    assert run_ganport("parity", folder, "--checkpoint", checkpoints["edge"]).exit_code == 0
    assert run_ganport("bench", folder, "--size", "32x32", "--runs", "1").exit_code == 0
