"""Write an HTML page that compares the source, enlarged plainly, with the result at ten moments (`--preview`)."""

from __future__ import annotations

import html
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from string import Template

import numpy as np
import vapoursynth as vs

from ...common import say
from ..chunks.render import engine_of
from ..job import UpscaleJob
from ..job.kept_options import stored
from ..progress import clock
from ..script.steps import Graph
from ..source.notes import fraction_of
from .pictures import densest, detail_of, image, opened, pixels, places, rgb, write

__all__ = ["write_page"]

MOMENTS = 10
STRIP = 5  # frames that follow each other
PART = (240, 320)  # height and width of their parts, in the result's pixels


def write_page(job: UpscaleJob) -> Path:
    """Writes the page beside the output's name, as `<stem>.preview.html`, and returns its path.

    Raises CommandError for what the source is refused for, or where the file cannot be written.
    """
    begun = time.monotonic()
    engine = engine_of()
    output = Path(job.output)
    file = output.with_name(f"{output.stem}.preview.html")
    with opened(job) as graph:
        pair = shown(job, graph)
        numbers = places(MOMENTS, graph.clip.num_frames)
        figures = [moment(pair, number, at(graph, number)) for number in numbers]
        first = liveliest(graph.plain, numbers)
        strip = motion(pair, first)
        rows = {
            "Source": f"{Path(job.source).name}, {described(graph.plain)}",
            "Result": described(graph.clip),
            "Shown": f"{pair[1].width}x{pair[1].height} square pixels, source by bicubic{tone(graph)}",
            "Settings": stored(job),
            "Computed by": "; ".join(map(str, engine)) or "no network",
        }
    template = Template(Path(__file__).with_name("page.html").read_text("utf-8"))
    text = template.substitute(
        title=html.escape(output.name),
        facts="".join(f"<tr><th>{name}<td>{html.escape(value)}</tr>" for name, value in rows.items()),
        moments="".join(figures),
        strip=strip,
        frames=f"frames {first} to {min(first + STRIP, graph.clip.num_frames) - 1}, at {at(graph, first)}",
    )
    write(file, text.encode("utf-8", "replace"))
    say(f"{file}: {len(figures)} moments in {clock(time.monotonic() - begun)}; open it in a browser")
    return file


def shown(job: UpscaleJob, graph: Graph) -> tuple[vs.VideoNode, vs.VideoNode]:
    """Source and result in RGB, both of the result's size in square pixels."""
    width, height = graph.clip.width, graph.clip.height
    with graph.clip.get_frame(0) as frame:
        shape = Fraction(job.sar) if job.sar else fraction_of(frame.props, "_SAR") or 1
    if shape > 1:
        width = round(width * shape)
    else:
        height = round(height / shape)
    return rgb(graph.plain, width, height), rgb(graph.clip, width, height)


def described(clip: vs.VideoNode) -> str:
    """Size and format of a clip, and what its first frame says of its colours."""
    with clip.get_frame(0) as frame:
        known = [name for name in ("_Matrix", "_Transfer", "_Primaries", "_Range") if name in frame.props]
        tags = ", ".join(f"{name[1:]} {int(frame.props[name])}" for name in known)
    return f"{clip.width}x{clip.height} {clip.format.name}, {clip.num_frames} frames{f' ({tags})' if tags else ''}"


def tone(graph: Graph) -> str:
    """How HDR is shown; empty for other clips."""
    with graph.clip.get_frame(0) as frame:
        hdr = int(frame.props.get("_Transfer", 2)) in (16, 18)
    return "; HDR with its reference white as the screen's, brighter light compressed" if hdr else ""


def at(graph: Graph, number: int) -> str:
    """When the frame of the result is shown, in words."""
    stamps, base = graph.times.timestamps, graph.times.time_base
    place = number if graph.clip.num_frames == len(stamps) else number * len(stamps) // graph.clip.num_frames
    return clock(float((stamps[place] - stamps[0]) * base))


def moment(pair: Sequence[vs.VideoNode], number: int, when: str) -> str:
    """A figure of one frame: source and result over each other."""
    before, after = (pixels(clip.get_frame(number)) for clip in pair)
    height, width = after.shape[:2]
    top, left = densest(detail_of(after), max(1, height // 3), max(1, width // 3))
    images = "".join(image(name, picture) for name, picture in (("source", before), ("result", after)))
    return (
        f'<figure class="pair" data-x="{left}" data-y="{top}"><figcaption>{when}, frame {number}</figcaption>'
        f'<div class="box"><div class="stack">{images}</div></div>'
        '<input type="range" min="0" max="1000" value="500" aria-label="source left, result right"></figure>'
    )


def liveliest(clip: vs.VideoNode, numbers: Sequence[int]) -> int:
    """The one of `numbers` after which the clip's picture changes most, early enough for a strip."""
    last: int = max(clip.num_frames - STRIP, 0)
    starts = sorted({min(number, last) for number in numbers})
    small = rgb(clip, min(clip.width, 160), min(clip.height, 90))

    def change(number: int) -> float:
        one, other = (pixels(small.get_frame(min(n, clip.num_frames - 1))) for n in (number, number + STRIP - 1))
        return float(np.abs(one.astype(np.int16) - other).mean())

    return max(starts, key=change)


def motion(pair: Sequence[vs.VideoNode], first: int) -> str:
    """The most changing part of frames that follow each other: a row of the source's, a row of the result's."""
    count = min(STRIP, pair[1].num_frames)
    rows = [[pixels(clip.get_frame(first + n)) for n in range(count)] for clip in pair]
    height, width = (min(side, most) for side, most in zip(rows[1][0].shape[:2], PART, strict=True))
    change = np.abs(rows[1][-1].astype(np.float32) - rows[1][0]).mean(axis=2) + 0.01
    top, left = densest(change.astype(np.float32), height, width)
    return "".join(
        image(name, picture[top : top + height, left : left + width])
        for name, row in zip(("source", "result"), rows, strict=True)
        for picture in row
    )
