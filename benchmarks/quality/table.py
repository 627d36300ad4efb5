"""Shows what was measured, as Markdown and as JSON; computes only means and differences to Lanczos."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.quality.cost import Costs
from benchmarks.quality.methods import LANCZOS
from benchmarks.quality.metrics import Values
from benchmarks.quality.prepare import Preparation
from benchmarks.quality.score import Row
from benchmarks.quality.suites import FIDELITY, TEXTURE, Suite

Place = tuple[str, str]
"""(clip, condition)."""


@dataclass(frozen=True)
class Result:
    """All rows of one preparation."""

    preparation: Preparation
    scale: int
    """How much smaller the inputs are."""
    unsharp: str
    """The unsharp mask chosen for this preparation, in words."""
    rows: tuple[Row, ...]
    suites: tuple[Suite, ...] = (FIDELITY, TEXTURE)
    """What the rows have values of."""

    @property
    def methods(self) -> list[str]:
        """Names in order."""
        return list(dict.fromkeys(row.method for row in self.rows))

    @property
    def places(self) -> list[Place]:
        """Clips and conditions in order."""
        return list(dict.fromkeys((row.clip, row.condition) for row in self.rows))

    @property
    def groups(self) -> dict[str, list[Place]]:
        """Places by what is said of them: without the lettering first, which gains most and would hide the rest."""
        kinds = {(row.clip, row.condition): row.kind for row in self.rows}
        parts = {
            "without lettering": [place for place in self.places if kinds[place] != "lettering"],
            "filmed": [place for place in self.places if kinds[place] == "filmed"],
            "drawn": [place for place in self.places if kinds[place] == "drawn"],
        }
        parts = {name: part for name, part in parts.items() if part and part != self.places}
        return parts | {"all": self.places}

    @property
    def summary_group(self) -> str:
        """The group that one figure alone speaks of: without lettering where there is some, else all."""
        return next(iter(self.groups))

    def gain(self, method: str) -> float | None:
        """Mean SSIMULACRA2 over Lanczos in that group."""
        places = self.groups[self.summary_group]
        return difference(self.mean(method, places), self.mean(LANCZOS, places))["ssimulacra2"]

    def values(self, method: str, place: Place) -> Values:
        """What a method reached at a place."""
        return next(row.values for row in self.rows if row.method == method and (row.clip, row.condition) == place)

    def mean(self, method: str, places: Sequence[Place]) -> Values:
        """Mean over places; None where none has a value."""
        return mean(self.values(method, place) for place in places)


def mean(rows: Iterable[Values]) -> Values:
    """Column means over the rows that have a value."""
    listed = list(rows)
    columns = {name: [value for row in listed if (value := row[name]) is not None] for name in listed[0]}
    return {name: sum(column) / len(column) if column else None for name, column in columns.items()}


def difference(values: Values, base: Values) -> Values:
    """values - base, column by column."""
    result: Values = {}
    for name, ours in values.items():
        theirs = base[name]
        result[name] = None if ours is None or theirs is None else ours - theirs
    return result


def markdown(results: Sequence[Result]) -> str:
    """Per preparation tables of means by group and one of all clips; in brackets the difference to Lanczos."""
    parts = []
    for result in results:
        kind = "halved" if result.scale == 2 else "quartered"
        parts.append(f"## Preparation {result.preparation.name}, {kind}: {result.preparation.summary}")
        parts.append(f"Unsharp mask with the highest mean SSIMULACRA2: {result.unsharp}.")
        for group, places in result.groups.items():
            for suite in result.suites:
                rows = [
                    [name, *_cells(suite, result.mean(name, places), result.mean(LANCZOS, places))]
                    for name in result.methods
                ]
                parts.append(f"### {suite.name}, mean of {len(places)}: {group}\n\n" + _table(suite, ["method"], rows))
        for suite in result.suites:
            rows = [
                [*place, name, *_cells(suite, result.values(name, place), result.values(LANCZOS, place))]
                for place in result.places
                for name in result.methods
            ]
            parts.append(f"### {suite.name}, each\n\n" + _table(suite, ["clip", "condition", "method"], rows))
    return "\n\n".join(parts)


def cost_markdown(results: Sequence[Result], costs: Costs) -> str:
    """A table of what each method costs and, by preparation, what SSIMULACRA2 it gains over Lanczos for it."""
    width, height = costs.size
    gains = [f"{result.preparation.name}, {result.summary_group}" for result in results]
    rows = [["method", "multiply-adds an input pixel", "ms a frame", *gains], ["---", *["---:"] * (2 + len(gains))]]
    for name, cost in costs.by_method.items():
        counted = "" if cost.multiply_adds is None else f"{cost.multiply_adds:,}"
        gained = ["" if (gain := result.gain(name)) is None else f"{gain:+.2f}" for result in results]
        rows.append([name, counted, f"{cost.ms:.1f}", *gained])
    heading = (
        f"## Cost: {costs.clip}, {width}x{height} in, one frame at a time, provider auto; SSIMULACRA2 over Lanczos"
    )
    return heading + "\n\n" + _lines(rows)


def write_json(path: Path, results: Sequence[Result], costs: Costs | None = None) -> None:
    """Write the unrounded numbers: a list of preparations with means and differences by group, rows and costs."""
    report = []
    for result in results:
        means = {
            group: {name: result.mean(name, places) for name in result.methods}
            for group, places in result.groups.items()
        }
        report.append({
            "preparation": result.preparation.name,
            "summary": result.preparation.summary,
            "scale": result.scale,
            "unsharp": result.unsharp,
            "means": means,
            "over_lanczos": {group: {name: difference(values, part[LANCZOS]) for name, values in part.items()}
                             for group, part in means.items()},
            "rows": [asdict(row) for row in result.rows],
            **({"cost": asdict(costs)} if costs else {}),
        })  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")


def _cells(suite: Suite, values: Values, base: Values) -> list[str]:
    deltas = difference(values, base)
    cells = []
    for name in suite.columns:
        value, delta = values[name], deltas[name]
        cells.append("" if value is None else f"{value:.2f}" + ("" if delta is None else f" ({delta:+.2f})"))
    return cells


def _table(suite: Suite, first: list[str], rows: list[list[str]]) -> str:
    header = [*first, *suite.columns.values()]
    rule = ["---"] * len(first) + ["---:"] * len(suite.columns)
    return _lines([header, rule, *rows])


def _lines(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
