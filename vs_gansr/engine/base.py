"""Owns what every engine is: planes in, planes out, at one size; knows no engine of them all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..model.rewrite.ends import Samples
from .cuda.options import CudaOptions
from .planes import Plane

__all__ = ["CPU", "CUDA", "FLOAT32", "OPENVINO", "PRECISIONS", "WEBGPU", "Engine", "EngineKey", "cpu_threads"]

CPU, CUDA, WEBGPU = (f"{name}ExecutionProvider" for name in ("CPU", "CUDA", "WebGpu"))  # as ONNX Runtime calls them
OPENVINO = "OpenVINO"  # its own runtime; ONNX Runtime's provider of that name is OpenVINOExecutionProvider
FLOAT32 = Samples.float32()  # black at 0, white at 1
PRECISIONS = ("auto", "fp32", "fp16", "bf16", "int8")


@dataclass(frozen=True)
class EngineKey:
    """What decides whether an engine can be shared: the network's content, where and how it runs."""

    digest: str
    """SHA-256 of the network's file."""
    provider: str
    """ONNX Runtime's name of the execution provider, `CPUExecutionProvider` ..., or OPENVINO."""
    device_id: int
    """Which of the provider's devices, from 0."""
    precision: str
    """`fp32`, `fp16`, `bf16` or `int8`; what the network computes in, not what its planes hold."""
    width: int
    """Columns of the input planes; 0 where a key stands for any size."""
    height: int
    """Rows of the input planes; 0 where a key stands for any size."""
    streams: int
    """How many pictures may be computed at once."""
    threads: int
    """Processors for each of the streams."""
    alone: int = 0
    """Processors for a picture while there is no other, on a stream of its own; 0: no such stream."""
    limit: int = 0
    """Bytes of device memory for each stream; 0: as many as there are."""
    source: Samples = FLOAT32
    """How the input planes store their samples."""
    target: Samples = FLOAT32
    """How the output planes store theirs."""
    clamp: bool = False
    """Whether values below black and above white are kept from the network."""
    cuda: CudaOptions = field(default_factory=CudaOptions)
    """Choices of sessions on CUDA; without meaning elsewhere."""


class Engine(Protocol):
    """One network at one size on one device; called from any thread, `key.streams` pictures at once."""

    key: EngineKey
    """What it was made for."""

    def run(self, inputs: Sequence[Plane], outputs: Sequence[Plane], offset: tuple[int, int] = (0, 0)) -> None:
        """Computes `outputs` from `inputs`.

        `inputs` are planes of `key.height` x `key.width` as `key.source` stores them: the channels of all frames that
        the network sees, in order. `outputs` are the planes of one frame as `key.target` stores them, `scale` times
        as large, or any part of that: the one that begins at `offset`, (x, y) in input pixels. Rows may lie further
        apart than they are long. Raises ShortageError where memory runs out, NotFiniteError where the network gives
        numbers that are not finite, DeviceLostError where its device is gone, RenderError for whatever else fails.
        """

    def size(self) -> int:
        """Bytes it keeps, roughly."""

    def close(self) -> None:
        """Gives everything back; nothing may be running. Never raises."""


def cpu_threads() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
