"""Libraries that Windows finds only after their folders were searched: NVIDIA's, as pip lays them out."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_fixtures import SECONDS

# A library that needs none but Windows' own stands in for each of NVIDIA's.
STANDS_IN = Path(sys.base_prefix) / "DLLs" / "libffi-8.dll"
LAYOUTS = {  # of the packages for CUDA 12 and 13
    "12": ("cuda_runtime/bin/cudart64_12.dll", "cudnn/bin/cudnn64_9.dll"),
    "13": ("cu13/bin/x86_64/cudart64_13.dll", "cudnn/bin/cudnn64_9.dll"),
}
# ONNX Runtime's library for CUDA names those it needs, without their folders.
BY_NAME = """
import ctypes, sys

def found():
    loaded = []
    for name in sys.argv[1:]:
        try:
            loaded.append(ctypes.WinDLL(name))
        except OSError:
            pass
    return len(loaded)

before = found()
from vs_gansr.engine.cuda import libraries
libraries.preload()
print(before, found())
"""


@pytest.mark.parametrize("version", LAYOUTS)
def test_nvidias_libraries_are_found_in_pips_folders(version: str, tmp_path: Path) -> None:
    assert ctypes.WinDLL(str(STANDS_IN))
    files = [tmp_path / "nvidia" / path for path in LAYOUTS[version]]
    for file in files:
        file.parent.mkdir(parents=True)
        shutil.copyfile(STANDS_IN, file)
    words = [sys.executable, "-c", BY_NAME, *(file.name for file in files)]
    variables = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(words, env=variables, capture_output=True, text=True, timeout=SECONDS)
    assert done.stdout.split() == ["0", "2"], done.stdout + done.stderr
