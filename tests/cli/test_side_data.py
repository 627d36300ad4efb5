"""docs/side-data.md names every kind of side data and what becomes of it; what is noted, the code notes."""

from __future__ import annotations

import re
from typing import get_args

from av.packet import PktSideDataT
from av.sidedata.sidedata import Type
from paths import ROOT

from vs_gansr.cli.upscale.source.notes import NOTED, of_side_data

PARTS = (ROOT / "docs" / "side-data.md").read_text("utf-8").split("\n## ")


def rows(part: str) -> list[list[str]]:
    """The cells of the rows of a part's table."""
    lines = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("|")]
    return lines[2:]


def test_every_kind_of_side_data_has_its_place() -> None:
    """A new PyAV may know more; one that knows less is as good."""
    fates, kinds, elements = (rows(part) for part in PARTS)
    known = {kind.name for kind in Type} | set(get_args(PktSideDataT))
    assert known - set(re.findall(r"`(\w+)`", PARTS[1])) == set()
    assert {row[-1] for row in kinds + elements} <= {row[0] for row in fates}
    assert len(elements) > 10


def test_the_documentation_has_what_is_noted() -> None:
    noted = {
        what: tuple(re.findall(r"`(\w+)`", names)) for what, names, fate in rows(PARTS[1]) if fate == "lost, noted"
    }
    assert noted == NOTED


def test_a_kind_is_noted_once_and_only_where_it_is_lost() -> None:
    found = ["SPHERICAL", "spherical", "MOTION_VECTORS", "CONTENT_LIGHT_LEVEL", "a53_cc", "unheard_of"]
    assert of_side_data(found) == [
        "not carried of the source: closed captions inside the picture's stream (CEA-608 or 708)",
        "not carried of the source: 360-degree projection",
    ]
