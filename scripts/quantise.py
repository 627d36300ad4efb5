"""Make the int8 twin of a model trained here, calibrated on the frames it was trained on.

    scripts/quantise NAME [--recipe scripts/recipes/NAME.toml] [--pictures 128]

reads models/NAME.onnx, writes models/NAME.int8.onnx and prints how far both are apart on held-out frames.
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import onnxruntime

from vs_gansr.quantise import quantise
from vs_gansr.train import pool, recipe


def frames(folder: Path, count: int) -> list[np.ndarray]:
    """`count` small frames of a pool, evenly spread over its entries: (1, 3, H, W) float32 in [0, 1]."""
    low = pool.load(folder).low
    chosen = np.linspace(0, len(low) - 1, count).astype(int)
    middle = low.shape[1] // 2
    return [low[i, middle].transpose(2, 0, 1)[None].astype(np.float32) / 255 for i in chosen]


def psnr(first: bytes, second: bytes, pictures: list[np.ndarray]) -> list[float]:
    """Decibels between two networks' clamped results, by picture."""
    a, b = (onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]) for data in (first, second))
    found = []
    for picture in pictures:
        x, y = (np.clip(s.run(None, {"input": picture})[0], 0, 1) for s in (a, b))
        found.append(float(-10 * np.log10(np.mean((x - y) ** 2))))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--recipe", type=Path)
    parser.add_argument("--pictures", type=int, default=128)
    args = parser.parse_args()
    settings = recipe.load(args.recipe or Path(f"scripts/recipes/{args.name}.toml"))
    source = Path("models") / f"{args.name}.onnx"
    target = source.with_name(f"{args.name}.int8.onnx")
    data = source.read_bytes()
    twin = quantise(data, frames(pool.build(settings, say=print), args.pictures))
    part = target.with_suffix(f".part{os.getpid()}")
    part.write_bytes(twin)
    part.replace(target)
    apart = psnr(data, twin, frames(pool.build(settings, held_out=True, say=print), 48))
    print(f"{target}: {len(twin):,} bytes; against float32 on 48 held-out frames:")
    print(f"PSNR median {np.median(apart):.1f} dB, least {min(apart):.1f} dB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
