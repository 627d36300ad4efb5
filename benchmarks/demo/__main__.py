"""Upscales a clip for real: a .vpy script, vspipe, ffmpeg; leaves demo/demo.mp4 and demo/side-by-side.png.

Without a file it makes its own clip, of which it knows the original; see film.py.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import imageio_ffmpeg  # type: ignore[import-untyped]
import numpy as np
import vapoursynth as vs
from PIL import Image

from benchmarks import sheets
from benchmarks.demo import film
from benchmarks.paths import ROOT
from vs_gansr.colour import tags
from vs_gansr.model.library import default_model

core = vs.core

BT709 = {"_Matrix": 1, "_Primaries": 1, "_Transfer": 1, "_Range": 0, "_ChromaLocation": 0}
TAGS = {"_Matrix": "colorspace", "_Primaries": "color_primaries", "_Transfer": "color_trc"}
COUNTED_FROM_1 = {"_Range": "range", "_ChromaLocation": "chroma_location"}
LOW_RATE = ("-c:v", "libx264", "-preset", "medium", "-crf", "26")
GOOD = ("-c:v", "libx264", "-preset", "medium", "-crf", "15", "-movflags", "+faststart")

CROP = (156, 96)
"""Width and height of a crop of the sheet, in pixels of the large frame."""

SCRIPT = """\
# Written by scripts/demo. Try it: vspipe -c y4m {name} - | ffmpeg -i - out.mp4
import vapoursynth as vs

clip = vs.core.bs.VideoSource({source!r}, cachemode=0){cut}
clip = clip.gansr.Upscale({model}format=vs.YUV420P8)
clip.set_output()
"""


@dataclass(frozen=True)
class Look:
    """A place to show: frame number and centre in pixels of the large frame; the original where there is one."""

    frame: int
    x: float
    y: float
    original: Image.Image | None = None


def main() -> None:
    """Run `scripts/demo`; ends with one line on stderr for what cannot be shown."""
    arguments = parse()
    folder = arguments.out
    folder.mkdir(parents=True, exist_ok=True)
    result = folder / "demo.mp4"
    if arguments.file is None:
        source = folder / "input.mp4"
        looks = make_film(source)
    else:
        source, looks = arguments.file, []
    script = write_script(folder / "demo.vpy", source, arguments)
    small = open_video(source)
    seconds = upscale(script, result)
    large = open_video(result)
    sheet = side_by_side(small, large, looks, Path(arguments.model).stem if arguments.model else default_model())
    sheet.save(folder / "side-by-side.png")
    print(f"{result}: {large.width}x{large.height} from {small.width}x{small.height}, {large.num_frames} frames")
    print(f"{folder / 'side-by-side.png'}: crops at {sheets.ZOOM}00 %")
    print(f"{script}: the script that did it; the clip it reads is {source}")
    print(f"{large.num_frames / seconds:.1f} fps in all ({seconds:.1f} s: start, decoding, upscaling, encoding)")


def parse() -> argparse.Namespace:
    """The command line; refuses a file that is not there and fewer than one frame."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, help="a video; without one the demo makes its own")
    parser.add_argument("--model", help="a shipped model's name or an .onnx file; default: the plugin's")
    parser.add_argument("--frames", type=int, help="stop after so many frames")
    parser.add_argument("--out", type=Path, default=ROOT / "demo", help="folder for the results")
    arguments = parser.parse_args()
    if arguments.file is not None and not arguments.file.is_file():
        parser.error(f"{arguments.file} is not a file")
    if arguments.frames is not None and arguments.frames < 1:
        parser.error(f"--frames {arguments.frames} must be at least 1")
    return arguments


def make_film(path: Path) -> list[Look]:
    """Encodes the demo's own film at half its size and a low rate; the places to look at, with the originals."""
    spots = film.spots()
    originals: dict[int, Image.Image] = {}

    def halves() -> Iterable[bytes]:
        for n, frame in enumerate(film.frames()):
            if any(spot[0] == n for spot in spots):
                originals[n] = frame
            yield frame.resize((film.SIZE[0] // 2, film.SIZE[1] // 2), Image.Resampling.BICUBIC).tobytes()

    size = f"{film.SIZE[0] // 2}x{film.SIZE[1] // 2}"
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", str(film.FPS), "-i", "pipe:0")
    to_yuv = "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd,format=yuv420p," + declare(BT709)
    with ffmpeg(*raw, "-vf", to_yuv, *LOW_RATE, str(path), stdin=subprocess.PIPE) as encoder:
        assert encoder.stdin is not None
        for frame in halves():
            encoder.stdin.write(frame)
        encoder.stdin.close()
    check(encoder, "ffmpeg")
    return [Look(n, x, y, originals[n]) for n, x, y in spots]


def write_script(path: Path, source: Path, arguments: argparse.Namespace) -> Path:
    """Write the .vpy script that upscales `source`, as a user would; its path."""
    model = f"model={arguments.model!r}, " if arguments.model else ""
    cut = f"[:{arguments.frames}]" if arguments.frames else ""
    text = SCRIPT.format(name=path.name, source=str(source.resolve()), cut=cut, model=model)
    path.write_text(text, encoding="utf-8")
    return path


def upscale(script: Path, result: Path) -> float:
    """Runs the script through vspipe into ffmpeg; seconds it took."""
    props = first_props(script)
    y4m = ("-f", "yuv4mpegpipe", "-i", "pipe:0", "-vf", declare(props))
    # The package's own binary: the wrapper beside python does not pass signals on.
    vspipe = [str(Path(vs.__file__).with_name("vspipe")), "-c", "y4m", str(script), "-"]
    if sys.stderr.isatty():
        vspipe.insert(1, "--progress")
    start = time.monotonic()
    with (
        subprocess.Popen(vspipe, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as pipe,
        ffmpeg(*y4m, *GOOD, str(result), stdin=pipe.stdout) as encoder,
    ):
        assert pipe.stdout is not None
        pipe.stdout.close()  # the encoder's alone now, so that vspipe ends when the encoder does
    check(pipe, "vspipe")
    check(encoder, "ffmpeg")
    return time.monotonic() - start


def first_props(script: Path) -> dict[str, int]:
    """The whole-number properties of the first frame that `script` puts out; y4m does not carry them."""
    try:
        exec(compile(script.read_text(encoding="utf-8"), str(script), "exec"), {"__name__": "__vapoursynth__"})
        with vs.get_output(0).clip.get_frame(0) as frame:
            return {name: int(value) for name, value in frame.props.items() if isinstance(value, int)}
    except vs.Error as error:
        sys.exit(f"demo: {error}")
    finally:
        vs.clear_outputs()


def declare(props: Mapping[str, int]) -> str:
    """ffmpeg's filters that declare a frame's tags, numbers as in ITU-T H.273, and the shape of its pixels.

    Options such as -colorspace would not do: given a stream without tags, ffmpeg converts from what it guesses.
    """
    tags = [f"{key}={props[name]}" for name, key in TAGS.items() if props.get(name, 2) != 2]
    tags += [f"{key}={props[name] + 1}" for name, key in COUNTED_FROM_1.items() if name in props]
    shape = [props.get(name, 1) for name in ("_SARNum", "_SARDen")]
    sar = "{}/{}".format(*shape) if min(shape) > 0 else "1"
    return f"setsar={sar}" + (",setparams=" + ":".join(tags) if tags else "")


def ffmpeg(*arguments: str, stdin: int | IO[bytes] | None) -> subprocess.Popen[bytes]:
    """Start imageio-ffmpeg's ffmpeg; what it says goes to stderr."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-y", *arguments]
    return subprocess.Popen(command, stdin=stdin, stdout=subprocess.DEVNULL)


def check(process: subprocess.Popen[bytes], name: str) -> None:
    """End with one line where a process that has ended did not end well."""
    if process.returncode:
        sys.exit(f"demo: {name} failed with exit status {process.returncode}; its output is above")


def open_video(path: Path) -> vs.VideoNode:
    """The file's first video track; a matrix it does not say is guessed as the plugin guesses it."""
    try:
        clip = core.bs.VideoSource(str(path), cachemode=0)
        with clip.get_frame(0) as frame:
            unset = frame.format.color_family == vs.YUV and int(frame.props.get("_Matrix", 2)) == 2
    except vs.Error as error:
        sys.exit(f"demo: {path} cannot be read: {error}")
    return clip.std.SetFrameProps(_Matrix=tags.guess_matrix(clip.width, clip.height)) if unset else clip


def side_by_side(small: vs.VideoNode, large: vs.VideoNode, looks: list[Look], model: str) -> Image.Image:
    """Input, Lanczos, ours and, where known, the original, at the same places: a row for each place."""
    looks = [look for look in looks if look.frame < large.num_frames] or busiest(large, large.num_frames // 2)
    versions = {"input (nearest)": small, "Lanczos": small.resize.Lanczos(large.width, large.height)}
    versions[f"vs-gansr {model}"] = large
    rows = []
    for look in looks:
        pictures = {name: sheets.rgb(clip, look.frame) for name, clip in versions.items()}
        if look.original is not None:
            pictures["original"] = look.original
        box = around(look.x, look.y, (large.width, large.height))
        rows.append({name: sheets.crop(picture, box, large.width) for name, picture in pictures.items()})
    tiles = [sheets.Tile("" if n else name, tile) for n, row in enumerate(rows) for name, tile in row.items()]
    return sheets.sheet(tiles, len(rows[0]))


def busiest(clip: vs.VideoNode, n: int) -> list[Look]:
    """The most detailed crop of each quarter of frame n; of all of it where a quarter has no room for one."""
    frame = np.asarray(sheets.rgb(clip, n).convert("L"))
    parts = [1, 2][clip.height >= 2 * CROP[1] and clip.width >= 2 * CROP[0]]
    height, width = clip.height // parts, clip.width // parts
    found = []
    for top, left in itertools.product(range(0, parts * height, height), range(0, parts * width, width)):
        box = sheets.richest(sheets.slopes(frame[top : top + height, left : left + width]), CROP)
        assert box is not None  # nothing is taken
        found.append(Look(n, left + (box[0] + box[2]) / 2, top + (box[1] + box[3]) / 2))
    return found


def around(x: float, y: float, size: tuple[int, int]) -> sheets.Box:
    """The crop with this centre, moved to lie inside a frame of `size`."""
    width, height = min(CROP[0], size[0]), min(CROP[1], size[1])
    left = min(max(round(x - width / 2), 0), size[0] - width)
    top = min(max(round(y - height / 2), 0), size[1] - height)
    return left, top, left + width, top + height


if __name__ == "__main__":
    main()
