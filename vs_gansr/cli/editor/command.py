"""The command `gansr editor`: start a script editor that previews with this VapourSynth."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import Path

from ..common import CommandError

__all__ = ["HELP", "add_arguments", "run"]

HELP = "start VSEdit, or another editor that needs vapoursynth-script, with this VapourSynth"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `gansr editor`; docs/cli.md explains them."""
    parser.add_argument("editor", help="vsedit, or the path of an editor")
    parser.add_argument("script", nargs="?", type=Path, help="the .vpy script to open")


def run(args: argparse.Namespace) -> int:
    """Start the editor and return its exit code."""
    from .vsscript import environment, prepare

    program = shutil.which(args.editor)
    if program is None:
        raise CommandError(f'"{args.editor}" is not on the path; install it, or give the path of the editor')
    if args.script is not None and not args.script.is_file():
        raise CommandError(f"{args.script} does not exist")
    words = [program, *([str(args.script.absolute())] if args.script else []), *args.rest]
    return subprocess.run(words, env=environment(prepare())).returncode
