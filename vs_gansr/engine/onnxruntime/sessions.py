"""Make ONNX Runtime sessions: shapes, precision, ends and options; check that they run where they were asked to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from ...errors import GansrError, ModelError, ProviderError, ShortageError, one_line
from ...model.rewrite import cpu_layout, ends, float16
from ...model.rewrite.depth_to_space import Shuffle
from ...model.rewrite.graph_view import fixed_size
from ...model.spec import ModelSpec
from .. import memory
from ..base import FLOAT32, EngineKey
from .provider import OnnxRuntimeProvider

__all__ = ["Prepared", "check_output", "create", "fix", "prepare", "rewriting"]


@dataclass(frozen=True)
class Prepared:
    """A network ready to become sessions."""

    proto: onnx.ModelProto  # of static shape, in the precision asked for, between the ends of its key
    takes: np.dtype[Any]  # what its input holds
    gives: np.dtype[Any]  # what its output holds
    shuffle: Shuffle | None = None  # the depth-to-space that was taken out of its end
    cells: int = 0  # channels before that; 0 where nothing was taken out


def create(proto: onnx.ModelProto, key: EngineKey, more: Mapping[str, str] | None = None) -> ort.InferenceSession:
    """A session that really runs on `key.provider`, with `more` options than the provider's usual ones.

    Raises ProviderError if it fell back, ShortageError for want of memory, ModelError if it fails.
    """
    provider = key.provider
    assert isinstance(provider, OnnxRuntimeProvider)
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = key.threads
    settings.inter_op_num_threads = 1
    # Spinning threads would take the time of whatever else runs in the process: colour, sources, encoders.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # A pattern is planned after the first run, beside what that run holds: twice the memory, no faster.
    settings.enable_mem_pattern = False
    if provider.processor(key.device_id) and cpu_layout.BLOCKED:
        with rewriting():
            proto = cpu_layout.for_cpu(proto)
    try:
        session = provider.session(proto.SerializeToString(), settings, key, more)
    except ProviderError:
        raise
    except Exception as error:
        if memory.is_shortage(error):
            raise ShortageError(
                f"too little {memory.named(key, error)} to load the network: {one_line(error)}"
            ) from error
        raise ModelError(f"ONNX Runtime refuses the network: {one_line(error)}") from error
    if provider.title not in session.get_providers():
        raise ProviderError(
            f'provider "{provider.name}" cannot run this network; ONNX Runtime would use '
            f"{', '.join(session.get_providers())} instead ({provider.trouble(key.device_id) or 'it gave no reason'}); "
            "`gansr doctor` may know more"
        )
    return session


@contextmanager
def rewriting() -> Iterator[None]:
    """Turns whatever a change of a damaged graph raises into ModelError or ShortageError."""
    try:
        yield
    except GansrError:
        raise
    except MemoryError as error:
        raise ShortageError("too little system memory to prepare the network") from error
    except Exception as error:
        raise ModelError(f"the network's graph is damaged ({one_line(error)}); export or download it again") from error


def fix(proto: onnx.ModelProto, spec: ModelSpec, key: EngineKey) -> onnx.ModelProto:
    """The network in the key's precision, with the static input shape (1, C, height, width)."""
    fixed = spec.size_rule.fixed
    if fixed and fixed != (key.width, key.height):
        w, h = fixed
        raise ModelError(f'model "{spec.name}" takes {w}x{h} pictures only, not {key.width}x{key.height}')
    if key.precision == "fp16" and not spec.half_input and not float16.is_half(proto):
        with rewriting():
            proto = float16.convert(proto, spec.input_range)  # before the size is fixed: it tries small pictures
    return fixed_size(proto, spec.input, (1, spec.inputs, key.height, key.width))


def prepare(proto: onnx.ModelProto, spec: ModelSpec, key: EngineKey) -> Prepared:
    """The network as `fix` gives it, between samples as the key stores them: floats are black at 0, white at 1.

    It has a second output, the watch, where integers come out and on devices that are no processors.
    """
    proto = fix(proto, spec, key)
    source, target = (carried(samples, key) for samples in (key.source, key.target))
    watch = key.target.is_integer or not key.provider.processor(key.device_id)
    shape = (1, spec.inputs, key.height, key.width)
    with rewriting():
        if watch or source != FLOAT32:  # plain floats need no operators that old networks have not got
            proto = cpu_layout.modern(proto)
        wrapped = ends.wrap(
            proto, source, target, shape, spec.input_range, spec.output_range, key.clamp, watch, spec.outputs
        )
    return Prepared(wrapped, source.carrier or source.dtype, target.carrier or target.dtype)


def carried(samples: ends.Samples, key: EngineKey) -> ends.Samples:
    """The samples in float32 where the provider's graphs do not take their type."""
    return samples if samples.dtype in key.provider.samples else replace(samples, carrier=np.dtype(np.float32))


def check_output(shape: Sequence[object], spec: ModelSpec, key: EngineKey) -> None:
    """Raises ModelError unless `shape`, a network's output, has the channels and `scale` times the size promised."""
    want = [1, spec.outputs, key.height * spec.growth, key.width * spec.growth]
    known = shape and all(isinstance(d, int) for d in shape)
    if known and list(shape) != want:
        raise ModelError(
            f'model "{spec.name}" turns {key.width}x{key.height} into a tensor of shape {shape}, '
            f"but its metadata promises {want}"
        )
