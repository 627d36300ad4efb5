"""Real footage in eight chunks: one process and two Ray workers render the same film."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import footage
import pytest
import ray_cluster
from encodes import KEPT, frame_hashes, same_times
from footage import facts
from gansr_process import Gansr

CLIPS = ["eval/clips/bbb_meadow.mp4", "eval/clips/blocks.mp4", "train/video/coffee.mp4", "eval/clips/juggle.mp4"]
SECONDS, RATE, SIZE = 24, 25, "128:72"
CHAPTERS = ";FFMETADATA1\ntitle=A film\n" + "".join(
    f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={n * 8000 + 17}\nEND={n * 8000 + 8017}\ntitle=Part {n}\n" for n in range(3)
)
X264 = ["-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-x264-params", "open-gop=1:keyint=50"]
X265 = ["-c:v", "libx265", "-preset", "ultrafast", "-bf", "3", "-x265-params"]
LIGHT = (
    f"log-level=none:hdr10=1:repeat-headers=1:chromaloc=2:master-display={footage.MASTERING}:max-cll={footage.LIGHT}"
)


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Path:
    """Shots of CLIPS again and again, small and lossless, with the sound of the first, which starts late; chapters."""
    folder = tmp_path_factory.mktemp("shots")
    words: list[str | Path] = []
    for clip in CLIPS:
        words += ["-i", shared / "data" / clip]
    (folder / "chapters.txt").write_text(CHAPTERS)
    words += ["-stream_loop", "-1", "-itsoffset", "0.24", "-i", shared / "data" / CLIPS[0]]
    words += ["-i", folder / "chapters.txt"]
    shape = f"scale={SIZE}:force_original_aspect_ratio=increase,crop={SIZE},fps={RATE},setsar=1,format=yuv420p"
    graph = ";".join(f"[{n}:v]{shape}[v{n}]" for n in range(len(CLIPS)))
    graph += ";" + "".join(f"[v{n}]" for n in range(len(CLIPS))) + f"concat=n={len(CLIPS)}"
    graph += f",loop=-1:32767,trim=end_frame={SECONDS * RATE}[v]"
    sound, chapters = len(CLIPS), str(len(CLIPS) + 1)
    maps = ["-map", "[v]", "-map", f"{sound}:a", "-map_metadata", chapters, "-map_chapters", chapters]
    end = ["-c:a", "aac", "-ac", "2", "-t", str(SECONDS), *footage.H264, "-qp", "0"]
    footage.ffmpeg(*words, "-filter_complex", graph, *maps, *end, folder / "shots.mkv")
    return folder / "shots.mkv"


def film_of(shots: Path, path: Path, kind: str) -> Path:
    """The shots as a film of one kind, with B-frames and open GOPs."""
    pick = ["select='not(mod(n,3))+gt(mod(n,200),90)'"] if kind == "variable" else []
    bt709 = ["setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"]
    tags = ["format=yuv420p10le", footage.PQ] if kind == "10 bit" else bt709
    encoder = [*X265, LIGHT] if kind == "10 bit" else X264
    footage.ffmpeg("-i", shots, "-vf", ",".join([*pick, *tags]), "-fps_mode", "vfr", *encoder, "-c:a", "copy", path)
    if kind == "open start":  # in the middle of a GOP, whose first packets have no frames
        data = path.read_bytes()
        path.write_bytes(data[len(data) // SECONDS // 188 * 188 :])
    return path


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    made = ray_cluster.start()
    yield made.address
    made.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("kind", ["constant", "variable", "10 bit", "open start"])
def test_one_process_and_two_workers_on_ray_make_the_film(
    gansr: Gansr, tmp_path: Path, shots: Path, kind: str, cluster: str
) -> None:
    source = film_of(shots, tmp_path / ("in.ts" if kind == "open start" else "in.mkv"), kind)
    words = ["--model", "fast-2x", "--preset", "ultrafast", "--chunk", f"{SECONDS / 8}", "--accept-damage"]
    for name, more in (("one", []), ("two", ["--cluster", cluster, "--workers", "2"])):
        done = gansr("upscale", source, tmp_path / f"{name}.mkv", *words, *more, "--progress", "json", timeout=1400)
        assert done.returncode == 0, done.stderr
        assert len(json.loads(done.stdout.splitlines()[-1])["chunk_seconds"]) in (7, 8, 9)
    assert frame_hashes(tmp_path / "one.mkv") == frame_hashes(tmp_path / "two.mkv")
    before, one, two = facts(source), facts(tmp_path / "one.mkv"), facts(tmp_path / "two.mkv")
    assert one.times == two.times and one.ends == two.ends and one.content == two.content
    assert one.picture == two.picture and one.chapters == two.chapters == before.chapters
    assert one.content[1] == before.content[1] or kind == "open start"  # ADTS loses its headers in Matroska
    assert len(one.times[1]) == len(before.times[1])
    if kind == "open start":  # of its packets that have no frames only those after the first key frame are here
        assert one.picture["frames"] <= before.picture["frames"]
        sound = [
            abs((b - one.times[1][0]) - (a - before.times[1][0]))
            for a, b in zip(before.times[1], one.times[1], strict=True)
        ]
        assert max(sound) <= 0.002
    else:
        same_times(before, one, 0, 0, False)
        same_times(before, one, 1, 1, False)
        assert len(before.chapters) == 3
        assert {key: one.picture[key] for key in KEPT} == {key: before.picture[key] for key in KEPT}
        assert one.picture["light"] == before.picture["light"] and bool(one.picture["light"]) == (kind == "10 bit")
