"""Run `scripts/export`: turn a checkpoint into a model and its card."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vs_gansr.common import files

from ..recipe import RecipeError
from ..records.checkpoint import CheckpointError
from . import export

_ERRORS = (RecipeError, CheckpointError, export.ExportError, ValueError, OSError)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Run `scripts/export`; 0 when the model is written and verified, 1 with one line on stderr otherwise."""
    parser = argparse.ArgumentParser(prog="scripts/export", description="Turn a checkpoint into a model and its card.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("model", type=Path, help="models/NAME.onnx; the card goes beside it as NAME.md")
    parser.add_argument("--hardware", default="a CPU", help="what it was trained on, for the card")
    options = parser.parse_args(arguments)
    try:
        made = export.export(options.checkpoint, options.model, options.hardware)
        card = options.model.with_suffix(".md")
        if card.exists():
            _say(f"export: {card} is there already and left alone")
        else:
            files.write(card, export.card(made, options.hardware))
    except _ERRORS as error:
        _say(f"export: {error}")
        return 1
    _say(f"export: {made.path}, {made.path.stat().st_size:,} bytes, {made.difference:.1e} from PyTorch at most")
    return 0


if __name__ == "__main__":
    sys.exit(main())
