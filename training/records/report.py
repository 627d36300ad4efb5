"""Write a run's report, one HTML file without other files."""

from __future__ import annotations

import base64
import html
import io
import math
from pathlib import Path
from typing import Any

from PIL import Image

from .run_log import LOG, read

_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf")
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 560, 220, 56, 24
_CURVES = (
    ("Generator losses", ("loss_pixel", "loss_structure", "loss_frequency", "loss_gradient", "loss_temporal"), False),
    ("Sliced losses", ("loss_sliced_texture", "loss_sliced_edge", "loss_sliced_flat"), False),
    ("Adversarial losses", ("discriminator", "loss_adversarial", "loss_feature"), False),
    ("Discriminator accuracy (0.5 is guessing)", ("accuracy", "accuracy_real", "accuracy_made"), False),
    (
        "Share of the gradient at the generator's output",
        ("share_pixel", "share_frequency", "share_gradient", "share_temporal", "share_adversarial", "share_feature"),
        False,
    ),
    (
        "Gradient norm at the generator's output, before weighing",
        ("gradient_pixel", "gradient_frequency", "gradient_adversarial", "gradient_feature"),
        True,
    ),
    ("Penalty on the discriminator's slope", ("penalty",), True),
    ("Last hidden layer: share alive; deviation of what the body adds", ("alive", "residual"), False),
    ("Held-out crops: PSNR-Y, dB", ("held_psnr_y", "lanczos_psnr_y"), False),
    ("Held-out crops: SSIMULACRA2", ("held_ssimulacra2", "lanczos_ssimulacra2"), False),
    ("Held-out crops: fine detail, share of the reference's", ("held_texture", "lanczos_texture"), False),
    ("Learning rate", ("rate",), True),
    ("Seconds per step", ("seconds_per_step",), False),
)


def smooth(points: list[tuple[float, float]], count: int = 160) -> list[tuple[float, float]]:
    """At most `count` of `points` (x, y), each the mean of its neighbours, so that a curve is small and readable."""
    size = max(1, -(-len(points) // count))
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]


def chart(title: str, series: dict[str, list[tuple[float, float]]], logarithmic: bool, mark: float | None) -> str:
    """One line chart of `series` ((x, y) by name) as SVG.

    `logarithmic`: whether the y axis is; `mark` draws a vertical line (where the adversary joins).
    """

    def scaled(value: float) -> float:
        return math.log10(max(value, 1e-12)) if logarithmic else value

    drawn = {name: smooth(points) for name, points in series.items() if points}
    if not drawn:
        return ""
    xs = [x for points in drawn.values() for x, _ in points]
    ys = [scaled(y) for points in drawn.values() for _, y in points]
    x0, x1, y0, y1 = min(xs), max(xs), min(ys), max(ys)
    x1, y1 = (x1 if x1 > x0 else x0 + 1), (y1 if y1 > y0 else y0 + 1e-6)

    def place(x: float, y: float) -> str:
        return (
            f"{_LEFT + (x - x0) / (x1 - x0) * (_WIDTH - _LEFT - 8):.1f},"
            f"{8 + (1 - (scaled(y) - y0) / (y1 - y0)) * (_HEIGHT - _BOTTOM - 16):.1f}"
        )

    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{html.escape(title)}">']
    for part in range(5):
        level = y0 + (y1 - y0) * part / 4
        y = 8 + (1 - part / 4) * (_HEIGHT - _BOTTOM - 16)
        label = f"{10**level:.2g}" if logarithmic else f"{level:.4g}"
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - 8}" y1="{y:.1f}" y2="{y:.1f}" class="g"/>'
            f'<text x="{_LEFT - 4}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
        )
    for part in range(3):
        x = _LEFT + part / 2 * (_WIDTH - _LEFT - 8)
        anchor = ("start", "middle", "end")[part]
        parts.append(
            f'<text x="{x:.1f}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{x0 + (x1 - x0) * part / 2:.0f}</text>'
        )
    if mark is not None and x0 <= mark <= x1:
        x = _LEFT + (mark - x0) / (x1 - x0) * (_WIDTH - _LEFT - 8)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="8" y2="{_HEIGHT - _BOTTOM - 8}" class="m"/>')
    legend = []
    for colour, (name, points) in zip(_COLOURS, drawn.items(), strict=False):
        line = " ".join(place(x, y) for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        legend.append(f'<span style="color:{colour}">{html.escape(name)} {points[-1][1]:.4g}</span>')
    return (
        f"<figure><figcaption>{html.escape(title)}<br>{' '.join(legend)}</figcaption>"
        + "".join(parts)
        + "</svg></figure>"
    )


def balance_line(rows: list[dict[str, float]]) -> str:
    """Whether the balance held in the second half of the adversarial stage, in one sentence with the numbers."""
    played = [row["accuracy"] for row in rows if "accuracy" in row]
    half = played[len(played) // 2 :]
    if not half:
        return "No adversarial stage."
    mean = sum(half) / len(half)
    inside = sum(0.505 < value < 0.995 for value in half) / len(half)
    return (
        f"Second half of the adversarial stage: accuracy {mean:.3f} in the mean, {min(half):.3f} to {max(half):.3f}, "
        f"{inside:.0%} of the logs between 0.505 and 0.995."
    )


def _picture(path: Path, width: int) -> str:
    with Image.open(path) as image:
        picture = image.convert("RGB")
    if picture.width > width:
        picture = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
    memory = io.BytesIO()
    picture.save(memory, "WEBP", quality=88)
    return f'<img src="data:image/webp;base64,{base64.b64encode(memory.getvalue()).decode()}" alt="{path.stem}">'


def render(
    folder: Path, facts: dict[str, str], scores: dict[str, dict[str, float]], sheets: int = 3, width: int = 1100
) -> str:
    """The report of the run in `folder` as HTML: `facts` (by name, as they come), `scores` (by method, then measure),
    balance, curves, and `sheets` of the sample sheets, first to last, at most `width` pixels wide.

    Raises:
        OSError: the folder has no log.
    """
    rows = read(folder / LOG)
    joined = next((row["step"] for row in rows if "accuracy" in row), None)
    figures = []
    for title, names, logarithmic in _CURVES:
        series = {name: [(row["step"], row[name]) for row in rows if name in row] for name in names}
        figures.append(chart(title, {k: v for k, v in series.items() if v}, logarithmic, joined))
    found = sorted((folder / "samples").glob("*.png"))
    step = max(1, (len(found) - 1) // max(1, sheets - 1)) if found else 1
    chosen = sorted({*found[::step][: sheets - 1], *found[-1:]})
    pictures = [
        f"<h3>Step {int(p.stem)}: input, Lanczos, generator, reference</h3>{_picture(p, width)}" for p in chosen
    ]
    table = "".join(f"<tr><th>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in facts.items())
    measured = _scores(scores)
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(folder.name)}</title>
<style>body{{font:14px/1.4 sans-serif;margin:2em auto;max-width:1180px;color:#222}}
figure{{display:inline-block;width:560px;margin:0 8px 16px 0;vertical-align:top}}svg text{{font-size:10px;fill:#555}}
.g{{stroke:#ddd}}.m{{stroke:#888;
stroke-dasharray:4 3}}th{{text-align:left;padding-right:1em}}td{{padding-right:1em}}img{{max-width:100%}}</style>
<h1>{html.escape(folder.name)}</h1><table>{table}</table><h2>Balance</h2><p>{html.escape(balance_line(rows))}</p>
{measured}<h2>Curves</h2><p>The dashed line is where the adversary joins.</p>{"".join(figures)}
<h2>Samples</h2>{"".join(pictures)}</html>
"""


def _scores(scores: dict[str, dict[str, Any]]) -> str:
    if not scores:
        return ""
    keys = list(next(iter(scores.values())))
    head = "".join(f"<th>{html.escape(key)}</th>" for key in keys)
    body = "".join(
        f"<tr><th>{html.escape(name)}</th>" + "".join(f"<td>{row[key]:.2f}</td>" for key in keys) + "</tr>"
        for name, row in scores.items()
    )
    return f"<h2>Held-out crops</h2><table><tr><th></th>{head}</tr>{body}</table>"
