"""List the suites of measures; a suite is computed, cached and shown together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.quality import colorvideovdp, media, metrics, texture
from benchmarks.quality.metrics import Values
from benchmarks.quality.store import source


@dataclass(frozen=True, eq=False)
class Suite:
    """Measures of an output against its reference, by one function."""

    name: str
    """Heading of its tables and folder of its results."""
    columns: Mapping[str, str]
    """Heading by measure."""
    measure: Callable[[Path, Path, int], Values]
    """(reference, output, frames) to a value for each of `columns`; both are Matroska files of equal size."""
    depends: Callable[[], tuple[str, ...]]
    """Hashes and versions of the code that results depend on."""


FIDELITY = Suite(
    "fidelity",
    metrics.NAMES,
    metrics.measure,
    lambda: (source(metrics, media), version("vapoursynth-vszip"), version("imageio-ffmpeg")),
)
TEXTURE = Suite(
    "texture",
    texture.NAMES,
    texture.measure,
    lambda: (source(texture, media), version("scipy"), version("numpy")),
)
COLORVIDEOVDP = Suite(
    "ColorVideoVDP",
    colorvideovdp.NAMES,
    colorvideovdp.measure,
    lambda: (source(colorvideovdp, media), version("cvvdp")),
)
"""Minutes a clip on a CPU, and in an extra of its own: measured where it is asked for."""
