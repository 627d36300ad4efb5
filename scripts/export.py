"""Turn a checkpoint into a shipped model: scripts/export runs/NAME/checkpoint.pt models/NAME.onnx."""

import sys

from training.command import export_main

if __name__ == "__main__":
    sys.exit(export_main())
