"""Owns which model, provider and precision the settings amount to, and what takes over where a GPU fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from ..engine import memory, probe
from ..engine.auto import contest, fidelity, providers
from ..engine.auto import cpu_rules as rules
from ..engine.base import CPU, CUDA, OPENVINO, WEBGPU, EngineKey, cpu_threads
from ..engine.openvino import runtime as openvino_runtime
from ..engine.plugins import webgpu
from ..engine.tiled.recovery import Choice
from ..engine.tiled.tile_planner import Limits
from ..errors import ArgumentError, GansrError, ProviderError, one_line
from ..model import library
from ..model.spec import ModelSpec
from .settings import Settings

__all__ = ["Chosen", "choose"]


@dataclass(frozen=True)
class Chosen:
    """What the settings amount to."""

    choice: Choice
    """The model, where and how it runs."""
    fallback: Callable[[], Choice] | None
    """What to go on with where that is beyond help; None where the provider was named."""
    limits: Limits
    """Tiles and memory."""
    summary: str
    """The choice in words, with what was passed over and why."""


def choose(settings: Settings) -> Chosen:
    """Picks provider, precision and model, in the order they depend on each other. Raises GansrError."""
    provider, passed = pick(settings)
    auto = settings.provider.lower() == "auto"
    if auto and provider == CPU:
        choice, fallback, reasons = on_processor(replace(settings, device_id=0))
        gpu, said = on_webgpu(settings, choice)
        if gpu:
            choice, fallback, reasons = gpu, partial(choice_on, CPU, settings), []
        passed += said + reasons
    else:
        choice, fallback = choice_on(provider, settings), None
        if auto:
            fallback = partial(choice_on, CPU, replace(settings, device_id=0))
    if choice.key.precision == "fp16" and providers.widens_half(choice.key.provider, choice.key.device_id):
        passed = [*passed, "half floats are computed in float32 there"]
    why = f" ({'; '.join(passed)})" if passed else ""
    where = providers.short_name(choice.key.provider)
    return Chosen(
        choice=choice,
        fallback=fallback,
        limits=Limits(settings.tilesize, settings.overlap, settings.memory),
        summary=f"{choice.model.spec.name} in {choice.key.precision} on {where}{why}",
    )


def pick(settings: Settings) -> tuple[str, list[str]]:
    """The provider, and why better ones were passed over. Raises ProviderError, and ArgumentError for int8 on GPUs."""
    provider, passed = providers.pick(settings.provider, settings.device_id)
    if settings.precision != "int8" or provider not in (CUDA, WEBGPU):
        return provider, passed
    if settings.provider.lower() != "auto":
        raise ArgumentError(
            f'precision "int8" does not run on provider "{settings.provider}", which has no integer convolutions; '
            'use precision="fp16", or provider="CPU"'
        )
    return CPU, [*passed, f"{providers.short_name(provider)}: it has no integer convolutions"]


def on_webgpu(settings: Settings, processor: Choice) -> tuple[Choice | None, list[str]]:
    """The choice for WebGPU's first GPU where it is quicker than `processor`, else None; and why or why not."""
    if not webgpu.installed() or settings.precision in ("int8", "bf16"):
        return None, []
    passed: list[str] = []
    try:
        if not webgpu.builtin() and not webgpu.devices():
            return None, []  # no GPU: nothing to pass over
        for precision in dict.fromkeys([settings.precision, *["fp32"] * (settings.precision == "auto")]):
            gpu = choice_on(WEBGPU, replace(settings, precision=precision))
            factor = contest.speedup(gpu, processor)
            reason = f"{factor:.2g} times the CPU's speed"
            if factor > 1 and settings.precision == "auto":
                found = fidelity.decibels(gpu.model, WEBGPU, gpu.key.precision, gpu.model)
                reason = f"{found:.1f} dB from float32" if found < fidelity.ENOUGH else ""
            elif factor > 1:
                reason = ""
            if not reason:
                return gpu, [f"{factor:.2g} times the CPU's speed here"]
            passed.append(f"WebGPU: {reason} in {gpu.key.precision}")
            if gpu.key.precision == "fp32":
                break
    except GansrError as error:
        passed.append(f"WebGPU: {one_line(error, 120)}")
    return None, passed


def on_processor(settings: Settings) -> tuple[Choice, Callable[[], Choice] | None, list[str]]:
    """What the rules say for this machine's processors, what to go on with where that fails, and the reasons."""
    name = settings.model if settings.model is not None else library.default_model()
    reasons: list[str] = []
    for rule in rules.matching(settings.precision):
        if rule.precision == "int8" and settings.precision == "auto" and not library.has_twin(name, settings.texture):
            continue  # nor is OpenVINO looked for
        reason = against(rule, name, settings)
        if reason is None:
            told = replace(settings, precision=rule.precision)
            if rule.precision == "fp32":
                return choice_on(CPU, settings, twin=False), None, reasons
            if rule.provider == CPU:
                return choice_on(CPU, told), None, reasons
            fallback = None if settings.precision == "bf16" else partial(choice_on, CPU, told)
            return choice_on(OPENVINO, told), fallback, [*reasons, rule.why]
        reasons += [reason] if reason and reason not in reasons else []
    return choice_on(CPU, settings), None, reasons


def against(rule: rules.Rule, name: str, settings: Settings) -> str | None:
    """Why a rule cannot be followed, "" where that needs no words; None if it can. Raises ModelError."""
    asked = settings.precision != "auto"
    if rule.provider == OPENVINO and (reason := providers.trouble(OPENVINO, 0)):
        return f"OpenVINO: {reason}"
    if asked or rule.precision == "fp32":
        return None
    plain = probe.describe(library.load(name, texture=settings.texture))
    if rule.provider == OPENVINO and plain.spec.radius is None:  # measured on networks of convolutions only
        return ""
    model = probe.describe(library.load(name, rule.precision, settings.texture))
    try:
        found = fidelity.decibels(model, rule.provider, rule.precision, plain)
    except GansrError as error:
        return f"{providers.short_name(rule.provider)} in {rule.precision}: {one_line(error, 120)}"
    if found < fidelity.ENOUGH:
        return f"{rule.precision} is {found:.1f} dB from float32"
    return None


def choice_on(provider: str, settings: Settings, twin: bool = True) -> Choice:
    """The model and how it runs on `provider`; without `twin` its int8 one is no choice for `auto`.

    Raises ModelError, or ProviderError for a precision that the provider has not got.
    """
    name = settings.model if settings.model is not None else library.default_model()
    precision = settings.precision
    device = openvino_runtime.device(settings.device_id) if provider == OPENVINO else ""
    processor = provider == CPU or device == "CPU"
    if precision == "bf16" and provider != OPENVINO:
        raise ProviderError(
            f'precision "bf16" is OpenVINO\'s only, not {providers.short_name(provider)}\'s; use provider="OpenVINO"'
        )
    if precision == "auto" and twin and processor and rules.fast_int8() and library.has_twin(name, settings.texture):
        precision = "int8"
    model = probe.describe(library.load(name, precision, settings.texture))
    if precision == "auto":
        half = provider == CUDA or (provider == WEBGPU and contest.half(settings.device_id))
        half = half or (provider == OPENVINO and not openvino_runtime.has(device, "FP32"))  # NPUs
        half = half and model.spec.precision != "int8"
        precision = "fp16" if half else model.spec.precision
    if provider == WEBGPU and "fp16" in (precision, model.spec.precision) and not contest.half(settings.device_id):
        raise ProviderError(
            f'{name} in fp16: the GPU does not compute in half precision; use precision="fp32" with a float32 file'
        )
    processors = cpu_threads()
    # Two at once need more memory, so smaller tiles: not for networks that look further than a tile's margin.
    pairs = settings.num_streams is None and model.spec.radius is not None
    paired = pairs and processor and processors > 1
    streams = settings.num_streams or 1 + (paired or provider == CUDA)
    key = EngineKey(
        digest=model.spec.digest,
        provider=provider,
        device_id=settings.device_id,
        precision=precision,
        width=0,
        height=0,
        streams=streams,
        threads=-(-processors // streams),
        alone=processors if paired else 0,
        limit=(settings.memory or 0) * memory.MIB // streams if provider == CUDA else 0,
        clamp=clamped(model.spec, settings.clamp),
    )
    return Choice(model, key)


def clamped(spec: ModelSpec, asked: int | None) -> bool:
    """Whether values below black and above white are kept from the network: as asked for, as its file says, else from
    RGB networks alone. Conversions from YUV give such values in every film, luma has them where its codes do."""
    if asked is not None:
        return bool(asked)
    return spec.channels == 3 if spec.clamp is None else spec.clamp
