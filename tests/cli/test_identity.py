"""The fingerprint of a film in chunks has everything that determines its pictures, and nothing else."""

from __future__ import annotations

import json
import platform
import queue
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import footage
import pytest
from footage import facts
from gansr_process import Gansr, Running, named
from workers import Named

from vs_gansr.cli import ffmpeg
from vs_gansr.cli.common import CommandError
from vs_gansr.cli.upscale.chunks import file as chunk_file
from vs_gansr.cli.upscale.chunks import fingerprint, ledger, render
from vs_gansr.cli.upscale.chunks.ledger import Ledger
from vs_gansr.cli.upscale.job.job import UpscaleJob
from vs_gansr.cli.upscale.job.run_options import RunOptions
from vs_gansr.cli.upscale.progress import Progress
from vs_gansr.cli.upscale.workers import worker
from vs_gansr.cli.upscale.workers.pool import WorkerState
from vs_gansr.cli.upscale.workers.process import Event
from vs_gansr.cli.upscale.workers.scheduler import UpscaleRun
from vs_gansr.filter.computed import Computed

FAST = ["--chunk", "0.6", "--preset", "ultrafast"]


def stopped(start: Callable[..., Running], folder: Path, *words: str | Path) -> dict[str, str]:
    """Ends a film of that command when one chunk is finished; what its ledger says that it is."""
    running = start("upscale", *words, "-q")
    running.until(lambda _: '"sha256"' in text_of(folder / "out.mkv.gansr" / "ledger.json"))
    running.process.send_signal(signal.SIGTERM)
    assert running.end() == 128 + signal.SIGTERM
    found: dict[str, str] = json.loads((folder / "out.mkv.gansr" / "ledger.json").read_text())["identity"]
    return found


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize("encoder", list(ffmpeg.ENCODERS))
def test_the_encoders_own_version_is_found(encoder: str) -> None:
    tool = ffmpeg.choose(encoder)
    said = ffmpeg.encoder_version(tool, encoder)
    assert any(c.isdigit() for c in said) and said.startswith({"svt-av1": "SVT-AV1"}.get(encoder, encoder))
    with pytest.raises(CommandError, match="does not say which version of"):
        ffmpeg.encoder_version(SimpleNamespace(path="/bin/true"), encoder)


def test_another_processor_does_not_make_another_header(tmp_path: Path) -> None:
    """x265 writes the processor's features and its threads into the codec's header."""
    hashes = []
    for name, params in (("a", ""), ("b", ":asm=sse2:pools=1"), ("c", ":asm=sse2:pools=1:ref=1")):
        path = tmp_path / f"{name}.mp4"
        x265 = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", f"log-level=none:frame-threads=1{params}"]
        footage.ffmpeg(*footage.picture(frames=5), "-pix_fmt", "yuv420p", *x265, path)
        with av.open(str(path)) as container:
            hashes.append((container.streams.video[0].codec_context.extradata, chunk_file.examine(path, 5).header))
    (one, first), (two, second), (_, third) = hashes
    assert one != two and first == second and (first == third) == (b"ref=1" in one)


def test_images_that_change_are_noticed(
    gansr: Gansr, start: Callable[..., Running], tmp_path: Path, small_model: Path
) -> None:
    footage.ffmpeg(*footage.picture(frames=100), tmp_path / "%03d.png")
    words = [tmp_path / "%03d.png", tmp_path / "out.mkv", "--fps", "25", "--model", small_model, *FAST]
    stopped(start, tmp_path, *words)
    (tmp_path / "050.png").write_bytes((tmp_path / "051.png").read_bytes())
    done = gansr("upscale", *words)
    assert done.returncode == 1 and "source content was" in done.stderr and "plan was" not in done.stderr


def test_without_a_network_there_is_no_engine_to_compare(gansr: Gansr, tmp_path: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=40)
    job = UpscaleJob(str(source), "out.mkv", encoder="x264", as_is=True)
    steps = [SimpleNamespace(function="vszip.Deband")]
    film: Any = SimpleNamespace(job=job, source=SimpleNamespace(layout=""), spans=((0, 40),), engine=[])
    film.tool, film.graph = ffmpeg.choose("x264"), SimpleNamespace(steps=steps)
    known = fingerprint.of(film, content=True)
    assert known["engine"] == "none" and known["model content"] == "unset" and len(known["source content"]) == 64
    assert known["version of vapoursynth-vszip"] and "version of vapoursynth-bwdif" not in known
    words = ["--as-is", "--grain", "1", "--params", "lossless=1", "--preset", "ultrafast"]
    for name, chunk_length in (("out", "0.6"), ("whole", "0")):
        done = gansr("upscale", source, tmp_path / f"{name}.mkv", *words, "--chunk", chunk_length)
        assert done.returncode == 0, done.stderr
    assert decoded(tmp_path / "out.mkv") == decoded(tmp_path / "whole.mkv"), "grain counts frames, not chunks"


def decoded(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray().tobytes() for frame in container.decode(video=0)]


def test_light_is_said_again_at_every_key_frame(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    """Whoever begins to read in the middle of the film has no header to look it up in."""
    footage.hdr(tmp_path / "short.mkv")
    footage.ffmpeg("-stream_loop", "3", "-i", tmp_path / "short.mkv", "-c", "copy", tmp_path / "in.mkv")
    words = ["--model", point_model, *FAST, "--", "-g", "6"]
    assert gansr("upscale", tmp_path / "in.mkv", tmp_path / "out.mkv", *words).returncode == 0
    keys = []
    with av.open(str(tmp_path / "out.mkv")) as container:
        for packet in chunk_file.packets(container):
            if packet.is_keyframe:
                keys.append({(unit[0] >> 1 & 63, unit[2]) for unit in units(bytes(packet))})
    assert len(keys) > 8 and all({(39, 137), (39, 144)} <= found for found in keys)


def units(data: bytes) -> list[bytes]:
    """The NAL units of a packet, each led by its length."""
    found = []
    while data:
        length = int.from_bytes(data[:4], "big")
        found.append(data[4 : 4 + length])
        data = data[4 + length :]
    return found


def test_a_chunk_in_which_the_provider_failed_is_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine: list[str] = []
    first = Computed("net", "fp16", "CUDA", 0, "plain")
    for _ in range(2):  # a script that is evaluated again adds nothing
        render.note_engine(engine, first)
    assert engine == ["net in fp16 on CUDA"]

    class Encoder:
        def __init__(self, command: list[str], report: object) -> None:
            self.path = Path(command[-1])

        def __enter__(self) -> Encoder:
            return self

        def __exit__(self, *_: object) -> None: ...

        def feed(self, write: object, frames: int) -> None:
            self.path.write_bytes(b"encoded")
            render.note_engine(engine, Computed("net", "fp32", "CPU", 0, "plain", replaced=True))

    monkeypatch.setattr(worker, "EncoderProcess", Encoder)
    monkeypatch.setattr(worker.ffmpeg_command, "chunk_command", lambda *words: [words[-1]])
    film = SimpleNamespace(job=None, tool=None, picture=None, engine=engine)
    with pytest.raises(CommandError, match="net in fp16 on CUDA did not last: then on CPU") as caught:
        worker.render_chunk(film, (0, 5), tmp_path / "chunk-00000.mp4")
    assert worker.retriable(caught.value) and not list(tmp_path.iterdir())


def test_int8_says_how_products_are_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fingerprint.kind_of_cpu("net in fp32 on CPU") == platform.machine()
    said = set()
    for fast in (True, False):
        monkeypatch.setattr(fingerprint, "fast_int8", lambda fast=fast: fast)
        said.add(fingerprint.kind_of_cpu("net in int8 on CPU"))
    assert len(said) == 2 and all(text.startswith(platform.machine()) for text in said)


def driver_of(workers: int, cluster: str | None = None) -> UpscaleRun:
    return UpscaleRun(
        UpscaleJob("in.mkv", "out.mkv"), Progress(quiet=True), RunOptions(workers=workers, cluster=cluster)
    )


def test_a_node_that_is_lost_takes_several_workers_at_once(tmp_path: Path) -> None:
    driver = driver_of(4)
    driver.ledger = Ledger(tmp_path, {}, ((0, 5), (5, 10)), 1)
    driver.crew.hands = [WorkerState(Named(f"worker {n}")) for n in range(13)]
    for hand in list(driver.crew.hands)[:8]:
        driver._bury(hand, "its node is gone")
    facts_of_it = {"frames": 5, "size": 1, "sha256": "", "header": "", "delay": 0}
    driver.crew.hands[0].chunk = 0
    driver._finish(driver.crew.hands[0], {"facts": facts_of_it, "seconds": 1.0})
    for hand in list(driver.crew.hands)[1:]:
        driver._bury(hand, "its node is gone")
    driver.crew.hands += [WorkerState(Named("worker x")) for _ in range(8)]
    with pytest.raises(CommandError, match=r"its node is gone.*, 12 times in a row"):
        for hand in list(driver.crew.hands):
            driver._bury(hand, "its node is gone")


def test_whoever_cannot_open_the_film_is_named(tmp_path: Path) -> None:
    driver = driver_of(2, "auto")
    driver.ledger = Ledger(tmp_path, {}, ((0, 5), (5, 10)), 1)
    there = WorkerState(Named("worker 3"))
    driver.crew.hands = [there]
    lost: dict[str, Any] = {"error": "/films/in.mkv does not exist", "retry": False, "host": "rack7"}
    with pytest.raises(CommandError, match=r"worker 3 on rack7: /films/in.mkv does not exist"):
        driver._hear(there, lost)


@pytest.mark.parametrize("text", ["[]", '{"format": 1}', '{"format": 1, "identity": {}, "spans": 3}', '{"format": 0}'])
def test_a_ledger_that_makes_no_sense_is_an_error_with_a_way_out(gansr: Gansr, tmp_path: Path, text: str) -> None:
    (tmp_path / "out.mkv.gansr").mkdir()
    (tmp_path / "out.mkv.gansr" / "ledger.json").write_text(text)
    with pytest.raises(CommandError, match="--restart"):
        Ledger.load(tmp_path / "out.mkv.gansr")


def test_a_film_whose_chunks_were_not_yet_deleted_is_finished(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=10)
    output = tmp_path / "out" / "in.mkv"
    words = ["--model", point_model, "--preset", "ultrafast"]
    output.parent.mkdir()
    assert gansr("upscale", source, output, *words).returncode == 0
    content = output.read_bytes()
    for command in ([source, output], [source, "--output-dir", output.parent]):
        folder = ledger.folder_of(output)
        folder.mkdir()
        Ledger(folder, {}, ((0, 10),), 1, joined=ledger.stamp_of(output)).save()
        done = gansr("upscale", *command, *words)
        assert done.returncode == 0, done.stderr
        assert not folder.exists() and output.read_bytes() == content
    folder.mkdir()
    Ledger(folder, {}, ((0, 10),), 1, joined=(1, 1)).save()  # of another file
    assert gansr("upscale", source, output, *words).returncode == 1 and folder.exists()


def test_a_film_killed_before_its_chunks_are_deleted(
    start: Callable[..., Running], gansr: Gansr, tmp_path: Path, point_model: Path
) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=60)
    output = tmp_path / "out.mkv"
    words = ["upscale", source, output, "--model", point_model, *FAST]
    running = start(*words, "-q")
    running.until(lambda _: output.exists())
    running.process.kill()
    running.end()
    while named(tmp_path):
        threading.Event().wait(0.02)
    done = gansr(*words)
    left = list(tmp_path.glob("*.gansr"))
    # It may have been quick enough to delete them itself.
    assert (done.returncode == 0 or "give -y" in done.stderr) and not left
    assert facts(output).picture["frames"] == 60


def test_joining_is_shown_as_it_goes() -> None:
    driver = driver_of(1)
    said: list[str] = []
    driver.progress.stage = said.append  # type: ignore[method-assign]
    driver.ready = {"frames": 200}
    driver.events = queue.SimpleQueue()
    hand = WorkerState(Named("worker 1"))
    driver.crew.hands = [hand]
    driver.events.put(Event("message", {"joined": 50}, hand.worker))
    driver._step()
    assert said == ["joining, 25 %"]
