"""Check a rendered chunk: whether its file is whole, what it holds, its digest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....common import files
from ...common import CommandError
from ..output_file import sync

__all__ = ["ChunkFacts", "digest", "display_order", "examine", "keep", "packets"]


# The sizes before x265's text, of its unit and of its message (user data, type 5, led by a UUID).
X265_SIZES = re.compile(rb"..\x4e\x01\x05\xff*.(.{16}x265 \(build )", re.DOTALL)
PROCESSOR = re.compile(rb"(cpuid|numa-pools)=[^ ]* ")


@dataclass(frozen=True)
class ChunkFacts:
    """What is recorded of a finished chunk.

    `frames` that it holds · `size` in bytes · `sha256` of the file · `header` SHA-256 of the codec's header
    (CodecPrivate), which all chunks of a film must share · `delay` by how many places a packet stands later in
    decoding order than in display order, at most
    """

    frames: int
    size: int
    sha256: str
    header: str
    delay: int


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def packets(container: Any) -> Iterator[Any]:
    """The picture's packets of an open file, in decoding order."""
    for packet in container.demux(container.streams.video[0]):
        if packet.size:
            yield packet


def header_of(stream: Any) -> str:
    """SHA-256 of the codec's header (CodecPrivate) of an open file's picture, without the processor it was made on.

    x265 writes its options into the header, and among them the processor's features and its threads, which change no
    picture; on Windows it counts these otherwise from one run to the next.
    """
    data: bytes = stream.codec_context.extradata or b""
    return hashlib.sha256(PROCESSOR.sub(b"", X265_SIZES.sub(rb"\1", data))).hexdigest()


def display_order(times: Sequence[int]) -> list[int]:
    """For each packet, given their display times in decoding order, its number in display order."""
    place = {time: n for n, time in enumerate(sorted(times))}
    return [place[time] for time in times]


def examine(path: Path, frames: int) -> ChunkFacts:
    """Reads a chunk whole and decodes its key frames.

    Raises CommandError where it has other than `frames` frames, or does not start with one that can be decoded.
    """
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            header = header_of(stream)
            stream.codec_context.skip_frame = "NONKEY"
            every, decoded = [], 0
            for packet in container.demux(stream):
                if packet.size:
                    every.append((packet.pts, packet.is_keyframe))
                decoded += len(packet.decode())
    except (av.error.FFmpegError, OSError, IndexError) as error:
        raise CommandError(f"{path} was written but cannot be read back ({error}); check the disk") from error
    times = [time for time, _ in every]
    if len(times) != frames or len(set(times)) != frames:
        raise CommandError(
            f"{path} holds {len(times)} of {frames} frames, but its encoder reported no error; run the command again"
        )
    if not every[0][1] or decoded < 1:
        raise CommandError(f"{path} does not start with a key frame that can be decoded")
    delay = max(n - shown for n, shown in enumerate(display_order(times)))
    return ChunkFacts(frames, path.stat().st_size, digest(path), header, delay)


def keep(temporary: Path, path: Path) -> None:
    """Gives a finished file its name, for good: what has that name is whole, even after a power cut."""
    sync(temporary)
    files.rename(temporary, path)
    sync(path.parent)
