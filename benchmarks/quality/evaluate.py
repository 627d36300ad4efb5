"""Command line of the evaluation: quality of resizers, other people's networks and models of this project.

    scripts/evaluate                              all of models/ at scale 2, preparations A, B and C
    scripts/evaluate fast-2x runs/x.onnx --preparations A
    scripts/evaluate runs/x.onnx --quick          two clips, eight frames: feedback while training
    scripts/evaluate --strips strips/             and a picture of enlarged crops per clip and condition

The table goes to stdout as Markdown, everything measured to a JSON file, progress to stderr. What was computed is
kept in .cache/evaluate, keyed by content, so that a repeated run only measures what is new.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.paths import CACHE, CLIPS, SHARED
from benchmarks.quality import methods, strips, table
from benchmarks.quality.methods import Method
from benchmarks.quality.prepare import PREPARATIONS, material, prepare
from benchmarks.quality.score import best_unsharp, say, score
from benchmarks.quality.store import Store
from vs_gansr.errors import ModelError
from vs_gansr.model import library as models

QUICK_CLIPS = ("blocks", "juggle")
QUICK_FRAMES = 8


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("models", nargs="*", metavar="MODEL", help="name in models/ or .onnx file; default: models/*.onnx")
    add("--preparations", default="A,B,C", metavar="LIST", help="of A, B, C; default: all")
    add("--scale", type=int, choices=(2, 4), default=2, help="how much smaller the input is made")
    add("--material", default="clips", metavar="WHAT",
        help="clips or stills of ../shared/data/eval, or a folder of videos and pictures")  # fmt: skip
    add("--anchors", type=Path, default=SHARED / "anchors", metavar="FOLDER", help="networks to compare with")
    add("--chroma", action="store_true", help="also the models' luma with the chroma of Lanczos")
    add("--no-anchors", action="store_true", help="leave them out")
    add("--quick", action="store_true",
        help=f"{QUICK_FRAMES} frames of {' and '.join(QUICK_CLIPS)} (of the first two files elsewhere)")  # fmt: skip
    add("--fresh", action="store_true", help="measure the named models again, whatever is kept")
    add("--strips", type=Path, metavar="FOLDER", help="write a PNG of 300 %% crops per clip and condition")
    add("--json", type=Path, metavar="FILE", help="default: .cache/evaluate/latest.json")
    add("--cache", type=Path, default=CACHE, metavar="FOLDER", help="where results are kept")
    return parser.parse_args(argv)


def chosen(names: Sequence[str], scale: int) -> list[Method]:
    """The models named, or all shipped ones (int8 twins too) of `scale`. Raises ModelError for an unknown name."""
    if not names:
        shipped = [name for name in models.shipped() if models.load(name).spec.scale == scale]
        names = [twin for name in shipped for twin in (name, f"{name}.int8")[: 1 + models.has_twin(name)]]
    found = []
    for name in names:
        stem = name.removesuffix(".int8")
        path = models.load(stem, "int8").path if stem != name else models.find(name)
        label = path.stem if sum(Path(other).stem == Path(name).stem for other in names) == 1 else name
        found.append(methods.ours(label, path.resolve()))
    return found


def anchors(folder: Path, wanted: bool) -> list[Method]:
    files = sorted(folder.glob("*.onnx")) if wanted else []
    if wanted and not files:
        say(f"no networks in {folder}: the table has no anchors")
    return [methods.anchor(file) for file in files]


def files(what: str) -> list[Path]:
    return material(CLIPS.parent / what if what in ("clips", "stills") else Path(what))


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments(argv)
    try:
        preparations = [PREPARATIONS[name] for name in options.preparations.split(",")]
    except KeyError as error:
        say(f"evaluate: preparation {error} is unknown; use some of {','.join(PREPARATIONS)}")
        return 2
    try:
        sources = files(options.material)
        mine = chosen(options.models, options.scale)
    except (ModelError, FileNotFoundError) as error:
        say(f"evaluate: {error}")
        return 2
    if options.quick:
        sources = ([file for file in sources if file.stem in QUICK_CLIPS] or sources)[:2]
    if options.chroma:
        mine += [methods.colourless(method) for method in mine]
    store = Store(options.cache)
    others = anchors(options.anchors, not options.no_anchors)
    results = []
    for preparation in preparations:
        cases = prepare(store, sources, preparation, options.scale, QUICK_FRAMES if options.quick else None)
        unsharp = best_unsharp(store, cases)
        field = [*methods.resizers(), methods.sharpened_lanczos(unsharp), *others, *mine]
        rows = [score(store, case, method, options.fresh and method in mine) for method in field for case in cases]
        results.append(table.Result(preparation, options.scale, str(unsharp), tuple(rows)))
        if options.strips:
            for case in cases:
                say(f"wrote {strips.write(options.strips, case, field)}")
    print(table.markdown(results))
    table.write_json(options.json or options.cache / "latest.json", results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
