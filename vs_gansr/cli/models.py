"""The command `gansr models`: list the models that have a name, and measure their speed.

The speed is in frames per second of core.gansr.Upscale for 640x360 8-bit 4:2:0 video without repeated frames. It is
measured on request and cached by machine, model content, provider and ONNX Runtime version.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..common import files
from ..errors import GansrError, one_line
from ..model.user_folders import cache_folder, models_folder, user_models
from .common import FAILED, CommandError, say

__all__ = ["HELP", "Row", "add_arguments", "measure", "rows", "run"]

HELP = "list the shipped models and your own: name, scale, licence, speed on this machine"
SIZE = (640, 360)
SECONDS = 3.0
WARM_UP = 3  # frames
COLUMNS = ("name", "scale", "channels", "licence", "fps", "origin", "summary")


@dataclass(frozen=True)
class Row:
    """One line of the list."""

    name: str
    origin: str  # "shipped" or "own"
    path: str
    digest: str = ""  # SHA-256 of the file's content
    scale: int | None = None  # output size divided by input size; None: the model is not usable
    channels: str = ""  # description of the input, such as RGB
    licence: str = "unknown"
    summary: str = ""  # one-line description
    fps: float | None = None  # frames per second; None: not measured
    error: str = ""  # why the model is not usable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `gansr models`; docs/cli.md explains them."""
    parser.usage = "gansr models [options] [model ...]\n       gansr models show MODEL [MODEL ...]"
    parser.description = f"{HELP}; `show` prints all that is known of a model"
    add = parser.add_argument
    add("names", nargs="*", metavar="model",
        help="names or paths (default: the shipped models and your own)")  # fmt: skip
    add("--measure", action="store_true", help=f"measure the speed, {SECONDS:g} s per model")
    add("--provider", default="auto", help="provider to measure (default: auto)")
    add("--precision", default="auto", help="precision to measure (default: auto)")
    add("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the list, or the details of some models; return FAILED if a listed model is not usable."""
    if args.names == ["show"]:
        raise CommandError("`show` needs the name or path of a model: gansr models show fast-2x")
    if args.names[:1] == ["show"]:
        print("\n\n".join("\n".join(details(name)) for name in args.names[1:]))
        return 0
    speeds = Speeds(args.provider, args.precision)
    listed = []
    for row in rows(args.names):
        if not row.error:
            if args.measure:
                say(f"measuring {row.name} …")
                row = measured(row, speeds)
            row = replace(row, fps=speeds.get(row.digest))
        listed.append(row)
    if args.json:
        print(json.dumps([asdict(row) for row in listed], indent=1))
    else:
        print(table(listed))
        if any(row.fps is None and not row.error for row in listed):
            say("speed not measured yet; run: gansr models --measure")
        say(f"your own models are the .onnx files in {models_folder()}")
    return FAILED if any(row.error for row in listed) else 0


def rows(names: list[str]) -> list[Row]:
    """Return one row for each of the models `names`, or for every shipped and own model, without speeds."""
    from ..model import library

    own = user_models()
    listed = []
    for name in names or [*library.shipped(), *(n for n in own if n not in library.shipped())]:
        origin = "shipped" if name in library.shipped() else "own" if name in own or Path(name).is_file() else "-"
        try:
            listed.append(describe(name, origin))
        except GansrError as error:
            listed.append(Row(name, origin, str(own.get(name, name)), error=one_line(error)))
    return listed


def describe(name: str, origin: str) -> Row:
    """Return the row of a model. Raises ModelError where the model is not usable."""
    from ..engine import probe
    from ..model import library

    found = probe.describe(library.load(name))
    spec = found.spec
    return Row(name, origin, str(found.path), spec.digest, spec.scale, spec.kind, spec.licence, spec.summary)


def measured(row: Row, speeds: Speeds) -> Row:
    """Measure and cache the speed of the row's model; return the row, with the reason where that failed."""
    try:
        speeds.put(row.digest, measure(row.path, speeds.provider, speeds.precision))
    except CommandError as error:
        return replace(row, error=one_line(error))
    return row


def measure(path: str, provider: str, precision: str) -> float:
    """Return frames per second of `Upscale` with the model at `path`. Raises CommandError where it does not run."""
    import vapoursynth as vs

    width, height = SIZE
    try:
        clip = vs.core.std.BlankClip(format=vs.YUV420P8, width=width, height=height, length=1 << 20, keep=1)
        large = vs.core.gansr.Upscale(
            clip.std.SetFrameProps(_Matrix=1), model=path, provider=provider, precision=precision, reuse=0
        )
        begun, count = 0.0, -WARM_UP
        for frame in large.frames(close=True):
            del frame
            count += 1
            if count == 0:
                begun = time.perf_counter()
            elif count > 0 and (spent := time.perf_counter() - begun) >= SECONDS:
                return count / spent
    except (vs.Error, AttributeError) as error:
        raise CommandError(one_line(error)) from error
    raise AssertionError("the clip is endless")


class Speeds:
    """Speeds measured on this machine with one provider and precision, stored in the user's cache folder."""

    def __init__(self, provider: str, precision: str) -> None:
        self.provider = provider
        self.precision = precision
        self.file = cache_folder() / "speed.json"
        try:
            self._known: dict[str, float] = dict(json.loads(self.file.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            self._known = {}

    def get(self, digest: str) -> float | None:
        """Return frames per second; None if not measured."""
        return self._known.get(self._key(digest))

    def put(self, digest: str, fps: float) -> None:
        """Store a speed. If the cache cannot be written, a note is printed."""
        self._known[self._key(digest)] = round(fps, 3)
        try:
            files.write(self.file, json.dumps(self._known, indent=1))
        except OSError as error:
            say(f"note: the speed was not cached: {error}")

    def _key(self, digest: str) -> str:
        import onnxruntime

        parts = (digest, self.provider, self.precision, onnxruntime.__version__, platform.node(), platform.processor())
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def table(listed: list[Row]) -> str:
    """Return the rows as a table."""
    lines = [list(COLUMNS)]
    for row in listed:
        fps = "-" if row.fps is None else f"{row.fps:.1f}"
        scale = f"{row.scale}x" if row.scale else "?"
        lines.append([row.name, scale, row.channels, row.licence, fps, row.origin, row.summary or "-"])
        if row.error:
            lines[-1][1:] = ["-", "-", "-", "-", row.origin, f"cannot be used: {row.error}"]
    if len(lines) == 1:
        return "no models"
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    return "\n".join("  ".join(word.ljust(w) for word, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def details(name: str) -> list[str]:
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
    facts = {
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
    width = max(map(len, facts))
    return [f"{label.ljust(width)}  {value}" for label, value in facts.items()]
