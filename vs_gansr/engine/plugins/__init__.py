"""Run networks on providers that ONNX Runtime loads as plugins."""
