"""Run networks on NVIDIA's GPUs by the plugin for TensorRT RTX, which builds an engine for each network and size."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import numpy as np
import onnxruntime as ort

from ...model import user_folders
from ..base import EngineKey
from .plugin import PluginProvider

__all__ = ["TensorRtRtx"]

log = logging.getLogger("vs_gansr")

WORTH_TELLING = 2.0  # seconds from which on the log says how long building took


class TensorRtRtx(PluginProvider):
    """NVIDIA's GPUs of the Ampere generation or later."""

    meant_for = "NVIDIA's GPUs of the Ampere generation or later"
    install = 'pip install "vs-gansr[tensorrt]"'
    platforms = ("linux", "win32")
    package = "onnxruntime_ep_nv_tensorrt_rtx"
    distribution = "onnxruntime-ep-nv-tensorrt-rtx"
    no_device = "TensorRT RTX finds no GPU; it needs one of NVIDIA's, of the Ampere generation or later"
    streams = 2
    patience = 900.0  # it builds engines
    samples = frozenset(map(np.dtype, (np.float16, np.float32)))  # TensorRT has no integers of 16 bits

    def __init__(self) -> None:
        super().__init__("NvTensorRTRTXExecutionProvider", "TensorRT-RTX")

    @property
    def names(self) -> tuple[str, ...]:
        return *super().names, "TensorRTRTX", "NvTensorRtRtx"

    def precisions(self, device_id: int) -> tuple[str, ...]:
        return "fp16", "fp32"

    def options(self, key: EngineKey) -> dict[str, str]:
        kept = user_folders.cache_folder() / "compiled" / "tensorrt-rtx"
        kept.mkdir(parents=True, exist_ok=True)
        return {"nv_runtime_cache_path": str(kept), **({"nv_max_workspace_size": str(key.limit)} if key.limit else {})}

    def session(
        self, data: bytes, settings: ort.SessionOptions, key: EngineKey, more: Mapping[str, str] | None = None
    ) -> ort.InferenceSession:
        size = f"{key.width}x{key.height}"
        log.info("TensorRT RTX is building an engine for %s, once", size)
        begin = time.perf_counter()
        session = super().session(data, settings, key, more)
        if (took := time.perf_counter() - begin) > WORTH_TELLING:
            log.warning("TensorRT RTX built an engine for %s in %.0f s", size, took)
        return session
