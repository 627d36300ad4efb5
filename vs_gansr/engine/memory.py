"""Owns how much memory a network may take, and how a shortage is recognised; knows neither frames nor tiles."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from pathlib import Path

if sys.platform == "linux":
    import resource

__all__ = ["available", "budget", "is_shortage", "working_set"]

MIB = 1 << 20
COMFORTABLE = 1536 * MIB  # with more, and so with larger tiles, a pixel costs more time, not less
FIXED = 24 * MIB  # a session's own structures
ARENA = 1.6  # ONNX Runtime's arena grows by powers of two, and has gaps

GROUP = Path("/sys/fs/cgroup")
CONTAINER = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)  # the two versions of Linux control groups

SHORTAGE = re.compile(
    r"out of memory|out_of_memory|bad[ _]alloc|fail\w* to allocate|alloc\w* failed|alloc_failed|memoryallocation"
    r"|cannot allocate memory|insufficient memory|available memory of|cuda failure 2\b",
    re.IGNORECASE,
)


def is_shortage(error: BaseException) -> bool:
    """True if a provider or Python says with this error that memory ran out."""
    return isinstance(error, MemoryError) or bool(SHORTAGE.search(str(error)))


def available() -> int:
    """Bytes that this process could still take: free in the machine, its container, and its own limits."""
    amounts = [machine()]
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


def machine() -> int:
    """Bytes free in the machine; where the system does not say, half of what it has."""
    if sys.platform == "linux":
        said = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        return int(said["MemAvailable"].split()[0]) * 1024
    if sys.platform == "win32":
        status = (ctypes.c_uint64 * 8)(64)  # MEMORYSTATUSEX: its size, then load and seven 64 bit amounts
        ctypes.windll.kernel32.GlobalMemoryStatusEx(status)
        return int(status[2])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def budget(mebibytes: int | None, streams: int, device: int | None = None) -> int:
    """Bytes that the network may take with all its streams: the user's cap, or half of what is there.

    `device` is what is free on a device with memory of its own; large tiles are no slower there.
    """
    free = available() if device is None else device
    if mebibytes is not None:
        return min(mebibytes * MIB, free)
    return min(free // 2, COMFORTABLE * streams) if device is None else free // 2


def working_set(alive: int, pictures: int, weights: int, streams: int) -> int:
    """Bytes a session takes: `alive` tensors and `pictures` in and out per stream, and the weights.

    The weights count twice, as ONNX Runtime reorders them for its convolutions.
    """
    return FIXED + 2 * weights + int(streams * (ARENA * alive + pictures))
