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
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest
from onnx import TensorProto, helper
from paths import NATIVE

from vs_gansr.engine.auto import proof, registry
from vs_gansr.engine.auto.proof import Verdict
from vs_gansr.engine.base import EngineKey
from vs_gansr.engine.cuda import driver
from vs_gansr.engine.cuda.provider import CudaProvider
from vs_gansr.engine.onnxruntime.provider import CPU

CUDA = "CUDAExecutionProvider"
PROVIDER = Path(ort.__file__).parent / "capi" / "libonnxruntime_providers_cuda.so"


def missing() -> str | None:
    """The name of what the stand-ins need and is missing; None if nothing is."""
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


class CpuSession:
    """A session on the CPU that says it is CUDA's, and fails as its machine wants it to."""

    def __init__(self, machine: StandIn, real: Any, settings: Any, options: Mapping[str, str]) -> None:
        self.machine = machine
        self.real = real
        self.settings = settings
        self.options = dict(options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def get_providers(self) -> list[str]:
        return [CUDA, "CPUExecutionProvider"]

    def io_binding(self) -> CpuBinding:
        return CpuBinding(self.real)

    def run_with_iobinding(self, binding: CpuBinding, options: Any = None) -> None:
        if self.machine.status:
            raise RuntimeError(f"CUDA failure {self.machine.status}: the stand-in is lost")
        if fault := self.machine.fault(self):
            raise RuntimeError(fault)
        self.real.run_with_iobinding(binding.real, options)


class CpuBinding:
    """Inputs and outputs at addresses of the driver's stand-in, which are the processor's."""

    def __init__(self, session: Any) -> None:
        self.real = session.io_binding()

    def bind_input(self, name: str, device: str, *where: Any) -> None:
        self.real.bind_input(name, "cpu", *where)

    def bind_output(self, name: str, device: str, *where: Any) -> None:
        self.real.bind_output(name, "cpu", *where)


class StandIn(CudaProvider):
    """CUDA's provider on a machine with a GPU: the driver's stand-in holds the memory, the CPU computes.

    Its proof is taken as passed, with `verdict`.
    """

    def __init__(self, patch: pytest.MonkeyPatch, library: Path) -> None:
        super().__init__()
        self.gpu = driver.Cuda(0, str(library))
        self.sessions: weakref.WeakSet[CpuSession] = weakref.WeakSet()
        self.made: list[tuple[Any, dict[str, str]]] = []  # settings and options of all sessions there ever were
        self.fault: Callable[[CpuSession], str | None] = lambda session: None
        self.refuse: Callable[[dict[str, str]], str | None] = lambda options: None
        self.status = 0
        self.verdict = Verdict(99.0, 99.0, 0.0, 3.0)
        self._driver = ctypes.CDLL(str(library))
        patch.setitem(driver._opened, 0, self.gpu)
        patch.setattr(registry, "PROVIDERS", [self if p.name == "CUDA" else p for p in registry.PROVIDERS])
        patch.setattr(proof, "prove", lambda job: self.verdict)

    def devices(self) -> list[str]:
        return ["Fake"]

    def trouble(self, device_id: int) -> str | None:
        return driver.lost(device_id) or None

    def session(self, data: bytes, settings: Any, key: EngineKey, more: Any = None) -> Any:
        chosen = {**self.options(key), **(more or {})}
        self.made.append((settings, chosen))
        if why := self.refuse(chosen):
            raise RuntimeError(why)
        session = CpuSession(self, CPU.session(data, settings, replace(key, device_id=0)), settings, chosen)
        self.sessions.add(session)
        return session

    def live(self) -> int:
        """Streams, events and blocks of memory that nobody gave back."""
        count: int = self._driver.fakeLive()
        return count

    def lose(self, status: int = 700) -> None:
        """Every call fails with `status` from here on; 0 ends that."""
        self.status = status
        self._driver.fakeBreak(status)

    def room(self, more: int) -> None:
        """Limits how many more streams, events and blocks may exist at once than now; -1: no limit."""
        self._driver.fakeRoom(more)
