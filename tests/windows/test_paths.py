"""Names that files have on Windows: other letters, drives, long paths, letter case, read-only files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import clips
import footage
import networks
import pytest
import vapoursynth as vs
from encodes import FAST
from gansr_process import Gansr, one_line

from vs_gansr.model import user_folders

NAMES = ["in file é カナ 😀", "100% %PATH% 50%05d", ".a'b;c&d^e(1)!. x"]


def copied(gansr: Gansr, source: Path, output: Path, model: Path) -> None:
    done = gansr("upscale", source, output, "--model", model, *FAST)
    assert done.returncode == 0, done.stderr
    assert footage.facts(output).picture["frames"] == 3


@pytest.mark.parametrize("name", NAMES)
def test_names(gansr: Gansr, tmp_path: Path, point_model: Path, name: str) -> None:
    """The name is that of the folder, the source, the output and the network."""
    folder = tmp_path / name
    folder.mkdir()
    model = folder / f"{name}.onnx"
    model.write_bytes(point_model.read_bytes())
    copied(gansr, footage.plain(folder / f"{name}.mp4", frames=3), folder / f"{name} out.mkv", model)


def test_more_than_260_letters(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    """Windows allows this where long paths are enabled, Wine always."""
    folder = tmp_path.joinpath(*["a folder with a name of forty letters in it"] * 6)
    folder.mkdir(parents=True)
    source = footage.plain(tmp_path / "in.mp4", frames=3).rename(folder / "in.mp4")
    assert len(str(source)) > 260
    copied(gansr, source, folder / "out.mkv", point_model)


def test_from_one_drive_to_another(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    """With slashes instead of backslashes, and a drive letter in lower case."""
    home = Path(os.environ["USERPROFILE"])
    source = footage.plain(tmp_path / "in.mp4", frames=3)
    assert source.drive != home.drive
    output = home / "gansr test.mkv"
    try:
        done = gansr("upscale", source.as_posix().lower(), output.as_posix(), "--model", point_model, *FAST)
        assert done.returncode == 0, done.stderr
        assert footage.facts(output).picture["frames"] == 3
    finally:
        output.unlink(missing_ok=True)


def test_a_path_without_a_drive_letter(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    r"""Network paths are \\server\share; Wine has \\?\unix, which needs no network."""
    footage.plain(tmp_path / "in.mp4", frames=3)
    share = Path(r"\\?\unix" + str(tmp_path)[2:])
    copied(gansr, share / "in.mp4", share / "out.mkv", point_model)


def test_the_source_in_another_letter_case_is_the_source(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=3)
    done = gansr("upscale", source, tmp_path / "IN.MP4", "--model", point_model, "-y")
    assert done.returncode == 1 and "is the source itself" in one_line(done.stderr)


def test_a_read_only_source(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=3)
    source.chmod(stat.S_IREAD)
    copied(gansr, source, tmp_path / "out.mkv", point_model)
    source.chmod(stat.S_IWRITE)


def test_the_name_of_a_device_is_no_output(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=3)
    done = gansr("upscale", source, tmp_path / "COM1.mkv", "--model", point_model, *FAST)
    assert done.returncode == 1, done.stderr
    assert one_line(done.stderr).startswith("gansr: ")


def test_own_models_and_caches_lie_in_localappdata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows itself is asked for the folder, without the variable that other tests set."""
    monkeypatch.delenv("WIN_PD_OVERRIDE_LOCAL_APPDATA", raising=False)
    local = Path(os.environ["LOCALAPPDATA"])
    assert user_folders.models_folder() == local / "gansr" / "models"
    assert user_folders.cache_folder() == local / "gansr" / "Cache"
    monkeypatch.setenv("WIN_PD_OVERRIDE_LOCAL_APPDATA", str(tmp_path / "é 日本"))
    user_folders.models_folder().mkdir(parents=True)
    networks.point(user_folders.models_folder() / "mine.onnx")
    assert clips.noise(vs.YUV420P8, 16, 16, length=1).gansr.Upscale("mine").width == 32
