"""The fingerprint of a film in chunks has everything that determines its pictures, and nothing else."""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import av
import footage
import plans
import psutil
import pytest
from command_fixtures import WITH_SVT_AV1
from footage import facts
from gansr_process import Gansr, Running, named, nothing_left
from workers import Named

from vs_gansr.cli import ffmpeg
from vs_gansr.cli.common import CommandError
from vs_gansr.cli.upscale.chunks import file as chunk_file
from vs_gansr.cli.upscale.chunks import ledger, planner, render
from vs_gansr.cli.upscale.chunks.ledger import Ledger
from vs_gansr.cli.upscale.chunks.messages import (
    Done,
    Failed,
    MakePlan,
    Opened,
    RenderChunk,
    Rendered,
    read,
    write,
)
from vs_gansr.cli.upscale.chunks.plan import Plan, changes
from vs_gansr.cli.upscale.ffmpeg.process import TryAgain
from vs_gansr.cli.upscale.job import UpscaleJob
from vs_gansr.cli.upscale.progress import Progress, State
from vs_gansr.cli.upscale.workers.pool import Watchdog, WorkerState
from vs_gansr.cli.upscale.workers.process import Ended
from vs_gansr.cli.upscale.workers.scheduler import RunOptions, UpscaleRun
from vs_gansr.filter.computed import Computed

FAST = ["--chunk", "0.6", "--preset", "ultrafast"]


def stopped(start: Callable[..., Running], folder: Path, *words: str | Path) -> dict[str, str]:
    """Ends a film of that command when one chunk is finished; what its ledger says that it is."""
    running = start("upscale", "-q", *words)
    running.until(lambda _: '"sha256"' in text_of(folder / "out.mkv.gansr" / "ledger.json"))
    running.process.send_signal(signal.SIGTERM)
    assert running.end() == (1 if sys.platform == "win32" else 128 + signal.SIGTERM)
    found: dict[str, str] = json.loads((folder / "out.mkv.gansr" / "ledger.json").read_text())["fingerprint"]
    return found


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize("encoder", ["x265", "x264", pytest.param("svt-av1", marks=WITH_SVT_AV1)])
def test_the_encoders_own_version_is_found(encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the user's settings silence the encoder."""
    monkeypatch.setenv("SVT_LOG", "0")
    monkeypatch.setenv("SVT_LOG_FILE", str(tmp_path / "log"))
    tool = ffmpeg.choose(encoder)
    said = ffmpeg.encoder_version(tool, encoder)
    assert any(c.isdigit() for c in said) and said.startswith({"svt-av1": "SVT-AV1"}.get(encoder, encoder))


@pytest.mark.skipif(sys.platform == "win32", reason="true stands in for another ffmpeg")
def test_an_ffmpeg_that_encodes_nothing_is_refused() -> None:
    with pytest.raises(CommandError, match="does not encode with x265: exit code 0; take another"):
        ffmpeg.encoder_version(SimpleNamespace(path="/bin/true"), "x265")


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for another ffmpeg")
def test_an_encoder_that_says_no_version_is_known_by_what_it_encodes(tmp_path: Path) -> None:
    silent, other = tmp_path / "silent", tmp_path / "other"
    for tool, options in ((silent, ""), (other, "-svtav1-params enable-cdef=0")):  # another build encodes otherwise
        tool.write_text(f'#!/bin/sh\nout=$(echo "$@" | sed "s/-f nut -$/{options} -f nut -/")\n'
                        f'exec "{footage.FFMPEG}" $out 2>/dev/null\n')  # fmt: skip
        tool.chmod(0o755)
    named = [ffmpeg.encoder_version(SimpleNamespace(path=str(path)), "svt-av1") for path in (silent, silent, other)]
    assert all(re.fullmatch(r"unnamed, test clip [0-9a-f]{64}", name) for name in named)
    assert named[0] == named[1] != named[2]


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


def metadata_of_another_version(folder: Path) -> None:
    (folder / "vs_gansr-99.dist-info").mkdir()
    (folder / "vs_gansr-99.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: vs-gansr\nVersion: 99\n")


def other_words_in_the_log(folder: Path) -> None:
    """Every line that the plugin logs reads otherwise."""
    (folder / "sitecustomize.py").write_text(
        "from vs_gansr.filter import log\n"
        "say = log.say_once\n"
        "log.say_once = lambda core, kind, message: say(core, kind, 'Upscale: ' + message[9:].upper())\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("change", ["locale", "log", "version"])
def test_what_changes_around_the_command_between_two_runs(
    gansr: Gansr, start: Callable[..., Running], tmp_path: Path, small_model: Path, monkeypatch: pytest.MonkeyPatch,
    change: str,
) -> None:  # fmt: skip
    """Another locale and other words in logs change no picture; another version of gansr may."""
    source = footage.plain(tmp_path / "Ærø.mp4", frames=200)
    words = [source, tmp_path / "out.mkv", "--model", small_model, *FAST, "--", "-metadata", "title=Ærø"]
    stopped(start, tmp_path, *words)
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    if change == "locale":  # a system without UTF-8, on which Python holds names in other letters
        for name, value in {"LC_ALL": "C", "LANG": "tr_TR", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    elif change == "log":
        other_words_in_the_log(folder)
    else:
        metadata_of_another_version(folder)
    done = gansr("upscale", *words)
    if change == "version":
        assert done.returncode == 1 and re.search(r"version of vs-gansr was \S+, is 99;.*--restart", done.stderr)
    else:
        assert done.returncode == 0, done.stderr
        assert re.search(r"[1-9]\d* of 13 chunks .* are there already", done.stderr)
        with av.open(str(tmp_path / "out.mkv")) as film:
            assert film.metadata["title"] == "Ærø"
    assert ("Upscale: SMALL IN FP32" in done.stderr) == (change == "log")


def test_without_a_network_there_is_no_engine_to_compare(gansr: Gansr, tmp_path: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=40)
    job = UpscaleJob(str(source), "out.mkv", encoder="x264", as_is=True)
    plan = replace(plans.plan(job=job), script="clip = core.vszip.Deband(clip)")
    known = planner.of_machine(plan, [], ffmpeg.choose("x264"))
    assert known["engine"] == "none" and known["model content"] == "unset"
    assert known["version of vapoursynth-vszip"] and "version of vapoursynth-bwdif" not in known
    assert len(planner.of_job(job)["source content"]) == 64
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
    engine: list[Computed] = []
    first = Computed("net", "fp16", "CUDA", 0, "plain", False)
    for _ in range(2):  # a script that is evaluated again adds nothing
        render.note_engine(engine, first)
    assert engine == [first]

    def feed(command: list[str], *_: object) -> None:
        Path(command[-1].removeprefix("file:")).write_bytes(b"encoded")
        render.note_engine(engine, Computed("net", "fp32", "CPU", 0, "plain", True, replaced=True))

    monkeypatch.setattr(render, "feed", feed)
    film = render.OpenFilm(plans.plan(), None, engine, ffmpeg.choose("x265"))
    with pytest.raises(TryAgain, match=r"net in fp16 on CUDA failed within this chunk \(then on CPU\)"):
        render.render_chunk(film, (0, 5), tmp_path / "chunk-00000.mp4", lambda answer: None)
    assert not list(tmp_path.iterdir())


def test_int8_says_how_products_are_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, int8 = ([Computed("net", precision, "OpenVINO", 0, "plain", True)] for precision in ("fp32", "int8"))
    assert planner.kind_of_cpu(plain) == platform.machine()
    on_gpu = Computed("net", "int8", "OpenVINO", 1, "plain", False)
    assert planner.kind_of_cpu([on_gpu]) == platform.machine()
    said = set()
    for fast in (True, False):
        monkeypatch.setattr(planner, "fast_int8", lambda fast=fast: fast)
        said.add(planner.kind_of_cpu(int8))
    assert len(said) == 2 and all(text.startswith(platform.machine()) for text in said)


def scheduler_of(workers: int, folder: Path | None = None, cluster: str | None = None) -> UpscaleRun:
    """A scheduler with a film of two chunks and a ledger in `folder`."""
    options = RunOptions(workers=workers, cluster=cluster)
    made = UpscaleRun(UpscaleJob("in.mkv", "out.mkv"), Progress(quiet=True), options)
    if folder:
        made.plan, made.ledger = plans.plan(), Ledger(folder)
    return made


def test_a_node_that_is_lost_takes_several_workers_at_once(tmp_path: Path) -> None:
    scheduler = scheduler_of(4, tmp_path)
    workers = scheduler.pool.workers
    workers += [WorkerState(Named(f"worker {n}"), Watchdog(60)) for n in range(13)]

    def lose(states: list[WorkerState]) -> None:
        for state in states:
            scheduler.events.put(Ended(state.worker, "its node is gone"))
            scheduler._step()

    lose(workers[:8])
    workers[0].chunk = 0
    scheduler._hear(workers[0], Done(chunk_file.ChunkFacts(5, 1, "", "", 0), 1.0))
    lose(workers[1:])
    workers += [WorkerState(Named("worker x"), Watchdog(60)) for _ in range(8)]
    with pytest.raises(CommandError, match=r"its node is gone.*, 12 times in a row"):
        lose(list(workers))


def test_whoever_cannot_open_the_film_is_named(tmp_path: Path) -> None:
    scheduler = scheduler_of(2, tmp_path, "auto")
    there = WorkerState(Named("worker 3", elsewhere=True), Watchdog(60))
    with pytest.raises(CommandError, match=r"worker 3 on rack7: /films/in.mkv does not exist"):
        scheduler._hear(there, Failed("/films/in.mkv does not exist", False, "rack7"))


def test_what_changes_is_named_and_what_does_not_is_not() -> None:
    assert changes({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "x"}) == "b was 2, is 3; c was unset, is x"
    assert changes({"a": "1"}, {"a": "1"}) == ""
    job = UpscaleJob("in.mkv", "out.mkv", tilesize=(64, 64))
    moved = plans.plan(job=job).of(replace(job, source="/elsewhere/in.mkv", output="x.mkv"))
    assert (moved.job.source, moved.job.output, moved.source.path) == (
        "/elsewhere/in.mkv",
        "x.mkv",
        "/elsewhere/in.mkv",
    )


def test_a_plan_comes_back_as_it_was(tmp_path: Path) -> None:
    plan = plans.plan()
    plan.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == plan


def test_messages_come_back_as_they_were() -> None:
    facts_of_it = chunk_file.ChunkFacts(5, 1, "a", "b", 2)
    for command in (
        MakePlan(UpscaleJob("a\nb", "ü\udcff", extra=("-x", "1")), "p", "s"),
        RenderChunk("p", (3, 9), "x"),
    ):
        assert "\n" not in write(command) and read(write(command)) == command
    for answer in (Done(facts_of_it, 1.5), Done(), Failed("no", True, "here"), Opened({"engine": "x"}, "y")):
        assert read(write(answer)) == answer


OLD = '{"format": 1, "identity": {}, "spans": [[0, 5]], "frame_threads": 1, "chunks": {}, "seconds": {}, "retries": {}}'


@pytest.mark.parametrize("text", ["[]", "{", OLD, '{"version": 4}', '{"version": 4, "chunks": 3}', '{"version": 1}'])
def test_a_job_folder_that_is_not_understood_is_an_error_with_a_way_out(tmp_path: Path, text: str) -> None:
    (tmp_path / "out.mkv.gansr").mkdir()
    for name, load in (("ledger.json", lambda path: Ledger.load(path.parent)), ("plan.json", Plan.load)):
        (tmp_path / "out.mkv.gansr" / name).write_text(text)
        with pytest.raises(CommandError, match="--restart") as caught:
            load(tmp_path / "out.mkv.gansr" / name)
        assert "\n" not in str(caught.value)
        assert "another version of gansr" in str(caught.value) or '"version": 4' in text or text == "{"


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
        Ledger(folder, joined=ledger.stamp_of(output)).save()
        done = gansr("upscale", *command, *words)
        assert done.returncode == 0, done.stderr
        assert not folder.exists() and output.read_bytes() == content
    folder.mkdir()
    Ledger(folder, joined=(1, 1)).save()  # of another file
    assert gansr("upscale", source, output, *words).returncode == 1 and folder.exists()


def test_a_film_killed_before_its_chunks_are_deleted(
    start: Callable[..., Running], gansr: Gansr, tmp_path: Path, point_model: Path
) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=60)
    output = tmp_path / "out.mkv"
    words = ["upscale", source, output, "--model", point_model, *FAST]
    running = start(*words, "-q")
    running.until(lambda running: bool(running.children()))
    while not output.exists():  # at once then: the chunks are deleted next
        assert running.process.poll() is None or output.exists(), running.said()
        time.sleep(0.001)
    running.process.kill()
    running.gone()
    done = gansr(*words)
    left = list(tmp_path.glob("*.gansr"))
    # It may have been quick enough to delete them itself.
    assert (done.returncode == 0 or "give -y" in done.stderr) and not left
    assert facts(output).picture["frames"] == 60


def test_joining_is_shown_as_it_goes() -> None:
    scheduler = scheduler_of(1)
    said: list[str] = []
    scheduler.progress.stage = said.append  # type: ignore[method-assign]
    scheduler.progress.total = 200
    state = WorkerState(Named("worker 1"), Watchdog(60))
    state.begin(None, Path("joined.mkv"))
    scheduler._hear(state, Rendered(50))
    assert said == ["joining, 25 %"]


def test_a_worker_that_has_stopped_is_replaced_and_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scheduler = scheduler_of(1, tmp_path)
    scheduler.progress.quiet = False
    state = WorkerState(Named("worker 1"), Watchdog(patience=0.2))
    scheduler.pool.workers.append(state)
    monkeypatch.setattr("vs_gansr.cli.upscale.workers.scheduler.LOOK", 0.05)
    state.begin(0)
    for frames in range(1, 4):
        time.sleep(0.001)
        scheduler._hear(state, Rendered(frames))
    scheduler._step()
    assert not scheduler.pool.workers and scheduler.ledger and scheduler.ledger.retries == {0: 1}
    said = capsys.readouterr().err
    assert said.count("note: worker 1: it made no frame for") == 1 and "another worker continues" in said


def test_a_film_in_one_piece_whose_worker_stops_is_given_up(tmp_path: Path, small_model: Path, home: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=600)
    job = UpscaleJob(str(source), str(tmp_path / "out.mkv"), preset="ultrafast", chunk=0, model=str(small_model))

    class Stopper(Progress):
        stopped = 0

        def show(self, state: State) -> None:
            if state.frames > 20 and not self.stopped:
                self.stopped = run.pool.workers[0].worker.process.pid
                psutil.Process(self.stopped).suspend()

    run = UpscaleRun(job, Stopper(quiet=True), RunOptions(patience=1))
    with pytest.raises(CommandError, match=r"it made no frame for \d+ s, usually one takes"):
        run.run()
    assert run.progress.stopped
    nothing_left(tmp_path)


HANGING = """\
import time
import vapoursynth as vs
clip = vs.core.std.BlankClip(width=64, height=48, format=vs.YUV420P8, length=60, fpsnum=25)
def wait(n, f):
    time.sleep(1000 if n == 40 else 0.02)
    return f
vs.core.std.ModifyFrame(clip, clip, wait).set_output()
"""


def test_a_network_that_hangs_is_noticed_though_ffmpeg_goes_on_reporting(tmp_path: Path, home: Path) -> None:
    source = tmp_path / "in.vpy"
    source.write_text(HANGING)
    words = {"preset": "ultrafast", "fps": "25", "as_is": True, "chunk": 0, "matrix": 1}
    job = UpscaleJob(str(source), str(tmp_path / "out.mkv"), **words)
    with pytest.raises(CommandError, match=r"it made no frame for \d+ s, usually one takes"):
        UpscaleRun(job, Progress(quiet=True), RunOptions(patience=1)).run()
    nothing_left(tmp_path)


# Windows runs no shell script as a program, and the watchdog is the same code there: it looks at the output's size.
@pytest.mark.skipif(os.name == "nt", reason="ffmpeg is a shell script here")
def test_an_encoder_that_hangs_after_the_last_frame_is_noticed(tmp_path: Path, home: Path, point_model: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=40)
    hangs = tmp_path / "ffmpeg"
    hangs.write_text(f'#!/bin/sh\n"{footage.FFMPEG}" "$@"\ncase "$*" in *pipe:0*) exec sleep 1000;; esac\n')
    hangs.chmod(0o755)
    words = {"preset": "ultrafast", "chunk": 0, "model": str(point_model)}
    job = UpscaleJob(str(source), str(tmp_path / "out.mkv"), ffmpeg=str(hangs), **words)
    with pytest.raises(CommandError, match=r"it made no frame for \d+ s, usually one takes"):
        UpscaleRun(job, Progress(quiet=True), RunOptions(patience=1)).run()
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.skipif(os.name == "nt", reason="ffmpeg is a shell script here")
def test_joining_that_hangs_is_tried_again_and_then_given_up(tmp_path: Path, home: Path, point_model: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=40)
    hangs = tmp_path / "ffmpeg"
    hangs.write_text(
        f'#!/bin/sh\ncase "$*" in *pipe:0*"-c:0 copy"*) echo >> "{tmp_path}/tries"; exec sleep 1000;; esac\n'
        f'exec "{footage.FFMPEG}" "$@"\n'
    )
    hangs.chmod(0o755)
    words = {"preset": "ultrafast", "chunk": 0.8, "model": str(point_model)}
    job = UpscaleJob(str(source), str(tmp_path / "out.mkv"), ffmpeg=str(hangs), **words)
    with pytest.raises(CommandError, match=r"it joined no frame for \d+ s.*3 times in a row; 2 of 2 chunks are kept"):
        UpscaleRun(job, Progress(quiet=True), RunOptions(workers=2, patience=1)).run()
    assert (tmp_path / "tries").read_text()  # a worker may take too long to start on a busy machine
    assert not named(tmp_path) and not (tmp_path / "out.mkv").exists()
    hangs.write_text(f'#!/bin/sh\nexec "{footage.FFMPEG}" "$@"\n')
    UpscaleRun(job, Progress(quiet=True), RunOptions(patience=10)).run()
    assert facts(tmp_path / "out.mkv").picture["frames"] == 40


def test_the_watchdog_knows_patience_sleep_and_first_frames() -> None:
    watchdog = Watchdog(patience=60)
    watchdog.begin(0)
    assert not watchdog.stuck(5000), "it may still be preparing the network"
    watchdog.frame(1, 5000)
    watchdog.frame(11, 5010)
    for now in range(5010, 5110, 5):
        assert not watchdog.stuck(now), "a frame takes a second, and may take a hundred"
    assert "usually one takes 1 s" in watchdog.stuck(5111)
    assert not watchdog.stuck(9000), "nobody looked for an hour: the machine was asleep"
    watchdog.begin(9000)
    for now in range(9000, 9900, 5):
        assert not watchdog.stuck(now), "a chunk's first frame may take ten times as long"
    for now in range(9900, 10006, 5):
        last = watchdog.stuck(now)
    assert last
