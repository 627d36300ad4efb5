"""Material and pool: what is drawn from, that pairs lie on each other, and that every draw can be repeated."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from pathlib import Path

import av
import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image

from training import smoke
from training.material import codec, data, pool
from training.recipe import Recipe, RecipeError
from training.recipe.config import DataConfig
from training.records import metrics


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train" / "stills").mkdir(parents=True)
    for name in ("a_free", "b_share", "c_free", "d_odd"):
        Image.new("RGB", (40, 40), name and "grey").save(tmp_path / "train" / "stills" / f"{name}.png")
    rows = "file,licence\n" + "".join(
        f"train/stills/{name}.png,{licence}\n"
        for name, licence in (("a_free", "CC0-1.0"), ("b_share", "CC-BY-SA-4.0 (README)"), ("c_free", "CC-BY-4.0"))
    )
    (tmp_path / "manifest.csv").write_text(rows)
    return tmp_path


def test_licences_and_weights_decide_what_is_drawn(folder: Path) -> None:
    config = DataConfig(
        root=str(folder), exclude_licences=("CC-BY-SA",), weights=(("d_*", 0.0), ("a_*", 3.0)), holdout=0
    )
    found = data.sources(config)
    assert [(Path(s.name).stem, s.weight, s.held_out) for s in found] == [
        ("a_free", 3.0, False), ("c_free", 1.0, False),
    ]  # fmt: skip
    assert found[0].sha256 == hashlib.sha256((folder / found[0].name).read_bytes()).hexdigest()
    assert data.list_digest(found) != data.list_digest(found[:1])


def test_no_material_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no training files"):
        data.sources(DataConfig(root=str(tmp_path)))


def test_held_out_stills_are_never_trained_on(material: Path, small_recipe: Recipe) -> None:
    found = data.sources(small_recipe.data)
    held = {Path(s.name).stem for s in found if s.held_out}
    assert len(found) == 10
    assert len(held) == 2
    for part in (False, True):
        labels = pool.load(pool.folder(small_recipe, part, material / "pool")).labels
        drawn = {label.split(":")[0] for label in labels}
        assert drawn <= held if part else not drawn & held


def test_detail_is_capped_and_zero_on_flats() -> None:
    flat = np.full((16, 16, 3), 90, np.uint8)
    edge = flat.copy()
    edge[:, 8:] = 255
    assert data.activity(flat).max() == 0
    assert data.activity(edge).max() == 24


def test_detailed_places_are_likelier() -> None:
    rng = np.random.default_rng(0)
    counts = np.bincount([data.pick(rng, [0.0, 2.0, 6.0]) for _ in range(3000)], minlength=3) / 3000
    assert counts[0] < 0.02 < counts[1] < counts[2]


def test_power_makes_them_likelier_still() -> None:
    counts = [
        np.bincount([data.pick(np.random.default_rng(n), [2.0, 6.0], power) for n in range(1000)], minlength=2)[1]
        for power in (0.0, 1.0, 2.0)
    ]
    assert counts[0] == pytest.approx(500, abs=60)
    assert counts[1] == pytest.approx(750, abs=60)
    assert counts[2] == pytest.approx(900, abs=60)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/ with 20 frames of H.264, 320x192, as .mp4 and as a raw stream: flat on the left, grain on the right, and
    brighter by 8 in each frame."""
    root = tmp_path_factory.mktemp("video")
    (root / "train").mkdir()
    grain = np.random.default_rng(0).integers(0, 60, (192, 160, 3))
    for name, kind in (("shot.mp4", "mp4"), ("raw.264", "h264")):
        with av.open(str(root / "train" / name), "w", format=kind) as container:
            stream = container.add_stream("libx264", rate=25, options={"crf": "10"})
            stream.width, stream.height, stream.pix_fmt = 320, 192, "yuv420p"
            for n in range(20):
                picture = np.full((192, 320, 3), 8 * n)
                picture[:, 160:] += grain
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture.astype(np.uint8), format="rgb24")))
            container.mux(stream.encode())
    return root


@pytest.mark.parametrize("name", ["shot.mp4", "raw.264"])
def test_excerpts_are_consecutive_halved_and_start_anywhere(video: Path, name: str) -> None:
    starts = set()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        frames = data.excerpt(video / "train" / name, rng, 4, (640, 384), (0.5, 0.5))
        assert frames.shape == (4, 96, 160, 3)
        levels = frames[:, :, :70].mean((1, 2, 3))
        assert np.abs(np.diff(levels) - 8).max() < 1.5, "not one frame after the other"
        starts.add(round(float(levels[0]) / 8))
    assert min(starts) <= 4 and max(starts) >= 12 and max(starts) <= 16


def test_excerpts_prefer_detailed_places(video: Path) -> None:
    textured = [
        float(
            data.excerpt(video / "train" / "shot.mp4", np.random.default_rng(seed), 1, (64, 64), (0.5, 0.5), 2.0)[
                0
            ].std()
        )
        for seed in range(12)
    ]
    assert np.median(textured) > 5


def test_short_videos_are_named(video: Path) -> None:
    with pytest.raises(ValueError, match=r"excerpt: .*shot\.mp4 has 20 frames, fewer than 21; shorten pool\.length"):
        data.excerpt(video / "train" / "shot.mp4", np.random.default_rng(0), 21, (64, 64), (0.5, 0.5))


def test_videos_named_as_held_out_only_measure(video: Path) -> None:
    found = data.sources(DataConfig(root=str(video), held_out=("raw*",), holdout=2))
    assert [(source.name, source.video, source.held_out) for source in found] == [
        ("train/raw.264", True, True), ("train/shot.mp4", True, False),
    ]  # fmt: skip


def test_a_pan_moves_smoothly() -> None:
    """On a slope the change from frame 0 grows with time, and a move stays inside the picture."""
    y, x = np.mgrid[:300, :400]
    slope = np.stack([x * 0.6, y * 0.8, (x + y) * 0.35], -1).astype(np.uint8)
    picture, activity = Image.fromarray(slope), np.ones((150, 200), np.float32)
    moved = 0
    for seed in range(8):
        frames = data.pan(picture, activity, np.random.default_rng(seed), 4, (128, 96))
        assert frames.shape == (4, 96, 128, 3)
        change = [float(np.abs(frames[n].astype(int) - frames[0]).mean()) for n in range(4)]
        assert change == sorted(change)
        moved += change[3] > 0.5
        assert np.array_equal(frames, data.pan(picture, activity, np.random.default_rng(seed), 4, (128, 96)))
    assert moved >= 4


def test_pairs_lie_on_each_other(ready: pool.Pool) -> None:
    low, high = np.asarray(ready.low[:, 0]), np.asarray(ready.high[:, 0])
    large = metrics.lanczos(low, 2)
    home = metrics.psnr_y(large, high)
    for shift in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        assert metrics.psnr_y(np.roll(large, shift, (1, 2)), high) < home


def test_pool_is_repeatable_and_says_what_it_cost(small_recipe: Recipe, ready: pool.Pool) -> None:
    files = [s for s in data.sources(small_recipe.data) if not s.held_out]
    planes, label = pool.make(small_recipe, files, 2, False)
    place = slice(2 * small_recipe.pool.crops, 3 * small_recipe.pool.crops)
    for name, made in zip(pool.PLANES, planes, strict=True):
        assert np.array_equal(made, getattr(ready, name)[place])
    assert ready.labels[place] == [label] * small_recipe.pool.crops
    assert ready.facts["bytes"] == sum(getattr(ready, name).nbytes for name in pool.PLANES)
    assert float(ready.facts["seconds"]) > 0
    assert ready.facts["data_sha256"] == data.list_digest(data.sources(small_recipe.data))


def test_pool_settings_name_the_folder(small_recipe: Recipe) -> None:
    other = replace(small_recipe, degrade=replace(small_recipe.degrade, blur_chance=0.9))
    longer = replace(small_recipe, run=replace(small_recipe.run, steps=99))
    assert pool.folder(other) != pool.folder(small_recipe) == pool.folder(longer)


def test_incomplete_pool_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"pool.load: .* holds no complete pool; make it with"):
        pool.load(tmp_path)


def test_batches_are_pure_and_paired(ready: pool.Pool) -> None:
    low, high = ready.batch(1, 5, 8, 32, 2)
    again = ready.batch(1, 5, 8, 32, 2)
    assert low.shape == (8, 3, 16, 16)
    assert high.shape == (8, 3, 32, 32)
    assert np.array_equal(low, again[0])
    assert np.array_equal(high, again[1])
    assert not np.array_equal(low, ready.batch(1, 6, 8, 32, 2)[0])
    large = metrics.lanczos(low.transpose(0, 2, 3, 1), 2)
    home = metrics.psnr_y(large, high.transpose(0, 2, 3, 1))
    assert home > metrics.psnr_y(large, high.transpose(0, 2, 3, 1)[::-1]) + 3


def test_chroma_lies_on_its_picture(ready: pool.Pool) -> None:
    """Chroma of a batch is what conversion of its pictures gives, whatever place and flip was drawn."""
    low, high, low_chroma, high_chroma = ready.batch(3, 5, 4, 32, 1, colour=True)
    for pictures, chroma in ((low, low_chroma), (high, high_chroma)):
        assert chroma.shape == (4, 2, pictures.shape[2] // 2, pictures.shape[3] // 2)
        expected = codec.chroma_of(codec.to_yuv420(np.ascontiguousarray(pictures.transpose(0, 2, 3, 1))))
        inner = (slice(None), slice(2, -2), slice(2, -2))
        mine = chroma.transpose(0, 2, 3, 1).astype(int)
        error, elsewhere = (
            np.abs(np.roll(mine, shift, (1, 2))[inner] - expected[inner]).mean() for shift in ((0, 0), (1, 1))
        )
        assert error < 0.5 * elsewhere, (error, elsewhere)


def test_batches_have_the_share_of_worn_pairs_asked_for(ready: pool.Pool) -> None:
    plain = dataclasses.replace(
        ready, labels=["a: worn 0.82x0.64 area/lanczos, h264 crf 20"] * (len(ready) - 1) + ["b: h264 crf 20"]
    )
    assert plain.entries == (list(range(len(ready)))[-1:], list(range(len(ready) - 1)))
    full = plain.high.shape[2]
    _, high = plain.batch(1, 5, 4, full, 1, worn=0)
    reference = plain.high[-1].transpose(0, 3, 1, 2)
    turns = [each[:, ::up, ::left] for each in reference for up in (1, -1) for left in (1, -1)]
    turns += [each.transpose(0, 2, 1) for each in turns]
    assert all(any(np.array_equal(made, turn) for turn in turns) for made in high)
    _, high = plain.batch(1, 5, 64, full, 1, worn=0.5)
    share = np.mean([any(np.array_equal(made, turn) for turn in turns) for made in high])
    assert 0.25 < share < 0.75


def test_batches_may_have_places_of_one_colour(ready: pool.Pool) -> None:
    """Input and reference have one colour; their chroma planes hold what the conversion to 4:2:0 gives for it."""
    low, high, low_chroma, high_chroma = ready.batch(1, 5, 32, 32, 1, colour=True, flat=1.0)
    assert len({tuple(each[:, 0, 0]) for each in high}) > 8
    for small, large, *chroma in zip(low, high, low_chroma, high_chroma, strict=True):
        shade = large[:, 0, 0]
        assert (large == shade[:, None, None]).all() and (small == shade[:, None, None]).all()
        made = codec.chroma_of(codec.to_yuv420(np.broadcast_to(shade, (1, 8, 8, 3)).copy()))[0, 0, 0]
        assert all(np.abs(plane.astype(int) - made[:, None, None]).max() <= 1 for plane in chroma)
    mixed = ready.batch(1, 5, 32, 32, 1, flat=0.3)[1]
    assert 0 < sum(len(np.unique(each)) <= 3 for each in mixed) < 32


def test_batches_may_have_crisp_lettering(ready: pool.Pool) -> None:
    """Drawn over both; the input's letters are averages of the reference's pixels, whatever the rest went through."""
    low, high, low_chroma, high_chroma = ready.batch(1, 5, 32, 32, 1, colour=True, letters=1.0)
    _, plain, _, bare = ready.batch(1, 5, 32, 32, 1, colour=True)
    lettered = [not np.array_equal(a, b) for a, b in zip(high, plain, strict=True)]
    assert sum(lettered) > 16, "all the same but where places turn out alike"
    on_one_colour = [each for each in zip(low, high, strict=True) if len(np.unique(each[1][:, :2])) == 1]
    assert on_one_colour
    for small, large in on_one_colour:
        mean = large.reshape(3, 16, 2, 16, 2).mean((2, 4))
        assert np.abs(small - mean).max() <= 1
    assert ((low_chroma >= 16) & (low_chroma <= 240)).all() and ((high_chroma >= 16) & (high_chroma <= 240)).all()
    assert np.abs(high_chroma.astype(int) - 128).mean() < np.abs(bare.astype(int) - 128).mean(), "letters are gray"


def test_drawing_a_batch_costs_little_beside_a_step(trainer, material: Path) -> None:  # type: ignore[no-untyped-def]
    """Processor time of drawing 12 crops of 96 from the pool, against that of the pixel-loss step it feeds."""
    recipe = smoke.recipe(material)
    recipe = replace(recipe, generator=replace(recipe.generator, width=32, convolutions=8))
    run = trainer(recipe, batch=12, crop=64, clip=1, bf16=True, steps=100, pixel_part=1.0)

    def cost(work, times: int) -> float:  # type: ignore[no-untyped-def]
        found = []
        for n in range(times):
            before = time.thread_time()
            work(n)
            found.append(time.thread_time() - before)
        return float(np.median(found))

    batch = run.fetch(0)
    run.train_step(*batch)
    step = cost(lambda n: run.train_step(*batch), 5)
    assert cost(run.fetch, 15) < 0.15 * step


def test_telling_crops_are_detailed_and_from_different_files(ready: pool.Pool) -> None:
    chosen = ready.telling(3)
    names = [ready.labels[index].split(":")[0] for index in chosen]
    assert len(set(names)) == len(names) <= 3
    frame = ready.high.shape[1] // 2
    scores = [float(data.activity(np.asarray(ready.high[i, frame])).mean()) for i in range(len(ready))]
    assert scores[chosen[0]] == max(scores)
