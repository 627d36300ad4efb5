"""Measure quality and speed of vs-gansr, and make its demo. Not shipped; run by `scripts/`.

paths     folders of the checkout, its material and its results
sheets    contact sheets of crops
quality/  upscaled clips beside references (`evaluate`, `faithful`, `int8`), checksums of frames (`checksums`),
          films of two checkouts (`films`)
speed/    frames a second, latency and memory (`bench`), a GPU's page (`bench_cuda`), chunks and workers (`scale`)
demo/     upscale a synthetic clip and show it beside its input
"""
