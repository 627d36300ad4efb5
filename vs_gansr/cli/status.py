"""The command `gansr status`: read the ledgers beside outputs and print the progress. It changes nothing unless it
is asked to delete old chunks or indexes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .common import CommandError
from .upscale.chunks.ledger import MANY_DAYS, Ledger, busy, folder_of, old_folders
from .upscale.chunks.plan import NAME, Plan
from .upscale.progress import clock
from .upscale.source import index

__all__ = ["HELP", "add_arguments", "run"]

HELP = "show the progress of unfinished films; delete leftover chunks and source indexes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `gansr status`."""
    parser.add_argument(
        "place", nargs="*", default=["."], help="outputs, or folders with outputs (default: the current folder)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--clear-chunks", type=float, nargs="?", const=MANY_DAYS, metavar="DAYS",
        help=f"delete the chunks of films that have not changed for so many days (default: {MANY_DAYS:g})")  # fmt: skip
    parser.add_argument("--clear-index", action="store_true", help="delete BestSource's indexes of all sources")


def run(args: argparse.Namespace) -> int:
    """Print one line for each film that is being rendered or unfinished, or delete what is asked for."""
    if args.clear_index or args.clear_chunks is not None:
        return clear(args)
    found = [state(ledger) for place in args.place for ledger in ledgers(Path(place))]
    if args.json:
        print(json.dumps(found, indent=1))
        return 0
    for film in found:
        print(describe(film))
    if not found:
        print(f"no unfinished films in {', '.join(args.place)}")
    return 0


def clear(args: argparse.Namespace) -> int:
    """Delete old chunks in the places, and indexes, and print what was deleted."""
    if args.clear_chunks is not None:
        for place in args.place:
            if not Path(place).is_dir():
                raise CommandError(f"{place} is not a folder; name the folder that the outputs are in")
            for folder, size in old_folders(Path(place), args.clear_chunks).items():
                Ledger(folder).remove()
                print(f"{folder}: {size / 1e6:.1f} MB deleted")
    if args.clear_index:
        print(f"indexes: {index.clear() / 1e6:.1f} MB deleted")
    return 0


def ledgers(place: Path) -> list[Ledger]:
    """Return the ledger of an output or of its folder of chunks, or the ledgers of all outputs in a folder."""
    if folder_of(place).is_dir():
        folders = [folder_of(place)]
    elif place.suffix == ".gansr":
        folders = [place]
    elif place.is_dir():
        folders = sorted(place.glob("*.gansr"))
    elif place.exists():
        folders = []
    else:
        raise CommandError(
            f"found neither {place} nor unfinished chunks of it; give the output of a `gansr upscale`, or its folder"
        )
    return [ledger for folder in folders if (ledger := Ledger.load(folder))]


def state(ledger: Ledger) -> dict[str, Any]:
    """Return the state of one film. Sizes are in bytes, times in seconds."""
    frames, size = ledger.done()
    spent = sum(ledger.seconds.values())
    spans = Plan.load(ledger.folder / NAME).spans
    total = spans[-1][1]
    return {
        "output": str(ledger.folder.with_suffix("")),
        "running": busy(ledger.folder),
        "chunks": len(ledger.chunks),
        "all chunks": len(spans),
        "frames": frames,
        "all frames": total,
        "size": size,
        "fps of a worker": round(frames / spent, 2) if spent else None,
        "seconds left for one worker": round((total - frames) * spent / frames) if frames else None,
        "retries": sum(ledger.retries.values()),
    }


def describe(film: dict[str, Any]) -> str:
    """Return one line about one film."""
    share = 100 * film["frames"] / film["all frames"]
    text = f"{film['output']}: {'running' if film['running'] else 'unfinished'}, {film['chunks']} of "
    text += f"{film['all chunks']} chunks, {film['frames']}/{film['all frames']} frames, {share:.1f} %"
    text += f", {film['size'] / 1e6:.1f} MB"
    if film["seconds left for one worker"] is not None:
        text += f", {clock(film['seconds left for one worker'])} left with one worker"
    return text if film["running"] else f"{text}; repeat the command to continue"
