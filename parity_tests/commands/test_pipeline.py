"""The pair that ships as one graph, from photo to photo, against the torch pipeline with scikit-image's Canny."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray
from scipy import ndimage
from skimage.color import rgb2gray
from skimage.feature import canny

import cli
import reference.registry
from converters.bench.sources import read_sources
from converters.convert import Conversion, Settings, convert
from converters.errors import ArchitectureError, ConversionError
from converters.parity.inputs import make_input
from converters.runners import OnnxRunner, TorchRunner
from converters.targets.profile import DEFAULT_PROFILE
from converters.targets.tensorrt.build import build_engine
from converters.targets.tensorrt.chain import ChainRunner
from parity_tests.support.places import PHOTOS
from parity_tests.support.runtimes import run_in_oldest_runtime
from reference.canny import SIGMA, gray_of
from reference.checkpoint import read_checkpoint
from reference.edgeconnect_pipeline import Back, EdgeConnectPipeline, FindEdges
from reference.model import ReferenceModel
from reference.registry import identify_model

Array = NDArray[np.generic]
# Required of the hole's pixels: at most one 8-bit level apart.
SAME_PIXELS = 0.999
# float32 sums in another order, through both nets: 1.4e-6 was measured.
LARGEST_ERROR = 1e-4
LIMIT_GIB = 12
SIZES = (((256, 256), 1), ((512, 512), 1), ((333, 517), 1), ((256, 256), 2), ((12, 13), 1))


def skimage_edges(*, with_mask: bool) -> FindEdges:
    """Canny outside torch: as it should be called, or with the mask argument withheld."""

    def find(photo: torch.Tensor, hole: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        maps = [
            canny(rgb2gray(item), sigma=SIGMA, mask=~unknown if with_mask else None)
            for item, unknown in zip(photo.numpy(), hole.numpy(), strict=True)
        ]
        return gray_of(photo), torch.from_numpy(np.stack(maps)[:, None]).float()

    return find


@pytest.fixture(scope="module")
def model() -> ReferenceModel:
    checkpoints = [read_checkpoint(path) for path in reference.registry.shipped_checkpoints()]
    return identify_model(checkpoints).build()


@pytest.fixture(scope="module")
def conversion(shipped_pipeline: Conversion) -> Conversion:
    return shipped_pipeline


@pytest.fixture(scope="module")
def runner(conversion: Conversion) -> OnnxRunner:
    return OnnxRunner(conversion.bundle.folder / "edgeconnect.onnx")


def feeds_of(image: str, mask: str, size: tuple[int, int], batch: int = 1) -> dict[str, Array]:
    given = make_input([(image, mask)] * batch, size)
    photo = np.rint(given.photo * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    hole = (given.mask[:, 0] * 255).astype(np.uint8)
    return {"photo": np.ascontiguousarray(photo), "mask": hole, "edge_edits": np.zeros(hole.shape, np.int8)}


def with_edges(model: ReferenceModel, find_edges: FindEdges) -> TorchRunner:
    assert isinstance(model.module, EdgeConnectPipeline)
    module = EdgeConnectPipeline(model.module.edge, model.module.inpaint, find_edges)
    return TorchRunner(module, model.inputs, model.outputs)


def test_bundle_is_proven_like_any_other(conversion: Conversion) -> None:
    assert conversion.bundle.folder.name == "edgeconnect"
    rungs = {report.rung for report in conversion.reports}
    assert {"fold", "export", "simplify", "onnx", "onnx, result", "onnx, canny"} <= rungs
    assert all(report.passed for report in conversion.reports)
    assert [source.file for source in conversion.bundle.manifest.sources] == [
        "EdgeModel_gen.pth",
        "InpaintingModel_gen.pth",
    ]
    assert CliRunner().invoke(cli.main, ["verify", str(conversion.bundle.folder)]).exit_code == 0


@pytest.mark.parametrize(("size", "batch"), SIZES)
@pytest.mark.parametrize("mask", ["small", "large", "border"])
def test_result_is_the_torch_pipelines_with_scikit_images_canny(
    model: ReferenceModel, runner: OnnxRunner, size: tuple[int, int], batch: int, mask: str
) -> None:
    feeds = feeds_of("coffee", mask, size, batch)
    expected = with_edges(model, skimage_edges(with_mask=True)).run(feeds)
    actual = runner.run(feeds)
    assert np.array_equal(actual["canny"], expected["canny"])
    hole = feeds["mask"] > 0
    apart = np.abs(actual["result"].astype(int) - expected["result"])[hole]
    assert np.mean(apart <= 1) >= SAME_PIXELS
    assert np.array_equal(actual["result"][~hole], feeds["photo"][~hole])


def test_outline_of_the_hole_appears_only_where_the_mask_argument_is_withheld(
    model: ReferenceModel, runner: OnnxRunner
) -> None:
    feeds = feeds_of("coffee", "large", (256, 256))
    hole = feeds["mask"] > 0
    feeds["photo"][hole] = 255
    rim = ndimage.binary_dilation(hole, np.ones((1, 3, 3)), 2) & ~ndimage.binary_erosion(hole, np.ones((1, 3, 3)), 2)
    withheld = with_edges(model, skimage_edges(with_mask=False)).run(feeds)
    ours = runner.run(feeds)
    assert withheld["canny"][rim].sum() > 200
    assert ours["canny"][rim].sum() < 0.1 * withheld["canny"][rim].sum()
    assert not ours["canny"][ndimage.binary_dilation(hole, np.ones((1, 3, 3)))].any()


def test_bench_gives_a_pipeline_photos_with_holes(conversion: Conversion) -> None:
    (group,) = read_sources([conversion.bundle.folder], (30, 42), 2)
    for feeds in group.feeds:
        assert len(np.unique(feeds["photo"])) > 50
        assert 0 < np.mean(feeds["mask"] > 0) < 1


def test_snippet_of_the_bundles_readme_reproduces_the_golden_outputs(conversion: Conversion) -> None:
    readme = (conversion.bundle.folder / "README.md").read_text()
    snippet = readme.split("```python\n")[1].split("```")[0]
    run = subprocess.run(
        [sys.executable, "-c", snippet], cwd=conversion.bundle.folder, capture_output=True, text=True, check=True
    )
    errors = {line.split()[0]: float(line.split()[-1]) for line in run.stdout.splitlines()}
    assert errors.keys() == {"result", "edges", "canny"}
    assert errors["result"] <= 1
    assert errors["edges"] < 1e-4
    assert errors["canny"] == 0


def test_onnx_runtime_of_2023_runs_the_file(conversion: Conversion, tmp_path: Path) -> None:
    folder = conversion.bundle.folder
    outputs = run_in_oldest_runtime(folder / "edgeconnect.onnx", tmp_path)
    assert outputs.keys() == {"result", "edges", "canny"}
    golden = {name: np.load(folder / "golden" / f"output_{name}.npy") for name in outputs}
    hole = np.load(folder / "golden" / "input_mask.npy") > 0
    assert np.array_equal(outputs["canny"], golden["canny"])
    assert np.abs(outputs["edges"] - golden["edges"]).max() <= LARGEST_ERROR
    apart = np.abs(outputs["result"].astype(int) - golden["result"])
    assert apart.max() <= 1
    assert np.mean(apart[hole] == 0) >= SAME_PIXELS
    assert not apart[~hole].any()


def test_empty_mask_returns_the_photo(runner: OnnxRunner) -> None:
    feeds = feeds_of("chelsea", "none", (101, 97))
    assert np.array_equal(runner.run(feeds)["result"], feeds["photo"])


def test_any_value_above_zero_is_the_hole(runner: OnnxRunner) -> None:
    feeds = feeds_of("chelsea", "large", (64, 64))
    faint = {**feeds, "mask": (feeds["mask"] > 0).astype(np.uint8)}
    assert np.array_equal(runner.run(feeds)["result"], runner.run(faint)["result"])


def test_what_lies_in_the_hole_is_ignored(runner: OnnxRunner) -> None:
    feeds = feeds_of("chelsea", "large", (90, 70))
    other = {**feeds, "photo": np.where((feeds["mask"] > 0)[..., None], 255 - feeds["photo"], feeds["photo"])}
    assert not np.array_equal(feeds["photo"], other["photo"])
    for name, array in runner.run(feeds).items():
        assert np.array_equal(array, runner.run(other)[name]), name


def test_edge_drawn_in_the_hole_changes_the_hole_and_nothing_else(runner: OnnxRunner) -> None:
    feeds = feeds_of("coffee", "large", (128, 128))
    edits = feeds["edge_edits"].copy()
    edits[0, 64, 40:90] = 1
    assert (feeds["mask"][0, 64, 40:90] > 0).all()
    before, after = runner.run(feeds), runner.run({**feeds, "edge_edits": edits})
    hole = feeds["mask"] > 0
    assert np.array_equal(before["result"][~hole], after["result"][~hole])
    assert (before["result"][hole] != after["result"][hole]).any()
    assert (after["edges"][0, 0, 64, 40:90] == 1).all()
    assert np.array_equal(before["canny"], after["canny"])


def test_edge_erased_in_the_hole_is_gone_before_the_second_net(runner: OnnxRunner) -> None:
    feeds = feeds_of("coffee", "large", (128, 128))
    edits = np.full_like(feeds["edge_edits"], -1)
    edges = runner.run({**feeds, "edge_edits": edits})["edges"][:, 0]
    assert (edges[feeds["mask"] > 0] == 0).all()


def test_edits_outside_the_hole_act_on_the_canny_map_that_the_edge_net_sees(runner: OnnxRunner) -> None:
    feeds = feeds_of("coffee", "small", (128, 128))
    edits = feeds["edge_edits"].copy()
    edits[0, :, 3] = 1
    before, after = runner.run(feeds), runner.run({**feeds, "edge_edits": edits})
    assert not (after["edges"][0, 0, :, 3] == 1).all()
    assert np.abs(after["edges"] - before["edges"])[0, 0, :, :8].max() > 0.1


@pytest.mark.parametrize("value", [1, -1])
def test_edits_everywhere_give_finite_edges_and_keep_known_pixels(runner: OnnxRunner, value: int) -> None:
    feeds = feeds_of("coffee", "large", (61, 90))
    feeds["edge_edits"][:] = value
    results = runner.run(feeds)
    hole = feeds["mask"] > 0
    assert np.isfinite(results["edges"]).all()
    assert np.array_equal(results["result"][~hole], feeds["photo"][~hole])


def test_levels_are_rounded_half_to_even_and_clamped() -> None:
    values = torch.tensor([0.5, 1.5, 2.5, 253.5, 254.5, -3.0, 300.0, 7.49, 7.51], dtype=torch.float64) / 255
    filled = values.reshape(1, 1, 1, -1).expand(1, 3, 12, -1)
    photo = torch.zeros(1, 12, 9, 3, dtype=torch.uint8)
    mask = torch.ones(1, 12, 9, dtype=torch.uint8)
    result, _ = Back()(filled, filled[:, :1], photo, mask)
    assert result[0, 0, :, 0].tolist() == [0, 2, 2, 254, 254, 0, 255, 7, 8]


def test_chain_of_files_gives_what_the_single_graph_gives(
    model: ReferenceModel, runner: OnnxRunner, conversion: Conversion, tmp_path: Path
) -> None:
    """The runner of the TensorRT chain, with an ONNX file in each engine's place: there is no GPU here."""
    folder = conversion.bundle.folder
    whole = onnx.load(folder / "edgeconnect.onnx")
    chain = json.loads((folder / "edgeconnect-chain.json").read_bytes())
    for link in chain:
        if link["file"].endswith(".engine"):
            ends = [[spec["name"] for spec in link[end]] for end in ("inputs", "outputs")]
            whole.graph.value_info.extend(
                onnx.helper.make_tensor_value_info(spec["name"], onnx.TensorProto.FLOAT, spec["shape"])
                for spec in (*link["inputs"], *link["outputs"])
            )
            link["file"] = link["file"].replace(".engine", ".onnx")
            onnx.save(onnx.utils.Extractor(whole).extract_model(*ends), tmp_path / link["file"])
        else:
            shutil.copy(folder / link["file"], tmp_path)
    (tmp_path / "chain.json").write_text(json.dumps(chain))
    feeds = feeds_of("chelsea", "border", (77, 90))
    paths = [tmp_path / "chain.json", *(tmp_path / link["file"] for link in chain)]
    with ChainRunner(paths, model.inputs, model.outputs) as runner_of_chain:
        results = runner_of_chain.run(feeds)
    for name, array in runner.run(feeds).items():
        assert np.array_equal(results[name], array), name


def test_tensorrt_gets_the_nets_as_engines_and_the_rest_as_onnx_files(conversion: Conversion) -> None:
    artifact = next(artifact for artifact in conversion.bundle.manifest.artifacts if artifact.target == "trt")
    links = json.loads((conversion.bundle.folder / artifact.files[0]).read_bytes())
    assert [Path(link["file"]).suffix for link in links] == [".onnx", ".engine", ".onnx", ".engine", ".onnx"]
    assert artifact.details["edgeconnect-edge.engine"]["compared_with_the_graph"]["Conv"] == 20
    assert conversion.bundle.manifest.not_verified["trt"] == "built, numbers not checked: no GPU"


def test_tensorrt_does_not_take_the_whole_graph_because_canny_is_float64(conversion: Conversion) -> None:
    import onnx

    whole = onnx.load(conversion.bundle.folder / "edgeconnect.onnx")
    with pytest.raises(ConversionError, match=r"it is DOUBLE\. An engine is built of float32"):
        build_engine(whole, DEFAULT_PROFILE)


def test_pipeline_as_a_symbol_is_refused_with_the_reason(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli.main, ["convert", "--pipeline", "--to", "mxnet", "-o", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "no loop that runs until nothing changes" in result.stderr
    assert not (tmp_path / "out").exists()


def test_two_files_that_make_no_pipeline_are_refused(tmp_path: Path) -> None:
    edge = reference.registry.shipped_checkpoints()[0]
    with pytest.raises(ArchitectureError, match="no pipeline is made of edgeconnect-edge and edgeconnect-edge"):
        list(convert([edge, edge], Settings(("onnx",), tmp_path, pipeline=True), lambda step: None))


def test_parity_command_takes_both_checkpoints(conversion: Conversion, tmp_path: Path) -> None:
    folder = str(conversion.bundle.folder)
    for name, file in (("images", "coffee.png"), ("masks", "coffee-mask.png")):
        (tmp_path / name).mkdir()
        shutil.copy(PHOTOS / file, tmp_path / name / "coffee.png")
    edge, inpaint = map(str, reference.registry.shipped_checkpoints())
    common = ["parity", folder, "--images", str(tmp_path / "images"), "--masks", str(tmp_path / "masks"), "--json"]
    result = CliRunner().invoke(cli.main, [*common, "--checkpoint", edge])
    assert result.exit_code == 1
    assert "EdgeModel_gen.pth and InpaintingModel_gen.pth, of which 1 were given" in result.stderr
    result = CliRunner().invoke(cli.main, [*common, "--checkpoint", inpaint, "--checkpoint", edge])
    assert result.exit_code == 0, result.stderr
    reports = {report["rung"]: report for report in json.loads(result.stdout)["reports"]}
    assert reports["onnx, result"]["p99_9"] <= 1
    assert reports["onnx, canny"]["max_abs"] == 0


def test_photo_of_four_megapixels_stays_within_memory(conversion: Conversion) -> None:
    code = f"""
import resource
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession({str(conversion.bundle.folder / "edgeconnect.onnx")!r})
photo = np.random.default_rng(0).integers(0, 256, (1, 2048, 2048, 3), np.uint8)
mask = np.zeros((1, 2048, 2048), np.uint8)
mask[:, 500:900, 300:1500] = 1
edits = np.zeros(mask.shape, np.int8)
result = session.run(["result"], {{"photo": photo, "mask": mask, "edge_edits": edits}})[0]
assert (result[mask == 0] == photo[mask == 0]).all()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(run.stdout) < LIMIT_GIB
