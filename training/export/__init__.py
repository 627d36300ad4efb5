"""Turn a checkpoint into a file: fold, write ONNX, compare with PyTorch, write the card, make the int8 variant."""
