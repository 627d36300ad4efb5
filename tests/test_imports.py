"""Imports point one way: down the map in vs_gansr/__init__.py, and never from the runtime to training."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "vs_gansr"

# A module imports modules further down only. Those on one line do not know each other.
FLOORS = (
    ("__main__",),
    ("cli",),
    ("plugin", "bench", "convert", "jet"),
    ("pipeline",),
    ("network", "reuse", "graphway", "probe"),
    ("graphflow",),
    ("session", "flow", "quantise", "torchfile", "ways"),
    ("graphcolour",),
    ("conversion", "planes", "providers", "model", "half"),
    (
        "colour",
        "tiles",
        "heap",
        "keepalive",
        "memory",
        "receptive",
        "shuffle",
        "userdata",
        "cuda",
        "pictures",
        "rewrite",
        "scenes",
    ),
    ("errors",),
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
PURE = ("colour", "conversion", "tiles", "keepalive", "errors")  # numbers and nothing else
OF_TRAINING = {"torch", "tensorboard"}


def modules() -> dict[str, list[Path]]:
    """Files of the runtime by the room they belong to: a module or a subpackage."""
    rooms: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if room not in ("train", "__init__"):
            rooms.setdefault(room, []).append(path)
    return rooms


def imported(path: Path) -> set[str]:
    """Full dotted names that a file of the package imports anywhere, in functions too."""
    return names_in(path.read_text(encoding="utf-8"), ("vs_gansr", *path.relative_to(PACKAGE).parts[:-1]))


def names_in(code: str, package: tuple[str, ...]) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def rooms_of(names: set[str]) -> set[str]:
    """The rooms of vs_gansr among dotted names; a name taken from vs_gansr itself is none."""
    parts = (name.split(".") for name in names if name.startswith("vs_gansr."))
    return {part[1] for part in parts if part[1] in FLOOR or part[1] == "train"}


def test_every_module_has_its_floor() -> None:
    assert set(modules()) <= set(FLOOR), "put a new module on its floor, here and in the map of vs_gansr/__init__.py"


@pytest.mark.parametrize("room", sorted(FLOOR))
def test_imports_point_down(room: str) -> None:
    for path in modules().get(room, []):
        for other in rooms_of(imported(path)) - {room}:
            assert other != "train", f"{path.name} imports training"
            assert FLOOR[other] > FLOOR[room], f"{path.name} imports {other}, which is not below it"


def test_only_training_and_conversion_know_torch() -> None:
    for room, paths in modules().items():
        for path in paths if room != "torchfile" else ():
            assert not OF_TRAINING & {name.split(".")[0] for name in imported(path)}, path


@pytest.mark.parametrize("room", PURE)
def test_pure_rooms_know_no_video_and_no_network(room: str) -> None:
    for path in modules()[room]:
        assert not {"vapoursynth", "onnxruntime", "onnx"} & {name.split(".")[0] for name in imported(path)}


def test_the_reader_of_imports_sees_every_spelling() -> None:
    code = (
        "import torch.nn\ndef f():\n    from .. import model\n    from ..train.pool import x\n    from .job import y\n"
    )
    names = names_in(code, ("vs_gansr", "cli"))
    assert names == {"torch.nn", "vs_gansr.model", "vs_gansr.train.pool.x", "vs_gansr.cli.job.y"}
    assert rooms_of(names) == {"model", "train", "cli"}


def test_rendering_loads_no_training_package(point_model: Path) -> None:
    code = """
import sys, vapoursynth as vs
clip = vs.core.std.BlankClip(format=vs.YUV420P8, width=32, height=32, length=2)
assert clip.gansr.Upscale(sys.argv[1]).get_frame(1).width == 64
print(sorted({"torch", "tensorboard", "av", "PIL", "skimage"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code, str(point_model)], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
