"""The model repository for Triton: its schema is NVIDIA's, and each file is what its configuration says."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest

from consumers.triton import format_config
from converters.tensors import Signature, TensorSpec
from parity_tests.support.command import rewrite_hashes, run_ganport
from parity_tests.support.places import ROOT
from parity_tests.support.served import write_server

SHIPPED = ROOT / "reference" / "bundles" / "edgeconnect"
ORT_TYPES = {"TYPE_UINT8": "tensor(uint8)", "TYPE_INT8": "tensor(int8)", "TYPE_FP32": "tensor(float)"}


@pytest.fixture(scope="module")
def schema() -> ModuleType:
    """The messages of Triton's configuration, without the rest of tritonclient.grpc, which needs grpc."""
    found = importlib.util.find_spec("tritonclient")
    if found is None:
        pytest.skip("tritonclient is not installed")
    (folder,) = found.submodule_search_locations or ()
    spec = importlib.util.spec_from_file_location("model_config_pb2", Path(folder) / "grpc" / "model_config_pb2.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parse(schema: ModuleType, path: Path) -> Any:
    from google.protobuf import text_format

    return text_format.Parse(path.read_text(encoding="utf-8"), schema.ModelConfig())


def require_model(schema: ModuleType, folder: Path) -> None:
    """A model's folder is called as the model, and its file takes and gives what the configuration says."""
    config = parse(schema, folder / "config.pbtxt")
    assert config.name == folder.name
    assert config.platform == "onnxruntime_onnx"
    session = onnxruntime.InferenceSession(folder / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    for told, found in ((config.input, session.get_inputs()), (config.output, session.get_outputs())):
        assert [tensor.name for tensor in told] == [tensor.name for tensor in found]
        for tensor, value in zip(told, found, strict=True):
            assert ORT_TYPES[schema.DataType.Name(tensor.data_type)] == value.type
            shape = [size if isinstance(size, int) else -1 for size in value.shape]
            assert list(tensor.dims) == (shape[1:] if config.max_batch_size else shape)
            assert not config.max_batch_size or shape[0] == -1


def test_repository_of_the_shipped_pair_fits_the_schema_and_its_file(schema: ModuleType, tmp_path: Path) -> None:
    repository = write_server(tmp_path / "server") / "triton"
    assert sorted(path.name for path in repository.iterdir()) == ["README.md", "edgeconnect"]
    require_model(schema, repository / "edgeconnect")
    config = parse(schema, repository / "edgeconnect" / "config.pbtxt")
    assert config.max_batch_size == 4
    assert config.HasField("dynamic_batching")
    written = (repository / "edgeconnect" / "1" / "model.onnx").read_bytes()
    assert written == (SHIPPED / "edgeconnect.onnx").read_bytes()


def test_net_of_one_size_and_an_odd_name_fits_the_schema(schema: ModuleType, tmp_path: Path) -> None:
    specs = (TensorSpec('a "b"\\', (1, 3, 8, 8)),), (TensorSpec("result", (1, 3, 8, 8), "float16"),)
    path = tmp_path / "config.pbtxt"
    path.write_text(format_config("odd näme", "onnxruntime_onnx", Signature(*specs)), encoding="utf-8")
    config = parse(schema, path)
    assert (config.name, config.max_batch_size, config.input[0].name) == ("odd näme", 0, 'a "b"\\')
    assert list(config.input[0].dims) == [1, 3, 8, 8]
    assert schema.DataType.Name(config.output[0].data_type) == "TYPE_FP16"
    assert not config.HasField("dynamic_batching")


def add_chain(bundle: Path, package: str) -> Path:
    """Add what a TensorRT build would have written, with the whole net in place of an engine's bytes."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    links = [{"file": "edgeconnect-all.engine", **{key: manifest["contract"][key] for key in ("inputs", "outputs")}}]
    (bundle / "edgeconnect-chain.json").write_text(json.dumps(links))
    shutil.copy(bundle / "edgeconnect.onnx", bundle / "edgeconnect-all.engine")
    manifest["artifacts"].append(
        {
            **manifest["artifacts"][0],
            "target": "trt",
            "files": ["edgeconnect-chain.json", "edgeconnect-all.engine"],
            "versions": {package: "10.0"},
            "verified": False,
            "parity": None,
        }
    )
    manifest["not_verified"]["trt"] = "no GPU"
    for file in ("edgeconnect-chain.json", "edgeconnect-all.engine"):
        manifest["files"][file] = {"format": "made up"}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    rewrite_hashes(bundle)
    return bundle


def test_chain_of_engines_is_an_ensemble(schema: ModuleType, tmp_path: Path) -> None:
    bundle = add_chain(shutil.copytree(SHIPPED, tmp_path / "edgeconnect"), "tensorrt")
    repository = write_server(tmp_path / "server", bundle) / "triton"
    names = ["README.md", "edgeconnect", "edgeconnect-trt", "edgeconnect-trt-1"]
    assert sorted(path.name for path in repository.iterdir()) == names
    whole, engine = (parse(schema, repository / name / "config.pbtxt") for name in names[2:])
    assert (whole.platform, engine.platform) == ("ensemble", "tensorrt_plan")
    (step,) = whole.ensemble_scheduling.step
    assert (step.model_name, step.model_version) == (engine.name, -1)
    assert dict(step.input_map) == {tensor.name: tensor.name for tensor in engine.input}
    assert dict(step.output_map) == {tensor.name: tensor.name for tensor in engine.output}
    assert [tensor.name for tensor in whole.input] == [tensor.name for tensor in engine.input]
    assert (repository / "edgeconnect-trt" / "1").is_dir()
    assert (repository / "edgeconnect-trt-1" / "1" / "model.plan").is_file()


def test_engine_of_another_library_than_tritons_is_left_out(tmp_path: Path) -> None:
    bundle = add_chain(shutil.copytree(SHIPPED, tmp_path / "edgeconnect"), "tensorrt-rtx")
    repository = write_server(tmp_path / "server", bundle) / "triton"
    assert sorted(path.name for path in repository.iterdir()) == ["README.md", "edgeconnect"]
    assert run_ganport("inspect", bundle).exit_code == 0


def test_damaged_bundle_is_not_written_out(tmp_path: Path) -> None:
    bundle = shutil.copytree(SHIPPED, tmp_path / "edgeconnect")
    golden = bundle / "golden" / "input_mask.npy"
    np.save(golden, np.zeros((1, 2, 2), np.uint8))
    done = run_ganport("consumers", "server", tmp_path / "server", "--bundle", bundle)
    assert done.exit_code == 1
    assert "'golden/input_mask.npy' is not what its hash in SHA256SUMS says" in done.stderr
    assert not (tmp_path / "server").exists()
