"""Make the int8 twin of a model trained here, calibrated on the frames it was trained on.

    scripts/quantise NAME [--recipe scripts/recipes/NAME.toml] [--pictures 128]
    scripts/quantise NAME --check

The first reads models/NAME.onnx, writes models/NAME.int8.onnx and prints how far both are apart on held-out frames; the
second prints how far they are apart on the evaluation clips, three frames of each under every condition.
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import onnxruntime

from vs_gansr import model
from vs_gansr.quantise import quantise
from vs_gansr.train import pool, recipe

ROOT = Path(__file__).resolve().parent.parent


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


def check(name: str) -> str:
    """Markdown: decibels between both files on the luma and chroma that the evaluation's clips come out with."""
    sys.path.insert(0, str(ROOT / "scripts"))
    from evaluation import prepare
    from evaluation.store import Store

    import vs_gansr

    store, rows = Store(ROOT / ".cache" / "evaluate"), []
    files = prepare.material(ROOT.parent / "shared/data/eval/clips")
    factor = model.load(name).spec.scale or 1
    for preparation in prepare.PREPARATIONS.values():
        for case in prepare.prepare(store, files, preparation, factor):
            clip = case.load_source()[:: case.frames // 3]
            pair = [vs_gansr.upscale(clip, model=name, precision=p, provider="CPU") for p in ("fp32", "int8")]
            errors = []
            for frames in zip(*(each.frames() for each in pair), strict=True):
                planes = [np.concatenate([np.asarray(f[i], np.float64).ravel() for i in range(3)]) for f in frames]
                errors.append(np.mean((planes[0] - planes[1]) ** 2))
            decibels = 10 * np.log10(255**2 / max(float(np.mean(errors)), 1e-9))
            rows.append((decibels, f"| {case.clip} | {preparation.name} {case.condition} | {decibels:.1f} |"))
    lines = [f"| {name}: clip | condition | int8 against float32, dB |", "|---|---|---:|", *(row for _, row in rows)]
    return "\n".join([*lines, f"\nLeast: {min(value for value, _ in rows):.1f} dB."])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--recipe", type=Path)
    parser.add_argument("--pictures", type=int, default=128)
    parser.add_argument("--check", action="store_true", help="measure the twin that is there on the evaluation clips")
    args = parser.parse_args()
    if args.check:
        print(check(args.name))
        return 0
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
