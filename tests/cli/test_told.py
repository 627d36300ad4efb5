"""Side data of a file is applied, carried or named in a note; unreadable data is refused."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import footage
import numpy as np
import numpy.typing as npt
import pytest
import told
from footage import H264, facts, ffmpeg
from gansr_process import Gansr, one_line

from vs_gansr.cli.upscale.source.media import probe
from vs_gansr.cli.upscale.source.stream import UPRIGHT, Orientation, of_matrix
from vs_gansr.cli.upscale.source.times import later

AS_IS = ["--as-is", "--preset", "ultrafast", "--encoder", "x264", "--crf", "8"]

type Luma = npt.NDArray[np.float32]


def luma(path: Path, number: int = 0) -> Luma:
    """A frame's luma as coded."""
    with av.open(str(path)) as film:
        frame = next(frame for n, frame in enumerate(film.decode(video=0)) if n == number)
        plane = frame.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        return rows[: frame.height, : frame.width].astype(np.float32)


def shown(path: Path) -> Luma:
    """The first frame's luma as ffmpeg shows it: upright, and without what the container crops."""
    whole = path.with_name("shown.mkv")
    ffmpeg("-i", path, "-frames:v", "1", "-pix_fmt", "yuv420p", "-c:v", "ffv1", whole)
    return luma(whole)


def rendered(gansr: Gansr, source: Path, *words: str) -> tuple[Path, str]:
    """The result, and what was said."""
    output = source.parent / "out.mkv"
    done = gansr("upscale", source, output, "-y", *AS_IS, *words)
    assert done.returncode == 0, done.stderr
    return output, done.stderr


@pytest.mark.parametrize(
    ("file", "how"),
    [("in.mp4", "rotate=90"), ("in.mkv", "flip=horizontal"), ("in.ts", "rotate=270:flip=vertical")],
)
def test_a_picture_that_its_frames_turn_is_upright(gansr: Gansr, tmp_path: Path, file: str, how: str) -> None:
    plain = told.pictured(tmp_path / "plain.mp4", "-vf", "setsar=4/3", *H264)
    source = tmp_path / file
    ffmpeg("-i", plain, "-c", "copy", "-bsf:v", f"h264_metadata=display_orientation=insert:{how}", source)
    output, _ = rendered(gansr, source)
    assert np.abs(luma(output) - shown(source)).mean() < 3
    sideways = "rotate" in how
    assert facts(output).picture["sar"] == (Fraction(3, 4) if sideways else Fraction(4, 3))


@pytest.mark.parametrize("orientation", [3, 5, 6])
def test_images_are_upright(gansr: Gansr, tmp_path: Path, orientation: int) -> None:
    pattern = tmp_path / "im%03d.jpg"
    ffmpeg(*footage.picture(frames=3), "-q:v", "2", pattern)
    for image in tmp_path.glob("im*.jpg"):
        told.exif(image, orientation)
    output, said = rendered(gansr, pattern, "--fps", "25")
    assert np.abs(luma(output) - (shown(tmp_path / "im001.jpg") - 16) * 255 / 219).mean() < 6
    assert said.count("not carried of the source: EXIF data") == 1
    ffmpeg(*footage.picture(frames=1), "-q:v", "2", "-update", "1", tmp_path / "im003.jpg")
    refused = gansr("upscale", pattern, tmp_path / "no.mkv", "--fps", "25", "-q", *AS_IS)
    assert refused.returncode == 1 and "images are turned in different ways" in one_line(refused.stderr)


@pytest.mark.parametrize("by", ["container", "frames"])
def test_a_turn_that_is_not_by_quarters_is_noted(gansr: Gansr, tmp_path: Path, by: str) -> None:
    plain, source = told.pictured(tmp_path / "plain.mp4"), tmp_path / "in.mp4"
    if by == "container":
        ffmpeg("-display_rotation", "45", "-i", plain, "-c", "copy", source)
    else:
        ffmpeg("-i", plain, "-c", "copy", "-bsf:v", "h264_metadata=display_orientation=insert:rotate=45", source)
    output, said = rendered(gansr, source)
    assert "is to be turned by 45 degrees to the left, which is not done" in said
    assert np.abs(luma(output) - luma(plain)).mean() < 3


def test_a_matrix_is_read_as_ffmpeg_reads_it() -> None:
    def matrix(a: int, b: int, c: int, d: int) -> bytes:
        return np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], np.int32).tobytes()

    one = 1 << 16
    assert of_matrix(matrix(one, 0, 0, one)) == UPRIGHT
    assert of_matrix(matrix(0, one, -one, 0)).calls == ("Turn90",)
    assert of_matrix(matrix(-one, 0, 0, -one)).calls == ("Turn180",)
    assert of_matrix(matrix(-one, 0, 0, one)).calls == ("FlipHorizontal",)
    assert of_matrix(matrix(one, 0, 0, -one)).calls == ("FlipVertical",)
    assert of_matrix(matrix(0, one, one, 0)) == Orientation(flipped=True, degrees=90)
    assert of_matrix(matrix(0, 0, 0, 0)) == UPRIGHT


def test_what_a_container_crops_does_not_come_back(gansr: Gansr, tmp_path: Path) -> None:
    source = told.cropped(tmp_path / "in.mkv", 8, 16)
    output, said = rendered(gansr, source)
    assert "the container crops the picture by 8 above, 16 below, 0 left and 0 right: 96x64 becomes 96x40" in said
    assert np.abs(luma(output) - luma(source)[8:48]).mean() < 3
    odd = told.cropped(tmp_path / "odd.mkv", 7, 1)
    assert "96x64 becomes 96x58" in rendered(gansr, odd)[1], "chroma has every other row"


@pytest.mark.parametrize("file", ["in.ts", "in.mkv"])
def test_a_shape_of_pixels_that_changes_is_noted(gansr: Gansr, tmp_path: Path, file: str) -> None:
    parts = [told.pictured(tmp_path / f"{n}.ts", "-vf", f"setsar={sar}", *H264) for n, sar in enumerate(("4/3", "1"))]
    ffmpeg("-i", f"concat:{parts[0]}|{parts[1]}", "-c", "copy", tmp_path / file)
    said = rendered(gansr, tmp_path / file)[1]
    assert said.count("change of sample aspect ratio from 4:3 to 1:1 at 0.") == 1, said
    assert "change of " not in rendered(gansr, tmp_path / file, "--sar", "1:1")[1]


def transparent(path: Path) -> Path:
    grey = ["-f", "lavfi", "-i", "color=red@0.5:size=96x64:rate=25:duration=0.4,format=yuva420p"]
    ffmpeg(*grey, "-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-deadline", "realtime", path)
    return path


@pytest.mark.parametrize(
    ("file", "draw", "what"),
    [
        ("in.mp4", told.spherical, "360-degree projection"),
        ("in.mp4", told.captioned, "closed captions inside the picture's stream (CEA-608 or 708)"),
        ("in.mkv", lambda path: told.captioned(path, 7), "closed captions inside the picture's stream"),
        ("in.webm", transparent, "alpha plane (transparency) is not carried"),
    ],
)
def test_what_is_lost_is_noted_once(gansr: Gansr, tmp_path: Path, file: str, draw: object, what: str) -> None:
    assert callable(draw)
    draw(tmp_path / file)
    output, said = rendered(gansr, tmp_path / file)
    notes = [line for line in said.splitlines() if line.startswith("note: ") and "carried" in line]
    assert len(notes) == 1 and what in notes[0], said
    assert "alpha_mode" not in facts(output).tags[0]


def test_nothing_is_noted_where_nothing_is_lost(gansr: Gansr, tmp_path: Path) -> None:
    source = told.pictured(tmp_path / "in.mkv", "-c:v", "mpeg2video", "-bf", "2")
    assert "carried" not in rendered(gansr, source)[1]


@pytest.mark.parametrize(("file", "output"), [("in.mov", "out.mov"), ("in.mp4", "out.mp4"), ("in.mov", "out.mkv")])
def test_quicktimes_keys_are_carried(gansr: Gansr, tmp_path: Path, file: str, output: str) -> None:
    keys = ["-metadata", "com.apple.quicktime.make=Apple", "-metadata", "com.apple.quicktime.location.ISO6709=+10+20/"]
    told.pictured(tmp_path / file, *H264, "-movflags", "use_metadata_tags", *keys, "-metadata", "title=A film")
    done = gansr("upscale", tmp_path / file, tmp_path / output, "-q", *AS_IS, "--", "-movflags", "+faststart")
    assert (done.returncode, done.stderr) == (0, "")
    after = facts(tmp_path / output).metadata
    assert after["com.apple.quicktime.make"] == "Apple" and after["title"] == "A film"
    assert after["com.apple.quicktime.location.iso6709"] == "+10+20/"


def test_tags_that_have_no_place_are_named(gansr: Gansr, tmp_path: Path) -> None:
    source = told.pictured(tmp_path / "in.mkv", *H264, "-metadata", "director=D", "-metadata", "title=A film")
    done = gansr("upscale", source, tmp_path / "out.mp4", *AS_IS)
    assert "note: tags that .mp4 does not know are not carried: director" in done.stderr
    assert facts(tmp_path / "out.mp4").metadata["title"] == "A film"
    assert "does not know" not in rendered(gansr, source)[1]


@pytest.mark.parametrize("output", ["out.mov", "out.mkv"])
def test_a_part_begins_with_its_own_time_code(gansr: Gansr, tmp_path: Path, output: str) -> None:
    source = told.pictured(tmp_path / "in.mov", *H264, "-timecode", "01:00:00:10", frames=30)
    done = gansr("upscale", source, tmp_path / output, *AS_IS, "--start", "0.8")
    assert done.returncode == 0, done.stderr
    assert facts(tmp_path / output).tags[0]["timecode"] == "01:00:01:05"
    assert "not carried" not in done.stderr


def test_time_codes_are_counted_on() -> None:
    ntsc = Fraction(30000, 1001)
    assert later("00:00:59;29", 1, ntsc) == "00:01:00;02"
    assert later("00:09:59;29", 1, ntsc) == "00:10:00;00"
    assert later("00:00:00;00", 107892, ntsc) == "01:00:00;00"
    assert later("23:59:59:24", 1, Fraction(25)) == "00:00:00:00"
    assert later("00:00:59;59", 1, 2 * ntsc) == "00:01:00;04"
    assert later("01:00:00:10", 0, Fraction(25), Fraction(2)) == "01:00:00:20"
    assert later("no code", 5, Fraction(25)) == "no code"


def unreadable(path: Path) -> Path:
    """A file of a codec that nobody knows, or an encrypted one, by its name."""
    codec = ["-c:v", "ffv1"] if path.suffix == ".avi" else H264
    plain = told.pictured(path.with_name(f"plain{path.suffix}"), *codec)
    if path.stem == "drm":
        scheme = ["-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "76a6c65c5ea762046bd749a2e632ccbb"]
        ffmpeg("-i", plain, "-c", "copy", *scheme, "-encryption_kid", "a7e61c373e219033c21091fa607bf3b8", path)
    elif path.stem == "webmdrm":
        ffmpeg("-i", plain, "-c", "copy", "-metadata:s:v", "enc_key_id=c2VjcmV0", path)
    else:
        data = plain.read_bytes().replace(b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/AVQ").replace(b"avc1", path.stem.encode())
        path.write_bytes(data.replace(b"FFV1", b"QQQQ"))
    return path


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("drm.mp4", "video track 0 (h264, und) is encrypted (DRM)"),
        ("webmdrm.mkv", "video track 0 (h264) is encrypted (DRM)"),
        ("encv.mp4", "no decoder is installed for video track 0"),
        ("in.mkv", "no decoder is installed for video track 0"),
        ("in.avi", "no decoder is installed for video track 0"),
        ("in.jxl", "no decoder is installed for video track 0"),
    ],
)
def test_what_cannot_be_decoded_is_told(gansr: Gansr, tmp_path: Path, file: str, said: str) -> None:
    path = tmp_path / file
    if file == "in.jxl":
        path.write_bytes(b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl ")
    else:
        unreadable(path)
    refused = gansr("upscale", path, tmp_path / "out.mkv", "-q", *AS_IS)
    assert refused.returncode == 1 and said in one_line(refused.stderr)


def test_the_header_says_what_a_picture_is_cropped_by(tmp_path: Path) -> None:
    assert probe(str(told.cropped(tmp_path / "in.mkv", 3, 5))).crop == (3, 5, 0, 0)
