"""The rooms behind scripts/bench_cuda.

job          one measurement in a process of its own
worker       the program of that process
contestants  what is measured through VapourSynth: ours, vs-mlrt, memory over many frames
alone        what is measured without it: the engine, the bound, PyTorch
torchnet     an ONNX generator as a PyTorch module
agreement    how far outputs lie apart
report       results as JSON and Markdown
"""
