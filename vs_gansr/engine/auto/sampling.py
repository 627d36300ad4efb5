"""Compare parts of pictures with the CPU's results: in a GPU trial, and while frames are rendered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ...colour.pictures import psnr
from ...errors import RenderError
from ...model.spec import Model, ModelSpec
from ..base import PLAIN, Engine, EngineKey, Stored, cpu_threads
from ..onnxruntime.provider import CPU
from ..planes import Plane, Tensor

__all__ = ["Crop", "Reference", "Sampler", "crop_of", "reference_key"]

SIDE = 64  # pixels of a crop that are compared, in both directions
FIRST, EACH = 8, 4  # in each of the first 8 frames 4 crops are compared
EVERY = 250  # after these frames one crop of every 250th frame is compared
SAME = 40.0  # decibels that a real picture's crop has at least, beside one code of rounding


@dataclass(frozen=True)
class Crop:
    """A part of a picture that the network computes alone, and the area of it that is compared; in input pixels."""

    x: int  # first column
    y: int  # first row
    width: int  # columns
    height: int  # rows
    inner: tuple[int, int, int, int]
    """Columns from and to, rows from and to, in the crop: those whose result does not depend on what is around it."""

    def part(self, planes: Sequence[Plane]) -> list[Plane]:
        """The crop of input planes."""
        return [plane[self.y : self.y + self.height, self.x : self.x + self.width] for plane in planes]

    def compared(self, planes: Sequence[Plane], scale: int, cut: bool) -> npt.NDArray[np.float32]:
        """What is compared, (C, H, W), of output planes: the whole picture's, or the crop's own if they are `cut`."""
        left, right, top, bottom = (scale * side for side in self.inner)
        x, y = (0, 0) if cut else (scale * self.x, scale * self.y)
        return np.stack([plane[y + top : y + bottom, x + left : x + right] for plane in planes]).astype(np.float32)


def crop_of(spec: ModelSpec, width: int, height: int, rng: np.random.Generator) -> Crop | None:
    """A random crop of a picture; None where the network's reach is unknown or leaves nothing to compare."""
    rule, radius = spec.size_rule, spec.radius
    if radius is None or rule.fixed:
        return None
    sides: list[int] = []
    places: list[int] = []
    inner: list[int] = []
    for length in (width, height):
        side = min(length, SIDE + 2 * radius) // rule.multiple * rule.multiple
        if side < rule.least:
            return None
        place = int(rng.integers((length - side) // rule.multiple + 1)) * rule.multiple
        if length - side - place < rule.multiple and not length % rule.multiple:
            place = length - side  # beside the far edge
        # Beyond an edge the network sees the same in the crop and in the picture, if that has not been padded.
        far = side if place + side == length and rule.takes(width, height) else side - radius
        near = radius if place else 0
        if far <= near:
            return None
        sides.append(side)
        places.append(place)
        inner += [near, far]
    return Crop(places[0], places[1], sides[0], sides[1], (inner[0], inner[1], inner[2], inner[3]))


def reference_key(model: Model, like: EngineKey, width: int, height: int) -> EngineKey:
    """The key for what a network gives on the processors in float32, at one size, else as `like`."""
    precision = "int8" if model.spec.precision == "int8" else "fp32"
    return replace(
        like, digest=model.spec.digest, provider=CPU, device_id=0, precision=precision, width=width, height=height,
        streams=1, threads=cpu_threads(), alone=0, limit=0, options=None,
    )  # fmt: skip


class Reference:
    """Computes crops of pictures on the processors in float32, to compare a device's results with."""

    def __init__(self, plain: Model, key: EngineKey) -> None:
        """`plain` is the network in float32, `key` that of the device."""
        self._plain = plain
        self._key = key
        self._engines: dict[EngineKey, Engine] = {}

    def pair(
        self, picture: Sequence[Plane], result: Sequence[Plane], rng: np.random.Generator, stored: Stored = PLAIN
    ) -> tuple[Tensor, Tensor] | None:
        """A random crop of `result`, (C, H, W), and the same computed here; None where no crop can be compared."""
        spec, (height, width) = self._plain.spec, picture[0].shape
        crop = crop_of(spec, width, height, rng)
        if crop is None:
            return None
        like = replace(self._key, source=stored[0], target=stored[1])
        key = reference_key(self._plain, like, crop.width, crop.height)
        if key not in self._engines:
            self._engines[key] = key.provider.make(self._plain, key)
        right = [np.empty((spec.growth * crop.height, spec.growth * crop.width), stored[1].dtype) for _ in result]
        self._engines[key].run(crop.part(picture), right)
        return crop.compared(result, spec.growth, False), crop.compared(right, spec.growth, True)


class Sampler:
    """Checks frames as they are computed. Raises RenderError for one that is wrong; called from any thread."""

    def __init__(self, plain: Model, key: EngineKey, wrong: Callable[[str], None]) -> None:
        """As Reference has them; `wrong` is told of a frame that is wrong."""
        self.wrong = wrong
        self._reference = Reference(plain, key)
        self._count = 0
        self._rng = np.random.default_rng()
        self._lock = threading.Lock()

    def __call__(self, n: int, picture: Sequence[Plane], result: Sequence[Plane], stored: Stored) -> None:
        """Checks frame n, if it is its turn: `picture` and `result` as Recovery.render has them."""
        with self._lock:
            count, self._count = self._count, self._count + 1
            if count >= FIRST and count % EVERY:
                return
            for _ in range(EACH if count < FIRST else 1):
                self._check(n, picture, result, stored)

    def _check(self, n: int, picture: Sequence[Plane], result: Sequence[Plane], stored: Stored) -> None:
        if pair := self._reference.pair(picture, result, self._rng, stored):
            error = np.maximum(0, np.abs(pair[0] - pair[1]) - stored[1].is_integer) / stored[1].scale
            if (found := psnr(float(np.mean(np.square(error, dtype=np.float64))))) < SAME:
                reason = (
                    f"the device computes wrong: PSNR {found:.1f} dB against the CPU's result for frame {n} (at least "
                    f"{SAME:g} dB are required)"
                )
                self.wrong(reason)
                raise RenderError(reason)
