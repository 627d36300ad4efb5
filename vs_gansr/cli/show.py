"""Owns what `gansr models show` tells of one model: what its file says and what was found by trying."""

from __future__ import annotations

from pathlib import Path

__all__ = ["channels", "lines"]


def lines(name: str) -> list[str]:
    """A description of the model `name` (a name or a path), line by line. Raises ModelError for a bad one."""
    from ..engine import probe
    from ..model import library

    said = library.load(name)
    spec = probe.describe(said).spec
    twin = "beside it" if library.has_twin(name) else "none"
    found, ranges = (
        "found by trying" if number is None else "said by the file" for number in (said.spec.scale, said.spec.range)
    )
    rule = spec.size_rule
    sizes = "any"
    if rule.fixed:
        sizes = f"{rule.fixed[0]}x{rule.fixed[1]} only, larger frames in tiles"
    elif rule.least > 1:
        sizes = f"sides in multiples of {rule.multiple}, {rule.minimum} or more; frames are padded to that"
    rows = {
        "name": spec.name,
        "summary": spec.summary or "-",
        "file": str(said.path),
        "size": f"{Path(said.path).stat().st_size / 1e6:.2f} MB, sha256 {spec.digest}",
        "scale": f"{spec.scale}x ({found})",
        "channels": channels(spec.channels, spec.frames),
        "range": f"{spec.takes}{'' if spec.gives == spec.takes else f' in, {spec.gives} out'} ({ranges})",
        "sizes": sizes,
        "looks": "unknown or the whole picture" if spec.radius is None else f"{spec.radius} pixels far",
        "precision": spec.precision + (", float16 input" if spec.half_input else ""),
        "int8 twin": twin if spec.precision != "int8" else "it is one",
        "licence": spec.licence,
        "source": spec.source or "-",
    }
    width = max(map(len, rows))
    return [f"{label.ljust(width)}  {value}" for label, value in rows.items()]


def channels(number: int, frames: int) -> str:
    """`RGB`, `luma`, or `RGB of 3 frames`."""
    kind = "luma" if number == 1 else "RGB"
    return kind if frames == 1 else f"{kind} of {frames} frames"
