"""Make the int8 variant of a model: calibrate on frames of its pool, measure on held-out ones.

    scripts/quantise NAME [--recipe training/recipes/NAME.toml] [--pictures 128] [--keep conv0 conv9]

Reads models/NAME.onnx, writes models/NAME.int8.onnx and prints how far both are apart.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from vs_gansr.colour.pictures import psnr
from vs_gansr.common import files
from vs_gansr.model.rewrite.int8 import quantise

from .. import recipe
from ..material import pool
from ..records.enlarge import seen

Picture = NDArray[np.float32]
"""A network's input, as `records.enlarge.seen` makes it."""


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def pictures(folder: Path, count: int, colour: bool = False) -> list[Picture]:
    """`count` small pictures of the pool in `folder`, evenly spread over its entries, as `seen` makes them."""
    ready = pool.load(folder)
    chosen = np.linspace(0, len(ready) - 1, count).astype(int)
    middle = ready.low.shape[1] // 2
    return [seen(ready.low[i : i + 1, middle], ready.low_chroma[i : i + 1, middle], colour) for i in chosen]


def apart(first: bytes, second: bytes, pictures: Sequence[Picture]) -> list[float]:
    """PSNR in dB between the clamped results of two networks' files, by picture."""
    a, b = (onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]) for data in (first, second))
    found = []
    for picture in pictures:
        x, y = (np.clip(np.asarray(s.run(None, {"input": picture})[0]), 0, 1) for s in (a, b))
        found.append(psnr(float(np.mean((x - y) ** 2))))
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run `scripts/quantise`; 0 when the int8 variant is written and measured."""
    parser = argparse.ArgumentParser(
        prog="scripts/quantise", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="of a model in models/")
    parser.add_argument("--recipe", type=Path, help="default: training/recipes/NAME.toml")
    parser.add_argument("--pictures", type=int, default=128, help="frames to calibrate on (%(default)s)")
    parser.add_argument(
        "--keep",
        nargs="*",
        metavar="NODE",
        help="convolutions that stay float32, as conv0 (default: the recipe's ship.keep)",
    )
    args = parser.parse_args(argv)
    settings = recipe.load(args.recipe or recipe.find(args.name))
    source = Path("models") / f"{args.name}.onnx"
    target = source.with_name(f"{args.name}.int8.onnx")
    data = source.read_bytes()
    colour, keep = settings.generator.colour, settings.ship.keep if args.keep is None else args.keep
    twin = quantise(data, pictures(pool.build(settings, say=_say), args.pictures, colour), keep)
    files.write(target, twin)
    decibels = apart(data, twin, pictures(pool.build(settings, held_out=True, say=_say), 48, colour))
    _say(f"{target}: {len(twin):,} bytes; against float32 on 48 held-out frames:")
    _say(f"PSNR median {np.median(decibels):.1f} dB, least {min(decibels):.1f} dB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
