"""Owns what a model is: its bytes, its content hash and its self-description; runs nothing.

A shipped model is one ONNX file whose metadata properties (`gansr.scale`, `gansr.radius`, ...) describe it.
What a foreign file does not say is left open (None) here and found by tiny runs in probe.py.
"""

from __future__ import annotations

import difflib
import hashlib
import math
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from ..errors import ModelError
from .analysis import Study, study
from .user_folders import user_models

__all__ = ["Model", "ModelSpec", "default_model", "load", "models_folder", "shipped"]

PREFIX = "gansr."
PREFERRED = ("general-2x", "fast-2x")  # the default is the first of these that is shipped
INT8_SUFFIX = ".int8"
PYTORCH = (".pth", ".pt", ".ckpt", ".safetensors")
LARGEST_FILE = (1 << 31) - 1  # bytes; protobuf reads no more
LARGEST_SCALE = 16
MOST_PARSED = 32
MOST_FRAMES = 31  # at once; more is damage, not a network
LARGEST_RULE = 1024  # pixels, of a radius or size rule; the same
MOST_MARGINS = 16
LARGEST_MARGIN = 1 << 20  # pixels that Pad may add or take; shape inference aborts the process over some beyond
ENDLESS = ("Loop", "Scan")  # how often they run is decided while they run


@dataclass(frozen=True)
class ModelSpec:
    """What is known of a network: one NCHW float input and one NCHW float output.

    `scale` output over input size · `channels` 3 (RGB) or 1 (luma) of one picture · `frames` how many pictures, the
    middle one's neighbours in order of time, are stacked as its input · `peak` the value that stands for white ·
    `radius` receptive field in input pixels, None if global or unknown · `multiple` that sides and positions of
    tiles must be divisible by, None if unknown · `minimum` the shortest side · `fixed` (width, height) where the
    file allows no other · `study` what the graph says of itself · `weights` bytes of them · `peak_said` whether the
    file itself says `peak` · `source` where a converted network came from.
    """

    name: str
    digest: str
    input: str
    output: str
    channels: int
    frames: int = 1
    scale: int | None = None
    peak: float = 1.0
    peak_said: bool = False
    radius: int | None = None
    multiple: int | None = 1
    minimum: int = 1
    fixed: tuple[int, int] | None = None
    half_input: bool = False
    study: Study = field(default_factory=Study)
    weights: int = 0
    precision: str = "fp32"
    licence: str = "unknown"
    summary: str = ""
    source: str = ""

    @property
    def inputs(self) -> int:
        """Channels of the input: those of all pictures together."""
        return self.channels * self.frames


@dataclass(frozen=True)
class Model:
    """A model's description and its file's content; `path` is where it came from."""

    spec: ModelSpec
    path: Path
    data: bytes = field(repr=False)


def models_folder() -> Path:
    """Where shipped models lie: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
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
        if path.stat().st_size > LARGEST_FILE:
            raise ModelError(f'model "{name}" is larger than 2 GiB, more than an ONNX file can be')
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f'model "{name}" cannot be read: {error.strerror}') from error
    except MemoryError as error:
        raise ModelError(f'model "{name}" is too large for the memory that is free') from error
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
    if path.suffix.lower() in PYTORCH and is_file(path):
        raise ModelError(f'model "{name}" is PyTorch\'s, not ONNX; make an .onnx of it once: gansr convert "{name}"')
    if path.suffix.lower() == ".onnx" or len(path.parts) > 1:
        if is_file(path):
            return path
        exact = [path.stem] if path.stem in named() else []
        near = similar(path.stem, exact) or similar(path.name, neighbours(path)) or similar(path.stem, named())
        raise ModelError(f'model file "{name}" does not exist; shipped models: {", ".join(shipped())}{near}')
    if name in shipped():
        return models_folder() / f"{name}.onnx"
    own = user_models()
    if name in own:
        return own[name]
    if is_file(path):
        raise ModelError(f'model "{name}" is not an .onnx file; shipped models: {", ".join(shipped())}')
    if factor := re.fullmatch(r"x?(\d+)x?", name.lower()):
        fits = [f'model="{other}"' for other in named() if other.endswith(f"-{factor[1]}x")]
        fits = fits or [f'model="{default_model()}"']
        raise ModelError(f'model "{name}" is a number; the model decides on the factor, as in {" or ".join(fits)}')
    known = f"shipped: {', '.join(shipped())}" + (f"; own: {', '.join(own)}" if own else "")
    raise ModelError(f'unknown model "{name}"; {known}, or give a path to an .onnx file{similar(name, named())}')


def named() -> list[str]:
    """All names that a model goes by here."""
    return [*shipped(), *(name for name in user_models() if name not in shipped())]


def similar(name: str, known: list[str]) -> str:
    """A question that names what is spelt like `name`; nothing if nothing is."""
    lower = {other.lower(): other for other in known}
    near = [lower[other] for other in difflib.get_close_matches(name.lower(), list(lower), 3, 0.6)]
    return f"; did you mean {' or '.join(near)}?" if near else ""


def is_file(path: Path) -> bool:
    """True if the path names a file; False, too, for what no path can be."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, say
        return False


def neighbours(path: Path) -> list[str]:
    """Names of the .onnx files in the folder of a path that may be none."""
    try:
        return [p.name for p in path.parent.glob("*.onnx")]
    except (OSError, ValueError):
        return []


def parse(data: bytes, name: str) -> ModelSpec:
    """Reads a file's own description. `name` serves where the file has none, and in messages."""
    digest = hashlib.sha256(data).hexdigest()
    with _parsing:
        spec = _parsed.pop((digest, name), None) or _parse(data, name, digest)
        _parsed[digest, name] = spec
        while len(_parsed) > MOST_PARSED:
            _parsed.pop(next(iter(_parsed)))
        return spec


_parsed: dict[tuple[str, str], ModelSpec] = {}  # by content: a replaced file is read anew
_parsing = threading.Lock()


def _parse(data: bytes, name: str, digest: str) -> ModelSpec:
    try:
        proto = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf raises a type of its own
        raise ModelError(f'model "{name}" is not a readable ONNX file') from error
    graph = proto.graph
    if not graph.node or not graph.input or not graph.output:
        raise ModelError(f'model "{name}" is not an ONNX network: it has no nodes, inputs or outputs')
    check_graph(proto, name)
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise ModelError(
            f'model "{name}" has {len(inputs)} inputs and {len(graph.output)} outputs, one of each is needed'
        )
    tensor = inputs[0].type.tensor_type
    dims = [d.dim_value if d.dim_value > 0 else None for d in tensor.shape.dim]  # some exporters write -1 for free
    if len(dims) != 4 or tensor.elem_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16):
        raise ModelError(f'model "{name}" takes no 4-dimensional float picture (NCHW) as its input')
    stacked = dims[1] or first_channels(graph, inputs[0].name)
    if stacked is None or not (stacked == 1 or stacked % 6 == 3):
        raise ModelError(
            f'model "{name}" has {stacked or "a free number of"} input channels, 1 or 3 are supported, '
            "and 3 for each of an odd number of frames"
        )
    if stacked > 3 * MOST_FRAMES:
        raise ModelError(f'model "{name}" takes {stacked // 3} frames at once, more than {MOST_FRAMES}')
    channels = min(3, stacked)
    sides = (dims[3] or dims[2], dims[2] or dims[3])
    fixed = (sides[0], sides[1]) if sides[0] and sides[1] else None
    said = {p.key.removeprefix(PREFIX): p.value for p in proto.metadata_props if p.key.startswith(PREFIX)}
    found = study(proto, inputs[0].name, stacked, fixed)
    try:
        radius = ranged(said, "radius", 0, LARGEST_RULE)
        multiples = [m for m in (found.multiple, ranged(said, "multiple", 1, LARGEST_RULE)) if m]
        return ModelSpec(
            name=said.get("name", name),
            digest=digest,
            input=inputs[0].name,
            output=graph.output[0].name,
            channels=channels,
            frames=stacked // channels,
            scale=ranged(said, "scale", 1, LARGEST_SCALE),
            peak=ranged_peak(said),
            peak_said="range" in said,
            radius=radius if found.radius is None else found.radius,
            multiple=math.lcm(*multiples) if multiples else None,
            minimum=max(found.minimum, ranged(said, "minimum", 1, LARGEST_RULE) or 1),
            fixed=fixed,
            half_input=tensor.elem_type == onnx.TensorProto.FLOAT16,
            study=found,
            weights=sum(len(t.raw_data) + 4 * len(t.float_data) for t in graph.initializer),
            precision=said.get("precision", "fp32"),
            licence=said.get("licence", "unknown"),
            summary=said.get("summary", ""),
            source=said.get("source", ""),
        )
    except ValueError as error:
        raise ModelError(f'model "{name}" has damaged metadata: {error}') from error


def first_channels(graph: onnx.GraphProto, name: str) -> int | None:
    """The channels that the convolution reading the input wants, for files that leave their number free."""
    weights = {tensor.name: tensor.dims for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Conv" and node.input[0] == name and node.input[1] in weights:
            group = next((a.i for a in node.attribute if a.name == "group"), 1)
            return int(weights[node.input[1]][1]) * group
    return None


def ranged(said: dict[str, str], key: str, least: int, most: int) -> int | None:
    """A whole number of the metadata, None if it is not there; ValueError if it is out of range."""
    if key not in said:
        return None
    value = int(said[key])
    if not least <= value <= most:
        raise ValueError(f"{key} is {value}, not {least} to {most}")
    return value


def ranged_peak(said: dict[str, str]) -> float:
    peak = float(said.get("range", "1"))
    if not 0 < peak <= 65535:
        raise ValueError(f"range is {peak}, not above 0 and at most 65535")
    return peak


def check_graph(proto: onnx.ModelProto, name: str) -> None:
    """ModelError for what no picture's network needs and a hostile file may hold, wherever it hides."""
    nodes = [*proto.graph.node, *(node for function in proto.functions for node in function.node)]
    tensors: list[onnx.TensorProto] = []
    named: dict[str, onnx.TensorProto] = {}
    margins: set[str] = set()
    graphs = [proto.graph]
    while nodes or graphs:
        while graphs:
            graph = graphs.pop()
            tensors += graph.initializer
            named |= {tensor.name: tensor for tensor in graph.initializer}
            tensors += (part for sparse in graph.sparse_initializer for part in (sparse.values, sparse.indices))
            nodes += graph.node if graph is not proto.graph else ()
        if not nodes:
            break
        node = nodes.pop()
        if node.op_type in ENDLESS:
            raise ModelError(f'model "{name}" contains {node.op_type}, which may run for ever; export it without loops')
        if node.op_type == "Pad":
            margins |= set(node.input[1:2])
        elif node.op_type == "Constant":
            named |= {output: a.t for output in node.output for a in node.attribute if a.name == "value"}
        for a in node.attribute:
            tensors += [a.t, *a.tensors, a.sparse_tensor.values, a.sparse_tensor.indices]
            graphs += [g for g in (a.g, *a.graphs) if g.node or g.initializer or g.sparse_initializer]
    if any(t.data_location == onnx.TensorProto.EXTERNAL or t.external_data for t in tensors):
        raise ModelError(f'model "{name}" keeps its weights in another file; save it as one self-contained file')
    for margin in sorted(margins & named.keys()):
        if largest_whole(named[margin]) > LARGEST_MARGIN:
            raise ModelError(f'model "{name}" pads by more than {LARGEST_MARGIN} pixels; its file is damaged')


def largest_whole(tensor: onnx.TensorProto) -> int:
    """The largest absolute value of a short list of whole numbers; 0 for anything else."""
    if tensor.data_type != onnx.TensorProto.INT64 or math.prod(tensor.dims) > MOST_MARGINS:
        return 0
    try:
        return max(map(abs, onnx.numpy_helper.to_array(tensor).ravel().tolist()), default=0)
    except Exception:  # damaged: ONNX Runtime says how
        return 0
