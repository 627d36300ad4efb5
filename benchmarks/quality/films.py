"""Tells whether two checkouts make the same films: frames, their times and the other tracks, of every kind of file.

    .venv/bin/python -m benchmarks.quality.films --against ../before [--only hdr10 gif] [--save films.json]

Each checkout runs `gansr upscale` in its own environment (`.venv`), with the same network, in one piece and in chunks.
The kinds of files are those of tests/support/wild.py in this checkout. Exit status 0 if all films are equal.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import av

from benchmarks.paths import ROOT

sys.path.insert(0, str(ROOT / "tests" / "support"))
KINDS: dict[str, Any] = importlib.import_module("wild").KINDS
WAYS = {"one piece": ["--chunk", "0"], "chunks": ["--chunk", "0.2", "--workers", "1"]}
WORDS = ["--preset", "ultrafast", "--provider", "CPU", "-q"]
OWN_TAGS = {"gansr", "comment", "encoder", "duration"}  # what the command and ffmpeg write of themselves


def main() -> int:
    """Prints a table of all kinds; returns 0 if all films are equal, else 1."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--checkout", type=Path, default=ROOT, help="default: this one")
    parser.add_argument("--against", type=Path, required=True, metavar="CHECKOUT", help="the other one")
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "fast-2x.onnx", help="default: fast-2x")
    parser.add_argument("--only", nargs="+", choices=list(KINDS), default=list(KINDS), metavar="KIND")
    parser.add_argument("--save", type=Path, metavar="JSON", help="write what was found to a file")
    arguments = parser.parse_args()
    table = {}
    with tempfile.TemporaryDirectory(prefix="gansr-") as folder:
        for number, name in enumerate(arguments.only):
            place = Path(folder) / str(number)
            place.mkdir()
            source = place / KINDS[name].file
            KINDS[name].draw(source)
            for way, words in WAYS.items():
                films = [
                    film(checkout.resolve(), KINDS[name], source, arguments.model.resolve(), words)
                    for checkout in (arguments.against, arguments.checkout)
                ]
                table[f"{name}, {way}"] = row = compared(*films)
                print(f"{name}, {way} | {' | '.join(row.values())}", flush=True)
    if arguments.save:
        arguments.save.write_text(json.dumps(table, indent=1), "utf-8")
    unequal = [name for name, row in table.items() if not all(word.startswith("equal") for word in row.values())]
    print(f"{len(table)} films, {len(unequal)} differ: {'; '.join(unequal) or 'none'}")
    return 1 if unequal else 0


def film(checkout: Path, kind: Any, source: Path, model: Path, words: list[str]) -> dict[str, Any]:
    """What the command of `checkout` makes of `source`, as `read` describes it, or `error`, its last line."""
    output = source.with_name("out.mkv")
    command: list[Any] = [checkout / ".venv" / "bin" / "python", "-P", "-m", "vs_gansr", "upscale", source, output]
    command += ["--model", model, *WORDS, *kind.words, *words]
    done = subprocess.run(
        [os.fsencode(word) for word in command],
        env={**os.environ, "PYTHONPATH": str(checkout)},
        cwd=source.parent,
        capture_output=True,
        timeout=300,
    )
    if done.returncode:
        return {"error": done.stderr.decode("utf-8", "replace").strip().splitlines()[-1]}
    try:
        return read(output)
    finally:
        output.unlink()


def read(path: Path) -> dict[str, Any]:
    """The `frames` of a film, their `times`, and all else that it holds, its `tracks`."""
    frames, times = [], []
    with av.open(str(path)) as container:
        picture = container.streams.video[0]
        for frame in container.decode(picture):
            planes = b"".join(bytes(plane) for plane in frame.planes)
            colours = (frame.format.name, frame.colorspace, frame.color_range, picture.sample_aspect_ratio)
            frames.append(hashlib.sha256(repr(colours).encode() + planes).hexdigest())
            times.append(str(frame.time))
    with av.open(str(path)) as container:
        tracks = [(s.type, s.codec_context and s.codec_context.name, tags(s.metadata)) for s in container.streams]
        picture = container.streams.video[0]
        content = {s.index: hashlib.sha256() for s in container.streams if s.index != picture.index}
        for packet in container.demux():
            if packet.stream_index in content and packet.size:
                content[packet.stream_index].update(f"{packet.pts} {packet.duration} ".encode() + bytes(packet))
        chapters = [(str(c["start"] * c["time_base"]), tags(c["metadata"])) for c in container.chapters()]
        held = (tracks, [each.hexdigest() for each in content.values()], chapters, tags(container.metadata))
    return {"frames": frames, "times": times, "tracks": held}


def tags(metadata: Any) -> list[tuple[str, str]]:
    """The tags of a film, a track or a chapter that come from the source."""
    return sorted((name, value) for name, value in metadata.items() if name.lower() not in OWN_TAGS)


def compared(before: dict[str, Any], now: dict[str, Any]) -> dict[str, str]:
    """For frames, times and tracks "equal" or what differs; in place of a film its error."""
    if "error" in before or "error" in now:
        words = [str(each.get("error", "a film")) for each in (before, now)]
        return {"error": f"equal: {words[0]}" if words[0] == words[1] else f"{words[0]} -> {words[1]}"}
    row = {}
    for part in ("frames", "times"):
        one, other = before[part], now[part]
        wrong = sum(a != b for a, b in zip(one, other, strict=False))
        row[part] = f"equal ({len(one)})" if one == other else f"{wrong} of {len(one)} {part} differ, {len(other)} now"
    row["tracks"] = "equal" if before["tracks"] == now["tracks"] else f"{before['tracks']} -> {now['tracks']}"
    return row


if __name__ == "__main__":
    sys.exit(main())
