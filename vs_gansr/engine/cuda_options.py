"""Owns every choice there is about a session on CUDA, and what it is called in ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["CudaOptions"]


@dataclass(frozen=True)
class CudaOptions:
    """The defaults are what the plugin uses."""

    graph: bool = True
    """Replay the whole network as one CUDA graph."""
    nhwc: bool = True
    """Keep channels innermost in memory."""
    tf32: bool = False
    """Let float32 convolutions round their inputs to 10 bits."""
    search: str = "HEURISTIC"
    """How cuDNN picks its algorithms: `HEURISTIC`, `EXHAUSTIVE` or `DEFAULT`."""
    workspace: bool = True
    """Let cuDNN take all the memory it likes."""
    fuse_bias: bool = False
    """Add a convolution's bias inside it."""
    pinned: bool = True
    """Host buffers that the GPU reads and writes by itself."""
    own_stream: bool = True
    """Order copies and compute on one CUDA stream of ours; else each waits for the other."""
    block: bool = True
    """Sleep while the GPU works instead of spinning."""
    spare: int = 2
    """Host buffers beyond one a stream: frames are copied while the GPU works."""

    def provider_options(self, device_id: int, stream: int | None = None, limit: int = 0) -> dict[str, str]:
        """ONNX Runtime's options of its CUDA provider, `limit` bytes of memory at most (0: no limit).

        `stream` is the handle of the CUDA stream that everything is to be ordered on, 0 for one of ONNX Runtime's
        own; None, for a session whose inputs and outputs may move, leaves CUDA graphs out, too.
        """
        chosen = {
            "device_id": str(device_id),
            "cudnn_conv_algo_search": self.search,
            "cudnn_conv_use_max_workspace": str(int(self.workspace)),
            "prefer_nhwc": str(int(self.nhwc)),
            "use_tf32": str(int(self.tf32)),
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
        return [replace(self, graph=graph, nhwc=nhwc) for graph, nhwc in dict.fromkeys(tries)]
