"""Check execution providers, each in its own process, because a broken provider may crash or hang.

The process, this module, gets a provider's name and a device. It runs a 3x3 convolution there, compares the result with
the correct one, and prints one line of JSON: `{"trouble": null}` or the reason.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import FAULT, NOTE, OK, Finding

if TYPE_CHECKING:
    from ...engine.base import Provider

__all__ = ["CUDA_EXTRA", "providers_tried"]

CUDA_EXTRA = 'pip install "vs-gansr[cuda]"'
AGAIN = "set GANSR_GPU=retest in the environment to repeat it"
SECONDS = 120.0


def providers_tried() -> Iterator[Finding]:
    """Yield a finding for each device of each installed provider, each missing provider, and each stored GPU trial."""
    try:
        from ...engine.auto import proof, registry
    except Exception:
        return  # `runtime` reports it
    for provider in registry.listed():
        for device_id in range(max(1, len(provider.devices()))):
            yield tried(provider, device_id)
    for provider in registry.missing():
        text = f"{provider.name} is not installed (for {provider.meant_for}){advice(provider)}"
        yield Finding("provider", NOTE, text, provider.install)
    for fact in proof.remembered.all():
        yield Finding("GPU trial", NOTE, verdict(fact), AGAIN)


def tried(provider: Provider, device_id: int) -> Finding:
    """Return the finding of a trial on one device."""
    name = provider.name if not device_id else f"{provider.name} {device_id}"
    reason = trouble(provider.name, device_id)
    if reason is None:
        about = "".join(f" on {device}" for device in provider.devices()[device_id : device_id + 1])
        return Finding("provider", OK, f"{name} works{about}")
    if provider.processor(device_id):
        return Finding("provider", FAULT, f"{name} fails: {reason}", "pip install --force-reinstall vs-gansr")
    if provider.automatic and provider.devices():
        fix = provider.repair or provider.install
        return Finding("provider", FAULT, f"{name} fails although there is a GPU: {reason}", fix)
    return Finding("provider", NOTE, f"{name} cannot be used: {reason}")


def verdict(fact: dict[str, Any]) -> str:
    """Return the stored result of a GPU trial in words."""
    from ...engine.auto.proof import Verdict

    found = Verdict(**{name: fact[name] for name in Verdict.__dataclass_fields__})
    speed = f", {found.speedup:.2g} times the CPU's speed" if found.speedup else ""
    numbers = f"PSNR {found.decibels:.1f} dB against float32, {found.block:.1f} dB in the worst block"
    return f"{fact['what']}: {found.against() or f'passed ({numbers}{speed})'}"


def advice(provider: Provider) -> str:
    """Return what a missing provider would improve on this machine; "" if nothing is known."""
    from ...engine.auto import cpu_rules

    quicker = any(rule.provider == provider for rule in cpu_rules.matching("int8"))
    return "; int8 would be faster with it on this CPU" if quicker else ""


def trouble(provider: str, device_id: int) -> str | None:
    """Return why `provider` does not work on the device, in one line; None if it works."""
    words = [sys.executable, "-m", "vs_gansr.cli.doctor.providers", provider, str(device_id)]
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
    return None if off < 0.1 else f"its results are wrong: a test convolution is off by {off:g}"


def plain(reason: str) -> str:
    """Return ONNX Runtime's reason without the source location at its start."""
    return re.sub(r"^\S+\.(cc|cpp|h):\d+ .*?\) (?=[A-Z])", "", reason)


if __name__ == "__main__":
    print(json.dumps({"trouble": attempt(sys.argv[1], int(sys.argv[2]))}))
