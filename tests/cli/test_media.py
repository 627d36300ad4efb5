"""Timing and damage checks accept and refuse files by their packets' numbers alone."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from vs_gansr.cli.common import CommandError
from vs_gansr.cli.upscale.chunks.planner import remarks
from vs_gansr.cli.upscale.ffmpeg.command import colours, light_params
from vs_gansr.cli.upscale.job import UpscaleJob
from vs_gansr.cli.upscale.script.steps import Graph, Literal, Step, steady, text
from vs_gansr.cli.upscale.source.media import Source, Track, damage
from vs_gansr.cli.upscale.source.times import NO_TIME, FrameTimes


def source(packets: list[int], promised: Fraction | None = None, size: tuple[int, int] = (64, 64)) -> Source:
    """A file whose picture track has these packets, in milliseconds."""
    return Source(
        path="in.mkv",
        video=Track(0, "video", "h264", "", False, (), ()),
        others=(),
        size=size,
        sar=Fraction(1),
        origin=Fraction(0),
        time_base=Fraction(1, 1000),
        packets=tuple(packets),
        last=40,
        reached=Fraction(packets[-1] + 40, 1000),
        promised=promised,
        over=Fraction(packets[-1] + 40, 1000),
    )


STEADY = list(range(0, 400, 40))


@pytest.mark.parametrize(
    ("packets", "frames", "harm"),
    [
        (STEADY, STEADY, None),
        (STEADY, [t for t in STEADY if t not in (160, 200)], "2 of 10 frames cannot be decoded, the first at 0.16 s"),
        (STEADY, STEADY[:-1], "1 of 10 frames cannot be decoded, the first at 0.36 s"),
        (STEADY, STEADY[3:], None),  # leading frames of an open group of pictures
        (list(range(0, 400, 20)), STEADY, None),  # a packet for each field
        (sorted([*STEADY, 161, 321]), STEADY, None),  # hidden frames of VP8
        ([0, 40, 80, 2000, 2040], [0, 40, 80, 2000, 2040], None),  # a gap without packets: variable rate
        (STEADY, [], "no frame can be decoded"),
    ],
)
def test_lost_frames_are_told_from_packets_without_one(packets: list[int], frames: list[int], harm: str | None) -> None:
    assert damage(source(packets), frames) == harm


def test_a_file_shorter_than_it_says() -> None:
    assert damage(source(STEADY, promised=Fraction(4, 10)), STEADY) is None
    harm = damage(source(STEADY, promised=Fraction(10)), STEADY)
    assert harm == "it ends after 0.4 s, its header promises 10.0 s"
    subtitled = replace(source(STEADY, promised=Fraction(10)), over=Fraction(10))
    assert damage(subtitled, STEADY) is None
    assert damage(replace(subtitled, cut_short=True), STEADY) == harm


def test_packets_that_repeat_a_picture_are_not_missing() -> None:
    frames = [time for time in STEADY if time not in (160, 200)]
    assert damage(replace(source(STEADY), hollow=frozenset({160, 200})), frames) is None


@pytest.mark.parametrize(
    ("stamps", "filled"),
    [
        ([0, 40, 81, 300], [0, 40, 81, 300]),
        ([NO_TIME, 2, 3, NO_TIME, 5, NO_TIME], [1, 2, 3, 4, 5, 6]),
        ([7], [7]),
    ],
)
def test_times_that_can_be_trusted(stamps: list[int], filled: list[int]) -> None:
    assert list(steady(stamps, "in.avi")) == filled


@pytest.mark.parametrize(
    ("stamps", "said"),
    [
        ([NO_TIME, NO_TIME], "carries no timestamps"),
        ([NO_TIME], "carries no timestamps"),
        ([0, NO_TIME, 3, 4], "1 of 4 frames without a timestamp"),
        ([0, NO_TIME, 3], "1 of 3 frames without a timestamp"),
        ([0, 40, 40], "frame 2 is not later than frame 1"),
        ([0, 80, 40], "frame 2 is not later than frame 1"),
    ],
)
def test_times_that_cannot(stamps: list[int], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        steady(stamps, "in.mkv")


@pytest.mark.parametrize(
    ("props", "filters", "options"),
    [
        ({}, "range=1", ["-color_range:0", "1"]),
        ({"_Range": 1}, "range=2", ["-color_range:0", "2"]),
        (
            {"_Matrix": 9, "_Primaries": 2, "_Transfer": 16, "_Range": 0, "_ChromaLocation": 2},
            "colorspace=9:color_trc=16:range=1",
            ["-colorspace:0", "9", "-color_trc:0", "16", "-color_range:0", "1", "-chroma_sample_location:0", "3"],
        ),
    ],
)
def test_colour_tags_for_ffmpeg(props: dict[str, Any], filters: str, options: list[str]) -> None:
    assert colours(props) == (filters, options)


def test_light_level_without_mastering_display() -> None:
    props = {"ContentLightLevelMax": 800}
    assert light_params("x265", props) == "max-cll=800,0"
    assert light_params("svt-av1", props) == "content-light=800,0"
    assert light_params("x264", {}) == ""


def test_remarks_name_what_is_left_behind() -> None:
    size = (64, 64)
    graph = Graph(None, None, (), decoded_size=size, source_size=size, times=FrameTimes((0,), Fraction(1)))
    job = UpscaleJob("in.mkv", "out.mkv")
    assert remarks(job, source(STEADY), graph, {}) == []
    said = remarks(job, source(STEADY, size=(65, 65)), graph, {"HDR10Plus": b"x", "DolbyVisionRPU": b"x"})
    assert [any(word in line for line in said) for word in ("65x65 is cut to 64x64", "HDR10+", "Dolby Vision")] == [
        True
    ] * 3


def test_a_script_quotes_what_needs_it() -> None:
    steps = (
        Step("bs.VideoSource", (("source", "/a 'b'\\c.mkv"), ("track", 1))),
        Step("gansr.Upscale", (("tilesize", [64, 32]), ("format", Literal("vs.YUV420P10")))),
    )
    lines = text(steps).splitlines()
    assert lines[4] == "clip = core.bs.VideoSource(source=\"/a 'b'\\\\c.mkv\", track=1)"
    assert lines[5] == "clip = core.gansr.Upscale(clip, tilesize=[64, 32], format=vs.YUV420P10)"
    compile(text(steps), "clip.vpy", "exec")


def test_a_job_says_what_is_passed_on() -> None:
    job = UpscaleJob(source="a", output="b", tilesize=(64, 64), drop=("cover",), crf=20.5)
    assert job.upscale_arguments() == {"tilesize": [64, 64]}


def test_a_script_for_workers_leaves_open_what_differs_between_machines() -> None:
    steps = (
        Step("bs.VideoSource", (("source", "/films/in.mkv"), ("track", 1))),
        Step("gansr.Upscale", (("model", "net"), ("device_id", 1), ("num_streams", 2))),
    )
    lines = text(steps, placed=True, plain_at=1).splitlines()
    assert lines[4:7] == [
        "clip = core.bs.VideoSource(source=source, track=1, cachepath=index)",
        "plain = clip",
        "clip = core.gansr.Upscale(clip, model='net', **placement)",
    ]
