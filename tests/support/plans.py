"""Plans of films, without any film."""

from __future__ import annotations

from fractions import Fraction

from vs_gansr.cli.upscale.chunks.plan import Plan, Span
from vs_gansr.cli.upscale.ffmpeg.command import Carried, Picture
from vs_gansr.cli.upscale.job import UpscaleJob
from vs_gansr.cli.upscale.source.media import Source, Track
from vs_gansr.filter.computed import Computed

__all__ = ["plan"]


def plan(frames: int = 10, spans: tuple[Span, ...] = ((0, 5), (5, 10)), job: UpscaleJob | None = None) -> Plan:
    """A film of `frames` frames of 40 ms, two chunks unless `spans` says otherwise."""
    track = Track(0, "video", "h264", "", False, ("default",), (("language", "eng"),))
    cover = Track(2, "video", "png", "", True, ("attached_pic",), ())
    length = Fraction(frames, 25)
    source = Source(
        "in.mkv", track, (cover,), (96, 64), Fraction(16, 11), Fraction(1, 3), Fraction(1, 1000), (), 40, length, None,
        section=(Fraction(1, 3), Fraction(2)), beside=frozenset({"AFD", "icc_profile"}), shapes=((0, Fraction(1)),),
    )  # fmt: skip
    props = {"_Matrix": 1, "MasteringDisplayPrimariesX": [0.68, 0.265, 0.15]}
    picture = Picture(192, 128, "yuv420p", Fraction(16, 11), props, Fraction(0), length - Fraction(1, 25), length)
    return Plan(
        job=job or UpscaleJob("in.mkv", "out.mkv", crf=20.5, tilesize=(64, 64), drop=("cover",), range=0),
        source=source,
        carried=Carried(((track, "copy"),), (), (cover,)),
        script="clip = core.std.BlankClip()",
        picture=picture,
        timestamps=tuple(range(0, 40 * frames, 40)),
        time_base=Fraction(1, 1000),
        rate=Fraction(25),
        spans=spans,
        encoder=("-c:0", "libx265"),
        engine=(Computed("net", "int8", "CPU", 0, "plain", True),),
        ffmpeg="7.1",
        fingerprint={"--crf": "20.5"},
    )
