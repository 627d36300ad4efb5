"""What goes wrong on the way of a film in chunks, at random moments: no frame is lost, doubled or wrong at the end.

    scripts/soak film --runs 20 worker driver disk damage source head

Each run begins a film, does it harm, gives the same command again until it ends, and compares every decoded frame
with those of the film in one piece (lossless, so that they are equal). Under the final name there is nothing before.
Linux; `disk` mounts a tmpfs and needs root or user namespaces, `head` starts and kills a Ray cluster of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import footage
import networks
import psutil
import ray_cluster

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 200
WORDS = ["--chunk", "0.8", "--preset", "ultrafast", "--params", "lossless=1", "-q"]
TURNS = 6  # how often the same command is given at most


class Wrong(Exception):
    """The film, or what is left beside it, is wrong."""


@dataclass
class Stage:
    """A folder with a source, a network and what its film looks like; `tries` counts commands given."""

    folder: Path
    random: random.Random
    expected: list[str] = field(default_factory=list)
    tries: int = 0

    @property
    def source(self) -> Path:
        return self.folder / "in.mkv"

    @property
    def output(self) -> Path:
        return self.folder / "out" / "out.mkv"

    @property
    def chunks(self) -> Path:
        return self.output.with_name("out.mkv.gansr")

    def command(self, *more: str) -> list[str]:
        """`gansr upscale` of the source."""
        words = [sys.executable, "-m", "vs_gansr", "upscale", str(self.source), str(self.output)]
        return [*words, "--model", str(self.folder / "point.onnx"), *WORDS, *more]

    def start(self, *more: str) -> subprocess.Popen[str]:
        """Begins or goes on."""
        self.tries += 1
        return subprocess.Popen(self.command(*more), stderr=subprocess.PIPE, text=True)

    def until(self, process: subprocess.Popen[str], chunks: int) -> None:
        """Waits until so many chunks are finished, or the process has ended."""
        while process.poll() is None and len(list(self.chunks.glob("chunk-*.mp4"))) < chunks:
            time.sleep(0.005)

    def quiet(self) -> None:
        """Waits until nobody works in the folder."""
        for _ in range(1000):
            if not [
                p for p in psutil.process_iter(["cmdline"]) if str(self.folder) in " ".join(p.info["cmdline"] or [])
            ]:
                return
            time.sleep(0.02)
        raise Wrong("processes are left behind")

    def finish(self, *more: str) -> None:
        """Gives the same command until it succeeds, and looks at the film."""
        for _ in range(TURNS):
            process = self.start(*more)
            _, said = process.communicate(timeout=300)
            if process.returncode == 0:
                return self.check()
            self.absent()
        raise Wrong(f"never succeeds: {said}")

    def absent(self) -> None:
        if self.output.exists():
            raise Wrong("a file has the final name before its time")

    def check(self) -> None:
        """Every frame, and nothing left."""
        found = hashes(self.output)
        if found != self.expected:
            raise Wrong(f"{len(found)} frames, {sum(a != b for a, b in zip(found, self.expected, strict=False))} wrong")
        # docs/cli.md: the temporary file of one that SIGKILL ended stays.
        if left := [p.name for p in self.output.parent.iterdir() if p != self.output and p.name[:7] != ".gansr-"]:
            raise Wrong(f"left behind: {left}")


def hashes(path: Path) -> list[str]:
    """When every decoded frame is shown, and its MD5."""
    words = [footage.FFMPEG, "-v", "error", "-i", str(path), "-map", "0:v:0", "-fps_mode", "passthrough"]
    listing = subprocess.run([*words, "-f", "framemd5", "-"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(",") for line in listing.splitlines() if not line.startswith("#")]
    return [f"{row[2].strip()} {row[5].strip()}" for row in rows]


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Workers and their ffmpegs."""
    with contextlib.suppress(psutil.Error):
        children: list[psutil.Process] = psutil.Process(process.pid).children(recursive=True)
        return children
    return []


def worker(stage: Stage) -> None:
    """One process of a worker is killed."""
    process = stage.start("--workers", "2")
    stage.until(process, stage.random.randint(0, 5))
    time.sleep(stage.random.uniform(0, 0.3))
    if victims := family(process):
        with contextlib.suppress(psutil.Error):
            stage.random.choice(victims).kill()
    process.communicate(timeout=300)
    if process.returncode == 0:
        return stage.check()
    stage.absent()
    stage.finish("--workers", "2")


def driver(stage: Stage) -> None:
    """The driver is killed, twice, with SIGKILL or SIGINT."""
    for _ in range(2):
        process = stage.start()
        stage.until(process, len(list(stage.chunks.glob("chunk-*.mp4"))) + stage.random.randint(0, 3))
        time.sleep(stage.random.uniform(0, 0.5))
        process.send_signal(stage.random.choice([signal.SIGKILL, signal.SIGINT]))
        process.wait()
        if stage.output.exists():
            break  # it had just finished
    stage.quiet()
    if stage.output.exists() and not stage.chunks.exists():
        return stage.check()
    stage.finish()


def disk(stage: Stage) -> None:
    """The disk is full in a chunk or while joining; then there is room."""
    size = stage.random.randint(60, 900)
    shell = (
        f'mount -t tmpfs -o size={size}k tmpfs "$0" || exit 99; "$@"; first=$?; '
        f'[ -e "$0/out.mkv" ] && [ $first != 0 ] && exit 98; mount -o remount,size=64m "$0" && "$@" -y; '
        'code=$?; cp -a "$0/." "$0.kept"; exit $code'
    )
    namespace = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    kept = stage.output.parent.with_name("out.kept")
    kept.mkdir()
    done = subprocess.run(
        [*namespace, "sh", "-c", shell, str(stage.output.parent), *stage.command()], capture_output=True, text=True
    )
    stage.tries += 2
    if done.returncode:
        raise Wrong(f"{done.returncode}: {done.stderr[-500:]}")
    stage.output.parent.rmdir()
    kept.rename(stage.output.parent)
    stage.check()


def damage(stage: Stage) -> None:
    """A finished chunk is damaged, cut, deleted or exchanged for another."""
    process = stage.start()
    stage.until(process, stage.random.randint(2, 7))
    process.kill()
    process.wait()
    stage.quiet()
    there = sorted(stage.chunks.glob("chunk-*.mp4"))
    if there:
        victim, other = stage.random.choice(there), stage.random.choice(there)
        data = bytearray(victim.read_bytes())
        kind = stage.random.choice(["byte", "cut", "gone", "exchange"])
        if kind == "byte":
            data[stage.random.randrange(len(data))] ^= 1 << stage.random.randrange(8)
            victim.write_bytes(data)
        elif kind == "cut":
            victim.write_bytes(data[: stage.random.randrange(len(data))])
        elif kind == "gone":
            victim.unlink()
        else:
            victim.write_bytes(other.read_bytes())
            other.write_bytes(data)
    stage.finish()


def source(stage: Stage) -> None:
    """The source changes: refused. It is put back: goes on."""
    process = stage.start()
    stage.until(process, stage.random.randint(1, 6))
    process.kill()
    process.wait()
    stage.quiet()
    original = stage.source.read_bytes()
    data = bytearray(original)
    if stage.random.random() < 0.5:
        data[stage.random.randrange(len(data) // 4, len(data))] ^= 1
    else:
        footage.plain(stage.source, frames=FRAMES - stage.random.randint(1, 50))
        data = bytearray(stage.source.read_bytes())
    stage.source.write_bytes(data)
    begun = stage.chunks.exists()
    process = stage.start()
    _, said = process.communicate(timeout=300)
    if begun:
        if process.returncode != 1:
            raise Wrong(f"a changed source is taken: {said}")
        stage.absent()
    else:
        stage.output.unlink(missing_ok=True)
    stage.source.write_bytes(original)
    stage.finish()


def head(stage: Stage) -> None:
    """The head of a Ray cluster is lost, with all its processes; another one is started."""
    first = cluster()
    process = stage.start("--workers", "2", "--cluster", first.address)
    stage.until(process, stage.random.randint(0, 4))
    time.sleep(stage.random.uniform(0, 0.5))
    first.head_node.kill_gcs_server(check_alive=False)
    first.head_node.kill_raylet(check_alive=False)
    begun = time.monotonic()
    try:
        process.wait(90)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        process.wait(60)
    print(f"    ended with {process.returncode} {time.monotonic() - begun:.0f} s after", flush=True)
    running.remove(first)
    first.shutdown()
    stage.quiet()
    if process.returncode != 0:
        stage.absent()
    if process.returncode == 0:
        return stage.check()
    stage.finish("--workers", "2", "--cluster", cluster().address)


def cluster() -> Any:
    """The Ray cluster that is running, or a new one."""
    if not running:
        running.append(ray_cluster.start())
    return running[0]


running: list[Any] = []


FAULTS: dict[str, Callable[[Stage], None]] = {
    "worker": worker, "driver": driver, "disk": disk, "damage": damage, "source": source, "head": head,
}  # fmt: skip


def main(words: Sequence[str]) -> bool:
    """Runs what the command line's `words` say; True if nothing went wrong."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="scripts/soak film", description=__doc__, formatter_class=form)
    parser.add_argument("faults", nargs="*", choices=[*FAULTS, []], help="default: all")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(words)
    # Ray's own patience with a lost head is 60 s.
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_gcs_rpc_server_reconnect_timeout_s": "5"}
    os.environ["PYTHONPATH"] = str(ROOT)
    broken = 0
    with tempfile.TemporaryDirectory(prefix="film-") as folder:
        place = Path(folder)
        networks.point(place / "point.onnx", channels=1)  # of luma, as the shipped ones are
        footage.plain(place / "in.mkv", frames=FRAMES)
        (place / "out").mkdir()
        model = Stage(place, random.Random())
        subprocess.run([*model.command("--chunk", "0")], check=True)
        expected = hashes(model.output)
        assert len(set(expected)) == FRAMES
        for name in args.faults or FAULTS:
            begun, tries, wrong = time.monotonic(), 0, 0
            for run in range(args.runs):
                shutil.rmtree(place / "out", ignore_errors=True)
                (place / "out").mkdir()
                shutil.rmtree(place / "out.kept", ignore_errors=True)
                stage = Stage(place, random.Random(f"{args.seed} {name} {run}"), expected)
                try:
                    FAULTS[name](stage)
                    stage.quiet()
                except (Wrong, subprocess.SubprocessError) as error:
                    wrong += 1
                    print(f"{name} run {run}: {error}", flush=True)
                tries += stage.tries
            broken += wrong
            while running:
                running.pop().shutdown()
            spent = time.monotonic() - begun
            print(f"{name}: {args.runs} runs, {tries} commands, {wrong} wrong, {spent:.0f} s", flush=True)
    return not broken
