"""The table of side data is complete and equals docs/side-data.md."""

from __future__ import annotations

from typing import get_args

from av.packet import PktSideDataT
from av.sidedata.sidedata import Type
from paths import ROOT

from vs_gansr.cli.upscale.source.side_data import FATES, MATROSKA, SIDE_DATA, notes


def table() -> str:
    """The part of docs/side-data.md that follows from the code."""
    rows: dict[tuple[str, str], list[str]] = {}
    for name, fate in SIDE_DATA.items():
        rows.setdefault((fate.what, fate.fate), []).append(f"`{name}`")
    lines = ["| what becomes of it | |", "|---|---|"]
    lines += [f"| {fate} | it {meaning} |" for fate, meaning in FATES.items()]
    lines += ["", "## FFmpeg's side data", ""]
    lines += ["Capitals: of decoded frames; small letters: of packets and streams.", ""]
    lines += ["| what it is | FFmpeg's names | what becomes of it |", "|---|---|---|"]
    lines += [f"| {what} | {', '.join(names)} | {fate} |" for (what, fate), names in rows.items()]
    lines += ["", "## Matroska's elements", "", "| elements | what becomes of them |", "|---|---|"]
    lines += [f"| {elements} | {fate} |" for elements, fate in MATROSKA.items()]
    return "\n".join(lines) + "\n"


def test_every_kind_of_side_data_has_its_place() -> None:
    """A new PyAV may know more; one that knows less is as good."""
    known = {kind.name for kind in Type} | set(get_args(PktSideDataT))
    assert known - SIDE_DATA.keys() == set()
    assert {fate.fate for fate in SIDE_DATA.values()} | set(MATROSKA.values()) <= FATES.keys()


def test_the_documentation_has_the_table() -> None:
    assert (ROOT / "docs" / "side-data.md").read_text("utf-8").endswith(table())


def test_a_kind_is_noted_once_and_only_where_it_is_lost() -> None:
    found = ["SPHERICAL", "spherical", "MOTION_VECTORS", "CONTENT_LIGHT_LEVEL", "a53_cc", "unheard_of"]
    assert notes(found) == [
        "not carried of the source: closed captions inside the picture's stream (CEA-608 or 708)",
        "not carried of the source: 360-degree projection",
    ]
