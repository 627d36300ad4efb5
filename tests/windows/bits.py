"""Checksums of a noisy clip that shipped networks upscale: python -m windows.bits FILE [CASE...]."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import clips
import numpy as np
import vapoursynth as vs

from vs_gansr.model import library

__all__ = ["CASES", "Case"]

FORMATS = ("YUV420P8", "YUV444P16", "RGB24")
PRECISIONS = {"CPU": ("fp32", "int8"), "OpenVINO": ("fp32", "int8")}


@dataclass(frozen=True)
class Case:
    """A shipped network in a precision on a provider, and the clip's format."""

    model: str
    provider: str
    precision: str
    format: str

    def __str__(self) -> str:
        return f"{self.model}-{self.provider}-{self.precision}-{self.format}"

    def checksum(self) -> str:
        """SHA-256 of the frames' samples."""
        matrix = {"_Matrix": vs.MATRIX_RGB if self.format == "RGB24" else vs.MATRIX_BT709}
        clip = clips.noise(getattr(vs, self.format), 48, 36, length=2, props=matrix)
        sums = hashlib.sha256()
        for frame in clip.gansr.Upscale(self.model, provider=self.provider, precision=self.precision).frames():
            for plane in frame:
                sums.update(np.ascontiguousarray(plane).tobytes())
        return sums.hexdigest()


CASES = [
    Case(model, provider, precision, form)
    for model, provider in product(library.shipped(), PRECISIONS)
    for precision in PRECISIONS[provider]
    for form in FORMATS
]

if __name__ == "__main__":
    path, *names = sys.argv[1:]
    checksums = {str(case): case.checksum() for case in CASES if str(case) in names}
    Path(path).write_text(json.dumps(checksums, indent=1))
