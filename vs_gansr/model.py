"""Owns what a model is: its bytes, its content hash and its self-description; runs nothing.

A shipped model is one ONNX file whose metadata properties (`gansr.scale`, `gansr.radius`, ...) describe it.
What a foreign file does not say is left open (None) here and found by a tiny run in session.py.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from .errors import ModelError
from .userdata import user_models

__all__ = ["Model", "ModelSpec", "default_model", "load", "models_folder", "shipped"]

PREFIX = "gansr."
PREFERRED = ("general-2x", "fast-2x")  # the default is the first of these that is shipped
INT8_SUFFIX = ".int8"


@dataclass(frozen=True)
class ModelSpec:
    """What is known of a network: one NCHW float input and one NCHW float output.

    `scale` output over input size · `channels` 3 (RGB) or 1 (luma) · `peak` the value that stands for white ·
    `radius` receptive field in input pixels, None if unknown · `multiple` that width and height must be
    divisible by · `fixed` (width, height) where the file allows no other · `features` the widest layer.
    """

    name: str
    digest: str
    input: str
    output: str
    channels: int
    scale: int | None = None
    peak: float = 1.0
    radius: int | None = None
    multiple: int = 1
    fixed: tuple[int, int] | None = None
    half_input: bool = False
    features: int = 64
    precision: str = "fp32"
    licence: str = "unknown"
    summary: str = ""


@dataclass(frozen=True)
class Model:
    """A model's description and its file's content; `path` is where it came from."""

    spec: ModelSpec
    path: Path
    data: bytes = field(repr=False)


def models_folder() -> Path:
    """Where shipped models lie: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "models"
    return installed if installed.is_dir() else package.parent / "models"


def shipped() -> list[str]:
    """Names of the shipped models, sorted; int8 twins are not listed of their own."""
    names = (p.name.removesuffix(".onnx") for p in models_folder().glob("*.onnx"))
    return sorted(n for n in names if not n.endswith(INT8_SUFFIX))


def default_model() -> str:
    """The name used when none is given. Raises ModelError where none of the candidates is shipped."""
    have = shipped()
    for name in PREFERRED:
        if name in have:
            return name
    raise ModelError(f"no default model in {models_folder()}; reinstall vs-gansr or give model=")


def load(name: str, precision: str = "fp32") -> Model:
    """Loads a shipped model by name or a file by its path.

    `precision` "int8" takes the quantised twin `<name>.int8.onnx`. Raises ModelError for an unknown name, an
    unreadable or invalid file, a missing twin, or a network that does not map one picture to one picture.
    """
    path = find(name)
    if precision == "int8" and not path.stem.endswith(INT8_SUFFIX):
        twin = path.with_name(f"{path.stem}{INT8_SUFFIX}.onnx")
        if not twin.is_file():
            raise ModelError(f'model "{name}" has no int8 twin ({twin.name}); use precision fp32 or fp16')
        path = twin
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f'model "{name}" cannot be read: {error.strerror}') from error
    return Model(parse(data, path.name.removesuffix(".onnx")), path, data)


def has_twin(name: str) -> bool:
    """True if `name` has a quantised twin beside it."""
    path = find(name)
    return path.with_name(f"{path.stem}{INT8_SUFFIX}.onnx").is_file()


def find(name: str) -> Path:
    """The file that `name` means: a path if it names a file, else a shipped model, else one of the user's own."""
    if not name:
        raise ModelError(f"model is empty; give a path or one of: {', '.join(shipped())}")
    path = Path(name)
    if path.suffix.lower() == ".onnx" or len(path.parts) > 1:
        if path.is_file():
            return path
        raise ModelError(f'model file "{name}" does not exist; shipped models: {", ".join(shipped())}')
    if name in shipped():
        return models_folder() / f"{name}.onnx"
    own = user_models()
    if name in own:
        return own[name]
    if path.is_file():
        raise ModelError(f'model "{name}" is not an .onnx file; shipped models: {", ".join(shipped())}')
    known = f"shipped: {', '.join(shipped())}" + (f"; own: {', '.join(own)}" if own else "")
    raise ModelError(f'unknown model "{name}"; {known}, or give a path to an .onnx file')


def parse(data: bytes, name: str) -> ModelSpec:
    """Reads a file's own description. `name` serves where the file has none, and in messages."""
    digest = hashlib.sha256(data).hexdigest()
    if (digest, name) not in _parsed:
        while len(_parsed) >= 32:
            _parsed.pop(next(iter(_parsed)))
        _parsed[digest, name] = _parse(data, name, digest)
    return _parsed[digest, name]


_parsed: dict[tuple[str, str], ModelSpec] = {}  # by content: a replaced file is read anew


def _parse(data: bytes, name: str, digest: str) -> ModelSpec:
    try:
        proto = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf raises a type of its own
        raise ModelError(f'model "{name}" is not a readable ONNX file') from error
    graph = proto.graph
    if not graph.node or not graph.input or not graph.output:
        raise ModelError(f'model "{name}" is not an ONNX network: it has no nodes, inputs or outputs')
    weights = {tensor.name for tensor in graph.initializer}
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in graph.initializer):
        raise ModelError(f'model "{name}" keeps its weights in another file; save it as one self-contained file')
    inputs = [value for value in graph.input if value.name not in weights]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise ModelError(
            f'model "{name}" has {len(inputs)} inputs and {len(graph.output)} outputs, one of each is needed'
        )
    tensor = inputs[0].type.tensor_type
    dims = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
    if len(dims) != 4 or tensor.elem_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16):
        raise ModelError(f'model "{name}" takes no 4-dimensional float picture (NCHW) as its input')
    if dims[1] not in (1, 3):
        raise ModelError(f'model "{name}" has {dims[1] or "a free number of"} input channels, 1 or 3 are supported')
    fixed = (dims[3], dims[2]) if dims[2] and dims[3] else None
    said = {p.key.removeprefix(PREFIX): p.value for p in proto.metadata_props if p.key.startswith(PREFIX)}
    try:
        return ModelSpec(
            name=said.get("name", name),
            digest=digest,
            input=inputs[0].name,
            output=graph.output[0].name,
            channels=dims[1],
            scale=int(said["scale"]) if "scale" in said else None,
            peak=float(said.get("range", "1")),
            radius=int(said["radius"]) if "radius" in said else None,
            multiple=max(1, int(said.get("multiple", "1"))),
            fixed=fixed,
            half_input=tensor.elem_type == onnx.TensorProto.FLOAT16,
            features=max((t.dims[0] for t in graph.initializer if len(t.dims) == 4), default=64),
            precision=said.get("precision", "fp32"),
            licence=said.get("licence", "unknown"),
            summary=said.get("summary", ""),
        )
    except ValueError as error:
        raise ModelError(f'model "{name}" has damaged metadata: {error}') from error
