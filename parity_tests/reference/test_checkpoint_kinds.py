"""Files of the kinds that people have: each is identified, or refused with the cause and a way out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from converters.errors import GanportError
from parity_tests.support import deepfill_states, partial_conv_states, pix2pix_unet_states, resnet_generator_states
from parity_tests.support.reference_models import without_key
from parity_tests.support.resnet_generator_states import add_running_statistics, list_norms
from parity_tests.support.seeded_checkpoints import make_state
from reference.checkpoint import read_checkpoint
from reference.model import ReferenceModel
from reference.registry import identify

OUT = "or export it with torch.onnx.export, and give that ONNX file."
AFFINE, BATCH = "cyclegan, affine", "cyclegan, batch norm"
State = Mapping[str, Tensor]
resnet, unet, partial = (
    resnet_generator_states.make_state,
    pix2pix_unet_states.make_state,
    partial_conv_states.make_state,
)


@dataclass(frozen=True)
class Kind:
    """`content` is saved as `file`; `said` are its architecture, or, of a refusal, all that the message must hold."""

    file: str
    content: Callable[[], object]
    said: str | tuple[str, ...]


def prefixed(prefix: str, state: State) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in state.items()}


def lightning(*parts: dict[str, Tensor]) -> dict[str, object]:
    return {
        "epoch": 9,
        "pytorch-lightning_version": "2.1.0",
        "state_dict": {k: v for part in parts for k, v in part.items()},
    }


def narrow_first_version() -> dict[str, Tensor]:
    state = partial("input_conv", 7, 4, 0)
    return {key.replace("input_conv", "conv2d").replace("mask_conv", "mask2d"): state[key] for key in state}


def edge_informed_edge_net() -> dict[str, Tensor]:
    """Four channels in, one out, and a bias in its first layers."""
    state = make_state("edge")
    return state | {"encoder.1.weight_orig": torch.ones(4, 4, 7, 7), "encoder.1.weight_v": torch.ones(4 * 49)}


def without_statistics(state: State) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if "running" not in key}


def photo_classifier() -> dict[str, Tensor]:
    return {f"layer{n}.0.conv1.weight": torch.ones(2, 2, 3, 3) for n in range(1, 5)} | {"fc.weight": torch.ones(9, 2)}


KINDS = {
    "EdgeConnect, torch 0.4": Kind(
        "EdgeModel_gen.pth",
        lambda: {"iteration": 1, "generator": make_state("edge", form="hooks of torch 0.4")},
        "edgeconnect-edge",
    ),
    "EdgeConnect, compiled in DataParallel": Kind(
        "net.model",
        lambda: {"model_state_dict": prefixed("module._orig_mod.", make_state("inpaint"))},
        "edgeconnect-inpaint",
    ),
    "Lightning": Kind(
        "last.ckpt",
        lambda: lightning(prefixed("generator.", resnet("cyclegan")), prefixed("discriminator.", photo_classifier())),
        "cyclegan-resnet",
    ),
    "Lightning, the part called model": Kind(
        "last.ckpt", lambda: lightning(prefixed("model.", unet())), "pix2pix-unet"
    ),
    "DeepFill, EMA": Kind("a.bin", lambda: {"params_ema": deepfill_states.make_state("tf")}, "deepfill-v2"),
    "safetensors called .pth": Kind("a.pth", lambda: save(resnet("style transfer")), "style-transfer"),
    "CycleGAN, batch norm, 6 blocks": Kind("latest_net_G.pth", lambda: resnet(BATCH, blocks=6), "cyclegan-resnet"),
    "CycleGAN, gray, 9 blocks": Kind(
        "latest_net_G_A.pth", lambda: resnet("cyclegan", blocks=9, channels=(1, 1)), "cyclegan-resnet"
    ),
    "CycleGAN, gray to RGB, dropout": Kind(
        "latest_net_G.pth", lambda: resnet("cyclegan with dropout, batch norm", channels=(1, 3)), "cyclegan-resnet"
    ),
    "pix2pix, unet_256": Kind("latest_net_G.pth", lambda: unet("instance", 8, 4), "pix2pix-unet"),
    "pix2pix, unet_128, RGB to gray": Kind("latest_net_G.pth", lambda: unet("batch", 7, 4, (3, 1)), "pix2pix-unet"),
    "CycleGAN, norms of an unknown kind": Kind(
        "a.pth",
        lambda: add_running_statistics(resnet(AFFINE), list_norms(AFFINE)),
        (
            "The nearest is cyclegan-resnet",
            "running statistics where that net has none",
            "batch norm's or an instance",
            OUT,
        ),
    ),
    "pix2pix, batch norm without statistics": Kind(
        "a.pth",
        lambda: without_statistics(unet()),
        ("The nearest is pix2pix-unet", "It lacks running statistics, which that net's batch norms use", OUT),
    ),
    "pix2pix, four channels in": Kind(
        "a.pth",
        lambda: unet(channels=(4, 3)),
        ("model.model.0.weight is (8, 4, 4, 4), not (8, 3, 4, 4)", "a width or a kernel is not", OUT),
    ),
    "EdgeConnect's layout, another net": Kind(
        "EdgeModel_gen.pth",
        edge_informed_edge_net,
        ("The nearest is edgeconnect-edge", "a width or a kernel is not", OUT),
    ),
    "EdgeConnect, spectral norm where there is none": Kind(
        "a.pth",
        lambda: make_state("inpaint") | {"extra.weight_orig": torch.ones(2), "extra.weight_u": torch.ones(2)},
        ("The nearest is edgeconnect-inpaint", "It has a spectral norm where that net has none", OUT),
    ),
    "partial convolutions, first version, narrow": Kind(
        "a.pth", narrow_first_version, ("The nearest is partial-conv", "It is a variant of that net", OUT)
    ),
    "partial convolutions, trained masks": Kind(
        "a.pth",
        lambda: partial("input_conv", 7, 4, 0) | {"enc_1.conv.mask_conv.weight": torch.zeros(4, 3, 7, 7)},
        ("'enc_1.conv.mask_conv.weight' is not all ones", OUT),
    ),
    "partial convolutions, too deep": Kind("a.pth", lambda: partial("conv2d", 11, 1, 0), ("it is 11 layers deep", OUT)),
    "cut": Kind(
        "a.pth", lambda: without_key(resnet(BATCH), "model.19.bias"), ("It lacks tensors that every such net has", OUT)
    ),
    "with a head": Kind(
        "a.pth", lambda: resnet(BATCH) | {"head": torch.ones(2)}, ("It has tensors that no such net has", OUT)
    ),
    "mostly another net": Kind(
        "a.pth",
        lambda: prefixed("vgg.", resnet("pytorch-gan")) | {"enc_1.conv.weight": torch.ones(4, 3, 7, 7)},
        ("The nearest is partial-conv", "Most of its keys are of another net", OUT),
    ),
    "a classifier": Kind("a.ckpt", photo_classifier, ("no architecture has any of its keys (fc.weight, layer1.0", OUT)),
    "both": Kind(
        "a.pth",
        lambda: {"params": unet(), "params_ema": unet()},
        ("it holds several generators: 'params', 'params_ema'", "Save the state dict of the one that you want alone"),
    ),
}


def build(path: Path) -> ReferenceModel:
    checkpoint = read_checkpoint(path)
    return identify(checkpoint).build(checkpoint)


@pytest.mark.parametrize("kind", KINDS)
def test_file_is_identified_or_refused_with_its_cause_and_a_way_out(kind: str, tmp_path: Path) -> None:
    case, path = KINDS[kind], tmp_path / KINDS[kind].file
    content = case.content()
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    if isinstance(case.said, str):
        model = build(path)
        assert model.architecture == case.said
        size = max(16, model.inputs[0].minimum)
        random = torch.Generator().manual_seed(1)
        planes = [torch.rand(1, int(spec.shape[1]), size, size, generator=random).round() for spec in model.inputs]
        result = model.module(*planes)
        assert result.isfinite().all()
        assert result.std() > 0.01
        return
    with pytest.raises(GanportError) as caught:
        build(path)
    for words in case.said:
        assert words in str(caught.value)
