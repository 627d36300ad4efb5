"""Choose training files and cut short moving clips from them."""

from __future__ import annotations

import csv
import functools
import hashlib
from collections import deque
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..recipe import RecipeError
from ..recipe.config import DataConfig, PoolConfig
from .codec import Frames
from .leaves import leaves
from .luma import luma_of

_STILLS = (".webp", ".png", ".jpg", ".jpeg")
_VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".264")


@dataclass(frozen=True)
class TrainingFile:
    """A still or a video."""

    name: str
    """Below the root, with slashes."""
    sha256: str
    """Of its bytes, in hex."""
    weight: float
    """How often it is drawn, beside others of its kind."""
    held_out: bool
    """Whether it only measures."""

    @property
    def video(self) -> bool:
        """Whether it is a video, by its name."""
        return self.name.endswith(_VIDEOS)


def manifest(config: DataConfig) -> dict[str, dict[str, str]]:
    """Rows of `root`/manifest.csv by file name: licence, credit, repo and so on; empty where there is none."""
    path = Path(config.root) / "manifest.csv"
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def sources(config: DataConfig) -> list[TrainingFile]:
    """All files of `root`/train that the recipe draws from, sorted by name.

    Raises:
        RecipeError: there is no such folder or nothing in it is left to draw from.
    """
    root = Path(config.root)
    rows = manifest(config)
    found = sorted(p for p in (root / "train").rglob("*") if p.suffix.lower() in _STILLS + _VIDEOS)
    kept: list[TrainingFile] = []
    for path in found:
        name = path.relative_to(root).as_posix()
        licence = rows[name]["licence"] if name in rows else ""
        if any(banned in licence for banned in config.exclude_licences):
            continue
        weight = next((w for pattern, w in config.weights if fnmatch(path.name, pattern)), 1.0)
        if weight <= 0:
            continue
        turn = bool(config.holdout) and len(kept) % config.holdout == config.holdout // 2
        held_out = turn and path.suffix.lower() in _STILLS
        held_out = held_out or any(fnmatch(path.name, pattern) for pattern in config.held_out)
        kept.append(TrainingFile(name, hashlib.sha256(path.read_bytes()).hexdigest(), weight, held_out))
    if not any(not source.held_out for source in kept):
        raise RecipeError(f"data.root {config.root!r}: no training files in {root / 'train'} after the exclusions")
    return kept


def list_digest(files: list[TrainingFile]) -> str:
    """SHA-256 of the data list, one `hash  name` line per file."""
    lines = "".join(f"{source.sha256}  {source.name}\n" for source in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def activity(picture: Frames) -> NDArray[np.float32]:
    """How much there is to learn at each pixel: luma gradient, capped so that hard edges of text and flat art do not
    outweigh texture. (height, width, 3) uint8 to (height, width) float32 in code values, at most 24."""
    luma = luma_of(picture)
    down = np.abs(np.diff(luma, axis=0, append=luma[-1:]))
    right = np.abs(np.diff(luma, axis=1, append=luma[:, -1:]))
    gradient: NDArray[np.float32] = np.minimum(down + right, 24)
    return gradient


def pick(rng: np.random.Generator, scores: list[float], power: float = 1.0) -> int:
    """Index drawn by `rng` in proportion to `scores` (0 or more) to `power`, never quite excluding any."""
    weights = (np.asarray(scores) + 0.05) ** power
    return int(rng.choice(len(scores), p=weights / weights.sum()))


@functools.lru_cache(maxsize=6)
def _still(path: Path) -> tuple[Image.Image, NDArray[np.float32]]:
    with Image.open(path) as image:
        picture = image.convert("RGB")
    return picture, activity_of_half(picture)


def activity_of_half(picture: Image.Image) -> NDArray[np.float32]:
    """`activity` of the picture at half size, (height / 2, width / 2)."""
    small = picture.resize((max(1, picture.width // 2), max(1, picture.height // 2)), Image.Resampling.BOX)
    return activity(np.asarray(small))


def _fit(size: tuple[int, int], field: tuple[int, int], least: float) -> tuple[int, int]:
    """The field, made smaller where a picture `least` times as large would not hold it; sides in steps of 16."""
    return (min(field[0], int(size[0] / least) // 16 * 16), min(field[1], int(size[1] / least) // 16 * 16))


@dataclass(frozen=True)
class Window:
    """A part of a picture that is to be made smaller."""

    x: float
    """Its left edge, in the picture's pixels."""
    y: float
    """Its upper edge."""
    width: float
    """In the picture's pixels."""
    height: float
    """In the picture's pixels."""
    reduce: float
    """How many times smaller it becomes, each way."""


def _window(
    activity: NDArray[np.float32],
    size: tuple[int, int],
    made: tuple[int, int],
    reduce: tuple[float, float],
    rng: np.random.Generator,
    power: float,
) -> Window:
    """One of six drawn windows that become `made` pixels, of a picture of `size`; the more detailed are likelier.

    `activity` is `activity` of the picture at half size, `reduce` the bounds of how much smaller it is made.
    """
    windows, scores = [], []
    for _ in range(6):
        factor = float(np.exp(rng.uniform(*np.log(reduce))))
        w, h = made[0] * factor, made[1] * factor
        x, y = rng.uniform(0, size[0] - w), rng.uniform(0, size[1] - h)
        windows.append(Window(x, y, w, h, factor))
        part = activity[int(y / 2) : int((y + h) / 2) + 1, int(x / 2) : int((x + w) / 2) + 1]
        scores.append(float(part.mean()) if part.size else 0.0)
    return windows[pick(rng, scores, power)]


def pan(
    picture: Image.Image,
    activity: NDArray[np.float32],
    rng: np.random.Generator,
    length: int,
    field: tuple[int, int],
    power: float = 1.0,
) -> Frames:
    """A camera move over a still: `length` frames of a sub-pixel pan and zoom, (length, height, width, 3) uint8.

    `field` is the frames' (width, height), less where the picture is smaller; all draws are `rng`'s.

    The picture is always made smaller (by 1.1 or more where its size allows), so the frames are as sharp as their
    grid. `activity` is `activity` at half size: the more detailed windows, to that `power`, are likelier.
    """
    least = 1.1 if min(picture.width / field[0], picture.height / field[1]) >= 1.1 else 1.0
    width, height = _fit(picture.size, field, least)
    most = min(picture.width / width, picture.height / height)
    window = _window(activity, picture.size, (width, height), (least, max(least, min(most, 2.6))), rng, power)
    x, y, w, h, reduce = window.x, window.y, window.width, window.height, window.reduce
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


@functools.lru_cache(maxsize=64)
def _frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(packet.size > 0 for packet in container.demux(video=0))


def excerpt(
    path: Path,
    rng: np.random.Generator,
    length: int,
    field: tuple[int, int],
    scale: tuple[float, float],
    power: float = 1.0,
) -> Frames:
    """`length` consecutive frames of a video, made `scale` (least, most) times as large: the files are lossy.

    The result is (length, height, width, 3) uint8, `field` being (width, height), less where the video is smaller;
    all draws are `rng`'s. The more detailed windows, to that `power`, are likelier. Frames are counted from the start,
    since raw streams have neither times nor an index.

    Raises:
        ValueError: the video is shorter than `length` frames.
    """
    count = _frames(path)
    if count < length:
        raise ValueError(f"excerpt: {path} has {count} frames, fewer than {length}; shorten pool.length")
    start = int(rng.integers(count - length + 1))
    shown: deque[av.VideoFrame] = deque(maxlen=length)
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            shown.append(frame)
            if index == start + length - 1:
                break
    if len(shown) < length:
        raise ValueError(f"excerpt: {path} decodes to {len(shown)} frames, fewer than {length}")
    pictures = [Image.fromarray(frame.to_ndarray(format="rgb24")) for frame in shown]
    most = 1 / scale[0]
    made = _fit(pictures[0].size, field, most)
    window = _window(activity_of_half(pictures[0]), pictures[0].size, made, (1 / scale[1], most), rng, power)
    box = (window.x, window.y, window.x + window.width, window.y + window.height)
    return np.stack([np.asarray(p.resize(made, Image.Resampling.LANCZOS, box=box)) for p in pictures])


def clip(
    config: DataConfig, files: list[TrainingFile], rng: np.random.Generator, size: PoolConfig
) -> tuple[Frames, str]:
    """A sharp moving clip, (length, height, width, 3) uint8, and the stem of the one of `files` that it comes from.

    `size` says how long and large it is; the same state of `rng` gives the same clip.
    """
    if config.leaves and rng.random() < config.leaves:
        drawn = leaves(rng, 2 * size.field[0], 2 * size.field[1])
        return pan(drawn, activity_of_half(drawn), rng, size.length, size.field, size.detail_power), "dead-leaves"
    videos = [source for source in files if source.video]
    stills = [source for source in files if not source.video]
    from_video = bool(videos) and (not stills or rng.random() < config.video_share)
    choice = videos if from_video else stills
    weights = np.array([source.weight for source in choice])
    source = choice[int(rng.choice(len(choice), p=weights / weights.sum()))]
    path = Path(config.root) / source.name
    if from_video:
        return excerpt(path, rng, size.length, size.field, config.video_scale, size.detail_power), path.stem
    picture, activity = _still(path)
    return pan(picture, activity, rng, size.length, size.field, size.detail_power), path.stem
