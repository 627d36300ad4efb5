"""Compare a model with its faithful model, which was trained without an adversary, at equal sharpness.

    scripts/faithful general-2x general-2x-psnr
    scripts/faithful runs/a.onnx runs/b.onnx --recipe general-2x --steps 800

The luma of the faithful model is sharpened until it has as much fine detail (mean |luma - its 3x3 mean|) as the
model's.
1. Both are compared in SSIMULACRA2 on the evaluation clips, preparation A. Sharpening is chosen for each clip.
2. Two untrained discriminators each learn on the training pool to tell one of them from the reference, and are tested
   on held-out crops. 0.5 is guessing; lower is more real.
Results go to stdout as Markdown, progress to stderr.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
import vapoursynth as vs

from benchmarks.paths import CACHE, CLIPS, RECIPES
from benchmarks.quality import methods, metrics
from benchmarks.quality.prepare import PREPARATIONS, Case, material, prepare
from benchmarks.quality.score import say
from benchmarks.quality.store import Store
from training import recipe
from training.loop.adversary import Adversary, accuracies
from training.losses import formulas
from training.material import pool
from training.material.codec import Frames
from training.material.luma import luma_of
from training.records.metrics import detail
from vs_gansr.engine.base import cpu_threads
from vs_gansr.errors import ModelError
from vs_gansr.model import library as models

SIGMA = 0.8
"""Of the mask that sharpens, in output pixels: about the blur that a factor of 2 leaves."""

Pictures = npt.NDArray[np.float32]


def blurred(luma: Pictures) -> Pictures:
    """Gaussian blur of SIGMA over the last two axes, edges repeated."""
    taps = np.exp(-0.5 * (np.arange(-3, 4) / SIGMA) ** 2).astype(np.float32)
    taps /= taps.sum()
    for axis in (-2, -1):
        width = [(0, 0)] * luma.ndim
        width[axis] = (3, 3)
        padded = np.pad(luma, width, mode="edge")
        size = luma.shape[axis]
        luma = np.sum([t * np.take(padded, range(k, k + size), axis) for k, t in enumerate(taps)], axis=0)
    return luma


def amount(luma: Pictures, wanted: float) -> float:
    """The share of its difference from its blur that gives `luma` the wanted detail, by bisection from 0 to 8."""
    mask = luma - blurred(luma)
    low, high = 0.0, 8.0
    if detail(luma) >= wanted:
        return 0.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if detail(luma + middle * mask) < wanted else (low, middle)
    return (low + high) / 2


def compare(case: Case, ours: methods.Method, faithful: methods.Method) -> tuple[float, float, float]:
    """SSIMULACRA2 of the model and of its sharpened faithful model, and the amount of sharpening."""
    source, reference = case.load_source(), case.load_reference()
    a, b = (method.upscale(source, case.factor) for method in (ours, faithful))
    strength = amount(metrics.luma(b[::4]), detail(metrics.luma(a[::4])))

    def sharpen(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        luma = np.asarray(f[0]).astype(np.float32)
        np.asarray(out[0])[:] = np.clip(np.rint(luma + strength * (luma - blurred(luma))), 0, 255)
        return out

    return metrics.ssimulacra2(reference, a), metrics.ssimulacra2(reference, b.std.ModifyFrame(b, sharpen)), strength


def network(model: Path) -> Callable[[Frames], Pictures]:
    """A pool's small crops, (n, 3, h, w) code values, to luma (n, S * h, S * w) float32, not clamped.

    Raises ModelError unless the file takes luma, as all that are exported here do.
    """
    spec = models.load(str(model)).spec
    if spec.channels != 1:
        raise ModelError(f'faithful: "{model}" takes pictures of {spec.channels} channels; name a network of luma')
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    runner = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])

    def enlarge(low: Frames) -> Pictures:
        ready = luma_of(low.transpose(0, 2, 3, 1)) / np.float32(255)  # the file takes one picture at a time
        return np.stack([np.asarray(runner.run(None, {spec.input: each[None, None]})[0])[0, 0] for each in ready])

    return enlarge


def sharpened(luma: Pictures, strength: float) -> Pictures:
    """(N, H, W) in [0, 1] with the mask of that strength, clamped."""
    return np.asarray(np.clip(luma + strength * (luma - blurred(luma)), 0, 1), np.float32)


def told_apart(settings: recipe.Recipe, enlarge: Callable[[Frames], Pictures], steps: int, seed: int) -> float:
    """Share of held-out crops whose pair (real, made) a fresh discriminator puts in the right order."""
    torch.manual_seed(seed)
    training, held_out = (pool.load(pool.folder(settings, part)) for part in (False, True))
    judge = Adversary(settings.discriminator, settings.adversary, torch.device("cpu"), settings.run.bf16)

    def pair(crops: pool.Pool, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        low, high = crops.batch(seed, step, 12, settings.run.crop, 1)
        return formulas.luma(torch.from_numpy(high.astype(np.float32) / 255)), torch.from_numpy(enlarge(low))[:, None]

    for step in range(steps):
        real, made = pair(training, step)
        numbers = judge.learn(real, made, step, settings.adversary.rate, seed)
        if step % 50 == 0:
            say(f"step {step} of {steps}: accuracy {numbers['accuracy']:.2f}")
    right = []
    with torch.no_grad():
        for step in range(24):
            real, made = pair(held_out, step)
            right.append(accuracies(judge.network(torch.cat([real, made]))[0], len(real))["accuracy"])
    return float(np.mean(right))


def by_clips(ours: methods.Method, faithful: methods.Method) -> None:
    """Prints the first comparison."""
    store = Store(CACHE)
    cases = prepare(store, material(CLIPS), PREPARATIONS["A"], 2)
    print(f"| clip | {ours.name} | {faithful.name}, sharpened | amount |\n|---|---|---|---|")
    by_clip: dict[str, list[float]] = {}
    for case in cases:
        a, b, strength = compare(case, ours, faithful)
        by_clip.setdefault(case.clip, []).append(a - b)
        print(f"| {case.clip} {case.condition} | {a:.2f} | {b:.2f} | {strength:.2f} |", flush=True)
    better = sum(np.mean(gains) > 0 for gains in by_clip.values())
    print(f"\n{ours.name} is ahead on {better} of {len(by_clip)} clips.\n")


def main() -> int:
    """Run `scripts/faithful`; prints both comparisons."""
    parser = argparse.ArgumentParser(
        prog="scripts/faithful", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="name in models/ or .onnx file")
    parser.add_argument("faithful", help="the same, trained without an adversary")
    parser.add_argument("--recipe", help="whose pool and discriminator are used; default: the model's name")
    parser.add_argument("--steps", type=int, default=800, help="each discriminator's (%(default)s)")
    parser.add_argument("--seeds", type=int, default=6, help="discriminators for each; two are too few (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first of them, each counts on (%(default)s)")
    parser.add_argument("--only-judges", action="store_true", help="leave out the comparison clip by clip")
    args = parser.parse_args()
    torch.set_num_threads(cpu_threads())
    files = [models.find(name).resolve() for name in (args.model, args.faithful)]
    ours, faithful = (methods.ours(file.stem, file) for file in files)
    if not args.only_judges:
        by_clips(ours, faithful)
    settings = recipe.load(RECIPES / f"{args.recipe or args.model}.toml")
    for held_out in (False, True):
        pool.build(settings, held_out, say=say)
    big, plain = (network(file) for file in files)
    sample = pool.load(pool.folder(settings, True)).batch(1, 0, 96, settings.run.crop, 1)[0]
    strength = amount(plain(sample), detail(big(sample)))
    seeds = range(args.first, args.first + args.seeds)
    said = {
        ours.name: [told_apart(settings, lambda low: np.clip(big(low), 0, 1), args.steps, s) for s in seeds],
        f"{faithful.name}, sharpened by {strength:.2f}": [
            told_apart(settings, lambda low: sharpened(plain(low), strength), args.steps, s) for s in seeds
        ],
    }
    for name, shares in said.items():
        each = ", ".join(f"{share:.3f}" for share in shares)
        print(f"- told from the reference after {args.steps} steps, {name}: {np.mean(shares):.3f} ({each})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
