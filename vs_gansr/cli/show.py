"""The details that `gansr models show` prints about one model: from its file and from trial runs."""

from __future__ import annotations

from pathlib import Path

__all__ = ["lines"]


def lines(name: str) -> list[str]:
    """Return a description of the model `name` (a name or a path), line by line. Raises ModelError."""
    from ..engine import probe
    from ..model import library

    file = library.load(name)
    spec = probe.describe(file).spec
    variant = "yes" if library.has_int8(name) else "no"
    found, ranges = (
        "found by trial" if number is None else "stated by the file" for number in (file.spec.scale, file.spec.range)
    )
    rule = spec.size_rule
    sizes = "any"
    if rule.fixed:
        sizes = f"{rule.fixed[0]}x{rule.fixed[1]} only, larger frames in tiles"
    elif rule.least > 1:
        sizes = f"multiples of {rule.multiple}, at least {rule.minimum}; frames are padded"
    output = "" if spec.output_range == spec.input_range else f" in, {spec.output_range} out"
    rows = {
        "name": spec.name,
        "summary": spec.summary or "-",
        "file": str(file.path),
        "size": f"{Path(file.path).stat().st_size / 1e6:.2f} MB, sha256 {spec.digest}",
        "scale": f"{spec.scale}x ({found})",
        "channels": spec.kind,
        "range": f"{spec.input_range}{output} ({ranges})",
        "sizes": sizes,
        "radius": "unknown or the whole picture" if spec.radius is None else f"{spec.radius} pixels",
        "precision": spec.precision + (", float16 input" if spec.half_input else ""),
        "int8 variant": variant if spec.precision != "int8" else "this file",
        "licence": spec.licence,
        "source": spec.source or "-",
    }
    width = max(map(len, rows))
    return [f"{label.ljust(width)}  {value}" for label, value in rows.items()]
