"""Cuts, times, options and ledgers of films in chunks, without rendering any."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import footage
import pytest
from footage import facts

from vs_gansr.cli.common import CommandError
from vs_gansr.cli.upscale.chunks import concat
from vs_gansr.cli.upscale.chunks import file as chunk_file
from vs_gansr.cli.upscale.chunks.ledger import Ledger, busy, locked
from vs_gansr.cli.upscale.chunks.plan import pace, scene_changes, spans
from vs_gansr.cli.upscale.ffmpeg import options
from vs_gansr.cli.upscale.job import UpscaleJob
from vs_gansr.cli.upscale.source.media import probe
from vs_gansr.cli.upscale.workers.pool import cores_of

if sys.platform != "win32":
    import resource


def test_every_frame_is_in_one_chunk_and_chunks_are_about_as_long_as_asked() -> None:
    rng = random.Random(1)
    for _ in range(200):
        total, length = rng.randint(1, 2000), rng.randint(1, 300)
        made = spans(total, length, rng.sample(range(total), rng.randint(0, min(total, 20))))
        assert [n for a, b in made for n in range(a, b)] == list(range(total))
        assert all(0.75 * length - 1 <= b - a <= 1.25 * length + 1 for a, b in made[:-1])
        assert len(made) == 1 or 0.25 * length - 1 <= made[-1][1] - made[-1][0] <= 1.5 * length
    assert spans(100, 0) == ((0, 100),) and spans(150, 100) == ((0, 150),)
    assert spans(1000, 100, [130, 290, 301])[:3] == ((0, 100), (100, 200), (200, 301))
    assert spans(1000, 100, [110, 120])[0] == (0, 110)


def test_scene_changes_are_key_frames_that_came_early(tmp_path: Path) -> None:
    source = tmp_path / "in.mkv"
    still = "size=96x64:rate=25,trim=end_frame"
    parts = ["-f", "lavfi", "-i", f"rgbtestsrc={still}=33", "-f", "lavfi", "-i", f"smptebars={still}=40"]
    shape = "[0:v]format=yuv420p[a];[1:v]format=yuv420p[b];[a][b]concat=n=2"
    footage.ffmpeg(*parts, "-filter_complex", shape, "-c:v", "libx264", "-g", "20", "-bf", "2", source)
    found = probe(str(source))
    assert scene_changes(found, found.packets) == [33]


@pytest.mark.parametrize("delay", [0, 2, 4])
def test_packet_times_rise_and_none_is_shown_before_it_is_decoded(delay: int) -> None:
    rng = random.Random(delay)
    stamps = [0]
    for _ in range(99):
        stamps.append(stamps[-1] + rng.randint(1, 90))
    order: list[int] = []
    for start in range(0, 100, 20):  # five chunks, each in an order that its delay allows
        waiting = list(range(start, start + 20))
        while waiting:
            late = waiting[0] + delay <= len(order)
            order.append(waiting.pop(0 if late else rng.randint(0, min(delay, len(waiting) - 1))))
    assert max(n - frame for n, frame in enumerate(order)) <= delay
    times = [concat.packet_times(stamps, place, frame, delay) for place, frame in enumerate(order)]
    assert sorted(shown for shown, _, _ in times) == stamps
    assert all(a[1] < b[1] for a, b in pairwise(times)) and all(decoded <= shown for shown, decoded, _ in times)
    assert {shown: lasts for shown, _, lasts in times}[stamps[5]] == stamps[6] - stamps[5]


def parts_of(path: Path, count: int) -> list[concat.Part]:
    return [(path, chunk_file.examine(path, 5))] * count


def nobody(answer: object) -> None:
    """Hears what is told, and does nothing."""


@pytest.fixture
def five(tmp_path: Path) -> Path:
    """A chunk of five frames, with B-frames."""
    path = tmp_path / "chunk_file.mp4"
    footage.ffmpeg(*footage.picture(frames=5), *footage.H264, "-bf", "3", "-pix_fmt", "yuv420p", path)
    return path


def test_a_thousand_chunks_need_few_open_files(tmp_path: Path, five: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    here = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (here + 16, limits[1]))
    try:
        with (tmp_path / "joined.mp4").open("wb") as file:
            parts = parts_of(five, 1000)
            concat.write(file, Fraction(1, 1000), parts, range(0, 200_000, 40), parts[0][1].delay, nobody)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    with av.open(str(tmp_path / "joined.mp4")) as container:
        times = sorted(packet.pts for packet in chunk_file.packets(container))
    assert len(times) == 5000 and {b - a for a, b in pairwise(times)} == {40}
    assert facts(tmp_path / "joined.mp4").picture["frames"] == 5000


def test_a_chunk_that_is_not_whole_is_refused(five: Path) -> None:
    for frames, said in ((6, "holds 5 of 6 frames"), (4, "holds 5 of 4 frames")):
        with pytest.raises(CommandError, match=said):
            chunk_file.examine(five, frames)
    five.write_bytes(five.read_bytes()[:-200])
    with pytest.raises(CommandError, match="cannot be read back"):
        chunk_file.examine(five, 5)


def test_options_go_where_they_belong() -> None:
    words = ["-tune", "grain", "-metadata", "comment=x", "-c:a", "aac", "-g:v", "-1", "-movflags", "+faststart"]
    assert options.picture_options(words) == ["-tune", "grain", "-g:v", "-1"]
    assert options.file_options(words) == ["-metadata", "comment=x", "-c:a", "aac", "-movflags", "+faststart"]
    options.refuse_in_chunks(UpscaleJob("a", "b", extra=("-tune", "grain", "-b:a", "96k")), ["aq-mode=3"])
    for extra, params in ((("-maxrate", "1M"), []), ((), ["bitrate=900"]), ((), ["crf=18:zones=0,5,q=10"])):
        with pytest.raises(CommandError, match="--chunk 0"):
            options.refuse_in_chunks(UpscaleJob("a", "b", extra=extra), params)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"extra": ("-b:v", "1M")}, "-b:v is not allowed.*--params bitrate=N"),
        ({"extra": ("-pass", "1")}, "--: remove pass, because gansr encodes in one pass"),
        ({"extra": ("-x265-params", "pass=2")}, "-x265-params: remove pass"),
        ({"params": "bitrate=900:stats=x.log"}, "--params: remove stats"),
    ],
)
def test_bitrates_and_passes_that_an_encoder_would_ignore_or_fail_at(words: dict[str, Any], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        options.check(UpscaleJob("a", "b", **words))


def test_the_ledger_comes_back_as_it_was_and_counts_what_is_there(tmp_path: Path, five: Path) -> None:
    ledger = Ledger(tmp_path, {"engine": "x"})
    known = chunk_file.examine(five, 5)
    five.rename(ledger.path(0))
    ledger.record(0, known, 1.5)
    again = Ledger.load(tmp_path)
    assert again == ledger and again.missing(2) == [1] and again.sweep() == [] and again.sound(0)
    with pytest.raises(CommandError, match="chunks 0 and 1 have different encoder headers"):
        again.record(1, chunk_file.ChunkFacts(5, 1, "", "other", 0), 1)
    (tmp_path / "chunk-00001.mp4").write_text("nobody's")
    ledger.path(0).write_bytes(b"short")
    assert again.sweep() == [0] and Ledger.load(tmp_path).chunks == {} and not list(tmp_path.glob("chunk-*"))
    (tmp_path / "ledger.json").write_text("{")
    with pytest.raises(CommandError, match="--restart"):
        Ledger.load(tmp_path)


def test_a_folder_has_one_scheduler(tmp_path: Path) -> None:
    folder = tmp_path / "out.mkv.gansr"
    with locked(folder):
        assert busy(folder)
        with pytest.raises(CommandError, match="another gansr works in"), locked(folder):
            pass
    assert not busy(folder)


def test_rate_and_cores() -> None:
    def rate(stamps: Sequence[int], base: Fraction) -> Fraction:
        return pace(stamps, base)

    assert rate(range(0, 1001 * 100, 1001), Fraction(1, 24000)) == Fraction(24000, 1001)
    assert rate([0], Fraction(1, 1000)) == 25
    together = [core for place in range(2) for core in cores_of(place, 2)]
    assert len(together) == len(set(together)) > 0 and cores_of(0, 1) == ()
