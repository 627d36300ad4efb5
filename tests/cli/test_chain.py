"""After a failure no process and no file of the final name is left; exit code and message tell the reason."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import footage
import networks
import psutil
import pytest
from gansr_process import Gansr, Running, named, nothing_left, one_line

from vs_gansr.cli.upscale.ffmpeg.process import feed

if sys.platform != "win32":
    import resource

type Start = Callable[..., Running]


@pytest.fixture(scope="session")
def slow_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Heavy enough for seconds of work on a tiny clip."""
    return networks.compact(tmp_path_factory.mktemp("models") / "slow.onnx", features=48)


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return footage.plain(tmp_path_factory.mktemp("long") / "in.mp4", frames=500, size="192x128")


@pytest.fixture
def late_ffmpeg(tmp_path: Path) -> Path:
    """An ffmpeg that goes on for a while after it has encoded everything, and says so by a file `encoded`."""
    script = tmp_path / "late-ffmpeg"
    script.write_text(
        f'#!/bin/sh\n"{footage.FFMPEG}" "$@"\ncode=$?\n'
        f'case "$*" in *pipe:0*) touch "{tmp_path}/encoded"; sleep 60;; esac\nexit $code\n'
    )
    script.chmod(0o755)
    return script


def encoders(running: Running) -> list[psutil.Process]:
    """The encoder under way; a short trial of the container does not read from a pipe."""
    found = []
    for child in running.children():
        try:
            if "pipe:0" in child.cmdline() and "ffmpeg" in child.name():
                found.append(child)
        except psutil.Error:
            continue
    return found


def renderer(running: Running) -> psutil.Process:
    return next(child for child in running.children() if "vs_gansr.cli.upscale.workers.worker" in child.cmdline())


def midway(running: Running) -> bool:
    """The bar on the terminal shows 10 frames or more."""
    counts = [part.split()[-1] for part in running.said().split("/500 frames")[:-1]]
    return bool(counts) and int(counts[-1]) >= 10


MOMENTS: dict[str, Callable[[Running], bool]] = {
    "reserved": lambda running: any(running.folder.glob(".gansr-*")),
    "renderer": lambda running: bool(running.children()),
    "encoder": lambda running: bool(encoders(running)),
    "midway": midway,
    "finishing": lambda running: (running.folder / "encoded").exists(),
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_signals_end_everything(
    start: Start, tmp_path: Path, slow_model: Path, late_ffmpeg: Path, long_clip: Path, name: str, moment: str
) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=3) if moment == "finishing" else long_clip
    words = ["--model", str(slow_model), "--preset", "ultrafast"]
    words += ["--ffmpeg", str(late_ffmpeg)] if moment == "finishing" else []
    words += [] if moment == "midway" else ["-q"]
    running = start("upscale", source, tmp_path / "out.mkv", *words, terminal=moment == "midway")
    running.until(MOMENTS[moment])
    before = time.monotonic()
    running.process.send_signal(getattr(signal, name))
    code = running.end(10)

    assert code == 128 + getattr(signal, name)
    assert time.monotonic() - before < 5
    nothing_left(tmp_path)
    line = f"gansr: interrupted by {name}; nothing was written"
    if moment == "midway":
        assert running.said().split("\x1b[K")[-1].strip() == line
    else:
        assert one_line(running.said()) == line


def test_two_signals_and_a_group_of_its_own(start: Start, tmp_path: Path, slow_model: Path, long_clip: Path) -> None:
    running = start("upscale", long_clip, tmp_path / "out.mkv", "--model", slow_model, "-q")
    running.until(MOMENTS["encoder"])
    groups = {os.getpgid(child.pid) for child in running.children()}
    assert groups == {renderer(running).pid}, "Ctrl-C on a terminal must reach gansr alone"
    running.process.send_signal(signal.SIGINT)
    running.process.send_signal(signal.SIGTERM)
    assert running.end(10) in (130, 143)
    nothing_left(tmp_path)


@pytest.mark.slow
def test_killed_outright_it_takes_the_others_with_it(
    start: Start, tmp_path: Path, slow_model: Path, long_clip: Path
) -> None:
    running = start("upscale", long_clip, tmp_path / "out.mkv", "--model", slow_model, "-q")
    running.until(MOMENTS["encoder"])
    running.process.kill()
    deadline = time.monotonic() + 10
    while named(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running.end() == -signal.SIGKILL
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.slow
def test_it_pauses_and_goes_on_with_everything(start: Start, tmp_path: Path, slow_model: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=100, size="192x128")
    running = start("upscale", source, tmp_path / "out.mkv", "--model", slow_model, "-q")
    running.until(MOMENTS["encoder"])
    running.process.send_signal(signal.SIGTSTP)
    both = [renderer(running), *encoders(running)]
    running.until(lambda _: all(p.status() == psutil.STATUS_STOPPED for p in [*both, running.handle]), 10)
    running.process.send_signal(signal.SIGCONT)
    assert running.end(60) == 0, running.said()
    assert footage.facts(tmp_path / "out.mkv").picture["frames"] == 100


@pytest.mark.slow
@pytest.mark.parametrize(("victim", "number"), [("encoder", 9), ("renderer", 9), ("renderer", 11)])
def test_a_process_that_dies_is_named(
    start: Start, tmp_path: Path, slow_model: Path, long_clip: Path, victim: str, number: int
) -> None:
    running = start("upscale", long_clip, tmp_path / "out.mkv", "--model", slow_model, "-q")
    running.until(MOMENTS["encoder"])
    (encoders(running)[0] if victim == "encoder" else renderer(running)).send_signal(number)
    assert running.end(20) == 1
    line = one_line(running.said())
    assert line.startswith("gansr: ffmpeg failed" if victim == "encoder" else "gansr: the renderer ended early")
    assert signal.Signals(number).name in line
    nothing_left(tmp_path)


@pytest.mark.slow
def test_a_source_that_is_cut_off_on_the_way(start: Start, tmp_path: Path, slow_model: Path) -> None:
    source = footage.plain(tmp_path / "in.mkv", frames=500, size="192x128")
    running = start("upscale", source, tmp_path / "out.mkv", "--model", slow_model, "-q")
    running.until(MOMENTS["encoder"])
    os.truncate(source, 50_000)
    assert running.end(60) == 1
    assert "frame" in one_line(running.said())
    nothing_left(tmp_path)


@pytest.mark.slow
def test_a_full_disk(tmp_path: Path, home: Path, small_model: Path, long_clip: Path) -> None:
    """On a real file system of 200 KB, where this machine lets us make one; RLIMIT_FSIZE below runs anywhere."""
    disk = tmp_path / "disk"
    disk.mkdir()
    shell = 'mount -t tmpfs -o size=200k tmpfs "$0" || exit 99; "$@"; code=$?; echo "left: $(ls -A "$0")"; exit $code'
    namespace = ["unshare", "--user", "--map-root-user", "--mount"] if os.getuid() else ["unshare", "--mount"]
    words = [sys.executable, "-m", "vs_gansr", "upscale", str(long_clip), str(disk / "out.mkv"), "-q"]
    words += ["--model", str(small_model), "--params", "lossless=1", "--preset", "ultrafast"]
    done = subprocess.run([*namespace, "sh", "-c", shell, str(disk), *words], capture_output=True, text=True)
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 1, done.stderr
    assert done.stdout.strip() == "left:"
    assert "No space left on device" in one_line(done.stderr)
    nothing_left(tmp_path)


def test_the_limit_on_file_sizes(gansr: Gansr, tmp_path: Path, small_model: Path, long_clip: Path) -> None:
    words = ["--model", small_model, "--params", "lossless=1", "--preset", "ultrafast", "-q"]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    done = gansr("upscale", long_clip, tmp_path / "out.mkv", *words, preexec_fn=limit)
    assert done.returncode == 1
    line = one_line(done.stderr)
    assert "ffmpeg failed" in line and ("SIGXFSZ" in line or "File too large" in line)
    nothing_left(tmp_path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--", "-nonsense", "1"], "x265 does not start: Unrecognized option 'nonsense'"),
        (["--preset", "nonsense"], 'x265 has no preset "nonsense"'),
        (["--ffmpeg", "/nowhere/ffmpeg"], "/nowhere/ffmpeg does not run as ffmpeg"),
        (["--ffmpeg", "/bin/false"], "/bin/false does not run as ffmpeg"),
        (["--model", "nothing-2x"], 'Upscale: unknown model "nothing-2x"'),
        (["--provider", "nothing"], 'Upscale: unknown provider "nothing"'),
        (["--height", "2000"], "out of reach"),
        (["--height", "101"], "even numbers"),
        (["--encoder", "svt-av1", "--chroma", "444"], "svt-av1 does not encode 4:4:4"),
    ],
)
def test_what_cannot_be_done_is_said(
    gansr: Gansr, tmp_path: Path, point_model: Path, words: list[str], said: str
) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=3)
    model = [] if "--model" in words else ["--model", point_model]
    done = gansr("upscale", source, tmp_path / "out.mkv", "-q", *model, *words)
    assert done.returncode == 1
    assert said in one_line(done.stderr)
    nothing_left(tmp_path)


def test_an_encoder_that_stops_in_the_middle(gansr: Gansr, tmp_path: Path, point_model: Path, long_clip: Path) -> None:
    script = tmp_path / "short-ffmpeg"
    script.write_text(
        '#!/bin/sh\ncase "$*" in *pipe:0*) head -c 3000000 > /dev/null\n'
        f'echo "[libx265 @ 0x1] out of luck" >&2; exit 7;;\nesac\nexec "{footage.FFMPEG}" "$@"\n'
    )
    script.chmod(0o755)
    done = gansr("upscale", long_clip, tmp_path / "out.mkv", "--model", point_model, "-q", "--ffmpeg", script)
    assert done.returncode == 1
    assert one_line(done.stderr) == "gansr: ffmpeg failed: out of luck"
    nothing_left(tmp_path)


def test_the_last_count_may_come_after_the_end() -> None:
    """On a busy machine the thread that reads ffmpeg's progress comes last: that is no lost frame."""
    words = ["sh", "-c", "cat >/dev/null; (sleep 0.3; echo frame=2) & exec 0<&- 2>&-; exit 0"]
    feed(words, lambda pipe: pipe.write(b"picture"), 2)


def test_an_encoder_that_loses_frames_without_a_word(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=10)
    words = ["--model", point_model, "-q", "--", "-vf", "select=lt(n\\,4)"]
    done = gansr("upscale", source, tmp_path / "out.mkv", *words)
    assert done.returncode == 1
    assert "4 of 10 frames" in one_line(done.stderr)
    nothing_left(tmp_path)


def test_overwriting_happens_at_the_end_or_not_at_all(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    source, output = footage.plain(tmp_path / "in.mp4", frames=3), tmp_path / "out.mkv"
    output.write_text("mine")
    failed = gansr("upscale", source, output, "-y", "--model", point_model, "--preset", "nonsense")
    assert failed.returncode == 1 and output.read_text() == "mine"
    done = gansr("upscale", source, output, "-y", "--model", point_model)
    assert done.returncode == 0, done.stderr
    assert footage.facts(output).picture["frames"] == 3


@pytest.mark.slow
def test_a_name_taken_meanwhile_is_not_overwritten(start: Start, tmp_path: Path, slow_model: Path) -> None:
    source, output = footage.plain(tmp_path / "in.mp4", frames=60, size="192x128"), tmp_path / "out.mkv"
    running = start("upscale", source, output, "--model", slow_model, "-q")
    running.until(MOMENTS["encoder"])
    output.write_text("another's")
    assert running.end(60) == 1
    line = one_line(running.said())
    assert output.read_text() == "another's"
    kept = Path(line.rsplit(" ", 1)[1])
    assert "appeared in the meantime" in line and footage.facts(kept).picture["frames"] == 60


@pytest.mark.parametrize("stem", ["out", "n" * 251], ids=["short", "longest"])
@pytest.mark.parametrize("chunk", ["0", "0.2"])
def test_a_finished_film_that_cannot_have_its_name_is_kept(
    gansr: Gansr, tmp_path: Path, point_model: Path, chunk: str, stem: str
) -> None:
    """A folder takes the output's name while the film is encoded. Next to the longest name there is no other like it,
    so the film keeps the temporary one."""
    source, output = footage.plain(tmp_path / "in.mp4", frames=20), tmp_path / f"{stem}.mkv"
    script = tmp_path / "ffmpeg-and-folder"
    script.write_text(f'#!/bin/sh\ncase "$*" in *pipe:0*) mkdir -p "{output}";; esac\nexec "{footage.FFMPEG}" "$@"\n')
    script.chmod(0o755)
    words = ["--model", point_model, "--chunk", chunk, "-y", "-q", "--ffmpeg", script]
    done = gansr("upscale", source, output, *words)
    assert done.returncode == 1 and output.is_dir()
    line = one_line(done.stderr)
    kept = Path(line.partition("the finished file is ")[2].partition(";")[0])
    assert f"cannot be saved as {output}" in line and kept.name.startswith(
        "out." if stem == "out" else (".gansr-", "joined-")
    )
    assert footage.facts(kept).picture["frames"] == 20
    assert ("chunks are kept" in line) == (chunk != "0")
    assert set(tmp_path.glob(".gansr-*")) <= {kept} and len(list(tmp_path.glob("*.gansr"))) == (chunk != "0")
    if chunk != "0":  # the same command joins them again
        output.rmdir()
        script.write_text(f'#!/bin/sh\nexec "{footage.FFMPEG}" "$@"\n')
        assert gansr("upscale", source, output, *words).returncode == 0
        assert footage.facts(output).picture["frames"] == 20 and not list(tmp_path.glob("*.gansr"))


def test_a_closed_stderr_stops_nothing(tmp_path: Path, home: Path, point_model: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=3)
    words = ["upscale", str(source), str(tmp_path / "out.mkv"), "--model", str(point_model)]
    shell = f'"{sys.executable}" -m vs_gansr "$@" 2>&-'
    done = subprocess.run(["sh", "-c", shell, "sh", *words], capture_output=True, text=True)
    assert done.returncode == 0 and footage.facts(tmp_path / "out.mkv").picture["frames"] == 3


def test_help_and_wrong_arguments(gansr: Gansr) -> None:
    assert gansr("--help").returncode == 0
    assert "upscale" in gansr("--help").stdout
    assert gansr("upscale", "--help").returncode == 0
    assert gansr("upscale").returncode == 2
    assert gansr().returncode == 2
    script = shutil.which("gansr", path=str(Path(sys.executable).parent))
    if script:
        assert subprocess.run([script, "--version"], capture_output=True, text=True).stdout.startswith("gansr ")
