"""Choose model, provider and precision for the settings, and what takes over where the choice fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from ..engine import memory, probe
from ..engine.auto import cpu_rules, fidelity, proof, registry
from ..engine.auto.proof import Proof, Verdict
from ..engine.auto.sampling import Sampler
from ..engine.base import Choice, EngineKey, Provider, cpu_threads
from ..engine.onnxruntime import sessions
from ..engine.tiled.tile_planner import Limits, TilePlanner
from ..errors import GansrError, ProviderError, one_line
from ..model import library
from ..model.spec import Model, ModelSpec
from .settings import Settings

__all__ = ["Chosen", "choose", "model_of"]

type Size = tuple[int, int]

USUAL = (640, 360)  # the size that a device is proven at for clips whose size varies


@dataclass(frozen=True)
class Chosen:
    """What was chosen for the settings."""

    choice: Choice  # the model, where and how it runs
    fallbacks: tuple[Callable[[], Choice], ...]
    """The choices that replace a failed one, in this order; none if the user named the provider."""
    limits: Limits  # tiles and memory
    summary: str  # the choice in words, with what was not taken and why
    warnings: tuple[str, ...] = ()  # why hardware of this machine is not used


def choose(settings: Settings, size: Size = USUAL) -> Chosen:
    """Picks provider, precision and model for pictures of `size`, (width, height). Raises GansrError."""
    if settings.device_id is not None and settings.device_id < 0:
        raise ProviderError(f"device_id {settings.device_id} is negative; devices count from 0")
    limits = Limits(settings.tilesize, settings.overlap, settings.memory)
    warnings: list[str] = []
    if settings.provider.lower() != "auto":
        choice = named(settings, limits, size)
        fallbacks: list[Callable[[], Choice]] = []
        passed: list[str] = []
    else:
        choice, fallbacks, passed = automatic(settings, limits, size, warnings)
    provider, device_id = choice.key.provider, choice.key.device_id
    if choice.key.precision == "fp16" and provider.widens_half(device_id):
        passed = [*passed, "fp16 halves only the weights: this device computes in float32"]
    why = f" ({'; '.join(passed)})" if passed else ""
    summary = f"{choice.model.spec.name} in {choice.key.precision} on {provider.name}{why}"
    return Chosen(choice, tuple(fallbacks), limits, summary, tuple(warnings))


def named(settings: Settings, limits: Limits, size: Size) -> Choice:
    """The choice for a provider that was named. Raises ProviderError where it cannot run or gives wrong results."""
    provider, device_id = registry.find(settings.provider), settings.device_id or 0
    if reason := provider.trouble(device_id):
        raise ProviderError(f'provider "{provider.name}" cannot run: {reason}')
    if provider.processor(device_id):
        return choice_on(provider, device_id, settings)
    found: list[str] = []
    for choice in candidates(provider, device_id, settings):
        verdict, checked = proven(choice, settings, limits, size, None)
        if not (reason := verdict.against()):
            return checked
        found.append(f"{choice.key.precision}, tier {choice.key.tier}: {reason}")
    raise ProviderError(
        f'provider "{provider.name}" computes this network wrong ({"; ".join(found)}); use provider="CPU"; '
        "after a change of the driver set GANSR_GPU=retest in the environment to repeat the GPU trial"
    )


def automatic(
    settings: Settings, limits: Limits, size: Size, warnings: list[str]
) -> tuple[Choice, list[Callable[[], Choice]], list[str]]:
    """The fastest device that passed its GPU trial, or what the CPU rules say; the fallbacks; and the reasons."""
    processor, after, reasons = on_processor(settings)
    quick: list[tuple[float, Choice]] = []
    passed: list[str] = []
    for provider in registry.listed():
        if provider.automatic and proof.mode() != "off":
            quick += devices_of(provider, settings, limits, size, processor, passed, warnings)
    quick.sort(key=lambda pair: -pair[0])
    if not quick:
        if settings.device_id:
            raise ProviderError(
                f"no provider can run device_id {settings.device_id} ({'; '.join(passed) or 'there is no GPU'}); leave "
                "device_id out"
            )
        return processor, after, [*passed, *reasons]
    rest = [partial(lambda choice: choice, choice) for _, choice in quick[1:]]
    factor, best = quick[0]
    return best, [*rest, lambda: processor, *after], [f"{factor:.2g} times the CPU's speed here"]


def devices_of(
    provider: Provider,
    settings: Settings,
    limits: Limits,
    size: Size,
    processor: Choice,
    passed: list[str],
    warnings: list[str],
) -> Iterator[tuple[float, Choice]]:
    """Choices on the provider's devices that passed their GPU trial and are faster than `processor`, with the factor.

    Appends to `passed` and `warnings` why the others are not taken.
    """
    wanted, count = settings.device_id, len(provider.devices())
    if not count:
        return
    for device_id in range(count) if wanted is None else [wanted]:
        where = provider.name if not device_id else f"{provider.name} {device_id}"
        if reason := provider.trouble(device_id):
            passed.append(f"{where}: {reason}")
            warnings.append(f"{where} is not used although there is hardware for it: {reason}")
            continue
        try:
            done = ""
            for choice in candidates(provider, device_id, settings):
                if done and choice.key.precision != done:
                    break  # a safer precision is for where the usual one fails
                verdict, checked = proven(choice, settings, limits, size, processor)
                if reason := verdict.against():
                    passed.append(f"{where} in {choice.key.precision}, tier {choice.key.tier}: {reason}")
                    continue
                done = choice.key.precision
                if verdict.speedup > 1:
                    yield verdict.speedup, checked
                else:
                    passed.append(f"{where}: {verdict.speedup:.2g} times the CPU's speed in {done}")
                    if verdict.speedup < 1 / proof.HOPELESS:
                        break
        except GansrError as error:
            passed.append(f"{where}: {one_line(error, 120)}")


def candidates(provider: Provider, device_id: int, settings: Settings) -> Iterator[Choice]:
    """All precisions and tiers that the network can run in on a device, the usual and the safest first.

    Raises ProviderError for a precision that the device has not got.
    """
    mode, tiers = proof.mode(), provider.tiers()
    kept = {name: options for name, options in tiers.items() if mode not in ("plain", "fast") or name.startswith(mode)}
    precisions = [settings.precision]
    if settings.precision == "auto":
        precisions = [p for p in provider.precisions(device_id) if p in ("fp32", "fp16")]
    for precision in precisions:
        choice = choice_on(provider, device_id, replace(settings, precision=precision))
        for options in (kept or tiers).values():
            yield replace(choice, key=replace(choice.key, options=options))


def proven(
    choice: Choice, settings: Settings, limits: Limits, size: Size, processor: Choice | None
) -> tuple[Verdict, Choice]:
    """Run or recall the GPU trial of a choice at the size of its tiles, which may take minutes; return its verdict, and
    the choice with checks of some of its frames."""
    plain = model_of(settings) if choice.model.spec.precision == "int8" else choice.model
    width, height = TilePlanner(choice.model, choice.key, limits).layout(*size).size
    sized = replace(choice.key, width=width, height=height)
    job = Proof(choice.model, sized, plain, (processor.model, processor.key) if processor else None)

    def wrong(reason: str) -> None:
        proof.keep(job, Verdict(failed=reason))

    # Tiles whose margin is smaller than the network's radius differ from the whole picture at their edges.
    traces = limits.overlap is not None and min(limits.overlap) < (plain.spec.radius or 0)
    check = None if traces else Sampler(plain, choice.key, wrong)
    return proof.prove(job), replace(choice, check=check, wrong=wrong)


def model_of(settings: Settings, precision: str = "fp32") -> Model:
    """The model, at the texture asked for, in a precision of its files. Raises ModelError or ShortageError."""
    name = settings.model if settings.model is not None else library.default_model()
    first, *others = (probe.describe(library.load(each, precision)) for each in library.used(name, settings.texture))
    with sessions.rewriting():
        return probe.describe(library.mixed(first, others[0], settings.texture)) if others else first


def on_processor(
    settings: Settings, failed: Provider | None = None
) -> tuple[Choice, list[Callable[[], Choice]], list[str]]:
    """What the CPU rules say for this machine, the fallbacks, and the reasons, without the provider `failed`."""
    name = settings.model if settings.model is not None else library.default_model()
    reasons: list[str] = []
    for rule in cpu_rules.matching(settings.precision):
        if rule.provider == failed:
            continue
        if rule.precision == "int8" and settings.precision == "auto" and not library.has_int8(name, settings.texture):
            continue  # without loading OpenVINO
        reason = against(rule, settings)
        if reason is None and rule.precision == "fp32":
            return choice_on(rule.provider, 0, settings, int8=False), [], reasons
        if reason is None:
            choice = choice_on(rule.provider, 0, replace(settings, precision=rule.precision))
            if rule.provider.everywhere:
                return choice, [], reasons
            after: list[Callable[[], Choice]] = [partial(without, rule.provider, settings)]
            if settings.precision == "bf16":
                after.clear()
            return choice, after, [*reasons, rule.why]
        reasons += [reason] if reason and reason not in reasons else []
    return choice_on(registry.CPU, 0, settings), [], reasons


def without(failed: Provider, settings: Settings) -> Choice:
    """What the CPU rules say where one provider has failed."""
    return on_processor(settings, failed)[0]


def against(rule: cpu_rules.Rule, settings: Settings) -> str | None:
    """Why a rule does not apply, "" if the user need not know; None if it applies. Raises ModelError."""
    foreign = not rule.provider.everywhere
    if foreign and (reason := rule.provider.trouble(0)):
        return f"{rule.provider.name}: {reason}"
    if settings.precision != "auto" or rule.precision == "fp32":
        return None
    plain = model_of(settings)
    if foreign and plain.spec.radius is None:  # measured on networks of convolutions only
        return ""
    model = model_of(settings, rule.precision)
    try:
        found = fidelity.decibels(model, rule.provider, rule.precision, plain)
    except GansrError as error:
        return f"{rule.provider.name} in {rule.precision}: {one_line(error, 120)}"
    if found >= fidelity.ENOUGH:
        return None
    return (
        f"{rule.precision} has a PSNR of {found:.1f} dB against float32 (at least {fidelity.ENOUGH:g} dB are required)"
    )


def unable(name: str, precision: str, provider: Provider, device_id: int) -> ProviderError:
    """The error for a precision that the device does not compute in, with what can be done instead."""
    have = ", ".join(provider.precisions(device_id))
    others = [p.name for p in registry.usable() if p != provider and precision in p.precisions(0)]
    return ProviderError(
        f'{name} in {precision} does not run on provider "{provider.name}", which computes in {have}; '
        f"use one of these precisions{f', or provider {chr(34)}{others[0]}{chr(34)}' if others else ''}"
    )


def choice_on(provider: Provider, device_id: int, settings: Settings, int8: bool = True) -> Choice:
    """The model and how it runs on a device. Without `int8` the precision `auto` does not take the int8 variant.

    Raises ModelError, or ProviderError for a precision that the device has not got.
    """
    name = settings.model if settings.model is not None else library.default_model()
    precision, have = settings.precision, provider.precisions(device_id)
    processor = provider.processor(device_id)
    wanted = precision == "auto" and int8 and processor and cpu_rules.fast_int8()
    if wanted and library.has_int8(name, settings.texture):
        precision = "int8"
    if settings.precision == "int8" and "int8" not in have:  # before a file that may not be there
        raise unable(name, "int8", provider, device_id)
    model = model_of(settings, precision)
    own = model.spec.precision
    if own == "int8" and settings.precision != "int8":
        precision = own  # the file is all there is
    elif precision == "auto":
        precision = own if processor and own in have else have[0]
    needed = "fp16" if own == "fp16" and "fp16" not in have else precision
    if needed not in have and not (own == "int8" and settings.precision != "int8"):
        raise unable(name, needed, provider, device_id)
    processors = cpu_threads()
    # Two pictures at once need more memory, so smaller tiles: not for networks of unknown radius.
    pairs = settings.num_streams is None and model.spec.radius is not None
    paired = pairs and processor and processors > 1
    streams = settings.num_streams or (1 + paired if processor else provider.streams)
    own_memory = provider.memory(device_id) is not None
    key = EngineKey(
        digest=model.spec.digest,
        provider=provider,
        device_id=device_id,
        precision=precision,
        width=0,
        height=0,
        streams=streams,
        threads=-(-processors // streams),
        alone=processors if paired else 0,
        limit=(settings.memory or 0) * memory.MIB // streams if own_memory else 0,
        clamp=clamped(model.spec, settings.clamp),
    )
    return Choice(model, key)


def clamped(spec: ModelSpec, asked: int | None) -> bool:
    """Whether values below black and above white are clamped: as asked for, as the file says, else for RGB networks
    alone. Conversions from YUV give such values in every film, luma has them where its codes do."""
    if asked is not None:
        return bool(asked)
    return spec.channels == 3 if spec.clamp is None else spec.clamp
