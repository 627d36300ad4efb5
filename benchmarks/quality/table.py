"""Shows what was measured, as Markdown and as JSON; computes only means and differences to Lanczos."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.quality.methods import LANCZOS
from benchmarks.quality.metrics import NAMES, Values
from benchmarks.quality.prepare import Preparation
from benchmarks.quality.score import Row


@dataclass(frozen=True)
class Result:
    """All rows of one preparation and the unsharp mask chosen for it, in words."""

    preparation: Preparation
    scale: int
    unsharp: str
    rows: tuple[Row, ...]

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(row.method for row in self.rows))

    @property
    def places(self) -> list[tuple[str, str]]:
        """(clip, condition) in order."""
        return list(dict.fromkeys((row.clip, row.condition) for row in self.rows))

    def values(self, method: str, place: tuple[str, str]) -> Values:
        return next(row.values for row in self.rows if row.method == method and (row.clip, row.condition) == place)

    def mean(self, method: str) -> Values:
        """Mean over clips and conditions; None where no clip has a value."""
        return mean(row.values for row in self.rows if row.method == method)


def mean(rows: Iterable[Values]) -> Values:
    """Column means over the rows that have a value."""
    listed = list(rows)
    columns = {name: [value for row in listed if (value := row[name]) is not None] for name in NAMES}
    return {name: sum(column) / len(column) if column else None for name, column in columns.items()}


def difference(values: Values, base: Values) -> Values:
    """values - base, column by column."""
    result: Values = {}
    for name in NAMES:
        ours, theirs = values[name], base[name]
        result[name] = None if ours is None or theirs is None else ours - theirs
    return result


def markdown(results: Sequence[Result]) -> str:
    """Per preparation a table of means and one of all clips; in brackets the difference to Lanczos."""
    parts = []
    for result in results:
        kind = "halved" if result.scale == 2 else "quartered"
        parts.append(f"## Preparation {result.preparation.name}, {kind}: {result.preparation.summary}")
        parts.append(f"Unsharp mask with the highest mean SSIMULACRA2: {result.unsharp}.")
        means = [[name, *_cells(result.mean(name), result.mean(LANCZOS))] for name in result.methods]
        parts.append(f"### Mean of {len(result.places)}\n\n" + _table(["method"], means))
        rows = [
            [*place, name, *_cells(result.values(name, place), result.values(LANCZOS, place))]
            for place in result.places
            for name in result.methods
        ]
        parts.append("### Each\n\n" + _table(["clip", "condition", "method"], rows))
    return "\n\n".join(parts)


def write_json(path: Path, results: Sequence[Result]) -> None:
    """The same numbers unrounded: a list of preparations with means, differences and rows."""
    report = []
    for result in results:
        means = {name: result.mean(name) for name in result.methods}
        report.append({
            "preparation": result.preparation.name,
            "summary": result.preparation.summary,
            "scale": result.scale,
            "unsharp": result.unsharp,
            "means": means,
            "over_lanczos": {name: difference(values, means[LANCZOS]) for name, values in means.items()},
            "rows": [asdict(row) for row in result.rows],
        })  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")


def _cells(values: Values, base: Values) -> list[str]:
    cells = []
    for name, delta in difference(values, base).items():
        value = values[name]
        cells.append("" if value is None else f"{value:.2f}" + ("" if delta is None else f" ({delta:+.2f})"))
    return cells


def _table(first: list[str], rows: list[list[str]]) -> str:
    header = [*first, *NAMES.values()]
    rule = ["---"] * len(first) + ["---:"] * len(NAMES)
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows])
