"""Write the results of the measurements as one Markdown page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

__all__ = ["NOISE", "markdown", "verdicts"]

LEAST_PSNR, LEAST_GAIN = 50.0, 2.0
MOST_GROWTH = 8.0  # mebibytes over a long run that count as none
MOST_CODES = 1.0  # between a format on the GPU and on the CPU, in float32
NOISE = "noise that moves"
LONGEST = 20  # operators that the page lists


def fps(result: dict[str, Any] | None) -> float | None:
    """Frames a second, None where there is no figure."""
    return result.get("fps") if result else None


def verdicts(results: dict[str, Any]) -> list[tuple[str, str]]:
    """(mark, what became of it): met, missed or not measured; open wherever the CPU stands in."""
    half = results.get("agreement", {}).get("fp16", {})
    clips = [clip for found in half.values() if "missing" not in found for clip in found.items()]
    psnr = [value["psnr"] for name, value in clips if name != NOISE]  # which is no clip
    gains: list[float] = []
    rows = results.get("speed", [])
    for row in rows if isinstance(rows, list) else []:
        ours = fps(row["results"].get("gansr"))
        peers = [rate for name, found in row["results"].items() if name.startswith("mlrt") and (rate := fps(found))]
        if ours and peers:
            gains.append(ours / max(peers))
    long = results.get("soak", {})
    growth = [-long[key] for key in ("growth_mib", "host_growth_mib") if key in long]
    single = [results.get(stage, {}).get("fp32", {}) for stage in ("planes", "formats")]
    codes = [-value["largest"] for found in single for value in found.values() if isinstance(value, dict)]
    marks: list[tuple[str, Sequence[float], float, str]] = [
        (f"every format within {MOST_CODES:.0f} code of the CPU in float32", codes, -MOST_CODES, "codes"),
        (f"fp16 at least {LEAST_PSNR:.0f} dB from float32 on every clip", psnr, LEAST_PSNR, "dB"),
        (f"at least {LEAST_GAIN} times vs-mlrt's best chain on the same network", gains, LEAST_GAIN, "times"),
        ("memory does not grow over the long run", growth, -MOST_GROWTH, "MiB"),
    ]
    provider = results["machine"]["provider"]
    return [(mark, verdict(provider, values, least, unit)) for mark, values, least, unit in marks]


def verdict(provider: str, values: Sequence[float], least: float, unit: str) -> str:
    """Whether the least of `values` reaches `least`; growth comes as its negative."""
    if not values:
        return "not measured"
    text = f"{abs(min(values)):.2f} {unit}"
    if provider != "CUDA":
        return f"open, no GPU (the CPU stands in: {text})"
    return f"{'met' if min(values) >= least else 'missed'}: {text}"


def markdown(results: dict[str, Any]) -> str:
    """The whole page."""
    machine = results["machine"]
    parts = ["# CUDA bench", ""]
    parts += [f"- {key}: {value}" for key, value in machine.items()]
    if device := results.get("trial", {}).get("device"):
        parts.append(f"- device: {device}")
    if machine["provider"] != "CUDA":
        parts += ["", "**No GPU here: the CPU provider stands in. None of these figures says anything about CUDA.**"]
    parts += ["", "## Marks", "", *table(["mark", "result"], verdicts(results))]
    for stage, (title, section) in SECTIONS.items():
        found = results.get(stage)
        if found is not None:
            missing = found.get("missing") if isinstance(found, dict) else None
            parts += ["", f"## {title}", "", *([missing] if missing else section(found))]
    return "\n".join(parts) + "\n"


def trial_section(found: dict[str, Any]) -> list[str]:
    return [found["trouble"] or f"computed, {found['first_ms']:.0f} ms from nothing"]


def distances_section(found: dict[str, Any]) -> list[str]:
    heads = [f"{p} {what}" for p in found for what in ("PSNR (dB)", "largest")]
    return table(["samples", *heads], distances(found))


def agreement_section(found: dict[str, Any]) -> list[str]:
    return table(["model", "clip", "precision", "PSNR (dB)", "largest (of 65535)"], agreements(found))


def profile_section(found: dict[str, Any]) -> list[str]:
    words = f"{found['size']}, {found['precision']}"
    return [words, "", *table(["operator", "on", "ms a picture", "nodes"], found["operators"][:LONGEST])]


def options_section(found: dict[str, Any]) -> list[str]:
    heads = ["option", "precision", "fps", "against the default", "memory (MiB)"]
    return [f"{found['model']}, {found['size']}", "", *table(heads, options(found["results"]))]


def shortage_section(found: dict[str, Any]) -> list[str]:
    row = ["an engine limited to 1 MiB", found["limited"], number(found["limited_left_mib"])]
    return table(["what", "became of it", "not given back (MiB)"], [row])


def speed_section(rows: list[dict[str, Any]]) -> list[str]:
    parts: list[str] = []
    for row in rows:
        parts += ["", f"{row['model']}, {row['width']}x{row['height']}, {row['format']}, {row['precision']}", ""]
        parts += table(["", "fps", "memory (MiB)", "first frame (ms)"], speed(row["results"]))
    return parts[1:]


def soak_section(found: dict[str, Any]) -> list[str]:
    level, growth, host = (number(found[f"{name}_mib"]) for name in ("level", "growth", "host_growth"))
    words = f"{found['frames']} frames through {found['through']}, {number(found['fps'])} fps"
    return [f"{words}: {level} MiB, {growth} MiB of growth, {host} MiB of the process"]


SECTIONS: dict[str, tuple[str, Callable[[Any], list[str]]]] = {
    "trial": ("One convolution in half precision", trial_section),
    "planes": ("Agreement with float32 on the CPU, the engine alone", distances_section),
    "formats": ("Agreement, every format", distances_section),
    "agreement": ("Agreement on clips, in 16 bit", agreement_section),
    "speed": ("Speed", speed_section),
    "options": ("Options, each alone", options_section),
    "shortage": ("Too little memory", shortage_section),
    "soak": ("The long run", soak_section),
    "profile": ("Nodes", profile_section),
}


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    return lines + [f"| {' | '.join(map(str, row))} |" for row in rows]


def number(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def spread(result: dict[str, Any]) -> str:
    """Frames a second, with the least and the most of several runs."""
    runs = result.get("runs", [])
    return number(result["fps"]) + (f" ({min(runs):.1f} to {max(runs):.1f})" if len(runs) > 1 else "")


def agreements(found: dict[str, Any]) -> Iterable[Sequence[object]]:
    for precision, models in found.items():
        for model, clips in models.items():
            if "missing" in clips:
                yield model, clips["missing"], precision, "", ""
                continue
            for clip, value in clips.items():
                yield model, clip, precision, number(value["psnr"]), number(value["largest"], 0)


def distances(found: dict[str, Any]) -> Iterable[Sequence[object]]:
    """A row for each kind of samples or format, the precisions side by side; first what is missing."""
    missing = [by_name.get("missing", "") for by_name in found.values()]
    if any(missing):
        yield "", *(text for reason in missing for text in (reason, ""))
    for name in dict.fromkeys(name for by_name in found.values() for name in by_name if name != "missing"):
        values = [by_name.get(name) for by_name in found.values()]
        yield name, *(t for v in values for t in ((number(v["psnr"]), f"{v['largest']:.4g}") if v else ("", "")))


def speed(found: dict[str, Any]) -> Iterable[Sequence[object]]:
    for name, result in found.items():
        rate = fps(result)
        if rate is None:
            yield name, result.get("missing", ""), "", ""
        else:
            yield name, spread(result), number(result.get("memory_mib"), 0), number(result.get("first_ms"), 0)


def options(found: list[dict[str, Any]]) -> Iterable[Sequence[object]]:
    defaults = {r["precision"]: fps(r["result"]) for r in found if not r["options"]}
    for row in found:
        rate, default = fps(row["result"]), defaults.get(row["precision"])
        name = ", ".join(f"{k}={v}" for k, v in row["options"].items()) or "as they are"
        if rate is None:
            yield name, row["precision"], row["result"].get("missing", ""), "", ""
        else:
            gain = number(rate / default, 2) if default else ""
            yield name, row["precision"], spread(row["result"]), gain, number(row["result"].get("memory_mib"), 0)
