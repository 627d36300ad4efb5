"""Call other people's plugins beside the network: fields, noise, bands, grain; and find what that does to times.

Each is a Step (steps.py) of one well-kept plugin, off unless asked for, and named in the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...common import CommandError

__all__ = ["FIELDS", "after", "before", "fields", "named", "shown", "used"]

FIELDS = ("progressive", "deinterlace", "bob", "ivtc")
PACKAGES = {
    "bwdif": "vapoursynth-bwdif",
    "vivtc": "vapoursynth-vivtc",
    "zsmooth": "vapoursynth-zsmooth",
    "vszip": "vapoursynth-vszip",
}
CYCLE = 5  # of every so many frames of telecined film, one is left out

type Call = tuple[str, dict[str, Any]]
"""A plugin's function and its arguments besides the clip."""


def fields(field: str, top_first: bool) -> list[Call]:
    """The calls that make progressive frames as `field` (one of FIELDS, or "") says."""
    if field == "progressive":
        return [("std.SetFieldBased", {"value": 0})]
    if field in ("deinterlace", "bob"):
        return [("bwdif.Bwdif", {"field": int(top_first) + (2 if field == "bob" else 0)})]
    if field == "ivtc":
        return [("vivtc.VFM", {"order": int(top_first)}), ("vivtc.VDecimate", {"cycle": CYCLE})]
    return []


def before(denoise: float) -> list[Call]:
    """What comes before the network: noise, which it would sharpen, smoothed where neighbours are within `denoise`
    codes of 8 bits, in space and time."""
    if not denoise:
        return []
    return [("zsmooth.FluxSmoothST", {"temporal_threshold": denoise, "spatial_threshold": denoise, "scalep": 1})]


def after(deband: float, grain: float) -> list[Call]:
    """What comes after the network, at 16 bits: bands of less than `deband` codes of 8 bits dissolved, and grain of
    strength `grain` on luma, which changes from frame to frame."""
    calls: list[Call] = []
    if deband:
        calls.append(("vszip.Deband", {"thr": deband, "grain": 0.0}))
    if grain:
        calls.append(("vszip.Deband", {"thr": 0.0, "grain": [grain, 0.0], "dynamic_grain": 1}))
    return calls


def used(core: Any, function: str) -> Any:
    """The plugin's function. Raises CommandError, naming the package, where the plugin is not installed."""
    namespace, name = function.split(".")
    plugin = getattr(core, namespace, None)
    if plugin is None:
        package = PACKAGES.get(namespace, namespace)
        raise CommandError(f'core.{function} is not installed; run: pip install {package}, or "vs-gansr[filters]"')
    return getattr(plugin, name)


def named(functions: Iterable[str]) -> list[str]:
    """Each plugin's function among `functions`, with the package that it comes from, for the log."""
    spaces = ((function, function.split(".")[0]) for function in dict.fromkeys(functions))
    return [f"{function} of {PACKAGES[space]}" for function, space in spaces if space in PACKAGES]


def shown(stamps: Sequence[int], field: str) -> tuple[tuple[int, ...], int]:
    """When the frames that `field` makes of frames at `stamps` are shown, and what their time base is divided by.

    No time is rounded: frames that lie between two of the source's are at exact halves or quarters of the way.
    """
    if field == "bob":
        last = stamps[-1] - stamps[-2] if len(stamps) > 1 else 1
        ends = [*stamps[1:], stamps[-1] + last]
        return tuple(time for a, b in zip(stamps, ends, strict=True) for time in (2 * a, a + b)), 2
    if field == "ivtc":
        kept = CYCLE - 1
        whole = len(stamps) // CYCLE
        times = []
        for n in range(whole * kept):
            place, part = divmod(n * CYCLE, kept)
            following = stamps[place + 1] if place + 1 < len(stamps) else stamps[place]
            times.append(kept * stamps[place] + part * (following - stamps[place]))
        return (*times, *(kept * time for time in stamps[whole * CYCLE :])), kept
    return tuple(stamps), 1
