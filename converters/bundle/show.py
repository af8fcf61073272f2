"""A bundle as a page for a notebook: its contract, what was proven, and its golden case as pictures."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator

import numpy as np

from converters.bundle.folder import Bundle
from converters.errors import BundleError
from converters.parity.report import METRIC_FORMS, format_metric
from converters.tensors import Array, Tensors, TensorSpec
from converters.text import escape_controls

MAX_SHOWN_PX = 192
RGB = 3


def format_html(bundle: Bundle) -> str:
    """The page; all text in it that comes from files is escaped."""
    manifest = bundle.manifest
    sources = " and ".join(source.file for source in manifest.sources)
    parts = [
        f"<h4>{_escape(manifest.name)}</h4>",
        f"<p>{_escape(manifest.architecture)}, made from {_escape(sources)}, in {_escape(str(bundle.folder))}</p>",
        _table(
            ("", "tensor", "shape", "type", "meaning"),
            [
                *(_describe("in", spec) for spec in bundle.signature.inputs),
                *(_describe("out", spec) for spec in bundle.signature.outputs),
            ],
        ),
        _table(("target", "parity", "max abs", "PSNR, dB", "excess"), list(_list_verdicts(bundle))),
    ]
    try:
        pictures = [*_draw_all(bundle.golden()[0]), *_draw_all(bundle.golden()[1])]
    except BundleError as error:
        return "".join((*parts, f"<p>{_escape(error.met)}</p>"))
    return "".join((*parts, f"<div>{''.join(pictures)}</div>"))


def _describe(side: str, spec: TensorSpec) -> tuple[str, ...]:
    return side, spec.name, "x".join(map(str, spec.shape)), spec.dtype, spec.meaning


def _list_verdicts(bundle: Bundle) -> Iterator[tuple[str, ...]]:
    manifest = bundle.manifest
    for artifact in manifest.artifacts:
        summary = artifact.parity
        if summary is None:
            yield artifact.target, manifest.not_verified.get(artifact.target, "not verified"), "", "", ""
            continue
        verdict = f"passed on {summary.judged_items} of {summary.items} items" if summary.passed else "FAILED"
        yield artifact.target, verdict, *(format_metric(summary, key) for key in METRIC_FORMS)
    written = {artifact.target for artifact in manifest.artifacts}
    yield from ((target, why, "", "", "") for target, why in manifest.not_verified.items() if target not in written)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    def line(cells: tuple[str, ...], tag: str) -> str:
        return f"<tr>{''.join(f'<{tag}>{_escape(cell)}</{tag}>' for cell in cells)}</tr>"

    return f"<table>{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"


def _draw_all(tensors: Tensors) -> Iterator[str]:
    """A picture of the first item of each tensor that looks like an image."""
    for name, array in tensors.items():
        picture = _find_picture(array)
        if picture is not None:
            yield f"<figure style='display:inline-block;margin:4px'>{_draw(picture)}<figcaption>{_escape(name)}"
            yield "</figcaption></figure>"


def _find_picture(array: Array) -> Array | None:
    """(H, W) or (H, W, 3) uint8, or None. Floats from 0 or from -1 to 1 become 0 to 255."""
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4 or array.size == 0:
        return None
    item = array[0] if array.shape[-1] == RGB else array[0].transpose(1, 2, 0)
    if item.shape[2] not in (1, RGB) or min(item.shape[:2]) < 2:
        return None
    low = min(float(item.min()), 0)
    span = 255 if item.dtype == np.uint8 and item.max() > 1 else 1
    shown: Array = np.rint((item.astype(np.float64) - low) / (span - low) * 255).clip(0, 255).astype(np.uint8)
    gray: Array = shown[..., 0]
    return gray if shown.shape[2] == 1 else shown


def _draw(picture: Array) -> str:
    from PIL import Image

    image = Image.fromarray(picture)
    image.thumbnail((MAX_SHOWN_PX, MAX_SHOWN_PX))
    data = io.BytesIO()
    image.save(data, format="PNG")
    return f"<img src='data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}'>"


def _escape(text: str) -> str:
    return html.escape(escape_controls(text))
