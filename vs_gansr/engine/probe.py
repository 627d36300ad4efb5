"""Find by tiny runs on the CPU what a network's file does not say, once for a file's content.

Findings are kept in the user's cache folder; a cache that is lost or damaged costs the runs again, nothing else.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort

from ..colour import pictures
from ..common.caching import LruCache
from ..errors import ModelError, ShortageError, one_line
from ..model.metadata import LARGEST_SCALE
from ..model.rewrite.graph_view import fixed_size
from ..model.spec import Model, ModelFile, SizeRule, ValueRange, round_up
from . import memory
from .base import EngineKey
from .disk import Remembered
from .onnxruntime import sessions
from .onnxruntime.provider import CPU

__all__ = ["Findings", "describe", "find"]

BASES = (64, 256)  # pixels a side, at least, of the runs: larger ones where nothing else works
STEPS = (1, 2, 3, 4, 6, 7, 8, 12, 16, 24, 32, 48, 64)  # size rules tried where the graph does not tell
LEAST = (8, 16, 24, 32, 48, 64, 96, 128, 192)  # shortest sides tried, rounded up to the size rule
PATIENCE = 10.0  # seconds of failing runs; a network that resists a size mostly does so at once
LARGEST = 1 << 26  # pixels of a network of fixed size
UNIT, BYTE, SIGNED = ValueRange(), ValueRange(0.0, 255.0), ValueRange(-1.0, 1.0)
# Ranges of input and output, tried in this order. The rare ones have to fit better: a network that only changes the
# contrast looks like one of them. The last list is for graphs that end in values from -1 to 1.
RANGES = ((UNIT, UNIT), (BYTE, BYTE))
RARE_RANGES = ((SIGNED, SIGNED), (UNIT, BYTE), (BYTE, UNIT), (SIGNED, UNIT), (UNIT, SIGNED))
SIGNED_RANGES = ((SIGNED, SIGNED), (UNIT, SIGNED), (BYTE, SIGNED))
FAITHFUL = 0.1  # of white: the mean difference up to which a network is said to give its picture back
VERY_FAITHFUL = 0.02  # the same for RARE_RANGES
VERSION = 4  # of the findings' meaning; older ones are found anew
MOST = 1000  # models remembered


@dataclass(frozen=True)
class Findings:
    """What was found of a network."""

    scale: int  # output over input size
    multiple: int  # pixels that sides are divisible by
    minimum: int  # pixels of the shortest side
    input_range: ValueRange  # of the input
    output_range: ValueRange  # of the output


def describe(file: ModelFile) -> Model:
    """`file` with scale, size rule and range filled in: said by the file, read off its graph, or found.

    Raises ModelError where a run fails or gives no picture, ShortageError where memory does not suffice for one.
    """
    spec = file.spec
    # A file that describes itself has the usual range, unless its end shows another one.
    if spec.scale is not None and spec.multiple is not None and (spec.range is not None or not spec.signed_output):
        known = Findings(spec.scale, spec.multiple, spec.minimum, UNIT, UNIT)
    else:
        known = findings(file)
    rule = SizeRule(known.minimum, known.multiple, spec.fixed)
    scale = known.scale if spec.scale is None else spec.scale
    return Model(
        spec.resolved(scale, rule, spec.range or known.input_range, spec.range or known.output_range),
        file.path,
        file.data,
    )


def findings(file: ModelFile) -> Findings:
    """What `find` gives, once for a file's content."""
    digest = file.spec.digest

    def make() -> Findings:
        known = recall(digest)
        if known is None:
            known = find(file)
            remembered.put(digest, asdict(known))
        return known

    return cache.get(digest, make)


cache: LruCache[str, Findings] = LruCache(MOST)  # by content; a network that is being tried holds up no other
remembered = Remembered("probes", VERSION, MOST)


def find(file: ModelFile) -> Findings:
    """Runs the network on small pictures. Raises ModelError where it fails on all of them or gives no picture."""
    spec = file.spec
    if spec.fixed:
        width, height = spec.fixed
        if width * height > LARGEST:
            raise ModelError(
                f'model "{spec.name}" takes {width}x{height} pictures only, which is too large; at most {LARGEST} '
                "pixels are supported"
            )
        return Findings(scale_of(file, width, height), spec.multiple or 1, 1, *ranges(file, width, height))
    side, multiple, scale = rule(file)
    minimum = spec.minimum if multiple == spec.multiple else side
    if multiple != spec.multiple:
        tried = sorted({round_up(least, multiple) for least in LEAST if least < side})
        minimum = next((least for least in tried if accepts(file, least, least, scale)), side)
    return Findings(scale, multiple, minimum, *ranges(file, side, side))


def rule(file: ModelFile) -> tuple[int, int, int]:
    """A side that works, the size rule and the scale. What the graph's reader says of the rule is tried first.

    Raises ModelError, with what went wrong first, where no size works, or none that is found in PATIENCE.
    """
    said = file.spec.multiple
    begin = time.thread_time()  # the runs have no threads of their own
    failure: ModelError | None = None
    for shortest in BASES:
        for step in (said, *STEPS) if said else STEPS:
            if failure and time.thread_time() - begin > PATIENCE:
                raise failure
            side = round_up(max(shortest, file.spec.minimum), step)
            try:
                scales = {scale_of(file, *size) for size in sizes(side, step)[: 1 if step == said else 2]}
            except ModelError as error:
                failure = failure or error
                continue
            if len(scales) == 1:
                return side, step, scales.pop()
            failure = failure or ModelError(
                f'model "{file.spec.name}" enlarges pictures of different sizes by different factors '
                f"({', '.join(map(str, sorted(scales)))}); export it with one factor"
            )
    assert failure
    raise failure


def sizes(side: int, step: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Two pictures whose sides have no common divisor but `step` and its own, for a `side` that it divides."""
    return (side, side + step), (side + 3 * step, side + 2 * step)


def scale_of(file: ModelFile, width: int, height: int) -> int:
    """The scale of a network, by running it once on a width x height picture."""
    spec = file.spec
    shape = np.shape(run(file, np.full((1, spec.inputs, height, width), 0.5, np.float32)))
    scale = shape[2] // height if len(shape) == 4 else 0
    if not 1 <= scale <= LARGEST_SCALE or tuple(shape) != (1, spec.channels, height * scale, width * scale):
        several = f" for each of {spec.frames} frames" if spec.frames > 1 else ""
        raise ModelError(
            f'model "{spec.name}" turns a {width}x{height} picture with {spec.channels} channels{several} into '
            f"a tensor of shape {list(shape)}; it must give the same channels at 1 to {LARGEST_SCALE} times the size"
        )
    return scale


def accepts(file: ModelFile, width: int, height: int, scale: int) -> bool:
    """True if the network takes a picture of `width` x `height` pixels as it is and enlarges it by `scale`."""
    try:
        return scale_of(file, width, height) == scale
    except ModelError:
        return False


def ranges(file: ModelFile, width: int, height: int) -> tuple[ValueRange, ValueRange]:
    """The ranges of input and output: those between which the network gives its picture back, but for its size.

    Tried on one picture of `width` x `height` pixels, a size that it takes. Where the graph's end shows that the output
    lies between -1 and 1 the pair that fits best, else the first that fits, or 0 to 1 where none does.
    """
    spec = file.spec
    [picture] = pictures.synthetic(width, height, 1)
    if spec.channels == 1:
        picture = pictures.luma(picture)
    results: dict[ValueRange, npt.NDArray[np.float32] | None] = {}

    def result(takes: ValueRange) -> npt.NDArray[np.float32] | None:
        """The mean of each cell of what the network gives, of the picture's size; None where it fails."""
        values = takes.black + np.tile(picture, (spec.frames, 1, 1))[np.newaxis] * np.float32(takes.white - takes.black)
        try:
            large = run(file, values)
        except ModelError:
            return None
        scale = large.shape[2] // height
        means: npt.NDArray[np.float32] = large[0].reshape(spec.channels, height, scale, width, scale).mean((2, 4))
        return means

    def distance(takes: ValueRange, gives: ValueRange) -> float:
        if takes not in results:
            results[takes] = result(takes)
        got = results[takes]
        if got is None:
            return np.inf
        return float(np.abs((got - gives.black) / (gives.white - gives.black) - picture).mean())

    if spec.signed_output:
        return min(SIGNED_RANGES, key=lambda pair: distance(*pair))
    for pairs, most in ((RANGES, FAITHFUL), (RARE_RANGES, VERY_FAITHFUL)):
        for pair in pairs:
            if distance(*pair) < most:
                return pair
    return UNIT, UNIT


def run(file: ModelFile, picture: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The network's output for `picture`, (1, C, H, W), on the CPU.

    Raises ModelError where it fails, ShortageError where that is for want of memory: no other size needs trying.
    """
    spec = file.spec
    height, width = picture.shape[2:]
    key = EngineKey(spec.digest, CPU, 0, "fp32", width, height, 1, 1)
    proto = fixed_size(onnx.load_model_from_string(file.data), spec.input, picture.shape)
    session: ort.InferenceSession = sessions.create(proto, key)
    try:
        result = session.run(None, {spec.input: picture.astype(np.float16 if spec.half_input else np.float32)})[0]
    except Exception as error:
        kind = ShortageError if memory.is_shortage(error) else ModelError
        raise kind(f'model "{spec.name}" fails on a {width}x{height} picture: {one_line(error)}') from error
    return np.asarray(result, np.float32)


def recall(digest: str) -> Findings | None:
    """What was found of a network before, None if nothing usable."""
    said = remembered.get(digest)
    try:
        ranges = (ValueRange(**said[name]) for name in ("input_range", "output_range"))
        return Findings(int(said["scale"]), int(said["multiple"]), int(said["minimum"]), *ranges)
    except (KeyError, TypeError, ValueError):
        return None
