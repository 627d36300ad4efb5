"""Write the page on a finished film: stills beside the source, speed and bitrate by chunk, what was begun again."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..chunks.plan import Plan
from ..job import UpscaleJob
from ..progress import clock
from ..workers.scheduler import Outcome
from .pictures import image, write

__all__ = ["write_report"]

STILLS = 3
MICRO = 1_000_000  # FFmpeg's unit of time
WIDTH, HEIGHT = 720, 120  # of a curve, in pixels

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em }}
figure {{ display: grid; grid-template-columns: 1fr 1fr; gap: .5em; margin: 1em 0 }}
figcaption {{ grid-column: 1 / 3 }} img {{ width: 100%; height: auto }} svg {{ width: 100%; max-width: 48em }}
td {{ padding-right: 1.5em }}
</style></head><body><h1>{title}</h1>
<table>{facts}</table>
<h2>Source, enlarged plainly, and result</h2>{stills}
<h2>Speed, frames per second of a worker</h2>{speed}
<h2>Bitrate, Mbit/s</h2>{bitrate}
<h2>Begun again, found finished</h2><p>{events}</p>
</body></html>
"""


def write_report(path: Path, job: UpscaleJob, outcome: Outcome, seconds: float) -> None:
    """Writes the page. Raises CommandError where it cannot; the film itself is finished by then."""
    plan, ledger = outcome.plan, outcome.ledger
    rows = {
        "Source": job.source,
        "Output": job.output,
        "Frames": f"{plan.frames} of {plan.picture.width}x{plan.picture.height}",
        "Size": f"{Path(job.output).stat().st_size / 1e6:.1f} MB",
        "Time": f"{clock(seconds)}, {plan.frames / seconds:.2f} frames per second",
        "Computed by": outcome.engine,
        "Encoder": f"{job.encoder}, ffmpeg {plan.ffmpeg}",
    }
    speed: list[float] = []
    rate: list[float] = []
    events = "nothing: one piece"
    if ledger:
        pace = plan.frames / plan.seconds if plan.seconds else 25.0
        for n, chunk in sorted(ledger.chunks.items()):
            speed.append(chunk.frames / max(ledger.seconds[n], 1e-6))
            rate.append(chunk.size * 8 / (chunk.frames / pace) / 1e6)
        again = ", ".join(f"chunk {n}, {times} times" for n, times in sorted(ledger.retries.items())) or "no chunk"
        events = f"Begun again: {again}. Finished before this run: {outcome.found} of {len(plan.spans)} chunks."
    page = PAGE.format(
        title=html.escape(Path(job.output).name),
        facts="".join(f"<tr><td>{name}<td>{html.escape(value)}</tr>" for name, value in rows.items()),
        stills="".join(stills(job, plan)),
        speed=curve(speed),
        bitrate=curve(rate),
        events=events,
    )
    write(path, page.encode("utf-8", "replace"), "; the film is finished")


def stills(job: UpscaleJob, plan: Plan) -> Iterator[str]:
    """Pairs of pictures of the same moment, embedded; of a script's or of images' film the result alone."""
    for n in range(1, STILLS + 1):
        after = still(job.output, plan.seconds * n / (STILLS + 1))
        if after is None:
            continue
        before = still(job.source, float(plan.source.origin) + after.time) if Path(job.source).is_file() else None
        pair = {"source": before, "result": after}
        size = (after.width, after.height, "rgb24")
        images = "".join(image(name, frame.reformat(*size).to_ndarray()) for name, frame in pair.items() if frame)
        yield f"<figure>{images}<figcaption>{clock(after.time)}</figcaption></figure>"


def still(path: str, second: float) -> Any:
    """The first frame that is shown from `second` of the file's own clock on, else its last one; None where it cannot
    be read."""
    import av

    last = None
    try:
        with av.open(path) as container:
            container.seek(int(max(second, 0) * MICRO))
            for frame in container.decode(video=0):
                if frame.time is not None:
                    last = frame
                    if frame.time >= second - 0.001:
                        break
    except (av.error.FFmpegError, OSError):
        return None
    return last


def curve(values: Sequence[float]) -> str:
    """A line through the chunks' values, as SVG."""
    if not values:
        return "<p>One piece: no curve.</p>"
    top = max(values) or 1.0
    step = WIDTH / max(len(values) - 1, 1)
    points = " ".join(f"{n * step:.1f},{HEIGHT - value / top * (HEIGHT - 10):.1f}" for n, value in enumerate(values))
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}"><polyline points="{points}" fill="none" stroke="#247" stroke-width="2"/>'
        f'<text x="2" y="12" font-size="12">{top:.2f}</text></svg>'
    )
