"""Checkpoints: every accepted form gives the same tensors; exactly one architecture is recognised, or none."""

from __future__ import annotations

import dataclasses
import hashlib
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import reference.registry
from converters.errors import ArchitectureError, CheckpointError
from parity_tests.support.architecture_cases import CASES, ArchitectureCase
from parity_tests.support.reference_models import build_model, list_matching_architectures, make_checkpoint, without_key
from parity_tests.support.seeded_checkpoints import NETS, make_state
from reference.checkpoint import read_checkpoint

FORMS = ("hooks", "parametrizations", "folded")
# The three forms divide by sigma at different places: a few float32 roundings through 8 layers of the small net.
FORM_TOLERANCE = 1e-5


def write_state(
    path: Path, state: Mapping[str, Tensor], *, legacy: bool = False, wrapped: bool = False, prefix: str = ""
) -> Path:
    state = {prefix + key: value for key, value in state.items()}
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        content = {"iteration": 7, "generator": state} if wrapped else state
        torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize(
    ("file", "legacy", "wrapped", "kind"),
    [
        ("a.pth", False, True, "torch zip"),
        ("a.pt", False, False, "torch zip"),
        ("a.pth", True, True, "torch legacy"),
        ("a.pt", True, False, "torch legacy"),
        ("a.safetensors", False, False, "safetensors"),
    ],
)
def test_every_accepted_file_gives_the_same_tensors(
    tmp_path: Path, file: str, legacy: bool, wrapped: bool, kind: str, prefix: str
) -> None:
    state = make_state("edge")
    path = write_state(tmp_path / file, state, legacy=legacy, wrapped=wrapped, prefix=prefix)
    checkpoint = read_checkpoint(path)
    assert checkpoint.format == kind
    assert checkpoint.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert checkpoint.settings == ({"iteration": 7} if wrapped else {})
    assert checkpoint.tensors.keys() == state.keys()
    assert all(torch.equal(checkpoint.tensors[key], state[key]) for key in state)


def test_prefix_goes_only_where_every_key_has_it(tmp_path: Path) -> None:
    state = {"module.encoder.1.bias": torch.ones(4), "encoder.4.bias": torch.ones(8)}
    assert read_checkpoint(write_state(tmp_path / "a.pth", state)).tensors.keys() == state.keys()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn])
def test_other_float_types_are_read_as_float32_without_loss_of_their_own(tmp_path: Path, dtype: torch.dtype) -> None:
    values = torch.linspace(-2, 2, 9).to(dtype)
    tensor = read_checkpoint(write_state(tmp_path / "a.pth", {"w": values})).tensors["w"]
    assert tensor.dtype == torch.float32
    assert torch.equal(tensor, values.to(torch.float32))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (torch.tensor([1.0, float("nan")]), "'w' holds NaN or infinity"),
        (torch.tensor([1.0, float("-inf")]), "'w' holds NaN or infinity"),
        (torch.tensor([1e300], dtype=torch.float64), "'w' holds NaN or infinity in float32"),
        (torch.eye(3).to_sparse(), "'w' is sparse"),
        (torch.empty(3, device="meta"), "'w' is sparse, quantized or without values"),
        ({"inner": torch.ones(3)}, "'w' is a dict, not a tensor"),
        (torch.zeros(1).expand(10**6, 10**5, 1, 1), "'w' above all, claim 400000000008 bytes and hold 12"),
        (torch.zeros(3, dtype=torch.int8).expand(2**40, 3), f"'w' above all, claim {3 * 2**40 + 8} bytes and hold 11"),
    ],
    ids=["NaN", "infinity", "float64 beyond float32", "sparse", "meta", "nested", "repeated", "repeated bytes"],
)
def test_tensor_that_is_no_plain_finite_one_is_refused_by_name(tmp_path: Path, value: object, said: str) -> None:
    torch.save({"fine": torch.ones(2), "w": value}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=said):
        read_checkpoint(tmp_path / "a.pth")


def test_tensor_that_repeats_what_it_holds_is_read_where_memory_is_not_at_risk(tmp_path: Path) -> None:
    torch.save({"w": torch.full((3, 1), 2.0).expand(3, 500)}, tmp_path / "a.pth")
    assert torch.equal(read_checkpoint(tmp_path / "a.pth").tensors["w"], torch.full((3, 500), 2.0))


@pytest.mark.parametrize("key", ["generator", "G", "model"])
def test_state_dict_is_found_beside_what_training_needs(tmp_path: Path, key: str) -> None:
    content = {"n_iter": 4, key: {"w": torch.ones(2)}, "D": {"v": torch.ones(3)}, "optimizer": {"state": {}}}
    torch.save(content, tmp_path / "a.pth")
    checkpoint = read_checkpoint(tmp_path / "a.pth")
    assert list(checkpoint.tensors) == ["w"]
    assert checkpoint.settings == {"n_iter": 4}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1, 2], "holds a list, not a state dict"),
        ({}, "holds no tensors"),
        ({"iteration": 3, "generator": {}}, "holds no tensors"),
        ({"iteration": 3, "discriminator": {"conv1.0.weight_orig": torch.ones(3)}}, "holds a discriminator"),
        ({"n_iter": 3, "D": {"conv1.weight": torch.ones(3)}}, "holds a discriminator"),
        ({"G": {"a": torch.ones(3)}, "model": {"a": torch.ones(3)}}, "several state dicts: G, model"),
        (
            {"G_A2B": {"a": torch.ones(3)}, "G_B2A": {"a": torch.ones(3)}, "D": {"b": torch.ones(3)}, "epoch": 3},
            r"several state dicts: G_A2B, G_B2A, D\. Save one generator's alone",
        ),
        (
            {"net": {"a": torch.ones(3)}, "optimizer": {"state": {}, "param_groups": []}},
            r"'net' is a dict, not a tensor\. "
            r"Save the generator's state dict alone, or as one of 'generator', 'G', 'model', 'state_dict', .*'netG'",
        ),
    ],
)
def test_file_without_a_state_dict_is_refused(tmp_path: Path, content: object, said: str) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=said):
        read_checkpoint(tmp_path / "a.pth")


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_torchscript_program_is_called_by_its_name(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Conv2d(1, 1, 1)), tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="it is a TorchScript program"):
        read_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize(("base", "blocks"), [(4, 1), (3, 2), (6, 3)])
@pytest.mark.parametrize(("net", "form"), [*(("edge", form) for form in FORMS), ("inpaint", "folded")])
def test_net_is_recognised_and_its_hyperparameters_read_from_shapes(
    net: str, form: str, base: int, blocks: int
) -> None:
    checkpoint = make_checkpoint(make_state(net, base, blocks, form=form))
    architecture = reference.registry.identify(checkpoint)
    assert architecture.name == f"edgeconnect-{net}"
    in_channels, out_channels = NETS[net]
    model = architecture.build(checkpoint)
    assert dict(model.hyperparameters) == {
        "base_channels": base,
        "blocks": blocks,
        "in_channels": in_channels,
        "out_channels": out_channels,
    }


@pytest.mark.parametrize("form", FORMS)
def test_built_module_holds_the_files_own_tensors_with_spectral_norm_alive(form: str) -> None:
    state = make_state("edge", form=form)
    module = build_model(state, raw=True).module
    held = module.state_dict()
    assert held.keys() == state.keys()
    assert all(torch.equal(held[key], state[key]) for key in state)
    assert not module.training


def test_three_forms_of_spectral_norm_compute_the_same() -> None:
    x = torch.rand(1, 3, 16, 20, generator=torch.Generator().manual_seed(1))
    results = []
    for form in FORMS:
        results.append(build_model(make_state("edge", form=form), raw=True).module(x))
    assert results[0].std() > 0.01
    for other in results[1:]:
        assert torch.allclose(results[0], other, rtol=0, atol=FORM_TOLERANCE)


def test_only_one_architecture_matches_each_net() -> None:
    for net in NETS:
        assert list_matching_architectures(make_state(net)) == [f"edgeconnect-{net}"]


def test_checkpoint_that_fits_two_architectures_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    twin = dataclasses.replace(reference.registry.open_architecture("edgeconnect-edge"), name="twin")  # type: ignore[type-var]
    monkeypatch.setattr("reference.edgeconnect.TWIN", twin, raising=False)
    monkeypatch.setitem(reference.registry.ARCHITECTURES, "twin", "reference.edgeconnect:TWIN")
    with pytest.raises(ArchitectureError, match="several architectures fit it: edgeconnect-edge, twin"):
        reference.registry.identify(make_checkpoint(make_state("edge")))


EDGE, INPAINT = make_state("edge"), make_state("inpaint")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (without_key(EDGE, "decoder.0.weight_u"), "edgeconnect-edge: 1 missing (decoder.0.weight_u)"),
        (without_key(INPAINT, "encoder.1.weight"), "edgeconnect-inpaint: "),
        (EDGE | {"extra.bias": torch.ones(2)}, "edgeconnect-edge: 1 extra (extra.bias)"),
        (INPAINT | {"encoder.4.bias": torch.ones(9)}, "inpaint: 1 misshapen (encoder.4.bias is (9,), not (8,))"),
        (
            without_key(INPAINT, "encoder.7.bias") | {"head.weight": torch.ones(2)},
            "edgeconnect-inpaint: 1 missing (encoder.7.bias); 1 extra (head.weight)",
        ),
        (EDGE | {"encoder.1.weight_orig": torch.ones(0)}, "encoder.1.weight_orig is (0,)"),
        (EDGE | {"middle.99999999.conv_block.1.bias": torch.ones(1)}, "1 extra (middle.99999999.conv_block.1.bias)"),
        (without_key(EDGE, "middle.0.conv_block.5.weight_v"), "1 missing (middle.0.conv_block.5.weight_v)"),
    ],
)
def test_nearest_architecture_is_named_with_what_differs(state: dict[str, Tensor], said: str) -> None:
    with pytest.raises(ArchitectureError) as caught:
        reference.registry.identify(make_checkpoint(state))
    assert "The nearest is " in str(caught.value)
    assert said in str(caught.value)


def make_patchgan(out: int = 1, kernel: int = 4, first: int = 0) -> dict[str, Tensor]:
    """junyanz's discriminator with instance norms, which hold nothing; an eighth as wide.

    Args:
        first: Added to every index.
    """
    widths = (3, 8, 16, 32, 64, out)
    state: dict[str, Tensor] = {}
    for index, cin, cout in zip((0, 2, 5, 8, 11), widths[:-1], widths[1:], strict=True):
        state[f"model.{index + first}.weight"] = torch.ones(cout, cin, kernel, kernel)
        state[f"model.{index + first}.bias"] = torch.ones(cout)
    return state


BATCH_NORM = {"model.3.weight": torch.ones(16), "model.3.running_mean": torch.ones(16)}


@pytest.mark.parametrize("more", [{}, BATCH_NORM], ids=["instance norm", "batch norm"])
def test_cyclegans_discriminator_is_called_one(tmp_path: Path, more: dict[str, Tensor]) -> None:
    checkpoint = read_checkpoint(write_state(tmp_path / "latest_net_D_A.pth", make_patchgan() | more))
    with pytest.raises(ArchitectureError, match=r"it holds a discriminator\. .* named \.\.\._net_G\.pth"):
        reference.registry.identify(checkpoint)


@pytest.mark.parametrize(
    "state",
    [
        make_patchgan(out=3),
        make_patchgan(kernel=3),
        make_patchgan(first=1),
        make_patchgan() | {"model.12.block.0.bias": torch.ones(1)},
        {"model.0.weight": torch.ones(1, 3, 4, 4)},
    ],
    ids=["three channels", "3x3", "not at first", "a block", "one layer"],
)
def test_net_that_is_not_quite_cyclegans_discriminator_is_not_called_one(state: dict[str, Tensor]) -> None:
    with pytest.raises(ArchitectureError, match="no architecture"):
        reference.registry.identify(make_checkpoint(state))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_generator_is_not_taken_for_a_discriminator(tmp_path: Path, case: ArchitectureCase) -> None:
    shapes = {key: tuple(value.shape) for key, value in read_checkpoint(case.write(tmp_path)).tensors.items()}
    for missing in shapes:
        assert reference.registry.name_generator_file({key: shapes[key] for key in shapes if key != missing}) is None


FOREIGN = {f"features.{layer}.weight": torch.ones(2) for layer in range(60)}


def rename_first_weight(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The one that base channels are read from."""
    first = next(key for key in state if ".weight" in key)
    return {"first" if key == first else key: value for key, value in state.items()}


def add_foreign(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return FOREIGN | state


def keep_four_among_foreign(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return dict([*state.items()][:4]) | FOREIGN


def keep_first_half(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return dict([*state.items()][: len(state) // 2])


def widen_every_tensor(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.unsqueeze(-1) for key, value in state.items()}


@pytest.mark.parametrize(
    "damage", [rename_first_weight, add_foreign, keep_four_among_foreign, keep_first_half, widen_every_tensor]
)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_file_that_has_keys_of_an_architecture_is_nearest_to_that_one(
    tmp_path: Path, case: ArchitectureCase, damage: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> None:
    state = damage(dict(read_checkpoint(case.write(tmp_path)).tensors))
    with pytest.raises(ArchitectureError, match=rf"The nearest is {case.name}: "):
        reference.registry.identify(make_checkpoint(state))


@pytest.mark.parametrize("prefix", ["", "netG."])
def test_file_that_has_no_key_of_any_architecture_is_near_to_none(prefix: str) -> None:
    state = {prefix + key: value for key, value in (EDGE if prefix else FOREIGN).items()}
    first, second, third, *_ = sorted(state)
    with pytest.raises(ArchitectureError) as caught:
        reference.registry.identify(make_checkpoint(state))
    assert f"no architecture has any of its keys ({first}, {second}, {third}, ...)" in str(caught.value)
    assert "nearest" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.int32, torch.bool, torch.complex64])
def test_weight_that_is_no_floating_point_number_is_refused_by_name(dtype: torch.dtype) -> None:
    checkpoint = make_checkpoint(EDGE | {"encoder.4.bias": torch.ones(8, dtype=dtype)})
    with pytest.raises(ArchitectureError, match=f"'encoder.4.bias' is {dtype}"):
        reference.registry.identify(checkpoint).build(checkpoint)


def test_part_that_is_not_what_its_check_sum_says_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"w": torch.arange(1000.0), "v": torch.ones(3)}, path)
    data = bytearray(path.read_bytes())
    data[data.index(torch.arange(500.0, 502.0).numpy().tobytes())] ^= 1
    path.write_bytes(data)
    assert torch.load(path, weights_only=True)["w"][500] != 500  # torch does not look
    with pytest.raises(CheckpointError, match="it is damaged: 'a/data/0' in it is not what its check sum says"):
        read_checkpoint(path)


def test_file_that_torch_wrote_without_check_sums_is_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"w": torch.arange(1000.0)}, tmp_path / "a.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert read_checkpoint(tmp_path / "a.pth").tensors["w"].sum() == 499500


@pytest.mark.parametrize("fault", ["encrypted", "compressed and damaged", "longer than the file"])
def test_archive_that_cannot_be_read_is_refused(fault: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"w": torch.zeros(1000), "v": torch.ones(3)}, path)
    with zipfile.ZipFile(path) as archive:
        parts = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    method = zipfile.ZIP_DEFLATED if fault.startswith("compressed") else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
        place = archive.getinfo("a/data/0").header_offset
    data = bytearray(path.read_bytes())
    if fault == "encrypted":
        for start in (data.index(b"PK\1\2"), place):  # in the directory, and in front of the part
            data[start + (8 if start != place else 6)] |= 1
    elif fault.startswith("compressed"):
        data[place + 30 + len("a/data/0")] = 0xFF
    else:
        entry = data.index(b"a/data/0", data.index(b"PK\1\2")) - 46
        data[entry + 20 : entry + 28] = (10**6).to_bytes(4, "little") * 2
    path.write_bytes(data)
    with pytest.raises(CheckpointError):
        read_checkpoint(path)
