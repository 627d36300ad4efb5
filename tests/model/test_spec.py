"""Size rules pad as little as possible; a network's description is unchanged after writing and reading it."""

from __future__ import annotations

import onnx
import pytest
from onnx import helper

from vs_gansr.model import metadata
from vs_gansr.model.metadata import Metadata
from vs_gansr.model.spec import FileSpec, NetworkSpec, SizeRule, ValueRange, round_up


@pytest.mark.parametrize(("length", "multiple", "want"), [(1, 1, 1), (7, 4, 8), (8, 4, 8), (9, 4, 12), (0, 4, 0)])
def test_round_up(length: int, multiple: int, want: int) -> None:
    assert round_up(length, multiple) == want


@pytest.mark.parametrize(
    ("rule", "size", "padded"),
    [
        (SizeRule(), (7, 1), (7, 1)),
        (SizeRule(multiple=4), (7, 8), (8, 8)),
        (SizeRule(minimum=18, multiple=4), (7, 21), (20, 24)),
        (SizeRule(minimum=20), (7, 21), (20, 21)),
        (SizeRule(fixed=(32, 24)), (7, 50), (32, 50)),
        (SizeRule(fixed=(32, 24), multiple=8), (33, 5), (40, 24)),
    ],
)
def test_a_picture_is_padded_to_the_least_size_allowed(
    rule: SizeRule, size: tuple[int, int], padded: tuple[int, int]
) -> None:
    assert rule.padded(*size) == padded
    assert rule.padded(*padded) == padded
    assert rule.takes(*(rule.fixed or padded))
    assert rule.takes(*size) == (size == (rule.fixed or padded))


def test_least_is_the_shortest_side_really_taken() -> None:
    assert SizeRule(minimum=18, multiple=4).least == 20
    assert SizeRule(multiple=8).least == 8


def test_resolving_keeps_what_the_file_says() -> None:
    file_spec = FileSpec(name="n", digest="d", input="in", output="out", channels=3, frames=3, radius=7, licence="MIT")
    spec = file_spec.resolved(4, SizeRule(multiple=2), ValueRange(0, 255), ValueRange())
    assert (spec.scale, spec.size_rule, spec.input_range, spec.inputs) == (
        4,
        SizeRule(multiple=2),
        ValueRange(0, 255),
        9,
    )
    for name in NetworkSpec.__dataclass_fields__:
        assert getattr(spec, name) == getattr(file_spec, name)


def proto(properties: dict[str, str]) -> onnx.ModelProto:
    proto = helper.make_model(helper.make_graph([], "g", [], []))
    helper.set_model_props(proto, properties)
    return proto


def test_metadata_is_written_and_read() -> None:
    file = proto({"author": "somebody", "gansr.licence": "MIT", "gansr.other": "1"})
    written = Metadata(name="a", scale=2, range=0.5, radius=0, minimum=18, summary="an a", precision="int8")
    metadata.write(file, written)
    assert metadata.read(file) == Metadata(
        name="a", scale=2, range=0.5, radius=0, minimum=18, summary="an a", precision="int8", licence="MIT"
    )
    assert {p.key: p.value for p in file.metadata_props} == {
        "author": "somebody",
        "gansr.licence": "MIT",
        "gansr.other": "1",
        "gansr.name": "a",
        "gansr.scale": "2",
        "gansr.range": "0.5",
        "gansr.radius": "0",
        "gansr.minimum": "18",
        "gansr.summary": "an a",
        "gansr.precision": "int8",
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [("scale", "0"), ("scale", "x"), ("range", "0"), ("range", "nan"), ("radius", "-1"), ("multiple", "1025")],
)
def test_damaged_numbers_are_refused(key: str, value: str) -> None:
    with pytest.raises(ValueError, match=rf"{key} is|invalid literal"):
        metadata.read(proto({f"gansr.{key}": value}))
