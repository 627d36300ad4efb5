"""The front of quality against time: generators of several widths, depths and shapes, trained alike and timed alike.

    scripts/front                      train what is missing in runs/front/, then time all and print the table
    scripts/front --train 48x10 64x8   only train these
    scripts/front --time               only time what is trained: leave the machine alone meanwhile

Every generator sees the same batches in the same order (the pool of general-2x-psnr), pixel losses only, the same
number of steps, one cosine. Quality is that of held-out crops, float32 and int8; time is a bare ONNX Runtime loop,
640x360 in, all in turn, the median of the rounds. A name is WIDTHxCONVOLUTIONS, then, after a hyphen, at most one of:
    leaky       LeakyReLU 0.1 in place of ReLU
    unshuffled  the body works at half size: pixel-unshuffle before it, twice the depth-to-space after it
    luma        the body sees luma alone and adds to R, G and B alike: colour is only resized
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import math
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vs_gansr.model.rewrite.int8 import quantise
from vs_gansr.train import balance, losses, metrics, pool, recipe
from vs_gansr.train.codec import Frames
from vs_gansr.train.generator import Branched, catmull_rom

NAMES = (
    "16x8", "32x6", "32x8", "32x8-leaky", "32x12", "48x8", "48x10", "64x8",
    "48x8-luma", "64x8-unshuffled", "96x10-unshuffled",
)  # fmt: skip
FOLDER = Path("runs/front")
SIZE = (640, 360)
BASE = "48x8"
SLOPE = 0.1


class Candidate(nn.Module):
    """(N, 3, H, W) RGB in [0, 1] to (N, 3, 2H, 2W), H, W even; starts as Catmull-Rom resizing like all of ours."""

    def __init__(self, name: str) -> None:
        super().__init__()
        size, _, kind = name.partition("-")
        width, depth = (int(number) for number in size.split("x"))
        self.kind, self.slope, self.ends = kind, SLOPE, SLOPE if kind == "leaky" else 0.0
        colours = 1 if kind == "luma" else 3
        self.fold = 2 if kind == "unshuffled" else 1
        into, out = colours * self.fold**2, colours * (2 * self.fold) ** 2
        widths = [into, *[width] * (depth - 1), out]
        self.body = nn.ModuleList(Branched(a, b, 0.7) for a, b in itertools.pairwise(widths))
        last = self.body[-1]
        assert isinstance(last, Branched)
        nn.init.normal_(last.direct, std=1e-4)
        nn.init.zeros_(last.squeeze)
        self.skip = nn.Conv2d(3, 12, 5, padding=0)
        with torch.no_grad():
            self.skip.weight.copy_(catmull_rom(2, 3))
            self.skip.bias.zero_()  # type: ignore[union-attr]
        self.multiply_adds = sum(9 * a * b for a, b in itertools.pairwise(widths)) // self.fold**2 + 25 * 3 * 12

    def forward(self, x: Tensor) -> Tensor:
        flow = (x * torch.from_numpy(metrics.LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True) if self.kind == "luma" else x
        flow = F.pixel_unshuffle(flow, self.fold) if self.fold > 1 else flow
        for layer in self.body[:-1]:
            flow = F.leaky_relu(layer(flow), self.slope) if self.slope else F.relu(layer(flow))
        added = self.body[-1](flow)
        with torch.autocast(x.device.type, enabled=False):
            base = self.skip(F.pad(x.float(), (2, 2, 2, 2), mode="replicate"))
            if self.fold > 1:
                return F.pixel_shuffle(base, 2) + F.pixel_shuffle(added.float(), 2 * self.fold)
            return F.pixel_shuffle(base + (added.repeat(1, 3, 1, 1) if self.kind == "luma" else added).float(), 2)

    def plain(self) -> Candidate:
        """The same function with every convolution one convolution."""
        for index, layer in enumerate(self.body):
            if isinstance(layer, Branched):
                kernel = layer.folded().detach()
                conv = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1)
                conv.weight.data, conv.bias.data = kernel, layer.bias.detach()  # type: ignore[union-attr]
                self.body[index] = conv
        return self.eval()


def train(name: str, settings: recipe.Recipe, training: pool.Pool, steps: int) -> Candidate:
    """The candidate after `steps` steps, weights averaged over the last thousand or so."""
    torch.manual_seed(settings.run.seed)
    run, model = settings.run, Candidate(name).to(memory_format=torch.channels_last)
    mean = copy.deepcopy(model)
    optimiser = torch.optim.Adam(model.parameters(), lr=run.rate, betas=(0.9, 0.99))
    balancer, shares = balance.Balancer(), balance.shares(settings.pixel, 0.0)
    began = time.monotonic()
    for step in range(steps):
        done = step / steps
        model.slope = max(model.ends, SLOPE * (1 - done / 0.8))
        for group in optimiser.param_groups:
            group["lr"] = run.rate * (0.02 + 0.49 * (1 + math.cos(math.pi * done))) * min(1.0, (step + 1) / run.warmup)
        low, high = (
            torch.from_numpy(part).to(torch.float32, memory_format=torch.channels_last).div_(255)
            for part in training.batch(run.seed, step, run.batch, run.crop, 1)
        )
        with torch.autocast("cpu", torch.bfloat16, enabled=run.bf16):
            made = model(low)
        table = {"pixel": losses.charbonnier(made, high), "frequency": losses.frequency(made, high)}
        if step % 8 == 0:
            balancer.measure(table, made)
        optimiser.zero_grad(set_to_none=True)
        balancer.total(table, shares).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 100.0)
        optimiser.step()
        with torch.no_grad():
            torch._foreach_lerp_(
                list(mean.parameters()), list(model.parameters()), 1 - min(0.997, (1 + step) / (10 + step))
            )
        if step % 250 == 0:
            each = 1000 * (time.monotonic() - began) / (step + 1)
            print(f"{name}: step {step} of {steps}, {each:.0f} ms each", file=sys.stderr, flush=True)
    mean.slope = mean.ends
    return mean.plain()


def exported(model: Candidate) -> bytes:
    """The ONNX file of a plain candidate, height and width free."""
    height, width = (2 * torch.export.Dim(name, min=8, max=4096) for name in ("half_height", "half_width"))
    program = torch.onnx.export(
        model, (torch.zeros(1, 3, 32, 48),), dynamo=True, input_names=["input"], output_names=["output"],
        dynamic_shapes=({2: height, 3: width},), opset_version=18, verbose=False,
    )  # fmt: skip
    assert program is not None
    proto: onnx.ModelProto = program.model_proto
    data: bytes = proto.SerializeToString()
    return data


def session(data: bytes, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    for name, value in (("half_height", SIZE[1] // 2), ("half_width", SIZE[0] // 2)):
        if threads > 1:
            options.add_free_dimension_override_by_name(name, value)
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def quality(data: bytes, held_out: pool.Pool) -> tuple[dict[str, float], Frames]:
    runner, frame = session(data, 1), held_out.high.shape[1] // 2
    low, high = np.asarray(held_out.low[:, frame]), np.asarray(held_out.high[:, frame])
    made = [runner.run(None, {"input": f.transpose(2, 0, 1)[None].astype(np.float32) / 255})[0] for f in low]
    pictures = metrics.to_uint8(np.concatenate(made))
    return metrics.score(pictures, high), pictures


def make(name: str, settings: recipe.Recipe, steps: int) -> None:
    """Train, export, quantise and measure one candidate; everything appears in FOLDER at once."""
    training, held_out = (pool.load(pool.folder(settings, part)) for part in (False, True))
    began = time.monotonic()
    model = train(name, settings, training, steps)
    minutes = (time.monotonic() - began) / 60
    data = exported(model)
    chosen = np.linspace(0, len(training) - 1, 64).astype(int)
    small = [training.low[i, 1].transpose(2, 0, 1)[None].astype(np.float32) / 255 for i in chosen]
    twin = quantise(data, small)
    (scores, pictures), (int8_scores, int8_pictures) = (quality(each, held_out) for each in (data, twin))
    error = np.mean((pictures.astype(np.float32) - int8_pictures) ** 2)
    stem = FOLDER / name
    stem.with_suffix(".onnx").write_bytes(data)
    stem.with_suffix(".int8.onnx").write_bytes(twin)
    facts = {
        "name": name, "steps": steps, "minutes": minutes, "multiply_adds": model.multiply_adds, "scores": scores,
        "int8": int8_scores, "apart": float(10 * np.log10(255**2 / error)),
    }  # fmt: skip
    stem.with_suffix(".json").write_text(json.dumps(facts, indent=1))


def timed(files: list[Path], rounds: int) -> dict[Path, float]:
    """Milliseconds a frame of SIZE, two threads: the files take turns, the median of the rounds counts."""
    picture = np.random.default_rng(0).random((1, 3, SIZE[1], SIZE[0]), np.float32)
    found: dict[Path, list[float]] = {file: [] for file in files}
    for _ in range(rounds):
        for file in files:
            runner = session(file.read_bytes(), 2)
            runner.run(None, {"input": picture})
            began, count = time.monotonic(), 0
            while time.monotonic() - began < 1 or count < 3:
                runner.run(None, {"input": picture})
                count += 1
            found[file].append(1000 * (time.monotonic() - began) / count)
            del runner
    return {file: float(np.median(times)) for file, times in found.items()}


def table(held_out: pool.Pool, rounds: int) -> str:
    """Markdown of everything in FOLDER, cheapest first."""
    every = [json.loads(file.read_text()) for file in FOLDER.glob("*.json")]
    every.sort(key=lambda facts: float(facts["multiply_adds"]))
    stems = {facts["name"]: FOLDER / str(facts["name"]) for facts in every}
    files = [stem.with_suffix(end) for stem in stems.values() for end in (".onnx", ".int8.onnx")]
    times = timed(files, rounds)
    frame = held_out.high.shape[1] // 2
    low, high = np.asarray(held_out.low[:, frame]), np.asarray(held_out.high[:, frame])
    base = metrics.score(metrics.lanczos(low, 2), high)
    one = times[stems[BASE].with_suffix(".onnx")] if BASE in stems else math.nan
    rows = [
        "| generator | multiply-adds per input pixel | PSNR-Y | SSIMULACRA2 | int8, from float32 | SSIMULACRA2 of int8 "
        f"| float32, ms ({BASE} = 1) | int8, ms ({BASE} float32 = 1) |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
        f"| Lanczos | | {base['psnr_y']:.2f} | {base['ssimulacra2']:.2f} | | | | |",
    ]
    for facts in every:
        a, b = (times[stems[facts["name"]].with_suffix(end)] for end in (".onnx", ".int8.onnx"))
        rows.append(
            f"| {facts['name']} | {facts['multiply_adds']:,} | {facts['scores']['psnr_y']:.2f} "
            f"| {facts['scores']['ssimulacra2']:.2f} | {facts['apart']:.1f} dB | {facts['int8']['ssimulacra2']:.2f} "
            f"| {a:.0f} ({a / one:.2f}) | {b:.0f} ({b / one:.2f}) |"
        )
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="default: " + ", ".join(NAMES))
    add("--steps", type=int, default=1500)
    add("--rounds", type=int, default=5, help="of timing")
    add("--train", action="store_true", help="do not time")
    add("--time", action="store_true", help="do not train")
    args = parser.parse_args()
    settings = recipe.load("scripts/recipes/general-2x-psnr.toml")
    for part in (True, False):
        pool.build(settings, part, say=lambda line: print(line, file=sys.stderr))
    FOLDER.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for name in args.names or NAMES:
        if not args.time and not (FOLDER / name).with_suffix(".json").exists():
            make(name, settings, args.steps)
    if not args.train:
        print(table(pool.load(pool.folder(settings, True)), args.rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
