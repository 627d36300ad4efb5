"""Owns what `gansr doctor` says of execution providers: those that are here, tried, and those that could be."""

from __future__ import annotations

from collections.abc import Iterator

from . import nvidia, trial
from .finding import FAULT, NOTE, OK, Finding

__all__ = ["CUDA_EXTRA", "CUDA_PROVIDER", "providers_tried"]

CUDA_EXTRA = 'pip install "vs-gansr[cuda]"'
CUDA_PROVIDER, WEBGPU_PROVIDER = "CUDAExecutionProvider", "WebGpuExecutionProvider"
REPAIRS = {
    "CPUExecutionProvider": "pip install --force-reinstall onnxruntime-gpu",
    "OpenVINO": "pip install --force-reinstall openvino",
}
VULKAN = "install the GPU's newest driver; on Linux with Vulkan, as libvulkan1 and mesa-vulkan-drivers have it"


def providers_tried() -> Iterator[Finding]:
    """Each provider that is here, run on a tiny graph, and those that are not."""
    try:
        from ...engine.auto import providers
    except Exception:
        return  # `runtime` says so
    found = nvidia.driver()
    for name in providers.listed():
        short = providers.short_name(name)
        reason = trial.trouble(name)
        if reason is None:
            yield Finding("provider", OK, f"{short} works{abilities(name)}")
        elif name in REPAIRS:
            yield Finding("provider", FAULT, f"{short} fails: {reason}", REPAIRS[name])
        elif name == CUDA_PROVIDER and found and found.devices:
            yield Finding("provider", FAULT, f"{short} fails although there is a GPU: {reason}", CUDA_EXTRA)
        elif name == WEBGPU_PROVIDER and (gpus := webgpu_gpus()):
            yield Finding("provider", FAULT, f"{short} fails although there is {gpus}: {reason}", VULKAN)
        else:
            yield Finding("provider", NOTE, f"{short} cannot be used: {reason}")
    for name, (what, how) in providers.missing().items():
        yield Finding("provider", NOTE, f"{name} is not installed (for {what}){advice(name)}", how)


def abilities(name: str) -> str:
    """What else is worth knowing of a provider that works."""
    from ...engine.auto import contest
    from ...engine.openvino import runtime as openvino_runtime

    if name == "OpenVINO":
        return f" on {', '.join(openvino_runtime.devices())}"
    if name == WEBGPU_PROVIDER:
        return f" on {webgpu_gpus() or 'a GPU'}, {'in' if contest.half(0) else 'without'} half precision"
    return ""


def webgpu_gpus() -> str:
    """The GPUs that WebGPU lists; "" if none."""
    from ...engine.plugins import webgpu

    try:
        return ", ".join(webgpu.label(device) for device in webgpu.devices())
    except Exception:  # then its trial has said why
        return ""


def advice(name: str) -> str:
    """Why what is not installed would be of use on this machine; "" if nothing is known."""
    from ...engine.auto import cpu_rules as rules

    quicker = name == "OpenVINO" and any(rule.provider == name for rule in rules.matching("int8"))
    return "; int8 would be quicker with it on this processor" if quicker else ""
