"""Make NVIDIA's GPUs Provider objects: by ONNX Runtime's CUDA provider, and by the classic TensorRT provider."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import onnxruntime as ort

from ...model import user_folders
from ...model.spec import Model
from ..base import Engine, EngineKey
from ..onnxruntime.provider import OnnxRuntimeProvider, tried
from . import driver, libraries

__all__ = ["FAST", "FAST_NHWC", "CudaOptions", "CudaProvider", "TensorRt"]

NEEDS = "; CUDA 13 needs a GPU of the Turing generation or later and driver 580 or later"


@dataclass(frozen=True)
class CudaOptions:
    """Pictures travel through pinned memory, and all is ordered on a CUDA stream of ours."""

    nhwc: bool = False  # keep channels innermost in memory


FAST, FAST_NHWC = CudaOptions(), CudaOptions(nhwc=True)


class CudaProvider(OnnxRuntimeProvider):
    """NVIDIA's GPUs, by ONNX Runtime's CUDA provider."""

    meant_for = "NVIDIA's GPUs"
    install = libraries.INSTALL
    platforms = ("linux", "win32")
    automatic = True
    streams = 2

    def __init__(self, title: str = "CUDAExecutionProvider", name: str = "CUDA") -> None:
        super().__init__(title, name)

    def devices(self) -> list[str]:
        return libraries.names()

    def trouble(self, device_id: int) -> str | None:
        if lost := driver.lost(device_id):
            return f"the device was lost in this process ({lost}); start the program again"
        if missing := libraries.trouble(device_id):
            return missing
        reason = tried(self, device_id, "fp16")  # half precision is the usual one
        return reason and f"{reason}{NEEDS}"

    def note_loss(self, device_id: int, reason: str) -> None:
        driver.device(device_id).lost = reason

    def precisions(self, device_id: int) -> tuple[str, ...]:
        return "fp16", "fp32"

    def memory(self, device_id: int) -> tuple[int, int] | None:
        return driver.device(device_id).memory()

    def identity(self, device_id: int) -> str:
        return " ".join((self.title, ort.__version__, driver.device(device_id).identity, libraries.versions()))

    def tiers(self) -> Mapping[str, Hashable]:
        return {"plain": None, "fast": FAST, "fast NHWC": FAST_NHWC}

    def options(self, key: EngineKey) -> dict[str, str]:
        chosen = {
            "device_id": str(key.device_id),
            "cudnn_conv_algo_search": "HEURISTIC",
            "cudnn_conv_use_max_workspace": "1",
            "prefer_nhwc": str(int(key.options == FAST_NHWC)),
            # Without it ONNX Runtime passes over every algorithm on tensor cores, half precision's too; float32
            # networks would have their inputs rounded to 10 bits.
            "use_tf32": str(int(key.precision == "fp16")),
            "arena_extend_strategy": "kSameAsRequested",
        }
        return {**chosen, "gpu_mem_limit": str(key.limit)} if key.limit else chosen

    def make(self, model: Model, key: EngineKey) -> Engine:
        from .engine import CudaEngine  # an engine needs sessions, which need a provider

        if isinstance(key.options, CudaOptions):
            return CudaEngine(model, key)
        plain: Engine = super().make(model, key)
        return plain


class TensorRt(CudaProvider):
    """NVIDIA's GPUs, by ONNX Runtime's classic TensorRT provider; for whoever names it."""

    install = "pip install onnxruntime-gpu, and TensorRT 10"
    automatic = False
    patience = 1800.0  # it builds engines, and times them

    def __init__(self) -> None:
        super().__init__("TensorrtExecutionProvider", "TensorRT")

    def trouble(self, device_id: int) -> str | None:
        reason = super().trouble(device_id)
        if reason and "libnvinfer" in reason:
            reason += f"; ONNX Runtime {ort.__version__} is linked against TensorRT 10, pip brings 11: "
            reason += 'pip install "tensorrt<11"'
        return reason

    def tiers(self) -> Mapping[str, Hashable]:
        return {"plain": None}

    def options(self, key: EngineKey) -> dict[str, str]:
        kept = user_folders.cache_folder() / "compiled" / "tensorrt"
        kept.mkdir(parents=True, exist_ok=True)
        return {
            "device_id": str(key.device_id),
            "trt_fp16_enable": str(int(key.precision == "fp16")),
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(kept),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(kept),
        }

    def behind(self, key: EngineKey) -> list[tuple[str, dict[str, str]]]:
        """CUDA takes the nodes that TensorRT does not take."""
        return [("CUDAExecutionProvider", super().options(key))]
