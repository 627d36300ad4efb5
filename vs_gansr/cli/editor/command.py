"""Owns `gansr editor`: starts a script editor so that it previews with this VapourSynth."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import Path

from ..common import CommandError

__all__ = ["HELP", "add_arguments", "run"]

HELP = "start VSEdit, or another editor that looks for vapoursynth-script, with this VapourSynth"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `gansr editor`; docs/cli.md explains them."""
    parser.add_argument("editor", help="vsedit, or the path of an editor's program")
    parser.add_argument("script", nargs="?", type=Path, help="the .vpy to open")


def run(args: argparse.Namespace) -> int:
    """Starts the editor and returns its exit code."""
    from .vsscript import environment, prepare

    program = shutil.which(args.editor)
    if program is None:
        raise CommandError(f'"{args.editor}" is not on the path; install it, or give the path of its program')
    if args.script is not None and not args.script.is_file():
        raise CommandError(f"{args.script} does not exist")
    words = [program, *([str(args.script.absolute())] if args.script else []), *args.rest]
    return subprocess.run(words, env=environment(prepare())).returncode
