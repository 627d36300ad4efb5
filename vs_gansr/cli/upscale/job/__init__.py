"""The arguments of one `gansr upscale` as data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....filter.settings import given

__all__ = ["NUMBERED", "UpscaleJob"]

NUMBERED = re.compile(r"%0?\d*d")  # the place of the number in the names of images


@dataclass(frozen=True)
class UpscaleJob:
    """The arguments of `gansr upscale`.

    `source` and `output` are absolute · `width` and `height` of the result, 0 for the network's own · `depth` 8 or 10,
    0 to follow the source · `chroma` "420", "422" or "444", empty to follow the source · `drop` kinds of tracks left
    out · `extra` options for ffmpeg as they are · `chunk` seconds that are rendered at a time, 0 for all at once ·
    `frame_threads` of x264 or x265 in chunks, 0 to leave them to the encoder · `start`, `end` and `test` seconds,
    `frames` a number of the source's · `compare` wipes between source and result · `tracks` the file that sound and the
    rest come from where `source` is a script or images, `fps` their rate · `arg` variables for a script, "NAME=VALUE"
    each · `as_is` leaves the network out · `matrix`, `primaries`, `transfer` (H.273) and `range` (0 limited, 1 full)
    replace the source's, None keeps them; `sar` too, "16/11" · `field`, `denoise`, `deband`, `grain` as filters.py has
    them. The rest are arguments of core.gansr.Upscale; None leaves them to the plugin.
    """

    source: str
    output: str
    encoder: str = "x265"
    crf: float | None = None
    preset: str | None = None
    params: str = ""
    extra: tuple[str, ...] = ()
    ffmpeg: str | None = None
    width: int = 0
    height: int = 0
    depth: int = 0
    chroma: str = ""
    drop: tuple[str, ...] = ()
    accept_damage: bool = False
    chunk: float = 20.0
    frame_threads: int = 0
    start: float = 0.0
    end: float | None = None
    frames: int = 0
    test: float = 0.0
    compare: bool = False
    tracks: str | None = None
    fps: str | None = None
    arg: tuple[str, ...] = ()
    as_is: bool = False
    matrix: int | None = None
    primaries: int | None = None
    transfer: int | None = None
    range: int | None = None
    sar: str | None = None
    field: str = ""
    denoise: float = 0.0
    deband: float = 0.0
    grain: float = 0.0
    model: str | None = None
    provider: str | None = None
    device_id: int | None = None
    precision: str | None = None
    num_streams: int | None = None
    tilesize: tuple[int, ...] | None = None
    overlap: tuple[int, ...] | None = None
    memory: int | None = None
    strength: float | None = None
    texture: float | None = None
    clamp: int | None = None
    source_grain: float | None = None

    @property
    def is_script(self) -> bool:
        """Whether the source is a VapourSynth script."""
        return self.source.lower().endswith((".vpy", ".py"))

    @property
    def is_numbered(self) -> bool:
        """Whether the source is a pattern of numbered images, as in frames/%05d.png, and no file of that very name."""
        return bool(NUMBERED.search(Path(self.source).name)) and not Path(self.source).is_file()

    @property
    def has_times(self) -> bool:
        """Whether the source says itself when each frame is shown."""
        return not self.is_script and not self.is_numbered

    def upscale_arguments(self) -> dict[str, Any]:
        """What is passed on to core.gansr.Upscale."""
        values = vars(self) | {"grain": self.source_grain}  # the job's own `grain` is new grain, by another plugin
        return {name: list(v) if isinstance(v, tuple) else v for name, v in given(values).items()}
