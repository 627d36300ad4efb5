"""Several films in one command: outputs, estimates, and progress for people and programs."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import footage
import plans
import pytest
from footage import facts
from gansr_process import Gansr, one_line

from vs_gansr.cli.common import CommandError
from vs_gansr.cli.upscale import command
from vs_gansr.cli.upscale.chunks.ledger import Ledger, folder_of, stamp_of
from vs_gansr.cli.upscale.job import UpscaleJob
from vs_gansr.cli.upscale.preview import report
from vs_gansr.cli.upscale.workers.scheduler import Outcome

FAST = ["--preset", "ultrafast"]


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Two films and a broken one, in a folder with another inside, beside what is no film."""
    folder = tmp_path / "films"
    (folder / "more").mkdir(parents=True)
    footage.plain(folder / "a.mp4", frames=3)
    footage.plain(folder / "more" / "c.mkv", frames=4)
    (folder / "b.mkv").write_text("no film")
    (folder / "a.srt").write_text("")
    (folder / ".gansr-1.mkv").touch()
    return folder


def test_what_files_folders_and_globs_mean(films: Path, tmp_path: Path) -> None:
    made = command.films([str(films)], tmp_path / "out", "{folder}/{stem}.mkv")
    assert [film.source for film in made] == [films / "a.mp4", films / "b.mkv", films / "more" / "c.mkv"]
    assert [film.output for film in made] == [tmp_path / "out" / name for name in ("a.mkv", "b.mkv", "more/c.mkv")]
    again = command.films([str(films / "*.mp4"), str(films / "a.mp4")], films, "{n}-{stem}-{ext}.mp4")
    assert [film.output.name for film in again] == ["1-a-mp4.mp4"]
    (films / "done").mkdir()
    (films / "done" / "a.mkv").touch()
    assert len(command.films([str(films)], films / "done", "{stem}.mkv")) == 3, "its own outputs are no sources"
    for words, pattern, said in (
        ([str(films)], "one.mkv", "would both be written"),
        ([str(films)], "{title}.mkv", "is not understood"),
        ([str(films / "*.avi")], "{stem}.mkv", "matches no video file"),
    ):
        with pytest.raises(CommandError, match=said):
            command.films(words, tmp_path, pattern)
    pages = [film.report for film in command.films([str(films)], films / "done", "{stem}.mkv", "{n}.html")]
    assert pages == [Path(f"{n}.html") for n in (1, 2, 3)]
    with pytest.raises(CommandError, match=r"would both be written to report\.html; change --report"):
        command.films([str(films)], films / "done", "{stem}.mkv", "report.html")


def test_a_folder_below_a_hidden_one_has_films(films: Path, tmp_path: Path) -> None:
    (tmp_path / ".hidden").mkdir()
    moved = films.rename(tmp_path / ".hidden" / "films")
    assert len(command.films([str(moved)], tmp_path / "out", "{stem}.mkv")) == 3


def test_a_damaged_ledger_of_a_finished_film_stops_nothing_and_a_dry_run_deletes_nothing(tmp_path: Path) -> None:
    queue = [command.QueuedFilm(tmp_path / f"{name}.mp4", tmp_path / f"{name}.mkv") for name in "abc"]
    for film in queue[:2]:
        film.output.touch()
        folder_of(film.output).mkdir()
    (folder_of(queue[0].output) / "ledger.json").write_text("{")
    Ledger(folder_of(queue[1].output), joined=stamp_of(queue[1].output)).save()
    begun: list[command.QueuedFilm] = []
    assert command.run_all(queue, False, True, begun.append, write=False) == 0
    assert folder_of(queue[1].output).exists()
    assert command.run_all(queue, False, True, begun.append) == 0
    assert begun == queue[2:] * 2 and not folder_of(queue[1].output).exists()


@pytest.mark.slow
def test_one_that_fails_stops_no_other_and_the_same_command_does_the_rest(
    gansr: Gansr, tmp_path: Path, films: Path, point_model: Path
) -> None:
    words = ["upscale", films, "--output-dir", tmp_path / "out", "--model", point_model, *FAST]
    done = gansr(*words)
    assert done.returncode == 1
    assert "2 done, 0 there already, 1 failed" in done.stderr
    assert re.search(r"failed: .*b\.mkv: .* cannot be read as video", done.stderr)
    assert [facts(tmp_path / "out" / f"{name}.mkv").picture["frames"] for name in "ac"] == [3, 4]
    footage.plain(films / "b.mkv", frames=5)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    done = gansr(*words)
    assert done.returncode == 0 and "1 done, 2 there already, 0 failed" in done.stderr
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    assert facts(tmp_path / "out" / "b.mkv").picture["frames"] == 5


@pytest.mark.slow
def test_dry_run_measures_and_writes_nothing(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=150)
    words = ["upscale", source, "--output-dir", tmp_path / "out", "--model", point_model, "--chunk", "2", *FAST]
    done = gansr(*words, "--dry-run")
    assert done.returncode == 0, done.stderr
    found = re.search(r"150 frames of 192x128 in 3 chunks; ([\d.]+) fps, about \S+ and ([\d.]+) MB", done.stdout)
    assert found and float(found[1]) > 0
    assert re.search(
        r"in all about \S+ and [\d.]+ MB, [\d.]+ MB while chunks are joined; \d+ MB are free$", done.stdout
    )
    assert "1 to do, 0 there already, 0 failed" in done.stderr
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob("*.gansr"))
    assert gansr(*words).returncode == 0
    size = (tmp_path / "out" / "in.mkv").stat().st_size / 1e6
    assert 0.4 * size < float(found[2]) + 0.05 < 2 * size + 0.1


@pytest.mark.slow
def test_progress_for_programs_and_a_report(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=50)
    words = ["--model", point_model, "--chunk", "0.6", "--workers", "2", *FAST]
    page = tmp_path / "report.html"
    done = gansr("upscale", source, tmp_path / "out.mkv", *words, "--progress", "json", "--report", page, "-q")
    assert done.returncode == 0 and done.stderr == ""
    events = [json.loads(line) for line in done.stdout.splitlines()]
    last = [event for event in events if event["event"] == "progress"][-1]
    assert (last["frames"], last["all_frames"], last["chunks"], last["all_chunks"]) == (50, 50, 3, 3)
    assert len({worker["name"] for event in events for worker in event.get("workers", ())}) == 2
    assert events[-1]["event"] == "done" and events[-1]["frames"] == 50
    text = page.read_text()
    assert text.count("data:image/jpeg;base64,") == 6 and text.count("<polyline") == 2
    assert "no chunk" in text and "192x128" in text


def test_a_report_shows_the_same_moment_of_source_and_result(tmp_path: Path) -> None:
    """Of a part the result's clock begins later than the source's; a script has no picture of its own to show."""
    ramp = "nullsrc=size=96x64:rate=25,geq=lum='16+4*N':cb=128:cr=128,format=yuv420p,trim=end_frame=50"
    footage.ffmpeg("-f", "lavfi", "-i", ramp, *footage.H264, tmp_path / "in.mkv")
    footage.ffmpeg("-i", tmp_path / "in.mkv", "-ss", "1", *footage.H264, tmp_path / "out.mkv")
    plan = plans.plan(25)
    plan = replace(plan, source=replace(plan.source, origin=Fraction(1)))
    job = UpscaleJob(str(tmp_path / "in.mkv"), str(tmp_path / "out.mkv"))
    pages = list(report.stills(job, plan))
    assert len(pages) == 3
    for page in pages:
        before, after = (brightness(data) for data in re.findall('base64,([^"]+)', page))
        assert abs(before - after) <= 4
    (tmp_path / "in.vpy").write_text("clip.set_output()")
    pages = list(report.stills(replace(job, source=str(tmp_path / "in.vpy")), plan))
    assert [page.count("<img") for page in pages] == [1, 1, 1]
    report.write_report(tmp_path / "page.html", job, Outcome(plan, ""), 1.0)
    assert (tmp_path / "page.html").read_text().count("<img") == 6


def brightness(data: str) -> float:
    """The mean sample of a JPEG in base64."""
    with av.open(io.BytesIO(base64.b64decode(data)), format="mjpeg") as container:
        return float(next(container.decode(video=0)).to_ndarray(format="gray").mean())


def test_wrong_words(gansr: Gansr, tmp_path: Path) -> None:
    assert "name a source and an output" in one_line(gansr("upscale", tmp_path / "a.mkv").stderr)
    assert "3 paths" in one_line(gansr("upscale", "a.mkv", "b.mkv", "c.mkv").stderr)
