"""Owns the process that renders: told a job and then orders on stdin, it answers in JSON lines on stderr.

    driver ──job, seat, orders──> worker ──raw video──> ffmpeg ──> chunk, or the whole film
       ^──────JSON lines────────────┘ ^────progress───────┘

Each answer is led by a record separator (RFC 7464); what other code prints comes through as it is. The process opens
its source and builds its network once, and ends at once when stdin closes, so it never outlives its driver.
"""

from __future__ import annotations

import json
import os
import platform
import queue
import secrets
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, BinaryIO

from ....errors import GansrError, one_line
from ...common import CommandError
from ..chunks import file as chunk_file
from ..chunks import fingerprint
from ..chunks.concat import Part, join
from ..chunks.render import OpenFilm, open_film, send, tell, write_covers
from ..ffmpeg import chunk_options
from ..ffmpeg import command as ffmpeg_command
from ..ffmpeg.options import divide
from ..ffmpeg.process import EncoderKilled, EncoderProcess
from ..job.job import UpscaleJob
from ..source import clip as clip_source
from ..source.script_file import printer

__all__ = ["main"]


class EngineChanged(CommandError):
    """A provider failed within a chunk, and another one went on: the chunk would differ from the others."""


def main() -> int:
    """Serves until stdin closes; returns the exit code where something fails before that."""
    os.dup2(2, 1)  # whatever prints must not look like an answer
    lines = orders_only()
    job, seat = UpscaleJob.from_json(lines.readline().decode()), json.loads(lines.readline())
    orders: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=listen, args=(lines, orders), daemon=True).start()
    if clip_source.is_script(job.source):
        sys.stdout = sys.stderr = printer(lambda line: tell(printed=line))
    if seat["cores"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, seat["cores"])
    try:
        film = open_film(job, trial=seat["first"] or seat.get("trial", False))
        introduce(film, seat)
        while True:
            obey(film, orders.get())
    except Exception as error:
        text = one_line(error, 1000)
        text = text if isinstance(error, GansrError) else explain(error, text)
        tell(error=text, retry=retriable(error), host=platform.node())
        return 1


def orders_only() -> BinaryIO:
    """What the driver writes to this process, taken away from stdin: a script may read or close that.

    Without a buffer, whose lock the listening thread would still hold while Python ends.
    """
    lines = os.fdopen(os.dup(0), "rb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    sys.stdin = os.fdopen(nothing)
    return lines


def listen(lines: BinaryIO, orders: queue.SimpleQueue[dict[str, Any]]) -> None:
    """Queues what the driver orders; ends this process when the driver is gone."""
    for line in lines:
        orders.put(json.loads(line))
    os._exit(1)


def explain(error: Exception, text: str) -> str:
    """Errors of VapourSynth's are meant for users, others say which they are."""
    import vapoursynth as vs

    return text if isinstance(error, vs.Error) else f"{type(error).__name__}: {text}"


def retriable(error: Exception) -> bool:
    """Whether another try, in another process, may succeed."""
    return isinstance(error, (EncoderKilled, EngineChanged))


def introduce(film: OpenFilm, seat: dict[str, Any]) -> None:
    """Says that all is ready, and what the driver must know. The first of several reads the source's content."""
    said: dict[str, Any] = {}
    if len(film.spans) > 1:
        chunk_options.refuse(film.job, divide(film.job).params)
    if len(film.spans) > 1 or seat["resuming"]:
        if seat["first"]:
            tell(stage="reading the source's content")
        said["identity"] = fingerprint.of(film, content=seat["first"])
    picture = film.picture
    tell(ready={
        **said,
        "frames": len(film.graph.timestamps),
        "seconds": float(picture.end - picture.start),
        "origin": float(film.source.origin),
        "size": [picture.width, picture.height],
        "spans": film.spans,
        "ffmpeg": film.tool.version,
        "engine": film.engine,
        "host": platform.node(),
    })  # fmt: skip


def obey(film: OpenFilm, order: dict[str, Any]) -> None:
    """Does what is ordered, and says so. `path` of an order is where the result is to be written."""
    begun = time.monotonic()
    film = replace(film, job=replace(film.job, temporary=order.get("path", film.job.temporary)))
    if order["do"] in ("whole", "join"):
        write_covers(film)
    if order["do"] == "whole":
        command = ffmpeg_command.command(
            replace(film.job, frame_threads=0), film.tool, film.source, film.plan, film.picture
        )
        with EncoderProcess(command, lambda size: tell(bytes=size)) as encoder:
            encoder.feed(lambda pipe: send(film, pipe, report=lambda n: tell(frame=n)), len(film.graph.timestamps))
        tell(done={})
    elif order["do"] == "join":
        join(film, [Part(**part) for part in order["parts"]])
        tell(done={})
    else:
        facts = render_chunk(film, (order["start"], order["end"]), Path(order["path"]))
        tell(done={"facts": asdict(facts), "seconds": time.monotonic() - begun})


def render_chunk(film: OpenFilm, span: tuple[int, int], path: Path) -> chunk_file.ChunkFacts:
    """Renders the frames of `span` into `path`, which is whole where it exists."""
    # Under a name of its own: an ffmpeg whose driver was killed may write its last moments later than we begin.
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    frames, engine = span[1] - span[0], list(film.engine)
    command = ffmpeg_command.chunk_command(film.job, film.tool, film.picture, str(part))
    try:
        with EncoderProcess(command, lambda size: tell(bytes=size)) as encoder:
            encoder.feed(lambda pipe: send(film, pipe, span, lambda n: tell(frame=n)), frames)
        if film.engine != engine:
            raise EngineChanged(f"{'; '.join(engine)} did not last: {'; '.join(film.engine[len(engine) :])}")
        facts = chunk_file.examine(part, frames)
        chunk_file.keep(part, path)
    finally:
        part.unlink(missing_ok=True)
    return facts


if __name__ == "__main__":
    sys.exit(main())
