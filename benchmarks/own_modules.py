"""Converts modules out of other people's packages with `ganport.convert`, and records what came of each.

    pip install -e '.[mxnet,tensorrt,modules]'
    python benchmarks/own_modules.py

Nothing is downloaded: weights are random, from a fixed seed, and the statistics of batch norms are random too. Each
module is converted in a process of its own, which has LIMIT_S. The numbers go to
benchmarks/results/own_modules.json, the table to docs/own_modules_table.md.

    python benchmarks/own_modules.py --only smp-unet --only kornia-blur

converts a few again, and keeps what is recorded of the others.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import ganport
from converters.bench.measure import read_environment

TARGETS = ("onnx", "mxnet", "trt")
# Converted, and every gate held; converted, and its numbers not checked here; refused with a reason; no answer in time;
# anything else, which would be a defect of ganport's.
PASSED, BUILT, REFUSED, SLOW, WRONG = "passed", "built", "refused", "too slow", "wrong"
LIMIT_S = 600
THREADS = 2
SEED = 5
PACKAGES = ("diffusers", "kornia", "monai", "pytorch-msssim", "segmentation-models-pytorch", "spandrel", "timm")
ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "own_modules.json"
TABLE = ROOT / "docs" / "own_modules_table.md"
START, END = "<!-- own modules: written by benchmarks/own_modules.py -->\n", "<!-- end of own modules -->\n"

IMAGE_OF_32 = ganport.TensorSpec("x", ("N", 3, "H", "W"), multiple_of=32, minimum=32)
# A module, what `ganport.convert` is told of it beside its name.
Made = tuple[Any, dict[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """What became of a module on one target.

    Attributes:
        module: Its name in MODULES.
        target: One of TARGETS.
        verdict: One of the five above.
        seconds: What the process took.
        reason: Why there is no "passed".
        inputs: The contract of its inputs.
        max_abs: Largest error, in units of the output's largest value.
        excess: Largest excess error.
    """

    module: str
    target: str
    verdict: str
    seconds: float
    reason: str = ""
    inputs: str = ""
    max_abs: float | None = None
    excess: float | None = None


def noise(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(sum(shape)).random(shape, np.float32)


def images(channels: int, *sizes: int) -> tuple[Any, Any]:
    """Two examples that leave batch, height and width free."""
    small, large = sizes
    return noise(1, channels, small, small + small // 2), noise(2, channels, large, large + small // 2)


def make_lraspp() -> Made:
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    net = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=5)
    return net, {"inputs": {"image": images(3, 64, 128)}}


def make_resnet_features() -> Made:
    from torchvision.models import resnet18
    from torchvision.models.feature_extraction import create_feature_extractor

    return create_feature_extractor(resnet18(), {"layer1": "fine", "layer3": "coarse"}), {}


def make_smp_unet() -> Made:
    import segmentation_models_pytorch as smp

    return smp.Unet("resnet18", encoder_weights=None, classes=3), {}


def make_smp_fpn() -> Made:
    import segmentation_models_pytorch as smp

    return smp.FPN("mobilenet_v2", encoder_weights=None, classes=3), {
        "inputs": {"image": images(3, 64, 128)},
        "outputs": ["logits"],
    }


def make_timm_decoder() -> Made:
    """A backbone of timm's, and a decoder as somebody writes it on one page."""
    import timm
    import torch
    from torch import nn
    from torch.nn import functional

    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = timm.create_model("mobilenetv3_small_100", pretrained=False, features_only=True)
            self.sides = nn.ModuleList(nn.Conv2d(count, 16, 1) for count in self.backbone.feature_info.channels())
            self.last = nn.Conv2d(16, 1, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            *finer, y = [side(feature) for side, feature in zip(self.sides, self.backbone(x), strict=True)]
            for feature in reversed(finer):
                y = feature + functional.interpolate(y, feature.shape[2:], mode="bilinear", align_corners=False)
            y = functional.interpolate(self.last(torch.relu(y)), x.shape[2:], mode="bilinear", align_corners=False)
            return torch.sigmoid(y)

    return Decoder(), {"inputs": {"x": images(3, 64, 128)}, "outputs": ["mask"]}


def make_blur() -> Made:
    import kornia

    return kornia.filters.GaussianBlur2d((5, 5), (1.5, 1.5)), {"inputs": {"image": images(3, 24, 48)}}


def make_lab() -> Made:
    import kornia

    return kornia.color.RgbToLab(), {"inputs": {"image": images(3, 24, 48)}}


def make_basic_unet() -> Made:
    from monai.networks.nets import BasicUNet

    return BasicUNet(spatial_dims=2, in_channels=1, out_channels=2, features=(16, 16, 32, 32, 64, 16)), {}


def make_unetr() -> Made:
    from monai.networks.nets import UNETR

    net = UNETR(1, 2, (64, 64), feature_size=8, hidden_size=48, mlp_dim=96, num_heads=4, spatial_dims=2)
    return net, {"inputs": {"image": (noise(1, 1, 64, 64), noise(2, 1, 64, 64))}}


def make_rrdb() -> Made:
    from spandrel.architectures.ESRGAN.__arch.RRDB import RRDBNet

    return RRDBNet(num_filters=16, num_blocks=2, scale=4), {}


def make_srvgg() -> Made:
    from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact

    return SRVGGNetCompact(num_feat=16, num_conv=4, upscale=4), {}


def make_nafnet() -> Made:
    from spandrel.architectures.NAFNet import NAFNet

    return NAFNet(width=8, middle_blk_num=1, enc_blk_nums=[1, 1], dec_blk_nums=[1, 1]), {}


def make_swinir() -> Made:
    from spandrel.architectures.SwinIR import SwinIR

    net = SwinIR(img_size=32, embed_dim=24, depths=[2, 2], num_heads=[2, 2], window_size=8, upscale=2)
    return net, {"inputs": {"image": noise(1, 3, 32, 32)}}


def make_stylegan() -> Made:
    """StyleGAN2's generator as GFPGAN has it, which takes a list of latents."""
    import torch
    from spandrel.architectures.GFPGAN.__arch.stylegan2_clean_arch import StyleGAN2GeneratorClean
    from torch import nn

    class Generator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = StyleGAN2GeneratorClean(32, num_style_feat=32, num_mlp=2, narrow=0.125)

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            image: torch.Tensor = self.net([z], randomize_noise=False)[0]
            return image

    return Generator(), {"inputs": {"z": (noise(1, 32), noise(2, 32))}, "outputs": ["image"]}


def make_diffusion_unet() -> Made:
    from diffusers import UNet2DModel

    net = UNet2DModel(
        in_channels=3, out_channels=3, layers_per_block=1, block_out_channels=(16, 32), norm_num_groups=4,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=8,
    )  # fmt: skip
    return net, {"inputs": {"sample": images(3, 32, 48), "timestep": (np.array([3]), np.array([7, 400]))}}


def make_autoencoder() -> Made:
    from diffusers import AutoencoderKL

    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    net = AutoencoderKL(block_out_channels=(16, 32), norm_num_groups=4, **blocks)
    return net, {"inputs": {"image": images(3, 32, 48)}}


def make_ssim() -> Made:
    from pytorch_msssim import SSIM

    inputs = {"a": images(3, 24, 48), "b": tuple(np.sqrt(array) for array in images(3, 24, 48))}
    return SSIM(data_range=1, channel=3, size_average=False), {"inputs": inputs}


MODULES: dict[str, Callable[[], Made]] = {
    "torchvision-lraspp": make_lraspp,
    "torchvision-resnet18-features": make_resnet_features,
    "smp-unet": make_smp_unet,
    "smp-unet-of-32": lambda: (make_smp_unet()[0], {"inputs": {"x": IMAGE_OF_32}}),
    "smp-fpn": make_smp_fpn,
    "timm-mobilenet-decoder": make_timm_decoder,
    "kornia-blur": make_blur,
    "kornia-lab": make_lab,
    "monai-basic-unet": make_basic_unet,
    "monai-unetr": make_unetr,
    "spandrel-rrdb": make_rrdb,
    "spandrel-srvgg": make_srvgg,
    "spandrel-nafnet": make_nafnet,
    "spandrel-swinir": make_swinir,
    "spandrel-stylegan2": make_stylegan,
    "spandrel-stylegan2-fixed": lambda: (make_stylegan()[0], {"inputs": {"z": noise(1, 32)}}),
    "diffusers-unet": make_diffusion_unet,
    "diffusers-autoencoder": make_autoencoder,
    "msssim-ssim": make_ssim,
}


def make_module(name: str) -> Made:
    """A module in eval mode with seeded weights, and batch norms whose statistics are not 0 and 1."""
    import torch
    from torch import nn

    try:
        import torchvision  # noqa: F401
    except RuntimeError:  # torchvision of a GPU beside a torch without one: it lacks operators that no module here has
        for operator in ("nms", "qnms"):
            torch.library.define(f"torchvision::{operator}", "(Tensor a, Tensor b, float c) -> Tensor")
    torch.manual_seed(SEED)
    module, told = MODULES[name]()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d) and part.running_mean is not None and part.running_var is not None:
            nn.init.normal_(part.running_mean, std=0.1)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
    return module.eval(), told


def convert_here(name: str, targets: Sequence[str]) -> list[Outcome]:
    """Convert a module to some targets in this process."""
    began = time.perf_counter()
    module, told = make_module(name)
    with tempfile.TemporaryDirectory() as folder:
        said, verdict = "", REFUSED
        try:
            ganport.convert(module, targets, folder, name=name, **told)
        except ganport.GanportError as error:
            said = f"{type(error).__name__}: {error}".replace(f"; what other targets wrote is in {folder}/{name}", "")
            said = said.replace(f"{folder}/", "").replace(f"{Path(np.__file__).parents[1]}/", "")
        except Exception as error:
            said, verdict = f"{type(error).__name__}: {error}", WRONG
        if not (Path(folder) / name / "manifest.json").is_file():
            return [Outcome(name, target, verdict, _since(began), said) for target in targets]
        bundle = ganport.read_bundle(Path(folder) / name)
        rows = [_read_outcome(bundle, target, _since(began)) for target in targets]
    return [replace(row, reason=said) if f"--to {row.target}," in said else row for row in rows]


def _read_outcome(bundle: ganport.Bundle, target: str, seconds: float) -> Outcome:
    inputs = ", ".join(
        f"{spec.name} {'x'.join(map(str, spec.shape))}"
        + (f" (multiples of {spec.multiple_of}, from {spec.minimum})" if spec.multiple_of > 1 else "")
        for spec in bundle.inputs
    )
    if target in bundle.parity:
        proven = bundle.parity[target]
        numbers = [value if isinstance(value, float) else None for value in (proven.max_abs, proven.excess)]
        return Outcome(bundle.name, target, PASSED if proven.passed else WRONG, seconds, "", inputs, *numbers)
    why = bundle.not_verified[target]
    return Outcome(bundle.name, target, BUILT if target in bundle.targets else REFUSED, seconds, why, inputs)


def convert_apart(name: str, targets: Sequence[str]) -> list[Outcome]:
    """Convert a module in a process of its own, which ends with its time.

    Its targets share the process, as most of the time is the module's own runs. Where one of them spoils it for the
    others, each gets a process.
    """
    began = time.perf_counter()
    command = [sys.executable, __file__, "--one", name, *targets]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True) as process:
        try:
            said, _ = process.communicate(timeout=LIMIT_S)
            outcomes = [Outcome(**row) for row in json.loads(said.splitlines()[-1])]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            reason = f"no answer within {LIMIT_S} s"
            outcomes = [Outcome(name, target, SLOW, _since(began), reason) for target in targets]
        except (IndexError, ValueError):
            reason = f"the process ended with {process.wait()}"
            outcomes = [Outcome(name, target, WRONG, _since(began), reason) for target in targets]
    spoilt = all(
        row.verdict in (SLOW, WRONG) or any(f"rung '{one}" in row.reason for one in targets) for row in outcomes
    )
    if spoilt and len(targets) > 1:
        return [row for target in targets for row in convert_apart(name, [target])]
    return outcomes


def _since(began: float) -> float:
    return round(time.perf_counter() - began, 1)


def format_table(rows: Sequence[Outcome]) -> str:
    """One line for each module: its inputs, and what came of each target; the reasons as notes below."""
    notes = list(dict.fromkeys(row.reason for row in rows if row.verdict not in (PASSED, BUILT)))

    def show(row: Outcome) -> str:
        if row.verdict == PASSED:
            return f"{row.max_abs or 0:.1e}, excess {row.excess or 0:.1f}"
        return row.verdict if row.verdict == BUILT else f"{row.verdict}, note {notes.index(row.reason) + 1}"

    by_module: dict[str, dict[str, Outcome]] = {}
    for row in rows:
        by_module.setdefault(row.module, {})[row.target] = row
    lines = [f"| module | inputs | {' | '.join(TARGETS)} |", f"| {' | '.join(['---'] * (2 + len(TARGETS)))} |"]
    for name, found in by_module.items():
        inputs = next((row.inputs for row in found.values() if row.inputs), "")
        lines.append(f"| {name} | {inputs} | {' | '.join(show(found[target]) for target in TARGETS)} |")
    return "\n".join([*lines, "", *(f"{i}. `{note}`" for i, note in enumerate(notes, 1))]) + "\n"


def write(rows: list[Outcome]) -> None:
    versions = {package: version(package) for package in (*PACKAGES, "torchvision")}
    found = {"environment": read_environment(THREADS), "packages": versions, "limit_s": LIMIT_S}
    RESULTS.write_text(json.dumps({**found, "outcomes": list(map(asdict, rows))}, indent=1) + "\n", encoding="utf-8")
    before, rest = TABLE.read_text(encoding="utf-8").split(START)
    TABLE.write_text(before + START + format_table(rows) + END + rest.split(END)[1], encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=list(MODULES), help="a module; give it again for another")
    parser.add_argument("--one", nargs="+", metavar="MODULE TARGET", help="convert here, and print the outcomes")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    if given.one:
        print(json.dumps(list(map(asdict, convert_here(given.one[0], given.one[1:])))))
        return
    kept = json.loads(RESULTS.read_text(encoding="utf-8"))["outcomes"] if RESULTS.is_file() else []
    rows = {(row["module"], row["target"]): Outcome(**row) for row in kept if row["module"] in MODULES}
    for name in given.only or MODULES:
        for row in convert_apart(name, TARGETS):
            rows[name, row.target] = row
            print(*(value for value in asdict(row).values() if value not in ("", None)), flush=True)
        write(sorted(rows.values(), key=lambda row: (list(MODULES).index(row.module), TARGETS.index(row.target))))


if __name__ == "__main__":
    main()
