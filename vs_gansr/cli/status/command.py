"""Owns `gansr status`: what the ledgers beside outputs say; starts nothing, changes nothing."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..common import CommandError
from ..upscale.ledger import Ledger, busy, folder_of
from ..upscale.progress import clock

__all__ = ["HELP", "add_arguments", "run"]

HELP = "say how far a film is that `gansr upscale` renders, or has left unfinished"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `gansr status`."""
    parser.add_argument("place", nargs="*", default=["."], help="outputs, or folders with outputs (default: this one)")
    parser.add_argument("--json", action="store_true", help="the same for programs")


def run(args: argparse.Namespace) -> int:
    """Prints a line for each film under way or unfinished."""
    found = [state(ledger) for place in args.place for ledger in ledgers(Path(place))]
    if args.json:
        print(json.dumps(found, indent=1))
        return 0
    for film in found:
        print(describe(film))
    if not found:
        print(f"nothing is unfinished in {', '.join(args.place)}")
    return 0


def ledgers(place: Path) -> list[Ledger]:
    """Those of an output, its folder of chunks, or of all outputs in a folder."""
    if folder_of(place).is_dir():
        folders = [folder_of(place)]
    elif place.suffix == ".gansr":
        folders = [place]
    elif place.is_dir():
        folders = sorted(place.glob("*.gansr"))
    elif place.exists():
        folders = []
    else:
        raise CommandError(f"{place} does not exist, nor do chunks of it")
    return [ledger for folder in folders if (ledger := Ledger.load(folder))]


def state(ledger: Ledger) -> dict[str, Any]:
    """What is to be said of one film. Sizes are in bytes, times in seconds."""
    frames, size = ledger.done()
    spent = sum(ledger.seconds.values())
    total = ledger.spans[-1][1]
    return {
        "output": str(ledger.folder.with_suffix("")),
        "running": busy(ledger.folder),
        "chunks": len(ledger.chunks),
        "all chunks": len(ledger.spans),
        "frames": frames,
        "all frames": total,
        "size": size,
        "fps of a worker": round(frames / spent, 2) if spent else None,
        "seconds left for one worker": round((total - frames) * spent / frames) if frames else None,
        "retries": sum(ledger.retries.values()),
    }


def describe(film: dict[str, Any]) -> str:
    """One line on one film."""
    share = 100 * film["frames"] / film["all frames"]
    text = f"{film['output']}: {'running' if film['running'] else 'unfinished'}, {film['chunks']} of "
    text += f"{film['all chunks']} chunks, {film['frames']}/{film['all frames']} frames, {share:.1f} %"
    text += f", {film['size'] / 1e6:.1f} MB"
    if film["seconds left for one worker"] is not None:
        text += f", {clock(film['seconds left for one worker'])} left for one worker"
    return text if film["running"] else f"{text}; the command that began it goes on"
