"""Draws quality against cost: SSIMULACRA2 over Lanczos beside milliseconds a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.quality.cost import Costs
from benchmarks.quality.table import Result

FORMATS = (".png", ".svg")
"""What a plot's file name may end with."""
PANEL = (7.0, 5.0)
"""Width and height of a preparation's panel in inches."""


def write(path: Path, results: Sequence[Result], costs: Costs, groups: Mapping[str, Sequence[str]]) -> Path:
    """Writes a panel for each preparation: every method a point, cost on a logarithmic axis; the path.

    `groups` are names of methods by what the legend calls them.
    """
    figure = Figure(figsize=(PANEL[0] * len(results), PANEL[1]), layout="constrained")
    panels = figure.subplots(1, len(results), sharex=True, squeeze=False)[0]
    width, height = costs.size
    for panel, result in zip(panels, results, strict=True):
        for group, names in groups.items():
            points = [
                (costs.by_method[name].ms, gain, name)
                for name in names
                if name in costs.by_method and (gain := result.gain(name)) is not None
            ]
            panel.scatter([ms for ms, _, _ in points], [gain for _, gain, _ in points], label=group)
            for ms, gain, name in points:
                panel.annotate(name, (ms, gain), xytext=(5, 4), textcoords="offset points", fontsize=7)
        panel.axhline(0, color="gray", linewidth=0.5)
        panel.set_xscale("log")
        panel.margins(x=0.2)
        panel.set_title(f"preparation {result.preparation.name}: {result.summary_group}")
        panel.set_xlabel(f"ms a frame, {width}x{height} in, one at a time, provider auto")
        panel.set_ylabel("SSIMULACRA2 over Lanczos")
    panels[0].legend(loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    return path
