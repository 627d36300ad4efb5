"""Measure speed: scripts/bench and scripts/bench_cuda.

bench        the command behind scripts/bench; harness, run and profile are its parts
checkouts    two checkouts in pairs
scale        chunks and workers of gansr upscale
bench_cuda   the command behind scripts/bench_cuda; its parts:
job          one measurement in its own process
worker       the program of that process
contestants  measured through VapourSynth: vs-gansr, vs-mlrt, memory over many frames
alone        measured without it: the engine, PyTorch
faults       one convolution, and memory that runs out
nodes        the network's time by operator
torchnet     an ONNX generator as a PyTorch module
agreement    differences between outputs
report       results as Markdown
"""
