"""Reports and measures: one self-contained file, curves that show the numbers, metrics that rank rightly."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.records import metrics, report


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    rows = [{"step": n, "loss_pixel": 1 / (n + 1), "rate": 1e-3} for n in range(50)]
    rows += [{"step": n, "loss_pixel": 0.02, "rate": 1e-4, "accuracy": 0.7 + 0.001 * n, "discriminator": 0.6}
             for n in range(50, 100)]  # fmt: skip
    rows.append({"step": 100, "held_psnr_y": 31.5, "lanczos_psnr_y": 30.0})
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 101, "lo')
    (tmp_path / "samples").mkdir()
    for step in (10, 50, 100):
        Image.new("RGB", (64, 32), (step, 0, 0)).save(tmp_path / "samples" / f"{step:07d}.png")
    return tmp_path


def test_report_needs_nothing_beside_it(run_folder: Path) -> None:
    text = report.render(run_folder, {"run": "a < b"}, {"Lanczos": {"psnr_y": 30.0}, "ours": {"psnr_y": 31.25}})
    assert not re.search(r"""(src|href)=["'](?!data:)""", text)
    assert "a &lt; b" in text
    assert text.count("<svg") == 5  # losses, adversarial losses, accuracy, held-out PSNR, learning rate
    assert text.count("data:image/webp") == 3
    assert "<td>31.25</td>" in text
    assert "accuracy 0.787 in the mean, 0.775 to 0.799, 100% of the logs" in text
    assert "stroke-dasharray" in text


def test_a_lost_balance_is_not_called_held(run_folder: Path) -> None:
    rows = [{"step": float(n), "accuracy": 0.5 if n % 2 else 0.7} for n in range(40)]
    assert "50% of the logs" in report.balance_line(rows)
    assert report.balance_line([{"step": 1.0}]) == "No adversarial stage."


def test_curves_are_thinned_by_means() -> None:
    points = [(float(n), float(n % 2)) for n in range(1000)]
    thin = report.smooth(points, 100)
    assert len(thin) == 100
    assert all(y == 0.5 for _, y in thin)


def test_measures_rank_blur_and_equality() -> None:
    rng = np.random.default_rng(0)
    real = np.clip(rng.normal(128, 40, (2, 96, 96, 3)), 0, 255).astype(np.uint8)
    real = np.stack(
        [np.asarray(Image.fromarray(f).resize((96, 96), Image.Resampling.BOX, box=(0, 0, 48, 48))) for f in real]
    )
    soft = np.stack([np.asarray(Image.fromarray(f).resize((48, 48)).resize((96, 96))) for f in real])
    same, less = metrics.score(real, real), metrics.score(soft, real)
    assert same == {"psnr_y": pytest.approx(100), "ssimulacra2": pytest.approx(100, abs=0.1), "texture": 1.0}
    assert less["psnr_y"] < 50
    assert less["ssimulacra2"] < 90
    assert less["texture"] < 0.8 < 1.2 < metrics.texture(real, soft)


def test_lanczos_and_sheet() -> None:
    low = np.full((2, 8, 6, 3), 60, np.uint8)
    large = metrics.lanczos(low, 2)
    assert large.shape == (2, 16, 12, 3)
    assert (large == 60).all()
    page = metrics.sheet([low[:, :6], large[:, :12, :12]])
    assert page.size == (2 * 12 + 4, 2 * 12 + 4)
