"""After an interruption or damage, the same command completes a film in chunks."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import footage
import pytest
from encodes import FAST, LOSSLESS, chunks_of, frame_hashes
from footage import facts
from gansr_process import Gansr, Running, one_line

if sys.platform != "win32":
    import resource

type Start = Callable[..., Running]


@pytest.fixture
def begun(start: Start, tmp_path: Path, point_model: Path) -> Callable[..., list[str]]:
    """Ends a film of 100 frames, by killing it or by a signal, when some chunks are finished; returns its words."""

    def run(*words: str, chunks: int = 2, signum: int = 0) -> list[str]:
        source = tmp_path / "in.mp4"
        if not source.exists():
            footage.plain(source, frames=100)
        command = [str(source), str(tmp_path / "out.mkv"), "--model", str(point_model), "--chunk", "0.4", *LOSSLESS]
        running = start("upscale", *command, *words, "-q")
        running.until(lambda _: chunks_of(tmp_path) >= chunks)
        running.process.send_signal(signum) if signum else running.process.kill()
        running.gone()
        assert not (tmp_path / "out.mkv").exists()
        assert chunks_of(tmp_path) >= chunks
        return ["upscale", *command, *words]

    return run


def expected_frames(gansr: Gansr, folder: Path, model: Path) -> list[str]:
    """The frames of the film rendered in one piece."""
    whole = folder / "whole.mkv"
    assert gansr("upscale", folder / "in.mp4", whole, "--model", model, "--chunk", "0", *LOSSLESS).returncode == 0
    return frame_hashes(whole)


@pytest.mark.slow
@pytest.mark.parametrize("signum", [0, signal.SIGINT], ids=["killed", "SIGINT"])
def test_the_same_command_goes_on(
    gansr: Gansr, tmp_path: Path, point_model: Path, begun: Callable[..., list[str]], signum: int
) -> None:
    words = begun(signum=signum)
    files = len(list(tmp_path.glob("*.gansr/chunk-*.mp4")))
    recorded = chunks_of(tmp_path)
    assert files - 1 <= recorded <= files, "at most one chunk's work is lost"
    status = gansr("status", tmp_path / "out.mkv")
    assert status.returncode == 0 and f"{recorded} of 10 chunks" in status.stdout

    done = gansr(*words)
    assert done.returncode == 0, done.stderr
    assert f"{recorded} of 10 chunks" in done.stderr
    assert frame_hashes(tmp_path / "out.mkv") == expected_frames(gansr, tmp_path, point_model)
    assert not list(tmp_path.glob("*.gansr"))


@pytest.mark.slow
def test_ctrl_c_says_what_is_kept_and_early_leaves_nothing(start: Start, tmp_path: Path, small_model: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=500, size="192x128")
    words = ["upscale", source, tmp_path / "out.mkv", "--model", small_model, "--chunk", "2", *LOSSLESS]
    for chunks, said in ((0, "nothing was written"), (1, "chunks are kept: to continue with them repeat the command")):
        running = start(*words, "-q")
        running.until(lambda _, chunks=chunks: chunks_of(tmp_path) >= chunks and any(tmp_path.glob("*.gansr/*.part")))
        running.process.send_signal(signal.SIGINT)
        assert running.end() == 128 + signal.SIGINT
        assert said in one_line(running.said())
        assert bool(list(tmp_path.glob("*.gansr"))) == bool(chunks)
        assert not list(tmp_path.glob("*.gansr/*.part"))


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["bytes", "cut", "gone"])
def test_a_finished_chunk_that_is_damaged_is_rendered_again(
    gansr: Gansr, tmp_path: Path, point_model: Path, begun: Callable[..., list[str]], damage: str
) -> None:
    words = begun()
    victim = min(tmp_path.glob("*.gansr/chunk-*.mp4"))
    data = bytearray(victim.read_bytes())
    if damage == "bytes":
        data[len(data) // 2] ^= 255
        victim.write_bytes(data)
    elif damage == "cut":
        victim.write_bytes(data[:-100])
    else:
        victim.unlink()
    done = gansr(*words)
    assert done.returncode == 0, done.stderr
    assert "rendered again" in done.stderr
    assert frame_hashes(tmp_path / "out.mkv") == expected_frames(gansr, tmp_path, point_model)


@pytest.mark.slow
def test_what_has_changed_is_named_and_restart_begins_anew(
    gansr: Gansr, tmp_path: Path, point_model: Path, begun: Callable[..., list[str]]
) -> None:
    words = begun()
    identity = json.loads((tmp_path / "out.mkv.gansr" / "ledger.json").read_text())["fingerprint"]
    assert identity["engine"] == "point in fp32 on CPU" and len(identity["model content"]) == 64
    refused = gansr(*words, "--crf", "30")
    assert refused.returncode == 1 and "--crf was unset, is 30" in one_line(refused.stderr.splitlines()[-1])
    assert "--restart" in refused.stderr and chunks_of(tmp_path) >= 2
    source = tmp_path / "in.mp4"
    with source.open("r+b") as file:  # the same packets, another sample
        file.seek(source.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    refused = gansr(*words)
    assert refused.returncode == 1 and "source content was" in refused.stderr
    footage.plain(source, frames=60)
    refused = gansr(*words)
    assert refused.returncode == 1 and "source content was" in refused.stderr
    assert not (tmp_path / "out.mkv").exists()
    done = gansr(*words, "--restart")
    assert done.returncode == 0, done.stderr
    assert facts(tmp_path / "out.mkv").picture["frames"] == 60
    assert one_line(gansr(*words, "-y", "--resume").stderr).startswith("gansr: there is nothing to resume")


@pytest.mark.slow
def test_one_at_a_time(start: Start, gansr: Gansr, tmp_path: Path, small_model: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=500, size="192x128")
    words = ["upscale", source, tmp_path / "out.mkv", "--model", small_model, "--chunk", "2", *LOSSLESS, "-q"]
    running = start(*words)
    running.until(lambda _: chunks_of(tmp_path) >= 1)
    assert "another gansr works in" in one_line(gansr(*words).stderr)
    assert "running" in gansr("status", tmp_path).stdout
    running.process.send_signal(signal.SIGTERM)
    assert running.end() == (1 if sys.platform == "win32" else 128 + signal.SIGTERM) and chunks_of(tmp_path) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["worker", "ffmpeg"])
def test_what_dies_is_begun_again(start: Start, gansr: Gansr, tmp_path: Path, point_model: Path, victim: str) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=300)
    words = ["--model", str(point_model), "--chunk", "1", *LOSSLESS]
    running = start("upscale", source, tmp_path / "out.mkv", *words)
    running.until(lambda _: chunks_of(tmp_path) >= 1)

    def strike(running: Running) -> bool:
        for child in running.children():
            line = child.cmdline() if child.is_running() else []
            if victim == "ffmpeg" and any("chunk-" in word for word in line):
                return child.kill() is None
            if victim == "worker" and "vs_gansr.cli.upscale.workers.worker" in line:
                return child.kill() is None
        return False

    running.until(strike)
    assert running.end(60) == 0, running.said()
    assert "another worker continues" in running.said()
    assert frame_hashes(tmp_path / "out.mkv") == expected_frames(gansr, tmp_path, point_model)


@pytest.mark.slow
def test_a_full_disk_keeps_what_is_finished(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    """The limit on file sizes, which holds anywhere: the chunks fit, the joined film does not."""
    source = footage.plain(tmp_path / "in.mp4", frames=100)
    words = ["upscale", source, tmp_path / "out.mkv", "--model", point_model, "--chunk", "0.4", *LOSSLESS, "-q"]
    limit = 120_000

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    failed = gansr(*words, preexec_fn=limited)
    assert failed.returncode == 1, failed.stderr
    line = one_line(failed.stderr)
    assert "ffmpeg failed" in line and "10 of 10 chunks are kept" in line and "times in a row" not in line
    assert max(path.stat().st_size for path in tmp_path.glob("*.gansr/chunk-*")) < limit
    assert not (tmp_path / "out.mkv").exists() and not list(tmp_path.glob("*.gansr/joined-*"))
    assert gansr(*words).returncode == 0
    assert frame_hashes(tmp_path / "out.mkv") == expected_frames(gansr, tmp_path, point_model)


@pytest.mark.slow
def test_a_joiner_that_dies_is_replaced(start: Start, gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=100)
    tool, mark = tmp_path / "mortal-ffmpeg", tmp_path / "died"
    tool.write_text(
        f'#!/bin/sh\ncase "$*" in *joined-*) [ -e "{mark}" ] || {{ touch "{mark}"; kill -9 $$; }};; esac\n'
        f'exec "{footage.FFMPEG}" "$@"\n'
    )
    tool.chmod(0o755)
    words = ["--model", point_model, "--chunk", "1", "--ffmpeg", tool, *LOSSLESS]
    done = gansr("upscale", source, tmp_path / "out.mkv", *words)
    assert done.returncode == 0, done.stderr
    assert mark.exists() and "another worker continues" in done.stderr
    assert frame_hashes(tmp_path / "out.mkv") == expected_frames(gansr, tmp_path, point_model)


@pytest.mark.slow
def test_a_joined_film_that_is_too_short_gets_no_name(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    """ffmpeg says that all is written, and half of it is on the disk."""
    source = footage.plain(tmp_path / "in.mp4", frames=50)
    tool = tmp_path / "lying-ffmpeg"
    tool.write_text(
        f'#!/bin/sh\n"{footage.FFMPEG}" "$@" || exit\n'
        'case "$*" in *joined-*) for last; do :; done; path=${last#file:}; '
        f'"{footage.FFMPEG}" -v error -i "$path" -t 1 -map 0 -c copy "$path.mkv" && mv "$path.mkv" "$path";; esac\n'
    )
    tool.chmod(0o755)
    words = ["--model", point_model, "--chunk", "0.6", *FAST, "-q", "--ffmpeg", tool]
    done = gansr("upscale", source, tmp_path / "out.mkv", *words)
    assert done.returncode == 1 and "of 50 frames reached the joined file" in one_line(done.stderr)
    assert not (tmp_path / "out.mkv").exists() and chunks_of(tmp_path) == 3
