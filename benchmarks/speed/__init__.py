"""The rooms behind scripts/bench_cuda.

job          one measurement in a process of its own
worker       the program of that process
contestants  what is measured through VapourSynth: ours, vs-mlrt, memory over many frames
alone        what is measured without it: the engine, the bound, PyTorch
faults       what it must survive: the trial, memory that runs out, a second stream that fails
nodes        where the network's own time goes
torchnet     an ONNX generator as a PyTorch module
agreement    how far outputs lie apart
report       results as JSON and Markdown
"""
