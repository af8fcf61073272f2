"""A torch module of the user's own, with a contract that is read from examples and from running it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from converters.errors import ConversionError, FeedError
from converters.sources.module_shapes import Examples, Feeds, describe_outputs, read_examples, require_sizes
from converters.sources.user_code import describe_failure
from converters.tensors import Array, Tensors, TensorSpec
from reference.model import OutputPolicy

MODULE_FORMAT = "torch module"
# Names of a single output and of several that the user does not name.
OUTPUT = "output"
# Two runs on the same input may differ by so much, absolute and relative.
REPEAT_TOLERANCE = 1e-4


@dataclass(frozen=True)
class SourceRecord:
    """A file, or the module itself, that a bundle is made from.

    Attributes:
        path: A file, or the module's class by its name.
        sha256: Of the file's bytes; of the module's state dict, with keys and types.
        format: Of the file.
        settings: None is known.
    """

    path: Path
    sha256: str
    format: str = MODULE_FORMAT
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class OwnModule:
    """A module with what is known of it.

    Attributes:
        name: The bundle's name, unless the user gives another.
        module: Gives its outputs as a tuple; the user's module, untouched, is inside.
        inputs: In the order in which the module takes them.
        outputs: In the order in which the module gives them.
        policies: How each output is judged.
        examples: Arrays that the user gave.
        trace_sizes: Size of each free axis that torch traces the module at.
        sources: The module, and the files that it was made from.
    """

    name: str
    module: nn.Module
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    policies: Mapping[str, OutputPolicy]
    examples: tuple[Tensors, ...]
    trace_sizes: Mapping[str, int]
    sources: tuple[SourceRecord, ...]

    @property
    def path(self) -> Path:
        """Its name, as messages have it."""
        return Path(self.name)

    def run(self, feeds: Tensors) -> dict[str, Array]:
        """Compute the outputs.

        Raises:
            FeedError: the module raises an exception.
        """
        results = run_module(self.name, self.module, feeds)
        return {spec.name: array for spec, array in zip(self.outputs, results, strict=True)}


class TupleOfOutputs(nn.Module):
    """Calls a module, and gives the tensors in what it returns (tuples, lists, dicts) as one flat tuple."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(tensor for _, tensor in _flatten(self.module(*inputs), ""))


def read_module(
    module: nn.Module,
    inputs: Mapping[str, Any] | None = None,
    outputs: Sequence[str | TensorSpec] | None = None,
    known: Mapping[str, str] | None = None,
    name: str | None = None,
    files: Sequence[SourceRecord] = (),
) -> OwnModule:
    """Find the contract of a module.

    Args:
        module: In eval mode, on the CPU, in float32; it is neither copied nor changed.
        inputs: For each input, in the order in which the module takes them: an example array or tensor, whose sizes are
            fixed; a pair of examples, whose sizes are free where they differ; or a TensorSpec. None for a net that
            begins with a convolution and takes one image: its channels are the convolution's, its sizes free.
        outputs: A name or a TensorSpec of each output; None takes the keys of a dict, or "output"; a key that is an
            input's name too becomes "output_KEY".
        known: For an output that is composited: the input whose pixels come back where the input "mask" is 0.
        name: Instead of the class's.
        files: What the module was made from.

    Raises:
        ConversionError: the module is in training mode, on a GPU, not float32, or gives random numbers or no tensors.
        FeedError: inputs or outputs do not fit the module.
    """
    name = name or type(module).__name__
    _require_plain(name, module)
    wrapped = TupleOfOutputs(module).eval()
    run: Feeds = lambda feeds: run_module(name, wrapped, feeds)  # noqa: E731
    examples = read_examples(name, module, inputs, run)
    probes = [(feeds, run(feeds)) for feeds in examples.probes]
    _require_repeatable(name, run, *probes[0])
    labels = _label_outputs(name, module, examples, probes[0][1], outputs)
    specs = describe_outputs(examples.specs, labels, probes)
    policies = _make_policies(name, examples.specs, specs, known or {})
    for feeds, results in probes:
        _require_known(name, feeds, dict(zip((spec.name for spec in specs), results, strict=True)), known or {})
    record = SourceRecord(Path(type(module).__qualname__), _hash_state(module))
    return OwnModule(
        name, wrapped, examples.specs, specs, policies, examples.given, examples.trace_sizes, (record, *files)
    )


def run_module(where: str, module: nn.Module, feeds: Tensors) -> tuple[Array, ...]:
    """What a module that gives a tuple computes from arrays, in their order.

    Raises:
        FeedError: the module raises an exception.
    """
    try:
        with torch.inference_mode():
            results = module(*(torch.from_numpy(np.ascontiguousarray(array)) for array in feeds.values()))
    except Exception as error:  # whatever the user's code raises
        shapes = ", ".join(f"{name} {array.shape} {array.dtype}" for name, array in feeds.items())
        met = f"it does not run on {shapes} ({describe_failure(error)})"
        raise FeedError(where, met, "Give inputs that fit it") from error
    return tuple(np.asarray(result.numpy()) for result in results)


def _hash_state(module: nn.Module) -> str:
    """SHA-256, in hex, of a module's state dict, with keys, shapes and types."""
    digest = hashlib.sha256()
    for key, tensor in module.state_dict().items():
        if isinstance(tensor, torch.Tensor):
            digest.update(f"{key} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
            digest.update(np.ascontiguousarray(tensor.detach().numpy()).tobytes())
    return digest.hexdigest()


def _require_plain(name: str, module: nn.Module) -> None:
    if not isinstance(module, nn.Module):
        raise ConversionError(name, "it is no torch.nn.Module", "Give a module, a checkpoint or an ONNX file")
    training = next((inner or name for inner, part in module.named_modules() if part.training), None)
    if training is not None:
        raise ConversionError(name, f"'{training}' is in training mode", "Call module.eval() first")
    for key, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.device.type != "cpu":
            raise ConversionError(name, f"'{key}' is on {tensor.device}", "Call module.cpu() first")
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise ConversionError(name, f"'{key}' is {tensor.dtype}", "Call module.float() first")


def _flatten(result: object, label: str) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors in what a module returns, each with the keys that lead to it; None is left out."""
    if isinstance(result, torch.Tensor):
        yield label, result
    elif isinstance(result, Mapping):
        for key, value in result.items():
            yield from _flatten(value, f"{label}_{key}" if label else str(key))
    elif isinstance(result, list | tuple):
        for i, value in enumerate(result):
            yield from _flatten(value, f"{label}_{i}" if label else str(i))
    elif result is not None:
        raise TypeError(f"it returns a {type(result).__name__}, which is no tensor, tuple, list or dict of tensors")


def _label_outputs(
    name: str,
    module: nn.Module,
    examples: Examples,
    results: Sequence[Array],
    given: Sequence[str | TensorSpec] | None,
) -> list[str | TensorSpec]:
    if not results:
        raise ConversionError(name, "it returns no tensors", "Give a module that returns a tensor")
    if given is not None:
        if isinstance(given, str) or len(given) != len(results):
            shapes = ", ".join(str(array.shape) for array in results)
            met = f"it returns {len(results)} tensors ({shapes}), and {given!r} names others"
            raise FeedError(name, met, "Give outputs=[...], a name for each")
        both = next((label for label in map(_name_of, given) if label in examples.probes[0]), None)
        if both is not None:
            raise FeedError(name, f"an input and an output are both called '{both}'", "Give one another name")
        return list(given)
    with torch.inference_mode():
        returned = module(*(torch.from_numpy(np.ascontiguousarray(array)) for array in examples.probes[0].values()))
    labels = [label for label, _ in _flatten(returned, "")]
    keyed = isinstance(returned, Mapping)
    return [
        label if keyed and label not in examples.probes[0] else f"{OUTPUT}{f'_{label}' if label else ''}"
        for label in labels
    ]


def _name_of(output: str | TensorSpec) -> str:
    return output if isinstance(output, str) else output.name


def _make_policies(
    name: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], known: Mapping[str, str]
) -> dict[str, OutputPolicy]:
    names = {spec.name for spec in inputs}
    for output, image in known.items():
        if output not in {spec.name for spec in outputs} or not {image, "mask"} <= names:
            met = f"known={{'{output}': '{image}'}} needs that output and the inputs '{image}' and 'mask'"
            raise FeedError(name, met, "Name an output, and the input whose pixels come back outside the hole")
    return {spec.name: OutputPolicy(known=known.get(spec.name), relative=spec.value_range is None) for spec in outputs}


def _require_known(name: str, feeds: Tensors, outputs: Tensors, known: Mapping[str, str]) -> None:
    """Refuse `known` where the module itself does not give the pixels back."""
    for output, image in known.items():
        array, given = outputs[output], feeds[image]
        known_pixels = (np.where(feeds["mask"] > 0, 0, each) for each in (array, given))
        if array.shape != given.shape or len({pixels.tobytes() for pixels in known_pixels}) > 1:
            met = f"the module itself does not give the pixels of '{image}' back in '{output}' where 'mask' is 0"
            raise FeedError(name, met, f"Leave out known={{'{output}': '{image}'}}")


def _require_repeatable(name: str, run: Feeds, feeds: Tensors, before: Sequence[Array]) -> None:
    again = run(feeds)
    same = len(again) == len(before) and all(
        a.shape == b.shape and np.allclose(a, b, rtol=REPEAT_TOLERANCE, atol=REPEAT_TOLERANCE, equal_nan=True)
        for a, b in zip(again, before, strict=True)
    )
    if not same:
        raise ConversionError(
            name, "it gives other numbers each time on the same input", "Leave out its random numbers, or its state"
        )
    require_sizes(name, before)
