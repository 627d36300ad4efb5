"""A GPU that computes nothing: stands in for CUDA's libraries so that ONNX Runtime's CUDA provider really loads.

What it shows without hardware: which nodes the provider takes, which options it knows, in which order and on which
stream and thread it captures, launches and waits. What it cannot show: a single number.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import sys
from pathlib import Path

import onnxruntime as ort
from onnx import TensorProto, helper
from paths import NATIVE

PROVIDER = Path(ort.__file__).parent / "capi" / "libonnxruntime_providers_cuda.so"


def missing() -> str | None:
    """What is not there that the stand-ins need, None if all is."""
    if sys.platform != "linux" or not PROVIDER.is_file():
        return "needs Linux and an ONNX Runtime built with CUDA"
    for tool in ("cc", "nm"):
        if shutil.which(tool) is None:
            return f"needs {tool}"
    return None


def build_driver(folder: Path) -> Path:
    """The CUDA driver's stand-in."""
    return compiled(NATIVE / "fakecuda.c", folder / "libcuda.so.1")


def build(folder: Path) -> list[Path]:
    """Every library that ONNX Runtime's CUDA provider is linked against, in the order to load them."""
    listed = subprocess.run(["nm", "-D", "--undefined-only", PROVIDER], capture_output=True, text=True, check=True)
    wanted: dict[str, set[str]] = {"libcurand.so.10": set()}  # linked, nothing of it used
    for name, library in re.findall(r" (\w+)@(lib(?:cuda|cu)\w+\.so\.\d+)", listed.stdout):
        wanted.setdefault(library, set()).add(name)
    built = [build_driver(folder)]
    answers = (NATIVE / "fakecudart.c").read_text()
    for library, names in sorted(wanted.items(), key=lambda item: "cudart" not in item[0]):
        source = [answers if "cudart" in library else "#include <stdlib.h>"]
        for name in sorted(names):
            if not re.search(rf"\W{name}\(", source[0]):
                source.append(
                    f"int {name}({'void **made) { *made = malloc(64);' if 'Create' in name else ') {'} return 0; }}"
                )
        code = folder / f"{library}.c"
        code.write_text("\n".join(source))
        versions = folder / f"{library}.map"
        versions.write_text(f"{library} {{ global: *; }};")
        built.append(compiled(code, folder / library, f"-Wl,--version-script={versions}"))
    return built


def compiled(source: Path, library: Path, *more: str) -> Path:
    command = ["cc", "-std=gnu11", "-w", "-shared", "-fPIC", f"-Wl,-soname,{library.name}", *more]
    subprocess.run([*command, "-o", library, source], check=True, capture_output=True)
    return library


def network_without_cudnn() -> bytes:
    """A stand-in for what providers are tried with: a network that needs no cuDNN, which has no stand-in here."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 16, 8, 8]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "trial", [x], [y])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = proto.SerializeToString()
    return data


def load(libraries: list[Path]) -> None:
    """Loads them so that everything loaded later finds them first."""
    for library in libraries:
        ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
