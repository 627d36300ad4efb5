"""Owns how a model becomes a Flow: precision, colour around it, sessions on a provider, and the cache of them.

The way of frames whose colour stays inside the graph; session.py is the way of frames that zimg converts outside.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import onnx
import onnxruntime as ort

from ..colour.tags import Family
from ..errors import GansrError, ModelError, ProviderError, one_line
from ..model.rewrite import cpu_layout, float16
from ..model.spec import Model
from . import graphcolour, providers
from .cuda_driver import Device, Host, Switches, device
from .flow import Flow, MakeSession, Shape
from .graphcolour import Generator
from .session import KEEP_BYTES, KEEP_SECONDS, cpu_threads
from .session_cache import KeepAlive, Lease

__all__ = ["FlowKey", "acquire", "flows", "generator", "make", "obstacle", "place", "session_maker"]


@dataclass(frozen=True)
class FlowKey:
    """What decides whether a Flow can be shared. `limit` is bytes of device memory for each stream, 0 for all."""

    digest: str
    provider: str
    device_id: int
    precision: str
    shape: Shape
    switches: Switches = field(default_factory=Switches)
    limit: int = 0


flows: KeepAlive[FlowKey, Flow] = KeepAlive(KEEP_SECONDS, KEEP_BYTES)


def acquire(model: Model, key: FlowKey) -> Lease[Flow]:
    """The flow for `key`, from the cache or new. Raises ModelError or ProviderError where none can be made."""
    return flows.acquire(key, lambda: make(model, key), Flow.size)


def obstacle(model: Model, shape: Shape) -> str | None:
    """Why frames of this shape cannot keep their colour inside the graph, in a few words; None if they can."""
    if model.spec.size_rule.fixed:
        return "the model takes pictures of one size only"
    if model.spec.frames != 1:
        return "the model takes several frames at once"
    if model.spec.channels == 1 and (shape.source.family, shape.target.family) != (Family.GRAY, Family.GRAY):
        return "the model takes luma only"
    return graphcolour.obstacle(generator(model, "fp32"), shape.source, shape.target)


def make(model: Model, key: FlowKey) -> Flow:
    """A new flow. Raises ModelError where ONNX Runtime refuses the graph, ProviderError where it falls back."""
    try:
        return Flow(place(key), key.shape, key.switches, session_maker(model, key))
    except GansrError:
        raise
    except Exception as error:
        raise ModelError(f"ONNX Runtime fails on the model: {one_line(error)}") from error


def place(key: FlowKey) -> Device:
    """Where the network's inputs and outputs live."""
    return device(key.device_id) if key.provider == providers.CUDA else Host()


def session_maker(model: Model, key: FlowKey) -> MakeSession:
    """What makes the sessions of a flow: the model, halved if need be, between the planes of its key."""
    shape = key.shape
    wrapped = graphcolour.wrap(
        generator(model, key.precision), shape.source, shape.target, shape.width, shape.height
    ).SerializeToString()

    def session(switches: Switches, stream: int) -> ort.InferenceSession:
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = max(1, cpu_threads() // switches.streams)
        settings.inter_op_num_threads = 1
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        chosen = None
        if key.provider == providers.CUDA:
            chosen = switches.provider_options(key.device_id, stream, key.limit)
        try:
            made = providers.create(wrapped, settings, key.provider, key.device_id, chosen)
        except Exception as error:
            raise ModelError(f"ONNX Runtime refuses the model: {one_line(error)}") from error
        if key.provider not in made.get_providers():
            raise ProviderError(f'provider "{providers.short_name(key.provider)}" fell back to the CPU')
        return made

    return session


def generator(model: Model, precision: str) -> Generator:
    """The model's network as graphcolour wants it, halved for `precision` "fp16"; made once for a model's content."""
    key = (model.spec.digest, precision)
    with _lock:
        made = _generators.pop(key, None) or _generator(model, precision)
        _generators[key] = made  # last used last
        while len(_generators) > MOST_GENERATORS:
            _generators.pop(next(iter(_generators)))
        return made


MOST_GENERATORS = 4
_generators: dict[tuple[str, str], Generator] = {}
_lock = threading.Lock()


def _generator(model: Model, precision: str) -> Generator:
    spec = model.spec
    proto = cpu_layout.modern(onnx.load_model_from_string(model.data))
    if precision == "fp16" and not spec.half_input and not float16.is_half(proto):
        proto = float16.convert(proto, spec.peak)
    return Generator(
        proto,
        scale=spec.scale,
        channels=spec.channels,
        peak=spec.peak,
        multiple=spec.size_rule.multiple,
        minimum=spec.size_rule.minimum,
        half=spec.half_input,
    )
