"""Try one provider in its own process, because a broken provider may crash or hang.

The process gets a provider's name and a device. It runs a 3x3 convolution there, compares the result with the correct
one, and prints one line of JSON: `{"trouble": null}` or the reason.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

__all__ = ["trouble"]

SECONDS = 60.0


def trouble(provider: str, device_id: int) -> str | None:
    """Return why `provider` does not work on the device, in one line; None if it works."""
    words = [sys.executable, "-m", "vs_gansr.cli.doctor.trial", provider, str(device_id)]
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=SECONDS
        )
        answer: dict[str, str | None] = json.loads(done.stdout.splitlines()[-1])
        return answer["trouble"]
    except subprocess.TimeoutExpired:
        return f"it did not answer within {SECONDS:.0f} s"
    except (IndexError, KeyError, ValueError):
        output = " ".join(done.stderr.split())[-300:]
        return f"its process ended with {done.returncode}: {output or 'no output'}"


def attempt(name: str, device_id: int) -> str | None:
    """Run the convolution in this process; return the reason of a failure, or None."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from ...engine.auto import registry
    from ...engine.base import EngineKey
    from ...errors import one_line
    from ...model.spec import Model, ModelSpec

    provider = registry.find(name)
    reason = provider.trouble(device_id)
    if reason:
        return plain(reason)
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, "h", "w"]) for n in "xy")
    ones = numpy_helper.from_array(np.ones((3, 3, 3, 3), np.float32), "w")
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    graph = helper.make_graph([node], "trial", [x], [y], [ones])
    proto: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    spec = ModelSpec(name="trial", digest="", input="x", output="y", channels=3, scale=1)
    precision = "fp32" if "fp32" in provider.precisions(device_id) else "fp16"
    picture = (np.arange(3 * 64).reshape(3, 8, 8) / 256).astype(np.float32)
    result = np.empty_like(picture)
    try:
        engine = provider.make(
            Model(spec, Path(), proto.SerializeToString()), EngineKey("", provider, device_id, precision, 8, 8, 1, 1)
        )
        engine.run(list(picture), list(result))
    except Exception as error:  # the binding raises its own types
        return plain(one_line(error))
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(picture, ((0, 0), (1, 1), (1, 1))), (3, 3), (1, 2))
    right = np.broadcast_to(windows.sum(axis=(0, 3, 4)), result.shape)
    off = float(np.abs(result - right).max())
    return None if off < 0.1 else f"its results are wrong: off by {off:g} in a sum of 27 numbers"


def plain(reason: str) -> str:
    """Return ONNX Runtime's reason without the source location at its start."""
    return re.sub(r"^\S+\.(cc|cpp|h):\d+ .*?\) (?=[A-Z])", "", reason)


if __name__ == "__main__":
    print(json.dumps({"trouble": attempt(sys.argv[1], int(sys.argv[2]))}))
