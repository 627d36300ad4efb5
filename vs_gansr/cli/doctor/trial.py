"""Owns one provider's trial, run as a process of its own because a broken provider may crash or hang.

Called with a provider's name it runs a 3x3 convolution there, compares the result with the right one, and prints
one line of JSON: `{"trouble": null}` or the reason.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys

__all__ = ["trouble"]

SECONDS = 60.0


def trouble(provider: str) -> str | None:
    """Why `provider` (ONNX Runtime's full name) does not work on device 0, in one line; None if it does."""
    words = [sys.executable, "-m", "vs_gansr.cli.doctor.trial", provider]
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=SECONDS
        )
        answer: dict[str, str | None] = json.loads(done.stdout.splitlines()[-1])
        return answer["trouble"]
    except subprocess.TimeoutExpired:
        return f"it did not answer within {SECONDS:.0f} s"
    except (IndexError, KeyError, ValueError):
        said = " ".join(done.stderr.split())[-300:]
        return f"its process ended with {done.returncode}: {said or 'without a word'}"


def attempt(provider: str) -> str | None:
    """The trial itself."""
    import numpy as np
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

    from ...engine.auto import providers
    from ...engine.base import OPENVINO
    from ...engine.openvino import runtime as openvino_runtime
    from ...errors import one_line

    reason = providers.trouble(provider, 0)
    if reason:
        return plain(reason)
    sides = [1, 4, 8, 8]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, sides)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 6, 6])
    ones = numpy_helper.from_array(np.ones((4, 4, 3, 3), np.float32), "w")
    graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"])], "trial", [x], [y], [ones])
    proto: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    picture = (np.arange(np.prod(sides)).reshape(sides) / 256).astype(np.float32)
    result = np.empty((1, 4, 6, 6), np.float32)
    try:
        if provider == OPENVINO:
            openvino_runtime.run(0, proto.SerializeToString(), picture, result)
        else:
            session = providers.create(proto.SerializeToString(), ort.SessionOptions(), provider, 0)
            result = np.asarray(session.run(None, {"x": picture})[0])
    except Exception as error:  # the binding raises types of its own
        return plain(one_line(error))
    windows = np.lib.stride_tricks.sliding_window_view(picture, (3, 3), axis=(2, 3))
    right = np.broadcast_to(windows.sum(axis=(1, 4, 5))[:, None], result.shape)
    off = float(np.abs(result - right).max())
    return None if off < 0.1 else f"it computes wrongly: off by {off:g} in a sum of 36 numbers"


def plain(reason: str) -> str:
    """ONNX Runtime's reason without the place in its sources that it begins with."""
    return re.sub(r"^\S+\.(cc|cpp|h):\d+ .*?\) (?=[A-Z])", "", reason)


if __name__ == "__main__":
    print(json.dumps({"trouble": attempt(sys.argv[1])}))
