"""Owns the way of frames whose colour is converted inside the network's graph; refers all others to another way.

The planes of a frame go to the session as they are stored, and the output frame's planes come from it. CUDA takes
this way; on the CPU zimg around the session is faster (pipeline.py), and tests bring both to the same result with
the environment variable GANSR_COLOUR, `graph` or `zimg`.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import vapoursynth as vs

from ..colour import conversion, tags
from ..colour.tags import Family, Format
from ..engine import graphflow, malloc_trim, providers, session_cache
from ..engine.cuda_driver import Switches
from ..engine.flow import Flow, Shape
from ..engine.graphflow import FlowKey
from ..errors import GansrError, RenderError, one_line
from ..model.spec import Model

__all__ = ["GraphWay", "Plan", "wanted"]

VARIABLE = "GANSR_COLOUR"
OVERFLOWS = 3  # frames that half precision could not hold, until it is given up

type Way = Callable[[int, vs.VideoFrame], Any]


def wanted(provider: str) -> bool:
    """True if frames on this provider take this way."""
    asked = os.environ.get(VARIABLE, "").lower()
    return asked == "graph" or (provider == providers.CUDA and asked != "zimg")


@dataclass(frozen=True)
class Plan:
    """How a clip is run: the model, where, in which precision, into which format (None: the frame's own)."""

    model: Model
    provider: str
    device_id: int
    precision: str
    target: Format | None
    limit: int = 0
    switches: Switches = field(default_factory=Switches)


class GraphWay:
    """Computes a frame from a frame; where that cannot be done, gives what `otherwise` gives.

    `describe` turns a frame's format into colour's. A frame whose depth is reduced is dithered, one whose matrix
    needs its transfer function is decoded: both zimg alone can do. A network that fails here, for want of memory or
    whatever reason, is left to `otherwise` from then on, which has smaller tiles to offer.
    """

    MOST = 4  # flows held at once for a clip whose size or tags vary

    def __init__(self, core: vs.Core, plan: Plan, describe: Callable[[Any], Format | None], otherwise: Way) -> None:
        self.core = core
        self.plan = plan
        self.describe = describe
        self.otherwise = otherwise
        self.precision = plan.precision
        self.overflows = 0
        self._refused: set[Shape] = set()
        self._leases: dict[FlowKey, session_cache.Lease[Flow]] = {}
        self._said: set[str] = set()
        self._lock = threading.RLock()
        weakref.finalize(self, release_all, self._leases).atexit = False

    def prepare(self, frame: vs.VideoFrame) -> bool:
        """Makes the flow for frames like this one before the first arrives; False if they go the other way."""
        shape = self.shape(frame)
        if shape is None:
            return False
        try:
            self.flow(shape, self.precision)
        except GansrError as error:
            self.refuse(shape, error)
            return False
        return True

    def __call__(self, n: int, f: vs.VideoFrame) -> Any:
        shape = self.shape(f)
        if shape is None:
            return self.otherwise(n, f)
        out = self.blank(shape, f)
        inputs = [np.asarray(f[i]) for i in range(shape.source.planes)]
        outputs = [np.asarray(out[i]) for i in range(shape.target.planes)]
        try:
            precision = self.precision
            done = self.flow(shape, precision).run(inputs, outputs)
            if not done and precision == "fp16":
                done = self.flow(shape, self.leave_half(n)).run(inputs, outputs)
            malloc_trim.breathe()
            if done:
                return out
            raise RenderError("the network gives values that are not finite, even in float32")
        except GansrError as error:
            self.refuse(shape, error)
        return self.otherwise(n, f)

    def shape(self, frame: vs.VideoFrame) -> Shape | None:
        """What the frame's planes are and become; None if it must go the other way."""
        source = self.describe(frame.format)
        if source is None:
            return None
        target = self.plan.target or source
        if tags.needs_dither(source, target):
            self.say(f"depth goes from {source.name} to {target.name} and is dithered")
            return None
        sides = conversion.ends(source, target, frame.props, frame.width, frame.height)
        shape = Shape(*sides, frame.width, frame.height, self.plan.model.spec.scale)
        if shape in self._refused:
            return None
        reason = graphflow.obstacle(self.plan.model, shape)
        if reason:
            self.say(reason)
            return None
        return shape

    def blank(self, shape: Shape, frame: vs.VideoFrame) -> vs.VideoFrame:
        """A frame to fill, with the colour properties of what will be in it."""
        side, scale = shape.target, shape.scale
        fmt = self.core.get_video_format(self.plan.target.id) if self.plan.target else frame.format
        out = self.core.create_video_frame(fmt, frame.width * scale, frame.height * scale)
        out.props["_Matrix"] = tags.MATRIX_RGB if side.family == Family.RGB else side.matrix
        out.props["_Range"] = int(side.full_range)
        if side.subsampling_w or side.subsampling_h:
            out.props["_ChromaLocation"] = side.chroma_location
        return out

    def leave_half(self, n: int) -> str:
        """Notes that half precision could not hold frame n; the precision to compute it again in."""
        with self._lock:
            self.overflows += 1
            self.say(f"frame {n} overflows half precision and is computed again in float32", vs.MESSAGE_TYPE_WARNING)
            if self.overflows >= OVERFLOWS and self.precision == "fp16":
                self.precision = "fp32"
                self.say(f"after {self.overflows} such frames float32 is used from here on", vs.MESSAGE_TYPE_WARNING)
            return "fp32"

    def refuse(self, shape: Shape, error: GansrError) -> None:
        """Leaves frames of this shape to the other way, and what they held of memory."""
        with self._lock:
            self._refused.add(shape)
            for key in [key for key in self._leases if key.shape == shape]:
                lease = self._leases.pop(key)
                graphflow.flows.forget(key)
                lease.release()
        self.say(f"colour goes around the network from here on ({one_line(error, 200)})", vs.MESSAGE_TYPE_WARNING)

    def flow(self, shape: Shape, precision: str) -> Flow:
        plan = self.plan
        key = FlowKey(
            plan.model.spec.digest, plan.provider, plan.device_id, precision, shape, plan.switches, plan.limit
        )
        with self._lock:
            lease = self._leases.pop(key, None) or graphflow.acquire(plan.model, key)
            self._leases[key] = lease  # last used last
            while len(self._leases) > self.MOST:
                self._leases.pop(next(iter(self._leases))).release()
            return lease.value

    def say(self, message: str, kind: vs.MessageType = vs.MESSAGE_TYPE_INFORMATION) -> None:
        with self._lock:
            if message in self._said:
                return
            self._said.add(message)
        self.core.log_message(kind, f"Upscale: {message}")


def release_all(leases: dict[FlowKey, session_cache.Lease[Flow]]) -> None:
    for lease in leases.values():
        lease.release()
    leases.clear()
