"""A picture of results/cpu_latency.json: one panel for each net and size, a bar for each contestant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

OURS, FLOAT32, OTHER = "#1b6ca8", "#9aa5b1", "#d9b38c"


def draw(record: dict[str, Any], path: Path) -> None:
    """Write the picture; ganport's bars are blue, those of other precisions brown."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "ganport"
    from matplotlib import pyplot

    nets = record["nets"]
    figure, axes = pyplot.subplots(len(nets), 1, figsize=(8, 3 * len(nets)), squeeze=False)
    for net, (panel,) in zip(nets, axes, strict=True):
        rows = sorted(net["contestants"].items(), key=lambda item: -item[1]["median_ms"])
        colours = [OURS if name.startswith("ganport") else OTHER if "bf16" in name else FLOAT32 for name, _ in rows]
        bars = panel.barh([name for name, _ in rows], [row["median_ms"] for _, row in rows], color=colours)
        panel.bar_label(bars, fmt="%.0f", padding=3, fontsize=8)
        panel.set_title(f"{net['net']}, {net['size'][0]}x{net['size'][1]}: median ms", fontsize=10)
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
