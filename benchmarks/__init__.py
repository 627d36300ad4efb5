"""What measures vs-gansr and shows what it does; not shipped, run by `scripts/`, and never imported by `vs_gansr`.

paths     where the checkout, its material and its results lie
quality/  pictures against references: `evaluate`, the adversary's worth (`twin`), int8 against float32 (`int8`)
speed/    what a GPU makes of it (`bench_cuda`)
demo/     a clip of its own making, upscaled and shown beside its input
"""
