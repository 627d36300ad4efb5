"""Run networks in ONNX Runtime, their pictures in ordinary memory."""
