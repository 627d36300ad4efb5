"""Owns every choice there is about a session on CUDA, and what it is called in ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass, replace

import onnxruntime as ort

from ...errors import ArgumentError

__all__ = ["GRAPHS_SINCE", "CudaOptions", "graphs_are_sound"]

GRAPHS_SINCE = (1, 31)  # ONNX Runtime's version


@dataclass(frozen=True)
class CudaOptions:
    """The defaults are what the plugin uses."""

    graph: bool = True
    """Replay the whole network as one CUDA graph."""
    nhwc: bool = True
    """Keep channels innermost in memory."""
    tf32: bool | None = None
    """Let float32 convolutions round their inputs to 10 bits; None: in networks of half precision only, which round so
    anyway. Without it ONNX Runtime passes over every algorithm on tensor cores, half precision's too."""
    search: str = "HEURISTIC"
    """How cuDNN picks its algorithms: `HEURISTIC`, `EXHAUSTIVE` or `DEFAULT`."""
    workspace: bool = True
    """Let cuDNN take all the memory it likes."""
    fuse_bias: bool = False
    """Add a convolution's bias inside it; with `nhwc` only, else ONNX Runtime clears memory on a stream of its own."""
    plan_memory: bool = False
    """Plan all activations as one block after the first run, which still holds its own: up to twice the memory."""
    pinned: bool = True
    """Host buffers that the GPU reads and writes by itself."""
    own_stream: bool = True
    """Order copies and compute on one CUDA stream of ours; else each waits for the other."""
    block: bool = True
    """Sleep while the GPU works instead of spinning."""
    spare: int = 2
    """Host buffers beyond one a stream: frames are copied while the GPU works."""

    def __post_init__(self) -> None:
        if self.fuse_bias and not self.nhwc:
            raise ArgumentError("CudaOptions: fuse_bias needs nhwc; set nhwc, or leave the bias outside")

    def provider_options(
        self, device_id: int, precision: str, stream: int | None = None, limit: int = 0
    ) -> dict[str, str]:
        """ONNX Runtime's options of its CUDA provider, `limit` bytes of memory at most (0: no limit).

        `stream` is the handle of the CUDA stream that everything is to be ordered on, 0 for one of ONNX Runtime's
        own; None, for a session whose inputs and outputs may move, leaves CUDA graphs out, too.
        """
        chosen = {
            "device_id": str(device_id),
            "cudnn_conv_algo_search": self.search,
            "cudnn_conv_use_max_workspace": str(int(self.workspace)),
            "prefer_nhwc": str(int(self.nhwc)),
            "use_tf32": str(int(precision == "fp16" if self.tf32 is None else self.tf32)),
            "fuse_conv_bias": str(int(self.fuse_bias)),
            "arena_extend_strategy": "kSameAsRequested",
        }
        if stream is not None:
            chosen["enable_cuda_graph"] = str(int(self.graph))
        if stream:
            chosen["user_compute_stream"] = str(stream)
        if limit:
            chosen["gpu_mem_limit"] = str(limit)
        return chosen

    def simpler(self) -> list[CudaOptions]:
        """These, then what to try where a network resists: no CUDA graph, no channels-last layout, neither."""
        tries = [(self.graph, self.nhwc), (False, self.nhwc), (self.graph, False), (False, False)]
        return [
            replace(self, graph=graph, nhwc=nhwc, fuse_bias=self.fuse_bias and nhwc)
            for graph, nhwc in dict.fromkeys(tries)
        ]


def graphs_are_sound() -> bool:
    """True if this ONNX Runtime replays CUDA graphs right: before 1.31 a Concat read buffers that others had reused."""
    return tuple(map(int, ort.__version__.split(".")[:2])) >= GRAPHS_SINCE
