"""Find model files by name or path and read their descriptions. This module runs no network.

A shipped model is one ONNX file that metadata properties describe (metadata.py). Values that another file does not
give stay None here; engine/probe.py finds them by short trial runs.
"""

from __future__ import annotations

import difflib
import hashlib
import math
import re
from pathlib import Path

import onnx

from ..common.caching import LruCache
from ..errors import ModelError
from . import metadata, validate
from .analysis import study
from .rewrite import mix
from .rewrite.graph_view import signed_output
from .spec import FileSpec, Model, ModelFile, ValueRange
from .user_folders import user_models

__all__ = [
    "default_model",
    "faithful",
    "files",
    "find",
    "has_int8",
    "load",
    "mixed",
    "models_folder",
    "shipped",
    "used",
]

PREFERRED = ("general-2x", "fast-2x")  # the first of these that is shipped is the default
INT8_SUFFIX = ".int8"
FAITHFUL_SUFFIX = "-psnr"  # ends the name of a faithful model: the same network trained without an adversary
PYTORCH = (".pth", ".pt", ".ckpt", ".safetensors")
LARGEST_FILE = (1 << 31) - 1  # bytes; protobuf cannot read larger files


def models_folder() -> Path:
    """Return the folder of the shipped models: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "models"
    return installed if installed.is_dir() else package.parent / "models"


def shipped() -> list[str]:
    """Return the names of the shipped models, sorted, without int8 variants."""
    names = (p.name.removesuffix(".onnx") for p in models_folder().glob("*.onnx"))
    return sorted(n for n in names if not n.endswith(INT8_SUFFIX))


def default_model() -> str:
    """Return the model that is used if none is given. Raises ModelError where none of the candidates is shipped."""
    have = shipped()
    for name in PREFERRED:
        if name in have:
            return name
    raise ModelError(f"no default model in {models_folder()}; reinstall vs-gansr or give model=")


def load(name: str, precision: str = "fp32") -> ModelFile:
    """Read a model by name or by path; with `precision` "int8" its int8 variant, `<name>.int8.onnx`.

    Raises ModelError for an unknown name, an unreadable or invalid file, a missing int8 variant, and a network that
    does not map one picture to one picture.
    """
    path = find(name)
    if precision == "int8" and not path.stem.endswith(INT8_SUFFIX):
        variant = path.with_name(f"{path.stem}{INT8_SUFFIX}.onnx")
        if not variant.is_file():
            raise ModelError(f'model "{name}" has no int8 variant ({variant.name}); use precision fp32 or fp16')
        path = variant
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ModelError(f'model "{name}" is larger than 2 GiB, the limit of an ONNX file')
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f'model "{name}" cannot be read: {error.strerror}') from error
    except MemoryError as error:
        raise ModelError(f'model "{name}" does not fit into free memory') from error
    return ModelFile(parse(data, path.name.removesuffix(".onnx")), path, data)


def mixed(shipped: Model, faithful: Model, texture: float) -> ModelFile:
    """Return the network whose results are mixed of the results of a shipped model and its faithful model.

    `texture` is the shipped model's share. Raises ModelError where their results are not of one kind and size.
    """
    proto = mix.mixed(faithful, shipped, texture)
    data = proto.SerializeToString(deterministic=True)
    return ModelFile(parse(data, shipped.spec.name), shipped.path, data)


def faithful(name: str) -> Path:
    """Return the file of the faithful model that belongs to `name`. Raises ModelError where there is none."""
    path = find(name)
    file = path.with_name(f"{path.stem}{FAITHFUL_SUFFIX}.onnx")
    if not file.is_file():
        raise ModelError(
            f'model "{name}" has no softer model beside it ({file.name}), which texture below 1 needs; use texture=1'
        )
    return file


def used(name: str, texture: float) -> list[str]:
    """Return the models of which `texture` needs results: `name` unless it is 0, and its faithful model unless it is 1.

    Raises ModelError where there is no faithful model.
    """
    return [*([name] if texture > 0 else []), *([str(faithful(name))] if texture < 1 else [])]


def has_int8(name: str, texture: float = 1.0) -> bool:
    """Return True if `name` has an int8 variant for that `texture`."""
    return all(len(files(each)) > 1 for each in used(name, texture))


def files(name: str) -> list[Path]:
    """Return the file of the model `name` and, if there is one, the file of its int8 variant."""
    path = find(name)
    variant = path.with_name(f"{path.stem}{INT8_SUFFIX}.onnx")
    return [path, *([variant] if variant.is_file() else [])]


def find(name: str) -> Path:
    """Return the file of the model `name`: an existing path, a shipped model, or one of the user's own models.

    Raises ModelError where there is none and suggests names that are spelt alike.
    """
    if not name:
        raise ModelError(f"model is empty; give a path or one of: {', '.join(shipped())}")
    path = Path(name)
    if path.suffix.lower() in PYTORCH and is_file(path):
        raise ModelError(f'model "{name}" is a PyTorch file; convert it to ONNX once: gansr convert "{name}"')
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
        raise ModelError(f'model "{name}" is a number; the scale comes with the model: {" or ".join(fits)}')
    known = f"shipped: {', '.join(shipped())}" + (f"; own: {', '.join(own)}" if own else "")
    raise ModelError(f'unknown model "{name}"; {known}, or give a path to an .onnx file{similar(name, named())}')


def named() -> list[str]:
    """Return the names of all shipped and own models."""
    return [*shipped(), *(name for name in user_models() if name not in shipped())]


def similar(name: str, known: list[str]) -> str:
    """Return a question that suggests the entries of `known` spelt like `name`; "" if there are none."""
    lower = {other.lower(): other for other in known}
    near = [lower[other] for other in difflib.get_close_matches(name.lower(), list(lower), 3, 0.6)]
    return f"; did you mean {' or '.join(near)}?" if near else ""


def is_file(path: Path) -> bool:
    """Return True if the path names a file; False also for strings that are no valid path."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # the path is too long or has a NUL
        return False


def neighbours(path: Path) -> list[str]:
    """Return the names of the .onnx files in the folder of `path`; [] if that is no valid path."""
    try:
        return [p.name for p in path.parent.glob("*.onnx")]
    except (OSError, ValueError):
        return []


def parse(data: bytes, name: str) -> FileSpec:
    """Read a file's description of itself. `name` is used in messages and where the file gives no name.

    Raises ModelError for a file that is unreadable, invalid or no image network.
    """
    digest = hashlib.sha256(data).hexdigest()
    return _parsed.get((digest, name), lambda: _parse(data, name, digest))


_parsed: LruCache[tuple[str, str], FileSpec] = LruCache(32)  # by content: a replaced file is read again


def _parse(data: bytes, name: str, digest: str) -> FileSpec:
    try:
        proto = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf raises its own types
        raise ModelError(f'model "{name}" is not a readable ONNX file') from error
    validate.check_graph(proto, name)
    try:
        described = metadata.read(proto)
    except ValueError as error:
        raise ModelError(f'model "{name}" has damaged metadata: {error}') from error
    entry = validate.entry(proto, name, described)
    found = study(proto, entry.name, entry.channels * entry.frames, entry.fixed)
    multiples = [m for m in (found.multiple, described.multiple) if m]
    return FileSpec(
        name=name if described.name is None else described.name,
        digest=digest,
        input=entry.name,
        output=proto.graph.output[0].name,
        channels=entry.channels,
        frames=entry.frames,
        radius=described.radius if found.radius is None else found.radius,
        half_input=entry.half,
        signed_output=signed_output(proto),
        clamp=None if described.clamp is None else bool(described.clamp),
        study=found,
        weights=sum(len(t.raw_data) + 4 * len(t.float_data) for t in proto.graph.initializer),
        precision=described.precision or "fp32",
        licence=described.licence or "unknown",
        summary=described.summary or "",
        source=described.source or "",
        scale=described.scale,
        range=None if described.range is None else ValueRange(white=described.range),
        multiple=math.lcm(*multiples) if multiples else None,
        minimum=max(found.minimum, described.minimum or 1),
        fixed=entry.fixed,
    )
