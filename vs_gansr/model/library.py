"""Owns where models are found and how their files are read: shipped ones, the user's own, and paths; runs nothing.

A shipped model is one ONNX file whose metadata properties (metadata.py) describe it. What a foreign file does not say
is left open here and found by tiny runs in engine/probe.py.
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
from .analysis import signed_output, study
from .rewrite.interpolate import between
from .spec import FileSpec, ModelFile, ValueRange
from .user_folders import user_models

__all__ = ["default_model", "faithful", "files", "find", "has_twin", "load", "models_folder", "shipped"]

PREFERRED = ("general-2x", "fast-2x")  # the default is the first of these that is shipped
INT8_SUFFIX = ".int8"
FAITHFUL_SUFFIX = "-psnr"  # of the same network without an adversary
PYTORCH = (".pth", ".pt", ".ckpt", ".safetensors")
LARGEST_FILE = (1 << 31) - 1  # bytes; protobuf reads no more


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


def load(name: str, precision: str = "fp32", texture: float = 1.0) -> ModelFile:
    """Loads a shipped model by name or a file by its path.

    `precision` "int8" takes the quantised twin `<name>.int8.onnx`; `texture` from 0 to 1 takes weights between those of
    `<name>-psnr.onnx`, the same network without an adversary, and the model's own. Raises ModelError for an unknown
    name, an unreadable or invalid file, a missing twin, weights between two int8 files, or a network that does not map
    one picture to one picture.
    """
    if texture == 0:
        return load(str(faithful(name)), precision)
    if texture != 1:
        return _between(name, precision, texture)
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
    return ModelFile(parse(data, path.name.removesuffix(".onnx")), path, data)


def _between(name: str, precision: str, texture: float) -> ModelFile:
    if precision == "int8":  # Upscale refuses it before
        raise ModelError(f'model "{name}" has no int8 weights at texture {texture:g}; use texture 0 or 1, or fp32')
    start, end = load(str(faithful(name))), load(name)
    graphs = [onnx.load_model_from_string(each.data) for each in (start, end)]
    mixed = between(graphs[0], graphs[1], texture, name)
    metadata.write(mixed, metadata.Metadata(name=f"{end.spec.name} at texture {texture:g}"))
    data = mixed.SerializeToString(deterministic=True)
    return ModelFile(parse(data, end.path.name.removesuffix(".onnx")), end.path, data)


def faithful(name: str) -> Path:
    """The file of the model's twin without an adversary. Raises ModelError where there is none."""
    path = find(name)
    twin = path.with_name(f"{path.stem}{FAITHFUL_SUFFIX}.onnx")
    if not twin.is_file():
        raise ModelError(f'model "{name}" has no twin without an adversary ({twin.name}); use texture=1')
    return twin


def has_twin(name: str, texture: float = 1.0) -> bool:
    """True if `name` has a quantised twin beside it for that `texture`."""
    if 0 < texture < 1:
        return False
    return len(files(name if texture else str(faithful(name)))) > 1


def files(name: str) -> list[Path]:
    """The file that `name` means, and its int8 twin if there is one."""
    path = find(name)
    twin = path.with_name(f"{path.stem}{INT8_SUFFIX}.onnx")
    return [path, *([twin] if twin.is_file() else [])]


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


def parse(data: bytes, name: str) -> FileSpec:
    """Reads a file's own description. `name` serves where the file has none, and in messages."""
    digest = hashlib.sha256(data).hexdigest()
    return _parsed.get((digest, name), lambda: _parse(data, name, digest))


_parsed: LruCache[tuple[str, str], FileSpec] = LruCache(32)  # by content: a replaced file is read anew


def _parse(data: bytes, name: str, digest: str) -> FileSpec:
    try:
        proto = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf raises a type of its own
        raise ModelError(f'model "{name}" is not a readable ONNX file') from error
    validate.check_graph(proto, name)
    try:
        said = metadata.read(proto)
    except ValueError as error:
        raise ModelError(f'model "{name}" has damaged metadata: {error}') from error
    entry = validate.entry(proto, name, said)
    found = study(proto, entry.name, entry.channels * entry.frames, entry.fixed)
    multiples = [m for m in (found.multiple, said.multiple) if m]
    return FileSpec(
        name=name if said.name is None else said.name,
        digest=digest,
        input=entry.name,
        output=proto.graph.output[0].name,
        channels=entry.channels,
        frames=entry.frames,
        aligned=entry.aligned,
        radius=said.radius if found.radius is None else found.radius,
        half_input=entry.half,
        signed_output=signed_output(proto),
        clamp=None if said.clamp is None else bool(said.clamp),
        study=found,
        weights=sum(len(t.raw_data) + 4 * len(t.float_data) for t in proto.graph.initializer),
        precision=said.precision or "fp32",
        licence=said.licence or "unknown",
        summary=said.summary or "",
        source=said.source or "",
        scale=said.scale,
        range=None if said.range is None else ValueRange(white=said.range),
        multiple=math.lcm(*multiples) if multiples else None,
        minimum=max(found.minimum, said.minimum or 1),
        fixed=entry.fixed,
    )
