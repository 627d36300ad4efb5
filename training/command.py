"""Run `scripts/train`: its command line, the report and the sheet of pairs."""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from vs_gansr.common import files

from . import recipe, smoke
from .export import export as exporting
from .loop.balance import BalanceError
from .loop.trainer import CHECKPOINT, Trainer
from .material import data, pool
from .recipe.reference import reference
from .records import metrics, report
from .records.checkpoint import CheckpointError
from .records.enlarge import enlarge

_ERRORS = (recipe.RecipeError, BalanceError, CheckpointError, exporting.ExportError, ValueError, OSError)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def write_report(folder: Path) -> Path:
    """Write `folder`/report.html from the run's log, samples and checkpoint; returns its path."""
    generator, settings, state = exporting.load_generator(folder / CHECKPOINT)
    training, held_out = (pool.load(pool.folder(settings, part)) for part in (False, True))
    frame = held_out.high.shape[1] // 2
    low, high = np.asarray(held_out.low[:, frame]), np.asarray(held_out.high[:, frame])
    scale = settings.generator.scale
    methods = {"Lanczos": metrics.lanczos(low, scale)}
    methods[settings.name] = enlarge(generator, low, np.asarray(held_out.low_chroma[:, frame]))
    scores = {name: metrics.score(pictures, high) for name, pictures in methods.items()}
    size = int(training.facts["bytes"]) / 2**20
    facts = {
        "run": exporting.training_line(settings, state, f"{torch.get_num_threads()} CPU thread(s)"),
        "network": f"{settings.generator.width} features x {settings.generator.convolutions} convolutions, "
        f"{generator.plain().multiply_adds:,} multiply-adds per input pixel",
        "pool": f"{len(training)} crops of {settings.pool.crop} pixels x {settings.pool.frames} frames, "
        f"{size:.0f} MiB, made in {training.facts['seconds']} s from {training.facts['files']} files",
        "data list SHA-256": str(state["data_sha256"]),
        "versions": ", ".join(f"{name} {number}" for name, number in state["versions"].items()),
        "pictures shown": "; ".join(_credits(settings, [held_out.labels[n] for n in held_out.telling(6)])),
        "recipe": json.dumps(state["recipe"]),
    }
    target = folder / "report.html"
    files.write(target, report.render(folder, facts, scores))
    return target


def _credits(settings: recipe.Recipe, labels: list[str]) -> list[str]:
    rows = {Path(name).stem: row for name, row in data.manifest(settings.data).items()}
    stems = [label.split(":")[0] for label in labels]
    return [f"{s} ({rows[s]['credit']}, {rows[s]['repo']}, {rows[s]['licence']})" if s in rows else s for s in stems]


def write_sheet(settings: recipe.Recipe, target: Path, pairs: int = 64) -> None:
    """Write a PNG of `pairs` pairs (small beside sharp) from the recipe's pool to `target`, their labels beside it."""
    ready = pool.load(pool.folder(settings))
    chosen = np.linspace(0, len(ready) - 1, pairs).astype(int)
    columns = []
    for part in np.array_split(chosen, 8):
        columns += [np.asarray(ready.low[part, 0]), np.asarray(ready.high[part, 0])]
    metrics.save_sheet(metrics.sheet(columns), target)
    labels = [
        f"column {n // -(-pairs // 8) + 1}, row {n % -(-pairs // 8) + 1}: {ready.labels[i]}"
        for n, i in enumerate(chosen)
    ]
    files.write(target.with_suffix(".txt"), "\n".join(labels) + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Run `scripts/train`; 0 when the recipe is done or its time is over, 1 with one line on stderr otherwise."""
    parser = argparse.ArgumentParser(
        prog="scripts/train", description="Train a generator; a run resumes where it stopped."
    )
    parser.add_argument("recipe", nargs="?", help="a TOML file or a name in training/recipes")
    parser.add_argument("--smoke", action="store_true", help="the whole chain on ten drawn pictures, in seconds")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop (resumably) after so many minutes")
    parser.add_argument("--folder", type=Path, help="run folder (default runs/NAME)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        help="CPU threads; 1 is best where cores are shared, 0 leaves the choice to torch",
    )
    parser.add_argument("--workers", type=int, default=None, help="processes that make the pool")
    parser.add_argument("--pool-only", action="store_true", help="make the pool of degraded clips and stop")
    parser.add_argument("--sheet", type=Path, help="write a sheet of 64 degraded pairs (PNG) and stop")
    parser.add_argument("--reference", action="store_true", help="print docs/recipes.md, all that a recipe may say")
    parser.add_argument("--report", action="store_true", help="write the run's report.html and stop")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    if bool(options.recipe) + options.smoke + options.reference != 1:
        parser.error("give a recipe, --smoke or --reference")
    if options.reference:
        sys.stdout.write(reference())
        return 0
    try:
        return _smoke(options.device) if options.smoke else _train(options)
    except _ERRORS as error:
        _say(f"train: {error}")
        return 1


def _smoke(device: str) -> int:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        smoke.run(Path(folder), device, _say)
    return 0


def _train(options: argparse.Namespace) -> int:
    settings = recipe.load(recipe.find(options.recipe))
    folder: Path = options.folder or Path("runs") / settings.name
    if options.report:
        _say(f"report: {write_report(folder)}")
        return 0
    held_out = pool.load(pool.build(settings, True, workers=options.workers, say=_say))
    training = pool.load(pool.build(settings, False, workers=options.workers, say=_say))
    _say(
        f"pool: {len(training)} clips, {int(training.facts['bytes']) / 2**20:.0f} MiB, made in "
        f"{training.facts['seconds']} s; {len(held_out)} held out"
    )
    if options.sheet:
        write_sheet(settings, options.sheet)
    if options.sheet or options.pool_only:
        return 0
    trainer = Trainer(settings, folder, training, held_out, options.device, _say)

    def stop(*_: object) -> None:
        trainer.stopping = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    done = trainer.train(options.minutes)
    _say(
        f"{folder}: {'done' if done else 'stopped, resumable'} at step {trainer.step}, "
        f"{trainer.elapsed / 60:.1f} minutes of training; {write_report(folder)}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
