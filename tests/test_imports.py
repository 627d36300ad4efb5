"""Rendering imports nothing that only training and conversion need, and `gansr upscale` begins without the runtimes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_rendering_loads_no_training_package(point_model: Path) -> None:
    code = """
import sys, vapoursynth as vs
clip = vs.core.std.BlankClip(format=vs.YUV420P8, width=32, height=32, length=2)
assert clip.gansr.Upscale(sys.argv[1]).get_frame(1).width == 64
print(sorted({"torch", "tensorboard", "av", "PIL", "skimage"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code, str(point_model)], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


def test_the_command_begins_without_the_runtimes() -> None:
    """What it refuses, it refuses at once; the worker imports them."""
    code = """
import sys, vs_gansr.cli.upscale.command
print(sorted({"av", "numpy", "onnx", "onnxruntime", "vapoursynth"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
