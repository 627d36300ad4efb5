"""Every kind of source in support/wild.py becomes a film with its frames, times, colours and tracks."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import footage
import numpy as np
import numpy.typing as npt
import pytest
from gansr_process import Gansr, one_line
from wild import KINDS, Kind

FAST = ["--preset", "ultrafast", "--encoder", "x265", "--crf", "8"]
COLOURS = ("matrix", "primaries", "transfer", "range", "siting", "format", "sar")
MILLISECOND = Fraction(1, 1000)

type Draw = Callable[[str], Path]
type Shown = list[tuple[Fraction, npt.NDArray[np.float32]]]

each_kind = pytest.mark.parametrize("name", KINDS)


def upscaled(gansr: Gansr, source: Path, output: Path, model: Path, *words: str) -> str:
    """Runs the command; returns its notes."""
    done = gansr("upscale", source, output, "--model", model, *FAST, *words)
    assert done.returncode == 0, done.stderr
    said: str = done.stderr
    return said


def shown(path: Path) -> Shown:
    """When each frame is shown, in seconds, and its luma as stored, 0 to 1."""
    with av.open(str(path)) as container:
        return [
            (Fraction(f.pts * f.time_base) if f.pts is not None else Fraction(-1), luma(f)) for f in decoded(container)
        ]


def decoded(container: av.container.InputContainer) -> list[av.VideoFrame]:
    """All frames that can be decoded, by one thread, which gives what comes before a break."""
    frames, stream = [], container.streams.video[0]
    stream.thread_count = 1
    try:
        for frame in container.decode(stream):
            frames.append(frame)
    except av.error.InvalidDataError:  # a file that is cut off
        frames += stream.decode(None)
    return frames


def luma(frame: av.VideoFrame) -> npt.NDArray[np.float32]:
    if frame.format.is_rgb or frame.format.has_palette:
        frame = frame.reformat(format="yuv444p", dst_colorspace="SMPTE170M")
    plane, bits = frame.planes[0], frame.format.components[0].bits
    data = np.frombuffer(plane, np.uint8 if bits == 8 else np.uint16).reshape(frame.height, -1)
    return data[:, : frame.width].astype(np.float32) / ((1 << bits) - 1)


@pytest.mark.slow
@each_kind
def test_it_becomes_a_film(gansr: Gansr, drawn: Draw, tmp_path: Path, point_model: Path, name: str) -> None:
    kind, source, output = KINDS[name], drawn(name), tmp_path / "out.mkv"
    if kind.refused:
        words = [word for word in kind.words if not word.startswith(kind.words[0])][1:]
        refused = gansr("upscale", source, output, "--model", point_model, "-q", *words)
        assert refused.returncode == 1 and kind.refused in one_line(refused.stderr), refused.stderr
        assert kind.words[0] in refused.stderr, "the refusal does not name the way out"
    said = upscaled(gansr, source, output, point_model, *kind.words)
    assert kind.said in said
    after, pictures = footage.facts(output), shown(output)
    assert after.picture["size"] == (2 * kind.size[0], 2 * kind.size[1])
    assert not after.picture["interlaced"]
    if kind.readable:
        drawn_ones = shown(source)
        same_film(kind, drawn_ones, pictures)
        if "--accept-damage" not in kind.words:
            before = footage.facts(source)
            wanted = {key: before.picture[key] for key in COLOURS} | kind.expected
            assert {key: after.picture[key] for key in COLOURS} == {key: wanted[key] for key in COLOURS}
            same_tracks(kind, before, after, drawn_ones[0][0] - pictures[0][0])
    else:
        assert len(pictures) == kind.frames
        assert {key: after.picture[key] for key in kind.expected} == kind.expected


def same_film(kind: Kind, before: Shown, after: Shown) -> None:
    """As many frames, each at its time and, where the kind lets it, each the source's picture."""
    assert len(after) == (kind.frames or len(before))
    if not kind.frames:
        for (time, _), (other, _) in zip(before, after, strict=True):
            assert abs((time - before[0][0]) - (other - after[0][0])) <= 2 * MILLISECOND
    if kind.alike:
        for (_, source), (_, result) in zip(before, after, strict=True):
            small = result.reshape(result.shape[0] // 2, 2, -1, 2).mean(axis=(1, 3))
            source = np.rot90(source, kind.turned)[: small.shape[0], : small.shape[1]]
            assert np.abs(small - source).mean() < 0.02


def same_tracks(kind: Kind, before: footage.Facts, after: footage.Facts, moved: Fraction) -> None:
    """Every track but the picture, bit by bit, and `moved` as the picture was."""
    carried = [n for n in range(1, len(before.kinds)) if before.kinds[n] not in kind.lost]
    assert after.kinds[1:] == [before.kinds[n] for n in carried]
    assert after.content[1:] == [before.content[n] for n in carried]
    for n, m in zip(carried, range(1, len(after.kinds)), strict=True):
        if before.kinds[n] == "audio" and moved >= 0:
            assert abs(before.times[n][0] - after.times[m][0] - moved) < 3 * MILLISECOND, "out of step with the picture"


@pytest.mark.slow
@each_kind
def test_a_part_with_every_filter(gansr: Gansr, drawn: Draw, tmp_path: Path, point_model: Path, name: str) -> None:
    kind, output = KINDS[name], tmp_path / "out.mkv"
    words = ["--start", "0.01", "--frames", "2", "--denoise", "3", "--deband", "1", "--grain", "1", "--depth", "10"]
    upscaled(gansr, drawn(name), output, point_model, *kind.words, *words)
    after = footage.facts(output)
    assert after.picture["frames"] == (4 if "bob" in kind.words else 2)
    assert after.picture["format"] in ("yuv420p10le", "yuv422p10le", "yuv444p10le")
    for key in ("matrix", "primaries", "transfer", "sar"):
        if key in kind.expected:
            assert after.picture[key] == kind.expected[key], key
    for track in after.of("audio"):
        assert abs(after.ends[track] - after.ends[0]) < Fraction(1, 10), "the sound is not cut with the picture"


@pytest.mark.slow
@each_kind
def test_it_can_be_looked_at_first(gansr: Gansr, drawn: Draw, tmp_path: Path, point_model: Path, name: str) -> None:
    kind, source, output = KINDS[name], drawn(name), tmp_path / "out.mkv"
    width, height = (2 * side for side in kind.size)
    upscaled(gansr, source, output, point_model, *kind.words, "--stills", "1")
    stills = sorted(tmp_path.glob("out.frame*.png"))
    assert [path.suffixes[-2] for path in stills] == [".100", ".300"]
    (whole,) = (luma(f) for f in decoded_file(stills[0]))
    left, right = whole[:, :width], whole[:, width:]
    assert whole.shape == (height, 2 * width) and np.abs(left - right).mean() < 0.06, "not the same moment"
    assert np.ptp(whole) > 0.5, "a picture of nothing"
    upscaled(gansr, source, output, point_model, *kind.words, "--test", "0.1", "--compare")
    wiped = shown(output)
    assert 1 <= len(wiped) <= 8 and wiped[0][1].shape == (height, width)


def decoded_file(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return decoded(container)
