"""Count rankings of blind sheets with their key."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

Ranks = dict[str, list[int]]
"""The ranks, 1 is best, that a viewer gave each method, a sheet after another."""


def read(key: Path, ranking: Path) -> Ranks:
    """One viewer's ranks.

    A ranking is what the page saves: {"sheets": {"01": "CAB", ...}}, letters from best to worst; sheets may be left
    out. Raises ValueError for one that is empty or does not fit the key.
    """
    sheets = json.loads(key.read_text())["sheets"]
    ranks: Ranks = {}
    for name, order in json.loads(ranking.read_text())["sheets"].items():
        letters = sheets[name]["methods"] if name in sheets else {}
        if sorted(order) != sorted(letters):
            there = "".join(letters)
            raise ValueError(f"tally: {ranking}: sheet {name} is ranked {order!r}, but {key} has {there!r} for it")
        for rank, letter in enumerate(order, 1):
            ranks.setdefault(letters[letter], []).append(rank)
    if not ranks:
        raise ValueError(f"tally: {ranking} ranks no sheet")
    return ranks


def tally(key: Path, rankings: Sequence[Path]) -> str:
    """Markdown: by method its mean rank, each viewer's, their standard deviation, rank sum, times first and last.

    Raises ValueError without rankings or for one that does not fit.
    """
    if not rankings:
        raise ValueError(f"tally: name rankings, saved by the page, after the key {key}")
    viewers = [read(key, ranking) for ranking in rankings]
    count = len(viewers[0])
    rows = []
    for name in viewers[0]:
        each = [mean(ranks[name]) for ranks in viewers]
        every = [rank for ranks in viewers for rank in ranks[name]]
        spread = f"{stdev(each):.2f}" if len(each) > 1 else ""
        by_viewer = " ".join(f"{value:.1f}" for value in each)
        cells = (name, f"{mean(every):.2f}", by_viewer, spread, sum(every), every.count(1), every.count(count))
        rows.append((mean(every), "| " + " | ".join(map(str, cells)) + " |"))
    head = f"| method, of {count} | mean rank | of each ranking | spread | rank sum | first | last |"
    judged = sum(len(next(iter(ranks.values()))) for ranks in viewers)
    lines = [head, "|---|---:|---|---:|---:|---:|---:|", *(row for _, row in sorted(rows))]
    return "\n".join([*lines, f"\n{len(viewers)} rankings, {judged} sheets in all."])
