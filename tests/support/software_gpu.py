"""A machine with a GPU that is software: SwiftShader, Chromium's, which scripts/swiftshader fetches.

ONNX Runtime looks for GPUs in /sys/class/drm, so a process that is to see one gets a made-up folder there, in a mount
namespace of its own.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from paths import ROOT

FOLDERS = (ROOT / ".cache" / "swiftshader", Path("/usr/lib/chromium"))
DRIVER = "vk_swiftshader_icd.json"
GPU = {"vendor": "0x8086", "device": "0x56a0", "class": "0x030000"}  # a card of Intel's


def folder() -> Path | None:
    """Where SwiftShader is."""
    return next((place for place in FOLDERS if (place / DRIVER).is_file()), None)


@cache
def why_not() -> str:
    """Why a process cannot have the GPU, as the reason of a skipped test; "" if it can."""
    if folder() is None:
        return "SwiftShader is not here; scripts/swiftshader fetches it on Debian"
    if not shutil.which("unshare"):
        return "unshare is not installed"
    done = subprocess.run(with_gpu(["true"]), capture_output=True, text=True)
    return f"no mount namespace can be had: {done.stderr.strip()}" if done.returncode else ""


def with_gpu(words: Sequence[str], count: int = 1) -> list[str]:
    """A command that runs `words` on a machine with `count` such GPUs."""
    lines = ["mount -t tmpfs none /sys/class", "mkdir -p /sys/class/drm"]
    for card in range(count):
        place = f"/sys/class/pci/0000:0{card + 3}:00.0"
        lines += [f"mkdir -p {place} /sys/class/drm/card{card}", f"ln -s {place} /sys/class/drm/card{card}/device"]
        lines += [f"echo {value} > {place}/{name}" for name, value in GPU.items()]
    script = " && ".join([*lines, f"exec {shlex.join(words)}"])
    return ["unshare", *(["-m"] if os.getuid() == 0 else ["-r", "-m"]), "sh", "-c", script]


def environment(home: Path) -> dict[str, str]:
    """What leads Vulkan to SwiftShader, with a cache folder of its own."""
    place = folder()
    assert place
    own = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_"))}
    return own | {
        "LD_LIBRARY_PATH": str(place),
        "VK_DRIVER_FILES": str(place / DRIVER),
        "XDG_RUNTIME_DIR": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
    }
