"""Notice what the frames of a film say of themselves other than its first frame did."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

__all__ = ["Watch", "changed", "sample_aspect"]

NAMES = {
    "sample aspect ratio": ("_SARNum", "_SARDen"),
    "matrix": ("_Matrix",),
    "primaries": ("_Primaries",),
    "transfer": ("_Transfer",),
    "range": ("_Range",),
    "chroma siting": ("_ChromaLocation",),
    "field order": ("_FieldBased",),
    "mastering display": ("MasteringDisplayMaxLuminance", "MasteringDisplayMinLuminance"),
    "content light level": ("ContentLightLevelMax", "ContentLightLevelAverage"),
}


def sample_aspect(props: Mapping[str, Any]) -> Fraction | None:
    """The shape of a frame's pixels, width to height; None where its properties do not say."""
    width, height = int(props.get("_SARNum", 0)), int(props.get("_SARDen", 0))
    return Fraction(width, height) if width > 0 and height > 0 else None


class Watch:
    """Compares frames with the first one of the film, whose properties are `first`, and says each change once.

    `given` are the names of properties that the user sets for the whole film.
    """

    def __init__(self, first: Mapping[str, Any], given: frozenset[str] = frozenset()) -> None:
        self._kept = {
            name: (props, [first.get(prop) for prop in props])
            for name, props in NAMES.items()
            if not given & set(props)
        }

    def changes(self, number: int, props: Mapping[str, Any]) -> dict[str, str]:
        """What frame `number` is the first to say otherwise: names of NAMES, and each in a sentence."""
        found = {}
        for name, (keys, before) in list(self._kept.items()):
            now = [props.get(key) for key in keys]
            if now != before:
                del self._kept[name]
                said, was = (":".join("unset" if v is None else f"{v:g}" for v in values) for values in (now, before))
                found[name] = changed(name, was, said, f"frame {number}")
        return found


def changed(name: str, was: str, now: str, place: str) -> str:
    """The note about a change at `place`, a frame or a time."""
    return (
        f"change of {name} from {was} to {now} at {place}; the whole film is tagged as its first frame, "
        "so cut the source there to keep both"
    )
