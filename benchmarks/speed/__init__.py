"""The rooms behind scripts/bench_cuda.

job          one measurement in a process of its own
contestants  what is measured: ours, vs-mlrt, PyTorch, the bound, the flow alone, memory over many frames
torchnet     an ONNX generator as a PyTorch module
agreement    how far outputs lie apart
report       results as JSON and Markdown
"""
