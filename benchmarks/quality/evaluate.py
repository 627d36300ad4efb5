"""Command line of the evaluation: quality of resizers, other people's networks and models of this project.

    scripts/evaluate                              all of models/ at scale 2, preparations A, B and C
    scripts/evaluate fast-2x runs/x.onnx --preparations A
    scripts/evaluate runs/x.onnx --quick          two clips, eight frames: feedback while training
    scripts/evaluate --strips strips/             and a picture of enlarged crops per clip and condition
    scripts/evaluate --plot plot.svg              and the time a frame of each method, quality drawn against it
    scripts/evaluate general-2x --blind sheets/   nothing measured: sheets for people to rank, sheets-key.json beside
    scripts/evaluate general-2x --native sheets/  the same of footage at its own size, without a reference
    scripts/evaluate general-2x --picture a.png --crops market:640,352    named crops of such footage, not blind
    scripts/evaluate --tally sheets-key.json ranking.json other.json

The table goes to stdout as Markdown, everything measured to a JSON file, progress to stderr. What was computed is
kept in .cache/evaluate, keyed by content, so that a repeated run only measures what is new. What each measure says:
docs/measures.md.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.paths import ANCHORS, CACHE, CLIPS, FILMED, HELD_OUT, STILLS
from benchmarks.quality import blind, cost, methods, plot, ranking, scenes, strips, table
from benchmarks.quality.methods import Method
from benchmarks.quality.prepare import PREPARATIONS, Case, Footage, Preparation, material, preparations, prepare
from benchmarks.quality.scenes import Scene
from benchmarks.quality.score import best_unsharp, say, score
from benchmarks.quality.store import Store
from benchmarks.quality.suites import COLORVIDEOVDP, FIDELITY, TEXTURE
from vs_gansr.errors import ModelError
from vs_gansr.model import library as models

QUICK_CLIPS = ("blocks", "juggle")
QUICK_FRAMES = 8
MATERIAL = {
    "clips": ((CLIPS,), False),
    "filmed": ((FILMED,), True),
    "held-out": (HELD_OUT, True),
    "stills": ((STILLS,), False),
}
"""Folders and files by name, and whether the files are lossy and halved before use."""
FAITHFUL = "-psnr"
"""Suffix of the name of a model's faithful model."""


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line, parsed."""
    parser = argparse.ArgumentParser(
        prog="scripts/evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("models", nargs="*", metavar="MODEL", help="name in models/ or .onnx file; default: models/*.onnx")
    add("--preparations", default="A,B,C", metavar="LIST", help=f"of {', '.join(PREPARATIONS)}; default: %(default)s")
    add("--scale", type=int, choices=(2, 4), default=2, help="how much smaller the input is made")
    add(
        "--material",
        default="clips,filmed",
        metavar="LIST",
        help="of clips, filmed, stills (in ../shared/data/eval), held-out (videos kept out of training) and paths "
        "of videos, pictures and folders of them; default: %(default)s; docs/models.md has the figures of clips",
    )
    add("--halved", action="store_true", help="halve the files of --material's paths before use, for they are lossy")
    add("--clips", metavar="LIST", help="of the material only these, by file names without their endings")
    add("--anchors", metavar="LIST",
        help="other people's networks to compare with: names of files in ../shared/anchors without their endings, "
             ".onnx files, folders; default: all that are there")  # fmt: skip
    add("--chroma", action="store_true", help="also the models' luma with the chroma of Lanczos")
    add("--grain", type=float, metavar="AMOUNT", help="also the models with so many times the source's grain")
    add("--no-anchors", action="store_true", help="leave them out")
    add("--bare", action="store_true", help="of all filters Lanczos alone, and no masks")
    add("--cvvdp", action="store_true", help="also ColorVideoVDP, some minutes a clip; needs the extra [cvvdp]")
    add("--quick", action="store_true",
        help=f"{QUICK_FRAMES} frames of {' and '.join(QUICK_CLIPS)} (of the first two files elsewhere)")  # fmt: skip
    add("--frames", type=int, metavar="N", help="only the first so many of a clip's 24")
    add("--fresh", action="store_true", help="measure the named models again, whatever is kept")
    add("--cost", action="store_true", help="also time a frame of each method, in a process of its own")
    add("--plot", type=Path, metavar="FILE", help=f"draw quality against that time; {' or '.join(plot.FORMATS)}")
    add("--strips", type=Path, metavar="FOLDER", help="write a PNG of 300 %% crops per clip and condition")
    add("--blind", type=Path, metavar="FOLDER", help="write sheets and a page to rank methods unseen, and stop")
    add("--native", type=Path, metavar="FOLDER",
        help="write such sheets of the material at its own size, without a reference, and stop")  # fmt: skip
    add("--sheets", type=int, metavar="N", help="at most so many sheets, of as many clips as there can be")
    add("--unlike", type=Path, nargs="+", default=[], metavar="KEY",
        help="keys of sheets whose crops --blind and --native leave out")  # fmt: skip
    add(
        "--picture",
        type=Path,
        metavar="FILE",
        help="write a PNG of the material at its own size: the crops of --crops, source beside methods; and stop",
    )
    add("--crops", nargs="+", default=[], metavar="CLIP:X,Y",
        help="of --picture: file names without their endings, left upper corners in the enlarged picture")  # fmt: skip
    add(
        "--tally",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="the key of such sheets and rankings: count them, and stop",
    )
    add("--json", type=Path, metavar="FILE", help="default: .cache/evaluate/latest.json")
    add("--cache", type=Path, default=CACHE, metavar="FOLDER", help="where results are kept")
    return parser.parse_args(argv)


def chosen(names: Sequence[str], scale: int, faithful: bool = False) -> list[Method]:
    """The models named, or all shipped ones of `scale` with their int8 variants. With `faithful`, also their faithful
    models. Raises ModelError for an unknown name."""
    if not names:
        shipped = [name for name in models.shipped() if models.load(name).spec.scale == scale]
        names = [each for name in shipped for each in (name, f"{name}.int8")[: 1 + models.has_int8(name)]]
    if faithful:
        names = [*names, *(f"{name}{FAITHFUL}" for name in names if f"{name}{FAITHFUL}" in models.shipped())]
        names = list(dict.fromkeys(name for name in names if not name.endswith(".int8")))
    found = []
    for name in names:
        stem = name.removesuffix(".int8")
        path = models.load(stem, "int8").path if stem != name else models.find(name)
        label = path.stem if sum(Path(other).stem == Path(name).stem for other in names) == 1 else name
        found.append(methods.ours(label, path.resolve()))
    return found


def anchors(options: argparse.Namespace) -> list[Method]:
    """Other people's networks that the options ask for. Raises ValueError for a name that none has."""
    if options.no_anchors:
        return []
    if options.anchors is not None:
        return [methods.anchor(file) for item in options.anchors.split(",") for file in anchor_files(item)]
    if not (files := sorted(ANCHORS.glob("*.onnx"))):
        say(f"no networks in {ANCHORS}: the table has no anchors")
    return [methods.anchor(file) for file in files]


def anchor_files(item: str) -> list[Path]:
    """The files that one item of --anchors stands for: a name, a file or a folder. Raises ValueError for none."""
    place = Path(item)
    if place.suffix == ".onnx":
        return [place]
    known = {file.stem: file for file in sorted(ANCHORS.glob("*.onnx"))}
    found = [known[item]] if item in known else sorted(place.glob("*.onnx"))
    if not found:
        raise ValueError(f"--anchors {item} is unknown; use some of {','.join(known)}, an .onnx file or a folder")
    return found


def footage(what: str, quick: bool = False, halved: bool = False, clips: str | None = None) -> list[Footage]:
    """The files of a list as in --material, all or those that `clips` lists by stem; `halved` is said of paths.

    Raises FileNotFoundError for a place without any, and ValueError for a clip that is not among them.
    """
    listed = [MATERIAL.get(name, ((Path(name),), halved)) for name in what.split(",")]
    found = [piece for places, lossy in listed for place in places for piece in material(place, lossy)]
    if clips is not None:
        names = clips.split(",")
        stems = [piece.path.stem for piece in found]
        if unknown := [name for name in names if name not in stems]:
            raise ValueError(f"--clips {','.join(unknown)} is not in {what}; use some of {','.join(stems)}")
        found = [piece for piece in found if piece.path.stem in names]
    return ([piece for piece in found if piece.path.stem in QUICK_CLIPS] or found)[:2] if quick else found


def measure(options: argparse.Namespace, wanted: Sequence[Preparation], mine: list[Method]) -> None:
    """Measure, print the tables, write strips, the plot and the JSON file."""
    store, others = Store(options.cache), anchors(options)
    suites = (FIDELITY, TEXTURE, *([COLORVIDEOVDP] if options.cvvdp else []))
    results, every = [], []
    for preparation in wanted:
        cases = prepared(store, options, preparation)
        filters, unsharp = methods.resizers()[1:2], "not looked for"
        if not options.bare:
            best = best_unsharp(store, cases)
            filters, unsharp = [*methods.resizers(), methods.sharpened_lanczos(best), *methods.masks()], str(best)
        field = [*filters, *others, *mine]
        rows = [
            score(store, case, method, suites, options.fresh and method in mine) for method in field for case in cases
        ]
        results.append(table.Result(preparation, options.scale, unsharp, tuple(rows), suites))
        every += cases
        if options.strips:
            for case in cases:
                say(f"wrote {strips.write(options.strips, case, field)}")
    print(table.markdown(results))
    costs = cost.measure(every, field) if options.cost or options.plot else None
    if costs:
        print("\n" + table.cost_markdown(results, costs))
    if options.plot and costs:
        groups = {"resizers": filters, "networks of others": others, "ours": mine}
        named = {group: [method.name for method in part] for group, part in groups.items()}
        say(f"wrote {plot.write(options.plot, results, costs, named)}")
    table.write_json(options.json or options.cache / "latest.json", results, costs)


def show(options: argparse.Namespace, wanted: Sequence[Preparation], mine: list[Method]) -> None:
    """Write what people are to rank: with Lanczos and, where no option says otherwise, masks and other networks."""
    others = anchors(options)
    if options.picture:
        say(f"wrote {strips.native(options.picture, crops(options), [methods.resizers()[1], *others, *mine])}")
        return
    store, sharpened = Store(options.cache), [] if options.bare else methods.masks()
    if options.native:
        shown = [
            scenes.native(piece, options.scale)
            for piece in footage(options.material, options.quick, clips=options.clips)
        ]
    else:
        cases = [case for preparation in wanted for case in prepared(store, options, preparation)]
        shown = scenes.of_cases(cases)
        if not options.bare:
            sharpened.insert(0, methods.sharpened_lanczos(best_unsharp(store, cases)))
    folder: Path = options.native or options.blind
    field = [methods.resizers()[1], *sharpened, *others, *mine]
    page = blind.write(folder, shown, field, shown=options.unlike, most=options.sheets)
    say(f"wrote {page} and, for nobody who ranks, {blind.key_of(folder)}")


def crops(options: argparse.Namespace) -> list[tuple[Scene, tuple[int, int]]]:
    """The scenes and corners of --crops. Raises ValueError for a crop that is none or not within its picture."""
    found = []
    for item in options.crops:
        clip, _, corner = item.rpartition(":")
        x, _, y = corner.partition(",")
        if not (clip and x.isdecimal() and y.isdecimal()):
            raise ValueError(f"--crops {item}: write CLIP:X,Y, as in market:640,352")
        scene = scenes.native(footage(options.material, clips=clip)[0], options.scale)
        large = scene.source.width * scene.factor, scene.source.height * scene.factor
        most = [side - part for side, part in zip(large, strips.CROP, strict=True)]
        if int(x) > most[0] or int(y) > most[1]:
            raise ValueError(f"--crops {item}: X is at most {most[0]} and Y {most[1]} there")
        found.append((scene, (int(x), int(y))))
    return found


def prepared(store: Store, options: argparse.Namespace, preparation: Preparation) -> list[Case]:
    """The cases that the options ask for."""
    sources = footage(options.material, options.quick, options.halved, options.clips)
    frames = QUICK_FRAMES if options.quick else options.frames
    return prepare(store, sources, preparation, options.scale, frames)


def check(options: argparse.Namespace) -> None:
    """Raises ValueError for options that do not go together."""
    sheets = options.blind or options.native
    if bool(options.picture) != bool(options.crops):
        raise ValueError("--picture and --crops belong together: give both")
    if options.frames is not None and options.frames < 2:
        raise ValueError(f"--frames {options.frames}: the temporal delta needs 2 or more")
    if options.quick and options.frames is not None:
        raise ValueError(f"--frames {options.frames} and --quick, which is {QUICK_FRAMES} frames: give one of them")
    if options.blind and options.native:
        raise ValueError(f"--blind {options.blind} and --native {options.native}: give one of them")
    if options.native and options.halved:
        raise ValueError("--halved is not for --native, which shows footage at its own size: leave it out")
    if options.unlike and not sheets:
        raise ValueError(f"--unlike {options.unlike[0]} is for --blind and --native; name a folder there")
    if options.sheets is not None and not (sheets and options.sheets > 0):
        raise ValueError(f"--sheets {options.sheets}: give 1 or more, and --blind or --native with a folder")
    if options.plot and options.plot.suffix not in plot.FORMATS:
        raise ValueError(f"--plot {options.plot}: end the name in {' or '.join(plot.FORMATS)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `scripts/evaluate`; 0 when all was measured, 2 with one line on stderr for what cannot be."""
    options = arguments(argv)
    try:
        check(options)
        if options.tally:
            print(ranking.tally(options.tally[0], options.tally[1:]))
            return 0
        wanted = preparations(options.preparations)
        sheets = bool(options.blind or options.native or options.picture)
        mine = chosen(options.models, options.scale, sheets)
        if options.chroma:
            mine += [methods.colourless(method) for method in mine]
        if options.grain:
            mine += [methods.grained(method, options.grain) for method in mine]
        (show if sheets else measure)(options, wanted, mine)
    except (ModelError, OSError, ValueError) as error:
        say(f"evaluate: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
