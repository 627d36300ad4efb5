"""Owns the sharp material: which files, how often, and short moving clips cut from them; knows no degradation."""

from __future__ import annotations

import csv
import functools
import hashlib
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .codec import Frames
from .recipe import DataConfig, RecipeError

_STILLS = (".webp", ".png", ".jpg", ".jpeg")
_VIDEOS = (".mp4", ".mkv", ".webm")


@dataclass(frozen=True)
class Source:
    """One file: name below the root, hash of its bytes, how often it is drawn, and whether it only measures."""

    name: str
    sha256: str
    weight: float
    held_out: bool

    @property
    def video(self) -> bool:
        return self.name.endswith(_VIDEOS)


def manifest(config: DataConfig) -> dict[str, dict[str, str]]:
    """Rows of `root`/manifest.csv by file name: licence, credit, repo and so on; empty where there is none."""
    path = Path(config.root) / "manifest.csv"
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def sources(config: DataConfig) -> list[Source]:
    """All files of `root`/train that the recipe draws from, sorted by name.

    Raises:
        RecipeError: there is no such folder or nothing in it is left to draw from.
    """
    root = Path(config.root)
    rows = manifest(config)
    found = sorted(p for p in (root / "train").rglob("*") if p.suffix.lower() in _STILLS + _VIDEOS)
    kept: list[Source] = []
    for path in found:
        name = path.relative_to(root).as_posix()
        licence = rows[name]["licence"] if name in rows else ""
        if any(banned in licence for banned in config.exclude_licences):
            continue
        weight = next((w for pattern, w in config.weights if fnmatch(path.name, pattern)), 1.0)
        if weight <= 0:
            continue
        held_out = len(kept) % config.holdout == config.holdout // 2 if config.holdout else False
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        kept.append(Source(name, digest, weight, held_out and path.suffix.lower() in _STILLS))
    if not any(not source.held_out for source in kept):
        raise RecipeError(f"data.root {config.root!r}: no training files in {root / 'train'} after the exclusions")
    return kept


def list_digest(files: list[Source]) -> str:
    """SHA-256 of the data list, one `hash  name` line per file."""
    lines = "".join(f"{source.sha256}  {source.name}\n" for source in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def detail(picture: Frames) -> NDArray[np.float32]:
    """How much there is to learn at each pixel: luma gradient, capped so that hard edges of text and flat art do not
    outweigh texture. (height, width, 3) uint8 to (height, width) float32 in code values, at most 24."""
    luma = picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    down = np.abs(np.diff(luma, axis=0, append=luma[-1:]))
    right = np.abs(np.diff(luma, axis=1, append=luma[:, -1:]))
    gradient: NDArray[np.float32] = np.minimum(down + right, 24)
    return gradient


def pick(rng: np.random.Generator, scores: list[float]) -> int:
    """Index drawn in proportion to the scores, never quite excluding any."""
    weights = np.asarray(scores) + 0.05
    return int(rng.choice(len(scores), p=weights / weights.sum()))


@functools.lru_cache(maxsize=6)
def _still(path: Path) -> tuple[Image.Image, NDArray[np.float32]]:
    with Image.open(path) as image:
        picture = image.convert("RGB")
    small = picture.resize((max(1, picture.width // 2), max(1, picture.height // 2)), Image.Resampling.BOX)
    return picture, detail(np.asarray(small))


def _fit(size: tuple[int, int], field: tuple[int, int], least: float) -> tuple[int, int]:
    """The field, made smaller where a picture `least` times as large would not hold it; sides in steps of 16."""
    return (min(field[0], int(size[0] / least) // 16 * 16), min(field[1], int(size[1] / least) // 16 * 16))


def pan(
    picture: Image.Image, activity: NDArray[np.float32], rng: np.random.Generator, length: int, field: tuple[int, int]
) -> Frames:
    """A camera move over a still: `length` frames of a sub-pixel pan and zoom, (length, height, width, 3) uint8.

    The picture is always made smaller (by 1.1 or more where its size allows), so the frames are as sharp as their
    grid. `activity` is `detail` at half size: of six drawn windows the more detailed are likelier.
    """
    least = 1.1 if min(picture.width / field[0], picture.height / field[1]) >= 1.1 else 1.0
    width, height = _fit(picture.size, field, least)
    most = min(picture.width / width, picture.height / height)
    boxes, scores = [], []
    for _ in range(6):
        reduce = float(np.exp(rng.uniform(np.log(least), np.log(max(least, min(most, 2.6))))))
        w, h = width * reduce, height * reduce
        x, y = rng.uniform(0, picture.width - w), rng.uniform(0, picture.height - h)
        boxes.append((x, y, w, h, reduce))
        part = activity[int(y / 2) : int((y + h) / 2) + 1, int(x / 2) : int((x + w) / 2) + 1]
        scores.append(float(part.mean()) if part.size else 0.0)
    x, y, w, h, reduce = boxes[pick(rng, scores)]
    moving = rng.random() > 0.15
    speed = rng.uniform(-6, 6, 2) * reduce * moving
    zoom = 1 + rng.uniform(-0.004, 0.004) * moving * (rng.random() < 0.5)
    kernel = Image.Resampling.LANCZOS if rng.random() < 0.6 else Image.Resampling.BICUBIC
    frames = []
    for n in range(length):
        now_w, now_h = min(w * zoom**n, picture.width), min(h * zoom**n, picture.height)
        now_x = min(max(x + speed[0] * n + (w - now_w) / 2, 0), picture.width - now_w)
        now_y = min(max(y + speed[1] * n + (h - now_h) / 2, 0), picture.height - now_h)
        box = (now_x, now_y, now_x + now_w, now_y + now_h)
        frames.append(np.asarray(picture.resize((width, height), kernel, box=box)))
    return np.stack(frames)


@functools.lru_cache(maxsize=4)
def _duration(path: Path) -> float:
    with av.open(str(path)) as container:
        seconds: float = (container.duration or 0) / av.time_base
        return seconds


def excerpt(
    path: Path, rng: np.random.Generator, length: int, field: tuple[int, int], scale: tuple[float, float]
) -> Frames:
    """`length` consecutive frames of a video, made `scale` (least, most) times as large: the files are lossy.

    Raises:
        ValueError: the video is shorter than `length` frames.
    """
    start = rng.uniform(0, max(0.0, _duration(path) - 2.0))
    pictures: list[Image.Image] = []
    with av.open(str(path)) as container:
        container.seek(int(start * av.time_base))
        for frame in container.decode(video=0):
            if frame.time is not None and frame.time < start and start > 0:
                continue
            pictures.append(Image.fromarray(frame.to_ndarray(format="rgb24")))
            if len(pictures) == length:
                break
    if len(pictures) < length:
        raise ValueError(
            f"excerpt: {path} ends {length - len(pictures)} frames after {start:.2f} s; shorten pool.length"
        )
    reduce = 1 / rng.uniform(*scale)
    width, height = _fit(pictures[0].size, field, reduce)
    w, h = width * reduce, height * reduce
    x, y = rng.uniform(0, pictures[0].width - w), rng.uniform(0, pictures[0].height - h)
    box = (x, y, x + w, y + h)
    return np.stack([np.asarray(p.resize((width, height), Image.Resampling.LANCZOS, box=box)) for p in pictures])


def clip(
    config: DataConfig, files: list[Source], rng: np.random.Generator, length: int, field: tuple[int, int]
) -> tuple[Frames, Source]:
    """A sharp moving clip and the file it comes from; the same generator state gives the same clip."""
    videos = [source for source in files if source.video]
    stills = [source for source in files if not source.video]
    from_video = bool(videos) and (not stills or rng.random() < config.video_share)
    choice = videos if from_video else stills
    weights = np.array([source.weight for source in choice])
    source = choice[int(rng.choice(len(choice), p=weights / weights.sum()))]
    path = Path(config.root) / source.name
    if from_video:
        return excerpt(path, rng, length, field, config.video_scale), source
    picture, activity = _still(path)
    return pan(picture, activity, rng, length, field), source
