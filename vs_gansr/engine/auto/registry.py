"""List all providers, and find one by the name that people write."""

from __future__ import annotations

import sys

import onnxruntime as ort

from ...errors import ProviderError
from ..base import Provider
from ..cuda.provider import CudaProvider, TensorRt
from ..onnxruntime.provider import CPU, OnnxRuntimeProvider
from ..openvino.provider import OpenVino
from ..plugins import TensorRtRtx, WebGpu

__all__ = ["CPU", "OPENVINO", "PROVIDERS", "find", "listed", "missing", "on_processors", "usable"]

OPENVINO = OpenVino()

PROVIDERS: list[Provider] = [
    CudaProvider(),
    TensorRtRtx(),
    WebGpu(),
    CPU,
    OPENVINO,
    TensorRt(),
    OnnxRuntimeProvider("MIGraphXExecutionProvider", numbered=True),
    OnnxRuntimeProvider("DmlExecutionProvider", "DirectML", numbered=True),
    OnnxRuntimeProvider("CoreMLExecutionProvider"),
]
"""Those that need more than ONNX Runtime's usual interface, and those that README names; best first."""


def listed() -> list[Provider]:
    """Every provider whose software is here, usable or not, best first."""
    known = [provider for provider in PROVIDERS if provider.installed()]
    titles = {provider.title for provider in known if isinstance(provider, OnnxRuntimeProvider)}
    titles.add("AzureExecutionProvider")  # calls remote services
    others = [title for title in ort.get_available_providers() if title not in titles]
    names = {provider.name for provider in known}
    for title in others:
        provider = OnnxRuntimeProvider(title)
        if provider.name in names:  # ONNX Runtime's provider of OpenVINO beside OpenVINO's own runtime
            provider.name = title
        known.append(provider)
    return known


def find(name: str) -> Provider:
    """The provider called `name` in any of its spellings. Raises ProviderError if its software is not here."""

    def named(providers: list[Provider]) -> list[Provider]:
        return [each for each in providers if name.lower() in (known.lower() for known in each.names)]

    have = listed()
    if found := named(have):
        return found[0]
    here = ", ".join(["auto", *(provider.name for provider in have)])
    if absent := named(PROVIDERS):
        repair = f"; run: {absent[0].install}" if absent[0] in missing() else ""
        raise ProviderError(f'provider "{absent[0].name}" is not installed{repair}; installed: {here}')
    others = ", ".join(provider.name for provider in PROVIDERS if provider not in have)
    raise ProviderError(f'unknown provider "{name}"; installed: {here}; not installed: {others}')


def on_processors(name: str | None) -> bool:
    """True if `name` is a provider's whose first device is the processors; False for `auto`, None and others."""
    try:
        return name is not None and find(name).processor(0)
    except ProviderError:
        return False


def missing() -> list[Provider]:
    """What could be installed on this platform and is not."""
    return [p for p in PROVIDERS if p.install and sys.platform in p.platforms and not p.installed()]


def usable() -> list[Provider]:
    """Those that run here on their device 0, best first."""
    return [provider for provider in listed() if provider.trouble(0) is None]
