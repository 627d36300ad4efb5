"""Estimate and limit the memory that a network takes, and recognise errors that mean a shortage of it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import psutil

if sys.platform == "linux":
    import resource

from ..model.spec import ModelSpec
from .base import EngineKey

__all__ = ["available", "budget", "is_loss", "is_shortage", "named", "need"]

MIB = 1 << 20
COMFORTABLE = 1536 * MIB  # with more, and so with larger tiles, a pixel costs more time, not less
FIXED = 24 * MIB  # a session's own structures
UNKNOWN = 1024  # bytes per pixel between input and output of a graph that is not understood: a wide generator's
ARENA = 1.6  # ONNX Runtime's arena grows by powers of two, and has gaps

GROUP = Path("/sys/fs/cgroup")  # of Linux, in two versions
CONTAINER = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))

SHORTAGE = re.compile(
    r"out of memory|out_of_memory|bad[ _]alloc|fail\w* to allocate|alloc\w* failed|alloc_failed|memoryallocation"
    r"|device_allocation_failed"
    # WebGPU: a tensor too large for one buffer is bound in parts, and they get too many
    r"|too many storage buffers|max buffer size limit|max\w*storagebufferbindingsize"
    r"|cannot allocate memory|insufficient memory|available memory of|cuda failure 2\b",
    re.IGNORECASE,
)
# What CUDA says once a kernel has gone astray or the hardware has: no call of this process succeeds any more
# (214, 220 uncorrectable errors; 700 illegal address, 702 timeout, 709, 710 and 714 to 719, 721, 999 unknown), nor may
# anything be destroyed. Others between them (701, 712, 713, 720) concern one call alone.
LOSS = re.compile(r"(?:cuda failure|error|says) (?:214|220|700|702|709|71[04-9]|721|999)\b", re.IGNORECASE)


def is_shortage(error: BaseException) -> bool:
    """True if the error, of a provider or of Python, means that memory ran out."""
    return isinstance(error, MemoryError) or bool(SHORTAGE.search(str(error)))


def named(key: EngineKey, error: BaseException) -> str:
    """Which memory an error of an engine's means, in words: the system's, or that of the key's device."""
    host = key.provider.processor(key.device_id) or isinstance(error, MemoryError) or "bad_alloc" in str(error)
    return "system memory" if host else f"memory of {key.provider.name} device {key.device_id}"


def is_loss(error: BaseException) -> bool:
    """True if the error means that CUDA's device is lost for this process."""
    return bool(LOSS.search(str(error)))


def available() -> int:
    """Bytes that this process could still take: free in the machine, its container, and its own limits."""
    amounts = [int(psutil.virtual_memory().available)]
    for most, used in CONTAINER:
        try:
            amounts.append(int((GROUP / most).read_text()) - int((GROUP / used).read_text()))
        except (OSError, ValueError):
            continue  # no such group, or its limit is "max"
    if sys.platform == "linux":
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            amounts.append(limit - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize())
    return max(0, min(amounts))


def budget(mebibytes: int | None, streams: int, device: int | None = None) -> int:
    """Bytes that the network may take with all its streams: the user's limit, or half of the free memory.

    `device` is the free memory of a device that has its own; large tiles are not slower there.
    """
    free = available() if device is None else device
    if mebibytes is not None:
        return min(mebibytes * MIB, free)
    return min(free // 2, COMFORTABLE * streams) if device is None else free // 2


def need(spec: ModelSpec, key: EngineKey) -> int:
    """Bytes that an engine for `key` takes with all its streams busy, estimated from the graph."""
    pixels = key.width * key.height
    alive = spec.study.bytes(key.width, key.height)
    if alive is None:  # an unknown graph: as much as a wide generator
        alive = pixels * UNKNOWN
    if key.precision == "fp16" and not key.provider.processor(key.device_id):
        alive //= 2
    ends = pixels * 4 * (spec.inputs + spec.outputs * spec.growth**2)
    weights = spec.weights * (1 + bool(key.alone))
    # The weights count twice, as ONNX Runtime reorders them for its convolutions.
    return FIXED + 2 * weights + int((key.streams + bool(key.alone)) * (ARENA * alive + ends))
