"""Build small ONNX graphs with random weights, for networks of every shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Graph:
    """Nodes are added by methods that return the name of what they make; `input` is the picture."""

    def __init__(self, channels: int = 3, opset: int = 17, seed: int = 0, size: tuple[int, int] | None = None) -> None:
        self.channels = channels
        self.opset = opset
        self.size = size
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.width = {"input": channels}

    def name(self) -> str:
        return f"t{len(self.nodes)}_{len(self.weights)}"

    def const(self, values: Any, dtype: Any = np.int64) -> str:
        name = self.name() + "c"
        self.weights.append(numpy_helper.from_array(np.array(values, dtype), name))
        return name

    def op(self, kind: str, *inputs: str, width: int | None = None, outputs: int = 1, **attributes: Any) -> Any:
        names = [f"{self.name()}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        for name in names:
            self.width[name] = self.width.get(inputs[0], 0) if width is None else width
        return names[0] if outputs == 1 else names

    def conv(
        self, x: str, outputs: int = 6, k: Any = 3, stride: int = 1, dilation: int = 1, pad: Any = None, group: int = 1
    ) -> str:
        kh, kw = (k, k) if isinstance(k, int) else k
        inputs = self.width[x] // group
        weight = self.rng.normal(0, (1 / (kh * kw * inputs)) ** 0.5, (outputs, inputs, kh, kw))
        pads = pad if pad is not None else [dilation * (kh - 1) // 2, dilation * (kw - 1) // 2] * 2
        return self.op(
            "Conv", x, self.const(weight, np.float32), width=outputs, strides=[stride] * 2,
            dilations=[dilation] * 2, pads=pads, group=group,
        )  # fmt: skip

    def up(self, x: str, outputs: int = 6, k: int = 4, stride: int = 2, pad: int = 1) -> str:
        weight = self.rng.normal(0, (1 / (k * k * self.width[x])) ** 0.5, (self.width[x], outputs, k, k))
        return self.op(
            "ConvTranspose", x, self.const(weight, np.float32), width=outputs, strides=[stride] * 2, pads=[pad] * 4
        )

    def resize(self, x: str, scale: float, **attributes: Any) -> str:
        scales = self.const([1, 1, scale, scale], np.float32)
        return self.op("Resize", x, "", scales, **attributes)

    def depth_to_space(self, x: str, block: int = 2, mode: str = "CRD") -> str:
        width = self.width[x] // block**2
        return self.op("DepthToSpace", x, width=width, blocksize=block, mode=mode)

    def space_to_depth(self, x: str, block: int = 2) -> str:
        return self.op("SpaceToDepth", x, width=self.width[x] * block**2, blocksize=block)

    def unshuffle(self, x: str, side: str = "-1", block: int = 2) -> str:
        """Space to depth as PyTorch exports it: by shapes computed in the graph."""
        shape = self.op("Shape", x)
        n, c, h, w = (self.op("Gather", shape, self.const([i])) for i in range(4))
        two = self.const([block])
        halves = [self.op("Div", v, two) for v in (h, w)]
        split = self.op("Concat", n, c, halves[0], two, halves[1], two, axis=0)
        turned = self.op("Transpose", self.op("Reshape", x, split), perm=[0, 1, 3, 5, 2, 4])
        more = self.op("Mul", c, self.const([block * block]))
        joined = self.op("Concat", n, more, *halves, axis=0)
        return self.op("Reshape", turned, joined, width=self.width[x] * block**2)

    def proto(self, output: str, metadata: dict[str, str] | None = None) -> onnx.ModelProto:
        height, width = self.size or ("height", "width")
        x = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, self.channels, height, width])
        y = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "test", [x], [y], self.weights)
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        for key, value in (metadata or {}).items():
            proto.metadata_props.add(key=f"gansr.{key}", value=value)
        return proto

    def save(self, path: Path, output: str, metadata: dict[str, str] | None = None) -> Path:
        onnx.save(self.proto(output, metadata), str(path))
        return path
