"""The checks of `gansr doctor` for execution providers: installed ones are tried, missing ones are named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from . import trial
from .finding import FAULT, NOTE, OK, Finding

if TYPE_CHECKING:
    from ...engine.base import Provider

__all__ = ["CUDA_EXTRA", "providers_tried"]

CUDA_EXTRA = 'pip install "vs-gansr[cuda]"'
AGAIN = "set GANSR_GPU=retest in the environment to repeat it"


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
    reason = trial.trouble(provider.name, device_id)
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
