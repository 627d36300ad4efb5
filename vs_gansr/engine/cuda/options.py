"""Say how a session on CUDA is made: the options of the tier `fast`, and ONNX Runtime's options for all tiers."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FAST", "FAST_NHWC", "CudaOptions", "provider_options"]


@dataclass(frozen=True)
class CudaOptions:
    """Pictures travel through pinned memory, and all is ordered on a CUDA stream of ours."""

    nhwc: bool = False  # keep channels innermost in memory


FAST, FAST_NHWC = CudaOptions(), CudaOptions(nhwc=True)


def provider_options(
    device_id: int, precision: str, limit: int = 0, stream: int = 0, nhwc: bool = False
) -> dict[str, str]:
    """ONNX Runtime's options of its CUDA provider, `limit` bytes of memory at most (0: no limit).

    `stream` is the handle of the CUDA stream that everything is to be ordered on, 0 for one of ONNX Runtime's own.
    """
    chosen = {
        "device_id": str(device_id),
        "cudnn_conv_algo_search": "HEURISTIC",
        "cudnn_conv_use_max_workspace": "1",
        "prefer_nhwc": str(int(nhwc)),
        # Without it ONNX Runtime passes over every algorithm on tensor cores, half precision's too; float32 networks
        # would have their inputs rounded to 10 bits.
        "use_tf32": str(int(precision == "fp16")),
        "arena_extend_strategy": "kSameAsRequested",
    }
    if stream:
        chosen["user_compute_stream"] = str(stream)
    if limit:
        chosen["gpu_mem_limit"] = str(limit)
    return chosen
