"""Owns how an ONNX Runtime session is made: shapes, precision, options, and that it runs where it was asked to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import onnx
import onnxruntime as ort

from ...errors import GansrError, ModelError, ProviderError, ShortageError, one_line
from ...model.rewrite import cpu_layout, float16
from ...model.rewrite.graph_view import fixed_size
from ...model.spec import ModelSpec
from .. import memory
from ..auto import providers
from ..base import CPU, EngineKey

__all__ = ["check_output", "create", "fix", "rewriting"]


def create(proto: onnx.ModelProto, key: EngineKey, options: Mapping[str, str] | None = None) -> ort.InferenceSession:
    """A session that really runs on `key.provider`; `options` replace the provider's usual ones.

    Raises ProviderError if it fell back, ShortageError for want of memory, ModelError if it fails.
    """
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = key.threads
    settings.inter_op_num_threads = 1
    # Spinning threads would take the time of whatever else runs in the process: colour, sources, encoders.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # A pattern is planned after the first run, beside what that run holds: twice the memory, no faster.
    settings.enable_mem_pattern = key.cuda.plan_memory
    if key.provider == CPU and cpu_layout.BLOCKED:
        with rewriting():
            proto = cpu_layout.for_cpu(proto)
    try:
        chosen = providers.options(key.provider, key.device_id, key.precision) if options is None else options
        session = providers.create(proto.SerializeToString(), settings, key.provider, key.device_id, chosen)
    except ProviderError:
        raise
    except Exception as error:
        if memory.is_shortage(error):
            raise ShortageError(f"no memory for a session: {one_line(error)}") from error
        raise ModelError(f"ONNX Runtime refuses the model: {one_line(error)}") from error
    if key.provider not in session.get_providers():
        raise ProviderError(
            f'provider "{providers.short_name(key.provider)}" fell back to '
            f"{', '.join(map(providers.short_name, session.get_providers()))}: "
            f"{providers.trouble(key.provider, key.device_id) or 'ONNX Runtime gave no reason'}"
        )
    return session


@contextmanager
def rewriting() -> Iterator[None]:
    """For what changes a graph: it fails over a damaged one in many ways, none of which needs telling apart."""
    try:
        yield
    except GansrError:
        raise
    except MemoryError as error:
        raise ShortageError("no memory to prepare the model") from error
    except Exception as error:
        raise ModelError(f"the model's graph is damaged ({one_line(error)})") from error


def fix(proto: onnx.ModelProto, spec: ModelSpec, key: EngineKey) -> onnx.ModelProto:
    """The network in the key's precision, its input fixed at (1, C, height, width): memory is planned only then."""
    fixed = spec.size_rule.fixed
    if fixed and fixed != (key.width, key.height):
        w, h = fixed
        raise ModelError(f'model "{spec.name}" takes {w}x{h} pictures only, not {key.width}x{key.height}')
    if key.precision == "fp16" and not spec.half_input and not float16.is_half(proto):
        with rewriting():
            proto = float16.convert(proto, spec.takes)  # before the size is fixed: it tries small pictures
    return fixed_size(proto, spec.input, (1, spec.inputs, key.height, key.width))


def check_output(shape: Sequence[object], spec: ModelSpec, key: EngineKey) -> None:
    """ModelError unless `shape`, that of a network's output, is a picture `scale` times as large, channels and all."""
    want = [1, spec.channels, key.height * spec.scale, key.width * spec.scale]
    known = shape and all(isinstance(d, int) for d in shape)
    if known and list(shape) != want:
        raise ModelError(
            f'model "{spec.name}" turns {key.width}x{key.height} into a tensor of shape {shape}, '
            f"but its metadata promises {want}"
        )
